"""The off-policy cycle: N gradient steps on rollouts from a frozen behaviour policy.

A step whose loss or gradient is not finite ends a run: it diverged.

The loop knows no engine but by what it asks of one:

    device                            where the engine computes
    micro_batches(rollouts, rows)     positions within `rows` [B] that this process computes, in parts; all
                                      processes together cover each position once
    log_probs(rollouts, rows)         log-probability and entropy [b, T] of the tokens of rows [b], 0 or any
                                      finite number on filling; the entropy carries no gradient
    backward(loss)                    adds a part's share of the loss, which is a sum over parts and processes
    total(tensor)                     the sum of a tensor over processes
    update(clip)                      one step of the optimiser, none if the gradient is not finite, and the
                                      gradient's norm before clipping

Shapes: P prompts a step, G samples a prompt, B = P * G sequences, b of them in a part, T new tokens.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import torch

from asymre import objectives
from asymre.cycle.normalisation import normalise
from asymre.cycle.rollouts import Rollouts
from asymre.cycle.snapshots import is_finite

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
    "length",
)
# The columns of metrics.parquet, one row a gradient step.
METRICS = pa.schema(
    [("step", pa.int64()), ("cycle", pa.int64()), *((name, pa.float64()) for name in _MEASURES)]
)


def train_cycle(
    engine: Any, rollouts: Rollouts, params: dict[str, Any], *, first_step: int
) -> Iterator[dict[str, float]]:
    """One gradient step on each batch of the rollouts, each batch used once, in order.

    params: objective, settings, normalisation, gradient_clip, N, rollouts. Yields the metrics of each step,
    the first of which is `first_step` + 1; stops after a step that is not finite (`is_finite`).
    """
    objective = objectives.load(params["objective"])
    group = params["rollouts"]["group_size"]
    batch = params["rollouts"]["prompts_per_step"] * group
    mask = rollouts.mask
    for step, rows_B in enumerate(torch.arange(len(rollouts.tokens)).split(batch), start=first_step + 1):
        mask_BT, behaviour_BT, reward_B = mask[rows_B], rollouts.log_probs[rows_B], rollouts.reward[rows_B]
        advantages_B = objective.advantages(reward_B.view(-1, group), params["settings"]).flatten()
        log_probs_BT, entropy_BT = torch.zeros_like(behaviour_BT), torch.zeros_like(behaviour_BT)
        loss = torch.zeros(())
        for part in engine.micro_batches(rollouts, rows_B):
            own_bT, own_entropy_bT = engine.log_probs(rollouts, rows_B[part])
            # On filling 0, as the behaviour's: then a sum over tokens is the log-probability of a sequence.
            own_bT = own_bT.masked_fill(~mask_BT[part].to(engine.device), 0.0)
            token_loss_bT = objective.token_loss(
                own_bT,
                behaviour_BT[part].to(engine.device),
                advantages_B[part].to(engine.device),
                params["settings"],
            )
            share = normalise(
                token_loss_bT,
                mask_BT[part].to(engine.device),
                params["normalisation"],
                sequences=batch,
                tokens=int(mask_BT.sum()),
            )
            engine.backward(share)
            log_probs_BT[part], entropy_BT[part] = own_bT.detach().cpu(), own_entropy_bT.cpu()
            loss += share.detach().cpu()
        gradient_norm = engine.update(params["gradient_clip"])
        row = {
            "step": step,
            "cycle": (step - 1) // params["N"],
            "loss": engine.total(loss).item(),
            "gradient_norm": gradient_norm,
            **_statistics(
                engine.total(log_probs_BT),
                behaviour_BT,
                engine.total(entropy_BT),
                mask_BT,
                reward_B,
                reward_B == params["rollouts"]["rewards"]["correct"],
            ),
        }
        yield row
        if not is_finite(row):
            return


def _statistics(log_probs_BT, behaviour_BT, entropy_BT, mask_BT, rewards_B, correct_B):
    """Metrics of the policy before the step, on the batch of the step.

    kl_behaviour is the mean over tokens of log mu - log pi: the sampled KL(mu || pi), if mu was sampled at
    temperature 1 and without a nucleus, and only then the ratios are of what was sampled. The mean
    log-probability of right (positive) or wrong (negative) completions is NaN where there is none.
    """
    difference = (log_probs_BT - behaviour_BT)[mask_BT]
    ratio = difference.exp()
    sequence_B = (log_probs_BT * mask_BT).sum(1)
    return {
        "rollout_reward": rewards_B.mean().item(),
        "entropy": entropy_BT[mask_BT].mean().item(),
        "log_prob_positive": sequence_B[correct_B].mean().item(),
        "log_prob_negative": sequence_B[~correct_B].mean().item(),
        "kl_behaviour": -difference.mean().item(),
        "ratio_mean": ratio.mean().item(),
        "ratio_max": ratio.max().item(),
        "ratio_outside_clip": ((ratio - 1).abs() > 0.2).float().mean().item(),
        "length": mask_BT.sum(1).float().mean().item(),
    }
