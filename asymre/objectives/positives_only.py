"""Positives only: maximum likelihood on the correct answers among the rollouts.

Gradient ascent on E_{y~mu}[ max(r, 0) log pi(y|x) ]. With rewards 0 and 1 this is REINFORCE with the fixed
baseline V = 0, which the AsymRE paper names as one extreme: learning from successes alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asymre.objectives import asymre
from asymre.objectives._entry import Objective

if TYPE_CHECKING:
    from torch import Tensor

OBJECTIVE = Objective(label="positives only", colour="#8b6518", takes_ratio=False)

token_loss = asymre.token_loss


def advantages(rewards_PG: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """Return max(r, 0) for each sample: rewards_PG [P, G], P prompts, G samples each. settings: unused."""
    return rewards_PG.clamp(min=0)
