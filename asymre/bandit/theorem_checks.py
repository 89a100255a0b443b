"""Theorems 4.2 and 4.3 on many random instances: closed forms against gradient steps.

Instances of a few arms have random mu, rewards and pi_0, so that some 10,000 steps reach the limit; those
like figure 2's (simulation.instances) have many arms. Random numbers come from [seed, purpose].
"""

import numpy as np
import pandas as pd

from asymre.bandit import simulation, theory

INSTANCES_STREAM = 2
PROMPTS_STREAM = 3
FEW_ARMS = 5
# V - V_mu. Nearer to 0 than these, the number of steps decides, not the theorem.
BELOW = (-1.0, -0.3, -0.1, -0.02)
ABOVE = (0.02, 0.1, 0.3, 1.0)
# Learning rate, in units of one over the speed of the logits, and steps, stage by stage. Above V_mu the flow
# ends in one of several limits: the first steps are short, so as not to leave its basin. At V_mu the logits
# grow linearly, and any step is exact.
STAGES = {
    "below": ((2.0, 20_000),),
    "at": ((1e3, 2_000),),
    "tied": ((1e3, 2_000),),
    "above": ((0.002, 5_000), (0.1, 5_000)),
}
# Arms with a probability above this count, above V_mu.
SINGLE = 1e-3
NESTED_GRID = np.linspace(-1.0, -0.001, 40)
# Where V lies in the improvement problem: this much below V_0, and this share of the way from V_0 to V_mu.
UNDER = (-0.5, -0.1, -0.01)
OVER = (0.05, 0.5, 0.95)
# Rewards of these instances are at least 0.5 / FEW_ARMS apart, so that this many iterations decide.
ITERATIONS = 400
# Rewards that differ by less are equal: the last iterations change only rounding.
SAME_REWARD = 1e-6
ROUNDING = 1e-12
# Prompts: the paper's delta_v below 0, at most this many answers, none rarer than this before normalisation.
PROMPT_DELTA_V = (-0.5, -0.3, -0.2, -0.1)
MOST_ANSWERS, LEAST_SHARE = 8, 1e-6
# Figure 2: V = .54 and .525 are near the demonstration's V_mu of .5404, V = .4 is not; as offsets from V_mu.
FINITE = {"finite_nearest": -0.0004, "finite_near": -0.0154, "finite_lower": -0.1404}


def theorem_sweep(*, reward_seed, instances, finite_instances, arms, learning_rate, steps, iterations):
    """Return every check on every instance, one row per check, instance and V.

    Columns: check; instance; arms; delta_v (V - V_mu of the instance); value, which is
    deviation (regimes below, at, tied, above): largest |pi - pi*| over arms after the STAGES from pi_0;
    nested (V of a grid below V_mu): number of arms in the support at V and not at the next lower V;
    single: number of arms above SINGLE after the same steps with V > V_mu;
    rises: smallest growth of the reward in one iteration of Theorem 4.3 (NaN: already at the limit);
    optimal_under, optimal_over: 1 if the iterated reward is the best one within SAME_REWARD, else 0;
    prompt: largest |closed form of the pass rate after a cycle - that of the limit policy| of prompts with
    correct and wrong answers (`theory.pass_rate_after_cycle`);
    finite_nearest, finite_near, finite_lower: last reward of figure 2's iterations (`iterations` of `steps`
    steps with `learning_rate`, `arms` arms) at V_mu and an offset of FINITE, of `finite_instances` instances.
    """
    rng = np.random.default_rng([reward_seed, INSTANCES_STREAM])
    few = _few_arms(rng, instances)
    tables = [
        *_limits(*few),
        _nested(*few[:2]),
        _nested(*simulation.instances(reward_seed, instances, arms)),
        *_improvement(rng, instances),
        _prompts(reward_seed, instances),
        *_finite_steps(reward_seed, finite_instances, arms, learning_rate, steps, iterations),
    ]
    return pd.concat(tables, ignore_index=True)


def _few_arms(rng, instances):
    """Return mu, rewards, pi_0 (instances, FEW_ARMS), all random."""
    shape = (instances, FEW_ARMS)
    mu, pi_0 = (simulation.softmax(rng.normal(size=shape)) for _ in range(2))
    return mu, rng.random(shape), pi_0


def _rows(check, values, *, arms, delta_v, regime=""):
    """Return a tidy table from `values`, (..., instances); delta_v (...) broadcasts from the left."""
    columns = {
        "check": check,
        "regime": regime,
        "instance": np.arange(values.shape[-1]),
        "arms": arms,
        "delta_v": delta_v,
        "value": values.astype(float),
    }
    return pd.DataFrame({k: np.broadcast_to(column, values.shape).ravel() for k, column in columns.items()})


def _ascent(mu, rewards, baseline, pi_0, speed, stages):
    """Return pi after the stages of steps from pi_0; `speed` (...) differs between problems."""
    logits = np.log(pi_0)
    for learning_rate, steps in stages:
        # Rewards and V divided by the speed give steps of learning_rate / speed.
        logits = simulation.ascend_expected(
            logits,
            mu,
            rewards / speed[..., None],
            baseline / speed,
            learning_rate=learning_rate,
            steps=steps,
        )
    return simulation.softmax(logits)


