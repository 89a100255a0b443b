"""What a claim says, what the runs say about it, and the word that follows from both."""

from dataclasses import dataclass, replace

import numpy as np

from asymre.measures.statistics import Estimate, holm

HOLDS = "holds"
FAILS = "does not hold at this scale"
OPEN = "not decided by these runs"
# The usual level, after the correction for all tests of one table.
LEVEL = 0.05


@dataclass(frozen=True)
class Claim:
    """A statement and the one way in which it is tested.

    direction: +1 if the statement says that the effect is above the estimate's null, -1 if below. bound:
    for statements that are theorems, and are counted and not tested: what the effect must reach.
    """

    key: str
    statement: str
    source: str
    measure: str
    test: str
    unit: str
    direction: int
    bound: float | None = None


@dataclass(frozen=True)
class Row:
    """A claim about one subject. runs, seeds: what it rests on, in words; detail: the counts behind it."""

    number: str
    claim: Claim
    subject: str
    estimate: Estimate
    runs: str
    seeds: str = ""
    detail: str = ""
    calibrated: str = ""
    p_corrected: float = np.nan

    @property
    def tested(self) -> bool:
        """Whether the row counts as a test: it has one, and its runs could have decided it by themselves."""
        return self.claim.bound is None and self.estimate.smallest_p < LEVEL and not np.isnan(self.estimate.p)

    @property
    def verdict(self) -> str:
        return verdict(self.estimate, self.p_corrected, self.claim.direction, self.claim.bound)


def verdict(estimate: Estimate, p_corrected: float, direction: int, bound: float | None = None) -> str:
    """The word for an estimate: by its corrected p-value, or for a theorem by its bound.

    With a test: the side of the null on which the effect lies, if p < LEVEL; else nothing is decided. With a
    bound: whether the effect reaches it. NaN decides nothing.
    """
    if np.isnan(estimate.effect):
        return OPEN
    if bound is not None:
        return HOLDS if direction * (estimate.effect - bound) >= 0 else FAILS
    if np.isnan(p_corrected) or p_corrected >= LEVEL or estimate.effect == estimate.null:
        return OPEN
    return HOLDS if direction * (estimate.effect - estimate.null) > 0 else FAILS


def corrected(rows: list[Row]) -> list[Row]:
    """The rows with Holm's p-values over all rows of the table that are tests."""
    tested = [row for row in rows if row.tested]
    p = iter(holm(np.array([row.estimate.p for row in tested])))
    return [replace(row, p_corrected=float(next(p))) if row.tested else row for row in rows]
