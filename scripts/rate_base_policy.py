"""Measure how often a pretrained policy solves the problems of a task: pass_rates.parquet, accuracy.json."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from asymre.engines.local.device import find_device
from asymre.engines.local.policy import open_policy
from asymre.engines.local.pretraining import pass_rates, rating
from asymre.specs import PassRatesSpec
from asymre.tasks import load
from store import job
from workflow.project import PROJECT


def make(spec: PassRatesSpec, inputs, folder: Path, device: str):
    task = load(spec.task)(**spec.settings)
    with job.refusals():
        place = find_device(device)
    policy = job.reading(inputs["policy"], lambda path: open_policy(path, task.end, place))
    how = {"max_new_tokens": spec.max_new_tokens, "tokenizer": policy.tokenizer}
    problems, sampled = pass_rates(policy.behaviour(), policy.architecture, task, temperature=1.0, **how)
    names = [spec.name] * len(problems)
    table = pa.table({"task": names, "problem": problems, "pass_rate": sampled})
    pq.write_table(table, folder / "pass_rates.parquet")
    text = json.dumps({spec.name: rating(sampled)}, indent=1) + "\n"
    (folder / "accuracy.json").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    job.run(make, PROJECT, PassRatesSpec, options={"device": "cpu"})
