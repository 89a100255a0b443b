import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymre.bandit import experiments, simulation, theory
from tests.bandit_tables import PROMPTS

SETTINGS = settings(deadline=None, derandomize=True, max_examples=100)


@pytest.fixture(scope="module")
def limit_table():
    return experiments.limit(
        arms=20,
        reward_seed=43,
        instances=3,
        steps=2_000,
        learning_rate=1.0,
        baselines=[-0.5, 0.0, 0.3, 0.9],
        support_threshold=1e-3,
        sampled_batch=32,
        sampled_seeds=[0, 1],
    )


@pytest.fixture(scope="module")
def improvement_table():
    return experiments.improvement(
        arms=100,
        reward_seed=43,
        instances=3,
        baselines=[0.0, 0.4, 0.5, 0.525, 0.54],
        iterations=40,
        steps=500,
        learning_rate=1.0,
    )


def sampled(baseline, *, mu, rewards, seeds, instance_ids, steps=20, batch=8):
    return simulation.ascend_sampled(
        np.log(mu),
        mu,
        rewards,
        baseline,
        learning_rate=1.0,
        steps=steps,
        batch=batch,
        seeds=seeds,
        instance_ids=instance_ids,
    )


def test_demonstration_instance():
    mu, rewards = simulation.demo_instance(43, 100)
    assert theory.value(mu, rewards) == pytest.approx(0.54041, abs=5e-6)
    assert rewards.max() == pytest.approx(0.99870, abs=5e-6)
    np.testing.assert_allclose(np.diff(np.log(mu)), 0.1)


def test_instances_are_uniform_and_keep_their_rewards_when_more_are_asked_for():
    mu, rewards = simulation.instances(3, 200, 100)
    np.testing.assert_array_equal(simulation.instances(3, 7, 100)[1], rewards[:7])
    assert not np.isin(simulation.instances(4, 2, 100)[1], rewards).any()
    v_mu = theory.value(mu, rewards)
    assert v_mu.mean() == pytest.approx(0.5, abs=0.02)
    assert v_mu.std() == pytest.approx(0.064, abs=0.01)
    assert [part.shape for part in simulation.instances(3, 0, 5)] == [(0, 5), (0, 5)]


def test_one_expected_step_is_the_gradient_of_the_objective():
    mu, rewards = simulation.instances(0, 1, 6)
    mu, rewards, baseline = mu[0], rewards[0], 0.3
    logits = np.linspace(-1, 1, 6)

    def objective(x):
        return (mu * (rewards - baseline) * np.log(simulation.softmax(x))).sum()

    width = 1e-6
    numeric = [
        (objective(logits + width * arm) - objective(logits - width * arm)) / (2 * width) for arm in np.eye(6)
    ]
    after = simulation.ascend_expected(logits, mu, rewards, baseline, learning_rate=0.7, steps=1)
    np.testing.assert_allclose(after - logits, 0.7 * np.array(numeric), atol=1e-9)


def test_sampled_steps_follow_the_definition():
    mu, rewards = simulation.instances(0, 1, 5)
    baseline, steps, batch = 0.4, 6, 8
    draws = np.random.default_rng([11, simulation.BATCHES_STREAM, 9]).multinomial(batch, mu[0], size=steps)
    logits = np.log(mu[0])
    for counts in draws:
        batch_arms = np.repeat(np.arange(5), counts)
        scores = np.eye(5)[batch_arms] - simulation.softmax(logits)
        logits = logits + ((rewards[0, batch_arms] - baseline)[:, None] * scores).mean(0)
    result = sampled([[baseline]], mu=mu, rewards=rewards, seeds=[11], instance_ids=[9], steps=steps)
    np.testing.assert_allclose(result[0, 0, 0], logits, atol=1e-12)


def test_sampled_gradient_is_unbiased():
    mu, rewards = simulation.instances(0, 1, 4)
    start = np.array([[0.5, -0.5, 0.0, 1.0]])
    baseline = np.array([[-0.5], [0.4], [1.0]])
    arguments = {"learning_rate": 1.0, "steps": 1}
    result = simulation.ascend_sampled(
        start, mu, rewards, baseline, batch=4, seeds=range(4000), instance_ids=[0], **arguments
    )
    expected = simulation.ascend_expected(start, mu, rewards, baseline, **arguments)
    error = result.mean(2) - expected
    deviation = result.std(2) / np.sqrt(4000)
    assert (np.abs(error) < 4 * deviation).all()
    assert (deviation < 0.02).all()


