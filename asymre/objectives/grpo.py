"""GRPO, group relative policy optimisation (DeepSeekMath, arXiv 2402.03300, Eq. 3) without KL.

Gradient ascent on

    min( rho A, clip(rho, 1 - eps, 1 + eps) A ),    rho = pi(y_t | x, y_<t) / mu(y_t | x, y_<t)

averaged over a completion's tokens, with A the reward standardised within the prompt's G samples. The AsymRE
paper does not report its GRPO settings: no KL term and the constant 1e-4 (TRL's) are our choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt, Lt

from asymre.objectives._entry import Objective

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Settings:
    """GRPO's own settings."""

    clip: Annotated[float, Gt(0), Lt(1), "clip of the probability ratio, both sides"]


# Eq. 3 takes the mean over each completion's tokens, then over completions.
OBJECTIVE = Objective(
    label="GRPO", colour="#1a7f5a", takes_ratio=True, normalisation="sequence_mean", settings=Settings
)


def advantages(rewards_PG: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """Return (r - mean) / (std + 1e-4) for each sample, std unbiased (DeepSeekMath, section 4.1.2).

    rewards_PG: [P, G] floating point, P prompts with G samples each from the behaviour policy.
    settings: unused. Returns [P, G], 0 in groups with a single reward. Raises ValueError for G = 1.
    """
    if rewards_PG.shape[1] == 1:
        raise ValueError("GRPO needs at least 2 samples a prompt: a group of 1 has no standard deviation")
    import torch

    std_P1, mean_P1 = torch.std_mean(rewards_PG, dim=1, keepdim=True)
    return (rewards_PG - mean_P1) / (std_P1 + 1e-4)


def token_loss(
    log_probs_BT: Tensor,
    behaviour_log_probs_BT: Tensor,
    advantages_B: Tensor,
    settings: Mapping[str, Any],
) -> Tensor:
    """Return -min(rho A, clip(rho, 1 - eps, 1 + eps) A) for each token (DeepSeekMath, Eq. 3 without KL).

    log_probs_BT, behaviour_log_probs_BT: [B, T] log pi and log mu of the sampled tokens. Padding needs a
        finite ratio too (0 in both suffices): masking leaves 0 * rho in its gradient.
    advantages_B: [B] one for each sequence. settings: "clip" is eps.
    Returns [B, T], to be minimised, before masking and normalisation.
    """
    eps = settings["clip"]
    advantages_B1 = advantages_B[:, None]
    ratio_BT = (log_probs_BT - behaviour_log_probs_BT).exp()
    clipped_BT = ratio_BT.clamp(1 - eps, 1 + eps)
    return -(ratio_BT * advantages_B1).minimum(clipped_BT * advantages_B1)
