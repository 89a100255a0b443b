"""Tables of bandit experiments, as fixtures: rooms that use them import them into their conftest."""

import pytest

from asymre.bandit import experiments

__all__ = ["prompts_table", "threshold_table"]

PROMPTS = {
    "arms": 2,
    "reward_seed": 43,
    "prompts": 150,
    "answers": 6,
    "alpha": 0.3,
    "beta": 0.4,
    "delta_v": [-0.5, -0.1, 0, 0.1],
    "group_size": 8,
    "steps": 250,
    "cycles": 2,
    "learning_rate": 1.0,
}


@pytest.fixture(scope="module")
def threshold_table():
    return experiments.threshold(arms=30, reward_seed=43, instances=20)


@pytest.fixture(scope="module")
def prompts_table():
    return experiments.prompts(**PROMPTS)
