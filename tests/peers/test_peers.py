"""Objectives and sampler against the code of TRL and transformers, on the same batch (`make setup-peers`)."""

from functools import partial

import pytest
import torch

pytest.importorskip("trl", reason="minutes, with TRL: make test-scale")

from asymre import objectives
from asymre.engines.local.engine import token_log_probs
from asymre.engines.local.policy import save_policy
from asymre.engines.local.rollouts import problem_arrays
from asymre.engines.local.sampling import sample
from asymre.engines.local.tokenizer import END_ID, generated_mask
from asymre.training.normalisation import normalise
from benchmarks import peers
from examples import trl_asymre

GROUP, NEW_TOKENS = 4, 10


@pytest.fixture
def batch(any_architecture, make_weights, problems, tmp_path):
    """A policy folder, and completions of another policy with rewards: an off-policy batch."""
    behaviour = make_weights(any_architecture, seed=1)
    policy = make_weights(any_architecture, seed=1)
    generator = torch.Generator().manual_seed(2)
    policy = {n: w + 0.02 * torch.randn(w.shape, generator=generator) for n, w in policy.items()}
    save_policy(tmp_path, any_architecture, policy)
    prompts_PL = problem_arrays(problems.slice(0, 6))[0]
    completions = sample(
        behaviour,
        any_architecture,
        prompts_PL,
        group_size=GROUP,
        max_new_tokens=NEW_TOKENS,
        temperature=1.0,
        top_p=1.0,
        generator=generator,
    )
    rewards_PG = torch.randint(2, (len(prompts_PL), GROUP), generator=generator) * 2.0 - 1
    return tmp_path, policy, prompts_PL, completions, rewards_PG


def same_gradient(one, other, name):
    """Equal to rounding: sums have other orders, and those of keys' biases cancel but for a hundredth."""
    difference = (one - other).abs().max() / other.abs().max()
    assert difference <= 1e-5, f"{name}: {difference:.1e}"


@pytest.fixture
def folder(architecture, make_weights, tmp_path):
    save_policy(tmp_path, architecture, make_weights(architecture, seed=1))
    return tmp_path


def test_grpo_is_that_of_trl(any_architecture, batch, problems):
    folder, policy, prompts_PL, completions, rewards_PG = batch
    grpo, settings = objectives.load("grpo"), {"clip": 0.2}
    advantages_B = grpo.advantages(rewards_PG, settings).flatten()
    mask_BT = generated_mask(completions.tokens_RT)
    assert 0 < (~mask_BT).sum()

    weights = {name: weight.requires_grad_() for name, weight in policy.items()}
    log_probs_BT, _ = token_log_probs(weights, any_architecture, prompts_PL, completions.tokens_RT)
    losses_BT = grpo.token_loss(
        log_probs_BT.masked_fill(~mask_BT, 0.0), completions.log_probs_RT, advantages_B, settings
    )
    loss = normalise(losses_BT, mask_BT, "token_sum", sequences=len(mask_BT), tokens=int(mask_BT.sum()))
    loss.backward()
    ratios = (log_probs_BT - completions.log_probs_RT)[mask_BT].exp()
    assert ((ratios - 1).abs() > 0.2).any(), "nothing is clipped: the test would show nothing"

    trainer = peers.trainer(
        folder, ["1+2="] * len(prompts_PL), group=GROUP, new_tokens=NEW_TOKENS, epsilon=0.2
    )
    prompts_BL = prompts_PL.repeat_interleave(GROUP, dim=0)
    theirs = trainer._compute_loss(
        trainer.model,
        {
            "prompt_ids": prompts_BL,
            "prompt_mask": torch.ones_like(prompts_BL),
            "completion_ids": completions.tokens_RT,
            "completion_mask": mask_BT.long(),
            "advantages": advantages_B,
            "old_per_token_logps": completions.log_probs_RT,
        },
    )
    # dr_grpo divides by the length that it may have: a constant.
    (theirs * NEW_TOKENS).backward()
    torch.testing.assert_close(theirs.detach() * NEW_TOKENS, loss.detach(), rtol=1e-6, atol=1e-6)
    gradients = {name: p.grad for name, p in trainer.model.named_parameters()}
    for name, weight in weights.items():
        same_gradient(weight.grad, gradients[name], name)


def test_sampled_log_probabilities_are_those_of_generate(any_architecture, batch):
    folder, policy, prompts_PL, _, _ = batch
    tokens_BT, logits_BTV = peers.generate(
        peers.model(folder), prompts_PL, group=GROUP, new_tokens=NEW_TOKENS, end=END_ID
    )
    mask_BT = generated_mask(tokens_BT)
    theirs = logits_BTV.log_softmax(-1).gather(2, tokens_BT[:, :, None])[:, :, 0]
    ours, _ = token_log_probs(policy, any_architecture, prompts_PL, tokens_BT)
    torch.testing.assert_close(ours[mask_BT], theirs[mask_BT], rtol=1e-5, atol=1e-5)


