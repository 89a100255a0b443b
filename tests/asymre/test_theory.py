import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymre.bandit import simulation, theory

SETTINGS = settings(deadline=None, derandomize=True, max_examples=200)

HAND_MU = np.array([0.3, 0.6, 0.1])
HAND_REWARDS = np.array([0.0, 0.8, 1.0])


def random_instances(seed, n, arms):
    generator = np.random.default_rng(seed)
    mu = generator.dirichlet(np.ones(arms), size=n) + 1e-3
    return mu / mu.sum(-1, keepdims=True), generator.random((n, arms)), generator


@st.composite
def bandits(draw, max_arms=6):
    """mu, rewards, and an offset of V from V_mu that is not within rounding of it."""
    arms = draw(st.integers(2, max_arms))
    weights = draw(st.lists(st.integers(1, 1000), min_size=arms, max_size=arms))
    rewards = draw(st.lists(st.integers(-50, 50), min_size=arms, max_size=arms))
    offset = draw(st.floats(1e-3, 10))
    return np.array(weights) / sum(weights), np.array(rewards) / 25, offset


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
@SETTINGS
def test_projection_is_the_closest_distribution(point, seed):
    point = np.array(point)
    projected = theory.project_simplex(point)
    assert (projected >= 0).all()
    assert projected.sum() == pytest.approx(1, abs=1e-9)
    others = np.random.default_rng(seed).dirichlet(np.ones(len(point)), size=50)
    # For a convex set, the projection is the point from which no direction inwards leads closer.
    assert ((others - projected) @ (point - projected)).max() <= 1e-9 * (1 + np.abs(point).max())


def test_projection_of_far_points_keeps_digits():
    points = np.array([1e12, 1e12 + 0.2, 1e12 - 0.1, -1e12])
    gaps = points[:3] - points[0]
    expected = [*(gaps + (1 - gaps.sum()) / 3), 0]
    np.testing.assert_allclose(theory.project_simplex(points), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("baseline", "policy", "end"),
    [
        (-1, (0.1899, 0.6835, 0.1266), 1.0),
        (0, (0, 0.8276, 0.1724), 1.0),
        (0.2, (0, 0.8684, 0.1316), 1.0),
        (0.39, (0, 0.98684, 0.01316), 1.0),
        (0.41, (0, 1, 0), 0.8),
        (0.5, (0, 1, 0), 0.8),
        (0.57, (0, 1, 0), 0.8),
    ],
)
def test_hand_case(baseline, policy, end):
    np.testing.assert_allclose(theory.limit_policy(HAND_MU, HAND_REWARDS, baseline), policy, atol=5e-5)
    _, rewards = theory.improvement_iterates(HAND_MU, HAND_REWARDS, baseline, 400)
    assert rewards[-1] == pytest.approx(end, abs=1e-9)
    assert theory.improvement_limit(HAND_MU, HAND_REWARDS, baseline) == end
    assert theory.is_limit_optimal(HAND_MU, HAND_REWARDS, baseline) == (end == 1)


def test_hand_case_has_threshold_two_fifths():
    assert theory.improvement_threshold(HAND_MU, HAND_REWARDS) == pytest.approx(0.4, abs=1e-12)


def test_limit_below_v_mu_is_where_ascent_ends_whatever_the_start():
    mu, rewards, generator = random_instances(1, 200, 8)
    baseline = theory.value(mu, rewards) - generator.uniform(0.02, 1, 200)
    limit = theory.limit_policy(mu, rewards, baseline)
    # Dividing r and V by b makes learning rate 1 a learning rate of 1 / b for every instance.
    b = theory.value(mu, rewards) - baseline
    points = mu * (rewards - baseline[:, None]) / b[:, None]
    level = points.max(-1) - limit.max(-1)
    separated = np.abs(points - level[:, None]).min(-1) > 1e-3
    assert separated.mean() > 0.8
    for logits in (np.log(mu), generator.normal(size=mu.shape)):
        ascended = simulation.ascend_expected(
            logits, mu, rewards / b[:, None], baseline / b, learning_rate=1.0, steps=20_000
        )
        error = np.abs(simulation.softmax(ascended) - limit).max(-1)
        assert error[separated].max() < 1e-6
        # An arm on the border of the support converges no faster than 1 / time.
        assert error.max() < 1 / 20_000


