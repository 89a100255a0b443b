"""Figures of training curves: 3 to 5, 8 to 13."""

import itertools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from asymre.curves import band
from asymre.figures.style import new_figure, styled, sweep_colours

NAMES = {
    "asymre": "AsymRE",
    "asymre_tis": "AsymRE, truncated weights",
    "asymre_kl": "AsymRE, KL penalty",
    "topr": "TOPR",
    "grpo": "GRPO",
    "positives_only": "positives only",
}
# AsymRE itself has the colours of delta_v.
OBJECTIVE_COLOURS = {
    "asymre_tis": "#7b3fa0",
    "asymre_kl": "#e08214",
    "topr": "#c51b7d",
    "grpo": "#2a9d3f",
    "positives_only": "#8c6d31",
}
SETTING = ["model", "dataset", "N"]  # one line style each combination, if a panel has several
LINE_STYLES = ("-", "--", "-.", ":")
MOST_REFRESHES = 50  # more lines than that would only grey the panel
LABELS = {
    "train_accuracy": "training accuracy",
    "test_accuracy": "test accuracy",
    "test_accuracy_temperature_1": "test accuracy, temperature 1",
    "entropy": "entropy (nats a token)",
}


def plot_training(
    data: pd.DataFrame, rollouts: pd.DataFrame, *, title: str, width: float, height: float
) -> Figure:
    """One pair of axes a panel.

    data: one row a panel, run and evaluation point: panel, panel_title, measure, draw, control,
        objective, delta_v, model, dataset, N, seed, step, value, smoothed, collapse_step.
    rollouts: one row a run and cycle, and its end: panel, control, objective, delta_v, model, dataset, N,
        seed, step, rollout_accuracy; drawn as steps where the measure is the training accuracy.
    """
    with styled():
        fig = new_figure(width, height, title)
        panels = list(data.groupby("panel", sort=True))
        axes = fig.subplots(1, len(panels), squeeze=False)[0]
        for axis, (panel, rows) in zip(axes, panels, strict=True):
            _draw_panel(axis, rows, rollouts[rollouts["panel"] == panel])
        handles = {}
        for axis in axes:
            found, labels = axis.get_legend_handles_labels()
            handles |= {label: h for label, h in zip(labels, found, strict=True)}
        fig.legend(
            handles.values(),
            handles.keys(),
            loc="outside right center",
            title="objective, $\\delta_v$",
        )
    return fig


def _draw_panel(axis, rows: pd.DataFrame, rollouts: pd.DataFrame) -> None:
    measure = rows["measure"].iloc[0]
    colours = sweep_colours(sorted(rows["delta_v"].dropna().unique()))
    shown = rows[~rows["control"]]
    settings = shown[SETTING].drop_duplicates().itertuples(index=False)
    styles = dict(zip(settings, itertools.cycle(LINE_STYLES)))
    varying = [name for name in SETTING if shown[name].nunique() > 1]
    for key, runs in rows.groupby([*SETTING, "objective", "delta_v", "control"], dropna=False):
        *setting, objective, delta_v, control = key
        colour = OBJECTIVE_COLOURS.get(objective) or colours[delta_v]
        told = [name for name in SETTING if name in varying or control and name == "N"]
        label = _label(objective, delta_v, {name: setting[SETTING.index(name)] for name in told})
        if control:
            mean = band(runs)["mean"]
            axis.plot(mean.index, mean, color=colour, lw=0.8, ls=(0, (4, 2)), label=label)
            continue
        style = styles[tuple(setting)]
        if runs["draw"].iloc[0] == "runs":
            for index, (_, run) in enumerate(runs.groupby("seed")):
                own_label = None if index else label
                axis.plot(
                    run["step"], run["smoothed"], color=colour, ls=style, lw=1.0, alpha=0.8, label=own_label
                )
        else:
            over_seeds = band(runs)
            low, high = over_seeds["min"], over_seeds["max"]
            axis.fill_between(over_seeds.index, low, high, color=colour, alpha=0.15, lw=0)
            width = 2.2 if objective == "asymre" and delta_v == 0 else 1.4
            axis.plot(over_seeds.index, over_seeds["mean"], color=colour, ls=style, lw=width, label=label)
        if measure == "test_accuracy":
            _mark_collapse(axis, runs, colour)
        if measure == "train_accuracy":
            same = rollouts[[*SETTING, "objective"]].eq([*setting, objective]).all(axis=1)
            same &= rollouts["delta_v"].eq(delta_v) | (rollouts["delta_v"].isna() & pd.isna(delta_v))
            mean = rollouts[same & ~rollouts["control"]].groupby("step")["rollout_accuracy"].mean()
            axis.plot(mean.index, mean, drawstyle="steps-post", color=colour, lw=0.7, alpha=0.7)
    if shown["N"].nunique() == 1 and np.isfinite(shown["N"].iloc[0]):
        _mark_refreshes(axis, int(shown["N"].iloc[0]), int(rows["step"].max()))
    axis.set_title(rows["panel_title"].iloc[0], parse_math=False)
    axis.set_xlabel("gradient step")
    axis.set_ylabel(LABELS[measure])
    axis.set_xlim(0, rows["step"].max())
    if measure == "entropy":
        axis.set_ylim(bottom=0)
    else:
        axis.set_ylim(0, 1)


def _label(objective: str, delta_v: float, setting: dict[str, str | int]) -> str:
    """`AsymRE -0.1, N = 20`: the objective, and whatever of model, data set and N the panel varies."""
    name = NAMES[objective]
    if not np.isnan(delta_v):
        name += f" {delta_v:+g}" if delta_v else " 0"
    if objective == "asymre" and delta_v == 0 and "N" not in setting:
        name += " (critical)"
    told = [_N_label(value) if key == "N" else str(value) for key, value in setting.items()]
    return ", ".join([name, *told])


def _N_label(N: float) -> str:
    return f"N = {N:g}" if np.isfinite(N) else "never refreshed"


def _mark_collapse(axis, runs: pd.DataFrame, colour: str) -> None:
    for _, run in runs.groupby("seed"):
        step = run["collapse_step"].iloc[0]
        if np.isfinite(step):
            value = run.loc[run["step"] == step, "smoothed"].iloc[0]
            axis.plot(step, value, "x", color=colour, ms=6, mew=1.8, zorder=5, clip_on=False)


def _mark_refreshes(axis, N: int, last: int) -> None:
    if last / N <= MOST_REFRESHES:
        for step in range(N, last, N):
            axis.axvline(step, color="0.8", lw=0.7, ls=":", zorder=0)
