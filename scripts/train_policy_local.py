"""Run cycles of a training run: metrics.parquet, snapshots/, policy/ and optimiser.safetensors.

Further arguments are folders of the run's cycles, to be joined instead: the result equals that of one job,
byte for byte. If the run diverges, later snapshots and the policy only contain the reason
(`asymre.training.snapshots`).
"""

import shutil
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from asymre.datasets.problems import read_problems
from asymre.engines.local.engine import LocalEngine
from asymre.engines.local.policy import load_policy, policy_folder, save_policy, save_weights
from asymre.engines.local.rollouts import sampler
from asymre.engines.local.tokenizer import END_ID, VOCABULARY_SIZE
from asymre.io import read_parquet
from asymre.specs import TrainingSpec
from asymre.training.loop import METRICS, train
from asymre.training.rollouts import FILE, read_rollouts, rows_of
from asymre.training.snapshots import (
    SNAPSHOTS,
    divergence_in,
    divergence_of,
    is_finite,
    mark_diverged,
    snapshot_folder,
)
from store import job
from workflow.project import PROJECT


def make(spec: TrainingSpec, inputs, folder: Path):
    if "joined" in inputs:
        join(inputs["joined"], folder)
        return
    source = policy_folder(inputs["policy"])
    metrics, diverged = [], divergence_in(source)
    if not diverged:
        metrics, diverged = train_cycles(spec, inputs, source, folder)
    pq.write_table(pa.Table.from_pylist(metrics, schema=METRICS), folder / "metrics.parquet")
    # Some cycles of a run have no snapshot.
    (folder / SNAPSHOTS).mkdir(exist_ok=True)
    if diverged:
        print(f"diverged at {diverged}")
        mark_diverged(folder, diverged, spec, metrics, before=spec.until + 1, also=("policy",))


def train_cycles(spec: TrainingSpec, inputs, source: Path, folder: Path):
    """Return the metrics of each step, and why the run ended early, or None."""
    architecture, weights = job.reading(source, load_policy)
    problems = job.reading(inputs["problems"] / "train.parquet", read_problems)
    read = partial(
        read_rollouts,
        rows=rows_of(spec, min(spec.N, spec.until - spec.first_step)),
        problems=problems.num_rows,
        vocabulary_size=VOCABULARY_SIZE,
        width=spec.rollouts.max_new_tokens,
        padding=END_ID,
    )
    rollouts = job.reading(inputs["rollouts"] / FILE, lambda path: read([path]))
    engine = LocalEngine(architecture, weights, spec.learning_rate, spec.rollouts.group_size)
    if spec.first_step:
        job.reading(inputs["policy"] / "optimiser.safetensors", engine.load_optimiser)
    else:
        save_weights(snapshot_folder(folder / SNAPSHOTS, 0), engine.policy())
    sample = sampler(engine.policy, architecture, problems, spec)
    progress, metrics = job.Progress(spec.until - spec.first_step, "step"), []
    for row in train(engine, spec, rollouts, sample):
        metrics.append(row)
        if not is_finite(row):
            return metrics, divergence_of(row)
        progress(row["step"] - spec.first_step, f"reward {row['rollout_reward']:.3f}")
        if spec.is_snapshot(row["step"]):
            save_weights(snapshot_folder(folder / SNAPSHOTS, row["step"]), engine.policy())
    save_policy(folder / "policy", architecture, engine.policy())
    engine.save_optimiser(folder / "optimiser.safetensors")
    return metrics, None


def join(cycles: list[Path], folder: Path) -> None:
    tables = [job.reading(cycle / "metrics.parquet", read_parquet) for cycle in cycles]
    pq.write_table(pa.concat_tables(tables).combine_chunks(), folder / "metrics.parquet")
    for cycle in cycles:
        shutil.copytree(cycle / SNAPSHOTS, folder / SNAPSHOTS, dirs_exist_ok=True)
    shutil.copytree(cycles[-1] / "policy", folder / "policy")
    if not divergence_in(folder / "policy"):
        shutil.copy(cycles[-1] / "optimiser.safetensors", folder)


if __name__ == "__main__":
    job.run(make, PROJECT, TrainingSpec)
