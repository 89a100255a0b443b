"""The off-policy loop: cycles of N gradient steps on rollouts from a frozen behaviour policy.

A step with a non-finite loss or gradient ends the run: it has diverged. The loop depends only on the
`Engine` protocol.

Shapes: P prompts per step, G samples per prompt, B = P * G sequences, b rows of a micro-batch, T new tokens.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import pyarrow as pa
import torch
from torch import Tensor

from asymre import objectives
from asymre.specs import TrainingSpec
from asymre.training.normalisation import normalise
from asymre.training.rollouts import Rollouts, of_cycle
from asymre.training.snapshots import is_finite

_MEASURES = (
    "loss",
    "gradient_norm",
    "rollout_reward",
    "entropy",
    "log_prob_positive",
    "log_prob_negative",
    "kl_behaviour",
    "ratio_mean",
    "ratio_max",
    "ratio_outside_clip",
    "effective_samples",
    "length",
)
# The columns of metrics.parquet, one row per gradient step.
METRICS = pa.schema(
    [("step", pa.int64()), ("cycle", pa.int64()), *((name, pa.float64()) for name in _MEASURES)]
)


class Engine(Protocol):
    """A policy and its optimiser, in one process or in several."""

    device: torch.device

    def micro_batches(self, rollouts: Rollouts, rows: Tensor, /) -> list[Tensor]:
        """Return the positions within `rows` [B] that this process computes, one tensor per micro-batch.

        Together, the processes cover each position once.
        """
        ...

    def log_probs(self, rollouts: Rollouts, rows: Tensor, /) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities and entropies [b, T] of the tokens of rows [b].

        They are finite on padding. The entropy carries no gradient.
        """
        ...

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a micro-batch's share of the loss, a sum over micro-batches and processes."""
        ...

    def total(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over processes."""
        ...

    def update(self, clip: float) -> float:
        """Clip the global norm of the gradient, take one step and return the norm before clipping.

        If the norm is not finite, no step is taken.
        """
        ...


def train(
    engine: Engine, spec: TrainingSpec, rollouts: Rollouts, sample: Callable[[int, int], Rollouts]
) -> Iterator[dict[str, float]]:
    """Yield the metrics of each step of a run's cycles, and stop after a step that is not finite.

    rollouts: of the first cycle, or of all cycles if the behaviour policy is never refreshed. sample(step,
    steps): samples rollouts from the engine's policy for the `steps` steps after `step`.
    """
    step = spec.first_step
    while step < spec.until:
        steps = min(spec.N - step % spec.N, spec.until - step)
        if spec.refreshed and step > spec.first_step:
            rollouts = sample(step, steps)
        row = {}
        for row in train_cycle(engine, of_cycle(rollouts, spec, first_step=step, steps=steps), spec, step):
            yield row
        if not is_finite(row):
            return
        step += steps


def train_cycle(
    engine: Engine, rollouts: Rollouts, spec: TrainingSpec, first_step: int
) -> Iterator[dict[str, float]]:
    """Take one gradient step on each batch of the rollouts, in order, and yield the metrics of each step.

    The first step is `first_step` + 1. Stops after a step that is not finite (`is_finite`).
    """
    objective = objectives.load(spec.objective)
    group, batch = spec.rollouts.group_size, spec.rollouts.batch
    mask = rollouts.mask
    for step, rows_B in enumerate(torch.arange(len(rollouts.tokens)).split(batch), start=first_step + 1):
        mask_BT, behaviour_BT, reward_B = mask[rows_B], rollouts.log_probs[rows_B], rollouts.reward[rows_B]
        advantages_B = objective.advantages(reward_B.view(-1, group), spec.settings).flatten()
        log_probs_BT, entropy_BT = torch.zeros_like(behaviour_BT), torch.zeros_like(behaviour_BT)
        loss = torch.zeros(())
        for part in engine.micro_batches(rollouts, rows_B):
            own_bT, own_entropy_bT = engine.log_probs(rollouts, rows_B[part])
            # 0 on padding, like the behaviour's: a sum over tokens is then the sequence's log-probability.
            own_bT = own_bT.masked_fill(~mask_BT[part].to(engine.device), 0.0)
            token_loss_bT = objective.token_loss(
                own_bT,
                behaviour_BT[part].to(engine.device),
                advantages_B[part].to(engine.device),
                spec.settings,
            )
            share = normalise(
                token_loss_bT,
                mask_BT[part].to(engine.device),
                spec.normalisation,
                sequences=batch,
                tokens=int(mask_BT.sum()),
            )
            engine.backward(share)
            log_probs_BT[part], entropy_BT[part] = own_bT.detach().cpu(), own_entropy_bT.cpu()
            loss += share.detach().cpu()
        gradient_norm = engine.update(spec.gradient_clip)
        row = {
            "step": step,
            "cycle": (step - 1) // spec.N,
            "loss": engine.total(loss).item(),
            "gradient_norm": gradient_norm,
            **_statistics(
                engine.total(log_probs_BT),
                behaviour_BT,
                engine.total(entropy_BT),
                mask_BT,
                reward_B,
                reward_B == spec.rollouts.rewards.correct,
            ),
        }
        yield row
        if not is_finite(row):
            return


def _statistics(log_probs_BT, behaviour_BT, entropy_BT, mask_BT, rewards_B, correct_B):
    """Return the metrics of the policy before the step, on the step's batch.

    kl_behaviour is the mean over tokens of log mu - log pi. It is a sample estimate of KL(mu || pi), and the
    ratios are those of the sampling distribution, only if mu was sampled at temperature 1 without a nucleus.
    The mean log-probability of correct (positive) or wrong (negative) completions is NaN if there are none.
    effective_samples is the share (sum w)^2 / (B sum w^2) that the ratios w of whole completions leave of B.
    """
    difference = (log_probs_BT - behaviour_BT)[mask_BT]
    ratio = difference.exp()
    sequence_B = (log_probs_BT * mask_BT).sum(1)
    weights_B = (sequence_B - (behaviour_BT * mask_BT).sum(1)).softmax(0)
    return {
        "rollout_reward": rewards_B.mean().item(),
        "entropy": entropy_BT[mask_BT].mean().item(),
        "log_prob_positive": sequence_B[correct_B].mean().item(),
        "log_prob_negative": sequence_B[~correct_B].mean().item(),
        "kl_behaviour": -difference.mean().item(),
        "ratio_mean": ratio.mean().item(),
        "ratio_max": ratio.max().item(),
        "ratio_outside_clip": ((ratio - 1).abs() > 0.2).float().mean().item(),
        "effective_samples": 1 / (len(weights_B) * weights_B.square().sum()).item(),
        "length": mask_BT.sum(1).float().mean().item(),
    }
