"""Finished runs of the toy workflow, made once and copied by the tests that change them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from store.graph import Graph
from tests.store.toy import RESULTS, ROOT, copy_sources, elsewhere, make_all, plan_of


@pytest.fixture(scope="session")
def graph() -> Graph:
    """The plan of the toy workflow as it stands."""
    return plan_of()


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A clone in which the command of store/README.md was run, as a user would."""
    folder = copy_sources(tmp_path_factory.mktemp("toy") / "finished")
    (folder / ".venv").mkdir()
    (folder / ".venv/bin").symlink_to(Path(sys.executable).parent)
    readme = (ROOT / "store/README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^ *(\.venv/bin/snakemake .*)$", readme, re.M)
    environment = os.environ | {"XDG_CACHE_HOME": str(elsewhere())}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def clone(finished, tmp_path) -> Path:
    """A copy of the sources beside a plain copy of the finished results, without .snakemake."""
    folder = copy_sources(tmp_path / "clone")
    shutil.copytree(finished / RESULTS, folder / RESULTS)
    return folder


@pytest.fixture(scope="session")
def made(graph, tmp_path_factory) -> Path:
    """Results of all default targets, made without Snakemake, so that the temporary checkpoints lie there."""
    return make_all(graph, tmp_path_factory.mktemp("made") / RESULTS)


@pytest.fixture
def results(made, tmp_path) -> Path:
    """A copy of `made`."""
    return shutil.copytree(made, tmp_path / RESULTS)
