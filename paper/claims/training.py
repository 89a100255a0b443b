"""Claims 4 to 7 about training, and claim 8: the same for other models and data sets."""

from dataclasses import replace

import numpy as np
import pandas as pd

from asymre.metrics.statistics import Estimate, order, paired_difference, risk_difference, share
from paper.claims.runs import BLOCK, at, by_block, by_part, numbers, of, paired, seeds_text
from paper.claims.verdict import Claim, Row
from paper.specs import ClaimsSpec

# More than half of the runs do it, or fewer.
HALF = 0.5
# Accuracies nearer to each other than this differ by nothing that matters.
MARGIN = 0.03
RECOMMENDED = -0.1
CRITICAL = 0.0
OTHERS = "appendix C"
OTHER_SUBJECTS = "other models and data sets"

BINOMIAL = f"exact binomial against {HALF:g}"
ORDER = "order permuted within blocks"
SIGN_FLIP = "exact sign flips of pairs"
MCNEMAR = "exact McNemar"
NO_RUNS = "no such runs"


def _shares(key, statement, source, measure, direction):
    return Claim(key, statement, source, measure, BINOMIAL, "share of runs", direction)


def _ordered(key, statement, source, measure, unit, direction):
    return Claim(key, statement, source, measure, ORDER, f"{unit} per next larger delta_v", direction)


NO_COLLAPSE = _shares(
    "4a", "delta_v < 0: test accuracy does not collapse", "section 5.2", "runs that collapse", -1
)
SETTLED = _shares(
    "4b",
    f"delta_v < 0: a run ends within {MARGIN:g} of its best test accuracy",
    "section 5.2",
    f"runs whose highest test accuracy is at most {MARGIN:g} above the mean of the last three evaluation "
    f"points",
    1,
)
FASTER_TRAIN = _ordered(
    "4c",
    "delta_v < 0: nearer to 0 learns faster at first (training accuracy)",
    "figures 3, 4",
    "mean training accuracy over the first cycle",
    "accuracy",
    1,
)
FASTER_TEST = _ordered(
    "4d",
    "delta_v < 0: nearer to 0 learns faster at first (test accuracy)",
    "figures 3, 4",
    "mean test accuracy over the first cycle",
    "accuracy",
    1,
)
COLLAPSE_ABOVE = _shares(
    "4e", "delta_v > 0: test accuracy collapses", "figures 3, 4", "runs that collapse in test accuracy", 1
)
COLLAPSE_AT = _shares(
    "4f", "delta_v = 0: test accuracy collapses", "figures 3, 4", "runs that collapse in test accuracy", 1
)
TRAIN_ABOVE = _shares(
    "4g",
    "delta_v > 0: training accuracy collapses",
    "figures 3, 4",
    "runs that collapse in training accuracy",
    1,
)
TRAIN_AT = _shares(
    "4h",
    "delta_v = 0: training accuracy collapses",
    "figures 3, 4",
    "runs that collapse in training accuracy",
    1,
)
EARLIER = _ordered(
    "4i",
    "delta_v >= 0: test accuracy falls earlier for larger delta_v",
    "figures 3, 4",
    "step of the first fall; none: the last step",
    "steps",
    -1,
)
PAIRED_COLLAPSE = Claim(
    "5a",
    "delta_v = 0 collapses where -0.1 does not",
    "figure 5, left",
    "runs that collapse in test accuracy, 0 less -0.1",
    MCNEMAR,
    "share of runs",
    1,
)
PAIRED_FALL = replace(
    PAIRED_COLLAPSE,
    key="5b",
    statement="delta_v = 0 dips or collapses where -0.1 does neither",
    measure="runs whose test accuracy dips or collapses, 0 less -0.1",
)
LOST = Claim(
    "5c",
    "At delta_v = 0 accuracy ends farther below its best than at -0.1",
    "figure 5, left",
    "highest test accuracy of a run less the mean of its last three evaluation points, 0 less -0.1",
    SIGN_FLIP,
    "accuracy",
    1,
    margin=MARGIN,
)
FINAL = Claim(
    "6a",
    "AsymRE at delta_v = -0.1 ends better than GRPO",
    "figure 5, right",
    "test accuracy, AsymRE - GRPO, mean of the last three evaluation points",
    SIGN_FLIP,
    "accuracy",
    1,
    margin=MARGIN,
)
AREA = replace(
    FINAL,
    key="6b",
    statement="AsymRE at delta_v = -0.1 is better than GRPO over the whole run",
    measure="test accuracy, AsymRE - GRPO, mean over all steps",
)
ENTROPY = _ordered(
    "7b",
    "Entropy falls faster the larger delta_v is",
    "figure 8",
    "entropy of the base policy less its mean over the first cycle",
    "nats a token",
    1,
)
END_ENTROPY = _ordered(
    "7c",
    "Entropy ends lower the larger delta_v is",
    "figure 8",
    "entropy, mean of the last three evaluation points",
    "nats a token",
    -1,
)


