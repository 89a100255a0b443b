"""From a configuration to artefacts, their ids and dependencies; without Snakemake, before any job.

Everything here is a function of the configuration and of the source tree. A result that two figures, or
two delta_v in their first cycle, need is one artefact because it has one id.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from asymre.artefact import HASH_DIGITS, Artefact, canonical
from asymre.captions import bandit_caption, calibration_caption, training_caption
from asymre.fingerprint import code_of, packages_of
from asymre.schema import Configuration, Figure, LeaveOut, Sweep

SCRIPTS = {
    "bandit": "scripts/simulate_bandit.py",
    "problems": "scripts/generate_problems.py",
    "base_policy": "scripts/train_base_policy.py",
    "rollouts": "scripts/sample_rollouts.py",
    "cycles": "scripts/train_policy.py",
    "training": "scripts/train_policy.py",
    "evaluation": "scripts/evaluate_policy.py",
    "calibration": "scripts/choose_learning_rates.py",
    "bandit_figure": "scripts/plot_bandit.py",
    "training_figure": "scripts/plot_training.py",
    "calibration_figure": "scripts/plot_calibration.py",
}


@dataclass(frozen=True)
class Run:
    """One training run, in the paper's terms; N and the learning rate are those of the scale."""

    model: str
    dataset: str
    objective: str
    delta_v: float | None
    N: int
    seed: int
    learning_rate: float

    @property
    def subject(self) -> tuple:
        """What is trained how, N and seed apart."""
        return self.model, self.dataset, self.objective, self.delta_v

    @property
    def slug(self) -> str:
        parts = [self.model, self.dataset, self.objective]
        parts += [] if self.delta_v is None else [f"{self.delta_v:.12g}"]
        return "_".join([*parts, f"N{self.N}", f"seed{self.seed}"])


@dataclass(frozen=True)
class Plan:
    """All artefacts that the targets need."""

    configuration: Configuration
    figures: dict[str, Artefact]  # by the figure's name, the calibration's last
    trainings: dict[Run, Artefact]
    evaluations: dict[Run, Artefact]
    figure_runs: dict[str, list[Run]]
    artefacts: dict[str, Artefact] = field(default_factory=dict)  # by path
    parts: dict[str, list[Artefact]] = field(default_factory=dict)  # of a training in several jobs
    scripts: dict[str, str] = field(default_factory=dict)  # by path

    def inputs(self, path: str) -> list[str]:
        """Paths of the artefacts that the job of an artefact reads."""
        artefacts = self.parts.get(path) or self.artefacts[path].inputs.values()
        return list(dict.fromkeys(a.path for a in artefacts))

    def spec_json(self, path: str) -> str:
        """The specification of an artefact, for its script's command line."""
        return canonical(self.artefacts[path].spec())

    def script(self, path: str) -> str:
        """The file name of the script that makes an artefact."""
        return self.scripts[path].removeprefix("scripts/")

    @property
    def configuration_id(self) -> str:
        """Name of the marker of the saved configuration."""
        digest = hashlib.sha256(self.configuration_json().encode()).hexdigest()
        return f"configuration-{digest[:HASH_DIGITS]}"

    def configuration_json(self) -> str:
        """What is saved beside the results: the resolved configuration and the rows of runs.csv."""
        return json.dumps({"configuration": self.configuration.model_dump(mode="json"), "runs": self.runs()})

    def runs(self) -> list[dict[str, Any]]:
        """Rows of runs.csv: which figure shows which run, and where it lies."""
        return [
            {"figure": figure, **asdict(run)}
            | {"training": self.trainings[run].path, "evaluation": self.evaluations[run].path}
            for figure, runs in self.figure_runs.items()
            for run in dict.fromkeys(runs)
        ]


