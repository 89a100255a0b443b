"""A run that is killed, starved of disk or started twice ends with the figures of an undisturbed one."""

import base64
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.interrupt import RESULTS, SMOKE, different_figures, kill, run_with_kills, start, unfinished

from tests.test_workflow import SNAKEMAKE, assert_same_files, copy_sources, planned, snakemake

HERE = Path(__file__).parent


# --- killed at random --------------------------------------------------------------------------


def test_ten_kills_on_the_way_of_one_run_change_no_figure(tmp_path, request):
    folder = copy_sources(tmp_path / "asymre")
    seen = run_with_kills(folder, kills=10, seed=0, tell=print)
    assert all(kill["jobs"] is not None for kill in seen), "a run was over before its kill"
    assert sum(kill["jobs"] > 0 for kill in seen) >= 5 and sum(kill["results"] > 0 for kill in seen) >= 5
    assert any(kill["partial"] for kill in seen), "no kill left a half-written result"
    snakemake(folder, *SMOKE)
    # Late: another process may be making it meanwhile.
    assert different_figures(folder, request.getfixturevalue("finished")) == []
    assert unfinished(folder) == [] and planned(folder) == {}


def test_after_a_kill_snakemake_says_what_to_do(finished, tmp_path):
    folder = copied(finished, tmp_path)
    shutil.rmtree(folder / RESULTS / "figures")
    process, mark = start(folder, *SMOKE)
    wait_until(lambda: locked(folder) and (folder / RESULTS / "figures").is_dir(), process)
    kill(process, mark)
    message = snakemake(folder, *SMOKE, check=False)
    assert "cannot be locked" in message and "--unlock" in message and "Traceback" not in message
    snakemake(folder, "--unlock", *SMOKE)
    snakemake(folder, *SMOKE)
    assert different_figures(folder, finished) == []


def test_a_result_that_was_in_place_when_the_run_was_killed_hides_no_other_job(finished, tmp_path):
    folder = copied(finished, tmp_path)
    shutil.rmtree(folder / RESULTS / "figures")
    in_place = next((folder / RESULTS / "figure").glob("figure_1-*")).relative_to(folder)
    # Snakemake's note that a job was running: removed when it has seen the job end.
    note = folder / ".snakemake/incomplete" / base64.b64encode(str(in_place).encode()).decode()
    note.parent.mkdir(parents=True)
    note.touch()
    jobs = planned(folder)
    expected = {f"figure_{number}": 1 for number in range(1, 14)}
    assert jobs == expected | {"claims": 1, "save_configuration": 1}


def copied(finished: Path, tmp_path: Path) -> Path:
    folder = copy_sources(tmp_path / "copy")
    shutil.copytree(finished / "results", folder / "results")
    return folder


def locked(folder: Path) -> bool:
    locks = folder / ".snakemake/locks"
    return locks.is_dir() and any(locks.iterdir())


def wait_until(true, process: subprocess.Popen) -> None:
    while not true():
        assert process.poll() is None, "it ended too early"
        time.sleep(0.005)


# --- killed in the middle of a write -----------------------------------------------------------


def killed_before_change(n: int, folder: Path, script: str, *arguments) -> bool:
    """Run a script that dies before its n-th change of a file in `results`; False if it has fewer."""
    done = subprocess.run(
        [sys.executable, HERE / "kill_at.py", str(n), folder / "results", folder / "scripts" / script]
        + [*map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
    return done.returncode != 0


@pytest.mark.parametrize(
    ("kind", "script"), [("problems", "make_problems_task.py"), ("rollouts", "sample_rollouts_local.py")]
)
def test_a_job_killed_before_any_of_its_writes_leaves_its_result_whole_or_missing(
    finished, tmp_path, kind, script
):
    folder = copied(finished, tmp_path)
    result = sorted((folder / RESULTS / kind).iterdir())[0]
    reference = finished / RESULTS / kind / result.name
    shutil.rmtree(result)
    for n in itertools.count(1):
        if not killed_before_change(n, folder, script, reference / "spec.json", result):
            break
        if result.exists():
            assert_same_files(reference, result)
    assert n > 3, "the kills hit no write"
    assert_same_files(reference, result)
    assert unfinished(folder) == []


def test_a_kill_while_a_figure_is_published_leaves_no_marker_of_another_figure(finished, tmp_path):
    folder = copied(finished, tmp_path)
    figures = folder / RESULTS / "figures"
    marker = next((figures / ".current").glob("figure_3-*"))
    source = folder / RESULTS / "figure" / marker.name
    new = {suffix: (source / name).read_bytes() for name, suffix in PUBLISHED.items()}
    for n in itertools.count(1):
        # What another version of the figure left.
        marker.unlink(missing_ok=True)
        (marker.parent / "figure_3-0123456789").touch()
        for suffix in new:
            (figures / f"figure_03.{suffix}").write_text("old")
        killed = killed_before_change(n, folder, "publish.py", source, "figure_03", marker)
        now = {suffix: (figures / f"figure_03.{suffix}").read_bytes() for suffix in new}
        assert all(content in (b"old", new[suffix]) for suffix, content in now.items())
        assert now == new or not marker.exists()
        assert set(now.values()) == {b"old"} or not (marker.parent / "figure_3-0123456789").exists()
        if not killed:
            break
    assert n > 8, "the kills hit no write"
    assert now == new and marker.exists() and unfinished(folder) == []


PUBLISHED = {"figure.pdf": "pdf", "figure.png": "png", "data.csv": "csv", "caption.txt": "txt"}


# --- a full disk -------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a small file system at a folder; skips where that is not allowed."""
    mounted = []

    def mount(folder: Path, size: str) -> None:
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no tmpfs may be mounted here: {done.stderr.strip()}")
        mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


def test_a_run_goes_on_after_a_full_disk(finished, tmp_path, small_disk):
    folder = copy_sources(tmp_path / "asymre")
    small_disk(folder / "results", "500k")
    target = ["bandit", *SMOKE]
    output = " ".join(snakemake(folder, *target, check=False).split())  # it is wrapped
    assert "No space left on device" in output and "free some space and run again" in output, output
    assert "Traceback" not in output, output
    subprocess.run(["mount", "-o", "remount,size=100m", folder / "results"], check=True)
    snakemake(folder, *target)
    made = sorted((folder / RESULTS / "figures").glob("*.csv"))
    assert len(made) == 4
    for file in made:
        assert file.read_bytes() == (finished / RESULTS / "figures" / file.name).read_bytes()
    assert unfinished(folder) == []


# --- two at once -------------------------------------------------------------------------------


def test_a_second_invocation_refuses_and_the_first_ends_well(finished, tmp_path):
    folder = copy_sources(tmp_path / "asymre")
    process, mark = start(folder, "bandit", *SMOKE)
    wait_until(lambda: locked(folder), process)
    second = subprocess.run([*SNAKEMAKE, "bandit", *SMOKE], cwd=folder, capture_output=True, text=True)
    # By Snakemake's own lock, or by that of the results folder.
    refused = re.search("cannot be locked|another snakemake uses", second.stdout + second.stderr)
    assert second.returncode != 0 and refused
    assert process.wait(timeout=300) == 0, (folder / "output.txt").read_text()
    made = sorted((folder / RESULTS / "figures").glob("*.csv"))
    assert len(made) == 4
    for file in made:
        assert file.read_bytes() == (finished / RESULTS / "figures" / file.name).read_bytes()
