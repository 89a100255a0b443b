"""The plan: from a configuration to all artefacts, without Snakemake and before any job starts.

It depends only on the configuration and the source tree. A result that two figures, or two delta_v in their
first cycle, share is one artefact because it has one id.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from paper.configuration.runs import Run, runs_of, sweeps_of
from paper.configuration.schema import Configuration
from store.artefact import HASH_DIGITS, Artefact, canonical
from store.graph import UNFINISHED, Graph
from workflow import targets
from workflow.builder import Builder
from workflow.engines import ENGINES
from workflow.project import PROJECT


def kinds_of(configuration: Configuration) -> tuple[str, ...]:
    """Return the names of artefact and checkpoint folders in results/<name>/, upstream first."""
    checkpoints = ENGINES[configuration.engine].CHECKPOINTS.folders
    return (
        *("bandit", "problems", "base_policy", "pass_rates", "rollouts", "cycles"),
        *(*checkpoints, UNFINISHED),
        *("snapshot_evaluation", "training", "evaluation", "calibration", "figure", "claims"),
    )


@dataclass(frozen=True)
class Plan:
    """All artefacts that the targets of a configuration need."""

    configuration: Configuration
    graph: Graph
    trainings: dict[Run, Artefact]
    evaluations: dict[Run, Artefact]
    figure_runs: dict[str, list[Run]]
    last_cycles: set[str]  # ids of the cycles whose checkpoints are kept

    @property
    def figures(self) -> dict[str, Artefact]:
        """Return the figures by name, the calibration's last."""
        return {name: target for name, target in self.graph.targets.items() if target.kind == "figure"}

    @property
    def claims(self) -> dict[str, Artefact]:
        """Return the tables of claims by name."""
        return {name: target for name, target in self.graph.targets.items() if target.kind == "claims"}

    def figures_of(self, target: str) -> list[str]:
        """Return the names of the figures of a target, all or beyond."""
        return [name for name, figure in self.configuration.figures.items() if figure.target == target]

    @property
    def configuration_id(self) -> str:
        """Return the name of the saved configuration's stamp, which does not depend on the order of keys."""
        content = [self.configuration.model_dump(mode="json"), sorted(map(canonical, self.runs()))]
        return f"configuration-{hashlib.sha256(canonical(content).encode()).hexdigest()[:HASH_DIGITS]}"

    def configuration_json(self) -> str:
        """Return the resolved configuration, for the job that saves it."""
        return json.dumps(self.configuration.model_dump(mode="json"))

    def runs(self) -> list[dict[str, Any]]:
        """Return the rows of runs.csv: which figure shows which run, and the run's folders."""
        return [
            {"figure": figure, **asdict(run)}
            | {"training": self.trainings[run].path, "evaluation": self.evaluations[run].path}
            for figure, runs in self.figure_runs.items()
            for run in dict.fromkeys(runs)
        ]


def build(root: Path, configuration: Configuration) -> Plan:
    """Return the plan of a configuration for the source tree at `root`."""
    c, b = configuration, Builder(configuration, replace(PROJECT, root=root))
    engine = ENGINES[c.engine]
    figure_runs = {
        name: [run for sweep in sweeps_of(f) for run in runs_of(c, name, sweep)]
        for name, f in c.figures.items()
    }
    figures = {name: targets.figure(b, engine, name, f) for name, f in c.figures.items()}
    if c.calibration:
        figures["calibration"] = targets.calibration_figure(b, engine)
    runs = list(dict.fromkeys(run for runs in figure_runs.values() for run in runs))
    trainings = {run: engine.training(b, run) for run in runs}
    evaluations = {run: engine.evaluation(b, run) for run in runs}
    graph = Graph(
        artefacts=b.graph.artefacts,
        targets=figures | targets.claims(b, engine),
        default=(*(name for name, f in c.figures.items() if f.target == "all"), "claims"),
        kinds=kinds_of(c),
        scripts=b.graph.scripts,
        checkpoints=engine.CHECKPOINTS,
        joined=b.graph.joined,
    )
    return Plan(c, graph, trainings, evaluations, figure_runs, engine.last_cycles(b, runs))
