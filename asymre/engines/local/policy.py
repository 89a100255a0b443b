"""A policy folder in Hugging Face layout: config.json, model.safetensors and the tokenizer's files."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from asymre.architecture import CONFIG_KEYS, Architecture, architecture_in
from asymre.engines.local import tokenizer
from asymre.engines.local.decoder import Weights, products
from asymre.engines.local.device import CPU

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_CLASSES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}


def save_policy(folder: Path, architecture: Architecture, weights: Weights) -> None:
    """Write a policy that `load_policy` and `transformers.AutoModelForCausalLM` read."""
    folder.mkdir(parents=True, exist_ok=True)
    configuration = {
        "model_type": architecture.family,
        "architectures": [_CLASSES[architecture.family]],
        **{theirs: getattr(architecture, ours) for ours, theirs in CONFIG_KEYS.items()},
        "hidden_act": "silu",
        "max_position_embeddings": 1024,
        "attention_bias": False,
        "eos_token_id": tokenizer.END_ID,
        "pad_token_id": tokenizer.END_ID,
        "bos_token_id": None,
        "dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(configuration, indent=1) + "\n", encoding="utf-8")
    for name, text in tokenizer.files().items():
        (folder / name).write_text(text + "\n", encoding="utf-8")
    save_weights(folder, weights)


def save_weights(folder: Path, weights: Weights) -> None:
    """Write model.safetensors alone: a snapshot shares its run's config.json and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(weights), folder / "model.safetensors", metadata={"format": "pt"})


def load_policy(folder: Path) -> tuple[Architecture, Weights]:
    """Return architecture and float32 weights. Raises ValueError if they do not fit each other."""
    architecture = architecture_in(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    return architecture, load_weights(folder, architecture)


@dataclass(frozen=True)
class Policy:
    """A policy as a job needs it. weights: float32, on `device`. dtype: of matrix products."""

    architecture: Architecture
    weights: Weights
    tokenizer: tokenizer.Tokenizer
    dtype: torch.dtype
    device: torch.device

    def behaviour(self) -> Weights:
        """Return the weights from which to sample: their matrices have the dtype of products."""
        return products(self.weights, self.dtype)


def open_policy(folder: Path, end: str, device: torch.device) -> Policy:
    """Return the policy of a folder, on a device; a stand-in is on the CPU, whatever the device.

    end: text that ends a completion (`tasks.Task.end`). Raises ValueError if no token does, and if weights
    and config.json do not fit each other.
    """
    architecture, weights = load_policy(folder)
    own = tokenizer.load_tokenizer(folder, end)
    place = CPU if own is tokenizer.CHARACTERS else device
    weights = {name: weight.to(place) for name, weight in weights.items()}
    return Policy(architecture, weights, own, _products_of(folder), place)


def _products_of(folder: Path) -> torch.dtype:
    """Return the dtype of matrix products for a policy folder, `dtype` in its config.json."""
    return DTYPES[json.loads((folder / "config.json").read_text(encoding="utf-8"))["dtype"]]


def load_weights(folder: Path, architecture: Architecture) -> Weights:
    """Return the weights of a policy folder or snapshot; ValueError unless they fit the architecture."""
    weights = load_file(folder / "model.safetensors")
    found = {name: tuple(weight.shape) for name, weight in weights.items()}
    if found != architecture.shapes():
        raise ValueError("the weights do not have the names and shapes of the architecture")
    if any(weight.dtype != torch.float32 for weight in weights.values()):
        raise ValueError("the weights are not float32")
    if not all(weight.isfinite().all() for weight in weights.values()):
        raise ValueError("the weights are not finite")
    # Not in the file's order: the optimiser and the last bits of sums over weights depend on the order.
    return {name: weights[name] for name in architecture.shapes()}


def policy_folder(source: Path) -> Path:
    """Return the folder of the policy within a base policy, some cycles or a whole run."""
    return source / "policy" if (source / "policy").is_dir() else source
