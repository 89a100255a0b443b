"""Claims 4 to 7 about training, and claim 8: the same for other models and data sets."""

from dataclasses import replace

import numpy as np
import pandas as pd

from asymre.metrics.statistics import Estimate, discordant, paired_difference, share, trend
from paper.claims.runs import BLOCK, at, by_block, by_part, numbers, of, paired, seeds_text
from paper.claims.verdict import Claim, Row
from paper.specs import ClaimsSpec

# Stable: fewer than half of the runs collapse; collapsing: more than half.
MARGIN = 0.5
RECOMMENDED = -0.1
CRITICAL = 0.0
OTHERS = "appendix C"
OTHER_SUBJECTS = "other models and data sets"

BINOMIAL = f"exact binomial against {MARGIN:g}"
ORDER = "order permuted within blocks"
SIGN_FLIP = "exact sign flips of pairs"
NO_RUNS = "no such runs"

STABLE = Claim(
    "4a",
    "delta_v < 0: training is stable",
    "section 5.2",
    "runs that collapse in test accuracy",
    BINOMIAL,
    "share of runs",
    -1,
)


def _faster(key, statement, source, measure):
    return Claim(key, statement, source, measure, ORDER, "accuracy per next larger delta_v", 1)


FASTER_TRAIN = _faster(
    "4b",
    "delta_v < 0: nearer to 0 learns faster at first (training accuracy)",
    "figures 3, 4",
    "mean training accuracy over the first cycle",
)
FASTER_TEST = _faster(
    "4c",
    "delta_v < 0: nearer to 0 learns faster at first (test accuracy)",
    "figures 3, 4",
    "mean test accuracy over the first cycle",
)
COLLAPSE_TEST = Claim(
    "4d",
    "delta_v >= 0: test accuracy collapses",
    "figures 3, 4",
    "runs that collapse in test accuracy",
    BINOMIAL,
    "share of runs",
    1,
)
COLLAPSE_TRAIN = Claim(
    "4e",
    "delta_v >= 0: training accuracy collapses",
    "figures 3, 4",
    "runs that collapse in training accuracy",
    BINOMIAL,
    "share of runs",
    1,
)
EARLIER = Claim(
    "4f",
    "delta_v >= 0: the collapse is earlier for larger delta_v",
    "figures 3, 4",
    "step of collapse in test accuracy; no collapse: the last step",
    ORDER,
    "steps per next larger delta_v",
    -1,
)
PAIRED_COLLAPSE = Claim(
    "5",
    "delta_v = 0 collapses where -0.1 does not",
    "figure 5, left",
    "of the pairs in which one of the two collapses, those in which 0 does",
    "exact McNemar",
    "share of unequal pairs",
    1,
)
FALL = Claim(
    "5b",
    "At delta_v = 0 accuracy ends farther below its best than at -0.1",
    "figure 5, left",
    "highest test accuracy of a run less the mean of its last three evaluation points, 0 less -0.1",
    SIGN_FLIP,
    "accuracy",
    1,
)
FINAL = Claim(
    "6a",
    "AsymRE ends better than GRPO",
    "figure 5, right",
    "test accuracy, AsymRE - GRPO, mean of the last three evaluation points",
    SIGN_FLIP,
    "accuracy",
    1,
)
AREA = Claim(
    "6b",
    "AsymRE is better than GRPO over the whole run",
    "figure 5, right",
    "test accuracy, AsymRE - GRPO, mean over all steps",
    SIGN_FLIP,
    "accuracy",
    1,
)
ENTROPY = Claim(
    "7b",
    "Entropy falls faster the larger delta_v is",
    "figure 8",
    "entropy of the base policy less its mean over the first cycle",
    ORDER,
    "nats a token per next larger delta_v",
    1,
)


def training_rows(runs: pd.DataFrame, spec: ClaimsSpec) -> list[Row]:
    """Return rows of claims 4 to 8: the models and data set of the paper's main figures, and all others.

    runs: from `runs.summaries`. Only off-policy runs count (N > 1, refreshed), for each N of the runs. A row
    pools models and data sets, each with its own blocks: three seeds of one decide little by themselves.
    """
    rows = []
    for main, N, own in _subjects(runs, spec):
        rows += _learning(main, N, own, spec)
        rows += _comparisons(main, N, own, spec, [(RECOMMENDED, False)])
        rows += _entropies(main, N, own, spec)
    # The paper's order: by claim, and the other models and data sets last.
    return sorted(rows, key=lambda row: row.number)


