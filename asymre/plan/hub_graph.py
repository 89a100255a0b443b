"""Engine hub in the plan (`engines.Engine`): a job for each shard, cycle and snapshot.

A cycle leaves its metrics under `cycles/<id>`, and beside them, under the same id, what is large and most
of it temporary: `policies/<id>` (at its end), `snapshots/<id>` (on the way), `state/<id>` (float32 weights
and optimiser).
"""

from typing import Any

from asymre.config.runs import Run
from asymre.config.schema import OBJECTIVES
from asymre.cycle.snapshots import is_snapshot
from asymre.plan.builder import Builder
from asymre.record.artefact import Artefact

BESIDE = ("policies", "snapshots", "state")
# What the jobs of a kind read of an earlier cycle.
READS = {"rollouts": ("policies",), "cycles": ("state",), "snapshot_evaluation": ("policies", "snapshots")}


def training(b: Builder, run: Run) -> Artefact:
    """The metrics of all cycles of a run."""
    return b.remember(
        ("training", run), lambda: _joined(b, "training", "metrics.parquet", run, _cycles(b, run))
    )


def evaluation(b: Builder, run: Run) -> Artefact:
    """The evaluations of the base policy and of every snapshot of a run."""
    parts = [_snapshot_evaluation(b, run, b.base_policy(run), step=0, until=0)]
    for cycle in _cycles(b, run):
        first, until = cycle.params["first_step"], cycle.params["until"]
        steps = [step for step in range(first + 1, until) if is_snapshot(step, cycle.params)]
        parts += [_snapshot_evaluation(b, run, cycle, step=step, until=until) for step in [*steps, until]]
    return _joined(b, "evaluation", "evaluation.parquet", run, parts)


def diversity(b: Builder, run: Run) -> Artefact:
    """The configuration refuses charts that read it."""
    raise ValueError("engine hub has no evaluation of diversity")


def first_cycle(b: Builder, run: Run) -> Artefact:
    """As `diversity`."""
    raise ValueError("engine hub has no evaluation of the first cycle alone")


def kept(b: Builder, runs: list[Run]) -> set[str]:
    """Ids of the last cycles of runs, if the configuration keeps their policies and states."""
    return {_cycles(b, run)[-1].id for run in runs} if b.configuration.hub.keep_state else set()


def _joined(b: Builder, kind: str, file: str, run: Run, parts: list[Artefact]) -> Artefact:
    inputs = {str(index): part for index, part in enumerate(parts)}
    return b.make(kind, run.slug, {"file": file}, inputs, script="join_cycles_hub.py")


def _cycles(b: Builder, run: Run) -> list[Artefact]:
    return b.remember(("cycles", run), lambda: _new_cycles(b, run))


def _new_cycles(b: Builder, run: Run) -> list[Artefact]:
    hub, steps = b.configuration.hub, b.configuration.training.steps
    params = b.training_params(run) | {"rollouts": b.rollout_params(run), "dtype": hub.dtype}
    # For the order of epochs, where one cycle's rollouts serve all.
    params |= {} if run.refreshed else {"seed": run.seed}
    recomputed = hub.recompute_log_probs and run.refreshed and OBJECTIVES[run.objective].takes_ratio
    params |= {"recompute_log_probs": True} if recomputed else {}
    also = (f"asymre/objectives/{run.objective}.py",)
    base, problems, cycles = b.base_policy(run), b.problems(run.dataset), []
    for first in range(0, steps, run.N):
        until = min(first + run.N, steps)
        policy = cycles[-1] if cycles else base
        inputs = {"base_policy": base, "problems": problems}
        inputs |= {"previous": policy} if cycles else {}
        sampled = (policy, first, until) if run.refreshed else (base, 0, run.N)
        inputs |= {f"rollouts_{i}": s for i, s in enumerate(_shards(b, run, *sampled))}
        span = {"first_step": first, "until": until}
        slug = f"{run.slug}_step{until}"
        cycles.append(b.make("cycles", slug, params | span, inputs, script="train_cycle_hub.py", also=also))
    return cycles


def _shards(b: Builder, run: Run, policy: Artefact, first: int, until: int) -> list[Artefact]:
    hub = b.configuration.hub
    params = b.rollout_params(run) | _generation_params(b, run.dataset)
    params |= {"seed": run.seed, "first_step": first, "steps": until - first, "shards": hub.shards}
    slug = f"{run.slug if first else run.start_slug}_step{first}"
    inputs = {"policy": policy, "problems": b.problems(run.dataset)}
    return [
        b.make(
            "rollouts",
            f"{slug}_shard{shard}",
            params | {"shard": shard},
            inputs,
            script="sample_rollouts_hub.py",
            also=b.verified_by(run.dataset),
        )
        for shard in range(hub.shards)
    ]


def _snapshot_evaluation(b: Builder, run: Run, policy: Artefact, *, step: int, until: int) -> Artefact:
    """policy: the base policy, or the cycle that ends at step `until` and leaves the snapshot."""
    params = b.evaluation_params(run) | _generation_params(b, run.dataset) | {"step": step, "until": until}
    slug = f"{run.slug if step else run.start_slug}_step{step}"
    inputs = {"policy": policy, "base_policy": b.base_policy(run), "problems": b.problems(run.dataset)}
    also = b.verified_by(run.dataset)
    return b.make("snapshot_evaluation", slug, params, inputs, script="evaluate_snapshot_hub.py", also=also)


def _generation_params(b: Builder, dataset: str) -> dict[str, Any]:
    data = b.configuration.data.get(dataset)
    return {
        "dtype": b.configuration.hub.dtype,
        "prompt": data.prompt if data else None,
        "prompt_date": data.prompt_date if data else None,
    }
