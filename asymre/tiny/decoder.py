"""A Llama and Qwen2 decoder on one page, as a pure function of its weights.

Weights carry transformers' names and shapes, so a policy folder loads in both. Importing torch alone
and running without module overhead makes a step of a 0.1M-parameter model several times cheaper
than transformers' own.

Shapes: B sequences, T tokens, C hidden size, H heads, K key-value heads, D head size, V vocabulary.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from asymre.architecture import Architecture

Weights = dict[str, Tensor]
Cache = list[tuple[Tensor, Tensor]]  # keys and values of each layer, [B, K, T, D]


def initial_weights(architecture: Architecture, generator: torch.Generator) -> Weights:
    """Normal weights of standard deviation 1/sqrt(fan-in), unit norms, zero biases."""
    weights = {}
    for name, shape in architecture.shapes().items():
        if name.endswith("norm.weight"):
            weights[name] = torch.ones(shape)
        elif name.endswith("bias"):
            weights[name] = torch.zeros(shape)
        else:
            weights[name] = torch.randn(shape, generator=generator) / math.sqrt(shape[-1])
    return weights


def forward(
    weights: Weights, architecture: Architecture, tokens_BT: Tensor, cache: Cache | None = None
) -> tuple[Tensor, Cache]:
    """Logits [B, T, V] of the next token after each of `tokens_BT`, and the cache that includes them.

    `cache` holds the keys and values of the tokens before `tokens_BT`. It may carry gradients: the
    completions of one prompt share the prompt's keys and values in training too (`repeat`).
    """
    a = architecture
    past = cache[0][0].shape[2] if cache else 0
    rotation = _rotation(a, past, tokens_BT.shape[1])
    mask_TS = _causal_mask(tokens_BT.shape[1], past)
    hidden_BTC = functional.embedding(tokens_BT, weights["model.embed_tokens.weight"])
    new_cache = []
    for layer in range(a.layers):
        w = _Layer(weights, f"model.layers.{layer}.")
        normed = _rms_norm(hidden_BTC, w["input_layernorm.weight"], a)
        attended, keys_values = _attention(w, a, normed, rotation, mask_TS, cache[layer] if cache else None)
        new_cache.append(keys_values)
        hidden_BTC = hidden_BTC + attended
        normed = _rms_norm(hidden_BTC, w["post_attention_layernorm.weight"], a)
        gate = functional.silu(functional.linear(normed, w["mlp.gate_proj.weight"]))
        up = functional.linear(normed, w["mlp.up_proj.weight"])
        hidden_BTC = hidden_BTC + functional.linear(gate * up, w["mlp.down_proj.weight"])
    hidden_BTC = _rms_norm(hidden_BTC, weights["model.norm.weight"], a)
    head = weights["model.embed_tokens.weight" if a.tie_embeddings else "lm_head.weight"]
    return functional.linear(hidden_BTC, head), new_cache


def repeat(cache: Cache, times: int) -> Cache:
    """The cache of each sequence, `times` over, in a row."""
    return [(k.repeat_interleave(times, dim=0), v.repeat_interleave(times, dim=0)) for k, v in cache]


class _Layer:
    """The weights of one layer, by their name within it."""

    def __init__(self, weights: Weights, prefix: str):
        self._weights, self._prefix = weights, prefix

    def __getitem__(self, name: str) -> Tensor:
        return self._weights[self._prefix + name]

    def get(self, name: str) -> Tensor | None:
        return self._weights.get(self._prefix + name)


def _rms_norm(hidden_BTC: Tensor, weight_C: Tensor, a: Architecture) -> Tensor:
    return functional.rms_norm(hidden_BTC, (a.hidden_size,), weight_C, a.norm_epsilon)


def _attention(w, a, hidden_BTC, rotation, mask_TS, past):
    batch, length, _ = hidden_BTC.shape

    def heads(name: str, count: int) -> Tensor:  # [B, count, T, D]
        projected = functional.linear(
            hidden_BTC, w[f"self_attn.{name}_proj.weight"], w.get(f"self_attn.{name}_proj.bias")
        )
        return projected.view(batch, length, count, a.head_size).transpose(1, 2)

    queries = _rotate(heads("q", a.heads), rotation)
    keys = _rotate(heads("k", a.key_value_heads), rotation)
    values = heads("v", a.key_value_heads)
    if past is not None:
        keys = torch.cat([past[0], keys], dim=2)
        values = torch.cat([past[1], values], dim=2)
    # Query heads that share a key-value head are folded into the time axis: no copies of the keys.
    group = a.heads // a.key_value_heads
    folded = queries.reshape(batch, a.key_value_heads, group * length, a.head_size)
    scores = folded @ keys.transpose(2, 3) / math.sqrt(a.head_size)
    if mask_TS is not None:
        scores = scores + mask_TS.repeat(group, 1)
    mixed = _softmax(scores) @ values
    mixed = mixed.view(batch, a.heads, length, a.head_size).transpose(1, 2)
    out = functional.linear(mixed.reshape(batch, length, a.hidden_size), w["self_attn.o_proj.weight"])
    return out, (keys, values)


def _softmax(scores: Tensor) -> Tensor:
    # torch's own costs three times as much on rows as short as these, forward.
    exponentials = (scores - scores.detach().amax(-1, keepdim=True)).exp()
    return exponentials / exponentials.sum(-1, keepdim=True)


def _rotation(a: Architecture, past: int, length: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine [T, D] of the rotary position embedding (Su et al. 2021).

    transformers' layout: pairs are D/2 apart. The sine of the first half is negative.
    """
    frequency = a.rope_theta ** (-torch.arange(0, a.head_size, 2) / a.head_size)
    angle = torch.outer(torch.arange(past, past + length).float(), frequency).repeat(1, 2)
    sign = torch.ones(a.head_size)
    sign[: a.head_size // 2] = -1
    return angle.cos(), angle.sin() * sign


def _rotate(heads_BHTD: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    cos_TD, sin_TD = rotation
    halves_swapped = heads_BHTD.roll(heads_BHTD.shape[-1] // 2, dims=-1)
    return torch.addcmul(heads_BHTD * cos_TD, halves_swapped, sin_TD)


def _causal_mask(length: int, past: int) -> Tensor | None:
    if length == 1:
        return None
    allowed = torch.ones(length, past + length, dtype=torch.bool).tril(past)
    return torch.zeros(length, past + length).masked_fill(~allowed, -torch.inf)
