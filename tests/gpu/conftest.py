"""These tests need a GPU and a quarter of an hour: `make test-gpu` runs them."""

import pytest
import torch

from tests.gpu.checks import ROOT, VLLM


def missing() -> str | None:
    """Why none of them can run here."""
    if not torch.cuda.is_available():
        return "no GPU that torch could use"
    if not VLLM.is_file():
        return "vLLM's environment is missing: make setup-vllm"
    return None


def pytest_collection_modifyitems(config, items):
    reason = missing() if "gpu" in config.option.markexpr else "minutes, on a GPU: make test-gpu"
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.limit(1800))
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """The processes that train find the modules of the tests."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