def seed_rows(runs: pd.DataFrame, spec: ClaimsSpec) -> list[Row]:
    """Return rows of claims 5 and 6 with a base policy per seed, and at the calibration's delta_v too."""
    values = [(RECOMMENDED, False)]
    if spec.delta_v is not None and not np.isclose(spec.delta_v, RECOMMENDED):
        values.append((spec.delta_v, True))
    rows = [row for subject in _subjects(runs, spec) for row in _comparisons(*subject, spec, values)]
    return sorted((row for row in rows if row.runs != NO_RUNS), key=lambda row: row.number)


def _subjects(runs, spec):
    """Return (main, N, off-policy runs) for the main models and data set, and the others; N is 0 if none."""
    off_policy = runs[(runs["N"] > 1) & runs["refreshed"].astype(bool)]
    is_main = off_policy["model"].isin(spec.main_models)
    is_main &= off_policy["dataset"] == spec.main_dataset
    for main in (True, False):
        own = off_policy[is_main == main]
        for N in sorted(own["N"].unique()) or [0]:
            yield main, N, own[own["N"] == N]


def _named(runs, spec):
    """Return `Llama 8B and Qwen 3B on MATH; ...`."""
    names = []
    for dataset, label in spec.datasets.items():
        of_it = set(runs.loc[runs["dataset"] == dataset, "model"])
        models = [name for model, name in spec.models.items() if model in of_it]
        names += [f"{', '.join(models)} on {label}"] * bool(models)
    return "; ".join(names)


def row(claim, estimate, runs, used, subject, spec, *, detail="", parts="", chosen=False):
    """Return a row on the runs `used`; the scale and `chosen` (whether delta_v was) tell what was calibrated.

    subject: (main, N).
    """
    main, N = subject
    number = claim.key if main else f"8.{claim.key}"
    claim = claim if main else replace(claim, source=OTHERS)
    if not len(used):
        own = [(m, spec.main_dataset) for m in spec.main_models]
        name = _named(pd.DataFrame(own, columns=["model", "dataset"]), spec) if main else OTHER_SUBJECTS
        return Row(number, claim, name, Estimate(null=estimate.null), NO_RUNS)
    calibrated = ["learning rates"] if spec.stand_ins else []
    calibrated += ["delta_v"] if chosen else []
    return Row(
        number,
        claim,
        _named(used, spec),
        estimate,
        f"{runs}, N = {N}",
        seeds_text(used),
        detail,
        parts,
        ", ".join(calibrated),
    )


def collapsed_share(runs, column="collapse"):
    """Return the share of runs that collapse, and the counts behind it by delta_v and by part, for `row`."""
    hit = runs[column].notna()
    counts = [f"{v:.12g}: {int(hit[g.index].sum())} of {len(g)}" for v, g in runs.groupby("delta_v")]
    behind = {
        "detail": "collapses by delta_v: " + ", ".join(counts),
        "parts": by_part(runs, lambda at: hit.to_numpy()[at].mean()),
    }
    return share(int(hit.sum()), len(runs), MARGIN), behind


def delta_v_text(runs, counted="runs"):
    values = sorted(set(runs["delta_v"]))
    span = f"{len(values)} delta_v from {values[0]:.12g} to {values[-1]:.12g}" if len(values) > 2 else ""
    return f"{len(runs)} {counted}, {span or 'delta_v ' + numbers(values)}"


def trend_row(claim, runs, measure, subject, spec, setting="delta_v", counted="runs"):
    """Return a row on the order of `measure` over a setting, from blocks with every value of the setting."""
    table = by_block(runs, setting, measure)
    values = ", ".join(f"{value:.12g}: {mean:.4g}" for value, mean in table.mean().items())
    used = runs[pd.MultiIndex.from_frame(runs[BLOCK]).isin(table.index)]
    detail = f"mean by {setting}: {values}"
    if not len(used) and len(runs):
        used, detail = runs, f"no block has every {setting}"
    values_BK = table.to_numpy()
    parts = by_part(table.reset_index(), lambda at: trend(values_BK[at]).effect)
    estimate, text = trend(values_BK), delta_v_text(used, counted)
    return row(claim, estimate, text, used, subject, spec, detail=detail, parts=parts)


