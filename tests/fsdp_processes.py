"""What tests of engine fsdp_vllm run on processes of their own, and the data that they run on."""

import ctypes
import gc
import os
import signal
import weakref
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from asymre.engines.fsdp_vllm import model, training
from asymre.engines.fsdp_vllm.state import save_state, write_policy
from asymre.training.loop import train_cycle
from asymre.training.rollouts import Rollouts
from tests.specs import ROLLOUTS, TRAINING

WIDTH = ROLLOUTS.max_new_tokens
GROUP, BATCH = ROLLOUTS.group_size, ROLLOUTS.batch
STEPS = 20


def ragged_rollouts(rows, vocabulary_size=15, width=WIDTH, seed=0):
    """Made-up rollouts whose prompts (1 to 9 tokens) and completions (1 to `width`) have all lengths."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, width + 1, (rows,), generator=generator)
    return Rollouts(
        problem_id=torch.arange(rows) // GROUP,
        prompts=torch.randint(vocabulary_size, (rows, 9), generator=generator),
        prompt_lengths=torch.randint(1, 10, (rows,), generator=generator),
        tokens=torch.randint(vocabulary_size, (rows, width), generator=generator),
        lengths=lengths,
        log_probs=-torch.rand(rows, width, generator=generator) * (torch.arange(width) < lengths[:, None]),
        reward=torch.randint(2, (rows,), generator=generator) * 2.0 - 1,
    )


SETTINGS = {
    "learning_rate": 1e-3,
    "tokens_per_micro_batch": 40,
    "chunk": 7,
    "dtype": "float32",
    "checkpoint_activations": True,
}


def make_engine(policy: Path, state: Path | None = None, **settings):
    return training.make_engine(policy, state, **SETTINGS | settings)


def no_progress(steps, text):
    """Takes what a job would print."""


def loaded_weights(policies):
    """Of each policy folder its weights, and how many numbers all processes together read for them."""
    read, found = model._read, []

    def counted(*arguments):
        values = read(*arguments)
        count.add_(values.numel())
        return values

    model._read = counted
    for policy in policies:
        count = torch.tensor(0)
        engine = make_engine(policy)
        dist.all_reduce(count)
        weights = {name: p.detach().full_tensor().numpy() for name, p in engine.model.named_parameters()}
        found.append((weights, count.item()))
    return found


def train(policy, first_step, until, state=None, out=None, die=False):
    """Metrics of the steps from `policy`, or from `state`; writes state and snapshots below `out`."""
    engine = make_engine(policy, state)
    rows = slice(first_step * BATCH, until * BATCH)
    rollouts = Rollouts(**{name: t[rows] for name, t in vars(ragged_rollouts(STEPS * BATCH)).items()})
    metrics = list(train_cycle(engine, rollouts, TRAINING, first_step))
    if out:
        save_state(engine, out / "state")
        write_policy(engine, out / "bfloat16", policy, "bfloat16")
        write_policy(engine, out / "float32", policy, "float32")
    if die:
        dist.barrier()
        list(train_cycle(engine, rollouts, TRAINING, first_step))
        os.kill(os.getpid(), signal.SIGKILL)
    return metrics


def cycle(policy, spec, rollouts, settings):
    """Metrics of the steps of a cycle, and the weights after it."""
    engine = make_engine(policy, **settings)
    metrics = list(train_cycle(engine, rollouts, spec, 0))
    weights = {name: p.detach().full_tensor().numpy() for name, p in engine.model.named_parameters()}
    return metrics, weights


def peak_memory(policy, small, vocabulary_size, settings):
    """Bytes that two steps take at their peak, beyond what stays after the same with a small policy."""
    # Freed memory goes back at once: else what the process holds is not what it needs.
    assert ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, 1 << 16)
    two_steps(small, 15, settings)
    gc.collect()
    before = memory_of_this_process("VmRSS")
    # The peak so far is forgotten.
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    two_steps(policy, vocabulary_size, settings)
    return memory_of_this_process("VmHWM") - before


MMAP_THRESHOLD = -3  # of malloc.h


def memory_of_this_process(name):
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def two_steps(policy, vocabulary_size, settings):
    """Of two full micro-batches each."""
    engine = make_engine(policy, **settings)
    budget = settings["tokens_per_micro_batch"]
    width = min(budget, 512)
    rollouts = ragged_rollouts(2 * budget // width, vocabulary_size, width - 9)
    full = torch.full_like(rollouts.lengths, width - 9)
    rollouts = replace(rollouts, lengths=full, prompt_lengths=torch.full_like(full, 9))
    for _ in range(2):
        parts = engine.micro_batches(rollouts, torch.arange(len(full)))
        assert len(parts) == 2
        for part in parts:
            engine.backward(engine.log_probs(rollouts, part)[0].sum())
        engine.update(1.0)


def one_row(policy):
    """Loss and gradient norm of a batch with fewer rows than processes."""
    engine, rollouts = make_engine(policy), ragged_rollouts(1)
    loss = torch.zeros(())
    parts = engine.micro_batches(rollouts, torch.arange(1))
    for part in parts:
        share = -engine.log_probs(rollouts, part)[0].sum()
        engine.backward(share)
        loss += share.detach()
    return [len(parts), engine.total(loss).item(), engine.update(1.0)]


def rank_sum():
    total = torch.tensor(float(os.environ["RANK"]) + 1)
    dist.all_reduce(total)
    return total.item()


def fail_on_the_last(error):
    if dist.get_rank() == dist.get_world_size() - 1:
        if error is None:
            os.kill(os.getpid(), signal.SIGKILL)
        raise error
    dist.barrier()


class Allocations(TorchDispatchMode):
    """Bytes of the tensors that live, and the most of them so far."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self._known = set()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        out = function(*arguments, **keywords or {})
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        return out

    def _add(self, storage):
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key, size):
        self._known.discard(key)
        self.live -= size
