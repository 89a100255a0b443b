"""Bandit figures 1, 2, 6 and 7, from the tables of `asymre.bandit_experiments`."""

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from asymre.figures.style import CRITICAL_COLOUR, new_figure, styled, sweep_colours

CURVES = {
    "limit": ("closed-form limit", "#9ecae1"),
    "simulated": ("expected gradient", "#08519c"),
    "sampled": ("sampled gradient", "#e6550d"),
}
# V counts as close to V_mu within this distance: the red curves of Figure 2.
CLOSE = 0.03
BAND = (0.05, 0.25, 0.5, 0.75, 0.95)
ITERATION_COLOURS = {1: "#9ecae1", 5: "#4292c6", 40: "#084594", np.inf: CRITICAL_COLOUR}


def plot_limit(data, *, title, width, height):
    """Figure 1 from `limit_sweep`: reward and support against V; right, random instances."""
    panels = (("reward", "expected reward"), ("support", "arms in the support"))
    return _plot_against_v(data, panels, title, width, height)


def plot_entropy(data, *, title, width, height):
    """Figure 7 from `limit_sweep`: entropy of the policy against V; right, random instances."""
    panels = (("entropy", "policy entropy (nats)"),)
    return _plot_against_v(data, panels, title, width, height)


def _plot_against_v(data, panels, title, width, height):
    """A row a quantity: the demonstration instance over V, random instances over V - V_mu."""
    demo, others = data[data.instance == 0], data[data.instance > 0]
    with styled():
        fig = new_figure(width, height, title)
        axes = fig.subplots(len(panels), 2, sharex="col", sharey="row", squeeze=False)
        for (left, right), (column, label) in zip(axes, panels, strict=True):
            _demo_curves(left, demo, column)
            _instance_bands(right, others, column)
            left.set_ylabel(label)
            left.axvline(demo.v_mu.iloc[0], color=CRITICAL_COLOUR, ls="--", lw=1)
            right.axvline(0, color=CRITICAL_COLOUR, ls="--", lw=1)
            if column == "support":
                _log_scale(left, (1, 2, 5, 10, 20, 50, 100))
        axes[0, 0].set_title("demonstration instance")
        axes[0, 1].set_title(f"{others.instance.nunique()} random instances")
        axes[-1, 0].set_xlabel("baseline $V$")
        axes[-1, 1].set_xlabel(r"$V - V_\mu$")
        for ax in axes[-1]:
            ax.xaxis.set_major_locator(MaxNLocator(6))
            ax.legend(loc="lower left")
    return fig


