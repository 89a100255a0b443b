"""The toy workflow as its tests use it: copies of it, plans, jobs in this process, Snakemake in forks."""

import atexit
import io
import os
import re
import runpy
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from store.artefact import Artefact
from store.graph import Graph
from store.toy import plan
from store.toy.scripts import publish as publishing
from store.typed import build
from tests.store.forks import Forks

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("store", "profiles", "requirements.txt")
COMMAND = ["--snakefile", "store/toy/Snakefile", "--directory", "results/toy", "--cores", "1"]
RESULTS = "results/toy/small"


# --- plans --------------------------------------------------------------------------------------


def settings() -> dict[str, Any]:
    """Return config.yaml, to be changed."""
    return yaml.safe_load((ROOT / "store/toy/config.yaml").read_text(encoding="utf-8"))


def plan_of(root: Path = ROOT, **changes: Any) -> Graph:
    """Return the graph of the sources at `root` with changed settings."""
    return plan.build(root, build(plan.Configuration, settings() | changes))


def retitled(name: str, title: str) -> list[dict]:
    """Return the reports with another title of one."""
    return [report | ({"title": title} if report["name"] == name else {}) for report in settings()["reports"]]


def of_kind(graph: Graph, kind: str) -> list[Artefact]:
    return [artefact for artefact in graph.artefacts.values() if artefact.kind == kind]


def named(graph: Graph, kind: str, slug: str) -> Artefact:
    return next(artefact for artefact in of_kind(graph, kind) if artefact.slug == slug)


def folders(graph: Graph) -> list[str]:
    """Return the paths of all artefacts and checkpoints of a graph."""
    checkpoints = graph.checkpoints
    pieces = [artefact.id for artefact in of_kind(graph, checkpoints.of)]
    return [*graph.artefacts, *(f"{folder}/{id}" for folder in checkpoints.folders for id in pieces)]


# --- copies -------------------------------------------------------------------------------------


def copy_sources(target: Path) -> Path:
    """Return a clone of what the toy needs."""
    target.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target / name)
    return target


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def overlay(folder: Path, **changes: Any) -> tuple[str, ...]:
    """Write changed settings into a clone; return the options of Snakemake that choose them."""
    (folder / "mine.yaml").write_text(yaml.safe_dump(changes, allow_unicode=True), encoding="utf-8")
    return ("--configfile", "mine.yaml")


def contents(folder: Path, pattern: str) -> dict[str, bytes]:
    """Return the content of the files that match, by path below the folder."""
    found = (path for path in sorted(folder.glob(pattern)) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of all files of a result, but what Snakemake notes there."""
    return {n: c for n, c in contents(folder, "**/*").items() if not n.endswith(".snakemake_timestamp")}


def reports_in(folder: Path) -> dict[str, bytes]:
    """Return what is published, but the lineage: it says which checkpoints were there at the time."""
    found = contents(folder / RESULTS / "reports", "*")
    return {name: content for name, content in found.items() if not name.endswith(".html")}


def unfinished(folder: Path) -> list[Path]:
    """Return what killed processes left."""
    return list(folder.rglob("*.partial"))


# --- jobs in this process -----------------------------------------------------------------------


def run_job(graph: Graph, results: Path, path: str) -> None:
    """Make an artefact with its script, as its rule calls it. Raises SystemExit."""
    joined = [str(results / piece.path) for piece in graph.joined.get(path, [])]
    with pytest.MonkeyPatch.context() as patched:
        # Other tests may have imported it, and a record names it with the machine.
        patched.delitem(sys.modules, "torch", raising=False)
        patched.setattr(sys, "argv", [graph.script(path), "-", str(results / path), *joined])
        patched.setattr(sys, "stdin", io.StringIO(graph.spec_json(path)))
        runpy.run_path(str(ROOT / graph.script(path)), run_name="__main__")


def publish(graph: Graph, results: Path, name: str) -> None:
    """Publish a report as its rule does."""
    target = graph.targets[name]
    publishing.main(results / target.path, name, results / ".stamps" / target.id)


def make_all(graph: Graph, results: Path) -> Path:
    """Make everything that the default targets rest on, with all checkpoints, and publish it."""
    wanted = {a.path for a in graph.upstream(graph.default)}
    wanted |= {piece.path for whole in wanted for piece in graph.joined.get(whole, [])}
    # In the graph, a sum stands before the pieces that it is joined of.
    for path in sorted(graph.artefacts, key=lambda path: graph.kinds.index(path.partition("/")[0])):
        if path in wanted:
            run_job(graph, results, path)
    for name in graph.default:
        publish(graph, results, name)
    return results


# --- Snakemake ----------------------------------------------------------------------------------


@cache
def forks() -> Forks:
    started = Forks()
    atexit.register(started.close)
    return started


@cache
def elsewhere() -> Path:
    """Return a folder for Snakemake's cache, which must not be the user's, and for its output."""
    folder = Path(tempfile.mkdtemp(prefix="toy."))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def start(folder: Path, *arguments: str, **variables: str) -> tuple[int, Path]:
    """Start Snakemake in a clone; return the process and the file of its output."""
    output = Path(tempfile.mkstemp(dir=elsewhere())[1])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"XDG_CACHE_HOME": str(elsewhere()), "COLUMNS": "200"} | variables
    return forks().start(folder, [*COMMAND, *arguments], environment, output), output


def snakemake(folder: Path, *arguments: str, check: bool = True, **variables: str) -> str:
    """Run Snakemake in a clone; return its output. check: whether it has to succeed, or else to fail."""
    process, output = start(folder, *arguments, **variables)
    status, text = forks().wait(process), output.read_text(encoding="utf-8")
    assert (status == 0) == check, text
    assert "Traceback" not in text
    return text


def planned(folder: Path, *arguments: str) -> dict[str, int]:
    """Return the number of planned jobs by rule, without the one that collects the targets."""
    output = snakemake(folder, "--dry-run", *arguments)
    rows = re.findall(r"^ (\w[\w ]*?) {2,}(\d+) *$", output, re.M)
    jobs = {name.replace(" ", "_"): int(number) for name, number in rows}
    assert jobs.pop("total", 0) == sum(jobs.values()) and (jobs or "Nothing to be done" in output), output
    jobs.pop("all", None)
    return jobs
