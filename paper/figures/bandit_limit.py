"""Figure 1: reward and support of the policy against V; right, random instances."""

from paper.figures import _bandit

table = _bandit.table


def draw(data, spec):
    """Draw the table of the experiment `limit`."""
    panels = (("reward", "expected reward"), ("support", "arms in the support"))
    return _bandit.draw_against_v(data, panels, spec)
