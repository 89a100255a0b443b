"""An ablation of AsymRE: groups of a single reward at half weight (figure H)."""

from functools import partial

from asymre.objectives import _anchor, asymre
from asymre.objectives._entry import Objective

OBJECTIVE = Objective(
    label="AsymRE, groups of one reward at half weight",
    colour="#4d9221",
    takes_delta_v=True,
    takes_ratio=False,
)

advantages = partial(_anchor.advantages, weight=0.5)
token_loss = asymre.token_loss
