"""What the first cycle makes of each problem's pass rate (figure G), beside Theorem 4.2 for a prompt."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from asymre.bandit.theory import pass_rate_after_cycle
from asymre.metrics.curves import read_evaluation
from paper.figures.style import CRITICAL_COLOUR, DELTA_V, new_figure, signed, styled, sweep_colours
from paper.specs import FigureSpec

BINS = np.linspace(0, 1, 11)


def table(spec: FigureSpec, read: Callable) -> pd.DataFrame:
    """Return a row per run and problem: model, dataset, delta_v, N, seed, problem, before, after."""
    tables = []
    for run in spec.runs:
        rows = read(run.input, "evaluation.parquet", read_evaluation).set_index("step")["pass_rates"]
        described = run.described("model", "dataset", "delta_v", "N", "seed")
        before, after = rows[0], rows[run.N]
        if after is None:  # diverged
            after = np.zeros(len(before))
        problems = {"problem": np.arange(len(before)), "before": before, "after": after}
        tables.append(pd.DataFrame(described | problems))
    return pd.concat(tables, ignore_index=True)


def draw(data: pd.DataFrame, spec: FigureSpec) -> Figure:
    """Draw a panel per delta_v < 0."""
    values = sorted(v for v in data["delta_v"].unique() if v < 0)
    colours, grid = sweep_colours(values), np.linspace(0, 1, 501)
    with styled():
        fig = new_figure(spec)
        axes = fig.subplots(1, len(values), sharey=True, squeeze=False)[0]
        for axis, value in zip(axes, values, strict=True):
            own = data[data["delta_v"] == value]
            axis.plot(own["before"], own["after"], "o", color=colours[value], ms=3, alpha=0.5, mew=0)
            bins = pd.cut(own["before"], BINS, include_lowest=True)
            means = own.groupby(bins, observed=True)[["before", "after"]].mean()
            of_seeds = (
                own.groupby([bins, "seed"], observed=True)["after"].mean().groupby(level=0, observed=True)
            )
            bars = [means["after"] - of_seeds.min(), of_seeds.max() - means["after"]]
            black = {
                "color": CRITICAL_COLOUR,
                "ms": 4,
                "lw": 1,
                "capsize": 2,
                "label": "mean, range of seeds",
            }
            axis.errorbar(means["before"], means["after"], bars, fmt="o", **black)
            group = {
                "wrong": spec.rewards.wrong,
                "right": spec.rewards.correct,
                "group_size": spec.group_size,
            }
            after = pass_rate_after_cycle(grid, value, **group)
            axis.plot(grid, after, color=colours[value], lw=2, label="Theorem 4.2")
            axis.plot((0, 1), (0, 1), color="0.35", lw=1, ls="--", label="no change")
            axis.set(xlabel="pass rate before the cycle", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
            axis.set_title(f"{DELTA_V} = {signed(value)}")
        axes[0].set_ylabel("after it")
        axes[0].legend(loc="lower right")
    return fig
