"""Normalisation: from the loss of each token to the scalar that is minimised."""

from torch import Tensor


def normalise(token_loss_BT: Tensor, mask_BT: Tensor, how: str, *, sequences: int, tokens: int) -> Tensor:
    """Reduce the token losses of a micro-batch to its share of the loss of the whole batch.

    token_loss_BT: [B, T]. mask_BT: [B, T] bool, true on generated tokens; a row may have none.
    sequences, tokens: totals of the whole batch, so that the shares of its micro-batches add up exactly.
    how: "token_sum", sum over all tokens / sequences (Eq. 4: log pi(y|x) is a sum over tokens);
        "token_mean", sum over all tokens / tokens;
        "sequence_mean", sum over sequences of the mean over their tokens / sequences.
    Returns a scalar. Raises ValueError for another `how`.
    """
    # Not multiplied by the mask: a loss on padding may be infinite, and 0 * inf is NaN.
    sum_B = token_loss_BT.masked_fill(~mask_BT, 0.0).sum(dim=1)
    if how == "token_sum":
        return sum_B.sum() / sequences
    if how == "token_mean":
        return sum_B.sum() / max(tokens, 1)
    if how == "sequence_mean":
        return (sum_B / mask_BT.sum(dim=1).clamp(min=1)).sum() / sequences
    raise ValueError(f"unknown normalisation {how!r}: token_sum, token_mean or sequence_mean")
