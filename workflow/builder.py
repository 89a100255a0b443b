"""The artefacts upstream of the figures: from a configuration and the source tree to ids and dependencies.

What both engines share; `engines` names the modules that plan the cycles of each.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asymre import content, tasks
from asymre.engines.local import checkpoint
from asymre.metrics.measures import MEASURES, OF_EVERY_RUN
from asymre.specs import (
    DatasetProblemsSpec,
    EvaluationSpec,
    LocalPretrainedSpec,
    PackageSpec,
    PassRatesSpec,
    PretrainedSpec,
    Pretraining,
    Rewards,
    RolloutSpec,
    Sampling,
    SourceSpec,
    StandInSpec,
    StandInTask,
    TaskProblemsSpec,
    TrainingSpec,
)
from paper.configuration.checks import TAUGHT
from paper.configuration.runs import Run, runs_of
from paper.configuration.schema import OBJECTIVES, Configuration, Data, Pretrained, Source
from store.artefact import Artefact
from store.fingerprint import Project
from store.graph import Builder as GraphBuilder


def task_module(kind: str) -> str:
    """Return the module of a task; scripts load it by name."""
    return f"asymre.tasks.{kind}"


@contextmanager
def _key(path: str) -> Iterator[None]:
    """Prefix the message of a ValueError with the key of the configuration."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


