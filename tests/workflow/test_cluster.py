"""The cluster's side without a cluster: checks before a run, GPUs of a job's own, profiles, Slurm's files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tools import local_slurm
from workflow import cluster
from workflow.cluster import Nodes, problems

ROOT = Path(__file__).resolve().parents[2]
WITH_GPUS = [sys.executable, str(ROOT / "scripts/with_gpus.py")]

# --- what a cluster can give --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gres", "count"),
    [
        ("(null)", 0),
        ("", 0),
        ("shard:8", 0),
        ("gpu", 1),
        ("gpu:a100", 1),
        ("gpu:2", 2),
        ("gpu:a100:4(S:0-1)", 4),
        ("gpu:h100:8(S:0-1,3)", 8),
        ("gpu:1g.5gb:3", 3),
        ("gpu:nvidia_a100_80gb_pcie:8(S:0-1)", 8),
        ("gpu:a100:4,gpu:v100:2", 6),
        ("lustre:1,gpu:tesla:2(S:0-1),shard:8", 2),
    ],
)
def test_gpus_of_a_list_of_generic_resources(gres, count):
    assert cluster.gpus(gres) == count


def test_what_sinfo_prints():
    text = "gpu|gpu:a100:8(S:0-1)|128|1031000\ngpu|gpu:a100:4|64+|515000+\ncpu|(null)|32|190000\n\n"
    assert cluster.parse(text) == [
        Nodes("gpu", 8, 128, 1031000),
        Nodes("gpu", 4, 64, 515000),
        Nodes("cpu", 0, 32, 190000),
    ]


NODES = [Nodes("gpu", 4, 64, 500_000), Nodes("gpu", 8, 32, 900_000), Nodes("cpu", 0, 128, 90_000)]
SLURM = {"slurm_partition": "gpu", "slurm_account": "ours", "mem_mb": "4000"}


def test_a_job_that_fits_one_node_is_no_problem():
    asked = {"train": {"gpu": 8, "threads": 32, "mem_mb": 800_000}, "plot": {}}
    assert problems(SLURM, {}, asked, NODES) == []
    assert problems(SLURM, {}, {"train": {"gpu": 99}}, None) == []


def test_a_partition_that_does_not_exist():
    (found,) = problems(SLURM | {"slurm_partition": "gpuu"}, {}, {"train": {"gpu": 99}}, NODES)
    assert "profiles/slurm/config.yaml: default-resources.slurm_partition" in found
    assert "no partition 'gpuu'; did you mean 'gpu'?" in found


def test_quotes_and_lists_of_partitions():
    asked = {"plot": {"threads": 100}, "train": {"gpu": 8}}
    assert problems(SLURM | {"slurm_partition": "'gpu,cpu'"}, {}, asked, NODES) == []


@pytest.mark.parametrize("key", ["slurm_partition", "slurm_account"])
def test_a_key_that_was_not_filled_in(key):
    assert problems(SLURM | {key: "FILL_IN"}, {}, {}, NODES) == [
        f"profiles/slurm/config.yaml: default-resources.{key} is not filled in yet"
    ]


def test_more_gpus_than_the_nodes_of_the_partition_have():
    (found,) = problems(SLURM, {}, {"train_cycle": {"gpu": 16, "threads": 8}}, NODES)
    assert "train_cycle requests gpu 16, and a node of partition 'gpu' has at most gpu 8" in found
    assert "slurm_partition" in found


def test_no_single_node_has_both():
    (found,) = problems(SLURM, {}, {"train_cycle": {"gpu": 8, "threads": 64}}, NODES)
    assert "requests gpu 8, threads 64" in found


def test_threads_that_cores_would_cut():
    asked = {"train_cycle": {"threads": 16}}
    (found,) = problems(SLURM, {"_cores": 4}, asked, NODES)
    assert "16 threads" in found and "--workflow-profile profiles/slurm" in found
    assert problems({}, {"_cores": 4}, asked, None) == [], "one machine: slower, not wrong"


def test_more_than_one_machine_gives():
    asked = {"train_cycle": {"gpu": 4, "mem_mb": 300_000}, "plot": {"gpu": 0}}
    assert problems({}, {"gpu": 4, "_cores": 2, "_nodes": None}, asked, None) == []
    (found,) = problems({}, {"gpu": 2}, asked, None)
    assert "train_cycle requests gpu 4" in found and "profiles/multi_gpu/config.yaml" in found


def test_sinfo_that_is_missing_or_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(cluster.ClusterError, match="login node"):
        cluster.partitions()
    program(tmp_path / "sinfo", "echo slurm_load_partitions: no controller >&2; exit 1")
    with pytest.raises(cluster.ClusterError, match="no controller"):
        cluster.partitions()
    program(tmp_path / "sinfo", "echo 'gpu|gpu:2|64|1000'")
    assert cluster.partitions() == [Nodes("gpu", 2, 64, 1000)]


SNAKEFILE = """
import sys
sys.path.insert(0, {root!r})
from workflow import cluster
from snakemake.exceptions import WorkflowError
if found := cluster.check(workflow, {{"a": {{"gpu": 3, "threads": 1}}}}):
    raise WorkflowError("\\n".join(found))
