"""Figure D: what cycles make of pass rates, of their mean and of entropy, in a contextual bandit."""

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
    group = {"wrong": -1, "right": 1, "group_size": int(data["group_size"].iloc[0])}
    grid = np.geomspace(LEAST, 1, 501)
    means = data.groupby(["delta_v", "step"])[["cycle", "pass_rate", "entropy"]].mean()
    by_prompt = data.set_index(["delta_v", "prompt"])
    with styled():
        fig = new_figure(spec)
        prompts, mean, entropy = fig.subplots(1, 3)
        for value, colour in colours.items():
            if value < 0:
                before, after = (by_prompt[by_prompt["cycle"] == c].loc[value, "pass_rate"] for c in (0, 1))
                prompts.plot(before, after, "o", color=colour, ms=2.5, alpha=0.6, mew=0)
                prompts.plot(grid, pass_rate_after_cycle(grid, value, **group), color=colour)
            own = means.loc[value]
            ends, first = own[own["cycle"] % 1 == 0], own[own["cycle"] <= 1]
            mean.plot(
                ends["cycle"], ends["pass_rate"], "o-", color=colour, label=f"{DELTA_V} = {signed(value)}"
            )
            entropy.plot(first.index, first["entropy"], "o-", color=colour)
        prompts.plot((LEAST, 1), (LEAST, 1), color="0.35", lw=1, ls="--", label="no change")
        prompts.set(xscale="log", yscale="log", xlim=(LEAST, 1), ylim=(LEAST, 1.2))
        prompts.set(xlabel="pass rate before a cycle", ylabel="after it", title="a prompt")
        for axis in (prompts.xaxis, prompts.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
        prompts.legend(loc="lower right")
        mean.set(xlabel="cycles", ylabel="mean pass rate", ylim=(-0.02, 1.02), title="mean over prompts")
        mean.set_xlim(0, data["cycle"].max())
        mean.xaxis.set_major_locator(MaxNLocator(integer=True))
        entropy.set(xscale="symlog", xlabel="gradient steps of the first cycle", ylabel="entropy (nats)")
        entropy.set(ylim=(0, None), title="entropy, mean over prompts")
        fig.legend(*mean.get_legend_handles_labels(), loc="outside right center")
    return fig
