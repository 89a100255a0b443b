"""The graph of engine fsdp_vllm, with stubs for programs that need vLLM or minutes."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paper.configuration import reading
from tests.helpers import (
    ROOT,
    SNAKEMAKE,
    call,
    copy_sources,
    counts,
    edit,
    finish,
    planned,
    planned_by_snakemake,
    program,
    snakemake,
)
from tools import prune, why
from workflow import fsdp_vllm_graph
from workflow.plan import build

STUB = """
import hashlib, os
from pathlib import Path
from store import job
from workflow.project import PROJECT

def digest(folder):
    return hashlib.sha256(b"".join(p.read_bytes() for p in sorted(Path(folder).rglob("content")))).hexdigest()

def policy_of(folder):
    return job.checkpoint(folder, "policies") if folder.parent.name == "cycles" else folder
"""
STUBS = {
    "make_base_policy_stand_in.py": """
def make(spec, inputs, folder):
    (folder / "content").write_text("base")
job.run(make, PROJECT)
""",
    "sample_rollouts_vllm.py": """
def make(spec, inputs, folder, **options):
    content = f"{digest(policy_of(inputs['policy']))} {spec['cycle']['seed']} {spec['shard']}"
    (folder / "content").write_text(content)
names = ("device", "gpu_memory_utilization", "max_num_seqs", "max_num_batched_tokens", "enforce_eager")
job.run(make, PROJECT, options=dict.fromkeys(names, ""))
""",
    "train_cycle_fsdp.py": """
import pyarrow as pa, pyarrow.parquet as pq
def make(spec, inputs, folder, **options):
    first, until = spec["training"]["first_step"], spec["training"]["until"]
    if os.environ.get("FAIL_AT") == str(until):
        raise job.InputError("asked to fail")
    before = job.checkpoint(inputs["previous"], "state") if "previous" in inputs else inputs["base_policy"]
    rollouts = [digest(path) for name, path in sorted(inputs.items()) if name.startswith("rollouts")]
    for name in ("policies", "state", "snapshots/step_000003"):
        (folder / name).mkdir(parents=True)
        (folder / name / "content").write_text(" ".join([name, digest(before), *rollouts]))
    steps = list(range(first + 1, until + 1))
    table = pa.table({"step": steps, "state": [digest(folder / "state")] * len(steps)})
    pq.write_table(table, folder / "metrics.parquet")
names = ("device", "processes", "tokens_per_micro_batch", "tokens_per_chunk", "checkpointing")
checkpoints = ("policies", "snapshots", "state")
job.run(make, PROJECT, options=dict.fromkeys(names, ""), checkpoints=checkpoints)
""",
    "evaluate_snapshot_vllm.py": """
import pyarrow as pa, pyarrow.parquet as pq
def make(spec, inputs, folder, **options):
    policy = inputs["policy"]
    within = policy.parent.name == "cycles" and spec["step"] < spec["until"]
    seen = digest(job.checkpoint(policy, "snapshots")) if within else digest(policy_of(policy))
    pq.write_table(pa.table({"step": [spec["step"]], "seen": [seen]}), folder / "evaluation.parquet")
engine = ("gpu_memory_utilization", "max_num_seqs", "max_num_batched_tokens", "enforce_eager")
names = ("device", "tokens_per_micro_batch", "tokens_per_chunk", *engine)
job.run(make, PROJECT, options=dict.fromkeys(names, ""))
""",
    "plot_figure.py": """
import pyarrow.parquet as pq
def make(spec, inputs, folder):
    tables = [pq.read_table(file) for path in inputs.values() for file in path.glob("*.parquet")]
    rows = [",".join(map(str, row.values())) for table in tables for row in table.to_pylist()]
    (folder / "data.csv").write_text("\\n".join(rows))
    for name in ("figure.pdf", "figure.png", "caption.txt"):
        (folder / name).write_text("stub")
job.run(make, PROJECT)
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


