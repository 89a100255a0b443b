"""Run cycles of a training run: metrics.parquet, snapshots/, policy/ and optimiser.safetensors.

With further arguments, the folders of the run's cycles made by earlier jobs, joins those instead: the
result is the same, byte for byte, as that of one job.
"""

import math
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from asymre import job
from asymre.policy import load_policy, policy_folder, save_policy, save_weights
from asymre.problems import read_problems
from asymre.rollouts import read_rollouts
from asymre.training import initial_state, load_optimiser, save_optimiser, train


def make(params, inputs, folder):
    if "parts" in inputs:
        join(inputs["parts"], folder)
        return
    source = inputs["policy"]
    architecture, weights = job.reading(policy_folder(source), load_policy)
    problems = job.reading(inputs["problems"] / "train.parquet", read_problems)
    first, until, every = params["first_step"], params["until"], params["snapshot_every"]
    sampling = params["rollouts"]
    steps = min(params["N"], until - first)
    rows = steps * sampling["prompts_per_step"] * sampling["group_size"]
    rollouts = job.reading(
        inputs["rollouts"] / "rollouts.parquet", lambda path: read_rollouts(path, rows, problems.num_rows)
    )
    state = initial_state(weights, params["learning_rate"])
    if first:
        job.reading(source / "optimiser.safetensors", lambda path: load_optimiser(state, path))
    state.step = first
    progress = job.Progress(until - first, "step")
    metrics = []

    def snapshot():
        save_weights(folder / "snapshots" / f"step_{state.step:06d}", detached(state.weights))

    if first == 0:
        snapshot()
    for row in train(state, architecture, problems, params, until=until, first_rollouts=rollouts):
        for name in ("loss", "gradient_norm"):
            if not math.isfinite(row[name]):
                raise job.InputError(
                    f"the {name} of step {state.step} is {row[name]}: the run diverged; "
                    "lower training.learning_rate"
                )
        metrics.append(row)
        progress(state.step - first, f"reward {row['rollout_reward']:.3f}")
        if state.step % every == 0 or state.step in params["extra_snapshots"]:
            snapshot()
    pq.write_table(pa.Table.from_pylist(metrics), folder / "metrics.parquet")
    save_policy(folder / "policy", architecture, detached(state.weights))
    save_optimiser(state, folder / "optimiser.safetensors")


def detached(weights):
    return {name: weight.detach() for name, weight in weights.items()}


def join(parts: list[Path], folder: Path) -> None:
    tables = [job.reading(part / "metrics.parquet", pq.read_table) for part in parts]
    pq.write_table(pa.concat_tables(tables).combine_chunks(), folder / "metrics.parquet")
    for part in parts:
        shutil.copytree(part / "snapshots", folder / "snapshots", dirs_exist_ok=True)
    shutil.copytree(parts[-1] / "policy", folder / "policy")
    shutil.copy(parts[-1] / "optimiser.safetensors", folder)


if __name__ == "__main__":
    job.run(make)
