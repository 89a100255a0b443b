"""The training engine of the gpu scale: a transformers model, sharded over ranks with FSDP2.

Shapes: R rollouts, B rows of a gradient step, b rows of a micro-batch, T new tokens, S tokens of a row.
"""

import math
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.utils.checkpoint import checkpoint

from asymre.engines.fsdp_vllm import micro_batches
from asymre.engines.fsdp_vllm.log_probs import Scorer
from asymre.engines.fsdp_vllm.model import allocate, require_float32
from asymre.training.rollouts import Rollouts


class FsdpEngine:
    """A sharded policy and its optimiser. Every rank creates one and makes the same calls.

    Gradients are sums over all micro-batches of all ranks, so the number of ranks changes a result only by
    the rounding of sums.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        learning_rate: float,
        tokens_per_micro_batch: int,
        chunk: int,
        dtype: str,
        checkpoint_activations: bool,
        skip_equal_groups_of: int | None = None,
    ):
        """Shard the model in place.

        model: from `model.empty_model`: each rank allocates only its share, with undefined content, and
        `load_weights` or `load_state` must follow. Or from `load_model`, which keeps its weights.

        tokens_per_micro_batch: rows times longest row, including padding. chunk: tokens whose logits exist at
        one time. dtype: of the computation, "float32" or "bfloat16"; weights, gradients and moments are
        always float32. skip_equal_groups_of: G, if groups of G rows with equal rewards add nothing to the
        gradient: these run without one. The process group must be initialised.
        """
        self.device = process_device()
        self.model = model
        self._budget = tokens_per_micro_batch
        self._group_size = skip_equal_groups_of
        self._without_gradient: set[int] = set()
        self._scorer: Any = Scorer(model, chunk)  # Any: FSDP adds methods
        _shard(self._scorer, self.device, dtype, checkpoint_activations)
        allocate(self._scorer, self.device)
        require_float32(model)
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.0, fused=True)
        # Allocated now, not in the first step: memory is known from the start, and `load_state` can fill it.
        for parameter in model.parameters():
            self.optimiser.state[parameter] = {
                "step": torch.tensor(0.0, device=self.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def micro_batches(self, rollouts: Rollouts, rows_B: Tensor) -> list[Tensor]:
        """Return the positions within `rows_B` that this rank computes, one tensor per micro-batch.

        `rows_B` must hold whole groups, in order. Groups that need no gradient come last, in separate
        micro-batches.
        """
        lengths_B = (rollouts.prompt_lengths + rollouts.lengths)[rows_B]
        equal_B = self._equal(rollouts.reward[rows_B])
        last = self._split(lengths_B, equal_B)
        # A rank without rows cannot see that the others run theirs without gradient.
        if not all(len(part) for share in last for part in share):
            equal_B, last = torch.zeros_like(equal_B), [[]] * len(last)
        self._without_gradient = set(rows_B[equal_B].tolist())
        rank = dist.get_rank()
        return self._split(lengths_B, ~equal_B)[rank] + last[rank]

    def _equal(self, reward_B: Tensor) -> Tensor:
        """Return a mask [B], true in groups with equal rewards; all false if these need a gradient."""
        if self._group_size is None:
            return torch.zeros(len(reward_B), dtype=torch.bool)
        reward_PG = reward_B.view(-1, self._group_size)
        return (reward_PG == reward_PG[:, :1]).all(1).repeat_interleave(self._group_size)

    def _split(self, lengths_B: Tensor, chosen_B: Tensor) -> list[list[Tensor]]:
        """Return every rank's micro-batches of the chosen rows, as positions among all B."""
        positions = chosen_B.nonzero()[:, 0]
        shares = micro_batches.split(lengths_B[positions].tolist(), self._budget, dist.get_world_size())
        return [[positions[part] for part in share] for share in shares]

    def log_probs(self, rollouts: Rollouts, rows_b: Tensor) -> tuple[Tensor, Tensor]:
        """Return log pi of each generated token and the entropy where it was chosen: [b, T], 0 on padding.

        Without gradient for rows that, according to the last `micro_batches`, need none.
        """
        if len(rows_b) and int(rows_b[0]) in self._without_gradient:
            with torch.no_grad():
                return self._log_probs(rollouts, rows_b)
        return self._log_probs(rollouts, rows_b)

    def _log_probs(self, rollouts: Rollouts, rows_b: Tensor) -> tuple[Tensor, Tensor]:
        # A rank without rows runs a dummy row: FSDP's all-gather needs every rank.
        rows = rows_b if len(rows_b) else torch.zeros(1, dtype=torch.long)
        lengths = rollouts.lengths[rows] if len(rows_b) else torch.zeros(1, dtype=torch.long)
        ids_BS, scored_BT = _sequences(rollouts, rows, lengths)
        row_N, step_N = scored_BT.nonzero(as_tuple=True)
        arguments = (ids_BS, row_N, rollouts.prompt_lengths[rows][row_N] - 1 + step_N)
        target_N = rollouts.tokens[rows][scored_BT]
        values = self._scorer(*(a.to(self.device) for a in (*arguments, target_N)))
        if not torch.is_grad_enabled():
            # As the backward pass does: otherwise embeddings and head would stay gathered.
            self._scorer.reshard()
        where = row_N.to(self.device), step_N.to(self.device)
        empty_BT = torch.zeros(scored_BT.shape, device=self.device)
        log_probs_BT, entropy_BT = (empty_BT.index_put(where, value) for value in values)
        return log_probs_BT[: len(rows_b)], entropy_BT[: len(rows_b)]

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of this micro-batch's share of the loss to the sum over all ranks."""
        if loss.requires_grad:
            loss.backward()

    def total(self, tensor: Tensor) -> Tensor:
        """Return, on every rank, the sum of a tensor over ranks, on the tensor's device."""
        total = tensor.detach().to(self.device, copy=True)
        dist.all_reduce(total)
        return total.to(tensor.device)

    def update(self, clip: float) -> float:
        """Clip the gradient's global norm at `clip`, take one step and return the norm before clipping.

        If the norm is not finite, no step is taken, as in `asymre.engines.local.engine`.
        """
        for parameter in self.model.parameters():
            # After a step without gradients: moments still decay and move the weights.
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        all_gradients: list[Any] = [parameter.grad for parameter in self.model.parameters()]
        gradients = [gradient.to_local() for gradient in all_gradients]
        # Not clip_grad_norm_: on a CPU torch sums the squares of a large tensor one by one in float32. For an
        # embedding of 28 million that is off by 1e-3, and differently for each number of ranks.
        squares = [torch.linalg.vector_norm(g, dim=-1).double().square().sum() for g in gradients]
        norm = self.total(torch.stack(squares).sum()).sqrt().item()
        if math.isfinite(norm):
            for gradient in gradients:
                gradient.mul_(min(1.0, clip / (norm + 1e-6)))
            self.optimiser.step()
        self.optimiser.zero_grad()
        return norm


