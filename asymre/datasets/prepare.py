"""Training and test problems of a real data set, with counts of the rows read, dropped and kept."""

import json
from typing import Any

import pyarrow as pa

from asymre.datasets import math_split
from asymre.datasets.numina import COLUMNS, TEXTS, split, verifiable_problems
from asymre.datasets.readers import READERS, choose, column, read_file, read_math, source_files, texts
from asymre.rewards.verifier import Verifier
from asymre.seeding import numpy_stream
from asymre.specs import DatasetProblemsSpec

Prepared = tuple[dict[str, pa.Table], dict[str, Any]]  # problems by split, counts
# A wrong column makes most answers unverifiable.
_UNVERIFIABLE = 0.01


def prepare_published(spec: DatasetProblemsSpec, verifier: Verifier) -> Prepared:
    """Return training and test problems, each from its source, whose answers are equal to themselves."""
    read_source = READERS[spec.format]
    assert spec.train and spec.test
    sources = {"train": spec.train, "test": spec.test}
    sizes = {"train": spec.train_problems, "test": spec.test_problems}
    read = {name: read_source(source_files(source)) for name, source in sources.items()}
    test, in_test = math_split.test_problems(read["test"])
    train, in_train = math_split.training_problems(
        read["train"], read["test"], keep_overlaps=spec.overlap == "keep"
    )
    tables, counts = {}, {}
    for name, table, own in (("train", train, in_train), ("test", test, in_test)):
        tables[name] = _verifiable(table, spec.format, ", ".join(sources[name].files), verifier)
        counts[name] = {
            "read": read[name].num_rows,
            **own,
            "not verifiable": table.num_rows - tables[name].num_rows,
            "usable": tables[name].num_rows,
        }
    print(json.dumps(counts), flush=True)
    for name in sizes:
        stream = numpy_stream("problems", spec.seed, name)
        tables[name] = choose(tables[name], sizes[name], stream, name)
        counts[name]["kept"] = tables[name].num_rows
    return tables, counts


def _verifiable(table, format, files, verifier):
    """Return the rows whose answer is equal to itself; ValueError if too few for files of this format."""
    errors = verifier.gold_errors(table["answer"].to_pylist())
    bad = [row for row, error in enumerate(errors) if error]
    if len(bad) > _UNVERIFIABLE * len(errors):
        first = table.slice(bad[0], 1).to_pylist()[0]
        raise ValueError(
            f"{files}: {len(bad)} of {len(errors)} answers cannot be verified; the first, "
            f"{first['answer'][:80]!r} of {first['source']}, {errors[bad[0]]}: are these files of format "
            f"{format}?"
        )
    return table.filter(pa.array([error is None for error in errors], pa.bool_()))


def prepare_numina(spec: DatasetProblemsSpec, verifier: Verifier) -> Prepared:
    """Return one source, filtered and split; `held_out` names problems that neither part may overlap."""
    assert spec.source and spec.held_out
    parts = []
    for path in source_files(spec.source):
        table = read_file(path)
        columns = [(texts if name in TEXTS else column)(table, name, path) for name in COLUMNS]
        # As text, because the files of one data set may differ in type.
        parts.append(pa.table([_as_text(values) for values in columns], names=COLUMNS))
    table = pa.concat_tables(parts)
    held_out = read_math(source_files(spec.held_out))["prompt"].to_pylist()
    problems, dropped = verifiable_problems(table, held_out, verifier.gold_errors)
    counts = {"read": table.num_rows, "dropped": dropped, "usable": problems.num_rows}
    print(json.dumps(counts), flush=True)
    sizes = {"train": spec.train_problems, "test": spec.test_problems}
    train, test = split(problems, **sizes, seed=spec.seed)
    return {"train": train, "test": test}, counts | {"kept": sizes}


def _as_text(values: list) -> pa.Array:
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def prepare(spec: DatasetProblemsSpec) -> Prepared:
    """Return the problems by split, and counts. Raises ValueError for files that cannot be used."""
    with Verifier() as verifier:
        return (prepare_numina if spec.format == "numina" else prepare_published)(spec, verifier)
