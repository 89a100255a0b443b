"""AsymRE with another weight on groups of a single reward, for ablations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asymre.objectives import asymre

if TYPE_CHECKING:
    from torch import Tensor


def advantages(rewards_PG: Tensor, settings: Mapping[str, Any], weight: float) -> Tensor:
    """Return AsymRE's advantages, times `weight` in groups in which all rewards are equal.

    There they are -delta_v: below delta_v = 0, all that such groups do is to pull the policy back to mu.
    Shapes, units and errors as in `asymre.advantages`.
    """
    mixed_P1 = rewards_PG.amax(1, keepdim=True) > rewards_PG.amin(1, keepdim=True)
    full_PG = asymre.advantages(rewards_PG, settings)
    return full_PG.where(mixed_P1, weight * full_PG)
