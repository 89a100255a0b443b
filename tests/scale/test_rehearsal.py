"""The graph of engine fsdp_vllm with real vLLM and training processes: a tiny run."""

import shutil

import numpy as np
import pandas as pd
import pytest

from tests.helpers import planned_by_snakemake, snakemake
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


def test_a_run_of_two_cycles(project):
    (project / "one.yaml").write_text(ONE_RUN)
    target = ("figure_5", "--configfile", "one.yaml")
    snakemake(project, *target)
    assert planned_by_snakemake(project, *target) == {}
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
    assert compare_losses(results), "engine local on the same rollouts"

    # A shard that is lost is one job, and the same bytes.
    (shard,) = (results / "rollouts").glob("*_step0_shard1-*")
    before = (shard / "rollouts.parquet").read_bytes()
    shutil.rmtree(shard)
    lost = (f"results/one/rollouts/{shard.name}", "--configfile", "one.yaml")
    assert planned_by_snakemake(project, *lost) == {"sample_rollouts": 1}
    snakemake(project, *lost)
    assert (shard / "rollouts.parquet").read_bytes() == before