rule a:
    output: "a"
    shell: "touch a"
"""


@pytest.fixture
def snakemake(tmp_path):
    """Runs Snakemake on a rule, with a sinfo on its path; its exit status and what it prints."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(root=str(ROOT)))
    program(tmp_path / "bin/sinfo", "echo 'gpu|gpu:2|64|1000'")
    program(tmp_path / "bin/squeue", "exit 0")  # the Slurm plugin asks for it when it is loaded

    def snakemake(*arguments, path=f"{tmp_path}/bin:{os.environ['PATH']}"):
        environment = os.environ | {"PATH": path, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    return snakemake


def test_snakemake_says_it_before_any_job(tmp_path, snakemake):
    code, output = snakemake("--default-resources", "slurm_partition=gpus")
    assert code != 0 and "did you mean 'gpu'?" in output and not (tmp_path / "a").exists()


@pytest.mark.slow
def test_snakemake_starts_no_job_that_asks_for_too_much(tmp_path, snakemake):
    code, output = snakemake("--resources", "gpu=2")
    assert code != 0 and "a requests gpu 3" in output and not (tmp_path / "a").exists()
    program(tmp_path / "elsewhere/which", "exit 1")  # the Slurm plugin looks for programs with it
    path = str(tmp_path / "elsewhere")
    code, output = snakemake("-n", "--default-resources", "slurm_partition=gpus", path=path)
    assert code == 0, f"a plan may be looked at away from the cluster: {output}"
    code, output = snakemake("--resources", "gpu=3")
    assert code == 0 and (tmp_path / "a").exists(), output


def program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


# --- GPUs of a job's own ------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path):
    """A folder and an environment with an nvidia-smi that lists four GPUs."""
    listing = "\n".join(f"GPU {n}: NVIDIA H100 (UUID: GPU-{n}{n})" for n in range(4))
    program(tmp_path / "bin/nvidia-smi", f'echo "{listing}"')
    left_out = ("SLURM", "CUDA_VISIBLE")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    return tmp_path, environment | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}


