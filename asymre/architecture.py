"""Shape of a decoder, without torch, so that the plan can count parameters."""

import math
from dataclasses import dataclass

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
    """A decoder as described by `config.json`. `family`: "llama" or "qwen2" (query, key, value biases)."""

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

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.heads

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every weight, in transformers' naming."""
        c, kv = self.hidden_size, self.key_value_heads * self.head_size
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocabulary_size, c)}
        for layer in range(self.layers):
            prefix = f"model.layers.{layer}."
            for name, out in (("q", c), ("k", kv), ("v", kv)):
                shapes[f"{prefix}self_attn.{name}_proj.weight"] = (out, c)
                if self.family == "qwen2":
                    shapes[f"{prefix}self_attn.{name}_proj.bias"] = (out,)
            shapes[f"{prefix}self_attn.o_proj.weight"] = (c, c)
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
