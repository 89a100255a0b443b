"""Evaluate one snapshot of a run, or its base policy, with vLLM: evaluation.parquet."""

from pathlib import Path

import pyarrow.parquet as pq

from asymre.cycle.snapshots import SNAPSHOTS, divergence_in, snapshots_in
from asymre.hub.evaluation import evaluate_snapshot
from asymre.hub.generation import ENGINE_OPTIONS
from asymre.hub.prompts import load_tokenizer
from asymre.measures.evaluation import as_table, diverged_rows
from asymre.parquet import read_parquet
from asymre.record import job


def make(params, inputs, folder, device, tokens_per_micro_batch, tokens_per_chunk, **engine_options):
    snapshot = policy_at(params, inputs["policy"])
    if divergence_in(snapshot):
        pq.write_table(as_table(diverged_rows(params, params["step"])), folder / "evaluation.parquet")
        return
    tables = {
        split: job.reading(inputs["problems"] / f"{split}.parquet", read_parquet)
        .slice(0, params[f"{split}_problems"])
        .to_pylist()
        for split in ("train", "test")
    }
    tokenizer = job.reading(
        inputs["base_policy"], lambda path: load_tokenizer(path, chat=params["prompt"] is not None)
    )
    try:
        rows = evaluate_snapshot(
            snapshot,
            tokenizer,
            tables,
            params,
            params["step"],
            device=device,
            tokens_per_micro_batch=tokens_per_micro_batch,
            chunk=tokens_per_chunk,
            engine_options=engine_options,
        )
    except (ValueError, RuntimeError) as error:
        raise job.InputError(f"{snapshot}: {error}") from error
    print(f"test accuracy {rows[0]['accuracy']:.3f}", flush=True)
    pq.write_table(as_table(rows), folder / "evaluation.parquet")


def policy_at(params, policy: Path) -> Path:
    """The folder of a base policy, of the policy that a cycle ends with, or of a snapshot within it."""
    if policy.parent.name != "cycles":
        return policy
    if params["step"] == params["until"]:
        return job.beside(policy, "policies")
    return snapshots_in(job.beside(policy, SNAPSHOTS))[params["step"]]


if __name__ == "__main__":
    size = {"tokens_per_micro_batch": 16384, "tokens_per_chunk": 1024}
    job.run(make, options={"device": "cpu"} | size | ENGINE_OPTIONS)