def test_same_seed_same_bytes_and_another_seed_others():
    mu, rewards = simulation.instances(0, 2, 6)
    arguments = {"mu": mu, "rewards": rewards, "instance_ids": [0, 1]}
    baseline = [[0.1, 0.2], [0.6, 0.7]]
    first = sampled(baseline, seeds=[0, 1], **arguments)
    assert first.tobytes() == sampled(baseline, seeds=[0, 1], **arguments).tobytes()
    assert not np.isclose(first[:, :, 0], first[:, :, 1]).any()
    assert not np.isclose(first[:, 0], first[:, 1]).any()


def test_a_batch_of_runs_equals_its_runs_one_at_a_time(monkeypatch):
    mu, rewards = simulation.instances(0, 3, 6)
    baseline = theory.value(mu, rewards) + np.array([-0.3, 0.0, 0.3])[:, None]
    seeds = [4, 7]
    together = sampled(baseline, mu=mu, rewards=rewards, seeds=seeds, instance_ids=range(3))
    expected = simulation.ascend_expected(np.log(mu), mu, rewards, baseline, learning_rate=1.0, steps=20)
    monkeypatch.setattr(simulation, "DRAW_STEPS", 7)
    for v in range(3):
        for i in range(3):
            alone = simulation.ascend_expected(
                np.log(mu[i]), mu[i], rewards[i], baseline[v, i], learning_rate=1.0, steps=20
            )
            np.testing.assert_allclose(alone, expected[v, i], atol=1e-13)
            for s, seed in enumerate(seeds):
                alone = sampled(
                    baseline[v : v + 1, i : i + 1],
                    mu=mu[i : i + 1],
                    rewards=rewards[i : i + 1],
                    seeds=[seed],
                    instance_ids=[i],
                )
                np.testing.assert_allclose(alone[0, 0, 0], together[v, i, s], atol=1e-13)


def test_improvement_refreshes_mu_and_keeps_the_logits():
    mu, rewards = simulation.instances(0, 2, 6)
    baseline = np.array([[0.1], [0.4]])
    arguments = {"learning_rate": 1.0, "steps": 30}
    policies = simulation.improve_expected(mu, rewards, baseline, iterations=3, **arguments)
    logits, behaviour = np.log(mu), mu
    for k in range(3):
        logits = simulation.ascend_expected(logits, behaviour, rewards, baseline, **arguments)
        behaviour = simulation.softmax(logits)
        np.testing.assert_allclose(policies[k + 1], behaviour, atol=1e-12)
    np.testing.assert_array_equal(policies[0], np.broadcast_to(mu, (2, 2, 6)))


def test_logits_do_not_change_in_place():
    mu, rewards = simulation.instances(0, 1, 4)
    logits = np.log(mu)
    before = logits.copy()
    simulation.ascend_expected(logits, mu, rewards, 0.2, learning_rate=1.0, steps=3)
    np.testing.assert_array_equal(logits, before)


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=8))
@SETTINGS
def test_softmax_entropy_and_support_of_any_logits(logits):
    policy = simulation.softmax(logits)
    assert policy.sum() == pytest.approx(1)
    assert policy[np.argmax(logits)] == policy.max()
    assert -1e-12 <= simulation.entropy(policy) <= np.log(len(logits)) + 1e-12
    assert 1 <= simulation.support(policy, 1e-3) <= len(logits)


def test_entropy_and_support_by_hand():
    policy = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.25, 0.25, 0.5]])
    np.testing.assert_allclose(simulation.entropy(policy), np.log(2) * np.array([1, 0, 1.5]))
    np.testing.assert_array_equal(simulation.support(policy, 0.3), [2, 1, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"learning_rate": np.nan}, "learning_rate must be positive"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"instance_ids": [0]}, "one id per instance"),
        ({"baseline": 0.1}, "baseline \\(baselines, instances\\)"),
        ({"rewards": np.full((2, 3), np.nan)}, "rewards has NaN"),
        ({"mu": np.full((2, 3), 0.5)}, "mu must sum to one"),
    ],
)
def test_bad_calls_are_refused(change, message):
    mu, rewards = simulation.instances(0, 2, 3)
    call = {
        "logits": np.zeros((2, 3)),
        "mu": mu,
        "rewards": rewards,
        "baseline": [[0.1, 0.1]],
        "learning_rate": 1.0,
        "steps": 1,
        "batch": 1,
        "seeds": [0],
        "instance_ids": [0, 1],
    }
    with pytest.raises(ValueError, match=message):
        simulation.ascend_sampled(**(call | change))


