"""Time of sampled AsymRE on 21 baselines x 20 instances x 100 arms, beside the speed of the core.

Run from the repository root: OMP_NUM_THREADS=1 python -m benchmarks.bandit_sweep
"""

import time

import numpy as np

from asymre.bandit import simulation, theory

BASELINES, INSTANCES, ARMS, STEPS, BATCH = 21, 20, 100, 2_000, 32
REPEATS = 3
MATRIX = 1024


def fastest(function):
    """Smallest wall time in seconds of `REPEATS` calls."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    mu, rewards = simulation.instances(0, INSTANCES, ARMS)
    offsets = np.linspace(-0.5, 0.5, BASELINES)
    baseline = theory.value(mu, rewards) + offsets[:, None]
    logits = np.log(mu)
    sampled = fastest(
        lambda: simulation.ascend_sampled(
            logits,
            mu,
            rewards,
            baseline,
            learning_rate=1.0,
            steps=STEPS,
            batch=BATCH,
            seeds=[0],
            instance_ids=range(INSTANCES),
        )
    )
    expected = fastest(
        lambda: simulation.ascend_expected(logits, mu, rewards, baseline, learning_rate=1.0, steps=STEPS)
    )
    matrix = np.ones((MATRIX, MATRIX), dtype=np.float32)
    product = fastest(lambda: matrix @ matrix)
    size = f"{BASELINES} V x {INSTANCES} instances x {ARMS} arms, {STEPS} steps"
    print(f"sampled, batch {BATCH}: {sampled:.2f} s   ({size})")
    print(f"expected:          {expected:.2f} s   (the same)")
    print(f"core: {2 * MATRIX**3 / product / 1e9:.0f} GFLOP/s ({MATRIX} x {MATRIX} float32)")


if __name__ == "__main__":
    main()
