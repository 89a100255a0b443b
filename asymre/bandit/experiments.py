"""The tables of the bandit experiments, one function each: limits against V (figures 1, 7), policy
improvement (2), threshold (6), prompts (D), theorem checks (the claims).

In every table except that of prompts, instance 0 is the demonstration instance and 1, 2, ... are random
ones; pi_0 = mu. `baselines` are values of V for the demonstration instance; a random instance uses the
same offsets delta_v = V - V_mu from its own V_mu, because only offsets compare across instances.
"""

import numpy as np
import pandas as pd

from asymre.bandit import simulation, theorem_checks, theory

# Offsets V - V_0 of the threshold figure, a grid without 0, where the limit jumps.
THRESHOLD_OFFSETS = np.linspace(-0.3, 0.3, 60)
THRESHOLD_ITERATIONS = (1, 5, 40)
NO_SEED = -1
PROMPT_RATES_STREAM = 5
# A policy is positive on every answer.
RATE_LIMITS = (1e-4, 1 - 1e-4)
# At which entropy is compared, of the first cycle.
EARLY_STEPS = (0, 1, 2, 5, 10, 20, 50, 100, 200)

theorems = theorem_checks.theorem_sweep


def _all_instances(arms, reward_seed, instances):
    """Return `mu`, `rewards` (1 + instances, arms), the demonstration first, and V_mu (1 + instances,)."""
    demo_mu, demo_rewards = simulation.demo_instance(reward_seed, arms)
    mu, rewards = simulation.instances(reward_seed, instances, arms)
    mu, rewards = np.vstack([demo_mu, mu]), np.vstack([demo_rewards, rewards])
    return mu, rewards, theory.value(mu, rewards)


def _shifted(baselines, v_mu):
    """Return V (baselines, instances) with the offsets of the first instance."""
    return v_mu + (np.asarray(baselines, dtype=np.float64) - v_mu[0])[:, None]


def _table(columns, shape):
    """Return a tidy table with a row for each cell of `shape`; columns broadcast to it."""
    return pd.DataFrame({name: np.broadcast_to(column, shape).ravel() for name, column in columns.items()})


def limit(
    *,
    arms,
    reward_seed,
    instances,
    steps,
    learning_rate,
    baselines,
    support_threshold,
    sampled_batch,
    sampled_seeds,
):
    """Return policies against V after `steps` steps and in the limit (Figures 1 and 7; Theorem 4.2).

    Columns: curve (simulated: expected gradient; sampled: batches of `sampled_batch` arms, one row
    per seed of `sampled_seeds`; limit: closed form, above V_mu the flow from mu), instance, seed (-1:
    none), baseline, delta_v, v_mu, best_reward, reward, support (arms with pi >
    `support_threshold`), entropy (nats).
    """
    mu, rewards, v_mu = _all_instances(arms, reward_seed, instances)
    baseline = _shifted(baselines, v_mu)
    ascent = {"learning_rate": learning_rate, "steps": steps}
    simulated = simulation.ascend_expected(np.log(mu), mu, rewards, baseline, **ascent)
    sampled = simulation.ascend_sampled(
        np.log(mu),
        mu,
        rewards,
        baseline,
        batch=sampled_batch,
        seeds=sampled_seeds,
        instance_ids=range(len(mu)),
        **ascent,
    )
    curves = {
        "simulated": (simulation.softmax(simulated)[:, :, None], [NO_SEED]),
        "sampled": (simulation.softmax(sampled), sampled_seeds),
        "limit": (theory.limit_policy(mu, rewards, baseline)[:, :, None], [NO_SEED]),
    }
    tables = []
    for curve, (policy, seeds) in curves.items():
        columns = {
            "curve": curve,
            "instance": np.arange(len(mu))[:, None],
            "seed": np.asarray(seeds),
            "baseline": baseline[:, :, None],
            "delta_v": (baseline - v_mu)[:, :, None],
            "v_mu": v_mu[:, None],
            "best_reward": rewards.max(-1)[:, None],
            "reward": theory.value(policy, rewards[:, None]),
            "support": simulation.support(policy, support_threshold),
            "entropy": simulation.entropy(policy),
        }
        tables.append(_table(columns, policy.shape[:-1]))
    return pd.concat(tables, ignore_index=True)