def start(machine, count, command, **variables):
    """A job; its shell writes the GPUs that it got to standard output."""
    folder, environment = machine
    return subprocess.Popen(
        [*WITH_GPUS, str(count), "--", "bash", "-c", f"echo $CUDA_VISIBLE_DEVICES; {command}"],
        cwd=folder,
        env=environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


def got(job) -> list[str]:
    return job.stdout.readline().split(",")


def finish(job) -> str:
    return job.communicate()[1]


def test_jobs_at_once_get_gpus_of_their_own(machine):
    jobs = [start(machine, count, "read") for count in (1, 2, 1)]
    taken = [name.strip() for job in jobs for name in got(job)]
    assert sorted(taken) == ["0", "1", "2", "3"]
    for job in jobs:
        finish(job)


@pytest.mark.parametrize("killed_by", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_job_gives_its_gpus_back(machine, killed_by):
    first = start(machine, 3, "exec cat")
    assert got(first) == ["0", "1", "2\n"]
    second = start(machine, 2, "true")
    assert second.stderr.readline() == "waiting for 2 GPUs: 1 of 4 free\n"
    first.send_signal(killed_by)
    first.wait()
    assert got(second) == ["0", "1\n"]
    finish(second)
    finish(first)


def test_gpus_stay_taken_while_a_child_of_the_job_lives(machine):
    first = start(machine, 4, "sleep 60 & echo $!; read")
    got(first)
    child = int(first.stdout.readline())
    first.kill()
    first.wait()
    second = start(machine, 1, "true")
    assert second.stderr.readline().startswith("waiting")
    os.kill(child, signal.SIGKILL)
    assert got(second) == ["0\n"]
    finish(second)
    finish(first)


def test_the_users_own_list_is_what_there_is(machine):
    job = start(machine, 2, "true", CUDA_VISIBLE_DEVICES="3, GPU-11,0")
    assert got(job) == ["3", "GPU-11\n"]
    finish(job)


def test_a_job_of_slurm_keeps_what_slurm_gave(machine):
    jobs = [
        start(machine, 2, "read", CUDA_VISIBLE_DEVICES="0,1", SLURM_JOB_ID="7", SLURM_STEP_ID="0")
        for _ in range(2)
    ]
    assert [got(job) for job in jobs] == 2 * [["0", "1\n"]]
    for job in jobs:
        finish(job)
    assert not (machine[0] / ".snakemake").exists()


def test_jobs_inside_one_allocation_of_slurm_share_it(machine):
    jobs = [start(machine, 1, "read", CUDA_VISIBLE_DEVICES="4,6", SLURM_JOB_ID="7") for _ in range(2)]
    assert sorted(got(job)[0].strip() for job in jobs) == ["4", "6"]
    for job in jobs:
        finish(job)


def test_no_gpus_asked_for(machine):
    for visible in ({}, {"CUDA_VISIBLE_DEVICES": "2"}):
        job = start(machine, 0, "true", **visible)
        assert got(job) == [visible.get("CUDA_VISIBLE_DEVICES", "") + "\n"]
        finish(job)


@pytest.mark.parametrize(
    ("variables", "here", "source"),
    [({}, 4, "nvidia-smi -L"), ({"CUDA_VISIBLE_DEVICES": "1,2"}, 2, "CUDA_VISIBLE_DEVICES"),
     ({"CUDA_VISIBLE_DEVICES": ""}, 0, "CUDA_VISIBLE_DEVICES"), ({"PATH": "/usr/bin:/bin"}, 0, "nvidia-smi")],
)  # fmt: skip
def test_more_gpus_than_there_are(machine, variables, here, source):
    job = start(machine, 5, "true", **variables)
    error = finish(job)
    assert job.returncode == 1 and "Traceback" not in error
    assert f"asks for 5 GPUs, this machine has {here} ({source}" in error


def test_a_command_that_is_not_there(machine):
    folder, environment = machine
    command = [*WITH_GPUS, "1", "--", "no-such-command"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == "error: no-such-command: No such file or directory\n"


def test_exit_status_and_standard_input_are_the_commands(machine):
    folder, environment = machine
    command = [*WITH_GPUS, "1", "--", "bash", "-c", "cat; exit 7"]
    done = subprocess.run(
        command, cwd=folder, env=environment, input="spec", stdout=subprocess.PIPE, text=True
    )
    assert (done.returncode, done.stdout) == (7, "spec")


# --- profiles -----------------------------------------------------------------------------------


def profile(name: str) -> dict:
    return yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text())


@pytest.mark.parametrize("name", ["slurm", "multi_gpu"])
def test_profiles_hold_what_the_default_one_does(name):
    default = {key: value for key, value in profile("default").items() if key != "cores"}
    assert default.items() <= profile(name).items()
    assert profile(name)["retries"] > 0


def test_slurm_profile_has_to_be_filled_in():
    slurm = profile("slurm")
    defaults = slurm["default-resources"]
    assert slurm["executor"] == "slurm" and slurm["cores"] >= 1000
    assert defaults["slurm_partition"] == defaults["slurm_account"] == cluster.TO_FILL_IN
    assert len(problems(defaults, {}, {}, NODES)) == 2


def test_multi_gpu_profile_is_read_by_snakemake(tmp_path):
    (tmp_path / "Snakefile").write_text("rule a:\n    output: 'a'\n    shell: 'touch a'\n")
    command = [sys.executable, "-m", "snakemake", "-n", "--workflow-profile", ROOT / "profiles/multi_gpu"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# --- Slurm on one machine -----------------------------------------------------------------------


def test_slurms_files_stay_in_their_folder(tmp_path):
    text = local_slurm.slurm_conf(tmp_path, gpus=2, ports=[1111, 2222])
    settings = dict(line.split("=", 1) for line in text.splitlines())
    for key, value in settings.items():
        if "/" in value and "127.0.0.1" not in value and key.endswith(("Location", "Dir", "File", "Info")):
            assert str(tmp_path) in value, key
    assert settings["SlurmctldPort"] == "1111" and settings["SlurmdPort"] == "2222"
    assert settings["CommunicationParameters"] == "NoInAddrAny,NoCtldInAddrAny"
    assert "Gres=gpu:2" in settings["NodeName"]
    assert local_slurm.gres_conf(2).count("Name=gpu File=/dev/") == 2


def test_down_where_nothing_runs_does_nothing(tmp_path):
    start = time.monotonic()
    local_slurm.main(["down", str(tmp_path / "none")])
    assert not (tmp_path / "none").exists() and time.monotonic() - start < 10


def test_up_without_slurm_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(local_slurm, "missing", lambda: ["slurmd"])
    with pytest.raises(SystemExit, match="not installed: slurmd; run: .*install"):
        local_slurm.main(["up", str(tmp_path)])


@pytest.mark.parametrize("name", ["a" * 100, "with space"])
def test_a_folder_in_which_slurm_cannot_live(name, tmp_path, monkeypatch):
    monkeypatch.setattr(local_slurm, "missing", list)
    with pytest.raises(SystemExit, match="choose another folder"):
        local_slurm.main(["up", str(tmp_path / name)])
    assert not (tmp_path / name).exists()


def test_install_elsewhere_names_the_local_executor(monkeypatch):
    monkeypatch.setattr(local_slurm, "missing", lambda: ["slurmd"])
    monkeypatch.setattr(local_slurm.os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match="local executor"):
        local_slurm.main(["install"])
