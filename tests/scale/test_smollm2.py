"""The real weights of SmolLM2-135M, as scale pretrained makes its base policy, beside transformers'."""

import pytest
import torch

from asymre.engines.local.decoder import forward
from asymre.engines.local.device import CPU
from asymre.engines.local.engine import token_log_probs
from asymre.engines.local.policy import open_policy
from asymre.engines.local.sampling import sample, shared_prefix
from asymre.engines.local.tokenizer import PADDING, generated_mask
from asymre.seeding import numpy_stream, torch_stream
from asymre.specs import LocalPretrainedSpec
from asymre.tasks import load
from store.typed import build
from tests.helpers import ROOT, module_of, plan_of

pytestmark = pytest.mark.scale


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder of the base policy, from PyPI's package, and the scale's task."""
    plan = plan_of(ROOT, None, "pretrained")
    folder = tmp_path_factory.mktemp("smollm2")
    (made,) = (a for a in plan.graph.artefacts.values() if a.kind == "base_policy")
    module_of("scripts/make_base_policy_local.py").make(build(LocalPretrainedSpec, made.params), {}, folder)
    task = plan.configuration.tasks["sums"]
    return folder, load(task.kind)(**task.settings)


@pytest.fixture(scope="module")
def policy(base):
    folder, task = base
    return open_policy(folder, task.end, CPU)


def test_logits_are_those_of_transformers(base, policy):
    from transformers import AutoModelForCausalLM

    folder, task = base
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    (text, _), *_ = task.draw(1, "test", numpy_stream("prompt"))
    tokens = [policy.tokenizer.prompts([text]), torch.randint(49_152, (2, 64), generator=torch_stream("t"))]
    with torch.no_grad():
        for tokens_BT in tokens:
            ours, _ = forward(policy.weights, policy.architecture, tokens_BT)
            torch.testing.assert_close(ours, theirs(tokens_BT).logits, atol=1e-3, rtol=0)


def test_log_probabilities_of_sampling_are_those_of_training(base, policy):
    _, task = base
    prompts_PL = policy.tokenizer.prompts([t for t, _ in task.draw(4, "train", numpy_stream("prompts"))])
    assert shared_prefix(prompts_PL) > 20 and (prompts_PL == PADDING).any()
    how = {"max_new_tokens": 7, "temperature": 1.0, "top_p": 1.0, "ends": policy.tokenizer.ends}
    drawn = sample(
        policy.weights, policy.architecture, prompts_PL, group_size=4, generator=torch_stream("s"), **how
    )
    mask_RT = generated_mask(drawn.tokens_RT, policy.tokenizer.ends)
    with torch.no_grad():
        found = token_log_probs(policy.weights, policy.architecture, prompts_PL, drawn.tokens_RT)
    for ours, theirs in zip((drawn.log_probs_RT, drawn.entropy_RT), found, strict=True):
        torch.testing.assert_close(ours[mask_RT], theirs[mask_RT], atol=1e-4, rtol=0)


def test_the_model_adds_and_does_not_multiply_large_numbers(base, policy):
    """Greedy answers behind the scale's worked lines: sane, so tokens, ends and answers are read rightly."""
    _, task = base
    solved = {}
    for kind in ("1+1", "2*2"):
        drawn = list(type(task)([kind], task.examples).draw(32, "train", numpy_stream("greedy", kind)))
        made = sample(
            policy.weights,
            policy.architecture,
            policy.tokenizer.prompts([text for text, _ in drawn]),
            group_size=1,
            max_new_tokens=7,
            temperature=1.0,
            top_p=1e-9,
            generator=torch_stream("greedy"),
            ends=policy.tokenizer.ends,
        )
        texts = policy.tokenizer.texts(made.tokens_RT)
        solved[kind] = sum(task.is_correct(t, a) for t, (_, a) in zip(texts, drawn, strict=True)) / 32
    assert solved["1+1"] > 0.7 and solved["2*2"] < 0.2, solved
