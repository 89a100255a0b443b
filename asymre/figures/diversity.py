"""What a baseline costs in diversity (figure C): pass@k, right completions and entropy by delta_v."""

import pandas as pd
from matplotlib.figure import Figure

from asymre.figures.style import new_figure, styled, sweep_colours

BASE_COLOUR = "0.6"


def plot_diversity(data: pd.DataFrame, *, title: str, width: float, height: float) -> Figure:
    """Three panels: pass@k against k, distinct right completions and entropy against delta_v.

    data: one row a run and step, 0 (the base policy) or the last: delta_v, seed, step, pass_at_1, pass_at_2,
        ..., distinct_correct, entropy (NaN: the run diverged).
    """
    ks = sorted(int(name.removeprefix("pass_at_")) for name in data if name.startswith("pass_at_"))
    base, end = data[data["step"] == 0], data[data["step"] > 0]
    colours = sweep_colours(sorted(end["delta_v"].unique()))
    with styled():
        fig = new_figure(width, height, title)
        axes = fig.subplots(1, 3)
        columns = [f"pass_at_{k}" for k in ks]
        axes[0].plot(ks, base[columns].mean(), color=BASE_COLOUR, ls="--", label="base policy")
        for delta_v, rows in end.groupby("delta_v"):
            label = f"$\\delta_v$ = {delta_v:+g}" if delta_v else "$\\delta_v$ = 0"
            axes[0].plot(ks, rows[columns].mean(), "o-", color=colours[delta_v], label=label)
        axes[0].set_xscale("log", base=2)
        axes[0].set_xticks(ks, [str(k) for k in ks])
        axes[0].set_xlabel("k")
        axes[0].set_ylabel("pass@k")
        axes[0].set_ylim(0, 1)
        for axis, column, label in (
            (axes[1], "distinct_correct", "distinct right completions a problem"),
            (axes[2], "entropy", "entropy (nats a token)"),
        ):
            over_seeds = end.groupby("delta_v")[column].agg(["mean", "min", "max"])
            spread = [over_seeds["mean"] - over_seeds["min"], over_seeds["max"] - over_seeds["mean"]]
            axis.axhline(base[column].mean(), color=BASE_COLOUR, ls="--")
            axis.errorbar(over_seeds.index, over_seeds["mean"], spread, color="0.3", lw=0.8, capsize=2)
            axis.scatter(over_seeds.index, over_seeds["mean"], color=over_seeds.index.map(colours), zorder=3)
            axis.set_xlabel("$\\delta_v$")
            axis.set_ylabel(label)
            axis.set_ylim(bottom=0)
        fig.legend(loc="outside right center")
    return fig
