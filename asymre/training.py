"""The off-policy cycle: rollouts from a frozen behaviour policy, then N gradient steps on them.

Shapes: P prompts a step, G samples a prompt, B = P * G sequences, L prompt tokens, T new tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from asymre import objectives
from asymre.architecture import Architecture
from asymre.decoder import Weights, forward, repeat
from asymre.objectives.normalisation import normalise
from asymre.rollouts import Rollouts, problem_arrays, sample_rollouts
from asymre.sampling import entropy, generated_mask


@dataclass
class State:
    """What goes from one cycle to the next: the policy, the optimiser, the gradient steps done."""

    weights: Weights
    optimiser: torch.optim.Optimizer
    step: int


def initial_state(weights: Weights, learning_rate: float) -> State:
    """A run's start: AdamW with constant learning rate and no weight decay."""
    weights = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    optimiser = torch.optim.AdamW(weights.values(), lr=learning_rate, weight_decay=0.0)
    return State(weights, optimiser, 0)


def save_optimiser(state: State, path: Path) -> None:
    """Write AdamW's moments and step counts, named after the weights."""
    moments = state.optimiser.state_dict()["state"]
    tensors = {
        f"{name}.{key}": value
        for index, name in enumerate(state.weights)
        for key, value in moments[index].items()
    }
    save_file(tensors, path)


def load_optimiser(state: State, path: Path) -> None:
    """Put the moments of `save_optimiser` into the state; ValueError if they are of other weights."""
    tensors = load_file(path)
    keys = ("step", "exp_avg", "exp_avg_sq")
    if set(tensors) != {f"{name}.{key}" for name in state.weights for key in keys}:
        raise ValueError("the optimiser state does not belong to these weights")
    content = state.optimiser.state_dict()
    content["state"] = {
        index: {key: tensors[f"{name}.{key}"] for key in keys} for index, name in enumerate(state.weights)
    }
    state.optimiser.load_state_dict(content)


def train(
    state: State,
    architecture: Architecture,
    problems: pa.Table,
    params: dict[str, Any],
    *,
    until: int,
    first_rollouts: Rollouts | None,
) -> Iterator[dict[str, float]]:
    """Run cycles from `state.step` to step `until`, changing `state`; yields the metrics of each step.

    `first_rollouts` are those of the first of these cycles, where they were sampled before.
    """
    while state.step < until:
        steps = min(params["N"] - state.step % params["N"], until - state.step)
        rollouts = first_rollouts or sample_rollouts(
            state.weights,
            architecture,
            problems,
            params["rollouts"],
            seed=params["seed"],
            first_step=state.step,
            steps=steps,
        )
        first_rollouts = None
        yield from train_cycle(state, architecture, problems, params, rollouts)


def train_cycle(
    state: State,
    architecture: Architecture,
    problems: pa.Table,
    params: dict[str, Any],
    rollouts: Rollouts,
) -> Iterator[dict[str, float]]:
    """One gradient step on each batch of the rollouts, each batch used once, in order."""
    objective = objectives.load(params["objective"])
    prompts, _ = problem_arrays(problems)
    group = params["rollouts"]["group_size"]
    batch = params["rollouts"]["prompts_per_step"] * group
    for start in range(0, len(rollouts.tokens), batch):
        rows = slice(start, start + batch)
        tokens_BT, mask_BT = rollouts.tokens[rows], generated_mask(rollouts.tokens[rows])
        rewards_PG = rollouts.reward[rows].view(-1, group)
        advantages_B = objective.advantages(rewards_PG, params["settings"]).flatten()
        log_probs_BT, entropy_BT = token_log_probs(
            state.weights, architecture, prompts[rollouts.problem_id[rows][::group]], tokens_BT
        )
        behaviour_BT = rollouts.log_probs[rows]
        token_loss_BT = objective.token_loss(log_probs_BT, behaviour_BT, advantages_B, params["settings"])
        loss = normalise(
            token_loss_BT,
            mask_BT,
            params["normalisation"],
            sequences=batch,
            tokens=int(mask_BT.sum()),
        )
        state.optimiser.zero_grad()
        loss.backward()
        gradient_norm = torch.nn.utils.clip_grad_norm_(state.weights.values(), params["gradient_clip"])
        state.optimiser.step()
        state.step += 1
        yield {
            "step": state.step,
            "cycle": (state.step - 1) // params["N"],
            "loss": loss.item(),
            "gradient_norm": gradient_norm.item(),
            **_statistics(
                log_probs_BT.detach(),
                behaviour_BT,
                entropy_BT,
                mask_BT,
                rollouts.reward[rows],
                rollouts.reward[rows] == params["rollouts"]["rewards"]["correct"],
            ),
        }


def token_log_probs(
    weights: Weights, architecture: Architecture, prompts_PL: Tensor, tokens_BT: Tensor
) -> tuple[Tensor, Tensor]:
    """Log-probability of each completion token [B, T], and the entropy where it was chosen [B, T].

    The G completions of a prompt share its keys and values: the prompt is run once, not G times.
    """
    group = len(tokens_BT) // len(prompts_PL)
    prompt_logits, cache = forward(weights, architecture, prompts_PL)
    first_B1V = prompt_logits[:, -1:].repeat_interleave(group, dim=0)
    rest_BTV, _ = forward(weights, architecture, tokens_BT[:, :-1], repeat(cache, group))
    all_log_probs_BTV = torch.cat([first_B1V, rest_BTV], dim=1).log_softmax(-1)
    chosen_BT = all_log_probs_BTV.gather(2, tokens_BT[:, :, None])[:, :, 0]
    return chosen_BT, entropy(all_log_probs_BTV.detach())


def _statistics(log_probs_BT, behaviour_BT, entropy_BT, mask_BT, rewards_B, correct_B):
    """Metrics of the policy before the step, on the batch of the step.

    kl_behaviour is the mean over tokens of log mu - log pi: the sampled KL(mu || pi). The mean
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
