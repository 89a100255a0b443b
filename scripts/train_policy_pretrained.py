"""Train a pretrained model for a whole run, in one process: metrics.parquet and evaluation.parquet.

Snapshots are evaluated when the run reaches them, and not kept. A killed job goes on at the last end of a
cycle, with the same bytes.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from asymre.datasets.problems import read_problems
from asymre.engines.local.device import find_device
from asymre.engines.local.engine import LocalEngine
from asymre.engines.local.evaluation import evaluate_snapshot
from asymre.engines.local.policy import load_weights, open_policy, save_weights
from asymre.engines.local.rollouts import sampler
from asymre.io import read_parquet
from asymre.metrics.evaluation import as_table, diverged_rows
from asymre.specs import EvaluatedTrainingSpec
from asymre.tasks import load
from asymre.training.loop import METRICS, train
from asymre.training.rollouts import FILE, read_rollouts, rows_of
from asymre.training.snapshots import divergence_of, is_finite
from store import job
from workflow.project import PROJECT


def make(spec: EvaluatedTrainingSpec, inputs, folder: Path, device: str, unfinished: job.Unfinished):
    training, kept = spec.training, unfinished.load()
    with job.refusals():
        place = find_device(device)
    end = load(training.rollouts.verifier).end
    policy = job.reading(inputs["policy"], lambda path: open_policy(path, end, place))
    architecture, tokenizer, weights = policy.architecture, policy.tokenizer, policy.weights
    metrics, evaluations = [], []
    if kept:
        weights = load_weights(kept, architecture)
        metrics, evaluations = (read_parquet(kept / name).to_pylist() for name in TABLES)
    engine = LocalEngine(
        architecture,
        weights,
        training.learning_rate,
        training.rollouts.group_size,
        dtype=policy.dtype,
        device=policy.device,
    )
    del policy, weights
    if kept:
        engine.load_optimiser(kept / "optimiser.safetensors")
    train_table, test_table = (
        job.reading(inputs["problems"] / f"{split}.parquet", read_problems) for split in ("train", "test")
    )

    def evaluate(step: int) -> None:
        rows = evaluate_snapshot(
            engine.behaviour(), architecture, train_table, test_table, spec.evaluation, step, tokenizer
        )
        evaluations.extend(rows)
        print(f"step {step}: test accuracy {rows[0]['accuracy']:.3f}", flush=True)

    def keep(path: Path) -> None:
        save_weights(path, engine.policy())
        engine.save_optimiser(path / "optimiser.safetensors")
        write_tables(path, metrics, evaluations)

    first = int(metrics[-1]["step"]) if metrics else 0
    if not first:
        evaluate(0)
    sample = sampler(engine.behaviour, architecture, train_table, training, tokenizer)
    if first and training.refreshed:
        rollouts = sample(first, min(training.N, training.until - first))
    else:
        read = partial(
            read_rollouts,
            rows=rows_of(training, min(training.N, training.until)),
            problems=train_table.num_rows,
            vocabulary_size=tokenizer.vocabulary_size,
            width=training.rollouts.max_new_tokens,
            padding=int(tokenizer.ends[0]),
        )
        rollouts = job.reading(inputs["rollouts"] / FILE, lambda path: read([path]))
    progress = job.Progress(training.until - first, "step")
    for row in train(engine, replace(training, first_step=first), rollouts, sample):
        metrics.append(row)
        step = int(row["step"])
        if not is_finite(row):
            print(f"diverged at {divergence_of(row)}", flush=True)
            for later in filter(training.is_snapshot, range(step, training.until + 1)):
                evaluations.extend(diverged_rows(spec.evaluation, later))
            break
        if training.is_snapshot(step):
            evaluate(step)
        if step % training.N == 0 and step < training.until:
            unfinished.keep(keep)
        progress(step - first, f"reward {row['rollout_reward']:.3f}")
    write_tables(folder, metrics, evaluations)


TABLES = ("metrics.parquet", "evaluation.parquet")


def write_tables(folder: Path, metrics: list[dict], evaluations: list[dict]) -> None:
    pq.write_table(pa.Table.from_pylist(metrics, schema=METRICS), folder / TABLES[0])
    pq.write_table(as_table(evaluations), folder / TABLES[1])


if __name__ == "__main__":
    job.run(make, PROJECT, EvaluatedTrainingSpec, options={"device": "cpu"}, resumable=True)
