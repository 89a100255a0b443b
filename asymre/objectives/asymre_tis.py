"""AsymRE with truncated importance sampling (TIS): our reading of what the paper leaves to future work.

Gradient ascent along

    E_{x, y~mu(.|x)}[ min(w, c) (r(y, x) - V_mu(x) - delta_v) grad log pi(y|x) ],    w = pi(y|x) / mu(y|x)

with a weight for the whole completion, truncated at c as in IMPALA (Espeholt et al. 2018, section 4) and not
differentiated. Without truncation this is the on-policy gradient, in which the baseline changes the
variance alone.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from asymre.objectives import asymre
from asymre.objectives.importance import truncated_weights

advantages = asymre.advantages


def token_loss(
    log_probs_BT: Tensor,
    behaviour_log_probs_BT: Tensor,
    advantages_B: Tensor,
    settings: Mapping[str, Any],
) -> Tensor:
    """-min(w, c) A log pi for each token.

    log_probs_BT, behaviour_log_probs_BT: [B, T] log pi and log mu of the sampled tokens, 0 on filling;
    advantages_B: [B] one for each sequence. settings: "truncation" is c.
    Returns [B, T], to be minimised, before masking and normalisation.
    """
    weights_B = truncated_weights(log_probs_BT, behaviour_log_probs_BT, settings["truncation"])
    return asymre.token_loss(log_probs_BT, behaviour_log_probs_BT, weights_B * advantages_B, settings)
