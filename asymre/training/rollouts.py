"""Rollouts: the completions of one cycle, sampled from the frozen behaviour policy, with their rewards.

Shapes: R completions, L prompt tokens, at most T new tokens.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from asymre.io import read_parquet
from asymre.seeding import numpy_stream
from asymre.specs import TrainingSpec

FILE = "rollouts.parquet"
_SCHEMA = pa.schema(
    [
        ("problem_id", pa.int64()),
        ("sample", pa.int64()),
        ("prompt_tokens", pa.list_(pa.int32())),
        ("tokens", pa.list_(pa.int32())),
        ("log_probs", pa.list_(pa.float32())),
        ("reward", pa.float32()),
        ("verdict", pa.string()),
        ("truncated", pa.bool_()),
        ("text", pa.string()),
    ]
)


@dataclass(frozen=True)
class Rollouts:
    """Rollouts in the order of use: by step, then prompt, then sample."""

    problem_id: Tensor  # [R]
    prompts: Tensor  # [R, L], padded on the right
    prompt_lengths: Tensor  # [R]
    tokens: Tensor  # [R, T], padded on the right
    lengths: Tensor  # [R] generated tokens, the end token included
    log_probs: Tensor  # [R, T] under the behaviour policy at temperature 1; 0 on padding
    reward: Tensor  # [R]

    @property
    def mask(self) -> Tensor:
        """Return a mask [R, T], true on generated tokens."""
        return torch.arange(self.tokens.shape[1]) < self.lengths[:, None]


def problem_order(*, seed: int, first: int, count: int, problems: int) -> np.ndarray:
    """Return the indices [count] of problems from position `first` of a run's endless shuffled sequence.

    Each epoch is a permutation of all problems that depends on the seed alone, not on N.
    """
    epochs = range(first // problems, (first + count - 1) // problems + 1)
    order = np.concatenate([numpy_stream("order", seed, e).permutation(problems) for e in epochs])
    start = first - epochs.start * problems
    return order[start : start + count]


def reused(rollouts: Rollouts, group_size: int, *, seed: int, epoch: int, groups: int) -> Rollouts:
    """Return the first `groups` groups of rollouts in an epoch's order; epoch 0 has the sampling order."""
    count = len(rollouts.reward) // group_size
    order = np.arange(count) if epoch == 0 else numpy_stream("reuse", seed, epoch).permutation(count)
    rows = torch.from_numpy(order[:groups, None] * group_size + np.arange(group_size)).flatten()
    return Rollouts(*(getattr(rollouts, field.name)[rows] for field in fields(Rollouts)))


def shards_in(folders: dict[str, Path]) -> list[Path]:
    """Return the files of a cycle's rollouts in order, from its inputs `rollouts_0`, `rollouts_1`, ..."""
    names = [name for name in folders if name.startswith("rollouts_")]
    return [folders[name] / FILE for name in sorted(names, key=lambda name: int(name.rpartition("_")[2]))]


def rows_of(spec: TrainingSpec, steps: int) -> int:
    """Return how many completions a cycle of `steps` steps reads; with a fixed mu, all cycles share them."""
    return (steps if spec.refreshed else spec.N) * spec.rollouts.batch


def of_cycle(sampled: Rollouts, spec: TrainingSpec, *, first_step: int, steps: int) -> Rollouts:
    """Return what a cycle trains on: its own rollouts, or the base policy's again in an epoch's order."""
    if spec.refreshed:
        return sampled
    assert spec.seed is not None
    return reused(
        sampled,
        spec.rollouts.group_size,
        seed=spec.seed,
        epoch=first_step // spec.N,
        groups=steps * spec.rollouts.prompts_per_step,
    )


def from_lists(
    *,
    problem_id: Tensor,
    prompts: list[list[int]],
    tokens: list[list[int]],
    log_probs: list[list[float]],
    reward: Tensor,
) -> Rollouts:
    """Return rollouts from R lists of different lengths, padded with 0."""
    padded, lengths = zip(*(_padded(lists) for lists in (prompts, tokens, log_probs)), strict=True)
    return Rollouts(
        problem_id=problem_id,
        prompts=padded[0].long(),
        prompt_lengths=lengths[0],
        tokens=padded[1].long(),
        lengths=lengths[1],
        log_probs=padded[2].float(),
        reward=reward,
    )


