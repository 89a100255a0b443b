"""Put the weights of a model of the paper, from the hub or a local folder, where every job finds them."""

import os
import shutil
from pathlib import Path

from asymre.hub.source import check_policy, download
from asymre.record import job
from asymre.record.artefact import SPEC
from asymre.record.content import folder_hash

KEPT = ("*.safetensors", "*.json", "*.jinja", "*.txt", "tokenizer.model")


def make(params, inputs, folder):
    try:
        if params["folder"] is None:
            source, put = download(params["hub"], params["revision"], KEPT), link_or_copy
        else:
            # Somebody's own files may change: no links to them.
            source, put = Path(params["folder"]), shutil.copyfile
            if folder_hash(source) != params["content"]:
                raise ValueError(f"{source}: its files changed since this job was planned; run again")
        check_policy(source, params["architecture"])
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
    job.run(make)
