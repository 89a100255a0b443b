"""The graph of engine fsdp_vllm, with stubs for programs that need vLLM or minutes."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paper.configuration import reading
from tests.helpers import SNAKEMAKE, copy_sources, counts, planned, snakemake
from workflow import fsdp_vllm_graph as fsdp_vllm_graph
from workflow.plan import build

ROOT = Path(__file__).resolve().parents[2]
STUB = """
import hashlib, os
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq
from store import job

def digest(folder):
    return hashlib.sha256(b"".join(p.read_bytes() for p in sorted(Path(folder).rglob("content")))).hexdigest()

def policy_of(folder):
    return job.beside(folder, "policies") if folder.parent.name == "cycles" else folder
"""
STUBS = {
    "make_base_policy_stand_in.py": """
def make(params, inputs, folder):
    (folder / "content").write_text("base")
job.run(make)
""",
    "sample_rollouts_vllm.py": """
def make(params, inputs, folder, **options):
    content = f"{digest(policy_of(inputs['policy']))} {params['seed']} {params['shard']}"
    (folder / "content").write_text(content)
names = ("device", "gpu_memory_utilization", "max_num_seqs", "max_num_batched_tokens", "enforce_eager")
job.run(make, options=dict.fromkeys(names, ""))
""",
    "train_cycle_fsdp.py": """
def make(params, inputs, folder, **options):
    if os.environ.get("FAIL_AT") == str(params["until"]):
        raise job.InputError("asked to fail")
    before = job.beside(inputs["previous"], "state") if "previous" in inputs else inputs["base_policy"]
    rollouts = [digest(path) for name, path in sorted(inputs.items()) if name.startswith("rollouts")]
    for name in ("policies", "state", "snapshots/step_000003"):
        (folder / name).mkdir(parents=True)
        (folder / name / "content").write_text(" ".join([name, digest(before), *rollouts]))
    steps = list(range(params["first_step"] + 1, params["until"] + 1))
    table = pa.table({"step": steps, "state": [digest(folder / "state")] * len(steps)})
    pq.write_table(table, folder / "metrics.parquet")
names = ("device", "processes", "tokens_per_micro_batch", "tokens_per_chunk", "checkpointing")
job.run(make, options=dict.fromkeys(names, ""), beside=("policies", "snapshots", "state"))
""",
    "evaluate_snapshot_vllm.py": """
def make(params, inputs, folder, **options):
    policy = inputs["policy"]
    within = policy.parent.name == "cycles" and params["step"] < params["until"]
    seen = digest(job.beside(policy, "snapshots")) if within else digest(policy_of(policy))
    pq.write_table(pa.table({"step": [params["step"]], "seen": [seen]}), folder / "evaluation.parquet")
engine = ("gpu_memory_utilization", "max_num_seqs", "max_num_batched_tokens", "enforce_eager")
job.run(make, options=dict.fromkeys(("device", "tokens_per_micro_batch", "tokens_per_chunk", *engine), ""))
""",
    "plot_figure.py": """
import pandas as pd
def make(params, inputs, folder):
    tables = [pd.read_parquet(file) for path in inputs.values() for file in path.glob("*.parquet")]
    pd.concat(tables).to_csv(folder / "data.csv")
    for name in ("figure.pdf", "figure.png", "caption.txt"):
        (folder / name).write_text("stub")
job.run(make)
""",
}
OVERLAY = """
scale: rehearsal
results: stub
training: {steps: 18}
figures:
  figure_5:
    panels:
      - title: two runs
        measure: test_accuracy
        runs: [{model: llama-8b, dataset: math, objective: asymre, delta_v: [-0.1, 0], N: 250, seeds: 0}]
