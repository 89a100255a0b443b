"""Compare the rehearsal's results, from vLLM and FSDP2, with engine local's for the same configuration.

python -m tools.compare_engines [RESULTS LOCAL_RESULTS]

Accuracies are means over seeds: at each evaluation point their 95 % intervals must overlap. Losses and
gradient norms are compared on the same stored rollouts, and must agree to within 1e-4. Otherwise the exit
status is 1.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from asymre.engines.local.engine import LocalEngine
from asymre.engines.local.policy import load_policy
from asymre.engines.local.tokenizer import END_ID, VOCABULARY_SIZE
from asymre.specs import FsdpTrainingSpec
from asymre.training.loop import train_cycle
from asymre.training.rollouts import read_rollouts, rows_of, shards_in
from store.typed import build

RELATIVE = 1e-4
LEAST_SEEDS = 5


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of a mean (Student's t)."""
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return values.mean() - half, values.mean() + half


def accuracies(results: Path) -> pd.DataFrame:
    """Return one row per run, split, temperature and step, with delta_v and seed."""
    runs = pd.read_csv(results / "runs.csv").query("figure == 'figure_5'").drop_duplicates("evaluation")
    tables = [
        pd.read_parquet(results / run.evaluation / "evaluation.parquet").assign(
            model=run.model, objective=run.objective, delta_v=run.delta_v, seed=run.seed
        )
        for run in runs.itertuples()
    ]
    return pd.concat(tables, ignore_index=True)


def compare_accuracies(ours: pd.DataFrame, local: pd.DataFrame) -> bool:
    """Print both means and intervals at each point with enough seeds; return whether all overlap."""
    keys = ["model", "objective", "delta_v", "split", "temperature", "step"]
    both = ours.groupby(keys, dropna=False), local.groupby(keys, dropna=False)
    good, points = True, 0
    for key, rows in both[0]:
        other = both[1].get_group(key)
        if rows["seed"].nunique() < LEAST_SEEDS:
            continue
        (low, high), (other_low, other_high) = (interval(r["accuracy"].to_numpy()) for r in (rows, other))
        overlap, points = low <= other_high and other_low <= high, points + 1
        good &= overlap
        print(
            f"delta_v {key[2]:+.1f} {key[3]:5} T {key[4]:g} step {key[5]:3}: "
            f"fsdp_vllm {rows['accuracy'].mean():.3f} [{low:.3f}, {high:.3f}], "
            f"local {other['accuracy'].mean():.3f} [{other_low:.3f}, {other_high:.3f}]"
            f"{'' if overlap else '  DO NOT OVERLAP'}"
        )
    print(f"{points} points with {LEAST_SEEDS} seeds or more")
    return good and points > 0


def compare_losses(results: Path) -> bool:
    """Retrain the first cycles with engine local on vLLM's rollouts; return whether the metrics agree."""
    worst, count = {"loss": 0.0, "gradient_norm": 0.0}, 0
    for cycle in sorted((results / "cycles").glob("*-*")):
        spec = json.loads((cycle / "spec.json").read_text(encoding="utf-8"))
        inputs = spec["inputs"]
        training = build(FsdpTrainingSpec, spec["params"]).training
        if training.first_step:
            continue
        rollouts = read_rollouts(
            shards_in({name: results / path for name, path in inputs.items()}),
            rows=rows_of(training, training.until),
            problems=10**9,
            vocabulary_size=VOCABULARY_SIZE,
            width=training.rollouts.max_new_tokens,
            padding=END_ID,
        )
        architecture, weights = load_policy(results / inputs["base_policy"])
        engine = LocalEngine(architecture, weights, training.learning_rate, training.rollouts.group_size)
        ours = pd.read_parquet(cycle / "metrics.parquet")
        local = pd.DataFrame(train_cycle(engine, rollouts, training, 0))
        for name in worst:
            # A loss near 0 is a difference of large terms: compare it on the scale of the gradient norm.
            scale = local[name].abs().clip(lower=0.1 * local["gradient_norm"])
            worst[name] = max(worst[name], float(((ours[name] - local[name]).abs() / scale).max()))
        count += len(local)
    print(f"on the same rollouts, {count} steps: largest relative difference {worst}")
    return count > 0 and max(worst.values()) < RELATIVE


def main() -> None:
    ours, local = map(Path, sys.argv[1:] or ("results/rehearsal", "results/rehearsal_local"))
    good = [compare_accuracies(accuracies(ours), accuracies(local)), compare_losses(ours)]
    print("the engines agree" if all(good) else "the engines DISAGREE")
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
