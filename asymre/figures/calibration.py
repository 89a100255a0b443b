"""The calibration figure: accuracy at the end of each cycle against the learning rate."""

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from asymre.figures.style import new_figure, styled


def plot_calibration(table: pd.DataFrame) -> Figure:
    """table: objective, learning_rate, step, accuracy, still_improves, chosen (`choose_learning_rates`)."""
    objectives = sorted(table["objective"].unique())
    steps = sorted(table["step"].unique())
    colours = matplotlib.colormaps["viridis_r"]
    with styled():
        fig = new_figure(4.0 * len(objectives), 3.4, "Calibration of the learning rates")
        axes = fig.subplots(1, len(objectives), sharey=True, squeeze=False)[0]
        for axis, objective in zip(axes, objectives, strict=True):
            mine = table[table["objective"] == objective]
            for index, step in enumerate(steps):
                rows = mine[mine["step"] == step]
                colour = colours(index / max(len(steps) - 1, 1))
                label = f"step {step}" if step else "base policy"
                axis.plot(rows["learning_rate"], rows["accuracy"], "o-", color=colour, label=label)
            chosen = mine.loc[mine["chosen"], "learning_rate"].unique()
            for rate in chosen:
                axis.axvline(rate, color="black", ls="--", lw=1, label="chosen")
            axis.set_xscale("log")
            axis.set_xlabel("learning rate")
            axis.set_title(objective)
            axis.set_ylim(0, 1)
        axes[0].set_ylabel("test accuracy, temperature 1")
        axes[-1].legend(loc="lower left")
    return fig
