"""What has to be true on a GPU, and how fast it is: results/measured.json, which `make plan` counts with."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from tests.gpu import checks
from tests.gpu.checks import HALF_A_BILLION, LARGEST_DIFFERENCE, ROOT, TOLERANCE, Sizes
from tests.helpers import copy_sources
from tools import measured_costs

pytestmark = pytest.mark.gpu
# As of scale gpu.
SIZES = Sizes(
    dtype="bfloat16",
    tokens_per_micro_batch=16_384,
    tokens_per_chunk=2048,
    activation_checkpointing=True,
    prompts_per_step=16,
    prompt=128,
    completion=512,
)
PROMPT, NEW, PROMPTS, KEEP = 128, 384, 256, 64


@pytest.fixture(scope="module")
def policies(tmp_path_factory) -> dict[str, Path]:
    """Half a billion random weights, by type."""
    folder = tmp_path_factory.mktemp("policies")
    return {dtype: checks.make_policy(folder / dtype, HALF_A_BILLION, dtype) for dtype in LARGEST_DIFFERENCE}


@pytest.fixture(scope="module")
def prompts():
    return checks.made_up_prompts(PROMPTS, PROMPT, HALF_A_BILLION.vocabulary_size)


@pytest.fixture(scope="module")
def sampled(policies, prompts, tmp_path_factory):
    """A long sampling in bfloat16; vLLM has compiled before."""
    folder = tmp_path_factory.mktemp("sampled")
    asked = {"dtype": "bfloat16", "device": "cuda"}
    checks.sample(policies["bfloat16"], folder, **asked, prompts=prompts[:1], new=1, keep=0)
    return checks.sample(policies["bfloat16"], folder, **asked, prompts=prompts, new=NEW, keep=KEEP)


@pytest.fixture(scope="module")
def trained(policies):
    """Eight steps of 128 completions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        return checks.train(policies["float32"], HALF_A_BILLION, SIZES, steps=8)


@pytest.mark.parametrize("dtype", LARGEST_DIFFERENCE)
def test_log_probabilities_of_vllm_and_of_the_trainer(dtype, policies, prompts, sampled, tmp_path):
    if dtype == "bfloat16":
        completions = sampled["completions"]
    else:
        asked = {"prompts": prompts[: KEEP // checks.GROUP], "new": 64, "keep": KEEP}
        completions = checks.sample(policies[dtype], tmp_path, dtype=dtype, device="cuda", **asked)[
            "completions"
        ]
    found = checks.differences(policies[dtype], completions, dtype)
    print(dtype, found)
    assert len(completions) == KEEP
    assert found["log_prob"] > 1 - math.log(HALF_A_BILLION.vocabulary_size), "no uniform draw"
    assert found["mean"] < LARGEST_DIFFERENCE[dtype]


def test_memory_of_training_is_what_was_planned(policies, trained):
    """With activations computed again, and, in smaller micro-batches, without."""
    whole = dataclasses.replace(SIZES, tokens_per_micro_batch=4096, activation_checkpointing=False)
    found = {SIZES: trained, whole: checks.train(policies["float32"], HALF_A_BILLION, whole, steps=2)}
    for sizes, run in found.items():
        planned = checks.planned_memory(HALF_A_BILLION, sizes)
        print(f"planned {planned / 1e9:.2f} GB, measured {run['peak'] / 1e9:.2f} GB: {sizes}")
        assert run["peak"] <= planned <= 1.6 * run["peak"]


def test_two_processes_compute_what_one_does(policies):
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    sizes = dataclasses.replace(SIZES, dtype="float32", prompts_per_step=4)
    one, two = (checks.train(policies["float32"], HALF_A_BILLION, sizes, 4, count) for count in (1, 2))
    found = checks.relative(two["metrics"], one["metrics"])
    print(found)
    assert max(found.values()) < TOLERANCE["float32"]


def test_a_killed_cycle_gives_what_one_left_alone_does(tmp_path):
    project = copy_sources(tmp_path / "project")
    (project / ".venv-vllm").symlink_to(ROOT / ".venv-vllm")
    again, alone = checks.killed_and_not(project, "cuda", "bfloat16")
    found = checks.relative(again.to_dict("records"), alone.to_dict("records"))
    print(found)
    assert len(again) == len(alone) == checks.STEPS and max(found.values()) < TOLERANCE["bfloat16"]


def test_speeds_are_measured_and_written(sampled, trained):
    assert sampled["tokens"] > 0.9 * PROMPTS * checks.GROUP * NEW, "random weights hardly end a completion"
    measured = checks.measured(HALF_A_BILLION, SIZES, trained, sampled)
    measured_costs.write(measured, ROOT / measured_costs.FILE)
    print(measured)
    assert measured_costs.read(ROOT / measured_costs.FILE) == measured
