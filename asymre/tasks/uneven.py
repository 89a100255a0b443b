"""Arithmetic with a spread of difficulty: a writer who always gets some steps right and others wrong.

The pass rates of real data are U-shaped: many prompts are never solved, or always. Here each step that
crosses a ten (its units digit and its term) has a probability of its own of being slipped, drawn once from a
U-shaped distribution.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np

from asymre.fields import Positive, Seed, Share
from asymre.tasks._sums import FURTHER, Sums


@dataclass(frozen=True)
class Uneven(Sums):
    """Sums, or sums and differences; how likely a step is slipped depends on its units digit and its term."""

    always: Annotated[Share, "corpus: share of the steps that are always slipped"] = 0.0
    alpha: Annotated[Positive, "corpus: Beta(alpha, beta) of the other steps' probability of a slip"] = 1.0
    beta: Annotated[Positive, "corpus: the other parameter; both below 1 make it U-shaped"] = 1.0
    table: Annotated[Seed, "corpus: seed of the steps' probabilities"] = 0

    corpus_settings: ClassVar[tuple[str, ...]] = ("error", "always", "alpha", "beta", "table")

    def description(self) -> str:
        """Return `sums of 3 numbers with written-out steps, some of which are hardly ever written right`."""
        return f"{super().description()}, some of which are hardly ever written right"

    @cached_property
    def slip_rates(self) -> np.ndarray:
        """Probability of a slip [2 signs, + first, 10 units digits, 9 terms], 0 where no ten is crossed."""
        rng = np.random.default_rng(self.table)
        units, terms = np.arange(10)[:, None], np.array(FURTHER)
        rates = np.zeros((2, 10, len(FURTHER)))
        for sign, crosses_ten in enumerate((units + terms > 9, units - terms < 0)):
            own = rng.beta(self.alpha, self.beta, crosses_ten.sum())
            own[: round(self.always * len(own))] = 1.0
            rates[sign, crosses_ten] = rng.permutation(own)
        return rates

    def slips(self, running: np.ndarray, sign: np.ndarray, term: np.ndarray) -> np.ndarray:
        """Return the probability of each step, by its sign, units digit and term."""
        return self.slip_rates[(sign < 0).astype(int), running % 10, term - FURTHER.start]


TASK = Uneven
