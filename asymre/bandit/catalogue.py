"""The bandit experiments: one entry each, beside the function of the same name in `experiments`.

An entry is a dataclass of the experiment's settings (`asymre.fields`), given in the configuration under
`bandit.<name>`. Of that section, only these, `arms` and `reward_seed` can make its results stale.
"""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Lt, MinLen

from asymre.fields import UNIQUE, Count, Positive, Seed

Instances = Annotated[Count, "random instances beside the demo instance"]
LearningRate = Annotated[Positive, "of gradient ascent on the logits"]


@dataclass(frozen=True)
class Limit:
    """Policy after many steps, and in the limit, against the baseline V (figures 1 and 7)."""

    instances: Instances
    learning_rate: LearningRate
    steps: Annotated[Count, "gradient steps"]
    baselines: Annotated[list[float], MinLen(1), UNIQUE, "V of the demo instance"]
    sampled_batch: Annotated[Count, "arms drawn per step by sampled AsymRE"]
    sampled_seeds: Annotated[list[Seed], MinLen(1), UNIQUE, "seeds of sampled AsymRE"]
    support_threshold: Annotated[
        float, Gt(0), Lt(1), "an arm is in the support if its probability exceeds this"
    ]


@dataclass(frozen=True)
class Improvement:
    """Reward when the behaviour policy becomes the current one again and again (figure 2)."""

    instances: Instances
    learning_rate: LearningRate
    baselines: Annotated[list[float], MinLen(1), UNIQUE, "V of the demo instance"]
    iterations: Annotated[Count, "policy improvement iterations"]
    steps: Annotated[Count, "gradient steps per iteration"]


@dataclass(frozen=True)
class Threshold:
    """Limit of the policy improvement on both sides of V_0 (figure 6)."""

    instances: Instances


@dataclass(frozen=True)
class Prompts:
    """Softmax prompts that share nothing, over cycles on samples of a frozen behaviour policy (figure D)."""

    prompts: Annotated[Count, "prompts"]
    answers: Annotated[int, Gt(1), "answers of a prompt, the first half of them correct"]
    alpha: Annotated[Positive, "of the pass rates' distribution, Beta(alpha, beta)"]
    beta: Annotated[Positive, "the other parameter; both below 1 make it U-shaped"]
    delta_v: Annotated[list[float], MinLen(1), UNIQUE, "V - V_mu, rewards -1 and 1"]
    group_size: Annotated[int, Gt(1), "samples of each prompt per step"]
    steps: Annotated[Count, "gradient steps per cycle"]
    cycles: Annotated[Count, "refreshes of the behaviour policy, and one more"]
    learning_rate: LearningRate


@dataclass(frozen=True)
class Theorems:
    """Theorems 4.2 and 4.3 in closed form against gradient steps (the claims)."""

    instances: Annotated[Count, "random instances of the theorems"]
    finite_instances: Annotated[Count, "random instances of figure 2's finite steps"]
    learning_rate: LearningRate
    iterations: Annotated[Count, "policy improvement iterations, as in figure 2"]
    steps: Annotated[Count, "gradient steps per iteration"]


EXPERIMENTS = {
    "limit": Limit,
    "improvement": Improvement,
    "threshold": Threshold,
    "prompts": Prompts,
    "theorems": Theorems,
}
