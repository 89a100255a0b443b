"""Figure 2: reward by improvement iteration and V; right, random instances."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from paper.figures import _bandit
from paper.figures.style import CRITICAL_COLOUR, MINUS, label_ends, new_figure, styled, sweep_colours

# Within this distance V counts as close to V_mu: the red curves.
CLOSE = 0.03
table = _bandit.table


def draw(data, spec):
    """Draw the table of the experiment `improvement`."""
    demo, others = data[data.instance == 0], data[data.instance > 0]
    offsets = demo.groupby("baseline").delta_v.first()
    far, close = offsets[offsets.abs() > CLOSE], offsets[offsets.abs() <= CLOSE]
    # The sweep's blues for V far from V_mu and its reds for V close to it, darkest at V_mu.
    order = [*-far.abs(), *(CLOSE - close.abs())]
    palette = sweep_colours([*order, 0.0])
    colours = {v: palette[key] for v, key in zip([*far.index, *close.index], order, strict=True)}
    with styled():
        fig = new_figure(spec)
        left, right = fig.subplots(1, 2)
        ends, gaps = [], []
        for v, curve in demo.groupby("baseline"):
            left.plot(curve.iteration, curve.reward, color=colours[v], label=_number(v, 3))
            ends.append((curve.reward.iloc[-1], _number(v, 3), colours[v]))
            instances = others[np.isclose(others.delta_v, offsets[v])]
            instances = instances.assign(gap=instances.best_reward - instances.reward)
            _bandit.median_line(
                right, instances, "iteration", "gap", color=colours[v], label=_number(offsets[v], 2)
            )
            gap = instances.loc[instances.iteration == instances.iteration.max(), "gap"].median()
            gaps.append((gap, _number(offsets[v], 2), colours[v]))
        left.axhline(demo.best_reward.iloc[0], color=CRITICAL_COLOUR, ls=":", lw=1)
        left.set_title("demonstration instance")
        left.set_ylabel("reward of the current policy")
        left.legend(title=rf"$V$  ($V_\mu$ = {demo.v_mu.iloc[0]:.3f})", ncols=2, loc="lower right")
        _bandit.log_scale(right, (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5))
        right.set_title(f"median of {others.instance.nunique()} random instances")
        right.set_ylabel("best reward $-$ reward")
        right.legend(title=r"$V - V_\mu$", ncols=2, loc="upper right")
        for ax in (left, right):
            ax.set_xlabel("improvement iteration")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.set_xlim(0, demo.iteration.max())
        label_ends(left, ends)
        label_ends(right, gaps)
    return fig


def _number(number, digits):
    """Return `number` to `digits` digits, with the minus sign of the axes."""
    return f"{number:.{digits}g}".replace("-", MINUS)
