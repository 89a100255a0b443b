"""The rules that choose learning rates at one delta_v, and then one of several delta_v below 0."""

import numpy as np
import pandas as pd

from asymre.metrics.curves import final


def cycle_ends(evaluations: list[pd.Series], N: int) -> pd.Series:
    """Return the mean over runs of the accuracy at the base policy and at the end of each cycle of N steps.

    evaluations: accuracy by gradient step, one per seed. A shorter last cycle counts.
    """
    mean = pd.concat(evaluations, axis=1).mean(axis=1)
    last = mean.index.max()
    ends = sorted({*range(0, last + 1, N), last})
    missing = set(ends) - set(mean.index)
    if missing:
        raise ValueError(f"no evaluation at the end of a cycle, steps {sorted(missing)}")
    return mean.loc[ends]


def final_accuracy(accuracies: list[pd.Series]) -> float:
    """Return the mean over runs of the accuracy at the end. accuracies: by gradient step, one per seed."""
    return float(np.mean([final(accuracy) for accuracy in accuracies]))


def largest_of_the_best(accuracy: dict[float, float], tolerance: float) -> float:
    """Return the largest learning rate whose final accuracy is within `tolerance` of the best one's."""
    best = max(accuracy.values())
    return max(rate for rate, value in accuracy.items() if value >= best - tolerance)


def best(accuracy: dict[float, float]) -> float:
    """Return the delta_v with the highest final accuracy."""
    return max(accuracy, key=accuracy.get)
