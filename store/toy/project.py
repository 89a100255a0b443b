"""What the store has to know of this project, and what its jobs are told."""

from dataclasses import dataclass
from pathlib import Path

from store.fingerprint import Project

PROJECT = Project(
    root=Path(__file__).resolve().parents[2],
    packages=("store.toy",),
    # It carries values, and computes no number.
    carriers=frozenset({"store.toy.project"}),
    numerical=("tabulate",),
    pins=("requirements.txt",),
    remedy="run make setup",
)


@dataclass(frozen=True)
class Draw:
    """Numbers to draw."""

    seed: int
    count: int


@dataclass(frozen=True)
class Add:
    """Numbers to add, from the first until one before the last."""

    first: int
    until: int


@dataclass(frozen=True)
class Report:
    """What to report of sums."""

    title: str
