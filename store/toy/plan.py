"""From a configuration to the graph of the toy workflow; without Snakemake, before any job."""

from dataclasses import dataclass, replace
from pathlib import Path

from store.artefact import Artefact
from store.graph import Builder, Checkpoints, Graph
from store.toy.project import PROJECT, Add, Draw, Report

KINDS = ("numbers", "piece", "state", "steps", "sum", "report")
PUBLISHED = ("txt", "csv", "lineage.html")  # files of a published report, by suffix
# The sum so far, from which the next piece goes on, and the sums on the way, which are temporary.
CHECKPOINTS = Checkpoints(
    of="piece", folders=("state", "steps"), read_by={"piece": ("state",), "sum": ("steps",)}
)


@dataclass(frozen=True)
class Shown:
    """A report: of which seeds, and whether it is made by default."""

    name: str
    title: str
    seeds: tuple[int, ...]
    default: bool


@dataclass(frozen=True)
class Configuration:
    """config.yaml."""

    results: str
    count: int
    pieces: int
    pause: float
    reports: tuple[Shown, ...]


def build(root: Path, configuration: Configuration) -> Graph:
    """Return the graph of a configuration for the source tree at `root`."""
    b = Builder(replace(PROJECT, root=root))
    reports = {shown.name: _report(b, configuration, shown) for shown in configuration.reports}
    default = tuple(shown.name for shown in configuration.reports if shown.default)
    return Graph(b.artefacts, reports, default, KINDS, b.scripts, CHECKPOINTS, b.joined)


def _report(b: Builder, configuration: Configuration, shown: Shown) -> Artefact:
    sums = {
        f"seed{seed}": b.once(("sum", seed), lambda seed=seed: _sum(b, configuration, seed))
        for seed in shown.seeds
    }
    return b.make("report", shown.name, Report(shown.title), sums, script="store.toy.scripts.report")


def _sum(b: Builder, configuration: Configuration, seed: int) -> Artefact:
    """Return the sum of the numbers of a seed, whether one job makes it or several (`b.joined`)."""
    count, slug = configuration.count, f"seed{seed}"
    numbers = b.make("numbers", slug, Draw(seed, count), script="store.toy.scripts.draw")
    whole = b.make(
        "sum",
        slug,
        Add(0, count),
        {"numbers": numbers},
        script="store.toy.scripts.add",
        # Which of the two makes the sum is in no id, so the code of both is.
        also=("store.toy.scripts.add_piece",),
    )
    if configuration.pieces > 1:
        length = -(-count // configuration.pieces)
        pieces: list[Artefact] = []
        for first in range(0, count, length):
            inputs = {"numbers": numbers} | ({"previous": pieces[-1]} if pieces else {})
            spec = Add(first, min(first + length, count))
            script = "store.toy.scripts.add_piece"
            pieces.append(b.make("piece", f"{slug}_until{spec.until}", spec, inputs, script=script))
        b.joined[whole.path] = pieces
    return whole
