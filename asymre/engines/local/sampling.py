"""Sampling of completions from a policy, with a key-value cache.

Shapes: P prompts, G completions per prompt, R = P * G rows, L prompt tokens, T new tokens, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from asymre.architecture import Architecture
from asymre.engines.local.decoder import Weights, forward, layout, prefill
from asymre.engines.local.device import CPU
from asymre.engines.local.tokenizer import CHARACTERS, PADDING

# More completions at a time are not faster.
ROWS_PER_BATCH = 512


@dataclass(frozen=True)
class Completions:
    """R completions of at most T tokens, prompt by prompt."""

    tokens_RT: Tensor  # padded with the end token
    log_probs_RT: Tensor  # of each token under the policy at temperature 1; 0 on padding
    entropy_RT: Tensor  # of the policy's next-token distribution at temperature 1; 0 on padding


def shared_prefix(prompts_PL: Tensor) -> int:
    """Return how many tokens all prompts begin with, at least one short of the shortest prompt.

    The worked lines before a problem, or the head of a chat template: they are computed once.
    """
    if len(prompts_PL) == 1:
        return 0
    shortest = int((prompts_PL != PADDING).sum(1).min())
    same_L = (prompts_PL == prompts_PL[:1]).all(0)[: shortest - 1]
    return int(same_L.long().cumprod(0).sum())


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
    ends: Tensor = CHARACTERS.ends,
    rows_per_batch: int = ROWS_PER_BATCH,
) -> Completions:
    """Sample `group_size` completions of each prompt; the token ids `ends` end them.

    The prompts are padded with PADDING; what all begin with is computed once (`shared_prefix`).

    The noise of all rows is drawn before the first batch, so that `rows_per_batch` decides speed and memory
    but not which random number a row uses. The completions of a prompt are sampled together, up to
    `rows_per_batch` of them: attention within a batch grows with the square of its rows.
    """
    noise_PGT = torch.rand(
        len(prompts_PL), group_size, max_new_tokens, generator=generator, dtype=torch.float64
    )
    prompts_per_batch = max(1, rows_per_batch // group_size)
    batches = [
        _sample_batch(weights, architecture, prompts, part_PGT, temperature, top_p, ends)
        for prompts, noise in zip(
            prompts_PL.split(prompts_per_batch), noise_PGT.split(prompts_per_batch), strict=True
        )
        for part_PGT in noise.split(rows_per_batch, dim=1)
    ]
    return Completions(*(torch.cat(parts) for parts in zip(*batches, strict=True)))


def _sample_batch(weights, architecture, prompts_PL, noise_PGT, temperature, top_p, ends):
    group_size, noise_RT = noise_PGT.shape[1], noise_PGT.flatten(0, 1)
    rows, steps = noise_RT.shape
    device = weights["model.norm.weight"].device
    tokens_RT = torch.full((rows, steps), int(ends[0]))
    log_probs_RT, entropy_RT = torch.zeros(rows, steps), torch.zeros(rows, steps)

    prompts, prompt = prompts_PL.shape
    lengths_P, shared = (prompts_PL != PADDING).sum(1), shared_prefix(prompts_PL)
    padded = bool((lengths_P != prompt).any())
    places = layout(prompt, group_size, steps - 1, lengths_P if padded else None)
    prompts_PL = prompts_PL.clamp(min=0).to(device)
    cache = prefill(weights, architecture, prompts_PL[0, :shared], prompts) if shared else None
    logits, cache = forward(weights, architecture, prompts_PL[:, shared:], cache, places)
    last_PV = logits[torch.arange(prompts), lengths_P - shared - 1]
    logits_RV = last_PV.repeat_interleave(group_size, dim=0)
    if not logits_RV.isfinite().all():
        raise ValueError("the policy's logits are not finite: it has diverged")
    # Of the rows that have not ended, A: with a large vocabulary, choosing costs as much as the layers.
    running_A, logits_AV = torch.arange(rows), logits_RV
    for step in range(steps):
        log_probs_AV = logits_AV.log_softmax(-1)
        chosen_A = choose(logits_AV, noise_RT[running_A, step], temperature, top_p)
        log_probs_RT[running_A, step] = log_probs_AV.gather(1, chosen_A[:, None])[:, 0].cpu()
        entropy_RT[running_A, step] = entropy(log_probs_AV).cpu()
        chosen_A = chosen_A.cpu()
        tokens_RT[running_A, step] = chosen_A
        running_A = running_A[~torch.isin(chosen_A, ends)]
        if step == steps - 1 or not len(running_A):
            break
        tokens_PG = tokens_RT[:, step].view(prompts, group_size).to(device)
        logits, cache = forward(weights, architecture, tokens_PG, cache, places)
        logits_AV = logits.flatten(0, 1)[running_A.to(device)]
    return tokens_RT, log_probs_RT, entropy_RT


def entropy(log_probs: Tensor) -> Tensor:
    """Return the entropy in nats [...] of distributions given by log-probabilities [..., V]."""
    return -(log_probs.exp() * log_probs).sum(-1)


def choose(logits_RV: Tensor, noise_R: Tensor, temperature: float, top_p: float) -> Tensor:
    """Return a token [R] of each distribution, on the device of its logits [R, V].

    noise_R: float64 in [0, 1), on the CPU. Sums over a large vocabulary are float64, so that unlikely tokens
    keep their probability; Apple's GPU (mps) has no such type, so for it the CPU chooses.
    """
    place = CPU if logits_RV.device.type == "mps" else logits_RV.device
    probs_RV = (logits_RV.to(place).double() / temperature).softmax(-1)
    if top_p < 1:
        probs_RV = _nucleus(probs_RV, top_p)
    cumulative_RV = probs_RV.cumsum(-1)
    threshold_R1 = noise_R.to(place)[:, None] * cumulative_RV[:, -1:]
    return torch.searchsorted(cumulative_RV, threshold_R1, right=True)[:, 0].to(logits_RV.device)


def _nucleus(probs_RV: Tensor, top_p: float) -> Tensor:
    """Zero all but the smallest set of likeliest tokens that holds `top_p` (Holtzman et al. 2020)."""
    ordered_RV, order_RV = probs_RV.sort(dim=-1, descending=True, stable=True)
    kept_RV = ordered_RV.cumsum(-1) - ordered_RV < top_p
    return torch.zeros_like(probs_RV).scatter(1, order_RV, ordered_RV * kept_RV)
