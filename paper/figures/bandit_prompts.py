"""Figure D: what a cycle makes of a prompt's pass rate, and of their mean, in a contextual bandit."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from asymre.bandit.theory import pass_rate_after_cycle
from paper.figures import _bandit
from paper.figures.style import new_figure, styled, sweep_colours

table = _bandit.table
TITLES = {"u-shaped": "mean, U-shaped pass rates", "even": "mean, equal pass rates"}


def draw(data, spec):
    """Draw the table of the experiment `prompts`."""
    colours = sweep_colours(sorted(data["delta_v"].unique()))
    grid = np.linspace(0, 1, 501)
    with styled():
        fig = new_figure(spec)
        prompts, *means = fig.subplots(1, 3)
        own = data[data["difficulty"] == "u-shaped"].set_index(["delta_v", "prompt"])
        for value, colour in colours.items():
            if value < 0:
                before, after = (own[own["cycle"] == cycle].loc[value, "pass_rate"] for cycle in (0, 1))
                prompts.plot(before, after, "o", color=colour, ms=2, alpha=0.5, mew=0)
                prompts.plot(grid, pass_rate_after_cycle(grid, value, wrong=-1, right=1), color=colour)
        prompts.set(xlabel="pass rate before a cycle", ylabel="after it", xlim=(0, 1), ylim=(0, 1.02))
        prompts.set_title("a prompt, U-shaped pass rates")
        for axis, difficulty in zip(means, TITLES, strict=True):
            rows = data[data["difficulty"] == difficulty]
            for value, curve in rows.groupby(["delta_v", "cycle"])["pass_rate"].mean().groupby("delta_v"):
                label = rf"$\delta_v$ = {value:+g}" if value else r"$\delta_v$ = 0"
                axis.plot(
                    curve.index.get_level_values("cycle"), curve, "o-", color=colours[value], label=label
                )
            axis.set(xlabel="cycles", ylabel="mean pass rate", ylim=(0, 1.02), title=TITLES[difficulty])
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        fig.legend(*means[0].get_legend_handles_labels(), loc="outside right center")
    return fig
