"""The types of settings, for every module that declares some.

A catalogue's entry (an objective, a task, a bandit experiment) lists its settings as the fields of a
dataclass, each `Annotated` with bounds and one line of meaning. The configuration checks them with pydantic
(`paper.configuration.schema`); a job that imports the entry need not import pydantic.
"""

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

Count = Annotated[int, Gt(0), Le(10**9)]
Seed = Annotated[int, Ge(0), Lt(2**32)]  # what numpy takes as a seed
Share = Annotated[float, Ge(0), Le(1)]
Positive = Annotated[float, Gt(0)]
UNIQUE = "each value once"  # of a list: a repeated value would count twice in a mean