def test_limit_at_v_mu_is_where_ascent_ends():
    mu, rewards, generator = random_instances(2, 50, 4)
    start = generator.dirichlet(np.ones(4), size=50)
    baseline = theory.value(mu, rewards)
    ascended = simulation.ascend_expected(
        np.log(start), mu, rewards, baseline, learning_rate=10.0, steps=20_000
    )
    limit = theory.limit_policy(mu, rewards, baseline, start)
    np.testing.assert_allclose(simulation.softmax(ascended), limit, atol=1e-6)


def test_ties_at_v_mu_keep_the_ratios_of_the_start():
    mu, rewards, start = [0.25, 0.25, 0.5], [1, 1, 0], [0.1, 0.3, 0.6]
    limit = theory.limit_policy(mu, rewards, 0.5, start)
    np.testing.assert_allclose(limit, [0.25, 0.75, 0], atol=1e-12)
    ascended = simulation.ascend_expected(np.log(start), mu, rewards, 0.5, learning_rate=1.0, steps=1000)
    np.testing.assert_allclose(simulation.softmax(ascended), limit, atol=1e-9)


def test_equal_rewards_at_v_mu_leave_the_start():
    start = [0.2, 0.5, 0.3]
    np.testing.assert_allclose(theory.limit_policy(HAND_MU, np.ones(3), 1.0, start), start)


def test_limit_above_v_mu_is_where_ascent_with_small_steps_ends():
    mu, rewards, generator = random_instances(3, 100, 6)
    start = generator.dirichlet(np.ones(6), size=100)
    baseline = theory.value(mu, rewards) + generator.uniform(0.05, 1, 100)
    limit = theory.limit_policy(mu, rewards, baseline, start)
    ascended = simulation.ascend_expected(
        np.log(start), mu, rewards, baseline, learning_rate=0.05, steps=20_000
    )
    np.testing.assert_array_equal(simulation.softmax(ascended).argmax(-1), limit.argmax(-1))
    assert (limit.argmax(-1) != (mu * (rewards - baseline[:, None])).argmax(-1)).any()
    np.testing.assert_array_equal(np.sort(limit)[:, -1], np.ones(100))


def test_possible_limits_are_those_that_keep_the_mass():
    mu, rewards, generator = random_instances(4, 60, 5)
    baseline = theory.value(mu, rewards) + 10 ** generator.uniform(-2, 0, 60)
    possible = theory.possible_limits(mu, rewards, baseline)
    assert 0.2 < possible.mean() < 0.95
    # Start almost wholly on each arm in turn: (60, arm, arms).
    start = np.full((5, 5), 1e-9) + (1 - 5e-9) * np.eye(5)
    ends = theory.limit_policy(
        mu[:, None], rewards[:, None], baseline[:, None] + np.zeros(5), start[None].repeat(60, 0)
    )
    np.testing.assert_array_equal(np.einsum("iaa->ia", ends) == 1, possible)
    # Where none of the mass stays, another possible arm receives it.
    assert (np.take_along_axis(possible, ends.argmax(-1), axis=-1)).all()


def test_start_between_two_basins_is_refused():
    with pytest.raises(ValueError, match="between two basins"):
        theory.limit_policy([0.5, 0.5], [0, 0], 1.0)


def test_one_arm():
    for baseline in (-1, 0.5, 2):
        assert theory.limit_policy([1.0], [0.5], baseline) == [1]


@given(bandits())
@SETTINGS
def test_below_v_mu_the_limit_is_a_distribution_and_no_worse_than_mu(case):
    mu, rewards, offset = case
    v_mu = theory.value(mu, rewards)
    limit = theory.limit_policy(mu, rewards, v_mu - offset)
    assert (limit >= 0).all()
    assert limit.sum() == pytest.approx(1, abs=1e-9)
    assert theory.value(limit, rewards) >= v_mu - 1e-9


@given(bandits(), st.floats(1e-3, 10))
@SETTINGS
def test_supports_are_nested(case, lower):
    mu, rewards, offset = case
    v_mu = theory.value(mu, rewards)
    wide = theory.limit_policy(mu, rewards, v_mu - offset - lower)
    narrow = theory.limit_policy(mu, rewards, v_mu - offset)
    assert (wide[narrow > 1e-9] > 0).all()


