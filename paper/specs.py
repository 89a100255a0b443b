"""What figures, the calibration and tables of claims show: the plan makes these, their scripts read them.

There are no defaults: a field that is missing or misspelt fails when the plan is made.
"""

from dataclasses import dataclass
from typing import Any

from asymre.specs import Rewards


@dataclass(frozen=True)
class ShownRun:
    """A run in a figure. input: what is read of it. model, dataset: labels. task: the data set's key."""

    input: str
    model: str
    dataset: str
    task: str
    objective: str
    delta_v: float | None
    N: int
    refreshed: bool
    seed: int
    learning_rate: float

    def described(self, *names: str) -> dict[str, Any]:
        """Return some of its fields, for the columns of a table."""
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Curve:
    """A run in a panel. control: drawn thin, for comparison."""

    run: ShownRun
    control: bool


@dataclass(frozen=True)
class PanelSpec:
    """Curves of one measure. draw: "mean" over seeds with their range, or "runs", a line per run."""

    title: str
    measure: str
    draw: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Look:
    """Label and colour of an objective; None: the colours of its delta_v."""

    label: str
    colour: str | None


@dataclass(frozen=True)
class FigureSpec:
    """A figure; what its chart does not read is empty. width, height: inches. columns: of panels."""

    chart: str
    title: str
    width: float
    height: float
    caption: str
    panels: tuple[PanelSpec, ...]
    runs: tuple[ShownRun, ...]
    objectives: dict[str, Look]
    rewards: Rewards | None
    smoothing_window: int | None
    columns: int | None


@dataclass(frozen=True)
class Candidate:
    """A run of the calibration."""

    input: str
    objective: str
    delta_v: float | None
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class CalibrationSpec:
    """The runs between which the calibration chooses, and its rule."""

    N: int
    tolerance: float
    runs: tuple[Candidate, ...]
    delta_v_runs: tuple[Candidate, ...]


@dataclass(frozen=True)
class ClaimedRun:
    """A run in a table of claims, by the keys of its model and data set."""

    input: str
    model: str
    dataset: str
    objective: str
    delta_v: float | None
    N: int
    refreshed: bool
    seed: int
    learning_rate: float
    base_seed: int


@dataclass(frozen=True)
class Compared:
    """An objective that figure B compares."""

    label: str
    takes_delta_v: bool


@dataclass(frozen=True)
class ClaimsSpec:
    """A table of claims.

    models, datasets: labels by key. main_*: of claims 4 to 7; all others belong to claim 8. delta_v: the one
    that the calibration seeds prefer. diversity, first_cycle, rates, objectives: of claims beyond the paper.
    """

    table: str
    scale: str
    models: dict[str, str]
    datasets: dict[str, str]
    rewards: Rewards
    main_models: tuple[str, ...]
    main_dataset: str
    delta_v: float | None
    stand_ins: bool
    runs: tuple[ClaimedRun, ...]
    diversity: tuple[ClaimedRun, ...]
    first_cycle: tuple[ClaimedRun, ...]
    rates: tuple[ClaimedRun, ...]
    objectives: dict[str, Compared]
