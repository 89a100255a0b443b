"""Generate the training and test problems of a task: train.parquet and test.parquet."""

from asymre import job
from asymre.arithmetic import Arithmetic
from asymre.problems import generate_problems, write_problems


def make(params, inputs, folder):
    task = Arithmetic(params["terms"], params["operators"])
    for split in ("train", "test"):
        table = generate_problems(task, count=params[split], split=split, seed=params["seed"])
        write_problems(folder / f"{split}.parquet", table)


if __name__ == "__main__":
    job.run(make)
