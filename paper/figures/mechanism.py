"""Figure H: how far a run gets from its behaviour policy, what holds it, and what its errors are."""

from collections.abc import Callable
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from asymre.metrics.curves import curve, final, late_in_cycles, read_evaluation, read_metrics
from paper.figures.style import DELTA_V, new_figure, short, signed, styled, sweep_colours
from paper.specs import FigureSpec, ShownRun

DESCRIBED = ("model", "dataset", "objective", "delta_v", "learning_rate", "N", "seed")
SETTING = ("model", "dataset", "learning_rate")
DISTANCES = {
    "kl_behaviour": "KL($\\mu$ || $\\pi$), nats a token",
    "effective_samples": "effective sample size",
}
# Differences from the right answer. A slip of the worked solutions forgets to carry a ten.
ERRORS = {"ten too low": -10.0, "ten too high": 10.0, "one too low": -1.0, "one too high": 1.0}
OTHER, NO_NUMBER = "another number", "no number"
COLOURS = ("#9ecae1", "#b2182b", "#2171b5", "#f4a582", "#fee391", "0.4")
ERROR_COLOURS = dict(zip((*ERRORS, OTHER, NO_NUMBER), COLOURS, strict=True))
LEAST_KL = 3e-3  # of the axis: below are runs that write one answer for certain, after a collapse
MOST_KL = 300.0  # leaves room for the legend


def table(spec: FigureSpec, read: Callable) -> pd.DataFrame:
    """Return a row per run, step and quantity: the fields of DESCRIBED, step, quantity, value.

    quantity: each of DISTANCES at the end of a cycle, final_accuracy at the last step, and the share of
    answers that are each kind of error at every evaluation point.
    """
    tables = []
    for run in spec.runs:
        evaluation = read(run.input, "evaluation.parquet", read_errors)
        metrics = read(f"{run.input}/training", "metrics.parquet", read_metrics).set_index("step")
        rows = [
            (step, name, value)
            for name in DISTANCES
            for step, value in late_in_cycles(metrics[name], run.N).items()
        ]
        accuracy = curve(evaluation, "test_accuracy")
        rows.append((accuracy.index[-1], "final_accuracy", final(accuracy)))
        rows += errors(evaluation)
        tables.append(_described(run, pd.DataFrame(rows, columns=["step", "quantity", "value"])))
    return pd.concat(tables, ignore_index=True)