class _Builder:
    """Makes artefacts from the configuration, each once."""

    def __init__(self, root: Path, configuration: Configuration):
        self._root, self._c = root, configuration
        self._artefacts: dict[str, Artefact] = {}
        self._parts: dict[str, list[Artefact]] = {}
        self._scripts: dict[str, str] = {}
        self._memory: dict[tuple, Any] = {}

    def plan(self) -> Plan:
        c = self._c
        figure_runs = {
            name: [run for sweep in _sweeps(f) for run in self._runs(name, sweep)]
            for name, f in c.figures.items()
        }
        figures = {
            name: self._bandit_figure(name, f) if f.experiment else self._training_figure(name, f)
            for name, f in c.figures.items()
        }
        runs = list(dict.fromkeys(run for runs in figure_runs.values() for run in runs))
        figures["calibration"] = self._calibration_figure()
        return Plan(
            configuration=c,
            figures=figures,
            trainings={run: self._training(run) for run in runs},
            evaluations={run: self._evaluation(run) for run in runs},
            figure_runs=figure_runs,
            artefacts=self._artefacts,
            parts=self._parts,
            scripts=self._scripts,
        )

    def _make(self, kind, slug, params, inputs=None, *, script=None, also=()) -> Artefact:
        script = script or SCRIPTS[kind]
        code = self._remember(("code", script, also), lambda: code_of(self._root, script, also))
        packages = self._remember(("packages", script, also), lambda: packages_of(self._root, tuple(code)))
        artefact = Artefact(kind, slug, params, code, packages, inputs or {})
        self._scripts[artefact.path] = script
        return self._artefacts.setdefault(artefact.path, artefact)

    def _remember(self, key: tuple, make) -> Any:
        if key not in self._memory:
            self._memory[key] = make()
        return self._memory[key]

    # --- runs -------------------------------------------------------------------------------

    def _runs(self, figure: str, sweep: Sweep) -> list[Run]:
        c, out = self._c, self._c.leave_out.get(figure, LeaveOut())
        return [
            Run(
                model,
                dataset,
                objective,
                delta_v,
                c.training.N.get(N, N),
                seed,
                getattr(c.training.learning_rate, objective),
            )
            for model in sweep.model
            for dataset in sweep.dataset
            for objective in sweep.objective
            for delta_v in (sweep.delta_v if objective == "asymre" else [None])
            if delta_v not in out.delta_v
            for N in sweep.N
            for seed in sweep.seeds
            if seed not in out.seeds
        ]

    def _problems(self, dataset: str) -> Artefact:
        task, size = self._c.tasks[dataset], self._c.problems
        params = {"terms": task.terms, "operators": task.operators, **size.model_dump()}
        return self._remember(("problems", dataset), lambda: self._make("problems", dataset, params))

    def _base_policy(self, model: str) -> Artefact:
        params = {
            "stand_in": self._c.stand_ins[model].model_dump(),
            "tasks": {
                name: task.model_dump(exclude={"max_new_tokens"}) for name, task in self._c.tasks.items()
            },
            "pretraining": self._c.pretraining.model_dump(mode="json"),
        }
        return self._remember(("base_policy", model), lambda: self._make("base_policy", model, params))

    def _rollout_params(self, run: Run) -> dict[str, Any]:
        a = self._c.algorithm
        return {
            "prompts_per_step": a.prompts_per_step,
            "group_size": a.group_size,
            "max_new_tokens": self._c.tasks[run.dataset].max_new_tokens,
            **a.train_sampling.model_dump(),
            "rewards": a.rewards.model_dump(),
            "prompts_per_batch": self._c.training.prompts_per_batch,
        }

    def _rollouts(self, run: Run, policy: Artefact, first_step: int) -> Artefact:
        steps = min(run.N, self._c.training.steps - first_step)
        params = self._rollout_params(run)
        params |= {"seed": run.seed, "first_step": first_step, "steps": steps}
        slug = f"{run.model}_{run.dataset}_seed{run.seed}_step{first_step}"
        if first_step:
            slug = f"{run.slug}_step{first_step}"
        return self._make(
            "rollouts", slug, params, {"policy": policy, "problems": self._problems(run.dataset)}
        )

    def _training(self, run: Run) -> Artefact:
        return self._remember(("training", run), lambda: self._new_training(run))

    def _new_training(self, run: Run) -> Artefact:
        t, a = self._c.training, self._c.algorithm
        settings = {"delta_v": run.delta_v} if run.objective == "asymre" else a.grpo.model_dump()
        params = {
            "objective": run.objective,
            "settings": settings,
            "normalisation": a.normalisation,
            "learning_rate": run.learning_rate,
            "gradient_clip": t.gradient_clip,
            "N": run.N,
            "seed": run.seed,
            "snapshot_every": t.snapshot_every,
            "extra_snapshots": sorted(t.extra_snapshots),
            "rollouts": self._rollout_params(run),
        }
        also = (f"asymre/objectives/{run.objective}.py",)
        problems = self._problems(run.dataset)

        def segment(kind: str, policy: Artefact, first: int, until: int) -> Artefact:
            slug = run.slug if kind == "training" else f"{run.slug}_step{until}"
            inputs = {
                "policy": policy,
                "problems": problems,
                "rollouts": self._rollouts(run, policy, first),
            }
            span = {"first_step": first, "until": until}
            return self._make(kind, slug, params | span, inputs, also=also)

        base = self._base_policy(run.model)
        training = segment("training", base, 0, t.steps)
        cycles = -(-t.steps // run.N)
        if t.cycles_per_job != "all" and t.cycles_per_job < cycles:
            policy, parts, length = base, [], run.N * t.cycles_per_job
            for first in range(0, t.steps, length):
                policy = segment("cycles", policy, first, min(first + length, t.steps))
                parts.append(policy)
            self._parts[training.path] = parts
        return training

    def _evaluation(self, run: Run) -> Artefact:
        params = {
            **self._c.evaluation.model_dump(),
            "max_new_tokens": self._c.tasks[run.dataset].max_new_tokens,
            "prompts_per_batch": self._c.training.prompts_per_batch,
            "test_sampling": self._c.algorithm.test_sampling.model_dump(),
            "seed": run.seed,
        }
        inputs = {"training": self._training(run), "problems": self._problems(run.dataset)}
        return self._make("evaluation", run.slug, params, inputs)

    # --- figures ----------------------------------------------------------------------------

    def _bandit_figure(self, name: str, figure: Figure) -> Artefact:
        bandit = self._c.bandit
        experiment = {"entropy": "limit"}.get(figure.experiment, figure.experiment)
        settings = {name: getattr(bandit, name) for name in BANDIT_SETTINGS[experiment]}
        data = self._make("bandit", experiment, {"experiment": experiment, "settings": settings})
        params = _frame(figure) | {
            "experiment": figure.experiment,
            "caption": bandit_caption(self._c, figure),
        }
        return self._make("figure", name, params, {"data": data}, script=SCRIPTS["bandit_figure"])

    def _training_figure(self, name: str, figure: Figure) -> Artefact:
        controls = [run for sweep in figure.controls for run in self._runs(name, sweep)]
        inputs: dict[str, Artefact] = {}

        def curve(run: Run, control: bool) -> dict[str, Any]:
            inputs[run.slug] = self._evaluation(run)
            inputs[f"{run.slug}/training"] = self._training(run)
            described = {
                "model": self._c.models[run.model],
                "dataset": self._c.datasets[run.dataset],
            }
            return {
                "input": run.slug,
                "control": control,
                "objective": run.objective,
                "delta_v": run.delta_v,
                "N": run.N,
                "seed": run.seed,
                **described,
            }

        panels = []
        for panel in figure.panels:
            runs = [r for sweep in panel.runs or figure.runs for r in self._runs(name, sweep)]
            # A control stands where its own objective is shown.
            own_controls = [r for r in dict.fromkeys(controls) if r.subject in {run.subject for run in runs}]
            panels.append(
                {
                    "title": panel.title,
                    "measure": panel.measure,
                    "draw": panel.draw,
                    "curves": [curve(r, False) for r in dict.fromkeys(runs)]
                    + [curve(r, True) for r in own_controls],
                }
            )
        params = _frame(figure) | {
            "panels": panels,
            "smoothing_window": self._c.smoothing_window,
            "rewards": self._c.algorithm.rewards.model_dump(),
            "caption": training_caption(self._c, name, figure),
        }
        return self._make("figure", name, params, inputs, script=SCRIPTS["training_figure"])

    def _calibration_figure(self) -> Artefact:
        k, t = self._c.calibration, self._c.training
        N = t.N.get(k.N, k.N)
        runs = [
            Run(k.model, k.dataset, o, k.delta_v if o == "asymre" else None, N, seed, rate)
            for o in ("asymre", "grpo")
            for rate in k.learning_rates
            for seed in k.seeds
        ]
        inputs = {f"{run.slug}_lr{run.learning_rate:.12g}": self._evaluation(run) for run in runs}
        params = {
            "N": N,
            "tolerance": k.tolerance,
            "runs": [
                {
                    "input": key,
                    "objective": run.objective,
                    "learning_rate": run.learning_rate,
                    "seed": run.seed,
                }
                for key, run in zip(inputs, runs, strict=True)
            ],
        }
        table = self._make("calibration", f"{k.model}_{k.dataset}", params, inputs)
        return self._make(
            "figure",
            "calibration",
            {"caption": calibration_caption(self._c)},
            {"table": table},
            script=SCRIPTS["calibration_figure"],
        )


# What each bandit experiment uses: nothing else of the section can make its results stale.
BANDIT_SETTINGS = {
    "limit": (
        "arms",
        "reward_seed",
        "instances",
        "steps",
        "learning_rate",
        "baselines",
        "support_threshold",
        "sampled_batch",
        "sampled_seeds",
    ),
    "improvement": (
        "arms",
        "reward_seed",
        "instances",
        "improvement_baselines",
        "iterations",
        "improvement_steps",
        "learning_rate",
    ),
    "threshold": ("arms", "reward_seed", "threshold_instances"),
}


def build(root: Path, configuration: Configuration) -> Plan:
    """The plan of a configuration for the source tree at `root`."""
    return _Builder(root, configuration).plan()


def _sweeps(figure: Figure) -> list[Sweep]:
    panels = [panel.runs or figure.runs for panel in figure.panels]
    return [*(sweep for runs in panels for sweep in runs), *figure.controls]


def _frame(figure: Figure) -> dict[str, Any]:
    return {"title": figure.title, "width": figure.width, "height": figure.height}
