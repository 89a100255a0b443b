"""Real vLLM (its CPU build) on tiny policies, against transformers and our own decoder."""

import json
import os
import subprocess

import pytest
import torch

from asymre.architecture import Architecture
from asymre.engines.local.decoder import forward, initial_weights
from asymre.engines.local.policy import save_policy
from asymre.engines.local.tokenizer import END_ID, VOCABULARY_SIZE
from tests.scale.conftest import ROOT

pytestmark = pytest.mark.scale
PROMPTS = [[1, 2, 10, 3, 12], [4, 5, 12], [7, 10, 8, 10, 9, 12]] * 8


def policy(folder, family, seed=0):
    architecture = Architecture(
        family=family,
        hidden_size=64,
        intermediate_size=96,
        layers=2,
        heads=2,
        key_value_heads=1,
        vocabulary_size=VOCABULARY_SIZE,
        tie_embeddings=family == "qwen2",
    )
    weights = initial_weights(architecture, torch.Generator().manual_seed(seed))
    save_policy(folder, architecture, weights)
    return architecture, weights


def probe(vllm_python, folder, seeds, prompts=PROMPTS):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [vllm_python, "tests/scale/vllm_probe.py", str(folder), json.dumps(prompts), json.dumps(seeds)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_completions(family, vllm_python, tmp_path):
    architecture, weights = policy(tmp_path / "policy", family)
    seen = probe(vllm_python, tmp_path / "policy", [0, 0, 1000])
    first, again, others = seen["runs"]
    assert first == again, "the same requests give the same tokens and log-probabilities"
    assert first != others, "each request carries its own seed"
    assert seen["difference"] < 1e-5, "against transformers"
    ended = [c for c in first if not c["truncated"]]
    assert ended and len(ended) < len(first)
    for prompt, completion in zip(PROMPTS, first, strict=True):
        tokens = completion["tokens"]
        assert (tokens[-1] == END_ID) == (not completion["truncated"]) and END_ID not in tokens[:-1]
        logits, _ = forward(weights, architecture, torch.tensor([prompt + tokens]))
        log_probs = logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        own = log_probs[torch.arange(len(tokens)), torch.tensor(tokens)]
        assert torch.allclose(own, torch.tensor(completion["log_probs"]), atol=1e-5)
    # Nearly greedy: equal prompts get equal completions, and the log-probabilities are still those at 1.
    assert seen["cold"][0]["tokens"] == seen["cold"][3]["tokens"]
    assert seen["cold"][0]["log_probs"][0] < -0.01


def test_new_weights_are_taken(vllm_python, tmp_path):
    """vLLM on a CPU goes on with old weights if it is told to load new ones: each call has a new engine."""
    policy(tmp_path / "a", "llama", seed=0)
    policy(tmp_path / "b", "llama", seed=1)
    a, b = (probe(vllm_python, tmp_path / name, [0]) for name in "ab")
    assert a["runs"] != b["runs"] and b["difference"] < 1e-5


def test_more_prompts_than_one_pass_reads(vllm_python, tmp_path):
    """vLLM on a CPU ends if it reads a part of a seeded prompt."""
    policy(tmp_path / "policy", "llama")
    prompts = [[1 + (i + j) % 9 for j in range(60)] for i in range(200)]
    assert sum(map(len, prompts)) > 8192
    seen = probe(vllm_python, tmp_path / "policy", [0], prompts)
    assert len(seen["runs"][0]) == 200 and seen["difference"] < 1e-5


def test_entropy_is_that_of_our_decoder(vllm_python, tmp_path):
    architecture, weights = policy(tmp_path / "policy", "llama")
    seen = probe(vllm_python, tmp_path / "policy", [0])
    total, count = 0.0, 0
    for prompt, completion in zip(PROMPTS, seen["runs"][-1], strict=True):
        logits, _ = forward(weights, architecture, torch.tensor([prompt + completion["tokens"]]))
        entropy = torch.distributions.Categorical(logits=logits[0, len(prompt) - 1 : -1]).entropy()
        total, count = total + entropy.sum().item(), count + len(entropy)
    assert seen["entropy"] == pytest.approx(total / count, rel=1e-4)


def test_a_broken_policy_is_named(vllm_python, tmp_path):
    policy(tmp_path / "policy", "llama")
    weights = tmp_path / "policy/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(AssertionError, match="RuntimeError"):
        probe(vllm_python, tmp_path / "policy", [0])
