"""Weights of a pretrained model for engine local: converted to float32, as one file, or read from GGUF."""

import json
import shutil
from pathlib import Path

import torch
from safetensors import safe_open

from asymre.architecture import CONFIG_KEYS, architecture_in
from asymre.engines.local.checkpoint import HEAD
from asymre.engines.local.decoder import Weights
from asymre.engines.local.policy import save_weights
from asymre.model_files import configuration, weight_files

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def convert(folder: Path, target: Path, dtype: str) -> None:
    """Write the model of a folder, which `checkpoint.check` accepts, as a policy folder.

    dtype: of matrix products; config.json states it.
    """
    weights: Weights = {}
    for file in weight_files(folder):
        with safe_open(file, "pt") as opened:
            weights |= {name: opened.get_tensor(name).to(torch.float32) for name in opened.keys()}
    found = configuration(folder)
    architecture = architecture_in(found)
    embedding = weights["model.embed_tokens.weight"]
    if architecture.tie_embeddings and not torch.equal(weights.get(HEAD, embedding), embedding):
        raise ValueError(
            f"{folder}: has two embeddings, but config.json ties them: set tie_word_embeddings to false there"
        )
    save_weights(target, {name: weights[name].contiguous() for name in architecture.shapes()})
    for name in _TOKENIZER:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
    flat = {theirs: getattr(architecture, ours) for ours, theirs in CONFIG_KEYS.items()}
    text = json.dumps(found | flat | {"dtype": dtype}, indent=1) + "\n"
    (target / "config.json").write_text(text, encoding="utf-8")


def unpack_gguf(file: Path, folder: Path) -> None:
    """Write the model of a GGUF file, dequantised, and its tokenizer in Hugging Face layout."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    arguments = {"gguf_file": file.name, "local_files_only": True}
    loaded = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **arguments)
    # A model loaded from GGUF refuses to be saved, and describes itself as quantised.
    del loaded.config.quantization_config  # pyright: ignore
    model = AutoModelForCausalLM.from_config(loaded.config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, **arguments).save_pretrained(folder)
