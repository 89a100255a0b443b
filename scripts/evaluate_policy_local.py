"""Evaluate the snapshots of a run: evaluation.parquet, one row per snapshot, split and temperature."""

import pyarrow.parquet as pq

from asymre.datasets.problems import read_problems
from asymre.engines.local.evaluation import evaluate_snapshot
from asymre.engines.local.policy import load_policy, load_weights, policy_folder
from asymre.metrics.evaluation import as_table, diverged_rows
from asymre.specs import RunEvaluationSpec
from asymre.training.snapshots import SNAPSHOTS, divergence_in, snapshots_in
from store import job
from workflow.project import PROJECT


def make(spec: RunEvaluationSpec, inputs, folder):
    architecture, _ = job.reading(policy_folder(inputs["base_policy"]), load_policy)
    train = job.reading(inputs["problems"] / "train.parquet", read_problems)
    test = job.reading(inputs["problems"] / "test.parquet", read_problems)
    snapshots = snapshots_in(inputs["training"] / SNAPSHOTS)
    steps = spec.steps or sorted(snapshots)
    if missing := set(steps) - set(snapshots):
        raise job.InputError(f"{inputs['training']}: no snapshot of step {min(missing)}")
    progress, rows = job.Progress(len(steps), "snapshot"), []
    for done, step in enumerate(steps, start=1):
        if divergence_in(snapshots[step]):
            new = diverged_rows(spec.evaluation, step)
        else:
            weights = job.reading(snapshots[step], lambda path: load_weights(path, architecture))
            new = evaluate_snapshot(weights, architecture, train, test, spec.evaluation, step)
        rows += new
        progress(done, f"test accuracy {new[0]['accuracy']:.3f}")
    pq.write_table(as_table(rows), folder / "evaluation.parquet")


if __name__ == "__main__":
    job.run(make, PROJECT, RunEvaluationSpec)
