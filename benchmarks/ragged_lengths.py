"""Tokens per second of engine fsdp_vllm on ragged rows: by token budget, and padded to the longest row.

OMP_NUM_THREADS=1 python -m benchmarks.ragged_lengths
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from asymre.architecture import Architecture
from asymre.engines.fsdp_vllm.engine import FsdpEngine
from asymre.engines.fsdp_vllm.model import load_model
from asymre.engines.local.decoder import initial_weights
from asymre.engines.local.policy import save_policy
from asymre.seeding import torch_stream
from asymre.training.rollouts import Rollouts

ARCHITECTURE = Architecture("llama", 128, 352, 4, 4, 2, 2000, True)
ROWS, PROMPT, LONGEST, BUDGET = 64, 32, 480, 4096


def ragged_rollouts(stream: torch.Generator) -> Rollouts:
    """Return completions of log-normal length, like those of a model that is sometimes truncated."""
    lengths = torch.empty(ROWS).log_normal_(4.7, 0.7, generator=stream).clamp(8, LONGEST).long()
    return Rollouts(
        problem_id=torch.arange(ROWS),
        prompts=torch.randint(ARCHITECTURE.vocabulary_size, (ROWS, PROMPT), generator=stream),
        prompt_lengths=torch.full((ROWS,), PROMPT),
        tokens=torch.randint(ARCHITECTURE.vocabulary_size, (ROWS, LONGEST), generator=stream),
        lengths=lengths,
        log_probs=torch.zeros(ROWS, LONGEST),
        reward=torch.ones(ROWS),
    )


def filled_up(rollouts: Rollouts) -> Rollouts:
    """Return the same completions after prompts so long that all rows are as long as the longest."""
    prompt_lengths = PROMPT + rollouts.lengths.max() - rollouts.lengths
    prompts = torch.zeros(ROWS, int(prompt_lengths.max()), dtype=torch.long)
    return replace(rollouts, prompts=prompts, prompt_lengths=prompt_lengths)


def seconds(engine: FsdpEngine, rollouts: Rollouts) -> float:
    """Return the seconds of one gradient step on all rows."""
    start = time.perf_counter()
    for part in engine.micro_batches(rollouts, torch.arange(ROWS)):
        engine.backward(engine.log_probs(rollouts, part)[0].sum() / ROWS)
    engine.update(1.0)
    return time.perf_counter() - start


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    stream = torch_stream("benchmark")
    with tempfile.TemporaryDirectory() as folder:
        save_policy(Path(folder), ARCHITECTURE, initial_weights(ARCHITECTURE, stream))
        model = load_model(Path(folder))
    settings = {"learning_rate": 1e-5, "tokens_per_micro_batch": BUDGET, "chunk": 512, "dtype": "float32"}
    engine = FsdpEngine(model, **settings, checkpoint_activations=True)
    ragged = ragged_rollouts(stream)
    filled = filled_up(ragged)
    seconds(engine, ragged)
    times = [(seconds(engine, ragged), seconds(engine, filled)) for _ in range(3)]
    tokens = int((ragged.prompt_lengths + ragged.lengths).sum())
    by_budget, to_maximum = (tokens / min(column) for column in zip(*times, strict=True))
    print(f"{ROWS} rows of {PROMPT} + {int(ragged.lengths.min())} to {int(ragged.lengths.max())} tokens")
    print(f"by token budget:       {by_budget:.0f} tokens/s")
    print(f"padded to the longest: {to_maximum:.0f} tokens/s")
    print(f"ratio:                 {by_budget / to_maximum:.2f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
