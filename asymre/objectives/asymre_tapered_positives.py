"""An ablation of tapered AsymRE: the weight min(pi/mu, 1) on positive advantages instead (figure H)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asymre.objectives import asymre
from asymre.objectives._entry import Objective
from asymre.objectives._importance import truncated_weights

if TYPE_CHECKING:
    from torch import Tensor

OBJECTIVE = Objective(
    label="AsymRE, positives tapered", colour="#a6761d", takes_delta_v=True, takes_ratio=True
)

advantages = asymre.advantages


def token_loss(
    log_probs_BT: Tensor,
    behaviour_log_probs_BT: Tensor,
    advantages_B: Tensor,
    settings: Mapping[str, Any],
) -> Tensor:
    """Return -min(w, 1) A log pi where A > 0 and -A log pi elsewhere, for each token.

    log_probs_BT, behaviour_log_probs_BT: [B, T] log pi and log mu of the sampled tokens, 0 on padding;
    advantages_B: [B] one for each sequence. settings: unused.
    Returns [B, T], to be minimised, before masking and normalisation.
    """
    tapered_B = truncated_weights(log_probs_BT, behaviour_log_probs_BT, 1.0)
    weights_B = tapered_B.where(advantages_B > 0, 1.0)
    return asymre.token_loss(log_probs_BT, behaviour_log_probs_BT, weights_B * advantages_B, settings)
