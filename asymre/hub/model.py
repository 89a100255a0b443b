"""A policy folder as a transformers model: float32 master weights to train, any type to score."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from asymre.hub.source import check_files

# The log-probabilities are computed from the decoder and a plain linear head. Other families put more behind
# the decoder (soft caps, scales), which would be left out without a word.
FAMILIES = ("llama", "qwen2")


def load_model(folder: Path, dtype: torch.dtype = torch.float32) -> nn.Module:
    """The causal language model of a policy folder, on the CPU, without dropout.

    dtype: of the weights. Buffers, such as the frequencies of rotary embeddings, stay float32: `model.to`
    would round them too, and with them every position.

    ValueError, with the remedy, for a folder without configuration, weights or tokenizer, and for weights
    that are damaged, not finite or not those of its config.json.
    """
    check_files(folder)
    disable_progress_bar()
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            # Reported below with everything else that does not fit.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{folder}: cannot be loaded ({error}); download or make the folder anew") from error
    if model.config.model_type not in FAMILIES:
        raise ValueError(
            f"{folder}: models of type {model.config.model_type} are not supported; take one of type "
            f"{' or '.join(FAMILIES)}"
        )
    _check_loaded(folder, model, found)
    # Else the token that the configuration names for filling, often the end token too, gets no gradient.
    model.get_input_embeddings().padding_idx = None
    return model.eval()


def require_float32(model: nn.Module) -> None:
    """ValueError unless every weight is float32: a step of 6e-8 vanishes in bfloat16."""
    others = {str(p.dtype) for p in model.parameters() if p.dtype != torch.float32}
    if others:
        raise ValueError(f"the master weights must be float32, not {', '.join(sorted(others))}")


def _check_loaded(folder: Path, model: nn.Module, found: dict) -> None:
    wrong = [
        f"{kind} {', '.join(sorted(map(str, keys))[:3])}"
        for kind, keys in (
            ("lacks", found["missing_keys"]),
            ("has the foreign", found["unexpected_keys"]),
            ("has other shapes for", [key[0] for key in found["mismatched_keys"]]),
        )
        if keys
    ]
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    if tied != model.config.tie_word_embeddings:
        wrong.append(f"has {'one embedding' if tied else 'two embeddings'}, config.json says otherwise")
    if wrong:
        raise ValueError(
            f"{folder}: the weights are not those of config.json: {'; '.join(wrong)}; "
            "put the configuration and the weights of one model into the folder"
        )
    damaged = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
    if damaged:
        raise ValueError(
            f"{folder}: {len(damaged)} weights are not finite (first: {damaged[0]}); "
            "download or make the folder anew"
        )
