"""Figures of training curves: 3 to 5, 8 to 13."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from asymre.curves import band
from asymre.figures.style import new_figure, styled, sweep_colours

GRPO_COLOUR = "#2a9d3f"
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
        objective, delta_v, N, seed, model, step, value, smoothed, collapse_step.
    rollouts: one row a run and cycle: panel, objective, delta_v, seed, control, step, rollout_accuracy;
        drawn as steps where the measure is the training accuracy.
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
    for (objective, delta_v, N, control), runs in rows.groupby(
        ["objective", "delta_v", "N", "control"], dropna=False
    ):
        colour = GRPO_COLOUR if objective == "grpo" else colours[delta_v]
        label = _label(objective, delta_v, N if control else None)
        critical = objective == "asymre" and delta_v == 0
        if control:
            mean = band(runs)["mean"]
            axis.plot(mean.index, mean, color=colour, lw=0.8, ls=(0, (4, 2)), label=label)
        elif runs["draw"].iloc[0] == "runs":
            for index, (_, run) in enumerate(runs.groupby("seed")):
                axis.plot(
                    run["step"],
                    run["smoothed"],
                    color=colour,
                    lw=1.0,
                    alpha=0.8,
                    label=None if index else label,
                )
        else:
            over_seeds = band(runs)
            axis.fill_between(
                over_seeds.index,
                over_seeds["min"],
                over_seeds["max"],
                color=colour,
                alpha=0.15,
                lw=0,
            )
            axis.plot(
                over_seeds.index,
                over_seeds["mean"],
                color=colour,
                lw=2.2 if critical else 1.4,
                label=label,
            )
        if not control and measure.startswith("test_accuracy"):
            _mark_collapse(axis, runs, colour)
        if not control and measure == "train_accuracy":
            _draw_rollouts(axis, rollouts, objective, delta_v, colour)
    _mark_refreshes(axis, rows)
    axis.set_title(rows["panel_title"].iloc[0])
    axis.set_xlabel("gradient step")
    axis.set_ylabel(LABELS[measure])
    axis.set_xlim(0, rows["step"].max())
    if measure == "entropy":
        axis.set_ylim(bottom=0)
    else:
        axis.set_ylim(0, 1)


def _label(objective: str, delta_v: float, N: int | None) -> str:
    name = "GRPO" if objective == "grpo" else f"AsymRE {delta_v:+g}" if delta_v else "AsymRE 0"
    if objective == "asymre" and delta_v == 0 and N is None:
        name += " (critical)"
    return name if N is None else f"{name}, N = {N}"


def _mark_collapse(axis, runs: pd.DataFrame, colour: str) -> None:
    for _, run in runs.groupby("seed"):
        step = run["collapse_step"].iloc[0]
        if np.isfinite(step):
            value = run.loc[run["step"] == step, "smoothed"].iloc[0]
            axis.plot(step, value, "x", color=colour, ms=6, mew=1.8, zorder=5, clip_on=False)


def _draw_rollouts(axis, rollouts, objective, delta_v, colour) -> None:
    mine = rollouts[(rollouts["objective"] == objective) & ~rollouts["control"]]
    mine = mine[mine["delta_v"].isna() if pd.isna(delta_v) else mine["delta_v"] == delta_v]
    mean = mine.groupby("step")["rollout_accuracy"].mean()
    axis.plot(mean.index, mean, drawstyle="steps-post", color=colour, lw=0.7, alpha=0.7)


def _mark_refreshes(axis, rows: pd.DataFrame) -> None:
    N = rows.loc[~rows["control"], "N"].iloc[0]
    if rows["step"].max() / N > 50:
        return
    for step in range(N, int(rows["step"].max()), N):
        axis.axvline(step, color="0.8", lw=0.7, ls=":", zorder=0)
