"""Collapse and final accuracy by delta_v and N (figure A)."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from asymre.figures.style import new_figure, styled


def plot_phase_diagram(data: pd.DataFrame, *, title: str, width: float, height: float) -> Figure:
    """Two maps: the share of collapsed runs and the mean final accuracy.

    data: one row a run: delta_v, N (inf: never refreshed), final_accuracy, collapse_step (NaN: none).
    """
    collapsed = data.assign(collapsed=data["collapse_step"].notna())
    with styled():
        fig = new_figure(width, height, title)
        axes = fig.subplots(1, 2, sharey=True)
        for axis, column, name, colours in (
            (axes[0], "collapsed", "share of collapsed runs", "Reds"),
            (axes[1], "final_accuracy", "final test accuracy", "viridis"),
        ):
            table = collapsed.pivot_table(column, "delta_v", "N", aggfunc="mean").sort_index(ascending=False)
            image = axis.imshow(table, cmap=colours, vmin=0, vmax=1, aspect="auto")
            for (row, index), value in np.ndenumerate(table.to_numpy()):
                colour = "white" if (value > 0.5) == (column == "collapsed") else "black"
                axis.text(index, row, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=colour)
            labels = [f"{N:g}" if np.isfinite(N) else "never" for N in table.columns]
            axis.set_xticks(range(len(labels)), labels)
            axis.set_yticks(range(len(table)), [f"{v:+g}" if v else "0" for v in table.index])
            axis.set_xlabel("N, gradient steps between refreshes of the behaviour policy")
            axis.set_title(name)
            axis.grid(False)
            fig.colorbar(image, ax=axis)
        axes[0].set_ylabel("$\\delta_v$")
    return fig
