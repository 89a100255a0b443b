"""Turn a real problem set into train.parquet and test.parquet, with counts.json: rows read, dropped, kept."""

import json

import pyarrow.parquet as pq

from asymre.datasets.prepare import prepare
from asymre.specs import DatasetProblemsSpec
from store import job
from workflow.project import PROJECT


def make(spec: DatasetProblemsSpec, inputs, folder):
    try:
        tables, counts = prepare(spec)
    except ValueError as error:
        raise job.InputError(str(error)) from None
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    (folder / "counts.json").write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    job.run(make, PROJECT, DatasetProblemsSpec)
