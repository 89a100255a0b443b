"""The toy workflow: the command of store/README.md, what it makes, and where."""

import json
import shutil

import pytest

from store import record
from tests.store.toy import (
    RESULTS,
    contents,
    copy_sources,
    files_of,
    of_kind,
    plan_of,
    planned,
    run_job,
    snakemake,
    unfinished,
)


def test_the_command_of_the_readme_makes_all_reports(finished, graph):
    results = finished / RESULTS
    published = {path.name for path in (results / "reports").iterdir()}
    assert published == {
        f"{name}.{suffix}" for name in ("first", "both") for suffix in ("txt", "csv", "lineage.html")
    }
    numbers = [int(line) for line in next(results.glob("numbers/seed0-*/numbers.txt")).read_text().split()]
    assert len(numbers) == 12
    assert (results / "reports/first.txt").read_text().startswith("Sum of one draw\n")
    rows = (results / "reports/first.csv").read_text().split()
    assert rows == ["name,sum", *(f"seed0,{sum(numbers[:end])}" for end in range(1, 13))]
    assert {path.name for path in (results / ".stamps").iterdir()} == {
        graph.targets[name].id for name in graph.default
    }
    assert planned(finished) == {} and unfinished(finished) == []


def test_it_writes_below_its_own_folder_alone(finished, tmp_path):
    fresh = copy_sources(tmp_path / "fresh")
    left = {p.relative_to(finished) for p in finished.rglob("*") if "__pycache__" not in p.parts}
    left -= {p.relative_to(fresh) for p in fresh.rglob("*")}
    outside = {path for path in left if path.parts[:2] != ("results", "toy")}
    assert {str(path) for path in outside} == {".venv", ".venv/bin", "results"}


def test_a_temporary_checkpoint_goes_when_nothing_reads_it_and_the_other_stays(finished, graph):
    results = finished / RESULTS
    pieces = {path.name for path in (results / "piece").iterdir()}
    assert pieces == {path.name for path in (results / "state").iterdir()} and len(pieces) == 4
    assert not (results / "steps").exists()


def test_jobs_without_snakemake_make_the_same_bytes(finished, made):
    for folder in sorted(made.glob("[!.]*/*-*")):
        if folder.parent.name != "steps":
            assert files_of(folder) == files_of(finished / RESULTS / folder.relative_to(made)), folder


def test_one_job_gives_the_same_bytes_as_several(finished, tmp_path):
    whole = plan_of(pieces=1)
    assert not of_kind(whole, "piece")
    for path in [of_kind(whole, "numbers")[0].path, of_kind(whole, "sum")[0].path]:
        run_job(whole, tmp_path / "results", path)
    one, several = tmp_path / "results" / path, finished / RESULTS / path
    assert (one / "sums.txt").read_bytes() == (several / "sums.txt").read_bytes()
    # The records say what each read.
    assert [len(record.check(folder)["made"]["inputs"]) for folder in (one, several)] == [1, 4]
    # The choice is in no id.
    assert whole.targets["both"].id == plan_of().targets["both"].id


def test_a_lost_sum_makes_its_temporary_checkpoints_again(clone, graph):
    results = clone / RESULTS
    for kind in ("report", "sum"):
        shutil.rmtree(next((results / kind).glob("first-*" if kind == "report" else "seed0-*")))
    (results / "reports/first.csv").unlink()
    assert planned(clone) == {"add_piece": 2, "add": 1, "report": 1, "publish_first": 1}
    before = contents(results, "reports/*.csv")
    snakemake(clone)
    assert planned(clone) == {} and not (results / "steps").exists()
    assert contents(results, "reports/*.csv").items() >= before.items()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--config", "cuont=3"), "Configuration: unknown or missing cuont"),
        (("nothing",), "nothing"),
    ],
)
def test_a_mistake_is_told_before_any_job(clone, arguments, words):
    output = snakemake(clone, *arguments, check=False)
    assert words in output


def test_specifications_are_those_of_the_plan(finished, graph):
    for path in graph.artefacts:
        spec = finished / RESULTS / path / "spec.json"
        if spec.exists():
            recorded = json.loads(spec.read_text())
            assert recorded.pop("made")["kind"] == recorded["kind"]
            assert recorded == json.loads(graph.spec_json(path))
