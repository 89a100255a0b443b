"""Log-probabilities and entropy of generated tokens, without the logits of a whole batch in memory.

Shapes: B rows, S tokens per row, N scored tokens of all rows, C hidden size, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class Scorer(nn.Module):
    """Decoder and head as one module: FSDP gathers the head's weight only within its module's forward."""

    def __init__(self, model: nn.Module, chunk: int):
        """Wrap a causal language model of transformers. chunk: tokens whose logits exist at one time."""
        super().__init__()
        self.model: Any = model
        self.chunk = chunk

    def forward(self, ids_BS: Tensor, row_N: Tensor, position_N: Tensor, target_N: Tensor):
        """Return log pi(target | all tokens before it) at temperature 1, and the entropy there: [N], float32.

        ids_BS: rows padded on the right. row_N, position_N: of the token before each target.
        The entropy carries no gradient.
        """
        # No mask: the decoder is causal, so padding on the right affects no token before it.
        hidden_BSC = self.model.get_decoder()(input_ids=ids_BS, use_cache=False).last_hidden_state
        hidden_NC = hidden_BSC[row_N, position_N]
        weight_VC = self.model.get_output_embeddings().weight
        parts = [
            checkpoint(_score, hidden, weight_VC, target, use_reentrant=False, preserve_rng_state=False)
            for hidden, target in zip(hidden_NC.split(self.chunk), target_N.split(self.chunk), strict=True)
        ]
        log_probs, entropies = zip(*parts, strict=True)
        return torch.cat(log_probs), torch.cat(entropies)


def _score(hidden_NC: Tensor, weight_VC: Tensor, target_N: Tensor) -> tuple[Tensor, Tensor]:
    # The softmax is in float32; the logits have the type of the computation, as in vLLM.
    log_probs_NV = functional.linear(hidden_NC, weight_VC).float().log_softmax(-1)
    chosen_N = log_probs_NV.gather(1, target_N[:, None])[:, 0]
    # Last: recomputation for the backward pass stops once it has all that it needs.
    with torch.no_grad():
        entropy_N = -log_probs_NV.exp().mul_(log_probs_NV).sum(-1)
    return chosen_N, entropy_N
