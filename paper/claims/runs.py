"""Each training run as one row of numbers: the measures behind the training claims."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.integrate import trapezoid

from asymre.metrics.curves import curve, final, read_evaluation, step_of_collapse, step_of_fall
from paper.specs import ClaimedRun

KEYS = ["model", "dataset", "objective", "delta_v", "N", "refreshed", "seed", "base_seed", "learning_rate"]
FLAGS = {"refreshed": bool, "swept": bool, "best": bool}
KEYS += ["swept", "best"]
CURVES = ("train_accuracy", "test_accuracy", "entropy")
# Runs are compared within a block: they share everything before the first gradient step, and the problems.
BLOCK = ["model", "dataset", "seed", "base_seed"]


def summaries(runs: Sequence[ClaimedRun], evaluations: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return a row per run, for the steps that all runs have.

    Columns: KEYS and last_step; fall (step of the first dip or collapse of test accuracy; NaN: none);
    collapse, collapse_train (the same, NaN if the run recovers); final_test (mean over the last three
    evaluation points); lost (highest test accuracy less final_test); mean_test (area under the curve over its
    length); early_train, early_test (the same over the first cycle, N steps); entropy_drop (entropy of the
    base policy less its mean over the first cycle, nats per token), end_entropy (of the last three evaluation
    points), both NaN if the run diverged there. delta_v is NaN if there is none.
    """
    if not runs:
        return pd.DataFrame(columns=[*KEYS, *_measures_of_nothing()]).astype(FLAGS)
    curves = {run.input: {m: curve(evaluations[run.input], m) for m in CURVES} for run in runs}
    last = min(c["test_accuracy"].index.max() for c in curves.values())
    rows = []
    for run in runs:
        own = {name: values[values.index <= last] for name, values in curves[run.input].items()}
        rows.append({key: getattr(run, key) for key in KEYS} | measures(own, run.N))
    table = pd.DataFrame(rows)
    table["delta_v"] = table["delta_v"].astype(float)
    return table


def read_curves(path: Path) -> pd.DataFrame:
    """Return an evaluation. ValueError if it lacks one of the CURVES."""
    table = read_evaluation(path)
    for name in CURVES:
        curve(table, name)
    return table


def measures(curves: dict[str, pd.Series], N: int) -> dict[str, float]:
    """Return the numbers of one run from its CURVES by step; N is the length of the first cycle."""
    train, test, entropy = (curves[name] for name in CURVES)
    return {
        "last_step": int(test.index.max()),
        "fall": step_of_fall(test, entropy),
        "collapse": step_of_collapse(test, entropy),
        "collapse_train": step_of_collapse(train, entropy),
        "final_test": final(test),
        "lost": test.max() - final(test),
        "mean_test": time_mean(test, test.index.max()),
        "early_train": time_mean(train, N),
        "early_test": time_mean(test, N),
        "entropy_drop": entropy.iloc[0] - time_mean(entropy, N),
        "end_entropy": float(entropy.iloc[-3:].mean(skipna=False)),
    }


def _measures_of_nothing():
    nothing = pd.Series([0.0, 0.0], index=[0, 1])
    return measures(dict.fromkeys(CURVES, nothing), 1)


def time_mean(values: pd.Series, last: int) -> float:
    """Return the mean over steps 0 to `last` of the line through the evaluation points."""
    values = values[values.index <= last]
    if len(values) < 2:
        return float(values.mean())
    return float(trapezoid(values, values.index) / (values.index[-1] - values.index[0]))


def by_block(runs: pd.DataFrame, setting: str, measure: str) -> pd.DataFrame:
    """Return the mean of the measure by block and setting, without blocks that lack a setting."""
    table = runs.pivot_table(index=BLOCK, columns=setting, values=measure, aggfunc="mean", dropna=False)
    return table.dropna()


def paired(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the runs of both for their common blocks, in the same order."""
    one, two = (runs.set_index(BLOCK, drop=False) for runs in (first, second))
    both = one.index.intersection(two.index).sort_values()
    return one.loc[both], two.loc[both]


def at(runs: pd.DataFrame, delta_v: float) -> pd.DataFrame:
    return runs[np.isclose(runs["delta_v"].astype(float), delta_v)]


def of(runs: pd.DataFrame, objective: str) -> pd.DataFrame:
    return runs[runs["objective"] == objective]


def numbers(values) -> str:
    """Return `-0.5, -0.1, 0`."""
    return ", ".join(f"{value:.12g}" for value in sorted(set(values)))


def by_part(runs: pd.DataFrame, effect: Callable[[np.ndarray], float]) -> str:
    """Return `llama-8b 0.05, qwen-3b 0.04`: an effect for each model and data set, if there are several.

    effect: from the positions of their rows. Names omit what all parts have in common.
    """
    parts = runs.reset_index(drop=True).groupby(["model", "dataset"], sort=True).indices
    if len(parts) < 2:
        return ""
    varied = [i for i in (0, 1) if len({part[i] for part in parts}) > 1]
    return ", ".join(f"{' '.join(part[i] for i in varied)} {effect(at):.3g}" for part, at in parts.items())


def seeds_text(runs: pd.DataFrame) -> str:
    """Return `seeds 0 to 2`, or a list if some are missing; and whether their base policies differ."""
    seeds = sorted(set(runs["seed"]))
    whole = len(seeds) > 2 and len(seeds) == seeds[-1] - seeds[0] + 1
    text = f"seeds {seeds[0]} to {seeds[-1]}" if whole else f"seeds {numbers(seeds)}"
    return text + (" with base policies of their own" if runs["base_seed"].nunique() > 1 else "")
