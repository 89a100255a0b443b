"""Medians and ratios of functions called in turn: machines drift, so single times mean little."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A row of the table: what was measured, our value and a peer's in one unit, and the target ratio."""

    name: str
    unit: str
    ours: float
    peer: str | None = None
    theirs: float | None = None
    target: str = ""

    def text(self) -> str:
        """Return the row in Markdown, with the ratio of our value to the peer's."""
        cells = [self.name, f"{self.ours:.3g} {self.unit}", self.peer or "", "", self.target]
        if self.theirs is not None:
            cells[2:4] = f"{self.peer}: {self.theirs:.3g} {self.unit}", f"{self.ours / self.theirs:.2f}"
        return f"| {' | '.join(cells)} |"


def medians(functions: dict[str, Callable[[], object]], *, repeats: int) -> dict[str, float]:
    """Return median seconds of each function; they are called in turn, and each first call is not counted."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}