def _padded(lists: list[list]) -> tuple[Tensor, Tensor]:
    rows = [torch.tensor(values) for values in lists]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor([len(r) for r in rows])


def write_rollouts(
    path: Path,
    rollouts: Rollouts,
    group_size: int,
    *,
    verdicts: list[str],
    truncated: list[bool],
    texts: list[str],
) -> None:
    """Write one row per completion; verdict and text are for human readers."""
    columns = {
        "problem_id": rollouts.problem_id.numpy(),
        "sample": np.arange(len(rollouts.reward)) % group_size,
        "prompt_tokens": _lists(rollouts.prompts, rollouts.prompt_lengths),
        "tokens": _lists(rollouts.tokens, rollouts.lengths),
        "log_probs": _lists(rollouts.log_probs, rollouts.lengths),
        "reward": rollouts.reward.numpy(),
        "verdict": verdicts,
        "truncated": truncated,
        "text": texts,
    }
    pq.write_table(pa.table(columns, schema=_SCHEMA), path)


def write_no_rollouts(path: Path) -> None:
    """Write the empty file of a cycle whose run diverged earlier."""
    pq.write_table(_SCHEMA.empty_table(), path)


def read_rollouts(
    paths: list[Path], *, rows: int, problems: int, vocabulary_size: int, width: int, padding: int
) -> Rollouts:
    """Read the rollouts of a cycle from its files, in order; shorter rows are padded.

    width: T, the maximal number of tokens per completion. Raises ValueError unless the files hold `rows`
    completions of the first `problems` problems.
    """
    tables = [read_parquet(path) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        if table.schema.names != _SCHEMA.names:
            raise ValueError(f"{path.name} must have the columns {', '.join(_SCHEMA.names)}")
    table = pa.concat_tables(tables)
    if table.num_rows != rows:
        raise ValueError(f"must have {rows} rows (has {table.num_rows})")
    prompts, prompt_lengths = _matrix(table["prompt_tokens"], padding)
    tokens, lengths = _matrix(table["tokens"], padding, width)
    log_probs, log_prob_lengths = _matrix(table["log_probs"], 0.0, width)
    rollouts = Rollouts(
        problem_id=torch.from_numpy(table["problem_id"].to_numpy().copy()),
        prompts=prompts.long(),
        prompt_lengths=prompt_lengths,
        tokens=tokens.long(),
        lengths=lengths,
        log_probs=log_probs,
        reward=torch.from_numpy(table["reward"].to_numpy().copy()),
    )
    for name, ids, count in (
        ("problem_id", rollouts.problem_id, problems),
        ("prompt_tokens", rollouts.prompts, vocabulary_size),
        ("tokens", rollouts.tokens, vocabulary_size),
    ):
        if ids.min() < 0 or ids.max() >= count:
            raise ValueError(f"{name} must lie between 0 and {count - 1}")
    if not torch.equal(lengths, log_prob_lengths) or lengths.min() < 1 or prompt_lengths.min() < 1:
        raise ValueError("each row must have prompt tokens, and tokens with as many log-probabilities")
    if not (rollouts.log_probs.isfinite().all() and rollouts.reward.isfinite().all()):
        raise ValueError("log-probabilities and rewards must be finite")
    return rollouts


def _lists(matrix: Tensor, lengths: Tensor) -> pa.ListArray:
    kept = torch.arange(matrix.shape[1]) < lengths[:, None]
    offsets = np.concatenate([[0], lengths.cumsum(0).numpy()]).astype(np.int32)
    values = matrix[kept]
    values = values if values.is_floating_point() else values.to(torch.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.numpy()))


def _matrix(column: pa.ChunkedArray, padding: float, width: int | None = None) -> tuple[Tensor, Tensor]:
    """Return a column of lists as a matrix, padded on the right to `width`, and the lengths of its rows."""
    lists = column.combine_chunks()
    values = torch.from_numpy(lists.flatten().to_numpy(zero_copy_only=False).copy())
    lengths = torch.from_numpy(lists.value_lengths().to_numpy().copy()).long()
    longest = int(lengths.max())
    width = longest if width is None else width
    if longest > width:
        raise ValueError(f"a row has {longest} tokens, more than the limit of {width}")
    matrix = torch.full((len(lengths), width), padding, dtype=values.dtype)
    matrix[torch.arange(width) < lengths[:, None]] = values
    return matrix, lengths