class Builder:
    """Builds the artefacts of a configuration, each once."""

    def __init__(self, configuration: Configuration, project: Project):
        self.configuration = configuration
        self.graph = GraphBuilder(project)
        self.make, self.once = self.graph.make, self.graph.once

    def problems(self, dataset: str) -> Artefact:
        """Return the training and test problems of a data set."""
        return self.once(("problems", dataset), lambda: self._new_problems(dataset))

    def _new_problems(self, dataset: str) -> Artefact:
        if dataset in self.configuration.data:
            return self._real_problems(dataset, self.configuration.data[dataset])
        task = self.configuration.tasks[dataset]
        without = tasks.load(task.kind).corpus_settings
        settings = {name: value for name, value in task.settings.items() if name not in without}
        spec = TaskProblemsSpec(task.kind, settings, **self.configuration.problems.model_dump())
        also = (task_module(task.kind),)
        return self.make("problems", dataset, spec, script="scripts.make_problems_task", also=also)

    def _real_problems(self, dataset: str, data: Data) -> Artefact:
        def source(of: Source | None) -> SourceSpec | None:
            if of is None:
                return None
            revision = of.revision
            if of.folder:
                # The content counts, not the path.
                with _key(f"data.{dataset}"):
                    revision = content.files_hash(Path(of.folder), of.files)
            return SourceSpec(of.hub, of.folder, revision or "", tuple(of.files))

        spec = DatasetProblemsSpec(
            format=data.format,
            train=source(data.train),
            test=source(data.test),
            source=source(data.source),
            held_out=source(data.held_out),
            overlap=data.overlap,
            train_problems=data.train_problems,
            test_problems=data.test_problems,
            seed=data.seed,
        )
        return self.make("problems", dataset, spec, script="scripts.make_problems_dataset")

    def base_policy(self, run: Run) -> Artefact:
        """Return the policy that a run starts from: its model's, or that of its own seed."""
        key = ("base_policy", run.model, run.base_seed)
        return self.once(key, lambda: self._new_base_policy(run.model, run.base_seed))

    def _new_base_policy(self, model: str, seed: int | None) -> Artefact:
        c = self.configuration
        if model in c.pretrained:
            return self._pretrained(model, c.pretrained[model])
        stand_in = c.stand_ins[model]
        own_tasks = {name: c.tasks[name] for name in stand_in.tasks}
        pretraining = c.pretraining.model_dump() | ({} if seed is None else {"seed": seed})
        spec = StandInSpec(
            stand_in=stand_in.decoder(),
            tasks=tuple(StandInTask(n, t.kind, t.settings, t.never_solved) for n, t in own_tasks.items()),
            pretraining=Pretraining(**pretraining),
        )
        slug = model if seed is None else f"{model}_base{seed}"
        also = tuple(sorted({task_module(task.kind) for task in own_tasks.values()}))
        return self.make("base_policy", slug, spec, script="scripts.make_base_policy_stand_in", also=also)

    def _pretrained(self, model: str, own: Pretrained) -> Artefact:
        with _key(f"pretrained.{model}.folder"):
            # The content counts, not the path.
            found = content.folder_hash(Path(own.folder)) if own.folder else None
        source = PretrainedSpec(
            hub=own.hub,
            revision=own.revision,
            folder=own.folder,
            content=found,
            package=PackageSpec(**own.package.model_dump()) if own.package else None,
            architecture=own.architecture.model_dump(),
        )
        local = self.configuration.local
        if local is None:
            return self.make("base_policy", model, source, script="scripts.make_base_policy_pretrained")
        spec = LocalPretrainedSpec(source, local.products, **self._few_shot())
        if own.folder:
            with _key(f"pretrained.{model}.folder"):
                check = {"end": spec.end, "longest": spec.longest, "new_tokens": spec.new_tokens}
                checkpoint.check(Path(own.folder), source.architecture, **check)
        return self.make("base_policy", model, spec, script="scripts.make_base_policy_local")

    def _few_shot(self) -> dict[str, Any]:
        """Return what a pretrained model of engine local must be able to read and end, over all its tasks."""
        own = [task for task in self.configuration.tasks.values() if task.kind not in TAUGHT]
        prompts = [tasks.load(task.kind)(**task.settings) for task in own]
        return {
            "end": prompts[0].end,
            "longest": max((prompt.longest_prompt for prompt in prompts), key=len),
            "new_tokens": max(task.max_new_tokens for task in own),
        }

    def pass_rates(self, run: Run) -> Artefact:
        """Return what holds the pass rates of a run's base policy on its task: of a stand-in, itself."""
        if run.model not in self.configuration.pretrained:
            return self.base_policy(run)
        return self.once(("pass_rates", run.model, run.dataset), lambda: self._new_pass_rates(run))

    def _new_pass_rates(self, run: Run) -> Artefact:
        task = self.configuration.tasks[run.dataset]
        spec = PassRatesSpec(run.dataset, task.kind, task.settings, task.max_new_tokens)
        inputs, slug = {"policy": self.base_policy(run)}, f"{run.model}_{run.dataset}"
        also = self.verified_by(run.dataset)
        return self.make("pass_rates", slug, spec, inputs, script="scripts.rate_base_policy", also=also)

    def rollouts(self, run: Run) -> RolloutSpec:
        """Return how the rollouts of a run are sampled and rewarded, whatever the engine."""
        a = self.configuration.algorithm
        return RolloutSpec(
            prompts_per_step=a.prompts_per_step,
            group_size=a.group_size,
            max_new_tokens=self.max_new_tokens(run.dataset),
            sampling=Sampling(**a.train_sampling.model_dump()),
            rewards=Rewards(**a.rewards.model_dump()),
            verifier=self.verifier(run.dataset),
        )

    def verifier(self, dataset: str) -> str:
        """Return what judges the completions: a task by name, or boxed, the last box of a text."""
        return self.configuration.tasks[dataset].kind if dataset in self.configuration.tasks else "boxed"

    def verified_by(self, dataset: str) -> tuple[str, ...]:
        """Return the module of the verifier, if scripts load one by name."""
        task = self.configuration.tasks.get(dataset)
        return (task_module(task.kind),) if task else ()

    def max_new_tokens(self, dataset: str) -> int:
        """Return the length at which completions are truncated."""
        c = self.configuration
        return (c.tasks.get(dataset) or c.data[dataset]).max_new_tokens

    def training(self, run: Run, *, first_step: int, until: int) -> TrainingSpec:
        """Return how some steps of a run are trained, whatever the engine."""
        c = self.configuration
        settings = {} if run.delta_v is None else {"delta_v": run.delta_v}
        own = getattr(c.objectives, run.objective, None)
        return TrainingSpec(
            objective=run.objective,
            settings=settings | (own.model_dump() if own else {}),
            normalisation=OBJECTIVES[run.objective].normalisation or c.algorithm.normalisation,
            learning_rate=run.learning_rate,
            gradient_clip=c.training.gradient_clip,
            N=run.N,
            refreshed=run.refreshed,
            snapshot_every=c.training.snapshot_every,
            extra_snapshots=tuple(sorted(c.training.extra_snapshots)),
            rollouts=self.rollouts(run),
            seed=run.seed,
            first_step=first_step,
            until=until,
        )

    def evaluation(self, run: Run) -> EvaluationSpec:
        """Return how the snapshots of a run are evaluated, whatever the engine."""
        e = self.configuration.evaluation
        drawn = self.once(("samplings",), self._drawn).get(run, ())
        return EvaluationSpec(
            samples=e.samples,
            train_problems=e.train_problems,
            test_problems=e.test_problems,
            max_new_tokens=self.max_new_tokens(run.dataset),
            test_sampling=Sampling(**self.configuration.algorithm.test_sampling.model_dump()),
            verifier=self.verifier(run.dataset),
            samplings=(*OF_EVERY_RUN, *sorted(drawn)),
            seed=run.seed,
        )

    def _drawn(self) -> dict[Run, set[tuple[str, float | None]]]:
        """Return, by run, the samplings that its panels read beyond those of every run."""
        drawn: dict[Run, set] = {}
        for name, figure in self.configuration.figures.items():
            for panel in figure.panels:
                sampling = MEASURES[panel.measure].sampling
                if sampling not in OF_EVERY_RUN:
                    for sweep in [*(panel.runs or figure.runs), *figure.controls]:
                        for run in runs_of(self.configuration, name, sweep):
                            drawn.setdefault(run, set()).add(sampling)
        return drawn
