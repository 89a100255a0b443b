"""What `make test-gpu` asks of vLLM, on a CPU and with a tiny policy."""

import os

import pytest

from tests.gpu import checks
from tests.gpu.checks import ROOT, TINY

pytestmark = pytest.mark.scale


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_log_probabilities_of_vllm_and_of_the_trainer(vllm_python, tmp_path):
    for dtype, limit in (("float32", 1e-5), ("bfloat16", checks.LARGEST_DIFFERENCE["bfloat16"])):
        policy = checks.make_policy(tmp_path / dtype, TINY, dtype)
        prompts = checks.made_up_prompts(4, 6, TINY.vocabulary_size)
        sampled = checks.sample(policy, tmp_path, dtype=dtype, device="cpu", prompts=prompts, new=8, keep=20)
        completions = sampled["completions"]
        assert len(completions) == 20 and 32 < sampled["tokens"] <= 4 * checks.GROUP * 8
        assert [c["prompt"] for c in completions] == [prompts[n // checks.GROUP] for n in range(20)]
        assert 0 < sampled["sampling"] < sampled["seconds"] - 1
        found = checks.differences(policy, completions, dtype)
        print(dtype, found)
        assert found["mean"] < limit


def test_a_killed_cycle_gives_what_one_left_alone_does(project):
    again, alone = checks.killed_and_not(project, "cpu", "float32")
    found = checks.relative(again.to_dict("records"), alone.to_dict("records"))
    assert len(again) == len(alone) == checks.STEPS
    # On a CPU to the last bit.
    assert found == {"loss": 0, "gradient_norm": 0} and os.path.isdir(project / "results/killed/rollouts")
