"""Draw the training and test problems of a task: train.parquet and test.parquet."""

from asymre.datasets.problems import generate_problems, write_problems
from asymre.specs import TaskProblemsSpec
from asymre.tasks import load
from store import job
from workflow.project import PROJECT


def make(spec: TaskProblemsSpec, inputs, folder):
    task = load(spec.task)(**spec.settings)
    for split, count in (("train", spec.train), ("test", spec.test)):
        table = generate_problems(task, count=count, split=split, seed=spec.seed)
        write_problems(folder / f"{split}.parquet", table)


if __name__ == "__main__":
    job.run(make, PROJECT, TaskProblemsSpec)
