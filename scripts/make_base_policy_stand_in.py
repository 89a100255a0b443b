"""Train a base policy from scratch on corpora with slips; accuracy.json and pass_rates.parquet rate it."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

from asymre.architecture import Architecture
from asymre.engines.local.policy import save_policy
from asymre.engines.local.pretraining import pass_rates, pretrain, rating
from asymre.engines.local.tokenizer import VOCABULARY_SIZE
from asymre.specs import StandInSpec
from asymre.tasks import load
from store import job
from workflow.project import PROJECT

Bounds = tuple[float, float]


def make(spec: StandInSpec, inputs, folder):
    settings = spec.pretraining
    tasks = {task.name: load(task.task)(**task.settings) for task in spec.tasks}
    architecture = Architecture(**spec.stand_in, vocabulary_size=VOCABULARY_SIZE)
    progress = job.Progress(settings.steps, "step")
    weights = pretrain(
        architecture,
        list(tasks.values()),
        steps=settings.steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
        log=lambda step, loss: progress(step, f"loss {loss:.3f}"),
    )
    tables, accuracy = [], {}
    for name, task in tasks.items():
        longest = task.solution_length + 1
        problems, sampled = pass_rates(weights, architecture, task, max_new_tokens=longest, temperature=1.0)
        _, greedy = pass_rates(weights, architecture, task, max_new_tokens=longest, temperature=0.1)
        tables.append(pa.table({"task": [name] * len(problems), "problem": problems, "pass_rate": sampled}))
        accuracy[name] = rating(sampled) | {"greedy": float(greedy.mean())}
    print(json.dumps(accuracy, indent=1))
    for task in spec.tasks:
        check(task.name, accuracy[task.name], settings.accuracy, task.never_solved)
    save_policy(folder, architecture, weights)
    pq.write_table(pa.concat_tables(tables), folder / "pass_rates.parquet")
    (folder / "accuracy.json").write_text(json.dumps(accuracy, indent=1) + "\n", encoding="utf-8")


def check(task: str, measured: dict[str, float], accuracy: Bounds, never_solved: Bounds) -> None:
    """Raise InputError unless accuracy and difficulty are within the bounds of the configuration."""
    for value, (low, high), key, what in (
        (
            measured["sampled"],
            accuracy,
            "pretraining.accuracy",
            "samples correct answers on {0} {1:.0%} of the time",
        ),
        (
            measured["never_solved"],
            never_solved,
            f"tasks.{task}.never_solved",
            "never solves {1:.0%} of the problems of {0}",
        ),
    ):
        if not low <= value <= high:
            raise job.InputError(
                f"the base policy {what.format(task, value)}, outside the {low:.0%} to {high:.0%} of {key}: "
                "change pretraining.steps, pretraining.learning_rate or pretraining.seed, or the task's slips"
            )


if __name__ == "__main__":
    job.run(make, PROJECT, StandInSpec)
