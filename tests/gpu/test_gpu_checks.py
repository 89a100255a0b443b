"""What `make test-gpu` runs, on a CPU and with a tiny policy; tests/scale/test_gpu_with_vllm.py adds vLLM."""

import dataclasses
import math

import pytest
import torch
from torch.distributed.tensor import DTensor
from torch.utils._pytree import tree_leaves

from asymre.architecture import Architecture
from asymre.engines.fsdp_vllm.launch import run_processes
from asymre.engines.fsdp_vllm.model import load_model
from asymre.engines.local.decoder import forward
from asymre.engines.local.policy import load_policy
from tests.fsdp_processes import Allocations
from tests.gpu import checks
from tests.gpu.checks import ROOT, TINY, Sizes
from tools.measured_costs import Measured

SIZES = Sizes(
    dtype="float32",
    tokens_per_micro_batch=256,
    tokens_per_chunk=32,
    activation_checkpointing=True,
    prompts_per_step=2,
    prompt=6,
    completion=8,
)
STEPS = 4


@pytest.fixture(scope="module", autouse=True)
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        yield


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return checks.make_policy(tmp_path_factory.mktemp("gpu") / "policy", TINY, "float32")


@pytest.fixture(scope="module")
def trained(policy):
    return checks.train(policy, TINY, SIZES, STEPS)


def test_a_policy_of_either_type(policy, tmp_path):
    rounded = checks.make_policy(tmp_path / "rounded", TINY, "bfloat16")
    assert {p.dtype for p in load_model(rounded, torch.bfloat16).parameters()} == {torch.bfloat16}
    for own, exact in zip(load_model(rounded).parameters(), load_model(policy).parameters(), strict=True):
        assert torch.equal(own, exact.to(torch.bfloat16).float())


def completions_of(policy, shift=0.0):
    """As vLLM's, but computed by our own decoder; `shift` is added to the log-probabilities."""
    architecture, weights = load_policy(policy)
    generator = torch.Generator().manual_seed(1)
    found = []
    for length in (1, 3, 8, 5):
        prompt, tokens = (torch.randint(15, (n,), generator=generator).tolist() for n in (4, length))
        logits, _ = forward(weights, architecture, torch.tensor([prompt + tokens]))
        own = logits[0, len(prompt) - 1 : -1].log_softmax(-1)[torch.arange(length), torch.tensor(tokens)]
        found.append({"prompt": prompt, "tokens": tokens, "log_probs": (own + shift).tolist()})
    return found


@pytest.mark.slow
def test_differences_are_those_of_the_trainer(policy):
    found = checks.differences(policy, completions_of(policy), "float32")
    assert found["max"] < 1e-5
    shifted = checks.differences(policy, completions_of(policy, shift=0.25), "float32")
    assert shifted["mean"] == pytest.approx(0.25, abs=1e-5) and shifted["max"] == pytest.approx(
        0.25, abs=1e-5
    )
    assert shifted["log_prob"] == pytest.approx(found["log_prob"] + 0.25)


def test_training_reports_every_step(trained):
    assert len(trained["metrics"]) == len(trained["seconds"]) == len(trained["tokens"]) == STEPS
    assert all(math.isfinite(row["loss"]) and row["gradient_norm"] > 0 for row in trained["metrics"])
    assert min(trained["seconds"]) > 0
    rows = SIZES.batch
    assert all(rows * (6 + 4) <= tokens <= rows * (6 + 8) for tokens in trained["tokens"])
    if not torch.cuda.is_available():
        assert trained["peak"] is trained["gpu"] is trained["gpu_memory"] is None


@pytest.mark.slow
def test_two_processes_and_a_run_again(policy, trained):
    if torch.cuda.is_available() and torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    two = checks.train(policy, TINY, SIZES, STEPS, processes=2)
    assert max(checks.relative(two["metrics"], trained["metrics"]).values()) < checks.TOLERANCE["float32"]
    other = [row | {"loss": 1.1 * row["loss"]} for row in trained["metrics"]]
    assert checks.relative(other, trained["metrics"])["loss"] == pytest.approx(0.1)


def test_operations_of_training_by_hand():
    run = {"tokens": [1, 1, 1000, 2000], "seconds": [9, 9, 0.5, 0.5]}
    count = TINY.parameter_count()
    assert checks.tflops(TINY, SIZES, run) == pytest.approx(8 * count * 3000 / 1e12)
    without = dataclasses.replace(SIZES, activation_checkpointing=False)
    assert checks.tflops(TINY, without, run) == pytest.approx(6 * count * 3000 / 1e12)


def test_planned_memory_is_that_of_the_plan():
    small, large = (
        checks.planned_memory(TINY, dataclasses.replace(SIZES, tokens_per_micro_batch=n)) for n in (256, 512)
    )
    assert 16 * TINY.parameter_count() < small < large


@pytest.mark.slow
@pytest.mark.parametrize(("recompute", "tokens"), [(True, 1024), (False, 512)])
def test_tensors_of_training_take_what_was_planned(recompute, tokens, tmp_path):
    """As on a GPU, but counted as they are made: a shape in which no single part takes most of it."""
    shape = dataclasses.replace(
        checks.HALF_A_BILLION, hidden_size=224, intermediate_size=1216, layers=6, vocabulary_size=30_000
    )
    policy = checks.make_policy(tmp_path / "policy", shape, "float32")
    sizes = Sizes("bfloat16", tokens, 256, recompute, prompts_per_step=1, prompt=32, completion=96)
    peak, planned = run_processes(1, peak_of_step, policy, shape, sizes), checks.planned_memory(shape, sizes)
    assert peak <= planned <= 1.6 * peak


def peak_of_step(policy, architecture, sizes):
    """Bytes of all tensors of a training process, at the most."""
    with RealAllocations() as allocations:
        checks._train(policy, architecture, sizes, steps=1)
    return allocations.peak


class RealAllocations(Allocations):
    """Of a sharded tensor this process's shard alone: the tensor itself has no memory."""

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        out = function(*arguments, **keywords or {})
        for tensor in tree_leaves(out):
            own = tensor.to_local() if isinstance(tensor, DTensor) else tensor
            if isinstance(own, torch.Tensor) and not own.is_meta:
                self._add(own.untyped_storage())
        return out


def test_speeds_by_hand():
    assert checks.HALF_A_BILLION.parameter_count() == 494_032_768, "as the model's page states it"
    architecture: Architecture = checks.HALF_A_BILLION
    trained = {"gpu": "A", "gpu_memory": 85_520_000_000, "tokens": [0, 0, 1000], "seconds": [5, 5, 0.5]}
    sampled = {"tokens": 400_000, "seconds": 50.0, "sampling": 20.0}
    measured = checks.measured(architecture, SIZES, trained, sampled)
    assert measured == Measured(
        gpu="A",
        parameters=494_032_768,
        gpu_memory_gb=85.5,
        generation_speed=20_000 * 0.494032768,
        training_tflops=8 * 494_032_768 * 2000 / 1e12,
        start_minutes=0.5,
    )
