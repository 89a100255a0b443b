"""AsymRE with truncated importance sampling (TIS): our reading of what the paper leaves to future work.

Gradient ascent along

    E_{x, y~mu(.|x)}[ min(w, c) (r(y, x) - V_mu(x) - delta_v) grad log pi(y|x) ],    w = pi(y|x) / mu(y|x)

with a weight for the whole completion, truncated at c as in IMPALA (Espeholt et al. 2018, section 4) and not
differentiated. Without truncation this is the on-policy gradient, in which the baseline changes only the
variance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from asymre.fields import Positive
from asymre.objectives import asymre
from asymre.objectives._entry import Objective
from asymre.objectives._importance import truncated_weights

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Settings:
    """Settings of AsymRE with truncated importance weights."""

    truncation: Annotated[Positive, "largest weight pi/mu of a completion"]


OBJECTIVE = Objective(
    label="AsymRE with truncated weights",
    colour="#7a28f0",
    takes_delta_v=True,
    takes_ratio=True,
    settings=Settings,
)

advantages = asymre.advantages


def token_loss(
    log_probs_BT: Tensor,
    behaviour_log_probs_BT: Tensor,
    advantages_B: Tensor,
    settings: Mapping[str, Any],
) -> Tensor:
    """Return -min(w, c) A log pi for each token.

    log_probs_BT, behaviour_log_probs_BT: [B, T] log pi and log mu of the sampled tokens, 0 on padding;
    advantages_B: [B] one for each sequence. settings: "truncation" is c.
    Returns [B, T], to be minimised, before masking and normalisation.
    """
    weights_B = truncated_weights(log_probs_BT, behaviour_log_probs_BT, settings["truncation"])
    return asymre.token_loss(log_probs_BT, behaviour_log_probs_BT, weights_B * advantages_B, settings)
