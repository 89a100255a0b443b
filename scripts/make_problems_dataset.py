"""Turn a real problem set into train.parquet and test.parquet, with counts.json: rows read, dropped, kept."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

from asymre.data import math_split
from asymre.data.datasets import READERS, choose, column, read_file, read_math, source_files
from asymre.data.numina import COLUMNS, split, verifiable_problems
from asymre.data.verifier import Verifier
from asymre.record import job
from asymre.streams import numpy_stream

# A wrong column shows in most answers; a few that no parser reads are still compared as text.
_UNPARSABLE = 0.01


def make(params, inputs, folder):
    prepare = prepare_numina if params["format"] == "numina" else prepare_published
    with Verifier() as verifier:
        try:
            tables, counts = prepare(params, verifier)
        except ValueError as error:
            raise job.InputError(str(error)) from None
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    (folder / "counts.json").write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")


def prepare_published(params, verifier):
    """Train and test problems from a source each; their answers may be text, but most must be mathematics."""
    read_source = READERS[params["format"]]
    read = {name: read_source(source_files(params[name])) for name in ("train", "test")}
    test, in_test = math_split.test_problems(read["test"])
    train, in_train = math_split.training_problems(
        read["train"], read["test"], keep_overlaps=params["overlap"] == "keep"
    )
    tables, counts = {}, {}
    for name, table, own in (("train", train, in_train), ("test", test, in_test)):
        text = _compared_as_text(table, params["format"], ", ".join(params[name]["files"]), verifier)
        counts[name] = {
            "read": read[name].num_rows,
            **own,
            "usable": table.num_rows,
            "compared as text": text,
        }
    print(json.dumps(counts), flush=True)
    for name, table in (("train", train), ("test", test)):
        stream = numpy_stream("problems", params["seed"], name)
        tables[name] = choose(table, params[f"{name}_problems"], stream, name)
        counts[name]["kept"] = tables[name].num_rows
    return tables, counts


def _compared_as_text(table, format, files, verifier):
    """How many answers no parser reads; ValueError if these are too many for files of this format."""
    errors = verifier.gold_errors(table["answer"].to_pylist())
    bad = [row for row, error in enumerate(errors) if error]
    if len(bad) > _UNPARSABLE * len(errors):
        first = table.slice(bad[0], 1).to_pylist()[0]
        raise ValueError(
            f"{files}: {len(bad)} of {len(errors)} answers cannot be verified; the first, "
            f"{first['answer'][:80]!r} of {first['source']}, {errors[bad[0]]}: are these files of format "
            f"{format}?"
        )
    return len(bad)


def prepare_numina(params, verifier):
    """One source, filtered and cut in two; `held_out` names problems that neither part may overlap."""
    parts = []
    for path in source_files(params["source"]):
        table = read_file(path)
        parts.append(pa.table({name: column(table, name, path) for name in COLUMNS}))
    table = pa.concat_tables(parts, promote_options="permissive")
    held_out = read_math(source_files(params["held_out"]))["prompt"].to_pylist()
    problems, dropped = verifiable_problems(table, held_out, verifier.gold_errors)
    counts = {"read": table.num_rows, "dropped": dropped, "usable": problems.num_rows}
    print(json.dumps(counts), flush=True)
    sizes = {"train": params["train_problems"], "test": params["test_problems"]}
    train, test = split(problems, **sizes, seed=params["seed"])
    return {"train": train, "test": test}, counts | {"kept": sizes}


if __name__ == "__main__":
    job.run(make)
