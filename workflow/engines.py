"""The engines in the plan: modules with the same few functions (`Engine`)."""

from typing import Protocol

from paper.configuration.runs import Run
from store.artefact import Artefact
from store.graph import Checkpoints
from workflow import fsdp_vllm_graph, local_graph
from workflow.builder import Builder


class Engine(Protocol):
    """How an engine splits a run into artefacts, from its base policy to its evaluation."""

    CHECKPOINTS: Checkpoints  # of a cycle

    def training(self, b: Builder, run: Run) -> Artefact:
        """Return the metrics of a whole run."""

    def evaluation(self, b: Builder, run: Run) -> Artefact:
        """Return the evaluation of the base policy and every snapshot of a run."""

    def diversity(self, b: Builder, run: Run) -> Artefact:
        """Return an evaluation of both ends of a run with more samples."""

    def first_cycle(self, b: Builder, run: Run) -> Artefact:
        """Return an evaluation of the base policy and the end of the first cycle, on training problems."""

    def last_cycles(self, b: Builder, runs: list[Run]) -> set[str]:
        """Return the ids of the cycles whose checkpoints are kept."""


ENGINES: dict[str, Engine] = {"local": local_graph, "fsdp_vllm": fsdp_vllm_graph}
