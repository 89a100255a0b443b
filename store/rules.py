"""Input and parameter functions that rules share: an artefact's job follows from the graph."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from store.graph import Graph
from store.snakemake_private import settle_options


class Rules:
    """The functions of the rules of one workflow, for one graph and one folder of results."""

    def __init__(self, workflow: Any, graph: Graph, results: str, ancient: Callable[[str], Any]):
        """ancient: Snakemake's function, which makes file times irrelevant."""
        self._workflow, self._graph, self._results, self._ancient = workflow, graph, results, ancient

    def inputs_of(self, kind: str) -> Callable[[Any], list]:
        """Return the input function of a rule: the folders that the artefact's job reads."""
        checkpoints = self._graph.checkpoints
        # An artefact without its checkpoints may have to be rebuilt after all.
        folders = [kind, *(checkpoints.folders if kind == checkpoints.of else ())]

        def inputs(wildcards: Any) -> list:
            settle_options(self._workflow, self._results)
            paths = [f"{self._results}/{path}" for path in self._graph.inputs(f"{kind}/{wildcards.id}")]
            # An artefact that exists is valid, and needs no input that is gone: Snakemake would rebuild that
            # for another artefact's sake, and then, ancient or not, everything downstream of it.
            if all(Path(f"{self._results}/{folder}/{wildcards.id}").exists() for folder in folders):
                paths = [path for path in paths if Path(path).exists()]
            return [self._ancient(path) for path in paths]

        return inputs

    def spec_of(self, kind: str) -> Callable[[Any], str]:
        """Return the parameter function of a rule: the artefact's specification as JSON."""
        return lambda wildcards: self._graph.spec_json(f"{kind}/{wildcards.id}")

    def script_of(self, kind: str) -> Callable[[Any], str]:
        """Return the parameter function of a rule whose artefacts have different scripts."""
        return lambda wildcards: self._graph.script(f"{kind}/{wildcards.id}")

    def joined_of(self, kind: str) -> Callable[[Any], list[str]]:
        """Return the parameter function of a rule: the folders to join, none if its job makes the whole."""
        return lambda wildcards: [
            f"{self._results}/{artefact.path}"
            for artefact in self._graph.joined.get(f"{kind}/{wildcards.id}", [])
        ]
