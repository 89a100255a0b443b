"""Files of a model in Hugging Face layout: the configuration, and where the weights are. Without torch."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import safe_open

REMEDY = "give a folder in Hugging Face layout, or the model's hub id"


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Raise ValueError with the file's name for whatever its reader raises."""
    try:
        yield
    except Exception as error:  # the library tokenizers raises no other
        raise ValueError(
            f"{file}: cannot be read ({error}): half of it, or a pointer of Git LFS; get it again"
        ) from None


def read_object(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file."""
    with reading(file):
        return dict(json.loads(file.read_text(encoding="utf-8")))


def configuration(folder: Path) -> dict[str, Any]:
    """Return the content of config.json."""
    return read_object(folder / "config.json")


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold the weights; ValueError if there are none, or if one is missing.

    Those that transformers reads: a folder may hold an older model, an adapter, or the weights twice.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{folder}: no weights (*.safetensors); {REMEDY}")
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole in files:
        return [whole]
    if not index.is_file():
        raise ValueError(f"{folder}: neither {whole.name} nor {index.name}; {REMEDY}")
    with reading(index):
        named = {folder / name for name in read_object(index)["weight_map"].values()}
    if missing := sorted(named - set(files)):
        raise ValueError(f"{folder}: no {missing[0].name}, which {index.name} names; get it again")
    return sorted(named)


def shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Return name and shape of each weight, from the file's header.

    Without the frequencies of rotary embeddings, which old files hold, too.
    """
    with reading(file), safe_open(file, "numpy") as opened:
        names = [name for name in opened.keys() if not name.endswith("rotary_emb.inv_freq")]
        return {name: tuple(opened.get_slice(name).get_shape()) for name in names}
