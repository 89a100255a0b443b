"""From evaluations to the curves of a figure: smoothing, accuracy at the end, step of collapse."""

from pathlib import Path

import numpy as np
import pandas as pd

from asymre.metrics.measures import MEASURES


def read_evaluation(path: Path) -> pd.DataFrame:
    """Return the evaluations of a run: a row per snapshot and sampling. ValueError for anything else."""
    table = pd.read_parquet(path)
    key = ["split", "temperature", "top_p"]
    if missing := {"step", *key, "accuracy", "entropy"} - set(table.columns):
        raise ValueError(f"has no column {', '.join(sorted(missing))}")
    steps = {tuple(sorted(rows["step"])) for _, rows in table.groupby(key)}
    if len(steps) != 1 or len(set(*steps)) != len(*steps):
        raise ValueError("must have one row per step and sampling")
    if not table["accuracy"].between(0, 1).all() or np.isinf(table["entropy"]).any():
        raise ValueError("accuracies must lie between 0 and 1, and the entropy be finite")
    if (table["entropy"].isna() & (table["accuracy"] > 0)).any():
        raise ValueError("only a run that has diverged has no entropy")
    return table


def read_metrics(path: Path) -> pd.DataFrame:
    """Return the metrics of a run: a row per gradient step, in order. ValueError for anything else."""
    table = pd.read_parquet(path)
    if missing := {"step", "cycle", "loss", "rollout_reward"} - set(table.columns):
        raise ValueError(f"has no column {', '.join(sorted(missing))}")
    if len(table) == 0 or (table["step"] != np.arange(1, len(table) + 1)).any():
        raise ValueError("must have one row for each step from 1")
    if not np.isfinite(table["loss"].iloc[:-1]).all() or not np.isfinite(table["rollout_reward"]).all():
        raise ValueError("losses, but for the last of a run that diverged, and rewards must be finite")
    return table


def late_in_cycles(values: pd.Series, N: int) -> pd.Series:
    """Return the mean of a metric over the last tenth of each cycle of N steps, by the cycle's last step.

    values: by gradient step, from 1. A shorter last cycle counts like the others, by its own last steps.
    """
    last = max(1, N // 10)
    cycle = (values.index - 1) // N
    return pd.Series(
        {own.index[-1]: own.iloc[-last:].mean() for _, own in values.groupby(cycle)}, dtype=float
    )


def curve(evaluation: pd.DataFrame, measure: str) -> pd.Series:
    """Return the measure by gradient step. ValueError if the evaluation does not have it."""
    read = MEASURES[measure]
    rows = evaluation[evaluation["split"] == read.split]
    rows = rows[(rows["temperature"] == 1.0) == (read.temperature == 1.0)]
    if rows.empty or read.column not in rows:
        raise ValueError(f"holds no {measure}")
    values = rows.set_index("step")[read.column].sort_index()
    return 1 - values if read.error else values


def smooth(values: pd.Series, window: int) -> pd.Series:
    """Return the moving average over `window` evaluation points, centred; values at the ends as they are.

    Unevenly spaced points are not smoothed: their mean would belong to another step.
    """
    if len(set(np.diff(values.index))) > 1:
        return values
    return values.rolling(window, center=True).mean().fillna(values)


def final(values: pd.Series) -> float:
    """Return the mean over the last three evaluation points."""
    return float(values.iloc[-3:].mean())


def step_of_fall(accuracy: pd.Series, entropy: pd.Series) -> float:
    """Return the step at which a run first dips or collapses, NaN if it does neither.

    It is the first of two consecutive evaluation points below half of the running maximum and below the base
    policy's accuracy, or the first point after the run diverged (its entropy is NaN), whichever is earlier.
    accuracy, entropy: by gradient step; step 0 is the base policy.
    """
    values = accuracy.to_numpy()
    low = (values < np.maximum.accumulate(values) / 2) & (values < values[0])
    twice = low[:-1] & low[1:]
    steps = [*accuracy.index[:-1][twice], *entropy.index[entropy.isna()]]
    return float(min(steps)) if steps else float("nan")


def step_of_collapse(accuracy: pd.Series, entropy: pd.Series) -> float:
    """Return the step of the first fall of a run that ends low, NaN if it never falls or if it recovers.

    It recovers, and the fall was a dip, if the mean of the last three evaluation points is at least half of
    the maximum or at least the base policy's accuracy. A run that diverged does not.
    """
    last = final(accuracy)
    recovered = entropy.notna().all() and (last >= accuracy.max() / 2 or last >= accuracy.iloc[0])
    return float("nan") if recovered else step_of_fall(accuracy, entropy)