@pytest.fixture(scope="module")
def stubs(tmp_path_factory) -> Path:
    """A copy of the repository with the stubs, and with what asks for two of their trainings."""
    folder = copy_sources(tmp_path_factory.mktemp("fsdp") / "project")
    for name, text in STUBS.items():
        (folder / "scripts" / name).write_text(STUB + text)
    program(folder / ".venv-vllm/bin/python", f'exec "{sys.executable}" "$@"')
    (folder / ".venv-vllm/.complete").touch()
    (folder / "stub.yaml").write_text(OVERLAY)
    return folder


@pytest.fixture(scope="module")
def made(stubs, tmp_path_factory) -> Path:
    """The finished run, made by the scripts alone; what is temporary is gone, as after Snakemake."""
    folder = shutil.copytree(stubs, tmp_path_factory.mktemp("made") / "project", symlinks=True)
    finish(folder, "stub.yaml", "figure_5")
    results = folder / "results/stub"
    shutil.rmtree(results / "snapshots")
    for name in ("policies", "state"):
        for cycle in (results / name).iterdir():
            if "_step18-" not in cycle.name:
                shutil.rmtree(cycle)
    return folder


@pytest.fixture
def project(made, tmp_path) -> Path:
    """A copy of `made`."""
    return shutil.copytree(made, tmp_path / "project", symlinks=True)


def missing(project: Path) -> dict[str, int]:
    """The jobs that are planned for the figure."""
    return planned(project, "figure_5", configfile="stub.yaml")


def left(project: Path, folder: str) -> list[str]:
    """The steps at whose end a cycle has left something."""
    entries = (project / "results/stub" / folder).glob("*-*")
    return sorted(entry.name.rpartition("_step")[2].split("-")[0] for entry in entries)


def csv(project: Path) -> str:
    return (project / "results/stub/figures/figure_05.csv").read_text()


def test_jobs_of_two_runs(stubs, made):
    jobs = missing(stubs)
    # Two shards of the shared first cycle and of two more cycles for each run.
    assert (jobs["sample_rollouts"], jobs["train_cycle"], jobs["train_last_cycle"]) == (10, 4, 2)
    assert jobs["evaluate_snapshot"] == 1 + 2 * 3 * 2
    assert missing(made) == {}


@pytest.mark.slow
def test_what_is_large_goes_when_nothing_reads_it(stubs, made, tmp_path):
    """And all else is what the scripts alone make; of a smaller graph: tests/store/test_toy.py."""
    project = shutil.copytree(stubs, tmp_path / "project", symlinks=True)
    assert planned_by_snakemake(project, *TARGET) == missing(project)
    snakemake(project, *TARGET)
    assert planned_by_snakemake(project, *TARGET) == missing(project) == {}
    assert csv(project) == csv(made)
    for folder in ("cycles", "policies", "state", "snapshots"):
        assert left(project, folder) == left(made, folder)
    assert left(project, "cycles") == ["12", "12", "18", "18", "6", "6"]
    assert left(project, "policies") == left(project, "state") == ["18", "18"]
    assert left(project, "snapshots") == []
    # The chain goes on behind what is gone: the cycles say what was read.
    page = (project / "results/stub/figures/figure_05.lineage.html").read_text()
    assert page.index("<h2>evaluation") < page.index("<h2>cycles") < page.index("<h2>base_policy")
    assert page.count("(not kept)") == 4 + 4 + 6, "policies, state between cycles; all snapshots"


def test_more_steps_go_on_from_there(project):
    edit(project / "stub.yaml", "steps: 18", "steps: 24")
    jobs = missing(project)
    assert (jobs["sample_rollouts"], jobs["train_last_cycle"], jobs["evaluate_snapshot"]) == (4, 2, 4)
    assert "train_cycle" not in jobs


@pytest.mark.slow
def test_more_steps_give_what_a_whole_run_of_so_many_does(project):
    before = csv(project)
    edit(project / "stub.yaml", "steps: 18", "steps: 24")
    assert missing(project) == planned_by_snakemake(project, *TARGET)
    snakemake(project, *TARGET)
    assert left(project, "policies") == left(project, "state") == ["24", "24"]
    after = csv(project)
    assert len(after.splitlines()) == len(before.splitlines()) + 2 * (6 + 2)
    shutil.rmtree(project / "results")
    snakemake(project, *TARGET)
    assert csv(project) == after


