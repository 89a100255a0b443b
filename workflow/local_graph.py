"""Engine local in the plan (`engines.Engine`): one job per run, or one for every few cycles.

A pretrained model's snapshots are large: its run is one job, which evaluates them.
"""

from dataclasses import replace

from asymre.metrics.measures import OF_DIVERSITY, OF_FIRST_CYCLE
from asymre.specs import CycleRolloutSpec, EvaluatedTrainingSpec, RunEvaluationSpec
from paper.configuration.runs import Run
from store.artefact import Artefact
from store.graph import Checkpoints
from workflow.builder import Builder

CHECKPOINTS = Checkpoints()


def training(b: Builder, run: Run) -> Artefact:
    """Return the training of a whole run, by one job or joined from several (`b.graph.joined`)."""
    return b.once(("training", run), lambda: _new_training(b, run))


def evaluation(b: Builder, run: Run) -> Artefact:
    """Return the evaluation of every snapshot of a run: a pretrained model's run holds its own."""
    if run.model in b.configuration.pretrained:
        return training(b, run)
    return _evaluation(b, run, run.slug, RunEvaluationSpec(b.evaluation(run), steps=None))


def diversity(b: Builder, run: Run) -> Artefact:
    """Return an evaluation of the base policy and the end of a run with more samples."""
    ends = (0, b.configuration.training.steps)
    return _evaluation(b, run, f"{run.slug}_diversity", _with_more_samples(b, run, ends, OF_DIVERSITY))


def first_cycle(b: Builder, run: Run) -> Artefact:
    """Return an evaluation of the base policy and the end of the first cycle with more samples."""
    ends = (0, run.N)
    return _evaluation(b, run, f"{run.slug}_cycle1", _with_more_samples(b, run, ends, OF_FIRST_CYCLE))


def _with_more_samples(b: Builder, run: Run, steps: tuple[int, int], samplings: tuple) -> RunEvaluationSpec:
    samples = b.configuration.evaluation.diversity_samples
    spec = replace(b.evaluation(run), samples=samples, samplings=samplings)
    return RunEvaluationSpec(spec, steps)


def _evaluation(b: Builder, run: Run, slug: str, spec: RunEvaluationSpec) -> Artefact:
    return b.once(("evaluation", run, slug), lambda: _new_evaluation(b, run, slug, spec))


def _new_evaluation(b: Builder, run: Run, slug: str, spec: RunEvaluationSpec) -> Artefact:
    inputs = {
        "training": training(b, run),
        "base_policy": b.base_policy(run),
        "problems": b.problems(run.dataset),
    }
    also = b.verified_by(run.dataset)
    return b.make("evaluation", slug, spec, inputs, script="scripts.evaluate_policy_local", also=also)


def last_cycles(b: Builder, runs: list[Run]) -> set[str]:
    """Return no ids: a run's last policy and optimiser are part of its training."""
    return set()


def _new_training(b: Builder, run: Run) -> Artefact:
    t = b.configuration.training
    problems, base = b.problems(run.dataset), b.base_policy(run)
    also = (f"asymre.objectives.{run.objective}", *b.verified_by(run.dataset))

    def steps(kind: str, policy: Artefact, first: int, until: int) -> Artefact:
        slug = run.slug if kind == "training" else f"{run.slug}_step{until}"
        rollouts = _rollouts(b, run, policy, first) if run.refreshed else _rollouts(b, run, base, 0)
        inputs = {"policy": policy, "problems": problems, "rollouts": rollouts}
        spec = b.training(run, first_step=first, until=until)
        return b.make(kind, slug, spec, inputs, script="scripts.train_policy_local", also=also)

    if run.model in b.configuration.pretrained:
        inputs = {"policy": base, "problems": problems, "rollouts": _rollouts(b, run, base, 0)}
        spec = EvaluatedTrainingSpec(b.training(run, first_step=0, until=t.steps), b.evaluation(run))
        return b.make("training", run.slug, spec, inputs, script="scripts.train_policy_pretrained", also=also)
    whole = steps("training", base, 0, t.steps)
    cycles = -(-t.steps // run.N)
    if t.cycles_per_job != "all" and t.cycles_per_job < cycles:
        policy, joined, length = base, [], run.N * t.cycles_per_job
        for first in range(0, t.steps, length):
            policy = steps("cycles", policy, first, min(first + length, t.steps))
            joined.append(policy)
        b.graph.joined[whole.path] = joined
    return whole


def _rollouts(b: Builder, run: Run, policy: Artefact, first_step: int) -> Artefact:
    steps = min(run.N, b.configuration.training.steps - first_step)
    spec = CycleRolloutSpec(b.rollouts(run), run.seed, first_step, steps)
    slug = f"{run.slug if first_step else run.start_slug}_step{first_step}"
    inputs = {"policy": policy, "problems": b.problems(run.dataset)}
    also = b.verified_by(run.dataset)
    return b.make("rollouts", slug, spec, inputs, script="scripts.sample_rollouts_local", also=also)
