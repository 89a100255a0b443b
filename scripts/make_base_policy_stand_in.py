"""Train a base policy from scratch on the corpora with slips; accuracy.json says how often it is right."""

import json

from asymre.architecture import Architecture
from asymre.record import job
from asymre.tasks import load
from asymre.tiny.policy import save_policy
from asymre.tiny.pretraining import base_accuracy, pretrain
from asymre.tiny.tokenizer import VOCABULARY_SIZE


def make(params, inputs, folder):
    settings = params["pretraining"]
    tasks = {task["name"]: load(task["task"])(**task["settings"]) for task in params["tasks"]}
    architecture = Architecture(**params["stand_in"], vocabulary_size=VOCABULARY_SIZE)
    progress = job.Progress(settings["steps"], "step")
    weights = pretrain(
        architecture,
        list(tasks.values()),
        steps=settings["steps"],
        batch_size=settings["batch_size"],
        learning_rate=settings["learning_rate"],
        seed=settings["seed"],
        log=lambda step, loss: progress(step, f"loss {loss:.3f}"),
    )
    accuracy = {name: base_accuracy(weights, architecture, task) for name, task in tasks.items()}
    print(json.dumps(accuracy, indent=1))
    low, high = settings["accuracy"]
    for name, measured in accuracy.items():
        if not low <= measured["sampled"] <= high:
            raise job.InputError(
                f"the base policy samples right answers on {name} {measured['sampled']:.0%} of the time, "
                f"outside the {low:.0%} to {high:.0%} of pretraining.accuracy: change pretraining.steps, "
                "pretraining.learning_rate or pretraining.seed, or the slips of the task"
            )
    save_policy(folder, architecture, weights)
    (folder / "accuracy.json").write_text(json.dumps(accuracy, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    job.run(make)