def _described(run: ShownRun, rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(**run.described(*DESCRIBED))[[*DESCRIBED, *rows.columns]]


def read_errors(path) -> pd.DataFrame:
    """Return an evaluation. ValueError if its answers are no numbers."""
    evaluation = read_evaluation(path)
    if "differences" not in evaluation:
        raise ValueError("has no column differences: the answers of this task are no numbers")
    return evaluation


def errors(evaluation: pd.DataFrame) -> list[tuple[int, str, float]]:
    """Return step, kind of error and its share of the answers to training problems at temperature 1."""
    rows = evaluation[(evaluation["split"] == "train") & (evaluation["temperature"] == 1.0)]
    found = []
    for step, differences in zip(rows["step"], rows["differences"], strict=True):
        # A run that diverged has no answers.
        own = np.asarray(differences if differences is not None else [np.nan], dtype=float)
        shares = {kind: (own == value).mean() for kind, value in ERRORS.items()} | {
            NO_NUMBER: np.isnan(own).mean()
        }
        shares[OTHER] = 1 - (own == 0).mean() - sum(shares.values())
        found += [(step, kind, float(share)) for kind, share in shares.items()]
    return found


def draw(data: pd.DataFrame, spec: FigureSpec) -> Figure:
    """Draw a panel per distance, one of the final accuracy by objective, and errors by delta_v and step.

    All are about the model, data set and learning rate of the first run, but for the hollow marks of others.
    """
    asymre, first = data[data["objective"] == "asymre"], spec.runs[0]
    of_first = (asymre[list(SETTING)] == [getattr(first, name) for name in SETTING]).all(axis=1)
    plain = asymre[of_first]
    with styled():
        fig = new_figure(spec)
        upper, lower = fig.add_gridspec(2, 1)
        axes = upper.subgridspec(1, 3, width_ratios=(1.2, 1, 1.2)).subplots()
        for axis, (name, label) in zip(axes, DISTANCES.items(), strict=False):
            _distance(axis, plain[plain["quantity"] == name], label)
        _beside(axes[0], asymre[~of_first & (asymre["quantity"] == "kl_behaviour")], plain, first)
        axes[0].set_ylim(bottom=LEAST_KL, top=MOST_KL)
        axes[1].set(yscale="linear", ylim=(-0.02, 1.02))
        compared = pd.concat([plain, data[data["objective"] != "asymre"]])
        _by_objective(axes[2], compared[compared["quantity"] == "final_accuracy"], spec)
        _errors(lower, plain)
    return fig


def _distance(axis, data, label) -> None:
    """Draw every run's value at the ends of its cycles against delta_v, a column per value."""
    values = sorted(data["delta_v"].unique())
    colours = sweep_colours(values)
    rng = np.random.default_rng(0)
    for place, value in enumerate(values):
        own = data.loc[data["delta_v"] == value, "value"]
        spread = rng.uniform(-0.25, 0.25, len(own))
        axis.plot(place + spread, own, "o", color=colours[value], ms=2.5, alpha=0.5, mew=0)
        axis.plot(place, own.median(), "_", color="black", ms=18)
    axis.set_yscale("log")
    axis.set_xticks(range(len(values)), [signed(value) for value in values])
    axis.set(xlabel=DELTA_V, ylabel=f"{label}, ends of cycles")


def _beside(axis, others, plain, first) -> None:
    """Draw other settings as hollow marks, and a line that falls as one over |delta_v|."""
    ends = plain[plain["quantity"] == "kl_behaviour"].groupby("delta_v")["value"].median()
    values, below = list(ends.index), ends[ends.index < 0]
    level = (-below.index * below).median()
    axis.plot(-level / below.index, color="black", lw=1, ls="--", label=f"{level:.2g} / |{DELTA_V}|")
    settings = others[others["delta_v"].isin(values)].groupby(list(SETTING))
    for marker, ((model, dataset, rate), own) in zip(cycle("^v<>sDP"), settings, strict=False):
        other = [text for text in (model, dataset) if text not in (first.model, first.dataset)]
        # Next to the points of 0 there is no room for a long line.
        label = "\non ".join(other).replace(" (", "\n(") or f"at {short(rate)}"
        places = [values.index(value) for value in own["delta_v"]]
        axis.plot(places, own["value"], marker, color="0.35", mfc="none", ms=4, mew=0.6, ls="", label=label)
    axis.legend(loc="upper left", fontsize="x-small")


def _by_objective(axis, data, spec) -> None:
    """Draw final accuracy by objective, a point per run and a line through the means, for each delta_v."""
    values = sorted(set(data.loc[data["objective"] != "asymre", "delta_v"]))
    names = [name for name in spec.objectives if name in set(data["objective"])]
    colours = sweep_colours(sorted(data["delta_v"].unique()))
    for shift, value in zip(np.linspace(-0.2, 0.2, len(values)), values, strict=True):
        for row, name in enumerate(names):
            own = data.loc[(data["objective"] == name) & (data["delta_v"] == value), "value"]
            axis.plot(
                own, np.full(len(own), row + shift), "o", color=colours[value], ms=2.5, alpha=0.5, mew=0
            )
            label = f"{DELTA_V} = {signed(value)}" if row == 0 else None
            axis.plot(own.mean(), row + shift, "|", color=colours[value], ms=10, mew=2, label=label)
    axis.set_yticks(range(len(names)), [spec.objectives[name].label for name in names])
    axis.set(xlabel="final test accuracy", xlim=(-0.02, 1.02))
    axis.invert_yaxis()
    axis.legend(loc="center left")


def _errors(place, data) -> None:
    """Draw the shares of errors, stacked, against the step: a panel per delta_v."""
    kinds = list(ERROR_COLOURS)
    rows = data[data["quantity"].isin(kinds)]
    values = sorted(rows["delta_v"].unique())
    axes = place.subgridspec(1, len(values)).subplots(sharey=True, squeeze=False)[0]
    for axis, value in zip(axes, values, strict=True):
        own = rows[rows["delta_v"] == value].pivot_table(index="step", columns="quantity", values="value")
        axis.stackplot(own.index, own[kinds].T, colors=list(ERROR_COLOURS.values()), labels=kinds)
        axis.set(
            xlabel="gradient steps",
            ylim=(0, 1),
            xlim=(0, own.index.max()),
            title=f"{DELTA_V} = {signed(value)}",
        )
    axes[0].set_ylabel("share of the answers")
    axes[0].legend(loc="upper right")
