"""A Llama, Qwen2 and Qwen3 decoder on one page, as a pure function of its weights.

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


def products(weights: Weights, dtype: torch.dtype) -> Weights:
    """Return weights whose matrices in the layers have this dtype: their products are computed in it.

    Everything else, the logits included, is float32: rounded logits would set the sampler apart from the
    trainer. Gradients reach the float32 weights through the conversion. float32: the same weights.
    """
    return {name: w.to(dtype) if name.endswith("_proj.weight") else w for name, w in weights.items()}


@dataclass(frozen=True)
class Layout:
    """The positions [P, S] of sequences' tokens, and the attention mask [P, 1, S, S] of 0 or -inf.

    P is 1 if all sequences have the same.
    """

    positions: Tensor
    mask: Tensor


def layout(prompt: int, branches: int = 0, steps: int = 0, lengths_P: Tensor | None = None) -> Layout:
    """Return the layout of prompts of `prompt` tokens followed by `steps` tokens per branch, step by step.

    A branch sees the prompt and itself. So a prompt and its G completions are one sequence: the prompt is
    computed once, and all tokens go through the layers together. Without branches: a plain sequence.
    lengths_P: of prompts that are padded on the right to `prompt` tokens; None if none is padded.
    """
    own_P1 = torch.tensor([[prompt]]) if lengths_P is None else lengths_P[:, None]
    step_S = torch.arange(steps).repeat_interleave(branches)
    slots = torch.arange(prompt).expand(len(own_P1), -1)
    positions = torch.cat([slots, own_P1 + step_S], dim=1)
    branch = torch.cat([torch.full((prompt,), -1), torch.arange(branches).repeat(steps)])
    sees = (branch[None] == -1) | (branch[None] == branch[:, None])
    sees = sees & (positions[:, None] <= positions[:, :, None])
    # Padding sees itself, since a row of the softmax must not be empty, and is seen by nothing else.
    padding = (branch == -1) & (positions >= own_P1)
    sees &= ~padding[:, None] | torch.eye(len(branch), dtype=torch.bool)
    return Layout(positions, torch.zeros(sees.shape).masked_fill_(~sees, -torch.inf)[:, None])


def behind(prefix: int, each: Layout, sequences: int) -> Layout:
    """Return the layout of one sequence: `prefix` tokens, and behind them `sequences` sequences one by one.

    each: the layout of these sequences, which see the prefix and themselves.
    """
    positions_PS, mask_PSS = each.positions.expand(sequences, -1), each.mask[:, 0].expand(sequences, -1, -1)
    own = torch.block_diag(
        *(mask_PSS + 1)
    )  # 1 where a token sees, 0 elsewhere, -inf where it is kept from it
    sees = torch.ones(prefix + len(own), prefix + len(own), dtype=torch.bool).tril()
    sees[prefix:, prefix:] = own == 1
    positions = torch.cat([torch.arange(prefix), prefix + positions_PS.flatten()])
    return Layout(positions[None], torch.zeros(sees.shape).masked_fill_(~sees, -torch.inf)[None, None])


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
    hidden_BTC, new_cache = _layers(weights, architecture, tokens_BT, cache, layout_S)
    head = "model.embed_tokens.weight" if architecture.tie_embeddings else "lm_head.weight"
    return functional.linear(hidden_BTC, weights[head]), new_cache


def prefill(weights: Weights, architecture: Architecture, tokens_T: Tensor, sequences: int) -> Cache:
    """Return the cache of tokens with which `sequences` sequences begin, computed once."""
    _, cache = _layers(weights, architecture, tokens_T[None], None, None)
    return [tuple(part.expand(sequences, -1, -1, -1) for part in layer) for layer in cache]  # pyright: ignore


def _layers(
    w: Weights, a: Architecture, tokens_BT: Tensor, cache: Cache | None, layout_S: Layout | None
) -> tuple[Tensor, Cache]:
    """Return the output of the last layer [B, T, C], normalised, and the extended cache."""
    past = cache[0][0].shape[2] if cache else 0
    end = past + tokens_BT.shape[1]
    places = layout_S or layout(end)
    device = tokens_BT.device
    rotation = _rotation(a, places.positions[:, past:end], device)
    hidden_BTC = functional.embedding(tokens_BT, w["model.embed_tokens.weight"])
    dtype = w["model.layers.0.mlp.up_proj.weight"].dtype
    mask_PTS = places.mask[:, :, past:end, :end].to(device)
    new_cache = []
    for layer in range(a.layers):
        name = f"model.layers.{layer}."
        normed = _rms_norm(hidden_BTC, w[name + "input_layernorm.weight"], a).to(dtype)
        queries, keys, values = (_heads(w, f"{name}self_attn.{x}_proj", normed, a) for x in "qkv")
        if a.family == "qwen3":
            queries, keys = (
                functional.rms_norm(x, (a.head_size,), w[f"{name}self_attn.{of}_norm.weight"], a.norm_epsilon)
                for x, of in ((queries, "q"), (keys, "k"))
            )
        queries, keys = _rotate(queries, rotation), _rotate(keys, rotation)
        if cache:
            keys = torch.cat([cache[layer][0], keys], dim=2)
            values = torch.cat([cache[layer][1], values], dim=2)
        new_cache.append((keys, values))
        mixed = functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask_PTS, enable_gqa=True
        )
        mixed_BTC = mixed.transpose(1, 2).flatten(2).to(dtype)
        hidden_BTC = hidden_BTC + functional.linear(mixed_BTC, w[name + "self_attn.o_proj.weight"])
        normed = _rms_norm(hidden_BTC, w[name + "post_attention_layernorm.weight"], a).to(dtype)
        gate = functional.silu(functional.linear(normed, w[name + "mlp.gate_proj.weight"]))
        up = functional.linear(normed, w[name + "mlp.up_proj.weight"])
        hidden_BTC = hidden_BTC + functional.linear(gate * up, w[name + "mlp.down_proj.weight"])
    return _rms_norm(hidden_BTC, w["model.norm.weight"], a), new_cache


def _rms_norm(hidden_BTC: Tensor, weight_C: Tensor, a: Architecture) -> Tensor:
    return functional.rms_norm(hidden_BTC, (a.hidden_size,), weight_C, a.norm_epsilon)


def _heads(w: Weights, name: str, hidden_BTC: Tensor, a: Architecture) -> Tensor:
    """Return the projection, split into heads, [B, heads, T, D]."""
    bias = w.get(f"{name}.bias")
    bias = None if bias is None else bias.to(hidden_BTC.dtype)
    projected = functional.linear(hidden_BTC, w[f"{name}.weight"], bias).float()
    return projected.unflatten(-1, (-1, a.head_size)).transpose(1, 2)


def _rotation(a: Architecture, positions_PT: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosine and sine [P, 1, T, D] of the rotary position embedding (Su et al. 2021).

    As in transformers, the two dimensions of a pair are D/2 apart. The sine of the first half is negated.
    """
    frequency = a.rope_theta ** (-torch.arange(0, a.head_size, 2) / a.head_size)
    angle = (positions_PT.float()[:, None, :, None] * frequency).repeat(1, 1, 1, 2)
    sign = torch.ones(a.head_size)
    sign[: a.head_size // 2] = -1
    return angle.cos().to(device), (angle.sin() * sign).to(device)


def _rotate(heads_BHTD: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rotation
    halves_swapped = heads_BHTD.roll(heads_BHTD.shape[-1] // 2, dims=-1)
    return torch.addcmul(heads_BHTD * cos, halves_swapped, sin)
