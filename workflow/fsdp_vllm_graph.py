"""Engine fsdp_vllm in the plan (`engines.Engine`): one job per shard, cycle and snapshot.

A cycle writes its metrics to `cycles/<id>`, and large, mostly temporary checkpoints with the same id:
`policies/<id>` (at its end), `snapshots/<id>` (within it), `state/<id>` (float32 weights and optimiser).
"""

from dataclasses import replace

from asymre.specs import (
    CycleRolloutSpec,
    FsdpTrainingSpec,
    Generation,
    JoinSpec,
    ShardSpec,
    SnapshotEvaluationSpec,
)
from paper.configuration.runs import Run
from paper.configuration.schema import OBJECTIVES
from store.artefact import Artefact
from store.graph import Checkpoints
from workflow.builder import Builder

CHECKPOINTS = Checkpoints(
    of="cycles",
    folders=("policies", "snapshots", "state"),
    read_by={
        "rollouts": ("policies",),
        "cycles": ("state",),
        "snapshot_evaluation": ("policies", "snapshots"),
    },
)


def training(b: Builder, run: Run) -> Artefact:
    """Return the metrics of all cycles of a run."""
    return b.once(("training", run), lambda: _joined(b, "training", "metrics.parquet", run, _cycles(b, run)))


def evaluation(b: Builder, run: Run) -> Artefact:
    """Return the evaluation of the base policy and every snapshot of a run."""
    parts = [_snapshot_evaluation(b, run, b.base_policy(run), step=0, until=0)]
    for cycle, (first, until) in zip(_cycles(b, run), _spans(b, run), strict=True):
        spec = b.training(run, first_step=first, until=until)
        steps = [step for step in range(first + 1, until) if spec.is_snapshot(step)]
        parts += [_snapshot_evaluation(b, run, cycle, step=step, until=until) for step in [*steps, until]]
    return _joined(b, "evaluation", "evaluation.parquet", run, parts)


def diversity(b: Builder, run: Run) -> Artefact:
    """Raise ValueError; the configuration already rejects charts that would read it."""
    raise ValueError("engine fsdp_vllm has no evaluation of diversity")


def first_cycle(b: Builder, run: Run) -> Artefact:
    """Raise ValueError, like `diversity`."""
    raise ValueError("engine fsdp_vllm has no evaluation of the first cycle alone")


def last_cycles(b: Builder, runs: list[Run]) -> set[str]:
    """Return the ids of the last cycles of runs if the configuration keeps their policies and states."""
    return {_cycles(b, run)[-1].id for run in runs} if b.configuration.fsdp_vllm.keep_state else set()


def _joined(b: Builder, kind: str, file: str, run: Run, parts: list[Artefact]) -> Artefact:
    inputs = {str(index): part for index, part in enumerate(parts)}
    return b.make(kind, run.slug, JoinSpec(file), inputs, script="scripts.join_cycles")


def _spans(b: Builder, run: Run) -> list[tuple[int, int]]:
    """Return the steps after which each cycle begins and ends."""
    steps = b.configuration.training.steps
    return [(first, min(first + run.N, steps)) for first in range(0, steps, run.N)]


def _cycles(b: Builder, run: Run) -> list[Artefact]:
    return b.once(("cycles", run), lambda: _new_cycles(b, run))


def _new_cycles(b: Builder, run: Run) -> list[Artefact]:
    own = b.configuration.fsdp_vllm
    recomputed = own.recompute_log_probs and run.refreshed and OBJECTIVES[run.objective].takes_ratio
    also = (f"asymre.objectives.{run.objective}",)
    base, problems, cycles = b.base_policy(run), b.problems(run.dataset), []
    for first, until in _spans(b, run):
        policy = cycles[-1] if cycles else base
        inputs = {"base_policy": base, "problems": problems}
        inputs |= {"previous": policy} if cycles else {}
        sampled = (policy, first, until) if run.refreshed else (base, 0, run.N)
        inputs |= {f"rollouts_{i}": s for i, s in enumerate(_shards(b, run, *sampled))}
        training = b.training(run, first_step=first, until=until)
        # Only the order of epochs, if all cycles share the same rollouts, needs a seed.
        training = replace(training, seed=None) if run.refreshed else training
        spec = FsdpTrainingSpec(training, own.dtype, recomputed)
        slug, script = f"{run.slug}_step{until}", "scripts.train_cycle_fsdp"
        cycles.append(b.make("cycles", slug, spec, inputs, script=script, also=also))
    return cycles


def _shards(b: Builder, run: Run, policy: Artefact, first: int, until: int) -> list[Artefact]:
    shards = b.configuration.fsdp_vllm.shards
    cycle = CycleRolloutSpec(b.rollouts(run), run.seed, first, until - first)
    slug = f"{run.slug if first else run.start_slug}_step{first}"
    inputs = {"policy": policy, "problems": b.problems(run.dataset)}
    return [
        b.make(
            "rollouts",
            f"{slug}_shard{shard}",
            ShardSpec(cycle, _generation(b, run.dataset), shards, shard),
            inputs,
            script="scripts.sample_rollouts_vllm",
            also=b.verified_by(run.dataset),
        )
        for shard in range(shards)
    ]


def _snapshot_evaluation(b: Builder, run: Run, policy: Artefact, *, step: int, until: int) -> Artefact:
    """Return the evaluation of a snapshot of `policy`: the base policy, or the cycle that ends at `until`."""
    spec = SnapshotEvaluationSpec(b.evaluation(run), _generation(b, run.dataset), step, until)
    slug = f"{run.slug if step else run.start_slug}_step{step}"
    inputs = {"policy": policy, "base_policy": b.base_policy(run), "problems": b.problems(run.dataset)}
    script, also = "scripts.evaluate_snapshot_vllm", b.verified_by(run.dataset)
    return b.make("snapshot_evaluation", slug, spec, inputs, script=script, also=also)


def _generation(b: Builder, dataset: str) -> Generation:
    data = b.configuration.data.get(dataset)
    dtype = b.configuration.fsdp_vllm.dtype
    return Generation(dtype, data.prompt if data else None, data.prompt_date if data else None)
