"""The engines, as the plan asks them: each is a module that answers the same few questions."""

from typing import Protocol

from paper.configuration.runs import Run
from store.artefact import Artefact
from store.graph import Checkpoints
from workflow import fsdp_vllm_graph, local_graph
from workflow.builder import Builder


class Engine(Protocol):
    """The chain of cycles of a run, from its base policy to its evaluation."""

    CHECKPOINTS: Checkpoints  # of a cycle

    def training(self, b: Builder, run: Run) -> Artefact:
        """The metrics of a whole run."""

    def evaluation(self, b: Builder, run: Run) -> Artefact:
        """The evaluations of the base policy and of every snapshot of a run."""

    def diversity(self, b: Builder, run: Run) -> Artefact:
        """An evaluation of both ends of a run with more samples."""

    def first_cycle(self, b: Builder, run: Run) -> Artefact:
        """An evaluation of the base policy and of the end of the first cycle, on training problems."""

    def last_cycles(self, b: Builder, runs: list[Run]) -> set[str]:
        """Ids of the cycles whose checkpoints are kept."""


ENGINES: dict[str, Engine] = {"local": local_graph, "fsdp_vllm": fsdp_vllm_graph}
