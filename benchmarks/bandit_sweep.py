"""Sampled AsymRE on 21 baselines x 20 instances x 100 arms at once, against a numpy loop over single runs.

OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.bandit_sweep
"""

import numpy as np

from asymre.bandit import simulation, theory
from benchmarks.timing import Row, medians

BASELINES, INSTANCES, ARMS, STEPS, BATCH = 21, 20, 100, 2_000, 32
LOOPED = 4  # runs of the loop that are timed, out of BASELINES * INSTANCES


def one_run(mu, rewards, baseline, seed) -> np.ndarray:
    """Return the logits of one run after STEPS, as a short script computes them: each step on all arms."""
    rng, logits = np.random.default_rng(seed), np.log(mu)
    for _ in range(STEPS):
        policy = np.exp(logits - logits.max())
        policy /= policy.sum()
        weighted = rng.multinomial(BATCH, mu) / BATCH * (rewards - baseline)
        logits = logits + weighted - weighted.sum() * policy
    return logits


def rows() -> list[Row]:
    """Return the table's row about the bandit."""
    mu, rewards = simulation.instances(0, INSTANCES, ARMS)
    baseline = theory.value(mu, rewards) + np.linspace(-0.5, 0.5, BASELINES)[:, None]
    sizes = {"learning_rate": 1.0, "steps": STEPS, "batch": BATCH}

    def ours() -> None:
        simulation.ascend_sampled(
            np.log(mu), mu, rewards, baseline, **sizes, seeds=[0], instance_ids=range(INSTANCES)
        )

    def loop() -> None:
        for i in range(LOOPED):
            one_run(mu[i], rewards[i], baseline[0, i], i)

    time = medians({"ours": ours, "loop": loop}, repeats=3)
    looped = time["loop"] * BASELINES * INSTANCES / LOOPED
    name = f"bandit, {BASELINES} V x {INSTANCES} instances x {ARMS} arms x {STEPS:,} steps of {BATCH}"
    return [Row(name, "s", time["ours"], "a loop in numpy", looped, ".01")]


if __name__ == "__main__":
    print(*(row.text() for row in rows()), sep="\n")
