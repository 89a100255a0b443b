"""Limits of expected AsymRE with a tabular softmax policy: Theorems 4.2 and 4.3.

Every function takes float64 arrays: `mu` and `rewards` of shape (..., arms), `baseline` V of shape
(...); the leading dimensions broadcast against each other. Throughout a_y = mu(y) (r(y) - V) and b
= V_mu - V.
"""

import numpy as np

# Rounding in V_mu and a is about 1e-16 of the largest reward: gaps smaller than this count as ties.
RELATIVE_TOLERANCE = 1e-12
FLOW_TOLERANCE = 1e-8
# Random instances of 100 arms need some 600 steps; the longest step keeps a flow at rest finite.
FLOW_STEPS = 5_000
LONGEST_STEP = 1e4
BISECTIONS = 60


def check_instance(mu, rewards, baseline):
    """Return float64 `mu`, `rewards` (..., arms) and `baseline` (...), broadcast to one leading shape.

    Raises ValueError if arms differ in number, leading shapes do not broadcast, a value is not
    finite, or a row of `mu` is not positive or does not sum to one (to 1e-9).
    """
    mu, rewards, baseline = (np.asarray(x, dtype=np.float64) for x in (mu, rewards, baseline))
    if mu.ndim == 0 or rewards.ndim == 0 or mu.shape[-1] != rewards.shape[-1]:
        raise ValueError(f"mu and rewards need the same last axis (arms): got {mu.shape} and {rewards.shape}")
    for name, array in (("mu", mu), ("rewards", rewards), ("baseline", baseline)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has NaN or infinite values")
    _check_distribution("mu", mu)
    try:
        shape = np.broadcast_shapes(mu.shape[:-1], rewards.shape[:-1], baseline.shape)
    except ValueError:
        raise ValueError(
            "leading dimensions do not broadcast: "
            f"mu {mu.shape[:-1]}, rewards {rewards.shape[:-1]}, baseline {baseline.shape}"
        ) from None
    arms = shape + mu.shape[-1:]
    return (
        np.broadcast_to(mu, arms),
        np.broadcast_to(rewards, arms),
        np.broadcast_to(baseline, shape),
    )


def _check_distribution(name, policy):
    if not (policy > 0).all():
        raise ValueError(f"{name} must be positive on every arm")
    if not np.allclose(policy.sum(-1), 1.0, rtol=0, atol=1e-9):
        raise ValueError(f"{name} must sum to one over the last axis")


def value(policy, rewards):
    """Return the expected reward of `policy` (..., arms): shape (...)."""
    return (np.asarray(policy) * rewards).sum(-1)


def _tolerance(rewards, baseline):
    return RELATIVE_TOLERANCE * np.maximum(np.abs(rewards).max(-1), np.abs(baseline))


def project_simplex(points):
    """Return the Euclidean projection of `points` (..., arms) onto the probability simplex, by sorting."""
    # A shift does not change the projection, and preserves digits near V_mu, where the points are huge.
    shifted = points - points.max(-1, keepdims=True)
    descending = -np.sort(-shifted, axis=-1)
    counts = np.arange(1, points.shape[-1] + 1)
    levels = (np.cumsum(descending, axis=-1) - 1) / counts
    size = (descending > levels).sum(-1, keepdims=True)
    return np.maximum(shifted - np.take_along_axis(levels, size - 1, axis=-1), 0)


def limit_policy(mu, rewards, baseline, pi_0=None):
    """Return the limit (..., arms) of expected AsymRE from `pi_0` (mu if not given). Theorem 4.2.

    V < V_mu: (a - tau)_+ / b, the projection of a / b on the simplex, whatever pi_0 is.
    V = V_mu: the arms of largest a, with pi_0's ratios (V within 1e-12 of the largest |r| or |V|).
    V > V_mu: one arm, found by integrating the flow from pi_0 up to a point from which it provably
    wins. Generically there is one; raises ValueError for a start from which none is reached. Other
    ValueErrors: those of `check_instance`; pi_0 without the shape of the result, not positive or
    not summing to one.
    """
    mu, rewards, baseline = check_instance(mu, rewards, baseline)
    start = mu if pi_0 is None else np.asarray(pi_0, dtype=np.float64)
    if start.shape != mu.shape:
        raise ValueError(f"pi_0 has shape {start.shape}, the instances {mu.shape}")
    _check_distribution("pi_0", start)
    advantage = mu * (rewards - baseline[..., None])
    b = value(mu, rewards) - baseline
    tolerance = _tolerance(rewards, baseline)
    below, above = b > tolerance, b < -tolerance
    at = ~(below | above)

    limit = np.zeros(mu.shape)
    limit[below] = project_simplex(advantage[below] / b[below][..., None])
    largest = advantage[at].max(-1, keepdims=True)
    tied = np.where(advantage[at] >= largest - tolerance[at][..., None], start[at], 0)
    limit[at] = tied / tied.sum(-1, keepdims=True)
    limit[above] = _winner_above(advantage[above], -b[above], np.log(start[above]))
    return limit


def pass_rate_after_cycle(pass_rate, delta_v, *, wrong, right, group_size=None):
    """Return a prompt's pass rate after a converged cycle from that under mu, p. Derived from Theorem 4.2.

    Answers have the reward `right` or `wrong`, V = V_mu + delta_v. For delta_v < 0 the limit policy is
    correct with probability min(1, p + g p (1 - p) / |delta_v|), g = right - wrong: a correct answer has
    a = mu (g (1 - p) + |delta_v|), a wrong one a = mu (|delta_v| - g p), and b = |delta_v|. If
    p < |delta_v| / g no a is negative and they sum to b, so nothing is cut off; otherwise all wrong answers
    are. At delta_v = 0 every prompt with a correct answer is solved. Above 0 the limit is one answer, which p
    does not determine.

    group_size: G, if V_mu is the mean of the group that the sample itself belongs to, as in Eq. 4. The sample
    then takes part of its own reward away: the expected advantage is (G - 1) / G (r - V_mu) - delta_v, and
    the limit that of delta_v G / (G - 1). None: V_mu is exact. pass_rate and delta_v broadcast. ValueError
    for a delta_v above 0, a pass rate outside 0 to 1, right <= wrong or a group of one.
    """
    p, delta_v = np.broadcast_arrays(np.asarray(pass_rate, float), np.asarray(delta_v, float))
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("pass rates lie from 0 to 1")
    if not (delta_v <= 0).all():
        raise ValueError("above delta_v = 0 the limit is one answer, and not the pass rate decides which")
    if right <= wrong:
        raise ValueError("the reward of a right answer must be the larger one")
    if group_size == 1:
        raise ValueError("a sample alone is its own mean")
    own_share = 0.0 if group_size is None else 1 / group_size
    with np.errstate(divide="ignore", invalid="ignore"):
        grown = p + (right - wrong) * p * (1 - p) * (1 - own_share) / np.abs(delta_v)
    return np.where((p == 0) | (p == 1), p, np.minimum(grown, 1.0))


def possible_limits(mu, rewards, baseline):
    """Return booleans (..., arms): whether the flow can end on an arm for some pi_0 if V > V_mu. Derived.

    They are those with a_y + (V - V_mu) > max_{z != y} a_z: near pi(y) = 1, l_y grows fastest.
    Raises ValueError unless V > V_mu everywhere.
    """
    mu, rewards, baseline = check_instance(mu, rewards, baseline)
    excess = baseline - value(mu, rewards)
    if not (excess > 0).all():
        raise ValueError("possible_limits needs a baseline above V_mu")
    advantage = mu * (rewards - baseline[..., None])
    return advantage + excess[..., None] > _largest_other(advantage)


def _largest_other(advantage):
    """Return max_{z != y} a_z for every y, (..., arms); -inf with one arm."""
    if advantage.shape[-1] == 1:
        return np.full(advantage.shape, -np.inf)
    order = np.argsort(advantage, axis=-1)
    first = order[..., -1:]
    largest = np.take_along_axis(advantage, first, axis=-1)
    others = np.repeat(largest, advantage.shape[-1], axis=-1)
    second = np.take_along_axis(advantage, order[..., -2:-1], axis=-1)
    np.put_along_axis(others, first, second, axis=-1)
    return others


def _winner_above(advantage, excess, logits):
    """Return one-hot (rows, arms) the arm that wins the flow dl/dt = a + c pi, with c = V - V_mu > 0.

    Once a_y - max_{z != y} a_z + c (2 pi(y) - 1) > 0, every ratio pi(y) / pi(z) grows, so pi(y)
    grows and the inequality stays true: y wins (derived). Until then the flow is integrated by the
    adaptive Bogacki-Shampine method.
    """
    winners = np.zeros(advantage.shape)
    lead = advantage - _largest_other(advantage)
    scale = np.ptp(advantage, axis=-1) + excess
    rows, a, c, x = np.arange(len(scale)), advantage, excess[:, None], logits
    step = 0.1 / scale[:, None]
    for _ in range(FLOW_STEPS):
        policy = _softmax(x)
        certain = lead[rows] + c * (2 * policy - 1) > 0
        settled = certain.any(-1)
        winners[rows[settled]] = certain[settled]
        rows, a, c, x, step, policy = (v[~settled] for v in (rows, a, c, x, step, policy))
        if not len(rows):
            return winners
        k1 = a + c * policy
        k2 = a + c * _softmax(x + step / 2 * k1)
        k3 = a + c * _softmax(x + step * 3 / 4 * k2)
        following = x + step * (2 * k1 + 3 * k2 + 4 * k3) / 9
        k4 = a + c * _softmax(following)
        error = np.abs(step * (-5 * k1 + 6 * k2 + 8 * k3 - 9 * k4) / 72).max(-1, keepdims=True)
        x = np.where(error <= FLOW_TOLERANCE, following, x)
        growth = 0.9 * (FLOW_TOLERANCE / np.maximum(error, 1e-300)) ** (1 / 3)
        step = np.minimum(step * np.clip(growth, 0.2, 5), LONGEST_STEP / scale[rows][:, None])
    raise ValueError("V > V_mu and the flow from pi_0 reaches no single arm: pi_0 is between two basins")


def _softmax(logits):
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def _check_below(mu, rewards, baseline):
    mu, rewards, baseline = check_instance(mu, rewards, baseline)
    if not (value(mu, rewards) - baseline > _tolerance(rewards, baseline)).all():
        raise ValueError("policy improvement (Theorem 4.3) needs a baseline below V_mu")
    return mu, rewards, baseline


def improvement_iterates(mu, rewards, baseline, n):
    """Return policies (n + 1, ..., arms) of mu <- pi*_{mu,V} and their rewards (n + 1, ...). Theorem 4.3.

    After the first step every arm left has r > V, so that tau = 0 and each later step is exactly
    pi <- pi (r - V) / (V_pi - V) (derived). ValueErrors: V not below V_mu, n negative,
    `check_instance`'s.
    """
    mu, rewards, baseline = _check_below(mu, rewards, baseline)
    if n < 0:
        raise ValueError(f"n must not be negative: got {n}")
    policies = np.empty((n + 1, *mu.shape))
    policies[0] = mu
    gain = np.maximum(rewards - baseline[..., None], 0)
    for k in range(1, n + 1):
        if k == 1:
            policies[1] = limit_policy(mu, rewards, baseline)
        else:
            weights = policies[k - 1] * gain
            policies[k] = weights / weights.sum(-1, keepdims=True)
    return policies, value(policies, rewards)


def improvement_limit(mu, rewards, baseline):
    """Return the limit (...) of the reward in Theorem 4.3: the best reward in the support of pi*_{mu,V}.

    ValueErrors as in `improvement_iterates`.
    """
    mu, rewards, baseline = _check_below(mu, rewards, baseline)
    return np.where(limit_policy(mu, rewards, baseline) > 0, rewards, -np.inf).max(-1)


def _best_arm(mu, rewards):
    """Return the arm of largest reward, (..., 1); among equals that of largest mu, likeliest to survive."""
    best = rewards >= rewards.max(-1, keepdims=True)
    return np.where(best, mu, -1).argmax(-1)[..., None]


def _best_survives(mu, rewards, baseline):
    """Return sum_y (a_y - a_{y*})_+ < V_mu - V, on arrays that are already broadcast."""
    advantage = mu * (rewards - baseline[..., None])
    best = np.take_along_axis(advantage, _best_arm(mu, rewards), axis=-1)
    return np.maximum(advantage - best, 0).sum(-1) < value(mu, rewards) - baseline


def is_limit_optimal(mu, rewards, baseline):
    """Return whether the iteration of Theorem 4.3 tends to the best reward, (...) booleans.

    It does iff the best arm survives the first step: sum_y (a_y - a_{y*})_+ < V_mu - V (derived).
    ValueErrors as in `improvement_iterates`.
    """
    return _best_survives(*_check_below(mu, rewards, baseline))


def improvement_threshold(mu, rewards):
    """Return V_0 (...), by bisection: for V < V_mu the limit is optimal iff V < V_0. Theorem 4.3.

    V_0 = V_mu where every V < V_mu is optimal: the best arm has the largest a at V = V_mu.
    ValueErrors: those of `check_instance`.
    """
    mu, rewards, _ = check_instance(mu, rewards, 0.0)
    v_mu = value(mu, rewards)
    advantage = mu * (rewards - v_mu[..., None])
    best = np.take_along_axis(advantage, _best_arm(mu, rewards), axis=-1)[..., 0]
    always = best >= advantage.max(-1) - _tolerance(rewards, v_mu)
    # Supports are nested (Theorem 4.2), so there is one sign change between min r and V_mu.
    low, high = rewards.min(-1), v_mu
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        optimal = _best_survives(mu, rewards, middle)
        low, high = np.where(optimal, middle, low), np.where(optimal, high, middle)
    return np.where(always, v_mu, low)
