"""Draw the training and test problems of a task: train.parquet and test.parquet."""

from asymre.data.problems import generate_problems, write_problems
from asymre.record import job
from asymre.tasks import load


def make(params, inputs, folder):
    task = load(params["task"])(**params["settings"])
    for split in ("train", "test"):
        table = generate_problems(task, count=params[split], split=split, seed=params["seed"])
        write_problems(folder / f"{split}.parquet", table)


if __name__ == "__main__":
    job.run(make)
