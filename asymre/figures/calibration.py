"""The calibration figure: accuracy against the learning rate, and against delta_v."""

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from asymre.figures.style import new_figure, styled

COLUMNS = 4


def plot_calibration(table: pd.DataFrame) -> Figure:
    """table: choice, objective, delta_v, learning_rate, step, accuracy, chosen (`choose_learning_rates`)."""
    rates, delta_vs = (table[table["choice"] == choice] for choice in ("learning_rate", "delta_v"))
    objectives = rates["objective"].unique()
    steps = sorted(rates["step"].unique())
    colours = matplotlib.colormaps["viridis_r"]
    rows = -(-(len(objectives) + 1) // COLUMNS)
    with styled():
        fig = new_figure(12.0, 2.8 * rows, "Calibration of the learning rates, and of delta_v")
        axes = fig.subplots(rows, COLUMNS, sharey=True, squeeze=False).flatten()
        for axis, objective in zip(axes, objectives, strict=False):
            mine = rates[rates["objective"] == objective]
            for index, step in enumerate(steps):
                ends = mine[mine["step"] == step]
                colour = colours(index / max(len(steps) - 1, 1))
                label = f"step {step}" if step else "base policy"
                axis.plot(ends["learning_rate"], ends["accuracy"], "o-", color=colour, label=label)
            chosen = mine.loc[mine["chosen"], "learning_rate"].unique()
            for rate in chosen:
                axis.axvline(rate, color="black", ls="--", lw=1, label="chosen")
            axis.set_xscale("log")
            axis.set_xlabel("learning rate")
            axis.set_title(objective)
            axis.set_ylim(0, 1)
        last = axes[len(objectives)]
        final = delta_vs.drop_duplicates("delta_v").sort_values("delta_v")
        last.plot(final["delta_v"], final["final_accuracy"], "o-", color="black")
        for delta_v in final.loc[final["chosen"], "delta_v"]:
            last.axvline(delta_v, color="black", ls="--", lw=1)
        last.set_xlabel("$\\delta_v$")
        last.set_title("asymre: final training accuracy")
        for axis in axes[len(objectives) + 1 :]:
            axis.set_axis_off()
        for axis in axes[::COLUMNS]:
            axis.set_ylabel("training accuracy")
        axes[0].legend(loc="lower left")
    return fig
