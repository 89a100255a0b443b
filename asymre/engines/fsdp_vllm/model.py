"""A policy folder as a transformers model: float32 master weights for training, any type for scoring."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import AutoConfig, AutoModelForCausalLM

from asymre.engines.fsdp_vllm.source import check_files
from asymre.model_files import shapes, weight_files

# The log-probabilities are computed from the decoder and a plain linear head. Other families add steps after
# the decoder (soft caps, scales), which would be silently omitted.
FAMILIES = ("llama", "qwen2")


def load_model(folder: Path, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return the causal language model of a policy folder, on the CPU, without dropout.

    dtype: of the weights. Raises ValueError, with the remedy, for a folder without configuration, weights or
    tokenizer, and whenever `empty_model` or `load_weights` does.
    """
    check_files(folder)
    model: Any = empty_model(folder, dtype)
    allocate(model, torch.device("cpu"))
    # Allocation replaces unsharded parameters, and tied weights by one parameter per name.
    model.tie_weights()
    load_weights(model, folder)
    return model


def empty_model(folder: Path, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return the model of a policy folder's config.json, without dropout, its weights on the meta device.

    dtype: of the weights. Buffers, the frequencies of rotary embeddings, are on the CPU and always float32:
    rounding them would distort every position. Raises ValueError, with the remedy, for a bad configuration.
    """
    with _reading(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type not in FAMILIES:
        raise ValueError(
            f"{folder}: models of type {config.model_type} are not supported; take one of type "
            f"{' or '.join(FAMILIES)}"
        )
    with _reading(folder), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    # The only module with buffers; they are computed on the device where it is created.
    decoder = model.get_decoder()
    decoder.rotary_emb = type(decoder.rotary_emb)(config)
    # Otherwise the configuration's padding token, often the end token as well, would get no gradient.
    model.get_input_embeddings().padding_idx = None
    return model.eval()


def allocate(module: nn.Module, device: torch.device) -> None:
    """Allocate memory on `device`, with undefined content, for all tensors on the meta device."""
    # Not to_empty, which empties the buffers as well.
    module._apply(lambda tensor: torch.empty_like(tensor, device=device) if tensor.is_meta else tensor)


@torch.no_grad()
def load_weights(model: nn.Module, folder: Path) -> None:
    """Read the weights of a policy folder into a model; each rank reads only its own rows of sharded weights.

    Raises ValueError, with the remedy, for weights that are damaged, not finite or not those of config.json.
    """
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    with _reading(folder):
        stored = {
            name: (path, shape) for path in weight_files(folder) for name, shape in shapes(path).items()
        }
    _check_names(folder, names, {name: shape for name, (_, shape) in stored.items()})
    damaged = []
    for parameter, own in names.items():
        rows, values = _own_rows(parameter)
        if not len(values):
            continue
        with _reading(folder):
            # The files may hold tied weights once or several times.
            first, *others = (_read(stored[name][0], name, rows) for name in own if name in stored)
        if not all(torch.equal(first, other) for other in others):
            raise _not_of_configuration(folder, ["has two embeddings, but config.json ties them"])
        values.copy_(first)
        damaged += [] if values.isfinite().all() else own[:1]
    if damaged:
        raise ValueError(
            f"{folder}: {len(damaged)} weights are not finite (first: {damaged[0]}); "
            "download or rebuild the folder"
        )


def require_float32(model: nn.Module) -> None:
    """Raise ValueError unless every weight is float32: an update of 6e-8 vanishes in bfloat16."""
    others = {str(p.dtype) for p in model.parameters() if p.dtype != torch.float32}
    if others:
        raise ValueError(f"the master weights must be float32, not {', '.join(sorted(others))}")


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{folder}: cannot be loaded ({error}); download or rebuild the folder") from error


def _read(path: Path, name: str, rows: slice) -> Tensor:
    # Opened for each weight: pages read from an open file count as memory of this process.
    with safe_open(path, "pt") as file:
        return file.get_slice(name)[rows]


def _check_names(
    folder: Path, names: dict[nn.Parameter, list[str]], stored: dict[str, tuple[int, ...]]
) -> None:
    expected = {name: tuple(parameter.shape) for parameter, own in names.items() for name in own}
    findings = {
        "lacks": [own[0] for own in names.values() if not any(name in stored for name in own)],
        "has the foreign": [name for name in stored if name not in expected],
        "has other shapes for": [n for n, shape in expected.items() if stored.get(n, shape) != shape],
    }
    wrong = [f"{kind} {', '.join(sorted(found)[:3])}" for kind, found in findings.items() if found]
    if wrong:
        raise _not_of_configuration(folder, wrong)


def _not_of_configuration(folder: Path, wrong: list[str]) -> ValueError:
    return ValueError(
        f"{folder}: the weights are not those of config.json: {'; '.join(wrong)}; "
        "put the configuration and the weights of one model into the folder"
    )


def _own_rows(parameter: Tensor) -> tuple[slice, Tensor]:
    """Return the rows of a parameter that this rank holds, and their memory. FSDP splits like torch.chunk."""
    if not isinstance(parameter, DTensor):
        return slice(None), parameter
    values, mesh = parameter.to_local(), parameter.device_mesh
    first = mesh.get_local_rank() * math.ceil(len(parameter) / mesh.size())
    return slice(first, first + len(values)), values