"""
TARGET = ("figure_5", "--configfile", "stub.yaml")


@pytest.fixture
def project(tmp_path) -> Path:
    folder = copy_sources(tmp_path / "project")
    for name, text in STUBS.items():
        (folder / "scripts" / name).write_text(STUB + text)
    (folder / ".venv-vllm/bin").mkdir(parents=True)
    (folder / ".venv-vllm/bin/python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (folder / ".venv-vllm/bin/python").chmod(0o755)
    (folder / ".venv-vllm/.complete").touch()
    (folder / "stub.yaml").write_text(OVERLAY)
    return folder


def left(project: Path, folder: str) -> list[str]:
    """The steps at whose end a cycle has left something."""
    entries = (project / "results/stub" / folder).glob("*-*")
    return sorted(entry.name.rpartition("_step")[2].split("-")[0] for entry in entries)


def change(project: Path, old: str, new: str) -> None:
    text = (project / "stub.yaml").read_text()
    assert old in text
    (project / "stub.yaml").write_text(text.replace(old, new))


def test_what_is_large_goes_when_nothing_reads_it(project):
    jobs = planned(project, *TARGET)
    # Two shards of the shared first cycle and of two more cycles for each run.
    assert (jobs["sample_rollouts"], jobs["train_cycle"], jobs["train_last_cycle"]) == (10, 4, 2)
    assert jobs["evaluate_snapshot"] == 1 + 2 * 3 * 2
    snakemake(project, *TARGET)
    assert planned(project, *TARGET) == {}
    assert left(project, "cycles") == ["12", "12", "18", "18", "6", "6"]
    assert left(project, "policies") == left(project, "state") == ["18", "18"]
    assert left(project, "snapshots") == []
    # The chain goes on behind what is gone: the cycles say what was read.
    page = (project / "results/stub/figures/figure_05.lineage.html").read_text()
    assert page.index("<h2>evaluation") < page.index("<h2>cycles") < page.index("<h2>base_policy")
    assert page.count("(not kept)") == 4 + 4 + 6, "policies, state between cycles; all snapshots"

    # More steps go on from there.
    before = (project / "results/stub/figures/figure_05.csv").read_text()
    change(project, "steps: 18", "steps: 24")
    jobs = planned(project, *TARGET)
    assert (jobs["sample_rollouts"], jobs["train_last_cycle"], jobs["evaluate_snapshot"]) == (4, 2, 4)
    assert "train_cycle" not in jobs
    snakemake(project, *TARGET)
    assert left(project, "policies") == left(project, "state") == ["24", "24"]
    after = (project / "results/stub/figures/figure_05.csv").read_text()
    assert len(after.splitlines()) == len(before.splitlines()) + 2 * (6 + 2)

    # And a whole run of so many steps gives the same.
    shutil.rmtree(project / "results")
    snakemake(project, *TARGET)
    assert (project / "results/stub/figures/figure_05.csv").read_text() == after


def test_a_failed_cycle_costs_itself_alone(project, monkeypatch):
    monkeypatch.setenv("FAIL_AT", "12")
    snakemake(project, *TARGET, check=False)
    assert left(project, "state") == ["6", "6"], "what the failed cycle needs must stay"
    assert left(project, "cycles") == ["6", "6"]
    monkeypatch.delenv("FAIL_AT")
    jobs = planned(project, *TARGET)
    assert jobs["train_cycle"] == 2 and jobs["train_last_cycle"] == 2 and jobs["sample_rollouts"] == 4
    snakemake(project, *TARGET)
    interrupted = (project / "results/stub/figures/figure_05.csv").read_text()
    shutil.rmtree(project / "results")
    snakemake(project, *TARGET)
    assert (project / "results/stub/figures/figure_05.csv").read_text() == interrupted


def test_a_changed_evaluation_trains_nothing_where_snapshots_were_kept(project):
    snakemake(project, *TARGET, "--notemp")
    assert left(project, "snapshots") == ["12", "12", "18", "18", "6", "6"]
    (project / "stub.yaml").write_text(OVERLAY + "evaluation: {test_problems: 9}\n")
    evaluated = {"evaluate_snapshot", "join_evaluations"}
    assert set(planned(project, *TARGET)) == evaluated | {"plot_figure", "figure_5"}


def test_a_lost_policy_trains_again_what_led_to_it_and_no_other_run(project):
    snakemake(project, *TARGET)
    wanted = (project / "results/stub/figures/figure_05.csv").read_bytes()
    lost = next((project / "results/stub/snapshot_evaluation").glob("*_-0.1_*_step18-*"))
    shutil.rmtree(lost)
    shutil.rmtree(next((project / "results/stub/evaluation").glob("*_-0.1_*")))
    shutil.rmtree(next((project / "results/stub/figure").iterdir()))
    (project / "results/stub/figures/figure_05.csv").unlink()
    jobs = planned(project, *TARGET)
    assert jobs["train_cycle"] + jobs["train_last_cycle"] == 3 and jobs["evaluate_snapshot"] == 1
    snakemake(project, *TARGET)
    assert (project / "results/stub/figures/figure_05.csv").read_bytes() == wanted


def test_why_and_prune_know_what_stands_beside_a_cycle(project):
    environment = os.environ | {"PYTHONPATH": str(project)}
    snakemake(project, *TARGET)

    def script(name, *arguments):
        command = [sys.executable, "-m", f"tools.{name}", "--configfile", "stub.yaml", *arguments]
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "Nothing has to be made" not in script("why"), "figures that nobody asked for are missing"
    assert ": 0 entries" in script("prune")
    stray = project / "results/stub/state/llama-8b_math_asymre_-0.3_N6_seed0_step6-0123456789"
    stray.mkdir()
    (stray / "content").write_text("old")
    assert "state/llama-8b_math_asymre_-0.3" in script("prune", "--yes")
    assert not stray.exists()
    assert left(project, "state") == ["18", "18"]


def test_shards_cover_a_cycle_and_cycle_0_is_shared():
    plan = build(ROOT, reading.load(ROOT, {"scale": "gpu"}))
    runs = [run for run in plan.trainings if run.model == "llama-8b" and run.dataset == "math"]
    first = {
        path
        for run in runs
        if run.seed == 0 and run.objective == "asymre"
        for path in plan.graph.inputs(plan.trainings[run].inputs["0"].path)
        if path.startswith("rollouts/")
    }
    assert len(first) == 4, "all values of delta_v share one set of rollouts at the start"
    assert {plan.graph.artefacts[path].params["shard"] for path in first} == {0, 1, 2, 3}
    last = {plan.trainings[run].inputs["7"].id for run in plan.trainings}
    assert plan.last_cycles == last
    cycle = plan.trainings[runs[0]].inputs["3"]
    assert f"state/{cycle.inputs['previous'].id}" in plan.graph.inputs(cycle.path)
    assert set(fsdp_vllm_graph.BESIDE) == {"policies", "snapshots", "state"}


def test_the_whole_gpu_scale_is_planned_in_time(tmp_path):
    """All figures, cycles, shards and snapshots; on a quiet core of 2026 in some 40 s and 0.7 GB."""
    folder = copy_sources(tmp_path / "project")
    # A process of its own between: what starts a program counts as its memory too, and pytest may hold GB.
    measured = (
        "import resource, subprocess, sys\n"
        "code = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\nsys.exit(code)"
    )
    command = [sys.executable, "-c", measured, *SNAKEMAKE, "-n", "--config", "scale=gpu"]
    started = time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 150
    assert int(done.stdout) < 2e6, "kB"
    jobs = counts(done.stderr)
    assert jobs["sample_rollouts"] > 4000 and jobs["train_cycle"] + jobs["train_last_cycle"] == 164 * 8
    assert jobs["evaluate_snapshot"] > 6000
    assert jobs["figure_13"] == 1 and sum(jobs.values()) > 12000
