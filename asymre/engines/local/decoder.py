"""A Llama and Qwen2 decoder on one page, as a pure function of its weights.

Weights have transformers' names and shapes, so that either can load a policy folder. Only torch is imported,
and modules add no overhead: a step of a 0.1M-parameter model costs several times less than in transformers.

Shapes: B sequences, T tokens, S tokens including those before, C hidden size, D head size, V vocabulary.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from asymre.architecture import Architecture

Weights = dict[str, Tensor]
Cache = list[tuple[Tensor, Tensor]]  # keys and values of each layer, [B, key-value heads, S, D]


def initial_weights(architecture: Architecture, generator: torch.Generator) -> Weights:
    """Return normal weights of standard deviation 1/sqrt(fan-in), unit norm weights, zero biases."""
    weights = {}
    for name, shape in architecture.shapes().items():
        if name.endswith("norm.weight"):
            weights[name] = torch.ones(shape)
        elif name.endswith("bias"):
            weights[name] = torch.zeros(shape)
        else:
            weights[name] = torch.randn(shape, generator=generator) / math.sqrt(shape[-1])
    return weights


@dataclass(frozen=True)
class Layout:
    """The positions [S] of a sequence's tokens, and the attention mask [S, S] of 0 or -inf."""

    positions: Tensor
    mask: Tensor


def layout(prompt: int, branches: int = 0, steps: int = 0) -> Layout:
    """Return the layout of a prompt of `prompt` tokens followed by `steps` tokens per branch, step by step.

    A branch sees the prompt and itself. So a prompt and its G completions are one sequence: the prompt is
    computed once, and all tokens go through the layers together. Without branches: a plain sequence.
    """
    positions = torch.cat([torch.arange(prompt), prompt + torch.arange(steps).repeat_interleave(branches)])
    branch = torch.cat([torch.full((prompt,), -1), torch.arange(branches).repeat(steps)])
    sees = (branch[None] == -1) | (branch[None] == branch[:, None])
    sees &= positions[None] <= positions[:, None]
    return Layout(positions, torch.zeros(sees.shape).masked_fill_(~sees, -torch.inf))


def forward(
    weights: Weights,
    architecture: Architecture,
    tokens_BT: Tensor,
    cache: Cache | None = None,
    layout_S: Layout | None = None,
) -> tuple[Tensor, Cache]:
    """Return the logits [B, T, V] of the token after each of `tokens_BT`, and the cache extended by these.

    cache: keys and values of the tokens before `tokens_BT`. layout_S: covers at least all tokens of the
    sequences; None: a plain sequence.
    """
    a, w = architecture, weights
    past = cache[0][0].shape[2] if cache else 0
    end = past + tokens_BT.shape[1]
    places = layout_S or layout(end)
    rotation = _rotation(a, places.positions[past:end])
    mask_TS = places.mask[past:end, :end]
    hidden_BTC = functional.embedding(tokens_BT, w["model.embed_tokens.weight"])
    new_cache = []
    for layer in range(a.layers):
        name = f"model.layers.{layer}."
        normed = _rms_norm(hidden_BTC, w[name + "input_layernorm.weight"], a)
        queries, keys, values = (_heads(w, f"{name}self_attn.{x}_proj", normed, a) for x in "qkv")
        queries, keys = _rotate(queries, rotation), _rotate(keys, rotation)
        if cache:
            keys = torch.cat([cache[layer][0], keys], dim=2)
            values = torch.cat([cache[layer][1], values], dim=2)
        new_cache.append((keys, values))
        mixed = functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask_TS, enable_gqa=True
        )
        mixed_BTC = mixed.transpose(1, 2).flatten(2)
        hidden_BTC = hidden_BTC + functional.linear(mixed_BTC, w[name + "self_attn.o_proj.weight"])
        normed = _rms_norm(hidden_BTC, w[name + "post_attention_layernorm.weight"], a)
        gate = functional.silu(functional.linear(normed, w[name + "mlp.gate_proj.weight"]))
        up = functional.linear(normed, w[name + "mlp.up_proj.weight"])
        hidden_BTC = hidden_BTC + functional.linear(gate * up, w[name + "mlp.down_proj.weight"])
    hidden_BTC = _rms_norm(hidden_BTC, w["model.norm.weight"], a)
    head = w["model.embed_tokens.weight" if a.tie_embeddings else "lm_head.weight"]
    return functional.linear(hidden_BTC, head), new_cache


def _rms_norm(hidden_BTC: Tensor, weight_C: Tensor, a: Architecture) -> Tensor:
    return functional.rms_norm(hidden_BTC, (a.hidden_size,), weight_C, a.norm_epsilon)


def _heads(w: Weights, name: str, hidden_BTC: Tensor, a: Architecture) -> Tensor:
    """Return the projection, split into heads, [B, heads, T, D]."""
    projected = functional.linear(hidden_BTC, w[f"{name}.weight"], w.get(f"{name}.bias"))
    return projected.unflatten(-1, (-1, a.head_size)).transpose(1, 2)


def _rotation(a: Architecture, positions_T: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosine and sine [T, D] of the rotary position embedding (Su et al. 2021).

    As in transformers, the two dimensions of a pair are D/2 apart. The sine of the first half is negated.
    """
    frequency = a.rope_theta ** (-torch.arange(0, a.head_size, 2) / a.head_size)
    angle = torch.outer(positions_T.float(), frequency).repeat(1, 2)
    sign = torch.ones(a.head_size)
    sign[: a.head_size // 2] = -1
    return angle.cos(), angle.sin() * sign


def _rotate(heads_BHTD: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    cos_TD, sin_TD = rotation
    halves_swapped = heads_BHTD.roll(heads_BHTD.shape[-1] // 2, dims=-1)
    return torch.addcmul(heads_BHTD * cos_TD, halves_swapped, sin_TD)
