"""The artefacts behind the figures: from a configuration and the source tree to ids and dependencies.

What both engines share; `engines` says where the chain of cycles of each is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asymre import tasks
from asymre.config.runs import Run, runs_of
from asymre.config.schema import Configuration, Data
from asymre.measures.catalogue import MEASURES, OF_EVERY_RUN
from asymre.record import content
from asymre.record.artefact import Artefact
from asymre.record.fingerprint import code_of, packages_of


def task_module(kind: str) -> str:
    """The file of a task, which scripts load by name."""
    return f"asymre/tasks/{kind}.py"


@contextmanager
def _key(path: str) -> Iterator[None]:
    """A ValueError with the key of the configuration that it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


class Builder:
    """Makes the artefacts of a configuration, each once."""

    def __init__(self, root: Path, configuration: Configuration):
        self.configuration = configuration
        self.artefacts: dict[str, Artefact] = {}  # by path
        self.parts: dict[str, list[Artefact]] = {}  # of a training in several jobs
        self.scripts: dict[str, str] = {}  # by path
        self._root = root
        self._memory: dict[tuple, Any] = {}

    def make(self, kind, slug, params, inputs=None, *, script, also=()) -> Artefact:
        """An artefact; `script` is a file in scripts/, `also` what the script imports by name."""
        script = f"scripts/{script}"
        code = self.remember(("code", script, also), lambda: code_of(self._root, script, also))
        packages = self.remember(("packages", script, also), lambda: packages_of(self._root, tuple(code)))
        artefact = Artefact(kind, slug, params, code, packages, inputs or {})
        self.scripts[artefact.path] = script
        return self.artefacts.setdefault(artefact.path, artefact)

    def remember(self, key: tuple, make) -> Any:
        """What `make` returned the first time that it was called for this key."""
        if key not in self._memory:
            self._memory[key] = make()
        return self._memory[key]

    def problems(self, dataset: str) -> Artefact:
        """The training and test problems of a data set."""
        return self.remember(("problems", dataset), lambda: self._new_problems(dataset))

    def _new_problems(self, dataset: str) -> Artefact:
        if dataset in self.configuration.data:
            return self._real_problems(dataset, self.configuration.data[dataset])
        task = self.configuration.tasks[dataset]
        without = tasks.load(task.kind).corpus_settings
        settings = {name: value for name, value in task.settings.items() if name not in without}
        params = {"task": task.kind, "settings": settings, **self.configuration.problems.model_dump()}
        also = (task_module(task.kind),)
        return self.make("problems", dataset, params, script="make_problems_task.py", also=also)

    def _real_problems(self, dataset: str, data: Data) -> Artefact:
        params = data.model_dump(exclude={"prompt", "prompt_date", "max_new_tokens"}, exclude_none=True)
        for source in params.values():
            if isinstance(source, dict) and "folder" in source:
                # A path does not say what it holds.
                with _key(f"data.{dataset}"):
                    source["revision"] = content.files_hash(Path(source["folder"]), source["files"])
        return self.make("problems", dataset, params, script="make_problems_dataset.py")

    def base_policy(self, run: Run) -> Artefact:
        """The policy that a run starts from: of all runs of its model, or its own."""
        key = ("base_policy", run.model, run.base_seed)
        return self.remember(key, lambda: self._new_base_policy(run.model, run.base_seed))

    def _new_base_policy(self, model: str, seed: int | None) -> Artefact:
        c = self.configuration
        if model in c.pretrained:
            source = c.pretrained[model].model_dump()
            if source["folder"]:
                # A path does not say what it holds.
                with _key(f"pretrained.{model}.folder"):
                    source["content"] = content.folder_hash(Path(source["folder"]))
            return self.make("base_policy", model, source, script="make_base_policy_pretrained.py")
        stand_in = c.stand_ins[model]
        own = {name: c.tasks[name] for name in stand_in.tasks}
        params = {
            "stand_in": stand_in.decoder(),
            "tasks": [
                {"name": n, "task": t.kind, "settings": t.settings, "never_solved": t.never_solved}
                for n, t in own.items()
            ],
            "pretraining": c.pretraining.model_dump(mode="json") | ({} if seed is None else {"seed": seed}),
        }
        slug = model if seed is None else f"{model}_base{seed}"
        also = tuple(sorted({task_module(task.kind) for task in own.values()}))
        return self.make("base_policy", slug, params, script="make_base_policy_stand_in.py", also=also)

    def rollout_params(self, run: Run) -> dict[str, Any]:
        """How the rollouts of a run are sampled and rewarded, whatever the engine."""
        a = self.configuration.algorithm
        return {
            "prompts_per_step": a.prompts_per_step,
            "group_size": a.group_size,
            "max_new_tokens": self.max_new_tokens(run.dataset),
            **a.train_sampling.model_dump(),
            "rewards": a.rewards.model_dump(),
            "verifier": self.verifier(run.dataset),
        }

    def verifier(self, dataset: str) -> str:
        """What judges the completions: a task, by its name, or boxed, the last box of a text."""
        return self.configuration.tasks[dataset].kind if dataset in self.configuration.tasks else "boxed"

    def verified_by(self, dataset: str) -> tuple[str, ...]:
        """The module of the verifier, for scripts that load it by name."""
        task = self.configuration.tasks.get(dataset)
        return (task_module(task.kind),) if task else ()

    def max_new_tokens(self, dataset: str) -> int:
        """Length at which a completion is cut off."""
        c = self.configuration
        return (c.tasks.get(dataset) or c.data[dataset]).max_new_tokens

    def training_params(self, run: Run) -> dict[str, Any]:
        """How a run is trained, whatever the engine."""
        c = self.configuration
        settings = {} if run.delta_v is None else {"delta_v": run.delta_v}
        own = getattr(c.objectives, run.objective, None)
        settings |= own.model_dump() if own else {}
        return {
            "objective": run.objective,
            "settings": settings,
            "normalisation": c.algorithm.normalisation,
            "learning_rate": run.learning_rate,
            "gradient_clip": c.training.gradient_clip,
            "N": run.N,
            "refreshed": run.refreshed,
            "snapshot_every": c.training.snapshot_every,
            "extra_snapshots": sorted(c.training.extra_snapshots),
        }

    def evaluation_params(self, run: Run) -> dict[str, Any]:
        """How the snapshots of a run are evaluated, whatever the engine."""
        return {
            **self.configuration.evaluation.model_dump(exclude={"diversity_samples"}),
            "max_new_tokens": self.max_new_tokens(run.dataset),
            "test_sampling": self.configuration.algorithm.test_sampling.model_dump(),
            "verifier": self.verifier(run.dataset),
            "samplings": [*OF_EVERY_RUN, *sorted(self.remember(("samplings",), self._drawn).get(run, ()))],
            "seed": run.seed,
        }

    def _drawn(self) -> dict[Run, set[tuple[str, float | None]]]:
        """What the panels that draw a run read beyond what every run has."""
        drawn: dict[Run, set] = {}
        for name, figure in self.configuration.figures.items():
            for panel in figure.panels:
                sampling = MEASURES[panel.measure].sampling
                if sampling not in OF_EVERY_RUN:
                    for sweep in [*(panel.runs or figure.runs), *figure.controls]:
                        for run in runs_of(self.configuration, name, sweep):
                            drawn.setdefault(run, set()).add(sampling)
        return drawn
