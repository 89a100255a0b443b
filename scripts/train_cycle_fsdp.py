"""Train one cycle on its rollouts, in several processes: metrics.parquet, policies/, snapshots/, state/."""

import os
import shutil
from pathlib import Path

# torch reads it, also under its older name, at the first allocation on a GPU. Micro-batches differ in size:
# without it, freed blocks of one size cannot be reused for another.
os.environ.setdefault(
    "PYTORCH_ALLOC_CONF", os.environ.get("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
)

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from asymre.engines.fsdp_vllm.launch import run_processes
from asymre.engines.fsdp_vllm.source import parameter_count
from asymre.engines.fsdp_vllm.training import checkpoint_bytes, train_process
from asymre.specs import FsdpTrainingSpec
from asymre.training.loop import METRICS
from asymre.training.snapshots import SNAPSHOTS, divergence_in, divergence_of, is_finite, mark_diverged
from store import job
from workflow.project import PROJECT

CHECKPOINTS = ("policies", "snapshots", "state")
OPTIONS = {
    "device": "cpu",
    "processes": 1,
    "tokens_per_micro_batch": 16384,
    "tokens_per_chunk": 1024,
    "checkpointing": 0,
}


def make(
    spec: FsdpTrainingSpec,
    inputs,
    folder,
    device,
    processes,
    tokens_per_micro_batch,
    tokens_per_chunk,
    checkpointing,
):
    settings = {
        "tokens_per_micro_batch": tokens_per_micro_batch,
        "chunk": tokens_per_chunk,
        "checkpoint_activations": bool(checkpointing),
    }
    training = spec.training
    state = job.checkpoint(inputs["previous"], "state") if "previous" in inputs else None
    if device == "cuda" and not torch.cuda.is_available():
        raise job.InputError(
            "fsdp_vllm.device is cuda, and this job sees no GPU: ask for one, or install torch for CUDA"
        )
    metrics, diverged = [], divergence_in(state) if state else None
    if not diverged:
        check_disk(spec, inputs["base_policy"], folder)
        progress = job.Progress(training.until - training.first_step, "step")
        arguments = (spec, inputs, state, folder, settings, job.reading, progress)
        try:
            metrics = run_processes(processes, train_process, *arguments)
        except (ValueError, RuntimeError) as error:
            raise job.InputError(str(error)) from error
        diverged = None if is_finite(metrics[-1]) else divergence_of(metrics[-1])
    pq.write_table(pa.Table.from_pylist(metrics, schema=METRICS), folder / "metrics.parquet")
    (folder / SNAPSHOTS).mkdir(exist_ok=True)
    if diverged:
        print(f"diverged at {diverged}", flush=True)
        mark_diverged(folder, diverged, training, metrics, before=training.until, also=("policies", "state"))


def check_disk(spec: FsdpTrainingSpec, base: Path, folder: Path) -> None:
    """Raise InputError if the checkpoints will not fit: now rather than hours later."""
    needed = checkpoint_bytes(spec, job.reading(base, parameter_count))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise job.InputError(
            f"{folder.parent}: policies, snapshots and state of this cycle take {needed / 1e9:.3g} GB, "
            f"{free / 1e9:.3g} GB are free: make room, or raise training.snapshot_every"
        )


if __name__ == "__main__":
    job.run(make, PROJECT, FsdpTrainingSpec, options=OPTIONS, checkpoints=CHECKPOINTS)