def test_limit_sweep(limit_table):
    counts = limit_table.groupby("curve").size()
    assert counts.to_dict() == {"limit": 16, "sampled": 32, "simulated": 16}
    assert not limit_table.isna().any(axis=None)
    demo = limit_table[limit_table.instance == 0]
    np.testing.assert_allclose(np.unique(demo.baseline), [-0.5, 0.0, 0.3, 0.9])
    assert limit_table.delta_v.round(9).nunique() == 4
    limit = demo[demo.curve == "limit"].set_index("baseline")
    assert limit.support.is_monotonic_decreasing
    assert limit.support.loc[0.9] == 1
    simulated = demo[demo.curve == "simulated"].set_index("baseline")
    np.testing.assert_allclose(simulated.reward, limit.reward, atol=5e-3)
    reached = demo[demo.curve == "sampled"].groupby("baseline").reward.mean()
    np.testing.assert_allclose(reached, limit.reward, atol=5e-2)


def test_demonstration_repeats_figure_2(improvement_table):
    demo = improvement_table[improvement_table.instance == 0]
    last = demo[demo.iteration == 40].set_index("baseline").reward
    assert last[[0.525, 0.54]].max() < last[[0.0, 0.4, 0.5]].min()
    assert (demo[demo.iteration == 0].reward == demo.v_mu.iloc[0]).all()
    assert len(improvement_table) == 4 * 5 * 41


def test_threshold_sweep(threshold_table):
    limit = threshold_table[np.isinf(threshold_table.iteration)]
    optimal = limit.reward == limit.best_reward
    pd.testing.assert_series_equal(optimal, limit.from_threshold < 0, check_names=False)
    assert {True, False} == set(optimal)
    assert (threshold_table.baseline < threshold_table.v_mu).all()
    by_iteration = threshold_table.pivot(
        index=["instance", "from_threshold"], columns="iteration", values="reward"
    )
    assert (by_iteration.diff(axis=1).iloc[:, 1:] >= -1e-12).all(axis=None)


def test_cycles_on_prompts_end_near_the_formula(prompts_table):
    """V_mu is the mean of a group of G = 8: the advantages, and so what grows, are 7/8 of the exact ones."""
    by_prompt = prompts_table.set_index("prompt")
    for delta_v in (-0.5, -0.1):
        own = by_prompt[by_prompt.delta_v == delta_v]
        before, after = (own[own.cycle == cycle].pass_rate for cycle in (0, 1))
        expected, exact = (
            theory.pass_rate_after_cycle(before, delta_v, wrong=-1, right=1, group_size=G) for G in (8, None)
        )
        assert np.abs(after - expected).mean() < 0.02
        # Without the factor (G - 1) / G the formula lies farther above.
        assert (exact - after).mean() > 1.5 * np.abs((expected - after).mean())
    first, ends = (
        prompts_table[prompts_table.cycle == c].groupby("delta_v").pass_rate.mean() for c in (1, 2)
    )
    # Nearer to 0 is faster.
    assert first[-0.5] + 0.05 < first[-0.1] < first[0]
    # Above 0 a prompt ends on one answer, right or wrong, for good.
    assert ends[0.1] < ends[-0.1]
    assert ends[0.1] == pytest.approx(first[0.1], abs=0.01)


def test_entropy_of_prompts_that_share_nothing_falls_faster_the_larger_delta_v_is(prompts_table):
    entropy = prompts_table[prompts_table.step == 20].groupby("delta_v").entropy.mean()
    assert len(entropy) > 2 and (np.diff(entropy) < 0).all()


def test_more_cycles_keep_the_first_ones(prompts_table):
    one = experiments.prompts(**PROMPTS | {"cycles": 1})
    pd.testing.assert_frame_equal(
        one.sort_values(["delta_v", "prompt", "step"], ignore_index=True),
        prompts_table[prompts_table.cycle < 2].sort_values(["delta_v", "prompt", "step"], ignore_index=True),
    )
