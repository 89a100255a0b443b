"""Side by side: functions in turn, medians and ratios. These machines drift, single times mean little."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A line of the table: what was measured, ours and a peer's value, in a unit; the ratio ours / peer."""

    name: str
    unit: str
    ours: float
    peer: str | None = None
    theirs: float | None = None
    target: str = ""

    def text(self) -> str:
        """The line, in Markdown."""
        cells = [self.name, f"{self.ours:.3g} {self.unit}", self.peer or "", "", self.target]
        if self.theirs is not None:
            cells[2:4] = f"{self.peer}: {self.theirs:.3g} {self.unit}", f"{self.ours / self.theirs:.2f}"
        return f"| {' | '.join(cells)} |"


def medians(functions: dict[str, Callable[[], object]], *, repeats: int) -> dict[str, float]:
    """Median seconds of each function, called in turn, after one call of each that does not count."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}
