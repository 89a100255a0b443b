"""Run cycles of a training run: metrics.parquet, snapshots/, policy/ and optimiser.safetensors.

With further arguments, the folders of the run's cycles made by earlier jobs, joins those instead: the
result is the same, byte for byte, as that of one job. Of a run that diverges the snapshots that would follow,
and the policy, only say so (`asymre.cycle.snapshots`).
"""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from asymre.cycle.rollouts import FILE, read_rollouts, rows_of
from asymre.cycle.snapshots import (
    SNAPSHOTS,
    divergence_in,
    divergence_of,
    is_finite,
    is_snapshot,
    mark_diverged,
    snapshot_folder,
)
from asymre.cycle.training import METRICS
from asymre.data.problems import read_problems
from asymre.parquet import read_parquet
from asymre.record import job
from asymre.tiny.engine import TinyEngine, train
from asymre.tiny.policy import load_policy, policy_folder, save_policy, save_weights
from asymre.tiny.tokenizer import END_ID, VOCABULARY_SIZE


def make(params, inputs, folder):
    if "parts" in inputs:
        join(inputs["parts"], folder)
        return
    source = policy_folder(inputs["policy"])
    metrics, diverged = [], divergence_in(source)
    if not diverged:
        metrics, diverged = train_cycles(params, inputs, source, folder)
    pq.write_table(pa.Table.from_pylist(metrics, schema=METRICS), folder / "metrics.parquet")
    # A part of a run may have none.
    (folder / SNAPSHOTS).mkdir(exist_ok=True)
    if diverged:
        print(f"diverged at {diverged}")
        mark_diverged(folder, diverged, params, metrics, before=params["until"] + 1, also=("policy",))


def train_cycles(params, inputs, source: Path, folder: Path) -> tuple[list[dict[str, float]], str | None]:
    """Metrics of each step, and why the run ended early if it did."""
    architecture, weights = job.reading(source, load_policy)
    problems = job.reading(inputs["problems"] / "train.parquet", read_problems)
    first, until = params["first_step"], params["until"]
    sampling = params["rollouts"]
    rollouts = job.reading(
        inputs["rollouts"] / FILE,
        lambda path: read_rollouts(
            [path],
            rows=rows_of(params, min(params["N"], until - first)),
            problems=problems.num_rows,
            vocabulary_size=VOCABULARY_SIZE,
            width=sampling["max_new_tokens"],
            fill=END_ID,
        ),
    )
    engine = TinyEngine(architecture, weights, params["learning_rate"], sampling["group_size"])
    if first:
        job.reading(inputs["policy"] / "optimiser.safetensors", engine.load_optimiser)
    else:
        save_weights(snapshot_folder(folder / SNAPSHOTS, 0), engine.policy())
    progress, metrics = job.Progress(until - first, "step"), []
    for row in train(engine, problems, params, first_step=first, until=until, first_rollouts=rollouts):
        metrics.append(row)
        if not is_finite(row):
            return metrics, divergence_of(row)
        progress(row["step"] - first, f"reward {row['rollout_reward']:.3f}")
        if is_snapshot(row["step"], params):
            save_weights(snapshot_folder(folder / SNAPSHOTS, row["step"]), engine.policy())
    save_policy(folder / "policy", architecture, engine.policy())
    engine.save_optimiser(folder / "optimiser.safetensors")
    return metrics, None


def join(parts: list[Path], folder: Path) -> None:
    tables = [job.reading(part / "metrics.parquet", read_parquet) for part in parts]
    pq.write_table(pa.concat_tables(tables).combine_chunks(), folder / "metrics.parquet")
    for part in parts:
        shutil.copytree(part / SNAPSHOTS, folder / SNAPSHOTS, dirs_exist_ok=True)
    shutil.copytree(parts[-1] / "policy", folder / "policy")
    if not divergence_in(folder / "policy"):
        shutil.copy(parts[-1] / "optimiser.safetensors", folder)


if __name__ == "__main__":
    job.run(make)
