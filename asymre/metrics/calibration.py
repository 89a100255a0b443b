"""The rule that chooses a learning rate, and what is read of a run for it."""

import pandas as pd


def at_cycle_ends(accuracy: pd.Series, N: int) -> pd.Series:
    """Return the accuracy at the base policy and at the end of each cycle of N steps.

    accuracy: by gradient step. A shorter last cycle counts. ValueError if an end was not evaluated.
    """
    last = accuracy.index.max()
    ends = sorted({*range(0, last + 1, N), last})
    if missing := set(ends) - set(accuracy.index):
        raise ValueError(f"no evaluation at the end of a cycle, steps {sorted(missing)}")
    return accuracy.loc[ends]


def largest_of_the_best(accuracy: dict[float, float], tolerance: float) -> float:
    """Return the largest learning rate whose final accuracy is within `tolerance` of the best one's."""
    best = max(accuracy.values())
    return max(rate for rate, value in accuracy.items() if value >= best - tolerance)


def is_at_the_edge(accuracy: dict[float, float], tolerance: float) -> bool:
    """Return whether a better choice may lie outside the candidates.

    So it is if the best one is the smallest, or the largest one is within `tolerance` of the best.
    """
    return max(accuracy, key=accuracy.__getitem__) == min(accuracy) or (
        largest_of_the_best(accuracy, tolerance) == max(accuracy)
    )
