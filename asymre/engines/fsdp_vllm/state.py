"""State between cycles: float32 weights and moments, and the policy that vLLM reads."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from asymre.engines.fsdp_vllm.engine import FsdpEngine

MAX_FILE_SIZE = "5GB"
_COPIED = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "generation_config.json",
    "vocab.*",
    "merges.txt",
)


def save_state(engine: FsdpEngine, folder: Path) -> None:
    """Write float32 weights, AdamW's moments and its step count; each rank writes its shards."""
    save(_tensors(engine), checkpoint_id=folder)


def load_state(engine: FsdpEngine, folder: Path) -> None:
    """Load what `save_state` wrote, from any number of ranks, into the engine.

    Raises ValueError if it is damaged or of another model.
    """
    tensors = _tensors(engine)
    try:
        load(tensors, checkpoint_id=folder)
    # Derives from BaseException, so `except Exception` would miss it.
    except CheckpointException as error:
        cause = next(iter(error.failures.values()))[0]
        raise ValueError(
            f"{folder}: the state is damaged or of another model ({cause}); "
            "delete it and train its cycle again"
        ) from None
    for state in engine.optimiser.state.values():
        state["step"].copy_(tensors["step"])


def _tensors(engine: FsdpEngine) -> dict:
    names = {name: parameter.detach() for name, parameter in engine.model.named_parameters()}
    moments = {name: engine.optimiser.state[p] for name, p in engine.model.named_parameters()}
    return {
        "weights": names,
        "exp_avg": {name: state["exp_avg"] for name, state in moments.items()},
        "exp_avg_sq": {name: state["exp_avg_sq"] for name, state in moments.items()},
        # One count for all: the weights are updated together.
        "step": next(iter(moments.values()))["step"].clone(),
    }


def write_policy(engine: FsdpEngine, folder: Path, source: Path, dtype: str) -> None:
    """Write a policy folder for vLLM and transformers; rank 0 writes, and all ranks must call.

    source: the policy folder to copy configuration and tokenizer from. dtype: of the written weights,
    "bfloat16" or "float32".
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Tied weights are one parameter, so they are written once.
    parameters = dict(engine.model.named_parameters())
    shapes = {
        name: torch.empty(parameter.shape, dtype=getattr(torch, dtype), device="meta")
        for name, parameter in parameters.items()
    }
    files = split_torch_state_dict_into_shards(shapes, max_shard_size=MAX_FILE_SIZE)
    for file, names in files.filename_to_tensors.items():
        whole = {name: _gather(parameters[name], shapes[name].dtype) for name in names}
        weights = {name: weight for name, weight in whole.items() if weight is not None}
        if dist.get_rank() == 0:
            save_file(weights, folder / file, metadata={"format": "pt"})
    if dist.get_rank() == 0:
        if files.is_sharded:
            index = {"metadata": files.metadata, "weight_map": files.tensor_to_filename}
            _write_json(folder / "model.safetensors.index.json", index)
        _write_configuration(folder, source, dtype)
    dist.barrier()


@torch.no_grad()
def _gather(parameter: Any, dtype: torch.dtype) -> Tensor | None:
    """Return the whole parameter on rank 0; one at a time fits beside the shards on any GPU."""
    whole = parameter.to(dtype).full_tensor()
    return whole.cpu() if dist.get_rank() == 0 else None


def _write_configuration(folder: Path, source: Path, dtype: str) -> None:
    configuration = json.loads((source / "config.json").read_text(encoding="utf-8"))
    # The older name of dtype would contradict the new one.
    configuration.pop("torch_dtype", None)
    _write_json(folder / "config.json", configuration | {"dtype": dtype})
    for pattern in _COPIED:
        for file in source.glob(pattern):
            shutil.copyfile(file, folder / file.name)


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
