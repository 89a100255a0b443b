"""A claim, what the runs show about it, and the verdict that follows."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from asymre.metrics.statistics import Estimate, holm

HOLDS = "holds"
FAILS = "does not hold at this scale"
EQUAL = "no difference that matters"
OPEN = "not decided by these runs"
# The usual level, applied after the correction for all tests of a family.
LEVEL = 0.05
MAIN = "1234567"


@dataclass(frozen=True)
class Claim:
    """A statement and the one way in which it is tested.

    direction: +1 if the statement puts the effect above the estimate's null, -1 if below. bound: for
    theorems, which are counted and not tested: the value that the effect must reach. margin: effects nearer
    to the null than this do not matter; None where any does.
    """

    key: str
    statement: str
    source: str
    measure: str
    test: str
    unit: str
    direction: int
    bound: float | None = None
    margin: float | None = None


@dataclass(frozen=True)
class Row:
    """A claim about one subject. runs, seeds: its evidence, in words; detail: the counts behind it.

    parts: the effect in each model and data set, where the row pools several.
    """

    number: str
    claim: Claim
    subject: str
    estimate: Estimate
    runs: str
    seeds: str = ""
    detail: str = ""
    parts: str = ""
    p_corrected: float = np.nan

    @property
    def tested(self) -> bool:
        """Whether the row counts as a test: it has one, and its runs could have decided it."""
        return self.claim.bound is None and self.estimate.smallest_p < LEVEL and not np.isnan(self.estimate.p)

    @property
    def family(self) -> str:
        """The tests that are corrected together: the paper's main claims, claim 8, or those of one figure."""
        return "" if self.number[0] in MAIN else self.number[0]

    @property
    def verdict(self) -> str:
        return verdict(self.estimate, self.p_corrected, self.claim)


def verdict(estimate: Estimate, p_corrected: float, claim: Claim) -> str:
    """Return the verdict on an estimate, from its corrected p-value or, for a theorem, from its bound.

    With a bound: whether the effect reaches it. With a test: EQUAL if the whole interval lies within the
    claim's margin around the null; otherwise by the side of the null on which the effect lies, if p < LEVEL
    and the interval does not contain the null. NaN decides nothing.
    """
    effect, low, high, null, *_ = estimate
    if np.isnan(effect):
        return OPEN
    if claim.bound is not None:
        return HOLDS if claim.direction * (effect - claim.bound) >= 0 else FAILS
    if claim.margin is not None and null - claim.margin < low <= high < null + claim.margin:
        return EQUAL
    if np.isnan(p_corrected) or p_corrected >= LEVEL or effect == null or low <= null <= high:
        return OPEN
    return HOLDS if claim.direction * (effect - null) > 0 else FAILS


def corrected(rows: list[Row]) -> list[Row]:
    """Return the rows with Holm's p-values, corrected over the tests of their family."""
    tested = pd.Series({i: row.estimate.p for i, row in enumerate(rows) if row.tested}, dtype=float)
    p = tested.groupby({i: rows[i].family for i in tested.index}).transform(holm)
    return [replace(row, p_corrected=float(p[i])) if i in p.index else row for i, row in enumerate(rows)]
