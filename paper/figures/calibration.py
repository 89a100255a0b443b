"""The calibration figure: accuracy at the ends of cycles against the learning rate."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from paper.figures.style import DELTA_V, new_figure, short, signed, styled
from paper.specs import FigureSpec


def table(spec: FigureSpec, read: Callable) -> pd.DataFrame:
    """objective, delta_v, learning_rate, seed, step, accuracy, kl_behaviour, final_accuracy, clipped, chosen
    (`scripts/choose_learning_rates.py`)."""
    tables = [read(name, "calibration.csv", pd.read_csv).assign(objective=name) for name in spec.objectives]
    rows = pd.concat(tables, ignore_index=True)
    return rows[["objective", *rows.columns.drop("objective")]]


def draw(data: pd.DataFrame, spec: FigureSpec) -> Figure:
    """Draw a panel per objective and delta_v, a line per end of a cycle with bars over seeds."""
    groups = [own for _, own in data.groupby(["objective", "delta_v"], sort=False, dropna=False)]
    steps = sorted(data["step"].unique())
    colours = dict(zip(steps, sns.color_palette("viridis_r", len(steps)), strict=True))
    columns = spec.columns
    with styled():
        fig = new_figure(spec)
        axes = fig.subplots(-(-len(groups) // columns), columns, sharey=True, squeeze=False).flatten()
        for axis, own in zip(axes, groups, strict=False):
            for step, rows in own.groupby("step"):
                each = rows.groupby("learning_rate")["accuracy"].agg(["mean", "min", "max"])
                bars = (each["mean"] - each["min"], each["max"] - each["mean"])
                label = f"step {step}" if step else "base policy"
                look = {"ms": 3.5, "mew": 0, "elinewidth": 1, "color": colours[step], "label": label}
                axis.errorbar(each.index, each["mean"], bars, fmt="o-", **look)
            for rate in own.loc[own["chosen"], "learning_rate"].unique():
                axis.axvline(rate, color="black", ls="--", lw=1, label="chosen")
            candidates = sorted(own["learning_rate"].unique())
            axis.set(xscale="log", xlabel="learning rate", ylim=(-0.02, 1.02), ylabel="")
            delta_v = own["delta_v"].iloc[0]
            at = "" if np.isnan(delta_v) else f", {DELTA_V} = {signed(delta_v)}"
            axis.set_title(f"{spec.objectives[own['objective'].iloc[0]].label}{at}")
            axis.set_xticks(candidates, [short(rate) for rate in candidates], rotation=45)
            axis.xaxis.set_minor_locator(NullLocator())
        for axis in axes[len(groups) :]:
            axis.set_axis_off()
        for axis in axes[::columns]:
            axis.set_ylabel("training accuracy")
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return fig
