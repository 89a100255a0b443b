"""TOPR, tapered off-policy REINFORCE (Le Roux et al., arXiv 2503.14286, the update with a+ = b+ = 1).

Gradient ascent along

    E_{y~mu}[ r grad log pi ; r >= 0 ]  +  E_{y~mu}[ min(pi/mu, 1) r grad log pi ; r < 0 ]

without a baseline: rewards of correct answers are positive, those of wrong ones negative. Correct answers
keep weight one however unlikely they become; wrong ones are tapered off by the truncated importance weight
of the whole completion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asymre.objectives._entry import Objective
from asymre.objectives._importance import truncated_weights

if TYPE_CHECKING:
    from torch import Tensor

OBJECTIVE = Objective(label="TOPR", colour="#f764f7", takes_ratio=True)


def advantages(rewards_PG: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """Return the rewards themselves: rewards_PG [P, G], P prompts with G samples each. settings: unused."""
    return rewards_PG


def token_loss(
    log_probs_BT: Tensor,
    behaviour_log_probs_BT: Tensor,
    advantages_B: Tensor,
    settings: Mapping[str, Any],
) -> Tensor:
    """Return -r log pi where r >= 0, -min(pi/mu, 1) r log pi where r < 0, for each token.

    log_probs_BT, behaviour_log_probs_BT: [B, T] log pi and log mu of the sampled tokens, 0 on padding;
    advantages_B: [B] the reward of each sequence. settings: unused.
    Returns [B, T], to be minimised, before masking and normalisation.
    """
    tapered_B = truncated_weights(log_probs_BT, behaviour_log_probs_BT, 1.0)
    weights_B = tapered_B.where(advantages_B < 0, 1.0)
    return -(weights_B * advantages_B)[:, None] * log_probs_BT
