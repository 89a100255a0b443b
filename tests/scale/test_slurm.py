"""Real Slurm on this machine (tools/local_slurm.py): jobs that fail or are cancelled, a workflow that is
interrupted, a partition that does not exist. A small workflow shows most of it; a run of the smoke scale
shows that the results stay the same.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paper.configuration import reading
from tests.helpers import ROOT, assert_same_files, copy_sources
from tools import local_slurm
from workflow import plan

pytestmark = pytest.mark.scale
DEFAULTS = ["slurm_partition=rehearsal", "slurm_account=tests", "mem_mb=1000", "runtime=10"]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", "--latency-wait", "5"]
# This Slurm has no accounting.
SNAKEMAKE += ["--slurm-init-seconds-before-status-checks", "8", "--slurm-status-command", "squeue"]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The environment of processes that use a Slurm of this module's own."""
    if not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        pytest.skip("snakemake-executor-plugin-slurm is not installed here; make test-scale installs it")
    if missing := local_slurm.missing():
        pytest.skip(f"not installed here: {', '.join(missing)}; make test-scale installs them")
    folder = tmp_path_factory.mktemp("slurm")
    local_slurm.up(folder, gpus=2)
    environment = local_slurm.environment(folder)
    path = f"{folder}/bin:{environment['PATH']}"
    yield environment | {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    local_slurm.down(folder)


def command(*targets: str, options: list[str] = (), defaults: list[str] = DEFAULTS) -> list[str]:
    """Without `defaults`, those of the profile are in force."""
    given = ["--default-resources", *defaults] if defaults else []
    return [*SNAKEMAKE, *options, *given, "--", *targets]


def snakemake(folder, slurm, *targets, **chosen) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*targets, **chosen),
        cwd=folder,
        env=slurm | {"XDG_CACHE_HOME": str(folder / ".cache")},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def jobs(slurm, state: str = "all") -> list[list[str]]:
    """Id, state and comment (it names the rule) of the jobs that Slurm remembers."""
    done = subprocess.run(
        ["squeue", "-h", f"--states={state}", "--format=%A|%T|%k"],
        env=slurm,
        text=True,
        capture_output=True,
        check=True,
    )
    return [line.split("|") for line in done.stdout.splitlines()]


def running(slurm, rule: str, seconds: float = 60) -> str:
    """Id of the running job of a rule; waits for it."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        for job, _, comment in jobs(slurm, "running"):
            if comment.startswith(f"rule_{rule}"):
                return job
        time.sleep(0.2)
    raise AssertionError(f"no job of {rule} within {seconds} s: {jobs(slurm)}")


@pytest.fixture
def small(tmp_path):
    shutil.copy(ROOT / "tests/scale/slurm.smk", tmp_path / "Snakefile")
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    return tmp_path


def test_a_job_that_fails_once_is_submitted_again(small, slurm):
    done = snakemake(small, slurm, "done", "without_gpu")
    assert done.returncode == 0, done.stdout
    first, second = (small / "attempts").read_text().splitlines()
    assert first.split()[1:] == ["0,1", "500", "500M", "5:00", "2", "kept"]
    assert second.split()[1:] == ["0,1", "1000", "1000M", "10:00", "2", "kept"]
    assert (small / "done").read_text() == '{"a": "$HOME `b` it\'s"}\n'
    assert (small / "without_gpu").read_text() == "GPUs: none\n"
    assert list((small / ".snakemake/slurm_logs/rule_fails_once").iterdir()), (
        "the log of the failed one stays"
    )
    assert "2 of 2 jobs done" in done.stdout, "the line of progress"


def test_an_interrupted_workflow_leaves_no_job(small, slurm):
    workflow = subprocess.Popen(
        command("sleep_1", "sleep_2"),
        cwd=small,
        env=slurm,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # A shell starts what it runs in the background deaf to Ctrl-C, and so would this be.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    running(slurm, "sleep")
    # A Ctrl-C reaches the whole group.
    os.killpg(workflow.pid, signal.SIGINT)
    workflow.wait(timeout=60)
    limit = time.monotonic() + 20
    while (left := jobs(slurm, "running,pending,completing")) and time.monotonic() < limit:
        time.sleep(0.2)
    assert left == []
    # The folder is not locked, so the same command would go on.
    assert snakemake(small, slurm, "without_gpu").returncode == 0


@pytest.mark.parametrize(
    ("defaults", "message"),
    [
        (["slurm_partition=rehersal", *DEFAULTS[1:]], "no partition 'rehersal'; did you mean 'rehearsal'?"),
        ([], "default-resources.slurm_partition is not filled in yet"),
    ],
)
def test_a_wrong_partition_is_reported_before_any_job(small, slurm, defaults, message):
    before = jobs(slurm)
    done = snakemake(small, slurm, "done", defaults=defaults)
    assert done.returncode != 0 and message in re.sub(r"\s+", " ", done.stdout), done.stdout
    assert "profiles/slurm/config.yaml" in done.stdout
    assert jobs(slurm) == before


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, str]:
    """A copy of the repository in which one run of the smoke scale was trained by the local executor."""
    folder = copy_sources(tmp_path_factory.mktemp("undisturbed") / "asymre")
    artefacts = plan.build(folder, reading.load(folder, {"scale": "smoke"})).graph.artefacts
    run = min(path for path in artefacts if path.startswith("training/"))
    snakemake = [sys.executable, "-m", "snakemake", "--cores", "2", "--config", "scale=smoke", "--"]
    subprocess.run([*snakemake, f"results/smoke/{run}"], cwd=folder, check=True, capture_output=True)
    return folder, run


def test_a_cancelled_training_goes_on_to_the_same_results(slurm, undisturbed, tmp_path):
    finished, run = undisturbed
    folder = copy_sources(tmp_path / "asymre")
    shutil.copytree(finished / "results", folder / "results")
    shutil.rmtree(folder / "results/smoke" / run)
    options = ["--config", "scale=smoke", "--retries", "0"]
    target = f"results/smoke/{run}"
    workflow = subprocess.Popen(
        command(target, options=options),
        cwd=folder,
        env=slurm,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    job = running(slurm, "train_policy")
    subprocess.run(["scancel", job], env=slurm, check=True)
    assert workflow.wait(timeout=120) != 0
    assert [job, "CANCELLED"] in [entry[:2] for entry in jobs(slurm)]
    assert not (folder / target).exists()

    done = snakemake(folder, slurm, target, options=options)
    assert done.returncode == 0, done.stdout
    assert_same_files(finished / target, folder / target)
