"""Convert a pretrained model, from the hub, a folder or a package, to a policy folder of engine local."""

import shutil
from pathlib import Path

from asymre.content import folder_hash
from asymre.engines.fsdp_vllm.source import download
from asymre.engines.local.checkpoint import check
from asymre.engines.local.pretrained import convert
from asymre.model_packages import unpack
from asymre.specs import LocalPretrainedSpec
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
    with job.refusals():
        if source.package:
            unpack(source.package, unpacked)
            found = unpacked
        elif source.folder:
            found = Path(source.folder)
            if folder_hash(found) != source.content:
                raise ValueError(f"{found}: its files changed since this job was planned; run again")
        else:
            found = download(source.hub, source.revision, KEPT)
        check(found, source.architecture, end=spec.end, longest=spec.longest, new_tokens=spec.new_tokens)
        convert(found, folder, spec.dtype)
    shutil.rmtree(unpacked, ignore_errors=True)


if __name__ == "__main__":
    job.run(make, PROJECT, LocalPretrainedSpec)
