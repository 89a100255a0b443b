"""What the bandit charts share: their table, a colour for each kind of policy, bands over instances."""

from collections.abc import Callable

import pandas as pd
import seaborn as sns
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from paper.figures.style import CRITICAL_COLOUR, MINUS, new_figure, styled
from paper.specs import FigureSpec

CURVES = {
    "limit": ("closed-form limit", "#9ecae1"),
    "simulated": ("expected gradient", "#08519c"),
    "sampled": ("sampled gradient", "#e6550d"),
}
# Closer to V_mu than this the axis is linear.
LINEAR = 0.005


def table(spec: FigureSpec, read: Callable) -> pd.DataFrame:
    """Return the experiment's table, described by its function in `asymre.bandit.experiments`."""
    return read("data", "data.parquet", pd.read_parquet)


def draw_against_v(data: pd.DataFrame, panels: tuple[tuple[str, str], ...], spec: FigureSpec):
    """Draw a row per quantity over V - V_mu: the demonstration instance, random instances.

    data: of the experiment `limit`. panels: column and label of each quantity.
    """
    demo, others = data[data.instance == 0], data[data.instance > 0]
    v_mu = demo.v_mu.iloc[0]
    demo = demo.assign(delta_v=demo.baseline - v_mu)
    with styled():
        fig = new_figure(spec)
        axes = fig.subplots(len(panels), 2, sharex=True, sharey="row", squeeze=False)
        for (left, right), (column, label) in zip(axes, panels, strict=True):
            _demo_curves(left, demo, column)
            _instance_bands(right, others, column)
            left.set_ylabel(label)
            for ax in (left, right):
                ax.axvline(0, color=CRITICAL_COLOUR, ls="--", lw=1)
            if column == "support":
                log_scale(left, (1, 2, 5, 10, 20, 50, 100))
        axes[0, 0].set_title(rf"demonstration instance, $V_\mu$ = {v_mu:.3f}")
        axes[0, 1].set_title(f"{others.instance.nunique()} random instances")
        # What happens lies close to V_mu.
        axes[0, 0].set_xscale("symlog", linthresh=LINEAR)
        axes[0, 0].xaxis.set_major_locator(FixedLocator((-1, -0.1, -0.01, 0, 0.01, 0.1)))
        axes[0, 0].xaxis.set_minor_locator(NullLocator())
        axes[0, 0].xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}".replace("-", MINUS)))
        for ax in axes[-1]:
            ax.set_xlabel(r"baseline $V - V_\mu$")
            ax.legend(loc="upper right")
    return fig


def log_scale(ax, ticks):
    """Give the y axis a logarithmic scale with plain numbers at `ticks`."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))


def median_line(ax, rows, x, y, *, bands=(), **line):
    """Draw the median of `y` at each `x`, rounded to the instances' common grid, and central bands in %."""
    rows = rows.assign(**{x: rows[x].round(9)})
    for band in bands:
        # Draw the line last, over all bands.
        sns.lineplot(
            rows,
            x=x,
            y=y,
            ax=ax,
            estimator="median",
            errorbar=("pi", band),
            color=line["color"],
            legend=False,
            lw=0,
            err_kws={"alpha": 0.15, "lw": 0},
        )
    sns.lineplot(rows, x=x, y=y, ax=ax, estimator="median", errorbar=None, legend=False, **line)
    ax.set(xlabel="", ylabel="")


def _demo_curves(ax, demo, column):
    for curve, (label, colour) in CURVES.items():
        rows = demo[demo.curve == curve]
        if curve == "sampled":
            ax.plot(rows.delta_v, rows[column], "o", color=colour, alpha=0.5, mew=0, ms=3)
            ax.plot([], [], "o", color=colour, ms=3, label=f"{label}, {rows.seed.nunique()} seeds")
        else:
            ax.plot(rows.delta_v, rows[column], color=colour, lw=4 if curve == "limit" else 1.4, label=label)
    ax.plot([], [], color=CRITICAL_COLOUR, ls="--", lw=1, label=r"$V_\mu$")


def _instance_bands(ax, others, column):
    """Draw median and bands over instances of the simulated policy, and the median of the limit."""
    for curve, label, bands, width in (
        ("limit", "limit, median", (), 4),
        ("simulated", "expected gradient,\nmedian, 50 % and 90 %", (90, 50), 1.4),
    ):
        rows, colour = others[others.curve == curve], CURVES[curve][1]
        median_line(ax, rows, "delta_v", column, bands=bands, color=colour, lw=width, label=label)
