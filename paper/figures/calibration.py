"""The calibration figure: accuracy against the learning rate, and against delta_v."""

from collections.abc import Callable

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from paper.figures.style import DELTA_V, new_figure, signed, styled
from paper.specs import FigureSpec


def table(spec: FigureSpec, read: Callable) -> pd.DataFrame:
    """choice, objective, delta_v, learning_rate, step, accuracy, final_accuracy, each with its least and most
    over seeds, chosen (`scripts/choose_learning_rates.py`)."""
    return read("table", "calibration.csv", pd.read_csv)


def draw(data: pd.DataFrame, spec: FigureSpec) -> Figure:
    """Draw a panel per objective, a line per end of a cycle; the last panel shows the choice of delta_v."""
    rates, delta_vs = (data[data["choice"] == choice] for choice in ("learning_rate", "delta_v"))
    objectives = rates["objective"].unique()
    final = delta_vs.drop_duplicates("delta_v")
    columns = spec.columns
    steps = sorted(rates["step"].unique())
    colours = dict(zip(steps, sns.color_palette("viridis_r", len(steps)), strict=True))
    with styled():
        fig = new_figure(spec)
        axes = fig.subplots(
            -(-(len(objectives) + 1) // columns), columns, sharey=True, squeeze=False
        ).flatten()
        for axis, objective in zip(axes, objectives, strict=False):
            mine = rates[rates["objective"] == objective]
            for step, rows in mine.groupby("step"):
                label = f"step {step}" if step else "base policy"
                _with_range(axis, rows, "learning_rate", "accuracy", ("least", "most"), colours[step], label)
            _mark_chosen(axis, mine.loc[mine["chosen"], "learning_rate"].unique())
            candidates = sorted(mine["learning_rate"].unique())
            axis.set(xscale="log", xlabel="learning rate", ylim=(-0.02, 1.02), ylabel="")
            axis.set_title(spec.objectives[objective].label)
            axis.set_xticks(candidates, [_short(rate) for rate in candidates])
            axis.xaxis.set_minor_locator(NullLocator())
        last = axes[len(objectives)]
        bounds = ("final_least", "final_most")
        _with_range(last, final, "delta_v", "final_accuracy", bounds, "black", "final")
        _mark_chosen(last, final.loc[final["chosen"], "delta_v"])
        last.set(xlabel=DELTA_V, title="AsymRE: final accuracy", ylabel="")
        last.set_xticks(final["delta_v"], [signed(v) for v in final["delta_v"]])
        for axis in axes[len(objectives) + 1 :]:
            axis.set_axis_off()
        for axis in axes[::columns]:
            axis.set_ylabel("training accuracy")
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return fig


def _with_range(axis, rows, x, y, bounds, colour, label) -> None:
    """Draw means over seeds as a line, and bars from the least to the most."""
    least, most = (rows[name] for name in bounds)
    bars = {"ms": 3.5, "mew": 0, "elinewidth": 1}
    axis.errorbar(
        rows[x], rows[y], (rows[y] - least, most - rows[y]), fmt="o-", color=colour, label=label, **bars
    )


def _mark_chosen(axis, values) -> None:
    for value in values:
        axis.axvline(value, color="black", ls="--", lw=1, label="chosen")


def _short(rate: float) -> str:
    """Return `2e-4`."""
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
