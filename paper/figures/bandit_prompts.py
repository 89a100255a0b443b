"""Figure D: what a cycle makes of a prompt's pass rate, of their mean, and of entropy, in a contextual bandit."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from asymre.bandit.theory import pass_rate_after_cycle
from paper.figures import _bandit
from paper.figures.style import new_figure, styled, sweep_colours

table = _bandit.table


def draw(data, spec):
    """Draw the table of the experiment `prompts`."""
    colours = sweep_colours(sorted(data["delta_v"].unique()))
    group = {"wrong": -1, "right": 1, "group_size": int(data["group_size"].iloc[0])}
    grid = np.geomspace(1e-4, 1, 501)
    with styled():
        fig = new_figure(spec)
        prompts, mean, entropy = fig.subplots(1, 3)
        ends = data[data["cycle"] % 1 == 0]
        rates = ends.set_index(["delta_v", "prompt"])
        means = data.groupby(["delta_v", "step"])[["cycle", "pass_rate", "entropy"]].mean()
        for value, colour in colours.items():
            if value < 0:
                before, after = (rates[rates["cycle"] == cycle].loc[value, "pass_rate"] for cycle in (0, 1))
                prompts.plot(before, after, "o", color=colour, ms=2, alpha=0.5, mew=0)
                prompts.plot(grid, pass_rate_after_cycle(grid, value, **group), color=colour)
            own = means.loc[value]
            of_cycles = own[own["cycle"] % 1 == 0]
            label = rf"$\delta_v$ = {value:+g}" if value else r"$\delta_v$ = 0"
            mean.plot(of_cycles["cycle"], of_cycles["pass_rate"], "o-", color=colour, label=label)
            first = own[own["cycle"] <= 1]
            entropy.plot(first.index, first["entropy"], "o-", color=colour)
        prompts.set(xlabel="pass rate before a cycle", ylabel="after it", xscale="log", yscale="log")
        prompts.set(xlim=(1e-3, 1.2), ylim=(1e-3, 1.2))
        mean.set(xlabel="cycles", ylabel="mean pass rate", ylim=(0, 1.02))
        mean.xaxis.set_major_locator(MaxNLocator(integer=True))
        entropy.set(xlabel="gradient steps of the first cycle", ylabel="entropy (nats)", xscale="symlog", ylim=(0, None))
        fig.legend(*mean.get_legend_handles_labels(), loc="outside right center")
    return fig
