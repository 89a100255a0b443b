"""Collapse and final accuracy by delta_v and N (figure A)."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from asymre.metrics.curves import curve, final, read_evaluation, step_of_collapse
from paper.figures.style import DELTA_V, new_figure, signed, styled
from paper.specs import FigureSpec


def table(spec: FigureSpec, read: Callable) -> pd.DataFrame:
    """Return a row per run: model, dataset, objective, delta_v, seed, N (inf: never refreshed),
    final_accuracy, collapse_step (NaN: none)."""
    rows = []
    for run in spec.runs:
        evaluation = read(run.input, "evaluation.parquet", read_evaluation)
        accuracy, entropy = (curve(evaluation, measure) for measure in ("test_accuracy", "entropy"))
        described = run.described("model", "dataset", "objective", "delta_v", "seed")
        described["N"] = run.N if run.refreshed else math.inf
        measured = {"final_accuracy": final(accuracy), "collapse_step": step_of_collapse(accuracy, entropy)}
        rows.append(described | measured)
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, spec: FigureSpec) -> Figure:
    """Draw two maps: the share of collapsed runs and the mean final accuracy, over the seeds."""
    collapsed = data.assign(collapsed=data["collapse_step"].notna())
    with styled():
        fig = new_figure(spec)
        axes = fig.subplots(1, 2, sharey=True)
        for axis, column, name, colours in (
            (axes[0], "collapsed", "share of collapsed runs", "Reds"),
            (axes[1], "final_accuracy", "final test accuracy", "viridis"),
        ):
            shares = collapsed.pivot_table(column, "delta_v", "N", aggfunc="mean").sort_index(ascending=False)
            sns.heatmap(
                shares,
                ax=axis,
                cmap=colours,
                vmin=0,
                vmax=1,
                annot=True,
                fmt=".2f",
                annot_kws={"fontsize": 7.5},
                xticklabels=[f"{N:g}" if np.isfinite(N) else "never" for N in shares.columns],
                yticklabels=[signed(v) for v in shares.index],
            )
            axis.tick_params(rotation=0, length=0)
            axis.set_xlabel("N, gradient steps between refreshes of the behaviour policy")
            axis.set_ylabel("")
            axis.set_title(name)
        axes[0].set_ylabel(DELTA_V)
    return fig
