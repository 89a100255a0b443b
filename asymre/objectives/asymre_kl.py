"""AsymRE with a KL penalty to the behaviour policy: our reading of what the paper leaves to future work.

Gradient ascent on

    E_{x, y~mu(.|x)}[ (r(y, x) - V_mu(x) - delta_v) log pi(y|x) - beta sum_t (rho log rho - rho + 1) ]

with rho = pi(y_t | x, y_<t) / mu(y_t | x, y_<t). The mean of the last term over y_t ~ mu is the reverse
KL(pi || mu) of the next token: rho - 1 has mean 0 and makes each term at least 0. Both hold only for tokens
sampled from the mu of the ratio: at another temperature the mean is not a KL to any policy.

The forward KL(mu || pi) would be nothing new: its gradient is -E_mu[grad log pi], so a penalty beta on it is
AsymRE at delta_v - beta.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from asymre.objectives import asymre
from asymre.objectives._entry import Objective

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Settings:
    """Settings of AsymRE with a KL penalty to the behaviour policy."""

    beta: Annotated[float, Ge(0), "weight of the reverse KL of each token"]


OBJECTIVE = Objective(
    label="AsymRE with a KL penalty",
    colour="#f0a30a",
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
    """Return -A log pi + beta (rho log rho - rho + 1) for each token.

    log_probs_BT, behaviour_log_probs_BT: [B, T] log pi and log mu of the sampled tokens, 0 on padding;
    advantages_B: [B] one for each sequence. settings: "beta".
    Returns [B, T], to be minimised, before masking and normalisation.
    """
    log_ratio_BT = log_probs_BT - behaviour_log_probs_BT
    divergence_BT = log_ratio_BT.exp() * log_ratio_BT - log_ratio_BT.expm1()
    reinforce_BT = asymre.token_loss(log_probs_BT, behaviour_log_probs_BT, advantages_B, settings)
    return reinforce_BT + settings["beta"] * divergence_BT
