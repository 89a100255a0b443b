"""The artefacts behind the figures: from a configuration and the source tree to ids and dependencies."""

from pathlib import Path
from typing import Any

from asymre.artefact import Artefact
from asymre.fingerprint import code_of, packages_of
from asymre.runs import Run
from asymre.schema import Configuration

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


class Builder:
    """Makes the artefacts of a configuration, each once."""

    def __init__(self, root: Path, configuration: Configuration):
        self.configuration = self._c = configuration
        self.artefacts: dict[str, Artefact] = {}  # by path
        self.parts: dict[str, list[Artefact]] = {}  # of a training in several jobs
        self.scripts: dict[str, str] = {}  # by path
        self._root = root
        self._memory: dict[tuple, Any] = {}

    def make(self, kind, slug, params, inputs=None, *, script=None, also=()) -> Artefact:
        """An artefact; `script` if its kind has several, `also` what the script imports by name."""
        script = script or SCRIPTS[kind]
        code = self._remember(("code", script, also), lambda: code_of(self._root, script, also))
        packages = self._remember(("packages", script, also), lambda: packages_of(self._root, tuple(code)))
        artefact = Artefact(kind, slug, params, code, packages, inputs or {})
        self.scripts[artefact.path] = script
        return self.artefacts.setdefault(artefact.path, artefact)

    def _remember(self, key: tuple, make) -> Any:
        if key not in self._memory:
            self._memory[key] = make()
        return self._memory[key]

    def _problems(self, dataset: str) -> Artefact:
        task, size = self._c.tasks[dataset], self._c.problems
        params = {"terms": task.terms, "operators": task.operators, **size.model_dump()}
        return self._remember(("problems", dataset), lambda: self.make("problems", dataset, params))

    def _base_policy(self, model: str) -> Artefact:
        params = {
            "stand_in": self._c.stand_ins[model].model_dump(),
            "tasks": {
                name: task.model_dump(exclude={"max_new_tokens"}) for name, task in self._c.tasks.items()
            },
            "pretraining": self._c.pretraining.model_dump(mode="json"),
        }
        return self._remember(("base_policy", model), lambda: self.make("base_policy", model, params))

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
        return self.make(
            "rollouts", slug, params, {"policy": policy, "problems": self._problems(run.dataset)}
        )

    def training(self, run: Run) -> Artefact:
        """The whole run, whether one job makes it or several (`parts`)."""
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
            return self.make(kind, slug, params | span, inputs, also=also)

        base = self._base_policy(run.model)
        training = segment("training", base, 0, t.steps)
        cycles = -(-t.steps // run.N)
        if t.cycles_per_job != "all" and t.cycles_per_job < cycles:
            policy, parts, length = base, [], run.N * t.cycles_per_job
            for first in range(0, t.steps, length):
                policy = segment("cycles", policy, first, min(first + length, t.steps))
                parts.append(policy)
            self.parts[training.path] = parts
        return training

    def evaluation(self, run: Run) -> Artefact:
        """The evaluation of every snapshot of a run."""
        params = {
            **self._c.evaluation.model_dump(),
            "max_new_tokens": self._c.tasks[run.dataset].max_new_tokens,
            "prompts_per_batch": self._c.training.prompts_per_batch,
            "test_sampling": self._c.algorithm.test_sampling.model_dump(),
            "seed": run.seed,
        }
        inputs = {"training": self.training(run), "problems": self._problems(run.dataset)}
        return self.make("evaluation", run.slug, params, inputs)
