"""The graph of engine hub with real vLLM and training processes: a tiny run; one_gpu with SmolLM2."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.scale.conftest import ROOT
from tests.test_workflow import copy_sources, planned, snakemake
from tools.compare_engines import compare_losses

pytestmark = pytest.mark.scale
ONE_RUN = """
scale: rehearsal
results: one
training: {snapshot_every: 6}
figures:
  figure_5:
    panels:
      - title: one run
        measure: test_accuracy
        runs: [{model: llama-8b, dataset: math, objective: grpo, N: 250, seeds: 3}]
"""


@pytest.fixture
def project(vllm_python, tmp_path) -> Path:
    folder = copy_sources(tmp_path / "project")
    (folder / ".venv-vllm").symlink_to(ROOT / ".venv-vllm")
    return folder


def test_a_run_of_two_cycles(project):
    (project / "one.yaml").write_text(ONE_RUN)
    target = ("figure_5", "--configfile", "one.yaml")
    snakemake(project, *target)
    assert planned(project, *target) == {}
    results = project / "results/one"
    (evaluation,) = (results / "evaluation").glob("*/evaluation.parquet")
    table = pd.read_parquet(evaluation)
    assert sorted(table["step"].unique()) == [0, 6, 12]
    assert table["log_prob_difference"].max() < 1e-4, "vLLM against transformers"
    assert (table[["share_unparsable", "share_timeout"]] == 0).all(axis=None)
    (metrics,) = (results / "training").glob("*/metrics.parquet")
    metrics = pd.read_parquet(metrics)
    assert metrics["step"].tolist() == list(range(1, 13))
    # The behaviour policy is vLLM's, the ratio that of the training processes: 1 where a cycle begins.
    first = metrics[metrics["step"] % 6 == 1]
    assert (
        np.allclose(first["ratio_max"], 1, atol=1e-4)
        and (metrics["ratio_max"].drop(first.index) > 1.01).all()
    )
    assert compare_losses(results), "engine tiny on the same rollouts"

    # A shard that is lost is one job, and the same bytes.
    (shard,) = (results / "rollouts").glob("*_step0_shard1-*")
    before = (shard / "rollouts.parquet").read_bytes()
    shutil.rmtree(shard)
    lost = (f"results/one/rollouts/{shard.name}", "--configfile", "one.yaml")
    assert planned(project, *lost) == {"sample_rollouts": 1}
    snakemake(project, *lost)
    assert (shard / "rollouts.parquet").read_bytes() == before


def test_one_gpu_with_smollm2(project, vllm_python):
    """Real weights, a chat template, the boxed verifier: scale one_gpu to a figure, in two short cycles."""
    shutil.copytree(ROOT / "examples/gsm8k", project / "examples/gsm8k")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    made = subprocess.run(
        [vllm_python, ROOT / "tools/fetch_smollm2.py", project / "results/downloads/smollm2"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    snakemake(project, "figure_3", "--configfile", "config/rehearsal_one_gpu.yaml")
    results = project / "results/rehearsal_one_gpu"
    assert (results / "figures/figure_03.png").stat().st_size > 10_000
    table = pd.read_parquet(next((results / "evaluation").glob("*/evaluation.parquet")))
    assert sorted(table["step"].unique()) == [0, 2, 4]
    assert table["log_prob_difference"].max() < 1e-3, "vLLM against transformers"
    assert table["entropy"].between(0.01, 10).all()
    metrics = pd.read_parquet(next((results / "training").glob("*_asymre_*/metrics.parquet")))
    assert np.isfinite(metrics[["loss", "gradient_norm", "entropy"]]).all(axis=None) and len(metrics) == 4
    assert (metrics["gradient_norm"] > 0).all()
    rollouts = pd.concat(pd.read_parquet(p) for p in (results / "rollouts").glob("*/rollouts.parquet"))
    assert len(rollouts) == 3 * 2 * 8 and rollouts["tokens"].map(len).max() <= 48
    # The behaviour's log-probabilities of GRPO's second cycle are the trainer's own.
    grpo = pd.read_parquet(next((results / "training").glob("*_grpo_*/metrics.parquet")))
    assert np.allclose(grpo["ratio_max"][[0, 2]], 1, atol=1e-6)
    print(table.to_string(), metrics.to_string(), rollouts["verdict"].value_counts(), sep="\n")
