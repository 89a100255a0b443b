"""Specifications of figures, the calibration and tables of claims: the plan creates them, scripts read them.

There are no defaults, so a missing or misspelt field fails when the plan is built.
"""

from dataclasses import dataclass
from typing import Any

from asymre.specs import Rewards


@dataclass(frozen=True)
class ShownRun:
    """A run in a figure. input: its input's name. model, dataset: labels. task: the data set's key."""

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
        """Return some of the fields, for the columns of a table."""
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Curve:
    """A run in a panel. control: drawn thin, for comparison."""

    run: ShownRun
    control: bool


@dataclass(frozen=True)
class PanelSpec:
    """Curves of one measure. draw: "mean" over seeds beside the runs, or "runs" alone."""

    title: str
    measure: str
    draw: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Look:
    """Label and colour of an objective; with colour None, each delta_v has its own."""

    label: str
    colour: str | None


@dataclass(frozen=True)
class FigureSpec:
    """A figure; fields that its chart does not read are empty. width, height: inches. columns: of panels.

    note: what the picture itself says below the panels; caption: all of it, beside the picture.
    """

    chart: str
    title: str
    width: float
    height: float
    note: str
    caption: str
    panels: tuple[PanelSpec, ...]
    runs: tuple[ShownRun, ...]
    objectives: dict[str, Look]
    rewards: Rewards | None
    group_size: int | None
    smoothing_window: int | None
    columns: int | None


@dataclass(frozen=True)
class Candidate:
    """A run of the calibration. Its inputs: the evaluation, and `<input>/training`."""

    input: str
    delta_v: float | None
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class CalibrationSpec:
    """An objective's runs among which the calibration chooses, and its rule. gradient_clip: of the runs.

    applied: whether the scale's runs are at the choices, so that one at the edge of the grid is an error.
    """

    objective: str
    N: int
    tolerance: float
    gradient_clip: float
    applied: bool
    runs: tuple[Candidate, ...]


@dataclass(frozen=True)
class ClaimedRun:
    """A run in a table of claims, with the keys of its model and data set.

    swept: at the learning rate of the sweeps over delta_v; best: at the best of its own, maybe the same.
    """

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
    swept: bool
    best: bool


@dataclass(frozen=True)
class Compared:
    """An objective that figure B compares."""

    label: str
    takes_delta_v: bool


@dataclass(frozen=True)
class ClaimsSpec:
    """A table of claims.

    models, datasets: labels by key. main_*: of claims 4 to 7; all others belong to claim 8. first_cycle: for
    claims about rarely solved problems. objectives: for those about figure B. note: how the runs
    were chosen.
    """

    table: str
    scale: str
    models: dict[str, str]
    datasets: dict[str, str]
    rewards: Rewards
    main_models: tuple[str, ...]
    main_dataset: str
    stand_ins: bool
    runs: tuple[ClaimedRun, ...]
    first_cycle: tuple[ClaimedRun, ...]
    objectives: dict[str, Compared]
    note: str
