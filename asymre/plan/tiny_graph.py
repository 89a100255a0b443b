"""Engine tiny in the plan (`engines.Engine`): one job a run, or a job for some cycles each."""

from asymre.config.runs import Run
from asymre.measures.catalogue import OF_DIVERSITY, OF_FIRST_CYCLE
from asymre.plan.builder import Builder
from asymre.record.artefact import Artefact

BESIDE: tuple[str, ...] = ()
READS: dict[str, tuple[str, ...]] = {}


def training(b: Builder, run: Run) -> Artefact:
    """The whole run, whether one job makes it or several (`b.parts`)."""
    return b.remember(("training", run), lambda: _new_training(b, run))


def evaluation(b: Builder, run: Run) -> Artefact:
    """The evaluation of every snapshot of a run."""
    return _evaluation(b, run, run.slug, {"steps": None})


def diversity(b: Builder, run: Run) -> Artefact:
    """An evaluation of the base policy and of the end of a run with more samples."""
    c = b.configuration
    params = {
        "steps": [0, c.training.steps],
        "samples": c.evaluation.diversity_samples,
        "samplings": OF_DIVERSITY,
    }
    return _evaluation(b, run, f"{run.slug}_diversity", params)


def first_cycle(b: Builder, run: Run) -> Artefact:
    """An evaluation of the base policy and of the end of the first cycle with more samples."""
    params = {
        "steps": [0, run.N],
        "samples": b.configuration.evaluation.diversity_samples,
        "samplings": OF_FIRST_CYCLE,
    }
    return _evaluation(b, run, f"{run.slug}_cycle1", params)


def _evaluation(b: Builder, run: Run, slug: str, params: dict) -> Artefact:
    return b.remember(("evaluation", run, slug), lambda: _new_evaluation(b, run, slug, params))


def _new_evaluation(b: Builder, run: Run, slug: str, params: dict) -> Artefact:
    params = b.evaluation_params(run) | params
    inputs = {
        "training": training(b, run),
        "base_policy": b.base_policy(run),
        "problems": b.problems(run.dataset),
    }
    also = b.verified_by(run.dataset)
    return b.make("evaluation", slug, params, inputs, script="evaluate_policy_tiny.py", also=also)


def kept(b: Builder, runs: list[Run]) -> set[str]:
    """A run's last policy and optimiser are part of its training."""
    return set()


def _new_training(b: Builder, run: Run) -> Artefact:
    t = b.configuration.training
    params = b.training_params(run) | {"seed": run.seed, "rollouts": b.rollout_params(run)}
    problems, base = b.problems(run.dataset), b.base_policy(run)

    def segment(kind: str, policy: Artefact, first: int, until: int) -> Artefact:
        slug = run.slug if kind == "training" else f"{run.slug}_step{until}"
        rollouts = _rollouts(b, run, policy, first) if run.refreshed else _rollouts(b, run, base, 0)
        inputs = {"policy": policy, "problems": problems, "rollouts": rollouts}
        span = {"first_step": first, "until": until}
        also = (f"asymre/objectives/{run.objective}.py", *b.verified_by(run.dataset))
        return b.make(kind, slug, params | span, inputs, script="train_policy_tiny.py", also=also)

    whole = segment("training", base, 0, t.steps)
    cycles = -(-t.steps // run.N)
    if t.cycles_per_job != "all" and t.cycles_per_job < cycles:
        policy, parts, length = base, [], run.N * t.cycles_per_job
        for first in range(0, t.steps, length):
            policy = segment("cycles", policy, first, min(first + length, t.steps))
            parts.append(policy)
        b.parts[whole.path] = parts
    return whole


def _rollouts(b: Builder, run: Run, policy: Artefact, first_step: int) -> Artefact:
    steps = min(run.N, b.configuration.training.steps - first_step)
    params = b.rollout_params(run) | {"seed": run.seed, "first_step": first_step, "steps": steps}
    slug = f"{run.slug if first_step else run.start_slug}_step{first_step}"
    inputs = {"policy": policy, "problems": b.problems(run.dataset)}
    also = b.verified_by(run.dataset)
    return b.make("rollouts", slug, params, inputs, script="sample_rollouts_tiny.py", also=also)
