"""A run that diverges is recorded as a collapse, by either engine, and stops nothing."""

import filecmp
import math
import shutil
from dataclasses import replace

import pandas as pd
import pyarrow.parquet as pq
import pytest

from asymre.metrics.curves import read_evaluation, read_metrics
from asymre.specs import FsdpTrainingSpec
from asymre.training.loop import METRICS
from asymre.training.snapshots import divergence_in, mark
from scripts import train_cycle_fsdp, train_policy_local
from tests.helpers import copy_sources, finish, planned
from tests.specs import TRAINING

# Rewards whose gradients overflow: the first step of each run diverges.
OVERLAY = """
scale: smoke
algorithm: {rewards: {correct: 1.0e+36, wrong: -1.0e+36}}
figures:
  figure_14:
    title: Divergence
    known: Ours.
    panels:
      - {title: Training accuracy, measure: train_accuracy}
      - {title: Test accuracy, measure: test_accuracy}
      - {title: Entropy, measure: entropy}
    runs:
      - {model: llama-8b, dataset: math, objective: asymre, delta_v: [-0.1, 0], N: 250, seeds: 0}
"""


def make(finished, project, name, cycles):
    """Two runs with huge rewards."""
    own = f"results: {name}\ntraining: {{cycles_per_job: {cycles}}}\n"
    (project / f"{name}.yaml").write_text(OVERLAY + own)
    for kind in ("base_policy", "problems"):
        shutil.copytree(finished / "results/smoke" / kind, project / "results" / name / kind)
    finish(project, f"{name}.yaml", "figure_14")


@pytest.fixture(scope="module")
def diverged(finished, tmp_path_factory):
    """Results of two runs, each in one job."""
    project = copy_sources(tmp_path_factory.mktemp("diverged") / "project")
    make(finished, project, "whole", "all")
    return project


def test_the_workflow_ends_well_and_the_figure_says_collapse(diverged):
    assert planned(diverged, "figure_14", configfile="whole.yaml") == {}
    data = pd.read_csv(diverged / "results/whole/figures/figure_14.csv")
    data = data[data["measure"] != "rollout_accuracy"]
    assert (data["collapse_step"] == 1).all()
    accuracy, entropy = data[data["measure"] != "entropy"], data[data["measure"] == "entropy"]
    after = accuracy["step"] > 0
    assert (accuracy.loc[after, "value"] == 0).all() and (accuracy.loc[~after, "value"] > 0).any()
    assert entropy["value"].isna().equals(entropy["step"] > 0)
    assert sorted(data["step"].unique()) == [0, 1, 2, 3, 4]
    assert "no longer finite counts as 0" in (diverged / "results/whole/figures/figure_14.txt").read_text()


def test_what_a_diverged_run_leaves(diverged):
    trainings = sorted((diverged / "results/whole/training").iterdir())
    assert len(trainings) == 2
    for training in trainings:
        metrics = read_metrics(training / "metrics.parquet")
        assert len(metrics) == 1 and not math.isfinite(metrics["gradient_norm"].iloc[0])
        assert divergence_in(training / "policy").startswith("step 1: loss ")
        snapshots = {path.name: divergence_in(path) is None for path in (training / "snapshots").iterdir()}
        assert snapshots == {f"step_{step:06d}": step == 0 for step in range(5)}
    evaluation = read_evaluation(
        next((diverged / "results/whole/evaluation").iterdir()) / "evaluation.parquet"
    )
    # Of every snapshot: test problems nearly greedily, training problems at temperature 1.
    assert len(evaluation) == 5 * 2 and evaluation.loc[evaluation["step"] > 0, "entropy"].isna().all()


@pytest.mark.slow
def test_one_job_a_cycle_leaves_the_same(finished, diverged):
    make(finished, diverged, "split", "1")
    for kind in ("training", "evaluation"):
        for folder in (diverged / "results/whole" / kind).iterdir():
            other = diverged / "results/split" / kind / folder.name
            names = [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()]
            # The record of a joined run names the cycles that it read.
            names = [name for name in names if not name.startswith((".snakemake", "spec.json"))]
            _, different, errors = filecmp.cmpfiles(folder, other, names, shallow=False)
            assert len(names) > 0 and not different and not errors
    sampled = list((diverged / "results/split/rollouts").glob("*step2-*/rollouts.parquet"))
    assert sampled and all(pq.read_metadata(path).num_rows == 0 for path in sampled)


SPEC = replace(TRAINING, first_step=2, until=4, snapshot_every=1)
FSDP = FsdpTrainingSpec(SPEC, "float32", recompute_log_probs=False)
SIZES = {"device": "cpu", "processes": 1, "tokens_per_micro_batch": 8, "tokens_per_chunk": 8}


def metrics_row(step, loss):
    return {name: 0.0 for name in METRICS.names} | {"step": step, "cycle": 1, "loss": loss}


def test_a_cycle_of_engine_fsdp_vllm_that_diverges(tmp_path, monkeypatch):
    rows = [metrics_row(3, math.nan)]
    monkeypatch.setattr(train_cycle_fsdp, "run_processes", lambda *_: rows)
    monkeypatch.setattr(train_cycle_fsdp, "check_disk", lambda *_: None)
    train_cycle_fsdp.make(FSDP, {"base_policy": tmp_path}, tmp_path, checkpointing=0, **SIZES)
    assert pq.read_metadata(tmp_path / "metrics.parquet").num_rows == 1
    assert (
        divergence_in(tmp_path / "policies")
        == divergence_in(tmp_path / "state")
        == ("step 3: loss nan, gradient norm 0")
    )
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["step_000003"]


def test_the_cycles_after_it_train_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(train_cycle_fsdp, "run_processes", None)
    monkeypatch.setattr(train_cycle_fsdp.job, "checkpoint", lambda artefact, folder: tmp_path / folder)
    mark(tmp_path / "state", "step 1: loss inf, gradient norm nan")
    own = tmp_path / "own"
    own.mkdir()
    train_cycle_fsdp.make(FSDP, {"previous": tmp_path}, own, checkpointing=0, **SIZES)
    assert pq.read_table(own / "metrics.parquet").schema.equals(METRICS)
    assert pq.read_metadata(own / "metrics.parquet").num_rows == 0
    assert (
        divergence_in(own / "policies")
        == divergence_in(own / "state")
        == "step 1: loss inf, gradient norm nan"
    )
    assert divergence_in(own / "snapshots/step_000003")


def test_parts_of_a_run_without_a_snapshot_are_joined(tmp_path, monkeypatch):
    """As with cycles shorter than the steps between snapshots."""
    for name in ("first", "second"):
        monkeypatch.setattr(train_policy_local, "train_cycles", lambda *_: ([metrics_row(1, 0.5)], None))
        (tmp_path / name / "policy").mkdir(parents=True)
        (tmp_path / name / "optimiser.safetensors").write_bytes(b"")
        train_policy_local.make(SPEC, {"policy": tmp_path / "base"}, tmp_path / name)
    joined = tmp_path / "joined"
    joined.mkdir()
    train_policy_local.make(SPEC, {"joined": [tmp_path / "first", tmp_path / "second"]}, joined)
    assert pq.read_metadata(joined / "metrics.parquet").num_rows == 2
    assert list((joined / "snapshots").iterdir()) == []
