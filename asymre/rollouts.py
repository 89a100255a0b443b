"""Rollouts: the completions of one cycle, sampled from the frozen behaviour policy, with their rewards.

Shapes: S gradient steps of the cycle, P prompts a step, G samples a prompt, T tokens.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from asymre.architecture import Architecture
from asymre.arithmetic import is_correct
from asymre.decoder import Weights
from asymre.sampling import sample
from asymre.streams import numpy_stream, torch_stream
from asymre.tokenizer import VOCABULARY_SIZE, decode, encode


@dataclass(frozen=True)
class Rollouts:
    """Rows in the order of use: step by step, prompt by prompt, sample by sample."""

    problem_id: Tensor  # [S * P * G]
    tokens: Tensor  # [S * P * G, T], filled up with the end token
    log_probs: Tensor  # [S * P * G, T] under the behaviour policy
    reward: Tensor  # [S * P * G]


def problem_order(*, seed: int, first: int, count: int, problems: int) -> np.ndarray:
    """Indices [count] of the problems from position `first` of a run's endless shuffled sequence.

    Each epoch is a permutation of all problems, decided by the seed: the order does not depend on N.
    """
    epochs = range(first // problems, (first + count - 1) // problems + 1)
    order = np.concatenate([numpy_stream("order", seed, e).permutation(problems) for e in epochs])
    start = first - epochs.start * problems
    return order[start : start + count]


def sample_rollouts(
    weights: Weights,
    architecture: Architecture,
    problems: pa.Table,
    params: dict[str, Any],
    *,
    seed: int,
    first_step: int,
    steps: int,
) -> Rollouts:
    """Completions for the gradient steps `first_step` to `first_step + steps - 1` of a run.

    params: prompts_per_step, group_size, max_new_tokens, temperature, top_p, rewards, prompts_per_batch.
    """
    per_step, group = params["prompts_per_step"], params["group_size"]
    index = problem_order(
        seed=seed, first=first_step * per_step, count=steps * per_step, problems=problems.num_rows
    )
    prompts, answers = problem_arrays(problems)
    completions = sample(
        weights,
        architecture,
        prompts[torch.from_numpy(index)],
        group_size=group,
        max_new_tokens=params["max_new_tokens"],
        temperature=params["temperature"],
        top_p=params["top_p"],
        generator=torch_stream("rollouts", seed, first_step),
        prompts_per_batch=params["prompts_per_batch"],
    )
    correct = verify(completions.tokens_RT, answers[index].repeat(group))
    rewards = params["rewards"]
    return Rollouts(
        problem_id=torch.from_numpy(index.repeat(group)),
        tokens=completions.tokens_RT,
        log_probs=completions.log_probs_RT,
        reward=torch.where(correct, rewards["correct"], rewards["wrong"]).float(),
    )


def problem_arrays(problems: pa.Table) -> tuple[Tensor, np.ndarray]:
    """Prompt tokens [problems, L] and answers [problems]."""
    texts = problems["prompt"].to_pylist()
    return torch.from_numpy(encode(texts, len(texts[0]))), problems["answer"].to_numpy()


def verify(tokens_RT: Tensor, answers_R: np.ndarray) -> Tensor:
    """Whether the text of each completion ends in the right answer [R]."""
    texts = decode(tokens_RT.numpy())
    return torch.tensor([is_correct(t, a) for t, a in zip(texts, answers_R.tolist(), strict=True)])


def write_rollouts(path: Path, rollouts: Rollouts, group_size: int) -> None:
    """One row a completion, with its text for the reader."""
    rows, width = rollouts.tokens.shape
    table = pa.table(
        {
            "problem_id": rollouts.problem_id.numpy(),
            "sample": np.arange(rows) % group_size,
            "tokens": _lists(rollouts.tokens.to(torch.int32)),
            "log_probs": _lists(rollouts.log_probs),
            "reward": rollouts.reward.numpy(),
            "text": decode(rollouts.tokens.numpy()),
        }
    )
    pq.write_table(table, path)


def read_rollouts(path: Path, rows: int, problems: int) -> Rollouts:
    """Rollouts of exactly `rows` completions of the first `problems` problems; else ValueError."""
    table = pq.read_table(path)
    missing = {f.name for f in fields(Rollouts)} - set(table.schema.names)
    if missing or table.num_rows != rows:
        raise ValueError(f"must have {rows} rows (has {table.num_rows}), lacks columns {missing}")
    rollouts = Rollouts(
        problem_id=torch.from_numpy(table["problem_id"].to_numpy().copy()),
        tokens=_matrix(table["tokens"], rows).long(),
        log_probs=_matrix(table["log_probs"], rows),
        reward=torch.from_numpy(table["reward"].to_numpy().copy()),
    )
    for name, ids, count in (
        ("problem_id", rollouts.problem_id, problems),
        ("tokens", rollouts.tokens, VOCABULARY_SIZE),
    ):
        if ids.min() < 0 or ids.max() >= count:
            raise ValueError(f"{name} must lie between 0 and {count - 1}")
    if not (rollouts.log_probs.isfinite().all() and rollouts.reward.isfinite().all()):
        raise ValueError("log-probabilities and rewards must be finite")
    return rollouts


def _lists(matrix: Tensor) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.flatten().numpy()), matrix.shape[1])


def _matrix(column: pa.ChunkedArray, rows: int) -> Tensor:
    flat = column.combine_chunks().flatten().to_numpy()
    return torch.from_numpy(flat.reshape(rows, -1).copy())