def training_rows(runs: pd.DataFrame, spec: ClaimsSpec) -> list[Row]:
    """Return rows of claims 4 to 8: the models and data set of the paper's main figures, and all others.

    runs: from `runs.summaries`. Only off-policy runs count (N > 1, refreshed), for each N of the runs. A row
    pools models and data sets, each with its own blocks: three seeds of one decide little by themselves.
    Claims 4, 5 and 7 read AsymRE at the learning rate of the sweeps, claim 6 at the best of its own.
    """
    rows = []
    for main, N, own in _subjects(runs, spec):
        subject = (main, N)
        swept = of(own[own["swept"]], "asymre")
        rows += _learning(swept, subject, spec) + pairs_rows(swept, subject, spec)
        rows += grpo_rows(own[own["best"]], subject, spec) + _entropies(swept, subject, spec)
    # The paper's order: by claim, and the other models and data sets last.
    return sorted(rows, key=lambda row: row.number)


def _subjects(runs, spec):
    """Return (main, N, off-policy runs) for the main models and data set, and for others if any is shown.

    N is 0 if the main ones have no such runs.
    """
    off_policy = runs[(runs["N"] > 1) & runs["refreshed"]]
    is_main = off_policy["model"].isin(spec.main_models)
    is_main &= off_policy["dataset"] == spec.main_dataset
    for main in (True, False):
        own = off_policy[is_main == main]
        for N in sorted(own["N"].unique()) or [0] * main:
            yield main, N, own[own["N"] == N]


def _named(runs, spec):
    """Return `Llama 8B and Qwen 3B on MATH; ...`."""
    names = []
    for dataset, label in spec.datasets.items():
        of_it = set(runs.loc[runs["dataset"] == dataset, "model"])
        models = [name for model, name in spec.models.items() if model in of_it]
        names += [f"{', '.join(models)} on {label}"] * bool(models)
    return "; ".join(names)


def row(claim, estimate, runs, used, subject, spec, *, detail="", parts=""):
    """Return a row on the runs `used`. subject: (main, N)."""
    main, N = subject
    number = claim.key if main else f"8.{claim.key}"
    claim = claim if main else replace(claim, source=OTHERS)
    if not len(used):
        own = [(m, spec.main_dataset) for m in spec.main_models]
        name = _named(pd.DataFrame(own, columns=["model", "dataset"]), spec) if main else OTHER_SUBJECTS
        return Row(number, claim, name, Estimate(null=estimate.null), NO_RUNS)
    return Row(
        number, claim, _named(used, spec), estimate, f"{runs}, N = {N}", seeds_text(used), detail, parts
    )


def share_row(claim, runs, hit, subject, spec):
    """Return a row on the share of runs with an event, and the counts behind it by delta_v and by part.

    hit: booleans, one a run.
    """
    hit = np.asarray(hit, dtype=bool)
    by_value = runs.reset_index(drop=True).groupby("delta_v").indices
    counts = [f"{value:.12g}: {hit[index].sum()} of {len(index)}" for value, index in by_value.items()]
    parts = by_part(runs, lambda index: hit[index].mean())
    estimate = share(int(hit.sum()), len(runs), HALF)
    detail = "by delta_v: " + ", ".join(counts)
    return row(claim, estimate, delta_v_text(runs), runs, subject, spec, detail=detail, parts=parts)


def delta_v_text(runs):
    values = sorted(set(runs["delta_v"]))
    span = f"{len(values)} delta_v from {values[0]:.12g} to {values[-1]:.12g}" if len(values) > 2 else ""
    return f"{len(runs)} runs, {span or 'delta_v ' + numbers(values)}"


