"""AsymRE on bandits with tabular softmax policies (Section 5.1), many runs at once, in float64.

Shapes: `logits`, `mu` and `rewards` (..., arms), `baseline` (...), leading dimensions broadcast. A
policy is softmax(logits). Random numbers come only from streams named by [seed, purpose, instance].
"""

import numpy as np
from scipy.special import entr

from asymre.bandit.theory import check_instance, value

REWARDS_STREAM = 0
BATCHES_STREAM = 1
PROMPTS_STREAM = 4
# Draw batches for this many steps at a time: it bounds memory and does not change the numbers.
DRAW_STEPS = 256
# Below this the exponential and its products become denormal numbers, which are three times slower.
LOWEST_LOG = -600.0
LOGIT_SLOPE = 0.1


def behaviour_policy(arms):
    """Return mu = softmax(y / 10), (arms,): the paper's behaviour policy."""
    return softmax(LOGIT_SLOPE * np.arange(arms))


def instances(seed, n, arms):
    """Return `mu`, `rewards` (n, arms): rewards uniform on [0, 1]. More instances keep the first ones."""
    rewards = [np.random.default_rng([seed, REWARDS_STREAM, i]).random(arms) for i in range(n)]
    mu = np.tile(behaviour_policy(arms), (n, 1))
    return mu, np.array(rewards).reshape(n, arms)


def demo_instance(seed, arms):
    """Return `mu`, `rewards` (arms,) with numpy's old generator; seed 43 is the demonstration instance.

    It behaves like the paper's instance (V_mu .5404, best reward .9987) but is not known to be the same.
    """
    return behaviour_policy(arms), np.random.RandomState(seed).rand(arms)


def softmax(logits):
    """Return the policy (..., arms) of `logits` (..., arms)."""
    policy = np.empty(np.shape(logits))
    total = _softmax_parts(np.asarray(logits, dtype=np.float64), policy)
    policy /= total
    return policy


def _softmax_parts(logits, out):
    """Write exp(max(l - max l, LOWEST_LOG)) to `out` and return its sum over arms, (..., 1)."""
    np.subtract(logits, logits.max(-1, keepdims=True), out=out)
    np.maximum(out, LOWEST_LOG, out=out)
    np.exp(out, out=out)
    return out.sum(-1, keepdims=True)


def entropy(policy):
    """Return the entropy (...) in nats of `policy` (..., arms)."""
    return entr(policy).sum(-1)


def support(policy, threshold):
    """Return the number of arms (...) with a probability above `threshold`."""
    return (np.asarray(policy) > threshold).sum(-1)


def ascend_expected(logits, mu, rewards, baseline, *, learning_rate, steps):
    """Return logits (..., arms) after `steps` gradient steps on E_mu[(r - V) log pi]. Definition 4.1.

    One step adds learning_rate (a - b pi), a = mu (r - V), b = V_mu - V: Euler's rule for the flow.
    Raises ValueError for a learning rate or a number of steps that is not positive, and as
    `check_instance`.
    """
    _check_ascent(learning_rate, steps)
    mu, rewards, baseline = check_instance(mu, rewards, baseline)
    logits = np.array(np.broadcast_arrays(logits, mu)[0], dtype=np.float64)
    _ascend(logits, mu, rewards, baseline, learning_rate, steps)
    return logits


def _ascend(logits, mu, rewards, baseline, learning_rate, steps):
    """Compute `ascend_expected` in place: `logits` has the full shape."""
    pull = np.ascontiguousarray(learning_rate * mu * (rewards - baseline[..., None]))
    push = learning_rate * (value(mu, rewards) - baseline)[..., None]
    policy = np.empty_like(logits)
    for _ in range(steps):
        total = _softmax_parts(logits, policy)
        policy *= push / total
        logits += pull
        logits -= policy


