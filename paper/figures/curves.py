"""Training curves (figures 3 to 5, 8 to 13, and B): a panel per measure, against the gradient step."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from asymre.metrics.curves import curve, final, read_evaluation, read_metrics, smooth, step_of_collapse
from asymre.metrics.measures import MEASURES, Measure
from asymre.specs import Rewards
from paper.figures.style import DELTA_V, label_ends, new_figure, signed, styled, sweep_colours
from paper.specs import FigureSpec, Look

SETTING = ["model", "dataset", "N"]  # one line style per combination, if a panel has several
LINE_STYLES = ("-", "--", "-.", ":")
MOST_REFRESHES = 50  # more lines than that would only grey the panel
REFRESH = {"color": "0.35", "lw": 1.0, "ls": (0, (5, 3)), "zorder": 1}
COLLAPSED, OF_ROLLOUTS, REFRESHED = "collapse of a run", "accuracy of the rollouts", r"$\mu$ is refreshed"
# What the legend says of marks that several lines have.
MARKS = {
    COLLAPSED: Line2D([], [], color="0.35", marker="x", ls="", ms=5, mew=1.4),
    OF_ROLLOUTS: Line2D([], [], color="0.35", lw=0.8, ls=":"),
    REFRESHED: Line2D([], [], **REFRESH),
}
ROLLOUTS = "rollout_accuracy"  # of the behaviour policy: drawn as steps beside the training accuracy
COLUMN = 2.0  # inches, of the legend
MARGIN = 0.02  # of an axis, below 0 and above 1: lines there stay visible


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
    """Draw one pair of axes per panel: a thin line per run, and their mean over seeds unless draw is "runs".

    spec: the size of the figure, and `objectives`: label and colour of each.
    """
    is_rollouts = data["measure"] == ROLLOUTS
    curves, rollouts = data[~is_rollouts], data[is_rollouts]
    with styled():
        fig = new_figure(spec)
        panels = list(curves.groupby("panel", sort=True))
        axes = fig.subplots(1, len(panels), squeeze=False)[0]
        handles: dict[str, Line2D] = {}
        for axis, (panel, rows) in zip(axes, panels, strict=True):
            marks = _draw_panel(axis, rows, rollouts[rollouts["panel"] == panel], spec.objectives)
            handles |= {line.get_label(): line for line in axis.get_lines() if line.get_label()[0] != "_"}
            handles |= {label: MARKS[label] for label in marks}
        # What a mark means stands below the lines.
        handles = dict(sorted(handles.items(), key=lambda item: item[0] in MARKS))
        fig.legend(
            handles.values(),
            handles.keys(),
            loc="outside lower center",
            ncols=max(1, int(spec.width / COLUMN)),
        )
    return fig


def _draw_panel(axis, rows: pd.DataFrame, rollouts: pd.DataFrame, objectives: dict[str, Look]) -> list[str]:
    """Draw a panel; return which of MARKS it has."""
    measure, marks = MEASURES[rows["measure"].iloc[0]], []
    name = rows["measure"].iloc[0]
    by_itself = rows["draw"].iloc[0] == "runs"
    colours = _colours(rows, objectives)
    shown = rows[~rows["control"]]
    settings = shown[SETTING].drop_duplicates().itertuples(index=False)
    styles = dict(zip(settings, itertools.cycle(LINE_STYLES)))
    varying = [name for name in SETTING if shown[name].nunique() > 1]
    # Several objectives have their names at the ends of their lines, one has its delta_v in the legend.
    several, ends = shown["objective"].nunique() > 1, []
    for key, runs in rows.groupby([*SETTING, "objective", "delta_v", "control"], dropna=False):
        *setting, objective, delta_v, control = key
        colour = colours[objective, None if np.isnan(delta_v) else delta_v]
        told = [name for name in SETTING if name in varying or control and name == "N"]
        told = {name: setting[SETTING.index(name)] for name in told}
        own = rows.loc[rows["objective"] == objective, "delta_v"].unique()
        label = _label(objectives[objective], objective, delta_v, told, alone=len(own) == 1)
        mean = runs.groupby("step")["smoothed"].mean()
        if control:
            axis.plot(mean.index, mean, color=colour, lw=0.8, ls=(0, (4, 2)), label=label)
            continue
        style = styles[tuple(setting)]
        thin = {"lw": 1.0, "alpha": 0.8} if by_itself else {"lw": 0.5, "alpha": 0.4}
        for index, (_, run) in enumerate(runs.groupby("seed")):
            own_label = label if by_itself and not index and not several else None
            axis.plot(run["step"], run["smoothed"], color=colour, ls=style, label=own_label, **thin)
        if not by_itself:
            width = 2.2 if objective == "asymre" and delta_v == 0 else 1.6
            own_label = None if several else label
            axis.plot(mean.index, mean, color=colour, ls=style, lw=width, label=own_label)
        end = runs.groupby("seed")["value"].apply(final).mean()
        text = f"{end:.2f}" if measure.limits[1] == 1 and not measure.error else f"{end:#.2g}"
        ends.append((mean.iloc[-1], f"{text} {label}" if several else text, colour))
        if measure.collapses and _mark_collapse(axis, runs, colour):
            marks.append(COLLAPSED)
        if name == "train_accuracy":
            same = rollouts[[*SETTING, "objective"]].eq([*setting, objective]).all(axis=1)
            same &= rollouts["delta_v"].eq(delta_v) | (rollouts["delta_v"].isna() & pd.isna(delta_v))
            steps = rollouts[same & ~rollouts["control"]].groupby("step")[ROLLOUTS].mean()
            axis.plot(steps.index, steps, drawstyle="steps-post", color=colour, lw=0.8, ls=":")
            marks.append(OF_ROLLOUTS)
    last = int(rows["step"].max())
    if shown["N"].nunique() == 1 and _mark_refreshes(axis, shown["N"].iloc[0], last):
        marks.append(REFRESHED)
    axis.set_title(rows["panel_title"].iloc[0], parse_math=False)
    axis.set_xlabel("gradient step")
    axis.set_ylabel(measure.axis_label)
    axis.set_xlim(0, last)
    _limit(axis, measure, shown)
    label_ends(axis, ends)
    return marks


def _limit(axis, measure: Measure, shown: pd.DataFrame) -> None:
    """Set the limits of the y axis, with a margin that keeps lines at 0 and 1 visible."""
    low, high = measure.limits
    if measure.error:
        positive = shown.loc[shown["value"] > 0, "value"]
        axis.set_yscale("log", nonpositive="clip")
        axis.set_ylim(positive.min() / 1.2 if len(positive) else 0.1, 1.2)
        axis.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())
        return
    top = axis.get_ylim()[1] if high is None else high
    margin = MARGIN * (top - low)
    axis.set_ylim(low - margin, top + margin)


def _colours(rows: pd.DataFrame, objectives: dict[str, Look]) -> dict[tuple[str, float | None], str]:
    """Return a different colour for each objective and delta_v of a panel.

    An objective without a colour of its own, or one at several delta_v alone in its panel, gets those of the
    sweep over delta_v. Another at several has its colour for the largest, and lighter shades for the others.
    """
    sweep = sweep_colours(sorted(rows["delta_v"].dropna().unique()))
    colours = {}
    for objective, own in rows.groupby("objective"):
        values = sorted(own["delta_v"].dropna().unique()) or [None]
        alone = rows["objective"].nunique() == 1 and len(values) > 1
        colour = None if alone else objectives[objective].colour
        shades = sns.light_palette(colour or "black", len(values) + 1).as_hex()[1:]
        for value, shade in zip(values, shades, strict=True):
            colours[objective, value] = shade if colour else sweep[value]
    return colours


def _label(look: Look, objective: str, delta_v: float, setting: dict[str, str | int], *, alone: bool) -> str:
    """Return `AsymRE, delta_v = -0.1, N = 20`: the objective, and what the panel varies of SETTING.

    alone: the panel shows the objective at one delta_v. If its colour is its own, the label leaves it out.
    """
    name = look.label
    if not np.isnan(delta_v) and not (alone and look.colour):
        name += f", {DELTA_V} = {signed(delta_v)}"
    if objective == "asymre" and delta_v == 0 and "N" not in setting:
        name += " (critical)"
    told = [_N_label(value) if key == "N" else str(value) for key, value in setting.items()]
    return ", ".join([name, *told])


def _N_label(N: float) -> str:
    return f"N = {N:g}" if np.isfinite(N) else "never refreshed"


def _mark_collapse(axis, runs: pd.DataFrame, colour: str) -> bool:
    """Draw a cross on the line of each run that collapses; return whether any does."""
    collapsed = runs[runs["step"] == runs["collapse_step"]]
    for step, value in zip(collapsed["step"], collapsed["smoothed"], strict=True):
        axis.plot(step, value, "x", color=colour, ms=5, mew=1.4, zorder=5, clip_on=False)
    return len(collapsed) > 0


def _mark_refreshes(axis, N: float, last: int) -> bool:
    """Draw where the behaviour policy is refreshed, instead of the grid; return whether it is drawn."""
    if not np.isfinite(N) or not 1 < last / N <= MOST_REFRESHES:
        return False
    axis.grid(visible=False, axis="x")
    for step in range(int(N), last, int(N)):
        axis.axvline(step, **REFRESH)
    return True
