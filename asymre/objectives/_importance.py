"""Truncated importance weights of whole completions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def truncated_weights(log_probs_BT: Tensor, behaviour_log_probs_BT: Tensor, limit: float) -> Tensor:
    """Return min(pi(y|x) / mu(y|x), limit) for each sequence [B], without gradient.

    log_probs_BT, behaviour_log_probs_BT: [B, T] log pi and log mu of the sampled tokens, 0 on padding, so
    that a sum over tokens is the log-probability of the sequence.
    """
    log_ratio_B = (log_probs_BT.detach() - behaviour_log_probs_BT).sum(1)
    return log_ratio_B.exp().clamp(max=limit)
