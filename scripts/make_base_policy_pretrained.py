"""Put the weights of a model of the paper, from the hub or a local folder, where every job finds them."""

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
            # Somebody's own files may change: no links to them.
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
    """A hard link into the hub's cache costs no space; another file system needs a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


if __name__ == "__main__":
    job.run(make, PROJECT, PretrainedSpec)
