"""Tiny policies and problems, as fixtures: rooms that use them import them into their conftest."""

import pytest
import torch

from asymre.datasets.problems import generate_problems
from asymre.engines.local.decoder import initial_weights
from asymre.engines.local.rollouts import problem_arrays
from asymre.tasks.arithmetic import Arithmetic
from tests.helpers import tiny

__all__ = [
    "any_architecture",
    "architecture",
    "constant_policy",
    "make_weights",
    "problems",
    "prompts",
    "weights",
]


@pytest.fixture(
    params=[("llama", 4, True), ("llama", 2, False), ("qwen2", 4, False), ("qwen2", 1, True)],
    ids=["llama-tied", "llama-gqa", "qwen2", "qwen2-mqa-tied"],
)
def any_architecture(request):
    """Both families, full, grouped and single key-value heads, tied and untied embeddings."""
    return tiny(*request.param)


@pytest.fixture
def architecture():
    """The one architecture of the tests that do not depend on it."""
    return tiny()


@pytest.fixture
def make_weights():
    """Weights of an architecture, in which norms and biases are not trivial either."""

    def make(architecture, seed=0):
        generator = torch.Generator().manual_seed(seed)
        weights = initial_weights(architecture, generator)
        return {
            name: weight + 0.1 * torch.randn(weight.shape, generator=generator)
            for name, weight in weights.items()
        }

    return make


@pytest.fixture
def weights(architecture, make_weights):
    """A random policy of `architecture`."""
    return make_weights(architecture)


@pytest.fixture
def constant_policy():
    """An architecture and weights whose next-token logits are the given ones after any tokens."""

    def make(logits_V):
        architecture = tiny(tie_embeddings=False)
        c = architecture.hidden_size
        weights = initial_weights(architecture, torch.Generator().manual_seed(0))
        for name, weight in weights.items():
            if "o_proj" in name or "down_proj" in name:
                weight.zero_()
        weights["model.embed_tokens.weight"].fill_(1.0)
        scale = (1 + architecture.norm_epsilon) ** 0.5 / c
        weights["lm_head.weight"] = (logits_V.float() * scale)[:, None].repeat(1, c)
        return architecture, weights

    return make


@pytest.fixture
def problems():
    """Ten training problems of three terms."""
    return generate_problems(Arithmetic(3, "+-"), count=10, split="train", seed=0)


@pytest.fixture
def prompts(problems):
    """Prompt tokens [10, L] of `problems`."""
    return problem_arrays(problems)[0]
