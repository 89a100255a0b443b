"""The rules that choose learning rates, at one delta_v, and then, of some values below 0, delta_v."""

import numpy as np
import pandas as pd

from asymre.curves import final


def cycle_ends(evaluations: list[pd.Series], N: int) -> pd.Series:
    """Mean over runs of the accuracy at the base policy and at the end of each cycle of N steps.

    evaluations: accuracy by gradient step, one a seed. A last cycle that is shorter counts.
    """
    mean = pd.concat(evaluations, axis=1).mean(axis=1)
    last = mean.index.max()
    ends = sorted({*range(0, last + 1, N), last})
    missing = set(ends) - set(mean.index)
    if missing:
        raise ValueError(f"no evaluation at the end of a cycle, steps {sorted(missing)}")
    return mean.loc[ends]


def still_improves(ends: pd.Series, tolerance: float) -> bool:
    """Whether no cycle ends more than `tolerance` below the one before, and the last above step 0."""
    values = ends.to_numpy()
    return bool((np.diff(values) >= -tolerance).all() and values[-1] > values[0])


def choose(improves: dict[float, bool]) -> float | None:
    """The largest learning rate up to which every candidate still improves; None if the smallest does not."""
    chosen = None
    for rate in sorted(improves):
        if not improves[rate]:
            break
        chosen = rate
    return chosen


def final_accuracy(accuracies: list[pd.Series]) -> float:
    """Mean over runs of the accuracy at the end. accuracies: by gradient step, one a seed."""
    return float(np.mean([final(accuracy) for accuracy in accuracies]))
