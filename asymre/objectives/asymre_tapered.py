"""AsymRE with TOPR's taper (Le Roux et al., arXiv 2503.14286): off-policy, a wrong answer loses its weight
as pi leaves it. The combination is ours.

Gradient ascent along

    E_{x, y~mu(.|x)}[ c (r(y, x) - V_mu(x) - delta_v) grad log pi(y|x) ],
    c = min(pi(y|x) / mu(y|x), 1) where the advantage is negative, 1 elsewhere

with a weight for the whole completion, not differentiated. Without it, the push away from wrong answers is
weighted by mu, not by pi, and goes on however improbable they have become.
"""

from asymre.objectives import asymre, topr
from asymre.objectives._entry import Objective

OBJECTIVE = Objective(label="AsymRE, tapered", colour="#35d0c0", takes_delta_v=True, takes_ratio=True)

advantages = asymre.advantages
token_loss = topr.token_loss