def _log_scale(ax, ticks):
    """Logarithmic y axis with plain numbers at `ticks`."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))


def _number(number, digits):
    """`number` to `digits` digits, with a minus sign as long as those of the axes."""
    return f"{number:.{digits}g}".replace("-", "\N{MINUS SIGN}")


def _demo_curves(ax, demo, column):
    for curve, (label, colour) in CURVES.items():
        rows = demo[demo.curve == curve]
        line = rows.groupby("baseline")[column].mean()
        if curve == "limit":
            ax.plot(line.index, line, color=colour, lw=4, label=label)
        elif curve == "simulated":
            ax.plot(line.index, line, color=colour, label=label)
        else:
            seeds = rows.seed.nunique()
            ax.plot(rows.baseline, rows[column], "o", color=colour, alpha=0.5, mew=0, ms=3)
            ax.plot([], [], "o", color=colour, ms=3, label=f"{label}, {seeds} seeds")
    ax.plot([], [], color=CRITICAL_COLOUR, ls="--", lw=1, label=r"$V_\mu$")


def _instance_bands(ax, others, column):
    """Median and bands over instances of the simulated policy, and the median of the limit."""
    simulated = _quantiles(others[others.curve == "simulated"], "delta_v", column)
    limit = _quantiles(others[others.curve == "limit"], "delta_v", column)
    colour = CURVES["simulated"][1]
    ax.fill_between(simulated.index, simulated[0.05], simulated[0.95], color=colour, alpha=0.15, lw=0)
    ax.fill_between(simulated.index, simulated[0.25], simulated[0.75], color=colour, alpha=0.25, lw=0)
    ax.plot(limit.index, limit[0.5], color=CURVES["limit"][1], lw=4, label="limit, median")
    ax.plot(
        simulated.index,
        simulated[0.5],
        color=colour,
        label="expected gradient,\nmedian, 50 % and 90 %",
    )


def _quantiles(rows, by, column):
    """Quantiles over instances, a column each, by `by` rounded to the grid they share."""
    return rows.groupby(rows[by].round(9))[column].quantile(list(BAND)).unstack()


def plot_improvement(data, *, title, width, height):
    """Figure 2 from `improvement_sweep`: reward by iteration and V; right, random instances."""
    demo, others = data[data.instance == 0], data[data.instance > 0]
    offsets = demo.groupby("baseline").delta_v.first()
    far, close = offsets[offsets.abs() > CLOSE], offsets[offsets.abs() <= CLOSE]
    # The sweep's blues for V far from V_mu and its reds for V close to it, darkest at V_mu.
    order = [*-far.abs(), *(CLOSE - close.abs())]
    palette = sweep_colours([*order, 0.0])
    colours = {v: palette[key] for v, key in zip([*far.index, *close.index], order, strict=True)}
    with styled():
        fig = new_figure(width, height, title)
        left, right = fig.subplots(1, 2)
        for v, curve in demo.groupby("baseline"):
            left.plot(curve.iteration, curve.reward, color=colours[v], label=_number(v, 3))
            instances = others[np.isclose(others.delta_v, offsets[v])]
            gap = (instances.best_reward - instances.reward).groupby(instances.iteration).median()
            right.plot(gap.index, gap, color=colours[v], label=_number(offsets[v], 2))
        left.axhline(demo.best_reward.iloc[0], color=CRITICAL_COLOUR, ls=":", lw=1)
        left.set_title("demonstration instance")
        left.set_ylabel("reward of the current policy")
        left.legend(title=rf"$V$  ($V_\mu$ = {demo.v_mu.iloc[0]:.3f})", ncols=2, loc="lower right")
        _log_scale(right, (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5))
        right.set_title(f"median of {others.instance.nunique()} random instances")
        right.set_ylabel("best reward $-$ reward")
        right.legend(title=r"$V - V_\mu$", ncols=2, loc="upper right")
        for ax in (left, right):
            ax.set_xlabel("improvement iteration")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return fig


def plot_threshold(data, *, title, width, height):
    """Figure 6 from `threshold_sweep`: reward around V_0, and how far below V_mu V_0 lies.

    Right of V_0 the medians are over the instances whose V is still below V_mu; band 25 to 75 %.
    """
    per_instance = data.groupby("instance").first()
    with styled():
        fig = new_figure(width, height, title)
        left, right = fig.subplots(1, 2)
        regret = data.assign(regret=data.best_reward - data.reward)
        for iteration, colour in ITERATION_COLOURS.items():
            rows = _quantiles(regret[regret.iteration == iteration], "from_threshold", "regret")
            label = "limit" if np.isinf(iteration) else f"{iteration}"
            # Two pieces: the limit jumps at V_0.
            for side in (rows[rows.index < 0], rows[rows.index > 0]):
                left.plot(side.index, side[0.5], color=colour, label=label)
                label = None
                if np.isinf(iteration):
                    left.fill_between(side.index, side[0.25], side[0.75], color=colour, alpha=0.12, lw=0)
        left.axvline(0, color=CRITICAL_COLOUR, ls="--", lw=1)
        left.set_xlabel("$V - V_0$")
        left.set_ylabel("best reward $-$ reward (median)")
        left.set_title("around the threshold")
        left.legend(title="iterations")
        distance = np.sort(per_instance.v_0 - per_instance.v_mu)
        share = 1 - np.arange(len(distance)) / len(distance)
        right.step(distance, share, where="pre", color=CRITICAL_COLOUR)
        right.axvline(0, color=CRITICAL_COLOUR, ls="--", lw=1)
        right.set_ylim(0, 1.03)
        right.set_xlabel(r"$V - V_\mu$")
        right.set_ylabel("share of instances with optimal limit")
        right.set_title(f"{len(distance)} instances")
    return fig
