"""Figure 7: entropy of the policy against V; right, random instances."""

from paper.figures import _bandit

table = _bandit.table


def draw(data, spec):
    """Draw the table of the experiment `limit`."""
    return _bandit.draw_against_v(data, (("entropy", "policy entropy (nats)"),), spec)
