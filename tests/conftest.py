"""A limit of time for every test, and the finished smoke run that several rooms share."""

import faulthandler
import fcntl
import os
import shutil
import signal
from pathlib import Path

import pytest

# One thread: bits of sums depend on the number of threads, and so does the speed of the tests.
os.environ["OMP_NUM_THREADS"] = "1"

from tests.helpers import copy_sources, finish

LIMIT_S = 600
# After this many seconds more the process ends: a test that waits outside Python cannot be interrupted.
GRACE_S = 60


class OutOfTime(BaseException):
    """Raised in a test that takes too long; no `except Exception` in it can swallow this."""


def pytest_addoption(parser):
    parser.addoption("--limit", type=float, default=LIMIT_S, help="seconds that a test may take")
    parser.addoption("--grace", type=float, default=GRACE_S, help="seconds from then to the end of pytest")


def pytest_configure(config):
    # pytest captures the original from the first test on.
    config.stderr_of_limit = os.fdopen(os.dup(2), "w")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    """Fail a test that takes too long, by its name, instead of waiting for ever."""
    marker = item.get_closest_marker("limit")
    seconds = marker.args[0] if marker else item.config.getoption("limit")

    def stop(*_):
        raise OutOfTime(f"{item.nodeid}: still running after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    last = seconds + item.config.getoption("grace")
    faulthandler.dump_traceback_later(last, exit=True, file=item.config.stderr_of_limit)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A copy of the repository with a finished smoke run, made once for all of pytest's processes."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, complete = shared / "finished", shared / "finished.complete"
    with (shared / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            finish(copy_sources(folder), "smoke")
            complete.touch()
    return folder


@pytest.fixture
def clone(finished, tmp_path) -> Path:
    """A copy of the sources beside a plain copy of the finished results, without .snakemake."""
    folder = copy_sources(tmp_path / "clone")
    shutil.copytree(finished / "results", folder / "results")
    return folder