@given(bandits())
@SETTINGS
def test_support_is_full_when_no_reward_is_below_the_baseline(case):
    mu, rewards, offset = case
    baseline = rewards.min() - offset
    limit = theory.limit_policy(mu, rewards, baseline)
    expected = mu * (rewards - baseline) / (theory.value(mu, rewards) - baseline)
    np.testing.assert_allclose(limit, expected, atol=1e-12)
    assert theory.is_limit_optimal(mu, rewards, baseline)


@given(bandits())
@SETTINGS
def test_above_v_mu_the_limit_is_a_possible_arm(case):
    mu, rewards, offset = case
    baseline = theory.value(mu, rewards) + offset
    # Ties in mu and in the rewards can put mu between two basins; this start has none.
    start = mu * np.linspace(1, 1.5, len(mu)) ** np.sqrt(2)
    limit = theory.limit_policy(mu, rewards, baseline, start / start.sum())
    assert theory.possible_limits(mu, rewards, baseline)[limit == 1].tolist() == [True]


@given(bandits())
@SETTINGS
def test_improvement_raises_the_reward_and_each_step_is_a_limit(case):
    mu, rewards, offset = case
    baseline = theory.value(mu, rewards) - offset
    policies, values = theory.improvement_iterates(mu, rewards, baseline, 6)
    assert (np.diff(values) >= -1e-12).all()
    for before, after in zip(policies[:-1], policies[1:], strict=True):
        kept = before > 1e-12
        again = theory.limit_policy(before[kept] / before[kept].sum(), rewards[kept], baseline)
        np.testing.assert_allclose(after[kept], again, atol=1e-9)


def test_improvement_rate():
    policies, _ = theory.improvement_iterates(HAND_MU, HAND_REWARDS, 0.2, 12)
    odds = policies[1:, 1] / policies[1:, 2]
    np.testing.assert_allclose(odds[1:] / odds[:-1], (0.8 - 0.2) / (1 - 0.2))


def test_iteration_reaches_the_best_reward_exactly_below_the_threshold():
    _, _, generator = random_instances(5, 1, 1)
    n, arms = 300, 6
    mu = generator.dirichlet(np.ones(arms), size=n) + 1e-3
    mu /= mu.sum(-1, keepdims=True)
    # Rewards far apart: the iteration settles within the number of iterations.
    rewards = generator.permuted(np.tile(np.linspace(0, 1, arms), (n, 1)), axis=1)
    v_mu, v_0 = theory.value(mu, rewards), theory.improvement_threshold(mu, rewards)
    assert ((v_0 >= 0) & (v_0 <= v_mu)).all()
    below = v_0 - 1e-4
    assert theory.is_limit_optimal(mu, rewards, below).all()
    reached = theory.improvement_iterates(mu, rewards, below, 300)[1][-1]
    np.testing.assert_allclose(reached, 1, atol=1e-6)
    sharp = v_0 + 1e-4 < v_mu - 1e-4
    assert 50 < sharp.sum() < n
    above = mu[sharp], rewards[sharp], v_0[sharp] + 1e-4
    assert not theory.is_limit_optimal(*above).any()
    assert (theory.improvement_iterates(*above, 300)[1][-1] <= 0.8 + 1e-9).all()


def test_threshold_is_v_mu_where_every_lower_baseline_is_optimal():
    mu, rewards = np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([[0.0, 1.0], [0.3, 0.3]])
    v_mu = theory.value(mu, rewards)
    np.testing.assert_array_equal(theory.improvement_threshold(mu, rewards), v_mu)
    assert theory.is_limit_optimal(mu, rewards, v_mu - 1e-6).all()


def test_threshold_counts_any_of_several_best_arms():
    # The last arm has little mass and dies early; its equal has the largest a up to V_mu.
    mu, rewards = [0.3, 0.65, 0.05], [0, 1, 1]
    assert theory.improvement_threshold(mu, rewards) == pytest.approx(0.7)


def test_a_baseline_above_v_mu_can_lose_the_reward_that_one_below_gains():
    mu, rewards = np.array([0.45] * 2 + [0.01] * 10), np.array([0, 0.17] + [1] * 10)
    v_mu = theory.value(mu, rewards)
    assert v_mu == pytest.approx(0.1765)
    below, above = theory.limit_policy(mu, rewards, v_mu + np.array([-0.005, 0.05]))
    assert theory.value(below, rewards) == pytest.approx(1)
    np.testing.assert_array_equal(above, np.eye(12)[1])
    assert theory.value(above, rewards) == 0.17


