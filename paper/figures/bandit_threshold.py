"""Figure 6: reward around V_0, and how far below V_mu V_0 lies.

Right of V_0 the medians are over the instances whose V is still below V_mu; band 25 to 75 %.
"""

import numpy as np
import seaborn as sns

from paper.figures import _bandit
from paper.figures.style import CRITICAL_COLOUR, new_figure, styled

ITERATION_COLOURS = {1: "#9ecae1", 5: "#4292c6", 40: "#084594", np.inf: CRITICAL_COLOUR}
table = _bandit.table


def draw(data, spec):
    """Draw the table of the experiment `threshold`."""
    per_instance = data.groupby("instance").first()
    regret = data.assign(regret=data.best_reward - data.reward)
    with styled():
        fig = new_figure(spec)
        left, right = fig.subplots(1, 2)
        for iteration, colour in ITERATION_COLOURS.items():
            rows = regret[regret.iteration == iteration]
            is_limit = bool(np.isinf(iteration))
            label = "limit" if is_limit else f"{iteration}"
            # Two pieces: the limit jumps at V_0.
            for side in (rows[rows.from_threshold < 0], rows[rows.from_threshold > 0]):
                bands = (50,) if is_limit else ()
                _bandit.median_line(
                    left, side, "from_threshold", "regret", bands=bands, color=colour, label=label
                )
                label = None
        left.axvline(0, color=CRITICAL_COLOUR, ls="--", lw=1)
        left.set_xlabel("$V - V_0$")
        left.set_ylabel("best reward $-$ reward (median)")
        left.set_title("around the threshold")
        left.legend(title="iterations")
        distance = (per_instance.v_0 - per_instance.v_mu).to_numpy()
        # The limit is optimal where V < V_0.
        sns.ecdfplot(distance, complementary=True, ax=right, color=CRITICAL_COLOUR)
        right.axvline(0, color=CRITICAL_COLOUR, ls="--", lw=1)
        right.set_ylim(0, 1.03)
        right.set_xlabel(r"$V - V_\mu$")
        right.set_ylabel("share of instances with optimal limit")
        right.set_title(f"{len(distance)} instances")
    return fig