def ascend_sampled(logits, mu, rewards, baseline, *, learning_rate, steps, batch, seeds, instance_ids):
    """Return logits (baselines, instances, seeds, arms) after `steps` of AsymRE on batches from mu.

    `mu`, `rewards` (instances, arms); `baseline` (baselines, instances); `logits` (instances, arms)
    to start. A batch depends on (seed, instance id, step) and not on V: all baselines see the same
    arms. One step adds learning_rate times the mean over the batch of (r(y) - V) grad log pi(y).
    Raises ValueError for sizes that are not positive, for ids that do not match, and as
    `check_instance`.
    """
    _check_ascent(learning_rate, steps)
    if batch < 1:
        raise ValueError(f"batch must be at least 1: got {batch}")
    if np.ndim(mu) != 2 or np.ndim(baseline) != 2 or len(instance_ids) != len(mu):
        raise ValueError(
            "need mu (instances, arms), baseline (baselines, instances), one id per instance: got "
            f"{np.shape(mu)}, {np.shape(baseline)} and {len(instance_ids)} ids"
        )
    mu, rewards, baseline = check_instance(mu, rewards, baseline)
    streams = [np.random.default_rng([seed, BATCHES_STREAM, i]) for i in instance_ids for seed in seeds]
    n_baselines, n_instances, arms = mu.shape
    mu, rewards, baseline = mu[0], rewards[0, :, None], baseline[:, :, None, None]
    shape = (n_baselines, n_instances, len(seeds), arms)
    logits = np.array(np.broadcast_to(np.asarray(logits, np.float64)[:, None], shape))
    gap = learning_rate * (rewards - baseline)
    policy, pull = np.empty(shape), np.empty(shape)
    for start in range(0, steps, DRAW_STEPS):
        size = min(DRAW_STEPS, steps - start)
        draws = [rng.multinomial(batch, mu[k // len(seeds)], size=size) for k, rng in enumerate(streams)]
        shares = np.stack(draws, axis=1).reshape(size, *shape[1:]) / batch
        means = value(shares, rewards)[..., None]
        for share, mean in zip(shares, means, strict=True):
            total = _softmax_parts(logits, policy)
            policy *= learning_rate * (mean - baseline) / total
            np.multiply(share, gap, out=pull)
            logits += pull
            logits -= policy
    return logits


def improve_expected(mu, rewards, baseline, *, learning_rate, steps, iterations):
    """Return policies (iterations + 1, ..., arms) if mu <- pi after each `steps` expected steps. Figure 2.

    The logits carry over from one iteration to the next; V is fixed. Raises ValueError as
    `ascend_expected`.
    """
    _check_ascent(learning_rate, steps)
    mu, rewards, baseline = check_instance(mu, rewards, baseline)
    logits = np.log(mu)
    policies = np.empty((iterations + 1, *mu.shape))
    policies[0] = mu
    for k in range(iterations):
        _ascend(logits, policies[k], rewards, baseline, learning_rate, steps)
        policies[k + 1] = softmax(logits)
    return policies


def cycles_on_prompts(mu, right, delta_v, *, rewards, group_size, steps, cycles, learning_rate, seed, shown):
    """Return policies (len(shown), delta_v, prompts, answers) of prompts with a softmax policy each. Eq. 4.

    mu (prompts, answers): the start. right (answers,): which answers are correct. mu is frozen for the
    `steps` of a cycle. A step draws a group for each prompt from mu and adds learning_rate times the mean
    over the group of (r - mean r - delta_v) grad log pi: V_mu is the mean of the group, as in training.
    rewards: of "wrong" and "right" answers. shown: the steps to return, increasing. ValueError for steps or
    a learning rate that are not positive.
    """
    _check_ascent(learning_rate, steps)
    rng = np.random.default_rng([seed, PROMPTS_STREAM])
    rewards = np.where(right, rewards["right"], rewards["wrong"])
    delta_v = np.asarray(delta_v, dtype=np.float64)[:, None, None]
    logits = np.tile(np.log(mu), (len(delta_v), 1, 1))
    policy = np.empty_like(logits)
    found = [softmax(logits)] if 0 in shown else []
    for cycle in range(cycles):
        frozen = softmax(logits)
        for step in range(cycle * steps + 1, (cycle + 1) * steps + 1):
            shares = rng.multinomial(group_size, frozen) / group_size
            advantage = rewards - value(shares, rewards)[..., None] - delta_v
            pull = learning_rate * shares * advantage
            total = _softmax_parts(logits, policy)
            policy *= pull.sum(-1, keepdims=True) / total
            logits += pull
            logits -= policy
            if step in shown:
                found.append(softmax(logits))
    return np.stack(found)


def _check_ascent(learning_rate, steps):
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be positive: got {learning_rate}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1: got {steps}")