def order_row(claim, runs, measure, subject, spec, censored=None):
    """Return a row on the order of `measure` over delta_v, from blocks with every value of it.

    censored: a value of the measure from which on it is only known to be at least this.
    """
    table = by_block(runs, "delta_v", measure)
    at_least = (table >= censored).any() if censored is not None else pd.Series(False, index=table.columns)
    values = [
        f"{value:.12g}: {'>= ' * bool(at_least[value])}{mean:.4g}" for value, mean in table.mean().items()
    ]
    used = runs[pd.MultiIndex.from_frame(runs[BLOCK]).isin(table.index)]
    detail = f"mean by delta_v: {', '.join(values)}"
    if not len(used) and len(runs):
        used, detail = runs, "no block has every delta_v"
    values_BK = table.to_numpy()
    parts = by_part(table.reset_index(), lambda index: order(values_BK[index], claim.direction).effect)
    estimate = order(values_BK, claim.direction)
    return row(claim, estimate, delta_v_text(used), used, subject, spec, detail=detail, parts=parts)


def _learning(asymre, subject, spec):
    negative, above = asymre[asymre["delta_v"] < 0], asymre[asymre["delta_v"] > 0]
    critical, other = at(asymre, CRITICAL), asymre[asymre["delta_v"] >= 0]
    last = other["last_step"].max()
    return [
        share_row(NO_COLLAPSE, negative, negative["collapse"].notna(), subject, spec),
        share_row(SETTLED, negative, negative["lost"] <= MARGIN, subject, spec),
        order_row(FASTER_TRAIN, negative, "early_train", subject, spec),
        order_row(FASTER_TEST, negative, "early_test", subject, spec),
        share_row(COLLAPSE_ABOVE, above, above["collapse"].notna(), subject, spec),
        share_row(COLLAPSE_AT, critical, critical["collapse"].notna(), subject, spec),
        share_row(TRAIN_ABOVE, above, above["collapse_train"].notna(), subject, spec),
        share_row(TRAIN_AT, critical, critical["collapse_train"].notna(), subject, spec),
        order_row(EARLIER, other.assign(step=other["fall"].fillna(last)), "step", subject, spec, last),
    ]


def pairs_rows(asymre, subject, spec):
    """Return the rows of claim 5: delta_v = 0 against -0.1."""
    critical, recommended = at(asymre, CRITICAL), at(asymre, RECOMMENDED)
    return [
        risk_row(PAIRED_COLLAPSE, critical, recommended, "collapse", subject, spec),
        risk_row(PAIRED_FALL, critical, recommended, "fall", subject, spec),
        difference_row(LOST, critical, recommended, "lost", subject, spec),
    ]


def grpo_rows(runs, subject, spec):
    """Return the rows of claim 6: AsymRE at -0.1 against GRPO, each at the best of its own learning rates."""
    first, second = at(of(runs, "asymre"), RECOMMENDED), of(runs, "grpo")
    return [
        difference_row(FINAL, first, second, "final_test", subject, spec),
        difference_row(AREA, first, second, "mean_test", subject, spec),
    ]


def difference_row(claim, first, second, measure, subject, spec):
    """Return a row on the measure of `first` less that of `second`, paired over blocks."""
    one, two = paired(first, second)
    gain = one[measure].to_numpy() - two[measure].to_numpy()
    behind = {
        "detail": f"means {one[measure].mean():.4g} and {two[measure].mean():.4g}" if len(one) else "",
        "parts": by_part(one, lambda index: gain[index].mean()),
    }
    return row(claim, paired_difference(gain), f"{len(one)} pairs", one, subject, spec, **behind)


def risk_row(claim, first, second, event, subject, spec):
    """Return a row on the share of blocks in which `first` has an event, less that in which `second` has.

    event: a column with the step of the event, NaN if there is none.
    """
    one, two = paired(first, second)
    hits = [runs[event].notna().to_numpy() for runs in (one, two)]
    counts = " against ".join(f"{hit.sum()} of {len(hit)}" for hit in hits)
    parts = by_part(one, lambda index: risk_difference(*(hit[index] for hit in hits)).effect)
    pairs = f"{len(one)} pairs, {counts}"
    return row(claim, risk_difference(*hits), pairs, one, subject, spec, detail=counts, parts=parts)


def _entropies(asymre, subject, spec):
    rows = []
    for claim, measure in ((ENTROPY, "entropy_drop"), (END_ENTROPY, "end_entropy")):
        # Entropy is undefined after a run diverged: drop the delta_v at which one did from all blocks.
        diverged = asymre.loc[asymre[measure].isna(), "delta_v"].unique()
        left = asymre[~asymre["delta_v"].isin(diverged)]
        entropy = order_row(claim, left, measure, subject, spec)
        if len(diverged):
            entropy = replace(entropy, detail=f"left out, diverged: {numbers(diverged)}; {entropy.detail}")
        rows.append(entropy)
    return rows
