"""Train one cycle on its rollouts, on several processes: metrics.parquet, policies/, snapshots/, state/."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

# Read when torch first allocates on a GPU, under its older name too. Micro-batches differ in size: without it
# freed blocks of one size cannot serve another.
os.environ.setdefault(
    "PYTORCH_ALLOC_CONF", os.environ.get("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
)

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.distributed as dist

from asymre import objectives
from asymre.architecture import POLICY_BYTES, STATE_BYTES
from asymre.cycle.rollouts import Rollouts, of_cycle, read_rollouts, rows_of, shards_in
from asymre.cycle.snapshots import (
    SNAPSHOTS,
    divergence_in,
    divergence_of,
    is_finite,
    is_snapshot,
    mark_diverged,
    snapshot_folder,
)
from asymre.cycle.training import METRICS, train_cycle
from asymre.hub.engine import HubEngine
from asymre.hub.launch import run_processes
from asymre.hub.model import empty_model, load_weights
from asymre.hub.source import check_files, parameter_count
from asymre.hub.state import load_state, save_state, write_policy
from asymre.record import job


def make(params, inputs, folder, device, processes, tokens_per_micro_batch, tokens_per_chunk, checkpointing):
    settings = {
        "tokens_per_micro_batch": tokens_per_micro_batch,
        "chunk": tokens_per_chunk,
        "checkpoint_activations": bool(checkpointing),
    }
    state = job.beside(inputs["previous"], "state") if "previous" in inputs else None
    if device == "cuda" and not torch.cuda.is_available():
        raise job.InputError(
            "hub.device is cuda, and this job sees no GPU: ask for one, or install torch for CUDA"
        )
    metrics, diverged = [], divergence_in(state) if state else None
    if not diverged:
        check_disk(params, inputs["base_policy"], folder)
        try:
            metrics = run_processes(processes, train_process, params, inputs, state, folder, settings)
        except (ValueError, RuntimeError) as error:
            raise job.InputError(str(error)) from error
        diverged = None if is_finite(metrics[-1]) else divergence_of(metrics[-1])
    pq.write_table(pa.Table.from_pylist(metrics, schema=METRICS), folder / "metrics.parquet")
    (folder / SNAPSHOTS).mkdir(exist_ok=True)
    if diverged:
        print(f"diverged at {diverged}", flush=True)
        mark_diverged(folder, diverged, params, metrics, before=params["until"], also=("policies", "state"))


def check_disk(params, base: Path, folder: Path) -> None:
    """InputError if what this job will leave does not fit, said now and not hours later."""
    parameters = job.reading(base, parameter_count)
    steps = range(params["first_step"] + 1, params["until"])
    policies = 1 + sum(is_snapshot(step, params) for step in steps)
    needed = parameters * (STATE_BYTES + POLICY_BYTES[params["dtype"]] * policies)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise job.InputError(
            f"{folder.parent}: policies, snapshots and state of this cycle take {needed / 1e9:.3g} GB, "
            f"{free / 1e9:.3g} GB are free: make room, or raise training.snapshot_every"
        )


def load_rollouts(params, inputs) -> Rollouts:
    problems = job.reading(inputs["problems"] / "train.parquet", pq.read_metadata).num_rows
    paths = shards_in(inputs)
    vocabulary_size = job.reading(
        inputs["base_policy"] / "config.json",
        lambda path: json.loads(path.read_text(encoding="utf-8"))["vocab_size"],
    )
    sampling = params["rollouts"]
    steps = params["until"] - params["first_step"]
    rollouts = job.reading(
        paths[0],
        lambda _: read_rollouts(
            paths,
            rows=rows_of(params, steps),
            problems=problems,
            vocabulary_size=vocabulary_size,
            width=sampling["max_new_tokens"],
            fill=0,
        ),
    )
    return of_cycle(rollouts, params, first_step=params["first_step"], steps=steps)


def make_engine(base: Path, state: Path | None, **settings) -> HubEngine:
    """The engine with the weights of the base policy, or with a state, which needs none of them."""
    if state is None:
        check_files(base)
    engine = HubEngine(empty_model(base), **settings)
    if state is None:
        load_weights(engine.model, base)
    else:
        load_state(engine, state)
    return engine


def group_to_skip(params) -> int | None:
    """Rows of a group, if the objective takes no gradient from groups of one reward only; else None."""
    objective, settings, sampling = (
        objectives.load(params["objective"]),
        params["settings"],
        params["rollouts"],
    )
    group = sampling["group_size"]
    for reward in sampling["rewards"].values():
        reward_PG = torch.full((sampling["prompts_per_step"], group), float(reward))
        advantages_B = objective.advantages(reward_PG, settings).flatten()
        # Any log-probabilities that differ from the behaviour's: a penalty has a gradient without advantages.
        log_probs_BT = torch.linspace(-3, -0.1, 4).repeat(len(advantages_B), 1).requires_grad_()
        loss = objective.token_loss(log_probs_BT, log_probs_BT.detach().flip(1), advantages_B, settings).sum()
        if advantages_B.any() or torch.autograd.grad(loss, log_probs_BT)[0].any():
            return None
    return group


@torch.no_grad()
def with_own_log_probs(engine: HubEngine, rollouts: Rollouts, batch: int) -> Rollouts:
    """The rollouts with log mu as this engine computes it, in the micro-batches of the steps to come.

    batch: rows of a step. The engine must hold the policy that sampled.
    """
    log_probs_RT = torch.zeros_like(rollouts.log_probs)
    for rows_B in torch.arange(len(log_probs_RT)).split(batch):
        for part in engine.micro_batches(rollouts, rows_B):
            log_probs_RT[rows_B[part]] = engine.log_probs(rollouts, rows_B[part])[0].cpu()
        log_probs_RT[rows_B] = engine.total(log_probs_RT[rows_B])
    difference = (log_probs_RT - rollouts.log_probs)[rollouts.mask].abs()
    if dist.get_rank() == 0:
        print(
            f"log mu computed again: differs from the sampler's by {difference.mean():.3g} in the mean, "
            f"{difference.max():.3g} at the most",
            flush=True,
        )
    return replace(rollouts, log_probs=log_probs_RT)


def train_process(params, inputs, state, folder, settings) -> list[dict[str, float]]:
    """One of the processes; all of them return the metrics."""
    base = inputs["base_policy"]
    try:
        rollouts = load_rollouts(params, inputs)
    except job.InputError as error:
        raise ValueError(str(error)) from error
    engine = make_engine(
        base,
        state,
        learning_rate=params["learning_rate"],
        dtype=params["dtype"],
        skip_equal_groups_of=group_to_skip(params),
        **settings,
    )
    if params.get("recompute_log_probs"):
        sampling = params["rollouts"]
        rollouts = with_own_log_probs(engine, rollouts, sampling["prompts_per_step"] * sampling["group_size"])
    first, until = params["first_step"], params["until"]
    progress, metrics = job.Progress(until - first, "step"), []
    for row in train_cycle(engine, rollouts, params, first_step=first):
        metrics.append(row)
        if not is_finite(row):
            return metrics
        step = row["step"]
        if dist.get_rank() == 0:
            progress(step - first, f"reward {row['rollout_reward']:.3f}, loss {row['loss']:.4g}")
        if step < until and is_snapshot(step, params):
            write_policy(engine, snapshot_folder(folder / SNAPSHOTS, step), base, params["dtype"])
    write_policy(engine, folder / "policies", base, params["dtype"])
    save_state(engine, folder / "state")
    return metrics


if __name__ == "__main__":
    job.run(
        make,
        options={
            "device": "cpu",
            "processes": 1,
            "tokens_per_micro_batch": 16384,
            "tokens_per_chunk": 1024,
            "checkpointing": 0,
        },
        beside=("policies", "snapshots", "state"),
    )
