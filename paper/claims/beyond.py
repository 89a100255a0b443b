"""Claims about what the paper does not show.

N (A), other objectives off-policy (B), diversity (C), rarely solved problems (D), learning rates (E).
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from asymre.metrics.curves import read_evaluation
from asymre.metrics.statistics import paired_difference
from paper.claims import training
from paper.claims.runs import at, numbers, of, paired
from paper.claims.verdict import Claim, Row
from paper.specs import ClaimedRun, ClaimsSpec

NEVER = np.inf
# Columns of an evaluation besides pass@k.
ALWAYS = ["distinct_correct", "entropy"]
LATE_K = 8
# A problem is rarely solved if the base policy solves it, but in a smaller share of the samples than this.
RARE = 0.25
FARTHEST = -0.5

ON_POLICY = Claim(
    "A1",
    "On-policy (N = 1), delta_v >= 0 does not collapse",
    "section 4; figure A",
    "runs that collapse in test accuracy",
    training.BINOMIAL,
    "share of runs",
    -1,
)
MORE_COLLAPSES = Claim(
    "A2",
    "delta_v >= 0: collapses become more frequent as N grows",
    "section 4; figure A",
    "share of a seed's runs that collapse",
    training.ORDER,
    "share of runs per next larger N",
    1,
)
FALLS_WITH_N = Claim(
    "A3",
    "delta_v < 0: final test accuracy falls as N grows",
    "ours; figure A",
    "mean of the last three evaluation points, mean over a seed's delta_v",
    training.ORDER,
    "accuracy per next larger N",
    -1,
)
NEVER_WORSE = Claim(
    "A4",
    "delta_v = -0.1: never refreshed ends worse than refreshed",
    "a third party's offline study; figure A",
    "final test accuracy, never refreshed - largest N that is",
    training.SIGN_FLIP,
    "accuracy",
    -1,
)
BETTER = Claim(
    "B1",
    "AsymRE ends better than {name} at delta_v = {delta_v}",
    "ours; figure B",
    "test accuracy, AsymRE - other, mean of the last three evaluation points",
    training.SIGN_FLIP,
    "accuracy",
    1,
)
PREVENTS = Claim(
    "B2",
    "{name} prevents the collapse at delta_v = 0",
    "future work of the paper; figure B",
    "of the seeds in which one of the two collapses, those in which AsymRE does",
    "exact McNemar",
    "share of unequal pairs",
    1,
)


def _diversity(key, statement, source, measure, unit):
    return Claim(key, statement, source, measure, training.ORDER, f"{unit} per next larger delta_v", -1)


LATE_PASS = _diversity(
    "C1",
    "Late pass@{k} falls as delta_v grows towards 0",
    "a third party's offline study; figure C",
    "pass@{k} on test problems at temperature 1",
    "share of problems",
)
SPREAD = _diversity(
    "C2",
    "Late pass@{k} - pass@1 shrinks as delta_v grows towards 0",
    "ours; figure C",
    "pass@{k} - pass@1 on test problems at temperature 1",
    "share of problems",
)
DISTINCT = _diversity(
    "C3",
    "Late distinct right completions become fewer as delta_v grows towards 0",
    "ours; figure C",
    "different right completions a test problem at temperature 1",
    "completions",
)
END_ENTROPY = _diversity(
    "C4",
    "Late entropy falls as delta_v grows towards 0",
    "ours; figure C",
    "entropy on test problems at temperature 1",
    "nats a token",
)


RARE_PROBLEMS = Claim(
    "D1",
    "Rarely solved problems gain more in the first cycle the nearer delta_v is to 0",
    "Theorem 4.2 for a prompt; figure G",
    "pass rate after the first cycle, mean of the problems that the base policy solves in some of the "
    f"samples, but in less than {RARE:.0%}",
    training.ORDER,
    "pass rate per next larger delta_v",
    1,
)


def _by_rate(key, statement, measure, unit, direction):
    return Claim(
        key, statement, "ours; figure E", measure, training.ORDER, f"{unit} per next larger rate", direction
    )


SPREAD_GAINS = Claim(
    "E1",
    "Nearer to 0 gains more on {first} than on {second}",
    "Theorem 4.2 for a prompt; figure E",
    "mean test accuracy over the first cycle, -0.1 less -0.5, on the one less on the other",
    training.SIGN_FLIP,
    "accuracy",
    1,
)
NEARER_BY_RATE = _by_rate(
    "E2",
    "Nearer to 0 gains less in the first cycle the larger the learning rate is",
    "mean test accuracy over the first cycle, -0.1 less -0.5",
    "accuracy",
    -1,
)
GRPO_BY_RATE = _by_rate(
    "E3",
    "AsymRE at -0.1 leads GRPO by less in the first cycle the larger the learning rate is",
    "mean test accuracy over the first cycle, AsymRE - GRPO",
    "accuracy",
    -1,
)
COLLAPSE_BY_RATE = _by_rate(
    "E4",
    "delta_v = 0: collapses become more frequent as the learning rate grows",
    "runs that collapse in test accuracy",
    "share of runs",
    1,
)


def beyond_rows(
    runs: pd.DataFrame, diversity: pd.DataFrame, cycles: pd.DataFrame, rates: pd.DataFrame, spec: ClaimsSpec
) -> list[Row]:
    """Return rows of A to C for every model and data set of their runs, of D, and of E.

    runs, rates: from `runs.summaries`; diversity: from `diversity_summaries`; cycles: from `cycle_summaries`;
    spec: `objectives` gives label and takes_delta_v of each. A and B read the same runs: A those of AsymRE
    with several N, B those of all objectives at the N that the other objectives have.
    """
    rows = _rare_problems(cycles, spec) + _rates(rates, spec)
    for own in _subjects(runs):
        rows += _phases(own, spec) + _objectives(own, spec)
    for own in _subjects(diversity):
        rows += _diversities(own, spec)
    return sorted(rows, key=lambda row: row.number)


def _subjects(runs):
    return [own for _, own in runs.groupby(["model", "dataset"], sort=False)]


def _phases(runs, spec):
    asymre = of(runs, "asymre")
    asymre = asymre.assign(
        order=asymre["N"].where(asymre["refreshed"].astype(bool), NEVER).astype(float),
        collapsed=asymre["collapse"].notna().astype(float),
    )
    other, negative = asymre[asymre["delta_v"] >= 0], asymre[asymre["delta_v"] < 0]
    on_policy = other[other["order"] == 1]
    estimate, behind = training.collapsed_share(on_policy)
    first = training.row(
        ON_POLICY,
        estimate,
        training.delta_v_text(on_policy),
        on_policy,
        (True, 1),
        spec,
        **behind,
    )
    rows = [first]
    for claim, used, measure in (
        (MORE_COLLAPSES, other, "collapsed"),
        (FALLS_WITH_N, negative, "final_test"),
    ):
        subject = (True, numbers(used["order"]).replace("inf", "never refreshed"))
        rows.append(training.trend_row(claim, used, measure, subject, spec, setting="order"))
    recommended = at(asymre, training.RECOMMENDED)
    refreshed = recommended.loc[recommended["order"] < NEVER, "order"]
    largest = recommended[recommended["order"] == refreshed.max()]
    never = recommended[recommended["order"] == NEVER]
    subject = (True, f"never refreshed against {refreshed.max():.12g}")
    return [*rows, training.difference_row(NEVER_WORSE, never, largest, "final_test", subject, spec)]


def _objectives(runs, spec):
    refreshed = runs["refreshed"].astype(bool)
    others = runs[(runs["objective"] != "asymre") & refreshed]
    rows = []
    for N, own in others.groupby("N"):
        subject = (True, N)
        asymre = of(runs[(runs["N"] == N) & refreshed], "asymre")
        for objective in sorted(own["objective"].unique()):
            other, described = of(own, objective), spec.objectives[objective]
            name = described.label
            for delta_v in sorted(other["delta_v"].dropna().unique()) or [training.RECOMMENDED]:
                compared = at(other, delta_v) if other["delta_v"].notna().any() else other
                claim = _filled(BETTER, name=name, delta_v=f"{delta_v:.12g}")
                first = at(asymre, delta_v)
                rows.append(training.difference_row(claim, first, compared, "final_test", subject, spec))
            # Only an objective with a delta_v can prevent the collapse at 0.
            if described.takes_delta_v:
                claim = _filled(PREVENTS, name=name)
                critical = (at(asymre, training.CRITICAL), at(other, training.CRITICAL))
                rows.append(training.collapse_pairs(claim, *critical, subject, spec))
    return rows


def _filled(claim, **words):
    statement, measure = (text.format(**words) for text in (claim.statement, claim.measure))
    return replace(claim, statement=statement[0].upper() + statement[1:], measure=measure)


def read_pass_rates(path: Path) -> pd.DataFrame:
    """Return an evaluation. ValueError if it has no pass rates of single problems."""
    table = read_evaluation(path)
    if "pass_rates" not in table.columns:
        raise ValueError("has no column pass_rates")
    return table


def read_diversity(path: Path) -> pd.DataFrame:
    """Return an evaluation. ValueError if it lacks a column or has no test samples at temperature 1."""
    table = read_evaluation(path)
    missing = {"step", "split", "temperature", "pass_at_1", *ALWAYS} - set(table.columns)
    if missing or not ((table["split"] == "test") & (table["temperature"] == 1.0)).any():
        raise ValueError(f"holds no {', '.join(sorted(missing)) or 'test samples at temperature 1'}")
    return table


def diversity_summaries(runs: Sequence[ClaimedRun], evaluations: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return a row per run: its keys and each measure at the last evaluation point.

    Test problems at temperature 1. Columns pass_at_k for the k of the evaluation, distinct_correct, entropy.
    """
    rows = []
    for run in runs:
        table = evaluations[run.input]
        table = table[(table["split"] == "test") & (table["temperature"] == 1.0)].sort_values("step")
        last = table[table["step"] == table["step"].max()]
        names = [n for n in table.columns if n.startswith("pass_at_") and last[n].notna().all()]
        rows.append(asdict(run) | last[[*names, *ALWAYS]].mean(skipna=False).to_dict())
    table = pd.DataFrame(rows, columns=None if rows else ["model", "dataset"])
    return table.assign(delta_v=table["delta_v"].astype(float)) if rows else table


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


