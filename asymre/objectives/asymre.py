"""AsymRE, asymmetric REINFORCE (arXiv 2506.20520, Eq. 4).

Gradient ascent on

    J(pi) = E_{x, y~mu(.|x)}[ (r(y, x) - V_mu(x) - delta_v) log pi(y|x) ]

with V_mu(x) estimated by the mean reward of the prompt's G samples. There are no importance
weights, although y was drawn from mu and not from pi. The critical value is delta_v = 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asymre.objectives._entry import Objective

if TYPE_CHECKING:
    from torch import Tensor

OBJECTIVE = Objective(label="AsymRE", takes_delta_v=True, takes_ratio=False)


def advantages(rewards_PG: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """Return r - V_mu - delta_v for each sample (Eq. 4), not divided by a standard deviation.

    rewards_PG: [P, G] floating point, P prompts with G samples each from the behaviour policy.
    settings: "delta_v", in units of the reward: -0.1 weighs twice as much for rewards 0, 1 as for -1, 1.
    Returns [P, G]. Raises ValueError for G = 1.
    """
    if rewards_PG.shape[1] == 1:
        raise ValueError(
            "AsymRE needs at least 2 samples a prompt: the mean of a group of 1 is its own reward, "
            "so every advantage would be -delta_v whatever the reward"
        )
    # A group with a single reward has the advantage -delta_v. Dropping it would change the algorithm, because
    # the second term of grad(delta_v) = grad(0) + |delta_v| * grad E_mu[log pi] comes from all groups.
    return rewards_PG - rewards_PG.mean(dim=1, keepdim=True) - settings["delta_v"]


def token_loss(
    log_probs_BT: Tensor,
    behaviour_log_probs_BT: Tensor,
    advantages_B: Tensor,
    settings: Mapping[str, Any],
) -> Tensor:
    """Return -A log pi for each token: Eq. 4 with log pi(y|x) written as a sum over the tokens of y.

    log_probs_BT: [B, T] log pi of the sampled tokens; advantages_B: [B] one for each sequence.
    behaviour_log_probs_BT: [B, T] log mu, unused: Eq. 4 has no importance weights.
    Returns [B, T], to be minimised, before masking and normalisation.
    """
    return -advantages_B[:, None] * log_probs_BT
