"""Training runs, from the sweeps of a configuration."""

from dataclasses import dataclass
from typing import Literal

from paper.configuration.schema import WITH_DELTA_V, Configuration, Figure, LeaveOut, Sweep


@dataclass(frozen=True)
class Run:
    """One training run, in the paper's terms; N and the learning rate are those of the scale.

    If the behaviour policy is never refreshed, N is the length of an epoch over its rollouts.
    """

    model: str
    dataset: str
    objective: str
    delta_v: float | None
    N: int
    seed: int
    learning_rate: float
    refreshed: bool = True
    base_seed: int | None = None  # of the run's own base policy; None: the one that all runs of a model share
    own_rate: float | None = None  # the sweep's own learning rate; None: that of its objective

    @property
    def subject(self) -> tuple:
        """What is trained and how, apart from N and seed."""
        return self.model, self.dataset, self.objective, self.delta_v

    @property
    def start_slug(self) -> str:
        """The part of the slug that runs share before their first gradient step."""
        return f"{self.model}_{self.dataset}_{self._seeds}"

    @property
    def slug(self) -> str:
        parts = [self.model, self.dataset, self.objective]
        parts += [] if self.delta_v is None else [f"{self.delta_v:.12g}"]
        parts += [] if self.own_rate is None else [f"lr{self.own_rate:.12g}"]
        return "_".join([*parts, f"N{self.N}" if self.refreshed else "never", self._seeds])

    @property
    def _seeds(self) -> str:
        return f"seed{self.seed}" if self.base_seed is None else f"seed{self.seed}_base{self.base_seed}"


def runs_of(c: Configuration, figure: str, sweep: Sweep) -> list[Run]:
    """Return the runs of a figure's sweep, without what the scale leaves out of the figure."""
    out = c.leave_out.get(figure, LeaveOut())
    return [
        Run(
            model,
            dataset,
            objective,
            delta_v,
            steps_a_cycle(c, N),
            seed,
            value,
            refreshed=N != "never",
            base_seed=_base_seed(c, sweep, seed),
            # With the objective's own rate, it is the run that other figures show: same run, same id.
            own_rate=None if value == c.training.learning_rate.get(objective) else value,
        )
        for model in sweep.model
        for dataset in sweep.dataset
        for objective in sweep.objective
        for delta_v in (sweep.delta_v if objective in WITH_DELTA_V else [None])
        if delta_v not in out.delta_v
        for N in sweep.N
        for seed in sweep.seeds
        if seed not in out.seeds
        for rate in sweep.learning_rate or [None]
        for value in [learning_rate(c, objective, delta_v, rate)]
        if value is not None
    ]


def learning_rate(
    c: Configuration, objective: str, delta_v: float | None, rate: float | Literal["best"] | None
) -> float | None:
    """Return the learning rate that a sweep means by one of its own, by `best` or by none (None).

    best: the calibration's choice for this objective and delta_v, or else the objective's own. None if the
    configuration has neither.
    """
    own = c.training.learning_rate.get(objective)
    if rate == "best":
        return c.training.best_learning_rate.get(objective, {}).get(delta_v, own)
    return own if rate is None else rate


def steps_a_cycle(c: Configuration, N: int | str) -> int:
    """Return the number of gradient steps that one cycle's rollouts last for, from a sweep's N."""
    if N == "never":
        return min(c.training.never_refreshed, c.training.steps)
    return c.training.N.get(N, N)


def _base_seed(c: Configuration, sweep: Sweep, seed: int) -> int | None:
    # If the run's seed is the pretraining seed, its own base policy is the shared one: same run, same id.
    return seed if sweep.base_policy == "own" and seed != c.pretraining.seed else None


def shown_sweeps(figure: Figure) -> list[Sweep]:
    """Return the sweeps of a figure, panel by panel, without its controls."""
    panels = [panel.runs or figure.runs for panel in figure.panels] or [figure.runs]
    return [sweep for runs in panels for sweep in runs]


def sweeps_of(figure: Figure) -> list[Sweep]:
    """Return all sweeps of a figure, its controls last."""
    return [*shown_sweeps(figure), *figure.controls]
