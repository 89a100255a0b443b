"""These tests take minutes and need more than `make setup` installs: `make test-scale` runs them."""

from pathlib import Path

import pytest

from tests.helpers import ROOT, copy_sources

VLLM = ROOT / ".venv-vllm/bin/python"


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.get_closest_marker("scale"):
            item.add_marker(pytest.mark.limit(1800))
            if "scale" not in config.option.markexpr:
                item.add_marker(pytest.mark.skip(reason="minutes, with vLLM and Slurm: make test-scale"))


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    """The interpreter of vLLM's environment."""
    if not VLLM.is_file():
        pytest.skip("vLLM's environment is missing: make setup-vllm")
    return VLLM


@pytest.fixture
def project(vllm_python, tmp_path) -> Path:
    """A copy of the sources, with vLLM's environment."""
    folder = copy_sources(tmp_path / "project")
    (folder / ".venv-vllm").symlink_to(ROOT / ".venv-vllm")
    return folder
