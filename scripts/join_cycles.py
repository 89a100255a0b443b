"""Join the Parquet files that the jobs of one run wrote; the specification gives the file's name."""

import pyarrow as pa
import pyarrow.parquet as pq

from asymre.io import read_parquet
from asymre.specs import JoinSpec
from store import job
from workflow.project import PROJECT


def make(spec: JoinSpec, inputs, folder):
    parts = [inputs[name] / spec.file for name in sorted(inputs, key=int)]
    tables = [job.reading(part, read_parquet) for part in parts]
    joined = pa.concat_tables(tables, promote_options="default").combine_chunks()
    pq.write_table(joined, folder / spec.file)


if __name__ == "__main__":
    job.run(make, PROJECT, JoinSpec)