def _rare_problems(cycles, spec):
    if not len(cycles):
        return []
    negative = cycles[cycles["delta_v"] < 0].dropna(subset="rare")
    subject = (True, numbers(negative["N"]))
    return [training.trend_row(RARE_PROBLEMS, negative, "rare", subject, spec)]


def _rates(runs, spec):
    """Yield the rows of E. runs: of several learning rates, for the main data set and perhaps another."""
    if not len(runs):
        return []
    subject = (True, numbers(runs["N"]))
    asymre, grpo = of(runs, "asymre"), of(runs, "grpo")
    recommended, critical = (at(asymre, value) for value in (training.RECOMMENDED, training.CRITICAL))
    nearer = _gains(recommended, at(asymre, FARTHEST))
    rows = [
        training.trend_row(claim, used, measure, subject, spec, "learning_rate", counted)
        for claim, used, measure, counted in (
            (NEARER_BY_RATE, nearer, "gain", "pairs"),
            (GRPO_BY_RATE, _gains(recommended, grpo), "gain", "pairs"),
            (COLLAPSE_BY_RATE, critical.assign(hit=critical["collapse"].notna() * 1.0), "hit", "runs"),
        )
    ]
    main = spec.main_dataset
    for other in sorted(set(nearer["dataset"]) - {main}):
        pairs = ["learning_rate", "seed", "base_seed"]
        on = [nearer[nearer["dataset"] == name].set_index(pairs) for name in (main, other)]
        both = on[0].index.intersection(on[1].index).sort_values()
        used = nearer[nearer["dataset"].isin([main, other])]
        claim = _filled(SPREAD_GAINS, first=spec.datasets[main], second=spec.datasets[other])
        estimate = paired_difference(on[0].loc[both, "gain"].to_numpy() - on[1].loc[both, "gain"].to_numpy())
        rows.append(
            training.row(
                claim, estimate, f"{len(both)} pairs, by learning rate and seed", used, subject, spec
            )
        )
    return rows