def test_reward_of_the_limit_is_not_monotone_in_the_baseline():
    mu, rewards = simulation.demo_instance(43, 100)
    baselines = np.array([0.0, 0.52, 0.54])
    limit = theory.value(theory.limit_policy(mu, rewards, baselines), rewards)
    assert limit[0] < limit[2] < limit[1]


def test_leading_dimensions_broadcast_like_single_calls():
    mu, rewards, generator = random_instances(6, 7, 5)
    baseline = theory.value(mu, rewards) + np.array([-0.4, -0.1, 0, 0.2])[:, None]
    together = theory.limit_policy(mu, rewards, baseline)
    thresholds = theory.improvement_threshold(mu, rewards)
    for i in range(7):
        assert thresholds[i] == theory.improvement_threshold(mu[i], rewards[i])
        for j in range(4):
            alone = theory.limit_policy(mu[i], rewards[i], baseline[j, i])
            np.testing.assert_allclose(together[j, i], alone, atol=1e-12)


@pytest.mark.parametrize(
    ("mu", "rewards", "baseline", "message"),
    [
        ([0.5, 0.5], [1, 0, 0], 0, "same last axis"),
        (1.0, 1.0, 0, "same last axis"),
        ([1.0, 0.0], [1, 0], 0, "mu must be positive"),
        ([0.5, 0.4], [1, 0], 0, "mu must sum to one"),
        ([0.5, np.nan], [1, 0], 0, "mu has NaN"),
        ([0.5, 0.5], [1, np.inf], 0, "rewards has NaN or infinite"),
        ([0.5, 0.5], [1, 0], np.nan, "baseline has NaN"),
        ([[0.5, 0.5]] * 2, [[1, 0]] * 3, 0, "do not broadcast"),
    ],
)
def test_bad_instances_are_refused(mu, rewards, baseline, message):
    with pytest.raises(ValueError, match=message):
        theory.limit_policy(mu, rewards, baseline)


def test_bad_calls_are_refused():
    with pytest.raises(ValueError, match="pi_0 must be positive"):
        theory.limit_policy([0.5, 0.5], [1, 0], 2, [1.0, 0.0])
    with pytest.raises(ValueError, match="pi_0 has shape"):
        theory.limit_policy([0.5, 0.5], [1, 0], 2, [[0.4, 0.6]])
    with pytest.raises(ValueError, match="above V_mu"):
        theory.possible_limits(HAND_MU, HAND_REWARDS, 0.58)
    with pytest.raises(ValueError, match="below V_mu"):
        theory.improvement_iterates(HAND_MU, HAND_REWARDS, 0.58, 1)
    with pytest.raises(ValueError, match="must not be negative"):
        theory.improvement_iterates(HAND_MU, HAND_REWARDS, 0.0, -1)


@pytest.mark.parametrize("delta_v", [-0.5, -0.3, -0.1])
@pytest.mark.parametrize("pass_rate", [0.003, 0.04, 0.15, 0.25, 0.4, 0.9])
def test_pass_rate_after_a_cycle_is_that_of_the_limit_policy(pass_rate, delta_v):
    """Three right answers of four, two wrong ones: their shares do not matter."""
    mu = np.concatenate([pass_rate * np.array([0.5, 0.3, 0.2]), (1 - pass_rate) * np.array([0.9, 0.1])])
    rewards = np.array([1.0, 1.0, 1.0, -1.0, -1.0])
    limit = theory.limit_policy(mu, rewards, theory.value(mu, rewards) + delta_v)
    after = theory.pass_rate_after_cycle(pass_rate, delta_v, wrong=-1, right=1)
    assert after == pytest.approx(limit[:3].sum())


def test_pass_rate_after_a_cycle_at_the_ends():
    rates = theory.pass_rate_after_cycle([0, 1e-9, 0.5, 1], [[-0.1], [0]], wrong=0, right=1)
    assert rates[0].tolist() == pytest.approx([0, 1.1e-8, 1, 1], rel=1e-6)
    assert rates[1].tolist() == [0, 1, 1, 1]
    for arguments, message in (
        ((1.1, -0.1, 0, 1), "pass rates"),
        ((0.5, 0.1, 0, 1), "one answer"),
        ((0.5, -0.1, 1, 1), "larger"),
    ):
        with pytest.raises(ValueError, match=message):
            theory.pass_rate_after_cycle(*arguments[:2], wrong=arguments[2], right=arguments[3])
