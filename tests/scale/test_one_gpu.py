"""The graph of scale one_gpu on a CPU, with real vLLM and the real weights of SmolLM2."""

import shutil

import numpy as np
import pandas as pd
import pytest

from tests.helpers import snakemake
from tests.scale.conftest import ROOT

pytestmark = pytest.mark.scale


def test_one_gpu_with_smollm2(project):
    """Real weights, a chat template, the boxed verifier: scale one_gpu to a figure, in two short cycles."""
    shutil.copytree(ROOT / "examples/gsm8k", project / "examples/gsm8k")
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