def _gains(first, second):
    """Return the gains of runs `first` on `second`, by block and learning rate, over the first cycle."""
    gains = []
    for rate in sorted(set(first["learning_rate"]) & set(second["learning_rate"])):
        one, two = paired(*(runs[runs["learning_rate"] == rate] for runs in (first, second)))
        gains.append(one.assign(gain=one["early_test"] - two["early_test"]).reset_index(drop=True))
    return pd.concat(gains) if gains else first.assign(gain=np.nan)[:0]


def _diversities(runs, spec):
    towards = runs[(runs["objective"] == "asymre") & (runs["delta_v"] <= 0)]
    ks = sorted(int(name.removeprefix("pass_at_")) for name in runs if name.startswith("pass_at_"))
    late, widest = max(k for k in ks if k <= LATE_K), ks[-1]
    towards = towards.assign(
        late=towards[f"pass_at_{late}"], spread=towards[f"pass_at_{widest}"] - towards["pass_at_1"]
    )
    subject = (True, numbers(towards["N"]))
    return [
        training.trend_row(claim, towards.dropna(subset=measure), measure, subject, spec)
        for claim, measure in (
            (_filled(LATE_PASS, k=late), "late"),
            (_filled(SPREAD, k=widest), "spread"),
            (DISTINCT, "distinct_correct"),
            (END_ENTROPY, "entropy"),
        )
    ]
