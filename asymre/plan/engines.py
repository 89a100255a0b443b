"""The engines, as the plan asks them: each is a module that answers the same few questions."""

from typing import Protocol

from asymre.config.runs import Run
from asymre.plan import hub_graph, tiny_graph
from asymre.plan.builder import Builder
from asymre.record.artefact import Artefact


class Engine(Protocol):
    """The chain of cycles of a run, from its base policy to its evaluation."""

    BESIDE: tuple[str, ...]  # folders with what stands beside a cycle, under its id
    READS: dict[str, tuple[str, ...]]  # of a cycle, which of these the jobs of a kind read

    def training(self, b: Builder, run: Run) -> Artefact:
        """The metrics of a whole run."""

    def evaluation(self, b: Builder, run: Run) -> Artefact:
        """The evaluations of the base policy and of every snapshot of a run."""

    def diversity(self, b: Builder, run: Run) -> Artefact:
        """An evaluation of both ends of a run with more samples."""

    def first_cycle(self, b: Builder, run: Run) -> Artefact:
        """An evaluation of the base policy and of the end of the first cycle, on training problems."""

    def kept(self, b: Builder, runs: list[Run]) -> set[str]:
        """Ids of the cycles for which what stands beside them stays."""


ENGINES: dict[str, Engine] = {"tiny": tiny_graph, "hub": hub_graph}
