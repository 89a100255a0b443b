"""Training curves (figures 3 to 5, 8 to 13, and B): a panel per measure, against the gradient step."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from asymre.metrics.curves import band, curve, read_evaluation, read_metrics, smooth, step_of_collapse
from asymre.metrics.measures import MEASURES
from asymre.specs import Rewards
from paper.figures.style import new_figure, styled, sweep_colours
from paper.specs import FigureSpec, Look

SETTING = ["model", "dataset", "N"]  # one line style per combination, if a panel has several
LINE_STYLES = ("-", "--", "-.", ":")
MOST_REFRESHES = 50  # more lines than that would only grey the panel
ROLLOUTS = "rollout_accuracy"  # of the behaviour policy: drawn as steps beside the training accuracy


def table(spec: FigureSpec, read: Callable) -> pd.DataFrame:
    """Return a row per panel, run and evaluation point; for training accuracy also per run and cycle.

    step, value, smoothed, panel_title, measure, draw, collapse_step, control, objective, delta_v, seed,
    panel, model, dataset, N (inf: never refreshed). Measure `rollout_accuracy`: the share of right answers
    among the rollouts of the cycle that begins at the step, in a column of its own.
    """
    data, rollouts = [], []
    for index, panel in enumerate(spec.panels):
        for drawn in panel.curves:
            run = drawn.run
            evaluation = read(run.input, "evaluation.parquet", read_evaluation)
            described = {"control": drawn.control, **run.described("objective", "delta_v", "seed")}
            described |= {"panel": index, "model": run.model, "dataset": run.dataset}
            described["N"] = run.N if run.refreshed else math.inf
            values = curve(evaluation, panel.measure)
            rows = pd.DataFrame({"step": values.index, "value": values.to_numpy()})
            rows["smoothed"] = smooth(values, spec.smoothing_window).to_numpy()
            accuracy, entropy = (curve(evaluation, measure) for measure in ("test_accuracy", "entropy"))
            about = {"panel_title": panel.title, "measure": panel.measure, "draw": panel.draw}
            about["collapse_step"] = step_of_collapse(accuracy, entropy)
            data.append(rows.assign(**about, **described))
            if panel.measure == "train_accuracy":
                metrics = read(f"{run.input}/training", "metrics.parquet", read_metrics)
                rollouts.append(_rollout_accuracy(metrics, run.N, spec.rewards).assign(**described))
    tables = [pd.concat(data, ignore_index=True)]
    if rollouts:
        tables.append(pd.concat(rollouts, ignore_index=True).assign(measure=ROLLOUTS))
    for each in tables:
        each["delta_v"] = each["delta_v"].astype(float)
        each["control"] = each["control"].astype(bool)
    return pd.concat(tables)


def _rollout_accuracy(metrics: pd.DataFrame, N: int, rewards: Rewards) -> pd.DataFrame:
    """Return a table of step (the beginnings of cycles, and the end of the run) and rollout_accuracy."""
    mean = metrics.groupby("cycle")["rollout_reward"].mean()
    accuracy = (mean - rewards.wrong) / (rewards.correct - rewards.wrong)
    ends = [*(mean.index * N), metrics["step"].max()]
    return pd.DataFrame({"step": ends, ROLLOUTS: [*accuracy, accuracy.iloc[-1]]})


def draw(data: pd.DataFrame, spec: FigureSpec) -> Figure:
    """Draw one pair of axes per panel, with mean and range over seeds or a line per run.

    spec: the size of the figure, and `objectives`: label and colour of each.
    """
    is_rollouts = data["measure"] == ROLLOUTS
    curves, rollouts = data[~is_rollouts], data[is_rollouts]
    with styled():
        fig = new_figure(spec)
        panels = list(curves.groupby("panel", sort=True))
        axes = fig.subplots(1, len(panels), squeeze=False)[0]
        for axis, (panel, rows) in zip(axes, panels, strict=True):
            _draw_panel(axis, rows, rollouts[rollouts["panel"] == panel], spec.objectives)
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


def _draw_panel(axis, rows: pd.DataFrame, rollouts: pd.DataFrame, objectives: dict[str, Look]) -> None:
    measure = rows["measure"].iloc[0]
    colours = _colours(rows, objectives)
    shown = rows[~rows["control"]]
    settings = shown[SETTING].drop_duplicates().itertuples(index=False)
    styles = dict(zip(settings, itertools.cycle(LINE_STYLES)))
    varying = [name for name in SETTING if shown[name].nunique() > 1]
    for key, runs in rows.groupby([*SETTING, "objective", "delta_v", "control"], dropna=False):
        *setting, objective, delta_v, control = key
        colour = colours[objective, None if np.isnan(delta_v) else delta_v]
        told = [name for name in SETTING if name in varying or control and name == "N"]
        told = {name: setting[SETTING.index(name)] for name in told}
        label = _label(objectives[objective].label, objective, delta_v, told)
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
            mean = rollouts[same & ~rollouts["control"]].groupby("step")[ROLLOUTS].mean()
            axis.plot(mean.index, mean, drawstyle="steps-post", color=colour, lw=0.7, alpha=0.7)
    if shown["N"].nunique() == 1 and np.isfinite(shown["N"].iloc[0]):
        _mark_refreshes(axis, int(shown["N"].iloc[0]), int(rows["step"].max()))
    axis.set_title(rows["panel_title"].iloc[0], parse_math=False)
    axis.set_xlabel("gradient step")
    axis.set_ylabel(MEASURES[measure].axis_label)
    axis.set_xlim(0, rows["step"].max())
    axis.set_ylim(*MEASURES[measure].limits)


def _colours(rows: pd.DataFrame, objectives: dict[str, Look]) -> dict[tuple[str, float | None], str]:
    """Return a different colour for each objective and delta_v of a panel.

    An objective without a colour of its own gets those of the sweep over delta_v. One with a colour and
    several delta_v has its colour for the largest, and lighter shades for the others.
    """
    sweep = sweep_colours(sorted(rows["delta_v"].dropna().unique()))
    colours = {}
    for objective, own in rows.groupby("objective"):
        values = sorted(own["delta_v"].dropna().unique()) or [None]
        colour = objectives[objective].colour
        shades = sns.light_palette(colour or "black", len(values) + 1).as_hex()[1:]
        for value, shade in zip(values, shades, strict=True):
            colours[objective, value] = shade if colour else sweep[value]
    return colours


def _label(name: str, objective: str, delta_v: float, setting: dict[str, str | int]) -> str:
    """Return `AsymRE -0.1, N = 20`: the objective, and those of model, data set, N that the panel varies."""
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