def test_a_sample_s_log_probabilities_are_those_of_transformers(any_architecture, batch, make_weights):
    _, _, prompts_PL, completions, _ = batch
    folder = batch[0] / "behaviour"
    save_policy(folder, any_architecture, make_weights(any_architecture, seed=1))
    prompts_BL = prompts_PL.repeat_interleave(GROUP, dim=0)
    with torch.no_grad():
        logits = peers.model(folder)(torch.cat([prompts_BL, completions.tokens_RT], dim=1)).logits
    own = logits[:, prompts_BL.shape[1] - 1 : -1].log_softmax(-1)
    theirs = own.gather(2, completions.tokens_RT[:, :, None])[:, :, 0]
    mask_BT = generated_mask(completions.tokens_RT)
    torch.testing.assert_close(completions.log_probs_RT[mask_BT], theirs[mask_BT], rtol=1e-5, atol=1e-5)


def example(folder, prompts, tapered=False, **more):
    """The example's trainer on a policy folder."""
    settings = {"scale_rewards": "none"} | more
    own = partial(trl_asymre.AsymRETrainer, delta_v=-0.1, tapered=tapered)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(peers, "GRPOTrainer", own)
        return peers.trainer(folder, prompts, group=GROUP, new_tokens=NEW_TOKENS, **settings)


@pytest.mark.parametrize(
    "objective, micro_batches", [("asymre", 1), ("asymre", 2), ("asymre_tapered", 1), ("asymre_tapered", 2)]
)
def test_the_example_s_loss_and_gradient_are_ours(any_architecture, batch, objective, micro_batches):
    folder, policy, prompts_PL, completions, rewards_PG = batch
    asymre, settings = objectives.load(objective), {"delta_v": -0.1}
    mask_BT = generated_mask(completions.tokens_RT)
    weights = {name: weight.requires_grad_() for name, weight in policy.items()}
    log_probs_BT, _ = token_log_probs(weights, any_architecture, prompts_PL, completions.tokens_RT)
    advantages_B = asymre.advantages(rewards_PG, settings).flatten()
    padded_BT = log_probs_BT.masked_fill(~mask_BT, 0.0)
    losses_BT = asymre.token_loss(padded_BT, completions.log_probs_RT, advantages_B, settings)
    loss = normalise(losses_BT, mask_BT, "token_sum", sequences=len(mask_BT), tokens=int(mask_BT.sum()))
    loss.backward()

    trainer = example(folder, ["1+2="] * len(prompts_PL), tapered=objective == "asymre_tapered")
    trainer.current_gradient_accumulation_steps = micro_batches
    prompts_BL = prompts_PL.repeat_interleave(GROUP, dim=0)
    inputs = {
        "prompt_ids": prompts_BL,
        "prompt_mask": torch.ones_like(prompts_BL),
        "completion_ids": completions.tokens_RT,
        "completion_mask": mask_BT.long(),
        # What GRPOTrainer makes of rewards with scale_rewards="none".
        "advantages": (rewards_PG - rewards_PG.mean(dim=1, keepdim=True)).flatten(),
        # Of the behaviour policy: used by the taper alone.
        "old_per_token_logps": completions.log_probs_RT,
    }
    rows = len(mask_BT) // micro_batches
    theirs = 0.0
    for first in range(0, len(mask_BT), rows):
        part = trainer.compute_loss(trainer.model, {k: v[first : first + rows] for k, v in inputs.items()})
        part.backward()
        theirs += part.detach()
    torch.testing.assert_close(theirs, loss.detach(), rtol=1e-6, atol=1e-6)
    for name, parameter in trainer.model.named_parameters():
        same_gradient(parameter.grad, weights[name].grad, name)


def test_the_example_refreshes_its_behaviour_policy_every_n_steps(folder):
    size = {"steps": 7, "steps_per_generation": 3, "per_device_train_batch_size": 2 * GROUP}
    trainer = example(folder, [f"{i}+2=" for i in range(6)], **size)
    advantages, generated = [], []
    generate, compute_loss = trainer._generate_and_score_completions, trainer.compute_loss
    trainer._generate_and_score_completions = lambda inputs: generated.append(len(inputs)) or generate(inputs)
    trainer.compute_loss = lambda model, inputs, **more: (
        advantages.append(inputs["advantages"]) or compute_loss(model, inputs, **more)
    )
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.train()
    # Seven steps of 2 prompts x 4 completions; rollouts are always of three.
    assert generated == [3 * 2 * GROUP] * 3 and len(advantages) == 7
    assert any((p - q).abs().max() > 0 for p, q in zip(before, trainer.model.parameters(), strict=True))
    # A step's completions are drawn from all groups of its cycle; over the cycle r - V_mu is 0 on average.
    for first in (0, 3):
        assert torch.cat(advantages[first : first + 3]).mean().abs() < 1e-6


@pytest.mark.parametrize(
    "setting, needed",
    [({"scale_rewards": "group"}, "='none'"), ({"num_iterations": 2}, "=1"), ({"beta": 0.1}, "=0.0")],
)
def test_the_example_refuses_what_is_another_algorithm(folder, setting, needed):
    with pytest.raises(ValueError, match=f"set {next(iter(setting))}{needed}"):
        example(folder, ["1+2="], **setting)


def test_the_example_s_reward_takes_the_last_number():
    completions = [[{"content": text}] for text in ("3, so 1,072.", "72", "nothing", "72 or 7")]
    answer = ["a <<1+2=3>>\n#### 1,072", "#### 72", "#### 72", "#### 72"]
    assert trl_asymre.reward(completions, answer) == [1.0, 1.0, -1.0, -1.0]
