"""Evaluate the snapshots of one cycle, or the base policy, with vLLM: evaluation.parquet."""

import pyarrow.parquet as pq

from asymre.cycle.snapshots import SNAPSHOTS, divergence_in, snapshots_in
from asymre.hub.evaluation import evaluate_snapshot
from asymre.hub.prompts import load_tokenizer
from asymre.measures.evaluation import as_table, diverged_rows
from asymre.record import job


def make(params, inputs, folder, device, tokens_per_micro_batch, tokens_per_chunk):
    policy = inputs["policy"]
    snapshots = {params["until"]: policy}
    if policy.parent.name == "cycles":
        snapshots = snapshots_in(job.beside(policy, SNAPSHOTS))
        snapshots[params["until"]] = job.beside(policy, "policies")
    tables = {
        split: job.reading(inputs["problems"] / f"{split}.parquet", pq.read_table)
        .slice(0, params[f"{split}_problems"])
        .to_pylist()
        for split in ("train", "test")
    }
    tokenizer = job.reading(
        inputs["base_policy"], lambda path: load_tokenizer(path, chat=params["prompt"] is not None)
    )
    size = {
        "device": device,
        "tokens_per_micro_batch": tokens_per_micro_batch,
        "chunk": tokens_per_chunk,
    }
    progress, rows = job.Progress(len(snapshots), "snapshot"), []
    for done, (step, snapshot) in enumerate(sorted(snapshots.items()), start=1):
        if divergence_in(snapshot):
            rows += diverged_rows(params, step)
            continue
        try:
            new = evaluate_snapshot(snapshot, tokenizer, tables, params, step, **size)
        except (ValueError, RuntimeError) as error:
            raise job.InputError(f"{snapshot}: {error}") from error
        rows += new
        progress(done, f"test accuracy {new[0]['accuracy']:.3f}")
    pq.write_table(as_table(rows), folder / "evaluation.parquet")


if __name__ == "__main__":
    job.run(make, options={"device": "cpu", "tokens_per_micro_batch": 16384, "tokens_per_chunk": 1024})
