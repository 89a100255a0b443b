"""A cycle of training with FSDP2: what each rank does, from rollouts to checkpoints."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
import torch.distributed as dist

from asymre import objectives
from asymre.architecture import POLICY_BYTES, STATE_BYTES
from asymre.engines.fsdp_vllm.engine import FsdpEngine
from asymre.engines.fsdp_vllm.model import empty_model, load_weights
from asymre.engines.fsdp_vllm.source import check_files
from asymre.engines.fsdp_vllm.state import load_state, save_state, write_policy
from asymre.specs import FsdpTrainingSpec, TrainingSpec
from asymre.training.loop import train_cycle
from asymre.training.rollouts import Rollouts, of_cycle, read_rollouts, rows_of, shards_in
from asymre.training.snapshots import SNAPSHOTS, is_finite, snapshot_folder

Reading = Callable[[Path, Callable[[Path], Any]], Any]


def checkpoint_bytes(spec: FsdpTrainingSpec, parameters: int) -> int:
    """Return the size of the policies, snapshots and state that a cycle writes."""
    steps = range(spec.training.first_step + 1, spec.training.until)
    policies = 1 + sum(map(spec.training.is_snapshot, steps))
    return parameters * (STATE_BYTES + POLICY_BYTES[spec.dtype] * policies)


def load_rollouts(spec: TrainingSpec, inputs: dict[str, Path], reading: Reading) -> Rollouts:
    """Return the rollouts that a cycle trains on, from its inputs."""
    problems = reading(inputs["problems"] / "train.parquet", pq.read_metadata).num_rows
    paths = shards_in(inputs)
    vocabulary_size = reading(
        inputs["base_policy"] / "config.json",
        lambda path: json.loads(path.read_text(encoding="utf-8"))["vocab_size"],
    )
    steps = spec.until - spec.first_step
    rollouts = reading(
        paths[0],
        lambda _: read_rollouts(
            paths,
            rows=rows_of(spec, steps),
            problems=problems,
            vocabulary_size=vocabulary_size,
            width=spec.rollouts.max_new_tokens,
            padding=0,
        ),
    )
    return of_cycle(rollouts, spec, first_step=spec.first_step, steps=steps)


def make_engine(base: Path, state: Path | None, **settings) -> FsdpEngine:
    """Return an engine with the weights of the base policy or, if there is one, with a saved state."""
    if state is None:
        check_files(base)
    engine = FsdpEngine(empty_model(base), **settings)
    if state is None:
        load_weights(engine.model, base)
    else:
        load_state(engine, state)
    return engine


def group_to_skip(spec: TrainingSpec) -> int | None:
    """Return the group size if groups with equal rewards add nothing to the gradient; otherwise None."""
    objective, group = objectives.load(spec.objective), spec.rollouts.group_size
    for reward in (spec.rollouts.rewards.correct, spec.rollouts.rewards.wrong):
        reward_PG = torch.full((spec.rollouts.prompts_per_step, group), float(reward))
        advantages_B = objective.advantages(reward_PG, spec.settings).flatten()
        # Log-probabilities differ from the behaviour's: a penalty has a gradient even without advantages.
        log_probs_BT = torch.linspace(-3, -0.1, 4).repeat(len(advantages_B), 1).requires_grad_()
        token_loss_BT = objective.token_loss(
            log_probs_BT, log_probs_BT.detach().flip(1), advantages_B, spec.settings
        )
        if advantages_B.any() or torch.autograd.grad(token_loss_BT.sum(), log_probs_BT)[0].any():
            return None
    return group


@torch.no_grad()
def with_own_log_probs(engine: FsdpEngine, rollouts: Rollouts, batch: int) -> Rollouts:
    """Return the rollouts with log mu recomputed by this engine, in the micro-batches of the coming steps.

    batch: rows per step. The engine must hold the policy that sampled.
    """
    log_probs_RT = torch.zeros_like(rollouts.log_probs)
    for rows_B in torch.arange(len(log_probs_RT)).split(batch):
        for part in engine.micro_batches(rollouts, rows_B):
            log_probs_RT[rows_B[part]] = engine.log_probs(rollouts, rows_B[part])[0].cpu()
        log_probs_RT[rows_B] = engine.total(log_probs_RT[rows_B])
    difference = (log_probs_RT - rollouts.log_probs)[rollouts.mask].abs()
    if dist.get_rank() == 0:
        print(
            f"log mu computed again: differs from the sampler's by {difference.mean():.3g} on average, "
            f"{difference.max():.3g} at most",
            flush=True,
        )
    return replace(rollouts, log_probs=log_probs_RT)


def train_process(
    spec: FsdpTrainingSpec,
    inputs: dict[str, Path],
    state: Path | None,
    folder: Path,
    settings: dict[str, Any],
    reading: Reading,
    progress: Callable[[int, str], None],
) -> list[dict[str, float]]:
    """Train a cycle as one rank, write policy, snapshots and state, and return the metrics.

    All ranks return the same. state: of the previous cycle, None for the first. settings: of `FsdpEngine`.
    reading: calls a function on a file and names the file in errors. progress: called with the number of
    steps done and a text.
    """
    training, base = spec.training, inputs["base_policy"]
    rollouts = load_rollouts(training, inputs, reading)
    engine = make_engine(
        base,
        state,
        learning_rate=training.learning_rate,
        dtype=spec.dtype,
        skip_equal_groups_of=group_to_skip(training),
        **settings,
    )
    if spec.recompute_log_probs:
        rollouts = with_own_log_probs(engine, rollouts, training.rollouts.batch)
    first, until, metrics = training.first_step, training.until, []
    for row in train_cycle(engine, rollouts, training, first):
        metrics.append(row)
        if not is_finite(row):
            return metrics
        step = int(row["step"])
        if dist.get_rank() == 0:
            progress(step - first, f"reward {row['rollout_reward']:.3f}, loss {row['loss']:.4g}")
        if step < until and training.is_snapshot(step):
            write_policy(engine, snapshot_folder(folder / SNAPSHOTS, step), base, spec.dtype)
    write_policy(engine, folder / "policies", base, spec.dtype)
    save_state(engine, folder / "state")
    return metrics
