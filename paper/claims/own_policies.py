"""The primary table: the statements of the abstract, and ours, each pair with a base policy of its own."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from asymre.metrics.curves import read_evaluation
from paper.claims import training
from paper.claims.runs import at, of
from paper.claims.training import CRITICAL, MARGIN, RECOMMENDED, SIGN_FLIP
from paper.claims.verdict import Claim, Row
from paper.specs import ClaimedRun, ClaimsSpec

FARTHEST = -0.5
ABOVE = 0.1
# A problem is rarely solved if the base policy solves it, but in a smaller share of the samples than this.
RARE = 0.25
RARE_MEASURE = (
    "pass rate after the first cycle, mean of the problems that the base policy solves in some of the "
    f"samples, but in less than {RARE:.0%}"
)
ON_POLICY = Claim(
    "A",
    "delta_v = 0 dips or collapses off-policy where it does neither on-policy (N = 1)",
    "section 4",
    "runs whose test accuracy dips or collapses, off-policy less on-policy",
    training.MCNEMAR,
    "share of runs",
    1,
)
RARE_PROBLEMS = Claim(
    "D",
    "Rarely solved problems gain more in the first cycle at -0.1 than at -0.5",
    "Theorem 4.2 for a prompt",
    f"{RARE_MEASURE}, -0.1 less -0.5",
    SIGN_FLIP,
    "pass rate",
    1,
    margin=MARGIN,
)


def _tapered(key, statement, measure, **other):
    fields = {"test": SIGN_FLIP, "unit": "accuracy", "direction": 1, "margin": MARGIN} | other
    return Claim(key, statement, "ours", measure, **fields)


TAPER_ENDS = _tapered(
    "T1",
    "At delta_v = {delta_v}, tapered AsymRE ends better than AsymRE",
    "test accuracy, tapered - AsymRE, mean of the last three evaluation points",
)
TAPER_PREVENTS = _tapered(
    "T2",
    "delta_v = 0 dips or collapses where tapered AsymRE at 0, at the same learning rate, does neither",
    "runs whose test accuracy dips or collapses, AsymRE less tapered",
    test=training.MCNEMAR,
    unit="share of runs",
    margin=None,
)
TAPER_GRPO = _tapered(
    "T3",
    "Tapered AsymRE at delta_v = -0.1 ends better than GRPO",
    "test accuracy, tapered - GRPO, mean of the last three evaluation points",
)
TAPER_RARE = _tapered(
    "T4",
    "Rarely solved problems gain less in the first cycle with tapered AsymRE than with AsymRE, at -0.1",
    f"{RARE_MEASURE}, tapered - AsymRE",
    unit="pass rate",
    direction=-1,
)


def own_policy_rows(runs: pd.DataFrame, cycles: pd.DataFrame, spec: ClaimsSpec) -> list[Row]:
    """Return the rows of the primary table; those without runs are left out.

    runs: from `runs.summaries`; cycles: from `cycle_summaries`. A block is a base policy.
    """
    subject = (True, max(runs["N"], default=0))
    off_policy = runs[runs["N"] > 1]
    swept, best = off_policy[off_policy["swept"]], off_policy[off_policy["best"]]
    asymre, taper = of(swept, "asymre"), of(off_policy, "asymre_tapered")
    rows = []
    for value in (FARTHEST, RECOMMENDED):
        own = at(asymre, value)
        rows.append(_share(training.NO_COLLAPSE, value, own, own["collapse"].notna(), subject, spec))
        rows.append(_share(training.SETTLED, value, own, own["lost"] <= MARGIN, subject, spec))
    for value, claim in ((CRITICAL, training.COLLAPSE_AT), (ABOVE, training.COLLAPSE_ABOVE)):
        own = at(asymre, value)
        rows.append(_share(claim, value, own, own["collapse"].notna(), subject, spec))
    rows += training.pairs_rows(asymre, subject, spec) + training.grpo_rows(best, subject, spec)
    on_policy = at(of(runs[(runs["N"] == 1) & runs["swept"]], "asymre"), CRITICAL)
    critical = at(asymre, CRITICAL)
    rows.append(training.risk_row(ON_POLICY, critical, on_policy, "fall", subject, spec))
    for value in (RECOMMENDED, CRITICAL):
        claim = replace(TAPER_ENDS, statement=TAPER_ENDS.statement.format(delta_v=f"{value:g}"))
        both = [at(of(best, objective), value) for objective in ("asymre_tapered", "asymre")]
        rows.append(training.difference_row(claim, *both, "final_test", subject, spec))
    same_rate = at(taper[taper["learning_rate"].isin(critical["learning_rate"])], CRITICAL)
    rows.append(training.risk_row(TAPER_PREVENTS, critical, same_rate, "fall", subject, spec))
    tapered = at(of(best, "asymre_tapered"), RECOMMENDED)
    rows.append(training.difference_row(TAPER_GRPO, tapered, of(best, "grpo"), "final_test", subject, spec))
    if len(cycles):
        near, far = (at(of(cycles[cycles["swept"]], "asymre"), v) for v in (RECOMMENDED, FARTHEST))
        rows.append(training.difference_row(RARE_PROBLEMS, near, far, "rare", subject, spec))
        both = [
            at(of(cycles[cycles["best"]], objective), RECOMMENDED)
            for objective in ("asymre_tapered", "asymre")
        ]
        rows.append(training.difference_row(TAPER_RARE, *both, "rare", subject, spec))
    return sorted((row for row in rows if row.runs != training.NO_RUNS), key=lambda row: row.number)


def _share(claim, delta_v, runs, hit, subject, spec):
    statement = f"delta_v = {delta_v:g}:{claim.statement.partition(':')[2]}"
    return training.share_row(replace(claim, statement=statement), runs, hit, subject, spec)


def read_pass_rates(path: Path) -> pd.DataFrame:
    """Return an evaluation. ValueError if it has no pass rates of single problems."""
    table = read_evaluation(path)
    if "pass_rates" not in table.columns:
        raise ValueError("has no column pass_rates")
    return table


def cycle_summaries(runs: Sequence[ClaimedRun], evaluations: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return a row per run: its keys and `rare`, the rarely solved problems' pass rate after the first cycle.

    NaN if the base policy solves no problem rarely; 0 if the run diverged.
    """
    rows = []
    for run in runs:
        rates = evaluations[run.input].set_index("step")["pass_rates"]
        before, after = np.asarray(rates[0]), rates[run.N]
        rare = (before > 0) & (before < RARE)
        after = np.zeros(len(before)) if after is None else np.asarray(after)
        rows.append(asdict(run) | {"rare": after[rare].mean() if rare.any() else np.nan})
    return pd.DataFrame(rows)
