"""Copy a model of the paper from the hub, or from a local folder, to where every job finds it."""

import os
import shutil
from pathlib import Path

from asymre.content import folder_hash
from asymre.engines.fsdp_vllm.source import check_policy, download
from asymre.specs import PretrainedSpec
from store import job
from store.artefact import SPEC
from workflow.project import PROJECT

KEPT = ("*.safetensors", "*.json", "*.jinja", "*.txt", "tokenizer.model")


def make(spec: PretrainedSpec, inputs, folder):
    try:
        if spec.folder is None:
            source, put = download(spec.hub, spec.revision, KEPT), link_or_copy
        else:
            # The user may change these files: copy, do not link.
            source, put = Path(spec.folder), shutil.copyfile
            if folder_hash(source) != spec.content:
                raise ValueError(f"{source}: its files changed since this job was planned; run again")
        check_policy(source, spec.architecture)
    except ValueError as error:
        raise job.InputError(str(error)) from error
    for pattern in KEPT:
        for file in source.glob(pattern):
            if file.name != SPEC:
                put(file.resolve(), folder / file.name)


def link_or_copy(source: Path, target: Path) -> None:
    """Link a file of the hub's cache, which takes no space, or copy it to another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


if __name__ == "__main__":
    job.run(make, PROJECT, PretrainedSpec)
