"""Sampling of completions from a policy, with a key-value cache.

Shapes: P prompts, G completions per prompt, R = P * G rows, L prompt tokens, T new tokens, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from asymre.architecture import Architecture
from asymre.engines.local.decoder import Weights, forward, layout
from asymre.engines.local.tokenizer import END_ID

# More completions at a time are not faster.
ROWS_PER_BATCH = 512


@dataclass(frozen=True)
class Completions:
    """R completions of at most T tokens, prompt by prompt."""

    tokens_RT: Tensor  # padded with the end token
    log_probs_RT: Tensor  # of each token under the policy at temperature 1; 0 on padding
    entropy_RT: Tensor  # of the policy's next-token distribution at temperature 1; 0 on padding


def generated_mask(tokens_RT: Tensor) -> Tensor:
    """Return a mask, true on the tokens that the policy chose: up to and including the first end token."""
    is_end_RT = (tokens_RT == END_ID).long()
    return is_end_RT.cumsum(1) - is_end_RT == 0


@torch.no_grad()
def sample(
    weights: Weights,
    architecture: Architecture,
    prompts_PL: Tensor,
    *,
    group_size: int,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    generator: torch.Generator,
    rows_per_batch: int = ROWS_PER_BATCH,
) -> Completions:
    """Sample `group_size` completions of each prompt.

    The noise of all rows is drawn before the first batch, so that `rows_per_batch` decides speed and memory
    but not which random number a row uses. The completions of a prompt are sampled together, up to
    `rows_per_batch` of them: attention within a batch grows with the square of its rows.
    """
    noise_PGT = torch.rand(
        len(prompts_PL), group_size, max_new_tokens, generator=generator, dtype=torch.float64
    )
    prompts_per_batch = max(1, rows_per_batch // group_size)
    batches = [
        _sample_batch(weights, architecture, prompts, part_PGT, temperature, top_p)
        for prompts, noise in zip(
            prompts_PL.split(prompts_per_batch), noise_PGT.split(prompts_per_batch), strict=True
        )
        for part_PGT in noise.split(rows_per_batch, dim=1)
    ]
    return Completions(*(torch.cat(parts) for parts in zip(*batches, strict=True)))


def _sample_batch(weights, architecture, prompts_PL, noise_PGT, temperature, top_p):
    group_size, noise_RT = noise_PGT.shape[1], noise_PGT.flatten(0, 1)
    rows, steps = noise_RT.shape
    tokens_RT = torch.full((rows, steps), END_ID)
    log_probs_RT, entropy_RT = torch.zeros(rows, steps), torch.zeros(rows, steps)
    running_R = torch.ones(rows, dtype=torch.bool)

    prompts, prompt = prompts_PL.shape
    places = layout(prompt, branches=group_size, steps=steps - 1)
    logits, cache = forward(weights, architecture, prompts_PL, layout_S=places)
    logits_RV = logits[:, -1].repeat_interleave(group_size, dim=0)
    if not logits_RV.isfinite().all():
        raise ValueError("the policy's logits are not finite: it has diverged")
    for step in range(steps):
        log_probs_RV = logits_RV.log_softmax(-1)
        chosen_R = _choose(logits_RV, noise_RT[:, step], temperature, top_p)
        tokens_RT[:, step] = chosen_R.where(running_R, END_ID)
        chosen_log_probs = log_probs_RV.gather(1, chosen_R[:, None])[:, 0]
        log_probs_RT[:, step] = chosen_log_probs.where(running_R, 0.0)
        entropy_RT[:, step] = entropy(log_probs_RV).where(running_R, 0.0)
        running_R = running_R & (chosen_R != END_ID)
        if step == steps - 1 or not running_R.any():
            break
        tokens_PG = tokens_RT[:, step].view(prompts, group_size)
        logits, cache = forward(weights, architecture, tokens_PG, cache, places)
        logits_RV = logits.flatten(0, 1)
    return tokens_RT, log_probs_RT, entropy_RT


def entropy(log_probs: Tensor) -> Tensor:
    """Return the entropy in nats [...] of distributions given by log-probabilities [..., V]."""
    return -(log_probs.exp() * log_probs).sum(-1)


def _choose(logits_RV, noise_R, temperature, top_p):
    probs_RV = (logits_RV.double() / temperature).softmax(-1)
    if top_p < 1:
        probs_RV = _nucleus(probs_RV, top_p)
    cumulative_RV = probs_RV.cumsum(-1)
    threshold_R1 = noise_R[:, None] * cumulative_RV[:, -1:]
    return torch.searchsorted(cumulative_RV, threshold_R1, right=True)[:, 0]


def _nucleus(probs_RV: Tensor, top_p: float) -> Tensor:
    """Zero all but the smallest set of likeliest tokens that holds `top_p` (Holtzman et al. 2020)."""
    ordered_RV, order_RV = probs_RV.sort(dim=-1, descending=True, stable=True)
    kept_RV = ordered_RV.cumsum(-1) - ordered_RV < top_p
    return torch.zeros_like(probs_RV).scatter(1, order_RV, ordered_RV * kept_RV)