def process_device() -> torch.device:
    """Return the device of this rank: its own GPU under nccl, otherwise the CPU."""
    if dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def _sequences(rollouts: Rollouts, rows_b: Tensor, lengths_b: Tensor) -> tuple[Tensor, Tensor]:
    """Return prompts with completions [b, S], padded on the right, and a mask [b, T] of generated tokens."""
    prompt_lengths_b = rollouts.prompt_lengths[rows_b]
    ids_bS = torch.zeros(len(rows_b), int((prompt_lengths_b + lengths_b).max()), dtype=torch.long)
    for ids, row, start, count in zip(ids_bS, rows_b, prompt_lengths_b, lengths_b, strict=True):
        ids[:start] = rollouts.prompts[row, :start]
        ids[start : start + count] = rollouts.tokens[row, :count]
    return ids_bS, torch.arange(rollouts.tokens.shape[1]) < lengths_b[:, None]


def _shard(scorer: Scorer, device: torch.device, dtype: str, checkpoint_activations: bool) -> None:
    precision = MixedPrecisionPolicy(param_dtype=getattr(torch, dtype), reduce_dtype=torch.float32)
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for layer in scorer.model.get_decoder().layers:
        if checkpoint_activations:
            # Inside FSDP's hooks, which wrap forward: recomputation does not gather the weights again.
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
        fully_shard(layer, mesh=mesh, mp_policy=precision)
    # The root holds the rest: embedding, last norm and head, tied or not.
    fully_shard(scorer, mesh=mesh, mp_policy=precision)
    for module in scorer.modules():
        if isinstance(module, FSDPModule):
            # FSDP averages over ranks; gloo cannot scale within a reduction, so both calls are needed.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