def improvement(*, arms, reward_seed, instances, baselines, iterations, steps, learning_rate):
    """Return the reward of the policy when mu <- pi every `steps` expected steps, V fixed (Figure 2).

    Columns: instance, baseline, delta_v (V minus the V_mu of the start), v_mu, v_0, best_reward,
    iteration (0 is mu), reward.
    """
    mu, rewards, v_mu = _all_instances(arms, reward_seed, instances)
    baseline = _shifted(baselines, v_mu)
    policies = simulation.improve_expected(
        mu, rewards, baseline, learning_rate=learning_rate, steps=steps, iterations=iterations
    )
    columns = {
        "instance": np.arange(len(mu)),
        "baseline": baseline,
        "delta_v": baseline - v_mu,
        "v_mu": v_mu,
        "v_0": theory.improvement_threshold(mu, rewards),
        "best_reward": rewards.max(-1),
        "iteration": np.arange(iterations + 1)[:, None, None],
        "reward": theory.value(policies, rewards),
    }
    return _table(columns, policies.shape[:-1])


def prompts(
    *,
    arms,
    reward_seed,
    prompts,
    answers,
    alpha,
    beta,
    delta_v,
    group_size,
    steps,
    cycles,
    learning_rate,
):
    """Return pass rates and entropies over cycles of AsymRE on prompts that share nothing.

    Columns: delta_v, prompt, step (EARLY_STEPS of the first cycle, and the ends of all), cycle (the same in
    cycles), pass_rate, entropy (nats), group_size. Rewards are -1 and 1. `arms` is not used: a prompt has
    `answers`, the first half of them correct.
    """
    rng = np.random.default_rng([reward_seed, PROMPT_RATES_STREAM])
    right = np.arange(answers) < answers // 2
    rates = rng.beta(alpha, beta, prompts).clip(*RATE_LIMITS)[:, None]
    mu = np.where(right, rates / right.sum(), (1 - rates) / (~right).sum())
    early = [step for step in EARLY_STEPS if step < steps]
    shown = [*early, *range(steps, steps * cycles + 1, steps)]
    found = simulation.cycles_on_prompts(
        mu,
        right,
        delta_v,
        rewards={"wrong": -1.0, "right": 1.0},
        group_size=group_size,
        steps=steps,
        cycles=cycles,
        learning_rate=learning_rate,
        seed=reward_seed,
        shown=shown,
    )
    columns = {
        "delta_v": np.asarray(delta_v)[:, None],
        "prompt": np.arange(prompts),
        "step": np.asarray(shown)[:, None, None],
        "cycle": np.asarray(shown)[:, None, None] / steps,
        "pass_rate": found[..., right].sum(-1),
        "entropy": simulation.entropy(found),
        "group_size": group_size,
    }
    return _table(columns, found.shape[:-1])


def threshold(*, arms, reward_seed, instances):
    """Return the reward of the iterated limit of Theorem 4.3 on both sides of V_0 (Figure 6).

    Columns: instance, v_mu, v_0, best_reward, from_threshold (V - V_0), baseline, delta_v,
    iteration (1, 5, 40 and inf, the limit of the iteration), reward. Only V < V_mu occurs, where
    the theorem holds: an instance with V_0 = V_mu has no row above V_0.
    """
    mu, rewards, v_mu = _all_instances(arms, reward_seed, instances)
    v_0 = theory.improvement_threshold(mu, rewards)
    baseline = v_0 + THRESHOLD_OFFSETS[:, None]
    offset_index, instance = np.nonzero(baseline < v_mu - 1e-9)
    baseline = baseline[offset_index, instance]
    mu, rewards, v_mu, v_0 = (x[instance] for x in (mu, rewards, v_mu, v_0))
    _, by_iteration = theory.improvement_iterates(mu, rewards, baseline, max(THRESHOLD_ITERATIONS))
    end = theory.improvement_limit(mu, rewards, baseline)
    reward = np.stack([*by_iteration[list(THRESHOLD_ITERATIONS)], end])
    columns = {
        "instance": instance,
        "v_mu": v_mu,
        "v_0": v_0,
        "best_reward": rewards.max(-1),
        "from_threshold": THRESHOLD_OFFSETS[offset_index],
        "baseline": baseline,
        "delta_v": baseline - v_mu,
        "iteration": np.array([*THRESHOLD_ITERATIONS, np.inf])[:, None],
        "reward": reward,
    }
    return _table(columns, reward.shape)
