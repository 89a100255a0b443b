"""From a configuration to all artefacts of the workflow; without Snakemake, before any job.

Everything here is a function of the configuration and of the source tree. A result that two figures, or
two delta_v in their first cycle, need is one artefact because it has one id.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asymre.config.runs import Run, runs_of, sweeps_of
from asymre.config.schema import Configuration
from asymre.plan import targets
from asymre.plan.builder import Builder
from asymre.plan.engines import ENGINES, Engine
from asymre.record.artefact import HASH_DIGITS, Artefact, canonical

# A specification stands in the command of its job, an argument that Linux limits to 128 KiB.
LONGEST_SPEC = 120_000


@dataclass(frozen=True)
class Plan:
    """All artefacts that the targets need."""

    configuration: Configuration
    figures: dict[str, Artefact]  # by the figure's name, the calibration's last
    claims: dict[str, Artefact]  # by the name of the table
    trainings: dict[Run, Artefact]
    evaluations: dict[Run, Artefact]
    figure_runs: dict[str, list[Run]]
    artefacts: dict[str, Artefact]  # by path
    parts: dict[str, list[Artefact]]  # of a training in several jobs
    scripts: dict[str, str]  # by path
    kept: set[str]  # ids of cycles whose policy and state stay

    @property
    def engine(self) -> Engine:
        """The engine of all runs."""
        return ENGINES[self.configuration.engine]

    def inputs(self, path: str) -> list[str]:
        """Paths of the folders that the job of an artefact reads: artefacts, and what stands beside one."""
        artefacts = self.parts.get(path) or self.artefacts[path].inputs.values()
        beside = self.engine.READS.get(path.partition("/")[0])
        folders = [
            [f"{folder}/{a.id}" for folder in beside] if beside and a.kind == "cycles" else [a.path]
            for a in artefacts
        ]
        return list(dict.fromkeys(path for paths in folders for path in paths))

    def behind(self, names: Iterable[str]) -> list[Artefact]:
        """All artefacts that these published ones rest on, themselves included, each once."""
        found: dict[str, Artefact] = {}
        waiting = [self.published[name] for name in names]
        while waiting:
            artefact = waiting.pop()
            if artefact.path not in found:
                found[artefact.path] = artefact
                waiting += artefact.inputs.values()
        return list(found.values())

    def artefact_of(self, path: str) -> Artefact:
        """The artefact that a folder belongs to, by its path or the path of what stands beside it."""
        folder, _, id = path.partition("/")
        return self.artefacts[f"cycles/{id}" if folder in self.engine.BESIDE else path]

    def spec_json(self, path: str) -> str:
        """The specification of an artefact, for its script's command line."""
        return canonical(self.artefacts[path].spec())

    def script(self, path: str) -> str:
        """The file name of the script that makes an artefact."""
        return self.scripts[path].removeprefix("scripts/")

    @property
    def published(self) -> dict[str, Artefact]:
        """All that has a stable name, by that name: figures and tables of claims."""
        return self.figures | self.claims

    def figures_of(self, target: str) -> list[str]:
        """Names of the figures that a target, all or beyond, makes."""
        return [name for name, figure in self.configuration.figures.items() if figure.target == target]

    @property
    def default(self) -> list[str]:
        """Names of what is published by default."""
        return [*self.figures_of("all"), "claims"]

    @property
    def configuration_id(self) -> str:
        """Name of the marker of the saved configuration; the order of keys does not change it."""
        content = [self.configuration.model_dump(mode="json"), sorted(map(canonical, self.runs()))]
        return f"configuration-{hashlib.sha256(canonical(content).encode()).hexdigest()[:HASH_DIGITS]}"

    def configuration_json(self) -> str:
        """The resolved configuration, for the job that saves it."""
        return json.dumps(self.configuration.model_dump(mode="json"))

    def runs(self) -> list[dict[str, Any]]:
        """Rows of runs.csv: which figure shows which run, and where it lies."""
        return [
            {"figure": figure, **asdict(run)}
            | {"training": self.trainings[run].path, "evaluation": self.evaluations[run].path}
            for figure, runs in self.figure_runs.items()
            for run in dict.fromkeys(runs)
        ]


def build(root: Path, configuration: Configuration) -> Plan:
    """The plan of a configuration for the source tree at `root`."""
    c, b = configuration, Builder(root, configuration)
    engine = ENGINES[c.engine]
    figure_runs = {
        name: [run for sweep in sweeps_of(f) for run in runs_of(c, name, sweep)]
        for name, f in c.figures.items()
    }
    figures = {name: targets.figure(b, engine, name, f) for name, f in c.figures.items()}
    if c.calibration:
        figures["calibration"] = targets.calibration_figure(b, engine)
    runs = list(dict.fromkeys(run for runs in figure_runs.values() for run in runs))
    made = Plan(
        configuration=c,
        figures=figures,
        claims=targets.claims(b, engine),
        trainings={run: engine.training(b, run) for run in runs},
        evaluations={run: engine.evaluation(b, run) for run in runs},
        figure_runs=figure_runs,
        artefacts=b.artefacts,
        parts=b.parts,
        scripts=b.scripts,
        kept=engine.kept(b, runs),
    )
    for name, target in made.published.items():
        if len(made.spec_json(target.path)) > LONGEST_SPEC:
            raise ValueError(f"{name}: rests on too many runs ({len(target.inputs)} inputs); cut its sweeps")
    return made
