"""An ablation of AsymRE: groups of a single reward dropped (figure H)."""

from functools import partial

from asymre.objectives import _anchor, asymre
from asymre.objectives._entry import Objective

OBJECTIVE = Objective(
    label="AsymRE, groups of one reward dropped", colour="#8c6bb1", takes_delta_v=True, takes_ratio=False
)

advantages = partial(_anchor.advantages, weight=0.0)
token_loss = asymre.token_loss
