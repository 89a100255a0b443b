"""AsymRE with TOPR's taper (Le Roux et al., arXiv 2503.14286): off-policy, a wrong answer loses its weight
as pi leaves it. The combination is ours.

Gradient ascent along

    E_{x, y~mu(.|x)}[ c (r(y, x) - V_mu(x) - delta_v) grad log pi(y|x) ],
    c = min(pi(y|x) / mu(y|x), 1) where the advantage is negative, 1 elsewhere

with a weight for the whole completion, not differentiated. Without it, the push away from wrong answers is
weighted by mu, not by pi, and goes on however improbable they have become.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asymre.objectives import asymre
from asymre.objectives._entry import Objective
from asymre.objectives._importance import truncated_weights

if TYPE_CHECKING:
    from torch import Tensor

OBJECTIVE = Objective(label="AsymRE, tapered", colour="#00838f", takes_delta_v=True, takes_ratio=True)

advantages = asymre.advantages


def token_loss(
    log_probs_BT: Tensor,
    behaviour_log_probs_BT: Tensor,
    advantages_B: Tensor,
    settings: Mapping[str, Any],
) -> Tensor:
    """Return -A log pi where A >= 0, -min(w, 1) A log pi where A < 0, for each token.

    log_probs_BT, behaviour_log_probs_BT: [B, T] log pi and log mu of the sampled tokens, 0 on padding;
    advantages_B: [B] one for each sequence. settings: unused.
    Returns [B, T], to be minimised, before masking and normalisation.
    """
    tapered_B = truncated_weights(log_probs_BT, behaviour_log_probs_BT, 1.0)
    weights_B = tapered_B.where(advantages_B < 0, 1.0)
    return asymre.token_loss(log_probs_BT, behaviour_log_probs_BT, weights_B * advantages_B, settings)
