"""Which delta_v at which learning rate (figure E): accuracy early and late, even and uneven problems."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from asymre.metrics.curves import curve, final, read_evaluation, step_of_collapse
from paper.figures.style import DELTA_V, new_figure, signed, styled
from paper.specs import FigureSpec


def table(spec: FigureSpec, read: Callable) -> pd.DataFrame:
    """Return a row per run: model, dataset, objective, delta_v, N, learning_rate, seed, first_cycle (test
    accuracy, mean over its steps), final_accuracy, collapse_step (NaN: none)."""
    names = ("model", "dataset", "objective", "delta_v", "N", "learning_rate", "seed")
    rows = []
    for run in spec.runs:
        evaluation = read(run.input, "evaluation.parquet", read_evaluation)
        accuracy, entropy = (curve(evaluation, measure) for measure in ("test_accuracy", "entropy"))
        early = accuracy[accuracy.index <= run.N]
        area = np.trapezoid(early, early.index) / early.index[-1]
        measured = {"first_cycle": area, "final_accuracy": final(accuracy)}
        measured["collapse_step"] = step_of_collapse(accuracy, entropy)
        rows.append(run.described(*names) | measured)
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, spec: FigureSpec) -> Figure:
    """Draw two maps per model and data set: first cycle and end, with other objectives below the delta_v."""
    others = [name for name in data["objective"].unique() if name != "asymre"]
    labels = data["delta_v"].map(signed).where(data["objective"] == "asymre")
    named = data["objective"].map(lambda name: spec.objectives[name].label)
    data = data.assign(row=labels.fillna(named), collapsed=data["collapse_step"].notna())
    values = sorted(data.loc[data["objective"] == "asymre", "delta_v"].unique(), reverse=True)
    order = [signed(v) for v in values] + [spec.objectives[name].label for name in others]
    subjects = list(data.groupby(["dataset", "model"], sort=False))
    with styled():
        fig = new_figure(spec)
        axes = fig.subplots(1, 2 * len(subjects), sharey=True, squeeze=False)[0]
        for index, ((dataset, _), own) in enumerate(subjects):
            collapsed = own.pivot_table("collapsed", "row", "learning_rate", aggfunc="mean").loc[order]
            for axis, column, when in (
                (axes[2 * index], "first_cycle", "first cycle"),
                (axes[2 * index + 1], "final_accuracy", "end"),
            ):
                shares = own.pivot_table(column, "row", "learning_rate", aggfunc="mean").loc[order]
                marks = np.where(
                    (collapsed >= 0.5) & (column == "final_accuracy"), " \N{MULTIPLICATION SIGN}", ""
                )
                texts = shares.map("{:.2f}".format) + marks
                sns.heatmap(
                    shares,
                    ax=axis,
                    cmap="viridis",
                    vmin=0,
                    vmax=1,
                    annot=texts,
                    fmt="",
                    annot_kws={"fontsize": 7},
                    cbar=axis is axes[-1],
                    xticklabels=[f"{rate:g}" for rate in shares.columns],
                )
                axis.tick_params(rotation=0, length=0)
                axis.set(xlabel="learning rate", ylabel="")
                title = f"{dataset}\n{when}"
                below = [signed(v) for v in values if v < 0]
                if column == "final_accuracy" and below:
                    title += f"; lowest below 0: {_lowest(shares.loc[below])}"
                axis.set_title(title, fontsize=8, parse_math=False)
        axes[0].set_ylabel(f"{DELTA_V}, or objective")
    return fig


def _lowest(shares: pd.DataFrame) -> str:
    """Return the row that is lowest in most columns, and in how many: `-0.1 in 4 of 4`."""
    counts = shares.idxmin().value_counts()
    return f"{counts.index[0]} in {counts.iloc[0]} of {shares.shape[1]}"
