"""Weights of a pretrained model for engine local: converted to float32, as one file."""

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
