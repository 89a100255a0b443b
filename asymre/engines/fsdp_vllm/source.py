"""The source of a pretrained model's weights: download from the hub, and checks of a folder."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open

from asymre.architecture import CONFIG_KEYS

_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")


def parameter_count(folder: Path) -> int:
    """Return the number of parameters in a policy folder, from the headers of its safetensors files."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "numpy") as file:
            total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())
    return total


def download(repository: str, revision: str, patterns: Sequence[str]) -> Path:
    """Download a model into the hub's cache and return its folder. Raises ValueError, with the remedy."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
    except GatedRepoError:
        raise ValueError(
            f"{repository} is gated: accept its licence on its page on the hub, then log in with "
            "`hf auth login` (or set HF_TOKEN), with a token that may read gated repositories"
        ) from None
    except RepositoryNotFoundError:
        raise ValueError(
            f"the hub has no model {repository!r} that this login may see: check pretrained.*.hub, "
            "or log in with `hf auth login`"
        ) from None
    except (HfHubHTTPError, OSError) as error:
        raise ValueError(
            f"{repository} at {revision} cannot be fetched ({type(error).__name__}): check the revision "
            "and the connection, or give a local folder (pretrained.*.folder)"
        ) from None


def check_files(folder: Path) -> None:
    """Raise ValueError unless a folder has configuration, weights and tokenizer."""
    remedy = "give a folder in Hugging Face layout, or the model's hub id"
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder}: no config.json; {remedy}")
    if not any(folder.glob("*.safetensors")):
        raise ValueError(f"{folder}: no weights (*.safetensors); {remedy}")
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise ValueError(f"{folder}: no tokenizer ({', '.join(_TOKENIZERS)}); {remedy}")


def check_policy(folder: Path, architecture: dict[str, Any]) -> None:
    """Raise ValueError, with the remedy, unless a folder holds a chat model of this architecture."""
    check_files(folder)
    tokenizer = folder / "tokenizer_config.json"
    template = tokenizer.is_file() and "chat_template" in json.loads(tokenizer.read_text(encoding="utf-8"))
    if not (template or (folder / "chat_template.jinja").is_file()):
        raise ValueError(f"{folder}: has no chat template: take the instruction-tuned model")
    configuration = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if configuration.get("model_type") != architecture["family"]:
        raise ValueError(
            f"{folder}: config.json has model_type {configuration.get('model_type')}, "
            f"pretrained.*.architecture.family says {architecture['family']}: another model"
        )
    for ours, theirs in CONFIG_KEYS.items():
        found = configuration.get(theirs)
        if ours in architecture and found is not None and found != architecture[ours]:
            raise ValueError(
                f"{folder}: config.json has {theirs} {found}, pretrained.*.architecture.{ours} says "
                f"{architecture[ours]}: another model, or a wrong number"
            )
