"""The objectives against hand computation, finite differences, identities and the real TRL."""

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asymre.objectives import asymre, asymre_kl, asymre_tapered, asymre_tis, grpo, load, positives_only, topr
from asymre.objectives._entry import objectives
from asymre.training.normalisation import normalise

HOWS = ["token_sum", "token_mean", "sequence_mean"]
SETTINGS = {"delta_v": -0.1, "clip": 0.2}
TRL = json.loads((Path(__file__).parent / "reference" / "grpo_trl.json").read_text())

derandomised = settings(derandomize=True, deadline=None)
groups = st.integers(2, 8).flatmap(
    lambda samples: st.lists(
        st.lists(st.sampled_from([-1.0, 0.0, 0.25, 1.0]), min_size=samples, max_size=samples),
        min_size=1,
        max_size=4,
    )
)


def double(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def assert_close(actual, expected, tolerance=1e-12):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def random_batch(lengths, width, seed=0):
    """log pi, log mu [B, T], advantages [B] and mask [B, T] of sequences with these lengths."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), width)
    behaviour_BT = -4 - 3 * torch.rand(shape, generator=generator, dtype=torch.float64)
    log_probs_BT = behaviour_BT + 0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)
    advantages_B = torch.randn(len(lengths), generator=generator, dtype=torch.float64)
    return log_probs_BT, behaviour_BT, advantages_B, mask_of(lengths, width)


def mask_of(lengths, width):
    return torch.arange(width) < torch.tensor(lengths)[:, None]


def loss_and_gradient(objective, how, batch, micro_batch=None):
    """The loss of a batch, accumulated over micro-batches, and its gradient in log pi."""
    leaf_BT = batch[0].clone().requires_grad_()
    tensors = (leaf_BT, *batch[1:])
    size = micro_batch or len(leaf_BT)
    total = 0.0
    for parts in zip(*(tensor.split(size) for tensor in tensors), strict=True):
        *inputs, mask_BT = parts
        loss = normalise(
            objective.token_loss(*inputs, SETTINGS),
            mask_BT,
            how,
            sequences=len(leaf_BT),
            tokens=int(batch[3].sum()),
        )
        loss.backward()
        total += loss.detach()
    return total, leaf_BT.grad


# The update of a group


@pytest.mark.parametrize("delta_v", [-0.5, 0.0, 0.2])
def test_the_expected_update_of_a_group_is_a_covariance_and_a_pull_to_mu(delta_v):
    """(G - 1) / G Cov_mu(r, grad log pi) - delta_v E_mu[grad log pi], over all groups of a tabular prompt.

    The second is -delta_v times minus the gradient of KL(mu || pi). Dividing by (G - 1) / G, delta_v counts
    G / (G - 1) times: the mean of the group takes part of a sample's own reward away.
    """
    mu, rewards, group = double([0.5, 0.3, 0.2]), double([1.0, -1.0, -1.0]), 3
    logits = double([0.3, -0.4, 1.0])
    # grad log pi(a) of each answer a in the logits [A, A].
    scores_AA = torch.eye(3, dtype=torch.float64) - logits.softmax(0)
    expected = torch.zeros(3, dtype=torch.float64)
    for answers in itertools.product(range(3), repeat=group):
        own = rewards[list(answers)][None]
        weights = asymre.advantages(own, {"delta_v": delta_v})[0]
        expected += mu[list(answers)].prod() * (weights[:, None] * scores_AA[list(answers)]).mean(0)
    mean_score = mu @ scores_AA
    covariance = (mu * rewards) @ scores_AA - (mu @ rewards) * mean_score
    assert_close(expected, (group - 1) / group * covariance - delta_v * mean_score)

    leaf = logits.clone().requires_grad_()
    (mu * (mu.log() - leaf.log_softmax(0))).sum().backward()
    assert_close(mean_score, -leaf.grad)
    # Groups of one reward have the second term alone: at delta_v = 0 nothing.
    same = asymre.advantages(double([[1.0] * group]), {"delta_v": delta_v})
    assert_close(same, torch.full_like(same, -delta_v))


@pytest.mark.parametrize(
    "name, weight", [("asymre", 1.0), ("asymre_anchor_half", 0.5), ("asymre_anchor_0", 0.0)]
)
def test_groups_of_one_reward_keep_this_weight_and_others_all_of_it(name, weight):
    rewards = double([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    found = load(name).advantages(rewards, {"delta_v": -0.1})
    assert_close(found, double([[0.1 * weight] * 2, [0.1 * weight] * 2, [1.1, -0.9]]))


def test_of_two_tapers_each_weighs_its_own_sign():
    log_probs_BT, behaviour_BT, advantages_B, mask_BT = random_batch([3, 2, 4, 1], 4)
    batch = [tensor.masked_fill(~mask_BT, 0.0) for tensor in (log_probs_BT, behaviour_BT)]
    plain, negatives, positives, both = (
        load(name).token_loss(*batch, advantages_B, SETTINGS | {"truncation": 1.0})
        for name in ("asymre", "asymre_tapered", "asymre_tapered_positives", "asymre_tis")
    )
    above = (advantages_B > 0)[:, None]
    assert above.any() and not above.all()
    assert_close(negatives, plain.where(above, both))
    assert_close(positives, both.where(above, plain))


# Loading


def test_load_returns_the_named_module():
    assert load("asymre") is asymre
    assert load("grpo") is grpo


def test_the_package_imports_no_objective():
    # The workflow hashes the code that a run imports: AsymRE must not depend on GRPO's file.
    code = "import sys, asymre.objectives as o; print([m for m in sys.modules if o.__name__ in m])"
    root = Path(__file__).parents[2]
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    assert printed.strip() == "['asymre.objectives']"


@pytest.mark.parametrize("name", objectives())
def test_an_objective_says_whether_it_takes_a_ratio(name):
    objective, own = load(name), {"delta_v": -0.1, "clip": 0.2, "beta": 0.5, "truncation": 2.0}
    log_probs_BT, behaviour_BT, advantages_B, _ = random_batch([5] * 6, 5)
    mus = (behaviour_BT, behaviour_BT + 1)
    losses = [objective.token_loss(log_probs_BT, mu, advantages_B, own) for mu in mus]
    assert (not torch.equal(*losses)) == objectives()[name].takes_ratio


# AsymRE


def test_asymre_advantages_by_hand():
    rewards_PG = double([[1, -1, -1, -1], [1, 1, 1, -1]])
    expected_PG = double([[1.6, -0.4, -0.4, -0.4], [0.6, 0.6, 0.6, -1.4]])
    assert_close(asymre.advantages(rewards_PG, {"delta_v": -0.1}), expected_PG)


@pytest.mark.parametrize("reward", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("delta_v", [-0.5, -0.1, 0.3])
def test_asymre_keeps_groups_of_one_reward(reward, delta_v):
    rewards_PG = torch.full((2, 8), reward)
    expected_PG = torch.full((2, 8), -delta_v)
    assert torch.equal(asymre.advantages(rewards_PG, {"delta_v": delta_v}), expected_PG)


@given(rewards=groups, delta_v=st.floats(-1, 1), scale=st.floats(0.1, 10), shift=st.floats(-5, 5))
@derandomised
def test_asymre_advantages_follow_the_reward_scale(rewards, delta_v, scale, shift):
    rewards_PG = double(rewards)
    base_PG = asymre.advantages(rewards_PG, {"delta_v": delta_v})
    rescaled_PG = asymre.advantages(scale * rewards_PG + shift, {"delta_v": scale * delta_v})
    assert_close(rescaled_PG, scale * base_PG)
    mean_P = base_PG.mean(dim=1)
    assert_close(mean_P, torch.full_like(mean_P, -delta_v))


def test_asymre_token_loss_by_hand():
    log_probs_BT = double([[-1.0, -2.0], [-0.5, -3.0]]).requires_grad_()
    loss_BT = asymre.token_loss(log_probs_BT, torch.zeros(2, 2), double([1.5, -0.5]), SETTINGS)
    assert_close(loss_BT.detach(), double([[1.5, 3.0], [-0.25, -1.5]]))
    loss_BT.sum().backward()
    assert_close(log_probs_BT.grad, double([[-1.5, -1.5], [0.5, 0.5]]))


def test_asymre_has_no_importance_weights():
    log_probs_BT, behaviour_BT, advantages_B, _ = random_batch([4, 4], 4)
    near_BT = asymre.token_loss(log_probs_BT, log_probs_BT, advantages_B, SETTINGS)
    far_BT = asymre.token_loss(log_probs_BT, behaviour_BT - 3, advantages_B, SETTINGS)
    assert torch.equal(near_BT, far_BT)


@given(rewards=groups, delta_v=st.floats(-2, -0.01), seed=st.integers(0, 1000))
@derandomised
def test_asymre_gradient_identity(rewards, delta_v, seed):
    """grad(delta_v) = grad(0) + |delta_v| grad E_mu[log pi], of ascent on Eq. 4.

    A group of one reward is always there: without it, its part of the second term is missing.
    """
    generator = torch.Generator().manual_seed(seed)
    rewards_PG = double([*rewards, [1.0] * len(rewards[0])])
    sequences, width, vocabulary = rewards_PG.numel(), 5, 7
    lengths = torch.randint(1, width + 1, (sequences,), generator=generator)
    mask_BT = mask_of(lengths.tolist(), width)
    tokens_BT = torch.randint(vocabulary, (sequences, width), generator=generator)
    logits_TV = torch.randn(width, vocabulary, generator=generator, dtype=torch.float64)
    logits_TV.requires_grad_()

    def log_probs():
        log_probs_BTV = logits_TV.log_softmax(-1).expand(sequences, -1, -1)
        return log_probs_BTV.gather(-1, tokens_BT[..., None]).squeeze(-1)

    def ascent(delta):
        advantages_B = asymre.advantages(rewards_PG, {"delta_v": delta}).flatten()
        loss_BT = asymre.token_loss(log_probs(), torch.zeros(()), advantages_B, {})
        loss = normalise(loss_BT, mask_BT, "token_sum", sequences=sequences, tokens=int(mask_BT.sum()))
        return -torch.autograd.grad(loss, logits_TV)[0]

    mean_log_prob = (log_probs() * mask_BT).sum(dim=1).mean()
    (pull_TV,) = torch.autograd.grad(mean_log_prob, logits_TV)
    assert_close(ascent(delta_v), ascent(0.0) + abs(delta_v) * pull_TV)


# GRPO


def test_grpo_advantages_by_hand():
    rewards_PG = double([[1, -1, 1, -1], [1, 1, 1, 1], [0, 0, 0, 1]])
    # Unbiased variances 4/3, 0 and 1/4.
    first, last = 1 / ((4 / 3) ** 0.5 + 1e-4), 1 / (0.5 + 1e-4)
    expected_PG = double([[first, -first, first, -first], [0, 0, 0, 0], [-last / 4] * 3 + [last * 3 / 4]])
    assert_close(grpo.advantages(rewards_PG, {}), expected_PG)


@pytest.mark.parametrize(
    ("ratio", "advantage", "objective", "slope"),
    [
        # `slope` is that of the objective in log pi: ratio * A, or 0 where clipped.
        (1.5, 2.0, 2.4, 0.0),
        (1.1, 2.0, 2.2, 2.2),
        (1.0, 2.0, 2.0, 2.0),
        (0.9, 2.0, 1.8, 1.8),
        (0.5, 2.0, 1.0, 1.0),
        (1.5, -2.0, -3.0, -3.0),
        (1.1, -2.0, -2.2, -2.2),
        (1.0, -2.0, -2.0, -2.0),
        (0.9, -2.0, -1.8, -1.8),
        (0.5, -2.0, -1.6, 0.0),
    ],
)
def test_grpo_clip_regions(ratio, advantage, objective, slope):
    behaviour_BT = double([[-3.0]])
    log_probs_BT = (behaviour_BT + double(ratio).log()).requires_grad_()
    loss_BT = grpo.token_loss(log_probs_BT, behaviour_BT, double([advantage]), {"clip": 0.2})
    assert_close(loss_BT.detach(), double([[-objective]]))
    loss_BT.sum().backward()
    assert_close(log_probs_BT.grad, double([[-slope]]))


@given(seed=st.integers(0, 1000))
@derandomised
def test_grpo_without_clipping_weighs_asymre_by_the_ratio(seed):
    batch = random_batch([5, 5, 5], 5, seed)
    log_probs_BT, behaviour_BT, advantages_B, _ = batch
    leaf_BT = log_probs_BT.clone().requires_grad_()
    grpo.token_loss(leaf_BT, behaviour_BT, advantages_B, {"clip": 1e9}).sum().backward()
    _, asymre_gradient_BT = loss_and_gradient(asymre, "token_mean", batch)
    ratio_BT = (log_probs_BT - behaviour_BT).exp()
    assert_close(leaf_BT.grad, 15 * asymre_gradient_BT * ratio_BT)


# log pi, log mu of three sequences of two tokens: pi/mu of a sequence is 4, 1 and 1/4.
PI_BT = [[-1.0, -2.0], [-0.5, -0.5], [-3.0, -1.0]]
MU_BT = [[-1.0 - math.log(2), -2.0 - math.log(2)], [-0.25, -0.75], [-3.0 + math.log(4), -1.0]]


def loss_of(objective, advantages, settings, pi=PI_BT, mu=MU_BT):
    """Token losses, and the gradient of their sum in log pi."""
    leaf_BT = double(pi).requires_grad_()
    loss_BT = objective.token_loss(leaf_BT, double(mu), double(advantages), settings)
    loss_BT.sum().backward()
    return loss_BT.detach(), leaf_BT.grad


@pytest.mark.parametrize(
    ("truncation", "weights"), [(1, [1, 1, 0.25]), (2, [2, 1, 0.25]), (10, [4, 1, 0.25]), (0.1, [0.1] * 3)]
)
def test_asymre_tis_by_hand(truncation, weights):
    loss_BT, gradient_BT = loss_of(asymre_tis, [1, -2, 3], {"truncation": truncation})
    expected = -double(weights) * double([1, -2, 3])
    assert_close(gradient_BT, expected[:, None].expand(3, 2))
    assert_close(loss_BT, expected[:, None] * double(PI_BT))


def test_asymre_tapered_by_hand():
    """The weights of PI_BT over MU_BT are 4, 1 and 1/4."""
    for signs, weights in (([1, -2, 3], [1, 1, 1]), ([-1, 2, -3], [1, 1, 0.25])):
        loss_BT, gradient_BT = loss_of(asymre_tapered, signs, {})
        expected = -double(weights) * double(signs)
        assert_close(gradient_BT, expected[:, None].expand(3, 2))
        assert_close(loss_BT, expected[:, None] * double(PI_BT))


def test_asymre_tapered_of_the_rewards_is_topr():
    for own, other in zip(
        loss_of(asymre_tapered, [-1, 2, -3], {}), loss_of(topr, [-1, 2, -3], {}), strict=True
    ):
        assert_close(own, other)


def test_asymre_tis_without_truncation_is_the_gradient_of_the_importance_sampled_reward():
    leaf_BT = double(PI_BT).requires_grad_()
    ratio_B = (leaf_BT - double(MU_BT)).sum(1).exp()
    (-ratio_B * double([1, -2, 3])).sum().backward()
    _, gradient_BT = loss_of(asymre_tis, [1, -2, 3], {"truncation": 1e9})
    assert_close(gradient_BT, leaf_BT.grad)


def test_asymre_kl_by_hand():
    loss_BT, gradient_BT = loss_of(asymre_kl, [1, -2, 3], {"beta": 0.5})
    log2, log4 = math.log(2), math.log(4)
    rho = double([[2, 2], [math.exp(-0.25), math.exp(0.25)], [0.25, 1]])
    log_rho = double([[log2, log2], [-0.25, 0.25], [-log4, 0]])
    reinforce_BT = -double([1, -2, 3])[:, None] * double(PI_BT)
    assert_close(loss_BT, reinforce_BT + 0.5 * (rho * log_rho - rho + 1))
    assert_close(gradient_BT, -double([1, -2, 3])[:, None] + 0.5 * rho * log_rho)


@pytest.mark.parametrize("seed", range(3))
def test_the_penalty_of_asymre_kl_is_the_reverse_kl_on_average(seed):
    """Summed over all tokens with their probability under mu, and its gradient likewise."""
    logits = torch.randn(2, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    pi_logits, log_mu = logits[0].requires_grad_(), logits[1].log_softmax(-1)
    log_pi = pi_logits.log_softmax(-1)
    penalty = asymre_kl.token_loss(log_pi[:, None], log_mu[:, None], torch.zeros(6), {"beta": 1.0})[:, 0]
    mean = (log_mu.exp() * penalty).sum()
    reverse_kl = (log_pi.exp() * (log_pi - log_mu)).sum()
    assert_close(mean.detach(), reverse_kl.detach())
    gradients = [torch.autograd.grad(x, pi_logits, retain_graph=True)[0] for x in (mean, reverse_kl)]
    assert_close(*gradients)


def test_topr_by_hand():
    rewards_PG = double([[1, -1], [0, -2]])
    assert torch.equal(topr.advantages(rewards_PG, {}), rewards_PG)
    _, gradient_BT = loss_of(topr, [-1, -1, -1], {})
    assert_close(gradient_BT, double([[1, 1], [1, 1], [0.25, 0.25]]))
    loss_BT, gradient_BT = loss_of(topr, [1, 2, 3], {})
    assert_close(gradient_BT, -double([[1, 1], [2, 2], [3, 3]]))
    assert_close(loss_BT, -double([1, 2, 3])[:, None] * double(PI_BT))


def test_positives_only_by_hand():
    assert_close(positives_only.advantages(double([[1, -1], [-1, 1]]), {}), double([[1, 0], [0, 1]]))
    _, gradient_BT = loss_of(positives_only, [1, 0, 2], {})
    assert_close(gradient_BT, -double([[1, 1], [0, 0], [2, 2]]))


# --- which objective is which, in a special case (the table of docs/objectives.md) ---


@pytest.mark.parametrize(
    "objective,settings",
    [
        (asymre_tis, {"truncation": 1}),
        (asymre_tapered, {}),
        (asymre_kl, {"beta": 0.7}),
        (grpo, {"clip": 0.2}),
    ],
)
def test_on_policy_the_gradient_is_that_of_asymre(objective, settings):
    """With equal advantages: where pi is mu, weights are one and the KL is at its minimum."""
    _, gradient_BT = loss_of(objective, [1, -2, 3], settings, mu=PI_BT)
    assert_close(gradient_BT, loss_of(asymre, [1, -2, 3], {}, mu=PI_BT)[1])


def test_asymre_kl_without_penalty_is_asymre():
    for own, other in zip(
        loss_of(asymre_kl, [1, -2, 3], {"beta": 0}), loss_of(asymre, [1, -2, 3], {}), strict=True
    ):
        assert_close(own, other)


@given(rewards=groups, delta_v=st.floats(-1, 1), beta=st.floats(0, 1))
@derandomised
def test_a_penalty_on_the_forward_kl_is_a_shift_of_delta_v(rewards, delta_v, beta):
    """-beta E_mu[log pi] added to the loss, and AsymRE at delta_v - beta."""
    rewards_PG = double(rewards)
    penalised, shifted = (
        asymre.advantages(rewards_PG, {"delta_v": v}).flatten() for v in (delta_v, delta_v - beta)
    )
    log_probs_BT = -torch.arange(1.0, 1 + 2 * len(penalised), dtype=torch.float64).view(-1, 2)
    with_penalty = asymre.token_loss(log_probs_BT, None, penalised, {}) - beta * log_probs_BT
    assert_close(with_penalty, asymre.token_loss(log_probs_BT, None, shifted, {}), 1e-9)


def test_topr_with_rewards_0_and_1_is_positives_only_and_asymre_with_baseline_0():
    rewards_PG = double([[0, 1, 1, 0], [1, 1, 1, 0]])
    of_topr, of_positives = topr.advantages(rewards_PG, {}), positives_only.advantages(rewards_PG, {})
    assert_close(of_topr, of_positives)
    for group_G, advantages_G in zip(rewards_PG, of_positives, strict=True):
        baseline_0 = asymre.advantages(group_G[None], {"delta_v": -group_G.mean()})
        assert_close(baseline_0[0], advantages_G)
    assert_close(loss_of(topr, [0, 1, 1], {})[1], loss_of(positives_only, [0, 1, 1], {})[1])


def test_topr_on_policy_is_asymre_with_baseline_0():
    rewards_PG = double([[1, -1, -1]])
    advantages_PG = asymre.advantages(rewards_PG, {"delta_v": -rewards_PG.mean()})
    _, expected_BT = loss_of(asymre, advantages_PG[0].tolist(), {}, mu=PI_BT)
    assert_close(loss_of(topr, rewards_PG[0].tolist(), {}, mu=PI_BT)[1], expected_BT)


@pytest.mark.parametrize("objective", [asymre, grpo, asymre_tis, asymre_kl])
def test_a_group_of_one_is_refused(objective):
    with pytest.raises(ValueError, match="at least 2 samples a prompt: .* group of 1"):
        objective.advantages(torch.ones(3, 1), SETTINGS)


# Normalisation


@pytest.mark.parametrize(
    ("how", "expected"), [("token_sum", 21 / 3), ("token_mean", 21 / 4), ("sequence_mean", 13 / 3)]
)
def test_normalise_by_hand(how, expected):
    # Token sums 12, 9 and 0; token means 4, 9 and 0; 100 stands on padding.
    loss_BT = double([[3, 4, 5], [9, 100, 100], [100, 100, 100]])
    result = normalise(loss_BT, mask_of([3, 1, 0], 3), how, sequences=3, tokens=4)
    assert_close(result, double(expected))


@pytest.mark.parametrize("how", HOWS)
def test_a_batch_without_tokens_has_no_loss_and_no_gradient(how):
    loss_BT = torch.full((2, 3), torch.inf, requires_grad=True)
    mask_BT = torch.zeros(2, 3, dtype=torch.bool)
    loss = normalise(loss_BT, mask_BT, how, sequences=2, tokens=0)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(loss_BT.grad, torch.zeros(2, 3))


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(ValueError, match="'mean'"):
        normalise(torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool), "mean", sequences=1, tokens=1)


@pytest.mark.parametrize("objective", [asymre, grpo])
@pytest.mark.parametrize("how", HOWS)
@given(lengths=st.lists(st.integers(0, 6), min_size=2, max_size=9), micro_batch=st.integers(1, 8))
@derandomised
def test_micro_batches_add_up_to_the_batch(objective, how, lengths, micro_batch):
    batch = random_batch(lengths, 6)
    whole = loss_and_gradient(objective, how, batch)
    accumulated = loss_and_gradient(objective, how, batch, micro_batch)
    assert_close(accumulated, whole)


@pytest.mark.parametrize("objective", [asymre, grpo])
@pytest.mark.parametrize("how", HOWS)
@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=5), seed=st.integers(0, 1000))
@derandomised
def test_padding_changes_nothing(objective, how, lengths, seed):
    log_probs_BT, behaviour_BT, advantages_B, mask_BT = random_batch(lengths, 6)
    loss, gradient_BT = loss_and_gradient(objective, how, (log_probs_BT, behaviour_BT, advantages_B, mask_BT))
    # Other values on padding, and three more columns of it.
    other_log_probs_BT, other_behaviour_BT, _, wide_mask_BT = random_batch(lengths, 9, seed + 1)
    other_log_probs_BT[wide_mask_BT] = log_probs_BT[mask_BT]
    other_behaviour_BT[wide_mask_BT] = behaviour_BT[mask_BT]
    wide_loss, wide_gradient_BT = loss_and_gradient(
        objective, how, (other_log_probs_BT, other_behaviour_BT, advantages_B, wide_mask_BT)
    )
    assert_close(wide_loss, loss)
    assert_close(wide_gradient_BT[wide_mask_BT], gradient_BT[mask_BT])
    assert not wide_gradient_BT[~wide_mask_BT].any()


@pytest.mark.parametrize("objective", [asymre, grpo])
@pytest.mark.parametrize("how", HOWS)
def test_gradients_against_finite_differences(objective, how):
    """Through the softmax, as a model's logits see the loss."""
    generator = torch.Generator().manual_seed(3)
    lengths, width, vocabulary = [4, 2, 0, 3], 4, 5
    logits_BTV = torch.randn(4, width, vocabulary, generator=generator, dtype=torch.float64)
    behaviour_BTV = logits_BTV + torch.randn(logits_BTV.shape, generator=generator)
    tokens_BT1 = torch.randint(vocabulary, (4, width, 1), generator=generator)
    rewards_PG = double([[1, -1], [0.5, 1]])
    advantages_B = objective.advantages(rewards_PG, SETTINGS).flatten()

    def log_probs(logits_BTV):
        return logits_BTV.log_softmax(-1).gather(-1, tokens_BT1).squeeze(-1)

    def loss(logits_BTV):
        loss_BT = objective.token_loss(
            log_probs(logits_BTV), log_probs(behaviour_BTV), advantages_B, SETTINGS
        )
        return normalise(loss_BT, mask_of(lengths, width), how, sequences=4, tokens=sum(lengths))

    assert torch.autograd.gradcheck(loss, logits_BTV.requires_grad_(), eps=1e-6, atol=1e-8)


# The real TRL (tests/reference/grpo_trl.py)


@pytest.mark.parametrize("case", TRL["cases"].values(), ids=TRL["cases"].keys())
def test_grpo_advantages_equal_trl(case):
    # TRL computes them in float32.
    advantages_PG = grpo.advantages(torch.tensor(case["rewards_PG"], dtype=torch.float32), {})
    assert_close(advantages_PG.flatten(), torch.tensor(case["advantages_B"]), 1e-6)


@pytest.mark.parametrize("case", TRL["cases"].values(), ids=TRL["cases"].keys())
@pytest.mark.parametrize(
    ("trl_loss", "how", "divisor"),
    [
        ("grpo", "sequence_mean", 1),
        ("bnpo", "token_mean", 1),
        # Dr. GRPO divides the token sum by the longest completion that is allowed as well.
        ("dr_grpo", "token_sum", TRL["max_completion_length"]),
    ],
)
def test_grpo_loss_and_gradient_equal_trl(case, trl_loss, how, divisor):
    assert TRL["clip"] == SETTINGS["clip"]
    names = ("log_probs_BT", "behaviour_log_probs_BT", "advantages_B")
    batch = [double(case[name]) for name in names] + [torch.tensor(case["mask_BT"]).bool()]
    loss, gradient_BT = loss_and_gradient(grpo, how, batch)
    stored = case["trl"][trl_loss]
    assert_close(loss / divisor, double(stored["loss"]))
    assert_close(gradient_BT / divisor, double(stored["gradient_BT"]))


def test_trl_cases_reach_every_clip_region():
    regions = set()
    for case in TRL["cases"].values():
        mask_BT = torch.tensor(case["mask_BT"]).bool()
        ratio_BT = (double(case["log_probs_BT"]) - double(case["behaviour_log_probs_BT"])).exp()
        side_BT = (ratio_BT > 1.2).int() - (ratio_BT < 0.8).int()
        sign_BT = double(case["advantages_B"]).sign().int()[:, None].expand_as(side_BT)
        regions |= set(zip(side_BT[mask_BT].tolist(), sign_BT[mask_BT].tolist(), strict=True))
    assert regions == {(side, sign) for side in (-1, 0, 1) for sign in (-1, 0, 1)}
