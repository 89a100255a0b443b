"""Shape of a decoder, without torch, so that the plan can count parameters."""

import math
from dataclasses import dataclass
from typing import Any

# Bytes per parameter on disk: float32 weight and two moments of AdamW; a written policy.
STATE_BYTES = 12
POLICY_BYTES = {"bfloat16": 2, "float32": 4}

CONFIG_KEYS = {  # transformers' name, in config.json, of each field
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "key_value_heads": "num_key_value_heads",
    "vocabulary_size": "vocab_size",
    "tie_embeddings": "tie_word_embeddings",
    "norm_epsilon": "rms_norm_eps",
    "rope_theta": "rope_theta",
}


@dataclass(frozen=True)
class Architecture:
    """A decoder as described by `config.json`.

    family: "llama", "qwen2" (query, key and value have biases) or "qwen3" (query and key are normalised).
    head_dim: if it is not hidden_size / heads.
    """

    family: str
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    key_value_heads: int
    vocabulary_size: int
    tie_embeddings: bool
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-6
    head_dim: int | None = None

    @property
    def head_size(self) -> int:
        return self.head_dim or self.hidden_size // self.heads

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every weight, in transformers' naming."""
        c, q, kv = self.hidden_size, self.heads * self.head_size, self.key_value_heads * self.head_size
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocabulary_size, c)}
        for layer in range(self.layers):
            prefix = f"model.layers.{layer}."
            for name, out in (("q", q), ("k", kv), ("v", kv)):
                shapes[f"{prefix}self_attn.{name}_proj.weight"] = (out, c)
                if self.family == "qwen2":
                    shapes[f"{prefix}self_attn.{name}_proj.bias"] = (out,)
                if self.family == "qwen3" and name != "v":
                    shapes[f"{prefix}self_attn.{name}_norm.weight"] = (self.head_size,)
            shapes[f"{prefix}self_attn.o_proj.weight"] = (c, q)
            shapes[f"{prefix}mlp.gate_proj.weight"] = (self.intermediate_size, c)
            shapes[f"{prefix}mlp.up_proj.weight"] = (self.intermediate_size, c)
            shapes[f"{prefix}mlp.down_proj.weight"] = (c, self.intermediate_size)
            shapes[f"{prefix}input_layernorm.weight"] = (c,)
            shapes[f"{prefix}post_attention_layernorm.weight"] = (c,)
        shapes["model.norm.weight"] = (c,)
        if not self.tie_embeddings:
            shapes["lm_head.weight"] = (self.vocabulary_size, c)
        return shapes

    def parameter_count(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes().values())


def architecture_in(configuration: dict[str, Any]) -> Architecture:
    """Return the shape that the content of a config.json describes.

    Raises ValueError, which names the key, for what the decoder of engine local does not compute.
    """
    # transformers 5 has the settings of the rotary embedding in a section of their own.
    rotary = configuration.get("rope_parameters") or configuration.get("rope_scaling") or {}
    flat = {"rope_theta": 10_000.0, "tie_word_embeddings": False} | rotary | configuration
    if flat.get("num_key_value_heads") is None:  # as transformers reads it
        flat["num_key_value_heads"] = flat.get("num_attention_heads")
    if missing := [theirs for theirs in CONFIG_KEYS.values() if theirs not in flat]:
        raise ValueError(f"config.json lacks {', '.join(missing)}: not a Llama, Qwen2 or Qwen3")
    for theirs in CONFIG_KEYS.values():
        if not isinstance(flat[theirs], int | float):
            raise ValueError(f"config.json has {theirs} {flat[theirs]!r}, which is no number")
    family = configuration.get("model_type", "none")
    head_dim = flat.get("head_dim") or (128 if family == "qwen3" else None)  # as transformers reads it
    if not (head_dim is None or type(head_dim) is int and head_dim % 2 == 0):
        raise ValueError(f"config.json has head_dim {head_dim!r}, which is no even number")
    architecture = Architecture(
        family=family,
        **{ours: flat[theirs] for ours, theirs in CONFIG_KEYS.items()},
        head_dim=None if head_dim == flat["hidden_size"] // flat["num_attention_heads"] else head_dim,
    )
    expected = {
        "model_type": ("llama", "qwen2", "qwen3"),
        "hidden_act": ("silu",),
        "attention_bias": (False,),
        "mlp_bias": (False,),
        "use_sliding_window": (False,),
    }
    for key, known in expected.items():
        if configuration.get(key, known[0]) not in known:
            raise ValueError(
                f"config.json has {key} {configuration[key]!r}, engine local computes "
                f"{' or '.join(map(repr, known))} alone: take a Llama, Qwen2 or Qwen3, or engine fsdp_vllm"
            )
    if (kind := rotary.get("rope_type", rotary.get("type", "default"))) != "default":
        raise ValueError(
            f"config.json has rope_type {kind!r}, engine local computes 'default' alone: "
            "take engine fsdp_vllm"
        )
    if "quantization_config" in configuration:
        raise ValueError("config.json has a quantization_config: take the weights that are not quantised")
    return architecture
