"""Figure D: what a cycle makes of a prompt's pass rate, and of their mean, in a contextual bandit."""

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from asymre.bandit.theory import pass_rate_after_cycle
from paper.figures import _bandit
from paper.figures.style import DELTA_V, new_figure, signed, styled, sweep_colours

table = _bandit.table
LEAST = 0.003  # of the left panel's axes: below are pass rates that stay near 0


def draw(data, spec):
    """Draw the table of the experiment `prompts`."""
    colours = sweep_colours(sorted(data["delta_v"].unique()))
    grid = np.geomspace(LEAST, 1, 501)
    spread, even = (data[data["difficulty"] == difficulty] for difficulty in ("u-shaped", "even"))
    with styled():
        fig = new_figure(spec)
        prompts, means = fig.subplots(1, 2)
        own = spread.set_index(["delta_v", "prompt"])
        for value, colour in colours.items():
            if value < 0:
                before, after = (own[own["cycle"] == cycle].loc[value, "pass_rate"] for cycle in (0, 1))
                prompts.plot(before, after, "o", color=colour, ms=2.5, alpha=0.6, mew=0)
                prompts.plot(grid, pass_rate_after_cycle(grid, value, wrong=-1, right=1), color=colour)
        prompts.plot((LEAST, 1), (LEAST, 1), color="0.35", lw=1, ls="--", label="no change")
        prompts.set(xscale="log", yscale="log", xlim=(LEAST, 1), ylim=(LEAST, 1.2))
        prompts.set(xlabel="pass rate before a cycle", ylabel="after it", title="a prompt")
        for axis in (prompts.xaxis, prompts.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
        prompts.legend(loc="lower right")
        for value, rows in spread.groupby("delta_v"):
            curve = rows.groupby("cycle")["pass_rate"].mean()
            label = f"{DELTA_V} = {signed(value)}"
            means.plot(curve.index, curve, "o-", color=colours[value], label=label)
        # The delta_v agree here: one line, and what is left between them as a band.
        each = even.groupby(["delta_v", "cycle"])["pass_rate"].mean().groupby("cycle")
        equal = {"color": "0.5", "ls": "--", "lw": 1}
        means.fill_between(each.min().index, each.min(), each.max(), color="0.5", alpha=0.3, lw=0)
        means.plot(each.mean().index, each.mean(), label=f"equal pass rates, every {DELTA_V}", **equal)
        means.set(xlabel="cycles", ylabel="mean pass rate", ylim=(-0.02, 1.02), title="mean over prompts")
        means.set_xlim(0, spread["cycle"].max())
        means.xaxis.set_major_locator(MaxNLocator(integer=True))
        fig.legend(*means.get_legend_handles_labels(), loc="outside right center")
    return fig
