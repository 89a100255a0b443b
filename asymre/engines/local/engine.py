"""The local engine: a run's policy and optimiser in one process, as the training loop drives them."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import pad
from torch.optim.adamw import adamw

from asymre.architecture import Architecture
from asymre.engines.local.decoder import Weights, behind, forward, layout, products
from asymre.engines.local.device import CPU
from asymre.engines.local.sampling import entropy, shared_prefix
from asymre.engines.local.tokenizer import PADDING
from asymre.training.rollouts import Rollouts

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
_ADAMW: dict[str, Any] = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
_ADAMW |= {"amsgrad": False, "maximize": False, "fused": True}


class LocalEngine:
    """AdamW with a constant learning rate and without weight decay, on the weights of a decoder.

    dtype: of matrix products; weights, moments and everything else are float32.
    """

    def __init__(
        self,
        architecture: Architecture,
        weights: Weights,
        learning_rate: float,
        group_size: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device = CPU,
    ):
        self.architecture, self._group_size = architecture, group_size
        self._dtype, self.device = dtype, device
        # On the CPU a copy, so that the caller's weights stay as they are.
        self.weights = {
            name: weight.to(device, copy=True).requires_grad_() for name, weight in weights.items()
        }
        self._learning_rate = learning_rate
        self._moments = {
            f"{name}.{key}": torch.zeros_like(weight) if key != "step" else torch.tensor(0.0, device=device)
            for name, weight in self.weights.items()
            for key in _MOMENTS
        }

    def micro_batches(self, rollouts: Rollouts, rows: Tensor) -> list[Tensor]:
        """Return all rows as one micro-batch."""
        return [torch.arange(len(rows))]

    def log_probs(self, rollouts: Rollouts, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return `token_log_probs` of whole groups; columns after the longest completion are 0."""
        longest = int(rollouts.lengths[rows].max())
        prompts_PL = rollouts.prompts[rows][:: self._group_size]
        lengths_P = rollouts.prompt_lengths[rows][:: self._group_size]
        is_padding = torch.arange(prompts_PL.shape[1]) >= lengths_P[:, None]
        prompts_PL = prompts_PL.masked_fill(is_padding, PADDING)[:, : int(lengths_P.max())]
        tokens_BT = rollouts.tokens[rows]
        weights = products(self.weights, self._dtype)
        found = token_log_probs(weights, self.architecture, prompts_PL, tokens_BT[:, :longest])
        log_probs_BT, entropy_BT = (pad(values, (0, tokens_BT.shape[1] - longest)) for values in found)
        return log_probs_BT, entropy_BT

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def total(self, tensor: Tensor) -> Tensor:
        """Return the tensor: there is only one process."""
        return tensor

    def update(self, clip: float) -> float:
        """Clip the gradient to the norm `clip`, take one step and return the norm before clipping.

        If the norm is not finite, no step is taken. So the weights stay finite: a step of AdamW is bounded by
        the learning rate, which the configuration limits to 1.
        """
        norm = torch.nn.utils.clip_grad_norm_(self.weights.values(), clip)
        if norm.isfinite():
            self._step()
        self._forget_gradients()
        return norm.item()

    def _forget_gradients(self) -> None:
        for weight in self.weights.values():
            weight.grad = None

    @torch.no_grad()
    def _step(self) -> None:
        # Not the class AdamW: it imports torch's compiler, which takes more than a second.
        first, second, steps = (
            [self._moments[f"{name}.{key}"] for name in self.weights]
            for key in ("exp_avg", "exp_avg_sq", "step")
        )
        weights = list(self.weights.values())
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        adamw(weights, gradients, first, second, [], steps, lr=self._learning_rate, **_ADAMW)

    def policy(self) -> Weights:
        """Return the weights without gradients."""
        return {name: weight.detach() for name, weight in self.weights.items()}

    def behaviour(self) -> Weights:
        """Return the weights from which to sample: their matrices have the dtype of products."""
        return products(self.policy(), self._dtype)

    def save_optimiser(self, path: Path) -> None:
        """Write AdamW's moments and step counts, named after the weights."""
        save_file(self._moments, path)

    def load_optimiser(self, path: Path) -> None:
        """Load what `save_optimiser` wrote. Raises ValueError if it belongs to other weights."""
        tensors = load_file(path, device=str(self.device))
        if set(tensors) != set(self._moments):
            raise ValueError("the optimiser state does not belong to these weights")
        self._moments = tensors


def token_log_probs(
    weights: Weights, architecture: Architecture, prompts_PL: Tensor, tokens_BT: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the log-probability of each completion token and the entropy where it was chosen, both [B, T].

    A prompt, padded with PADDING, and its G completions are one sequence (`decoder.layout`). If all prompts
    begin with the same tokens, these and everything behind them are one sequence (`decoder.behind`).
    """
    (prompts, prompt), (rows, steps) = prompts_PL.shape, tokens_BT.shape
    group, device = rows // prompts, weights["model.norm.weight"].device
    lengths_P, shared = (prompts_PL != PADDING).sum(1), shared_prefix(prompts_PL)
    padded = bool((lengths_P != prompt).any())
    places = layout(prompt - shared, group, steps - 1, lengths_P - shared if padded else None)
    by_step_BT = tokens_BT.view(prompts, group, steps).transpose(1, 2)
    tokens_PS = torch.cat([prompts_PL[:, shared:].clamp(min=0), by_step_BT[:, :-1].flatten(1)], dim=1)
    if shared:
        tokens = torch.cat([prompts_PL[0, :shared], tokens_PS.flatten()])[None]
        logits, _ = forward(
            weights, architecture, tokens.to(device), layout_S=behind(shared, places, prompts)
        )
        logits_PSV = logits[0, shared:].unflatten(0, tokens_PS.shape)
    else:
        logits_PSV, _ = forward(weights, architecture, tokens_PS.to(device), layout_S=places)
    last_PV = logits_PSV[torch.arange(prompts), lengths_P - shared - 1]
    first, rest = last_PV[:, None].expand(-1, group, -1), logits_PSV[:, prompt - shared :]
    log_probs = torch.cat([first, rest], dim=1).log_softmax(-1)  # [P, T * G, V], step by step
    chosen = log_probs.gather(2, by_step_BT.flatten(1)[:, :, None].to(device))[:, :, 0]

    def by_row(values: Tensor) -> Tensor:
        return values.view(prompts, steps, group).transpose(1, 2).reshape(rows, steps)

    return by_row(chosen), by_row(entropy(log_probs.detach()))
