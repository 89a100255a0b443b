"""The description of an objective beside its formula, and the catalogue of all objectives."""

from dataclasses import dataclass
from functools import cache

from asymre.registry import entries


@dataclass(frozen=True)
class Objective:
    """Describe an objective to people and to the configuration; no number of a result depends on it.

    label: as people write it, in legends and claims. colour: of its curves, hexadecimal; None: the colour of
    its delta_v. takes_delta_v: whether its baseline is the group mean plus delta_v. takes_ratio: whether
    its loss reads the log-probabilities of mu, which are stored at temperature 1, so that rollouts have to be
    sampled there; defaults to True, the safe choice. normalisation: of its loss over a batch as its paper has
    it (`asymre.training.normalisation`); None: the configuration's. settings: a dataclass of its further
    settings (`asymre.fields`), given in the configuration under `objectives.<name>`.
    """

    label: str
    colour: str | None = None
    takes_delta_v: bool = False
    takes_ratio: bool = True
    normalisation: str | None = None
    settings: type | None = None

    def __post_init__(self) -> None:
        if not self.label.strip():
            raise ValueError("an objective needs a label: its name as people write it")


@cache
def objectives() -> dict[str, Objective]:
    """Return every objective by its module's name. ValueError for a module without OBJECTIVE."""
    return entries("asymre.objectives", "OBJECTIVE", Objective)
