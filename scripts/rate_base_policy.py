"""Measure how often a pretrained policy solves the problems of a task: pass_rates.parquet, accuracy.json."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from asymre.engines.local.decoder import products
from asymre.engines.local.device import find_device
from asymre.engines.local.policy import load_policy, products_of
from asymre.engines.local.pretraining import pass_rates, rating
from asymre.engines.local.tokenizer import load_tokenizer
from asymre.specs import PassRatesSpec
from asymre.tasks import load
from store import job
from workflow.project import PROJECT


def make(spec: PassRatesSpec, inputs, folder: Path, device: str):
    policy, task = inputs["policy"], load(spec.task)(**spec.settings)
    architecture, weights = job.reading(policy, load_policy)
    place = job.reading(Path(device), find_device)
    weights = products({name: w.to(place) for name, w in weights.items()}, job.reading(policy, products_of))
    tokenizer = job.reading(policy, lambda path: load_tokenizer(path, task.end))
    how = {"max_new_tokens": spec.max_new_tokens, "tokenizer": tokenizer}
    problems, sampled = pass_rates(weights, architecture, task, temperature=1.0, **how)
    names = [spec.name] * len(problems)
    table = pa.table({"task": names, "problem": problems, "pass_rate": sampled})
    pq.write_table(table, folder / "pass_rates.parquet")
    text = json.dumps({spec.name: rating(sampled)}, indent=1) + "\n"
    (folder / "accuracy.json").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    job.run(make, PROJECT, PassRatesSpec, options={"device": "cpu"})
