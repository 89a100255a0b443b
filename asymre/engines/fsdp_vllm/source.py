"""The source of a pretrained model's weights: download from the hub, and checks of a folder."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asymre.architecture import CONFIG_KEYS
from asymre.model_files import REMEDY, configuration, read_object, shapes, weight_files

_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")


def parameter_count(folder: Path) -> int:
    """Return the number of parameters in a policy folder, from the headers of its safetensors files."""
    return sum(math.prod(shape) for path in weight_files(folder) for shape in shapes(path).values())


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
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder}: no config.json; {REMEDY}")
    if not any(folder.glob("*.safetensors")):
        raise ValueError(f"{folder}: no weights (*.safetensors); {REMEDY}")
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise ValueError(f"{folder}: no tokenizer ({', '.join(_TOKENIZERS)}); {REMEDY}")


def check_policy(folder: Path, architecture: dict[str, Any]) -> None:
    """Raise ValueError, with the remedy, unless a folder holds a chat model of this architecture."""
    check_files(folder)
    for file in weight_files(folder):
        shapes(file)  # raises for a file without a header, such as a pointer of Git LFS
    tokenizer = folder / "tokenizer_config.json"
    template = tokenizer.is_file() and "chat_template" in read_object(tokenizer)
    if not (template or (folder / "chat_template.jinja").is_file()):
        raise ValueError(f"{folder}: has no chat template: take the instruction-tuned model")
    found_in = configuration(folder)
    if found_in.get("model_type") != architecture["family"]:
        raise ValueError(
            f"{folder}: config.json has model_type {found_in.get('model_type')}, "
            f"pretrained.*.architecture.family says {architecture['family']}: another model"
        )
    for ours, theirs in CONFIG_KEYS.items():
        found = found_in.get(theirs)
        if ours in architecture and found is not None and found != architecture[ours]:
            raise ValueError(
                f"{folder}: config.json has {theirs} {found}, pretrained.*.architecture.{ours} says "
                f"{architecture[ours]}: another model, or a wrong number"
            )
