"""Arithmetic in which all slips are equally likely: its problems are about equally hard."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from asymre.fields import Share
from asymre.tasks._sums import Sums


@dataclass(frozen=True)
class Arithmetic(Sums):
    """Sums, or sums and differences, that forget a carry or borrow twice with a fixed probability."""

    slip: Annotated[Share, "corpus: probability of forgetting a carry or of borrowing twice"] = 0.0

    corpus_settings: ClassVar[tuple[str, ...]] = ("error", "slip")

    def slips(self, running: np.ndarray, sign: np.ndarray, term: np.ndarray) -> np.ndarray:
        """Return `slip` where a step crosses a ten, else 0."""
        units = running % 10 + sign * (term % 10)
        return self.slip * ((units > 9) | (units < 0))


TASK = Arithmetic
