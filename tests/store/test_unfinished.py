"""A resumable job keeps its progress: whole or not at all, checked when it is read, gone when it ends."""

import itertools
import json
import sys

import pytest

from store import job, record
from store.artefact import identify
from store.graph import UNFINISHED, Graph
from store.toy.project import PROJECT
from tests.store.kills import killed_at_change

SPEC = {"kind": "sum", "slug": "long", "params": {}, "code": {}, "packages": {}, "inputs": {}}
ID = identify(SPEC)
STEPS = 4


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that runs a job of STEPS steps, keeps its progress after each, and returns the result."""
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    output = tmp_path / "results/sum" / ID
    monkeypatch.setattr(sys, "argv", ["job", str(tmp_path / "spec.json"), str(output)])

    def make(spec, inputs, folder, unfinished):
        kept = unfinished.load()
        done = json.loads((kept / "done.json").read_text()) if kept else []
        for step in range(len(done), STEPS):
            done.append(step * step)
            unfinished.keep(lambda path: (path / "done.json").write_text(json.dumps(done)))
            print(f"step {step}")
        (folder / "result.json").write_text(json.dumps(done))

    def run():
        job.run(make, PROJECT, resumable=True)
        return (output / "result.json").read_bytes()

    return run


def test_a_job_killed_anywhere_goes_on_to_the_same_result(run, tmp_path, capsys):
    results, resumed = tmp_path / "results", set()
    for n in itertools.count(1):
        killed = killed_at_change(n, results, run)
        kept = results / UNFINISHED / ID
        if kept.exists():
            record.check(kept)
        capsys.readouterr()
        assert run() == b"[0, 1, 4, 9]"
        resumed.add(capsys.readouterr().out.count("step "))
        assert not kept.exists() and not list((results / UNFINISHED).iterdir())
        if not killed:
            break
        for path in (results / "sum" / ID).iterdir():
            path.unlink()
        (results / "sum" / ID).rmdir()
    assert n > 20, "the kills hit no write"
    assert resumed >= {0, 1, 2, 3, 4}, "progress was lost, or never kept"


def test_damaged_progress_is_said_and_not_used(run, tmp_path, capsys):
    results = tmp_path / "results"
    n = next(
        n for n in itertools.count(1) if not killed_at_change(n, results, run) or kept_steps(results) == 2
    )
    file = results / UNFINISHED / ID / "done.json"
    assert n > 5 and file.exists()
    file.write_text("[0, 7]")
    capsys.readouterr()
    assert run() == b"[0, 1, 4, 9]"
    out = capsys.readouterr().out
    assert "done.json: altered" in out and "starting again" in out and out.count("step ") == STEPS


def kept_steps(results) -> int:
    file = results / UNFINISHED / ID / "done.json"
    return len(json.loads(file.read_text())) if file.exists() else 0


def test_progress_belongs_to_the_artefact_of_its_name(graph):
    artefact = next(iter(graph.artefacts.values()))
    assert graph.owner(f"{UNFINISHED}/{artefact.id}") == artefact.path
    assert graph.owner(f"{UNFINISHED}/other-0123456789") not in graph.artefacts
    assert isinstance(graph, Graph)