def _learning(main, N, runs, spec):
    subject = (main, N)
    asymre = of(runs, "asymre")
    negative, other = asymre[asymre["delta_v"] < 0], asymre[asymre["delta_v"] >= 0]
    other = other.assign(censored=other["collapse"].fillna(other["last_step"]))
    rows = []
    for claim, used, column in (
        (STABLE, negative, "collapse"),
        (COLLAPSE_TEST, other, "collapse"),
        (COLLAPSE_TRAIN, other, "collapse_train"),
    ):
        estimate, behind = collapsed_share(used, column)
        rows.append(row(claim, estimate, delta_v_text(used), used, subject, spec, **behind))
    return [
        *rows,
        trend_row(FASTER_TRAIN, negative, "early_train", subject, spec),
        trend_row(FASTER_TEST, negative, "early_test", subject, spec),
        trend_row(EARLIER, other, "censored", subject, spec),
    ]


def _comparisons(main, N, runs, spec, values):
    """Yield the rows of claims 5 and 6. values: each delta_v compared with GRPO, and if it was calibrated."""
    subject = (main, N)
    asymre, grpo = of(runs, "asymre"), of(runs, "grpo")
    critical, recommended = at(asymre, CRITICAL), at(asymre, RECOMMENDED)
    rows = [
        collapse_pairs(PAIRED_COLLAPSE, critical, recommended, subject, spec),
        difference_row(FALL, critical, recommended, "fall", subject, spec),
    ]
    for delta_v, chosen in values:
        for claim, measure in ((FINAL, "final_test"), (AREA, "mean_test")):
            named = replace(claim, statement=f"{claim.statement} at delta_v = {delta_v:.12g}")
            if chosen:
                named = replace(named, key=claim.key + "'")
            first = at(asymre, delta_v)
            rows.append(difference_row(named, first, grpo, measure, subject, spec, chosen=chosen))
    return rows


def difference_row(claim, first, second, measure, subject, spec, *, chosen=False):
    """Return a row on the measure of `first` less that of `second`, paired over blocks."""
    one, two = paired(first, second)
    gain = one[measure].to_numpy() - two[measure].to_numpy()
    behind = {
        "detail": f"means {one[measure].mean():.4g} and {two[measure].mean():.4g}" if len(one) else "",
        "parts": by_part(one, lambda at: gain[at].mean()),
    }
    estimate = paired_difference(gain)
    return row(claim, estimate, f"{len(one)} pairs", one, subject, spec, **behind, chosen=chosen)


def collapse_pairs(claim, first, second, subject, spec):
    """Return a row on the blocks in which `first` collapses and `second` does not."""
    one, two = paired(first, second)
    counts = []
    for hit in (one["collapse"].notna(), two["collapse"].notna()):
        e = share(int(hit.sum()), len(hit), MARGIN)
        counts.append(f"{int(hit.sum())} of {len(hit)} [{e.low:.2f}, {e.high:.2f}]")
    hits = [runs["collapse"].notna().to_numpy() for runs in (one, two)]
    pairs = f"{len(one)} pairs, collapses {' against '.join(counts)}"
    parts = by_part(one, lambda at: discordant(*(hit[at] for hit in hits)).effect)
    return row(claim, discordant(*hits), pairs, one, subject, spec, parts=parts)


def _entropies(main, N, runs, spec):
    asymre = of(runs, "asymre")
    # Entropy is undefined after a run diverged: drop the delta_v at which one did from all blocks.
    diverged = asymre.loc[asymre["entropy_drop"].isna(), "delta_v"].unique()
    left = asymre[~asymre["delta_v"].isin(diverged)]
    entropy = trend_row(ENTROPY, left, "entropy_drop", (main, N), spec)
    if len(diverged):
        entropy = replace(entropy, detail=f"left out, diverged: {numbers(diverged)}; {entropy.detail}")
    return [entropy]
