"""Claims 1 to 3, and claim 7 on the bandit: theorems over many instances, and figure 2's finite steps."""

import numpy as np
import pandas as pd

from asymre.metrics.statistics import Estimate, share
from paper.claims.verdict import Claim, Row

# After theorem_checks' steps, even the slowest of some thousand random instances are this close to the limit.
LIMIT_TOLERANCE = 1e-4
# Rounding of rewards between 0 and 1.
REWARD_TOLERANCE = 1e-9
# Rewards closer than this count as equal: a millionth of the range.
SAME_REWARD = 1e-6

REGIMES = {"below": "V < V_mu", "at": "V = V_mu", "tied": "V = V_mu with a tie", "above": "V > V_mu"}
DEVIATION = Claim(
    key="1a",
    statement="The limit of gradient steps is the closed form",
    source="Theorem 4.2",
    measure="largest distance of a probability from the closed form",
    test=f"at most {LIMIT_TOLERANCE:g}",
    unit="probability",
    direction=-1,
    bound=LIMIT_TOLERANCE,
)


def _counted(key, statement, source, measure):
    return Claim(key, statement, source, measure, "all instances agree", "share", direction=1, bound=1.0)


NESTED = _counted(
    "1b",
    "Supports are nested: a larger V < V_mu drops arms and adds none",
    "Theorem 4.2",
    "instances in which no arm enters on a grid of 40 V",
)
SINGLE = _counted(
    "1c",
    "Above V_mu a single arm is left",
    "Theorem 4.2",
    "instances and V with one arm above a probability of 0.001",
)
PROMPT = _counted(
    "1d",
    "A cycle turns a prompt's pass rate p into min(1, p + g p (1 - p) / |delta_v|)",
    "Theorem 4.2, derived",
    "prompts with right and wrong answers, and delta_v < 0, whose limit policy agrees",
)
RISES = _counted(
    "2a",
    "The reward rises at every iteration for V < V_mu",
    "Theorem 4.3",
    "instances and V in which it does until the limit is reached",
)
UNDER = _counted("2b", "V < V_0: the limit is optimal", "Theorem 4.3", "instances and V that agree")
OVER = _counted("2c", "V > V_0: the limit is not optimal", "Theorem 4.3", "instances and V that agree")


ENTROPY = Claim(
    key="7a",
    statement="Entropy falls faster the larger V is",
    source="figure 7",
    measure="instances whose entropy after the steps falls with V (rank correlation below 0)",
    test="exact binomial against 1/2",
    unit="share",
    direction=1,
)


def bandit_rows(
    theorems: pd.DataFrame, threshold: pd.DataFrame, limit: pd.DataFrame
) -> tuple[list[Row], list[Row]]:
    """Return rows of claims 1 to 3, and of claim 7 on the bandit.

    theorems: from `theorem_checks.theorem_sweep`; threshold, limit: tables of figures 6 and 1
    (`asymre.bandit.experiments`).
    """
    first = [
        *_deviations(theorems),
        _agree(NESTED, _of(theorems, "nested"), lambda value: value == 0, by="instance"),
        _agree(SINGLE, _of(theorems, "single"), lambda value: value == 1),
        _agree(PROMPT, _of(theorems, "prompt"), lambda value: value < REWARD_TOLERANCE),
        _agree(RISES, _of(theorems, "rises").dropna(subset="value"), lambda value: value > 0),
        _agree(UNDER, _optimal(theorems, threshold, under=True), lambda value: value == 1),
        _agree(OVER, _optimal(theorems, threshold, under=False), lambda value: value == 0),
        _finite("3a", theorems, "finite_near"),
        _finite("3b", theorems, "finite_nearest"),
    ]
    return first, [_entropy(limit)]


def _of(theorems, check):
    return theorems[theorems["check"] == check]


def _row(claim, estimate, runs, detail=""):
    return Row(claim.key, claim, "bandit", estimate, runs, detail=detail)


def _deviations(theorems):
    rows = _of(theorems, "deviation")
    for regime, words in REGIMES.items():
        values = rows.loc[rows["regime"] == regime, "value"]
        estimate = Estimate(values.max() if len(values) else np.nan)
        yield _row(DEVIATION, estimate, f"{words}: {len(values)} instances and V, random pi_0")


def _agree(claim, rows, agrees, by=None):
    """Return a row on the share of rows (or, with `by`, of whole groups) that agree with the theorem."""
    arms = rows["arms"]
    holds = agrees(rows["value"])
    if by is not None:
        groups = holds.groupby([arms, rows[by]])
        holds, arms = groups.all(), groups.first().index.get_level_values("arms").to_series()
    runs = " and ".join(f"{n} with {kind} arms" for kind, n in arms.value_counts(sort=False).items())
    agreed = int(holds.sum())
    return _row(claim, share(agreed, len(holds), 0.5), runs, f"{agreed} of {len(holds)} agree")


def _optimal(theorems, threshold, under):
    """Return a row on iterated limits on one side of V_0: few arms by iteration, figure 6 in closed form."""
    ends = threshold[np.isinf(threshold["iteration"])]
    ends = ends[(ends["from_threshold"] < 0) == under]
    optimal = (ends["reward"] > ends["best_reward"] - REWARD_TOLERANCE).astype(float)
    ends = pd.DataFrame({"value": optimal, "arms": "figure 6's"})
    few = _of(theorems, "optimal_under" if under else "optimal_over")
    return pd.concat([few[["value", "arms"]].astype({"arms": str}), ends], ignore_index=True)


def _finite(key, theorems, check):
    near, lower = (_of(theorems, name).set_index("instance") for name in (check, "finite_lower"))
    claim = Claim(
        key=key,
        statement=f"V = V_mu - {-near['delta_v'].iloc[0]:g} ends worse than a lower V",
        source="figure 2",
        measure=f"instances in which it ends worse than V_mu - {-lower['delta_v'].iloc[0]:.2g}; equal ends "
        "left out",
        test="exact binomial against 1/2",
        unit="share",
        direction=1,
    )
    gap = near["value"] - lower["value"]
    decided = gap[gap.abs() > SAME_REWARD]
    worse, equal = int((decided < 0).sum()), len(gap) - len(decided)
    detail = f"{worse} of {len(decided)} worse, {equal} equal; mean difference {gap.mean():.3g}"
    return _row(claim, share(worse, len(decided), 0.5), f"{len(gap)} paired instances", detail)


def _entropy(limit):
    simulated = limit[limit["curve"] == "simulated"]
    falls = [
        rows[["baseline", "entropy"]].corr(method="spearman").iloc[0, 1] < 0
        for _, rows in simulated.groupby("instance")
    ]
    detail = f"{sum(falls)} of {len(falls)}"
    return _row(ENTROPY, share(sum(falls), len(falls), 0.5), f"{len(falls)} instances of figure 7", detail)
