"""Evaluate one snapshot of a run, or its base policy, with vLLM: evaluation.parquet."""

import sys
from pathlib import Path

import pyarrow.parquet as pq

try:
    from asymre.engines.fsdp_vllm.generation import ENGINE_OPTIONS
except ImportError as error:
    sys.exit(f"error: {error}")

from asymre.engines.fsdp_vllm.evaluation import evaluate_snapshot
from asymre.engines.fsdp_vllm.prompts import load_tokenizer
from asymre.io import read_parquet
from asymre.metrics.evaluation import as_table, diverged_rows
from asymre.specs import SnapshotEvaluationSpec
from asymre.training.snapshots import SNAPSHOTS, divergence_in, snapshots_in
from store import job
from workflow.project import PROJECT


def make(
    spec: SnapshotEvaluationSpec,
    inputs,
    folder,
    device,
    tokens_per_micro_batch,
    tokens_per_chunk,
    **engine_options,
):
    snapshot = policy_at(spec, inputs["policy"])
    if divergence_in(snapshot):
        rows = diverged_rows(spec.evaluation, spec.step)
        pq.write_table(as_table(rows), folder / "evaluation.parquet")
        return
    counts = {"train": spec.evaluation.train_problems, "test": spec.evaluation.test_problems}
    tables = {
        split: job.reading(inputs["problems"] / f"{split}.parquet", read_parquet).slice(0, count).to_pylist()
        for split, count in counts.items()
    }
    tokenizer = job.reading(
        inputs["base_policy"], lambda path: load_tokenizer(path, chat=spec.generation.prompt is not None)
    )
    try:
        rows = evaluate_snapshot(
            snapshot,
            tokenizer,
            tables,
            spec,
            device=device,
            tokens_per_micro_batch=tokens_per_micro_batch,
            chunk=tokens_per_chunk,
            engine_options=engine_options,
        )
    except (ValueError, RuntimeError) as error:
        raise job.InputError(f"{snapshot}: {error}") from error
    print(f"test accuracy {rows[0]['accuracy']:.3f}", flush=True)
    pq.write_table(as_table(rows), folder / "evaluation.parquet")


def policy_at(spec: SnapshotEvaluationSpec, policy: Path) -> Path:
    """Return the folder of a base policy, of the policy at a cycle's end, or of a snapshot within it."""
    if policy.parent.name != "cycles":
        return policy
    if spec.step == spec.until:
        return job.checkpoint(policy, "policies")
    return snapshots_in(job.checkpoint(policy, SNAPSHOTS))[spec.step]


if __name__ == "__main__":
    size = {"tokens_per_micro_batch": 16384, "tokens_per_chunk": 1024}
    job.run(make, PROJECT, SnapshotEvaluationSpec, options={"device": "cpu"} | size | ENGINE_OPTIONS)