def _limits(mu, rewards, pi_0):
    """Check Theorem 4.2: steps against the closed form in all regimes, and single arms above V_mu."""
    # A tie at V_mu: two arms that share the largest mu and the largest reward.
    tied_mu, tied_rewards = mu.copy(), rewards.copy()
    tied_mu[:, :2] = mu.max(-1, keepdims=True)
    tied_mu /= tied_mu.sum(-1, keepdims=True)
    tied_rewards[:, :2] = 1.0
    for regime, instances, offsets in (
        ("below", (mu, rewards), BELOW),
        ("at", (mu, rewards), (0.0,)),
        ("tied", (tied_mu, tied_rewards), (0.0,)),
        ("above", (mu, rewards), ABOVE),
    ):
        offset = np.array(offsets)[:, None]
        mu_, rewards_, start = (np.broadcast_to(x, (len(offsets), *mu.shape)) for x in (*instances, pi_0))
        baseline = theory.value(mu_, rewards_) + offset
        # Steps below V_mu need lr b < 4; elsewhere nothing moves faster than this.
        fastest = np.ptp(mu_ * (rewards_ - baseline[..., None]), axis=-1) + np.maximum(offset, 0)
        speed = np.broadcast_to(-offset, baseline.shape) if regime == "below" else fastest
        policy = _ascent(mu_, rewards_, baseline, start, speed, STAGES[regime])
        deviation = np.abs(policy - theory.limit_policy(mu_, rewards_, baseline, start)).max(-1)
        described = {"regime": regime, "arms": FEW_ARMS, "delta_v": offset}
        yield _rows("deviation", deviation, **described)
        if regime == "above":
            yield _rows("single", (policy > SINGLE).sum(-1), **described)


def _nested(mu, rewards):
    """Check Theorem 4.2: the supports of the closed form over a grid of V below V_mu."""
    baseline = theory.value(mu, rewards) + NESTED_GRID[:, None]
    all_mu, all_rewards = np.broadcast_arrays(mu[None], rewards[None])
    limit = theory.limit_policy(all_mu, all_rewards, baseline)
    # An arm that enters must exceed rounding.
    entered = ((limit[1:] > ROUNDING) & (limit[:-1] <= 0)).sum(-1)
    return _rows("nested", entered, arms=mu.shape[-1], delta_v=NESTED_GRID[1:, None])


def _prompts(reward_seed, instances):
    """Check Theorem 4.2 for a prompt: its pass rate after a cycle, over prompts and numbers of answers."""
    rng = np.random.default_rng([reward_seed, PROMPTS_STREAM])
    delta_v = np.array(PROMPT_DELTA_V)
    deviations = np.empty((len(delta_v), instances))
    for i in range(instances):
        mu = rng.dirichlet(np.full(rng.integers(2, MOST_ANSWERS + 1), 0.5)) + LEAST_SHARE
        mu /= mu.sum()
        right = rng.permutation(len(mu)) < rng.integers(1, len(mu))
        wrong_reward, gap = rng.normal(), rng.uniform(0.5, 2.0)
        rewards = wrong_reward + gap * right
        limit = theory.limit_policy(mu, rewards, theory.value(mu, rewards) + delta_v)
        closed = theory.pass_rate_after_cycle(
            mu[right].sum(), delta_v, wrong=wrong_reward, right=wrong_reward + gap
        )
        deviations[:, i] = np.abs(limit[:, right].sum(-1) - closed)
    return _rows("prompt", deviations, arms=MOST_ANSWERS, delta_v=delta_v[:, None])


def _improvement(rng, instances):
    """Check Theorem 4.3: the reward rises, and its limit is optimal if and only if V < V_0."""
    mu = simulation.softmax(rng.normal(size=(instances, FEW_ARMS)))
    order = rng.permuted(np.tile(np.arange(FEW_ARMS), (instances, 1)), axis=-1)
    rewards = (order + rng.random(order.shape) / 2) / FEW_ARMS
    v_mu, v_0 = theory.value(mu, rewards), theory.improvement_threshold(mu, rewards)
    under = np.minimum(v_0 + np.array(UNDER)[:, None], v_mu - 0.01)
    over = v_0 + np.array(OVER)[:, None] * (v_mu - v_0)
    exists = v_0 < v_mu - SAME_REWARD
    best = rewards.max(-1)
    for check, baseline, kept in (
        ("optimal_under", under, np.ones(instances, dtype=bool)),
        ("optimal_over", over, exists),
    ):
        baseline, delta_v = baseline[:, kept], (baseline - v_mu)[:, kept]
        _, by_iteration = theory.improvement_iterates(mu[kept], rewards[kept], baseline, ITERATIONS)
        optimal = by_iteration[-1] > best[kept] - SAME_REWARD
        yield _rows(check, optimal, arms=FEW_ARMS, delta_v=delta_v)
        growth = np.diff(by_iteration, axis=0)
        # At the limit the reward cannot grow.
        growing = by_iteration[-1] - by_iteration[:-1] > SAME_REWARD
        smallest = np.where(growing, growth, np.inf).min(0)
        yield _rows("rises", np.where(growing.any(0), smallest, np.nan), arms=FEW_ARMS, delta_v=delta_v)


def _finite_steps(reward_seed, instances, arms, learning_rate, steps, iterations):
    """Yield the last rewards of figure 2's iterations, for each V of FINITE."""
    mu, rewards = simulation.instances(reward_seed, instances, arms)
    offsets = np.array(list(FINITE.values()))
    baseline = theory.value(mu, rewards) + offsets[:, None]
    policies = simulation.improve_expected(
        mu, rewards, baseline, learning_rate=learning_rate, steps=steps, iterations=iterations
    )
    last = theory.value(policies[-1], rewards)
    for check, values, offset in zip(FINITE, last, offsets, strict=True):
        yield _rows(check, values, arms=arms, delta_v=offset)