@pytest.mark.slow
def test_a_failed_cycle_costs_itself_alone(project, monkeypatch):
    uninterrupted = csv(project)
    shutil.rmtree(project / "results")
    monkeypatch.setenv("FAIL_AT", "12")
    snakemake(project, *TARGET, check=False)
    assert left(project, "state") == ["6", "6"], "what the failed cycle needs must stay"
    assert left(project, "cycles") == ["6", "6"]
    monkeypatch.delenv("FAIL_AT")
    jobs = planned_by_snakemake(project, *TARGET)
    assert jobs["train_cycle"] == 2 and jobs["train_last_cycle"] == 2 and jobs["sample_rollouts"] == 4
    assert jobs == missing(project)
    snakemake(project, *TARGET)
    assert csv(project) == uninterrupted


CHANGED = {"evaluate_snapshot", "join_evaluations", "plot_figure", "figure_5"}


def test_a_changed_evaluation_trains_nothing_where_snapshots_were_kept(project):
    results = project / "results/stub"
    for cycle in (results / "cycles").iterdir():
        for folder in ("policies", "snapshots"):
            (results / folder / cycle.name).mkdir(exist_ok=True, parents=True)
    (project / "stub.yaml").write_text(OVERLAY + "evaluation: {test_problems: 9}\n")
    assert set(missing(project)) == CHANGED


@pytest.mark.slow
def test_snapshots_are_kept_if_asked_for(project):
    shutil.rmtree(project / "results")
    snakemake(project, *TARGET, "--notemp")
    assert left(project, "snapshots") == ["12", "12", "18", "18", "6", "6"]
    (project / "stub.yaml").write_text(OVERLAY + "evaluation: {test_problems: 9}\n")
    assert set(planned_by_snakemake(project, *TARGET)) == CHANGED


def lose_a_policy(project: Path) -> None:
    """An evaluation of a snapshot that is gone, and what rests on it."""
    results = project / "results/stub"
    shutil.rmtree(next((results / "snapshot_evaluation").glob("*_-0.1_*_step18-*")))
    shutil.rmtree(next((results / "snapshot_evaluation").glob("*_-0.1_*_step15-*")))
    shutil.rmtree(next((results / "evaluation").glob("*_-0.1_*")))
    shutil.rmtree(next((results / "figure").iterdir()))
    (results / "figures/figure_05.csv").unlink()


def test_a_lost_policy_trains_again_what_led_to_it_and_no_other_run(project):
    lose_a_policy(project)
    jobs = missing(project)
    assert jobs["train_cycle"] + jobs["train_last_cycle"] == 3 and jobs["evaluate_snapshot"] == 2


@pytest.mark.slow
def test_a_lost_policy_trained_again_gives_the_same(project):
    wanted = csv(project)
    lose_a_policy(project)
    assert planned_by_snakemake(project, *TARGET) == missing(project)
    snakemake(project, *TARGET)
    assert csv(project) == wanted


def test_why_and_prune_know_the_checkpoints_of_a_cycle(project, monkeypatch):
    monkeypatch.setattr(why, "ROOT", project)
    monkeypatch.setattr(prune, "ROOT", project)

    def tool(main, *arguments):
        code, output = call(main, project, "--configfile", "stub.yaml", *arguments)
        assert code == 0, output
        return output

    assert "Nothing has to be made" not in why.why(project, None, project / "stub.yaml"), (
        "figures that nobody asked for are missing"
    )
    assert ": 0 entries" in tool(prune.main)
    stray = project / "results/stub/state/llama-8b_math_asymre_-0.3_N6_seed0_step6-0123456789"
    stray.mkdir()
    (stray / "content").write_text("old")
    assert "state/llama-8b_math_asymre_-0.3" in tool(prune.main, "--yes")
    assert not stray.exists()
    assert left(project, "state") == ["18", "18"]


def test_shards_cover_a_cycle_and_cycle_0_is_shared():
    figures = {f"figure_{n}": None for n in (4, 5, 8, 9, 10, 11, 12, 13)}
    plan = build(ROOT, reading.load(ROOT, {"scale": "gpu", "results": "mine", "figures": figures}))
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
    assert set(fsdp_vllm_graph.CHECKPOINTS.folders) == {"policies", "snapshots", "state"}


@pytest.mark.slow
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
