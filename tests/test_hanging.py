"""A test that hangs or whose process dies ends the run with a failure that names it."""

import subprocess
import sys
import time

import pytest

from tests.helpers import ROOT

TESTS = """
import os, signal, time
import pytest

def test_passes():
    pass

def test_is_killed():
    os.kill(os.getpid(), signal.SIGKILL)

def test_sleeps():
    time.sleep(300)

def test_waits_outside_python():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    time.sleep(300)

@pytest.mark.limit(0.5)
def test_has_a_limit_of_its_own():
    time.sleep(300)
"""


def run(tmp_path, names, *options) -> tuple[int, str]:
    """A session of some of these tests, with our conftest, and within a minute."""
    (tmp_path / "test_made_up.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text("from tests.conftest import *  # noqa: F403\n")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = --import-mode=importlib --max-worker-restart=0\nmarkers = limit\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-k", " or ".join(names), *options, str(tmp_path)]
    started = time.monotonic()
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert time.monotonic() - started < 100
    return done.returncode, done.stdout


@pytest.mark.parametrize("dist", ["loadfile", pytest.param("worksteal", marks=pytest.mark.slow)])
def test_a_worker_that_is_killed_fails_the_run_and_names_the_test(dist, tmp_path):
    code, output = run(tmp_path, ["passes", "killed"], "-n", "1", "--dist", dist)
    assert code != 0 and "crashed while running 'test_made_up.py::test_is_killed'" in output, output


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_a_test_that_sleeps_fails_and_is_named(workers, tmp_path):
    names = ["passes", "sleeps", "limit_of_its_own"]
    code, output = run(tmp_path, names, "-n", workers, "--limit", "1")
    assert code == 1 and "1 passed" in output and "2 failed" in output, output
    assert "test_made_up.py::test_sleeps: still running after 1 s" in output
    assert "test_made_up.py::test_has_a_limit_of_its_own: still running after 0.5 s" in output


@pytest.mark.slow
def test_a_test_that_cannot_be_interrupted_ends_the_process(tmp_path):
    options = ("-n", "1", "--dist", "loadfile", "--limit", "1", "--grace", "1")
    code, output = run(tmp_path, ["waits"], *options)
    assert code != 0 and "crashed while running 'test_made_up.py::test_waits_outside_python'" in output, (
        output
    )
    assert "Timeout (0:00:02)" in output and "in test_waits_outside_python" in output
