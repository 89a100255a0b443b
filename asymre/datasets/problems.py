"""Problems drawn from a task, as a table with problem_id, prompt and answer for each split."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from asymre.io import read_parquet
from asymre.seeding import numpy_stream
from asymre.tasks import Task

_SCHEMA = pa.schema([("problem_id", pa.int64()), ("prompt", pa.string()), ("answer", pa.int64())])


def generate_problems(task: Task, *, count: int, split: str, seed: int) -> pa.Table:
    """Return `count` problems of a split ("train" or "test"), different ones if the task's are `distinct`.

    The configuration rejects counts near the number of all problems: drawing them would not end.
    """
    rng = numpy_stream("problems", seed, split)
    drawn = list(task.draw(count, split, rng))
    if task.distinct:
        problems = dict(drawn)
        while len(problems) < count:
            problems.update(task.draw(count, split, rng))
        drawn = list(problems.items())[:count]
    prompts, answers = zip(*drawn, strict=True)
    columns = [np.arange(count), prompts, answers]
    return pa.table(dict(zip(_SCHEMA.names, columns, strict=True)), schema=_SCHEMA)


def write_problems(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path)


def read_problems(path: Path) -> pa.Table:
    """Return problems with the columns of `generate_problems`; ValueError for anything else."""
    table = read_parquet(path)
    if table.schema.names != _SCHEMA.names or table.num_rows == 0:
        raise ValueError(f"must have rows and the columns {', '.join(_SCHEMA.names)}")
    return table
