"""What has to be made and why, what Snakemake then plans, and what no target names any more."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as testing
from hypothesis import strategies as st

from store import folder, stale
from store.graph import Graph
from tests.store.toy import (
    RESULTS,
    ROOT,
    contents,
    copy_sources,
    edit,
    folders,
    named,
    overlay,
    plan_of,
    planned,
    reports_in,
    retitled,
    settings,
    snakemake,
)

RULES = {"numbers": "draw", "piece": "add_piece", "sum": "add", "report": "report"}


def existing(graph: Graph, results: Path) -> set[str]:
    return folder.existing(results, graph.kinds)


def report_of(graph: Graph, results: Path) -> str:
    there = existing(graph, results)
    return stale.report(graph, folder.read_specs(results, there), there, folder.read_stamps(results))


def groups_of(graph: Graph, results: Path) -> list[str]:
    """Return the head of each group of the report."""
    return [line for line in report_of(graph, results).splitlines() if re.match(r"\d+ \w+: ", line)]


def missing(graph: Graph, results: Path) -> list[str]:
    made = stale.missing(graph, existing(graph, results), folder.read_stamps(results))
    return [artefact.path for artefact in made]


def write(path: Path, text: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def tree(tmp_path) -> Path:
    """A copy of the sources, to be edited."""
    return copy_sources(tmp_path / "tree")


# --- what changes an id ---------------------------------------------------------------------------


def test_comments_docstrings_and_formatting_change_no_id(tree, graph):
    numbers = tree / "store/toy/numbers.py"
    edit(numbers, "def draw(", "# A comment.\n\n\ndef draw(")
    edit(numbers, '"""Return integers', '"""Another docstring. Return integers')
    edit(numbers, "initial=start))[1:]", "initial = start)\n    )[1:]")
    edit(tree / "store/toy/scripts/draw.py", '"""Draw numbers', '"""Another docstring: draw numbers')
    assert plan_of(tree).artefacts.keys() == graph.artefacts.keys()


def test_the_order_of_keys_changes_no_id(graph):
    turned = [dict(reversed(report.items())) for report in settings()["reports"]]
    assert plan_of(reports=turned).artefacts.keys() == graph.artefacts.keys()


def test_ids_are_the_same_in_another_process_and_folder(tree, graph):
    program = "from tests.store.toy import plan_of; print(*plan_of().artefacts)"
    shutil.copytree(ROOT / "tests/store", tree / "tests/store")
    for variables in ({"PYTHONHASHSEED": "1"}, {"PYTHONOPTIMIZE": "2"}):
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tree, env=variables, capture_output=True, text=True
        )
        assert done.stdout.split() == list(graph.artefacts), done.stderr


@pytest.mark.parametrize(
    ("file", "old", "new", "stale_kinds"),
    [
        ("numbers.py", "randint(0, 99)", "randint(0, 98)", {"numbers", "piece", "sum", "report"}),
        ("scripts/draw.py", "spec.count)", "spec.count,)", set()),
        ("scripts/draw.py", '"numbers.txt"', '"numbers" + ".txt"', {"numbers", "piece", "sum", "report"}),
        ("scripts/add_piece.py", "start = 0", "start = 0 + 0", {"piece", "sum", "report"}),
        ("scripts/add.py", "values[spec.first", "values[0 + spec.first", {"sum", "report"}),
        ("scripts/report.py", '"sum"', '"total"', {"report"}),
        # They carry values, and compute no number.
        ("project.py", "run make setup", "run make", set()),
        ("plan.py", '"""A report: of', '"""A report of', set()),
    ],
)
def test_changed_code_makes_stale_what_uses_it_and_nothing_else(tree, graph, file, old, new, stale_kinds):
    edit(tree / "store/toy" / file, old, new)
    changed = set(plan_of(tree).artefacts) - set(graph.artefacts)
    assert {path.partition("/")[0] for path in changed} == stale_kinds
    if stale_kinds:
        # And back: no time, no place, no history is in an id.
        edit(tree / "store/toy" / file, new, old)
        again = tree.rename(tree.with_name("again"))
        assert plan_of(again).artefacts.keys() == graph.artefacts.keys()


def test_a_changed_pin_makes_stale_what_imports_it(tree, graph):
    pins = (tree / "requirements.txt").read_text()
    (tree / "requirements.txt").write_text(re.sub(r"(?m)^numpy==.*$", "numpy==0.1", pins))
    assert plan_of(tree).artefacts.keys() == graph.artefacts.keys(), "no job of the toy imports it"
    (tree / "requirements.txt").write_text(re.sub(r"(?m)^tabulate==.*$", "tabulate==0.1", pins))
    other = tree.rename(tree.with_name("other"))
    changed = set(plan_of(other).artefacts) - set(graph.artefacts)
    assert {path.partition("/")[0] for path in changed} == {"report"}


# --- why: what has to be made ---------------------------------------------------------------------


def test_nothing_exists(graph, tmp_path):
    made = missing(graph, tmp_path)
    kinds = [path.partition("/")[0] for path in made]
    assert Counter(kinds) == {"numbers": 2, "piece": 4, "sum": 2, "report": 2}
    assert kinds == sorted(kinds, key=graph.kinds.index), "upstream first"
    assert groups_of(graph, tmp_path) == [
        f"{kinds.count(kind)} {kind}: nothing comparable exists" for kind in dict.fromkeys(kinds)
    ]
    report = report_of(graph, tmp_path)
    assert report.startswith(f"10 of {len(graph.artefacts)} artefacts have to be made.\n")
    assert report.count("\n    and 1 more") == 1, "of four pieces three are listed"


def test_everything_exists(graph, results):
    assert report_of(graph, results) == ""
    shutil.rmtree(results / "steps")
    assert report_of(graph, results) == "", "what is temporary is missed by nobody"


def test_a_deleted_published_file_is_published_again(graph, results):
    (results / "reports/first.csv").unlink()
    assert report_of(graph, results) == "Made already, but not published: first"


def test_the_walk_stops_at_what_exists(graph, results):
    target = graph.targets["first"]
    for path in (target.inputs["seed0"].path, target.inputs["seed0"].inputs["numbers"].path):
        shutil.rmtree(results / path)
    assert report_of(graph, results) == ""
    (results / ".stamps" / target.id).unlink()
    assert report_of(graph, results) == "Made already, but not published: first"
    shutil.rmtree(results / target.path)
    assert missing(graph, results) == [target.inputs["seed0"].path, target.path]


def test_a_target_that_is_no_default_is_not_made(graph, results):
    assert not (results / graph.targets["third"].path).exists() and report_of(graph, results) == ""


def test_a_lost_checkpoint_is_made_again_with_its_artefact(graph, results):
    """And, unless they exist, with the checkpoints that it goes on from."""
    target, last = graph.targets["first"], named(graph, "piece", "seed0_until12")
    for path in (target.path, target.inputs["seed0"].path, f"steps/{last.id}"):
        shutil.rmtree(results / path)
    (results / ".stamps" / target.id).unlink()
    assert missing(graph, results) == [last.path, target.inputs["seed0"].path, target.path]
    assert groups_of(graph, results)[0] == "1 piece: its checkpoints do not exist"
    first = named(graph, "piece", "seed0_until6")
    shutil.rmtree(results / "state" / first.id)
    assert set(missing(graph, results)[:2]) == {first.path, last.path}


CHANGES = {
    "a title": (
        {"reports": retitled("first", "Another")},
        ["1 report: params.title: Sum of one draw -> Another"],
    ),
    "fewer numbers": (
        {"count": 10},
        [
            "2 numbers: params.count: 12 -> 10",
            "2 piece: params.first: 6 -> 5; params.until: 12 -> 10; "
            "input numbers changed; input previous changed",
            "2 piece: params.until: 6 -> 5; input numbers changed",
            "2 sum: params.until: 12 -> 10; input numbers changed",
            "1 report: input seed0 changed; input seed1 changed",
            "1 report: input seed0 changed",
        ],
    ),
    "another seed": (
        {"reports": [{"name": "first", "title": "Sum of one draw", "seeds": [5], "default": True}]},
        [
            "1 numbers: params.seed: 1 -> 5",
            "1 piece: input numbers changed; input previous changed",
            "1 piece: input numbers changed",
            "1 sum: input numbers changed",
            "1 report: input seed5 is new; input seed0 was removed",
        ],
    ),
    "one job instead of two": ({"pieces": 1}, []),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_reasons_of_changed_settings(name, results):
    changes, expected = CHANGES[name]
    changed = plan_of(**changes)
    assert groups_of(changed, results) == expected
    assert sum(int(head.split()[0]) for head in expected) == len(missing(changed, results))


def test_the_reasons_of_changed_code_and_packages(tree, results):
    with (tree / "store/toy/scripts/report.py").open("a") as stream:
        stream.write("\nfrom store.toy import extra\n")
    (tree / "store/toy/extra.py").write_text("ADDED = 1\n")
    pins = (tree / "requirements.txt").read_text()
    (tree / "requirements.txt").write_text(re.sub(r"(?m)^tabulate==.*$", "tabulate==0.1", pins))
    version = re.search(r"(?m)^tabulate==(.*)$", pins)[1]
    (head,) = groups_of(plan_of(tree), results)
    assert head == (
        f"2 report: packages.tabulate: {version} -> 0.1; module store.toy.scripts.report changed; "
        "module store.toy.extra is new"
    )


def test_specifications_that_cannot_be_read_are_left_out(graph, results):
    assert folder.read_specs(results, existing(graph, results)).keys() >= set(missing(graph, Path("nowhere")))
    changed = plan_of(reports=retitled("first", "Another"))
    spec = results / graph.targets["first"].path / "spec.json"
    good = spec.read_text()
    expected = "1 report: params.title: Sum of one draw -> Another"
    for damaged in ("{", "[]", "3", good.replace("Sum of one draw", "Sum of a draw")):
        assert damaged != good
        spec.write_text(damaged)
        assert groups_of(changed, results) != [expected]
    spec.unlink()
    write(results / "report/notes.txt")
    (results / "report/empty-0123456789").mkdir()
    assert groups_of(changed, results)[0].startswith("1 report: params.title: Sums of two draws -> Another")
    spec.write_text(good)
    assert groups_of(changed, results) == [expected]


def test_specifications_are_compared_without_records(graph, results):
    specs = folder.read_specs(results, existing(graph, results))
    assert specs == {path: json.loads(graph.spec_json(path)) for path in missing(graph, Path("nowhere"))}


def test_differences_by_hand():
    old = {("slug",): "a", ("params", "x"): 1, ("params", "gone"): True, ("params", "text"): "t" * 70}
    new = {("slug",): "b", ("params", "x"): 2.5, ("params", "new"): [1, 2], ("params", "text"): "u"}
    assert stale.differences(old, new) == {
        "params.x": "1 -> 2.5",
        "params.new": "(none) -> [1,2]",
        "params.text": "changed",
        "params.gone": "true -> (none)",
    }
    assert stale.differences({("slug",): "a"}, {("slug",): "b"}) == {"name": "a -> b"}
    code = {("code", name): "1" for name in "abcd"}
    assert stale.differences(code, code | {("code", "a"): "2"}) == {"module a changed": ""}
    assert stale.differences({}, code) == {"modules are new": "4"}
    inputs = {("inputs", name): "1" for name in "abc"}
    assert list(stale.differences(inputs, {})) == [f"input {name} was removed" for name in "abc"]


GRAPH = plan_of()


@given(st.data())
@testing(deadline=None, derandomize=True, max_examples=100)
def test_what_is_missing_is_closed(data):
    there = data.draw(st.sets(st.sampled_from(sorted(folders(GRAPH)))))
    stamps = data.draw(st.sets(st.sampled_from([target.id for target in GRAPH.targets.values()])))
    made = {artefact.path for artefact in stale.missing(GRAPH, there, stamps)}
    asked = {target.path for target in GRAPH.default_targets() if target.id not in stamps}
    assert asked <= made | there
    read = {path for artefact in made for path in GRAPH.inputs(artefact)}
    assert {GRAPH.owner(path) for path in read - there} <= made
    assert made <= {GRAPH.owner(path) for path in read - there} | (asked - there)


# --- Snakemake plans what is stale, and nothing else ----------------------------------------------


@pytest.mark.parametrize("kinds", [("sum", "report"), ("numbers", "sum"), ("report", "state"), ("piece",)])
def test_snakemake_plans_what_why_names(kinds, clone, graph):
    results = clone / RESULTS
    for path in existing(graph, results):
        kind, _, id = path.partition("/")
        if kind in kinds and id.startswith(("seed0", "first")):
            shutil.rmtree(results / path)
    if "report" in kinds:
        (results / "reports/first.txt").unlink()
    why = Counter(RULES[path.partition("/")[0]] for path in missing(graph, results))
    publishing = {"publish_first": 1} if "report" in kinds else {}
    assert planned(clone) == why | publishing
    assert bool(why) == ("report" in kinds), "published reports need nothing that they rest on"


def test_touched_and_commented_files_plan_nothing(clone):
    with (clone / "store/toy/numbers.py").open("a") as stream:
        stream.write("# A comment.\n")
    edit(clone / "store/toy/config.yaml", "pieces: 2\n", "")
    edit(clone / "store/toy/config.yaml", "# The folder", "pieces: 2\n# The folder")
    for number, path in enumerate(sorted(clone.rglob("*"))):
        path.touch() if number % 2 else None
    assert planned(clone) == {}


def test_results_copied_from_a_machine_that_is_ahead_are_read_all_the_same(clone):
    """With and without the files in which Snakemake keeps the times of folders."""
    ahead = time.time() + 3000
    for number, path in enumerate(sorted((clone / RESULTS).glob("[!.l]*/*-*"))):
        if number % 2:
            (path / ".snakemake_timestamp").unlink()
        for own in (*path.glob(".snakemake_timestamp"), path):
            os.utime(own, (ahead, ahead))
    for report in (clone / RESULTS / "report").iterdir():
        shutil.rmtree(report)
    before = reports_in(clone)
    shutil.rmtree(clone / RESULTS / "reports")
    snakemake(clone)
    assert reports_in(clone) == before
    assert max(path.stat().st_mtime for path in (clone / RESULTS).rglob("*")) < ahead


def test_a_copy_of_the_results_in_a_fresh_clone_plans_nothing(finished, clone, tmp_path):
    assert planned(clone) == {}  # copytree keeps times; .snakemake is not there
    other = copy_sources(tmp_path / "without_times")
    shutil.copytree(finished / RESULTS, other / RESULTS, copy_function=shutil.copyfile)
    own = finished / "results/toy/.snakemake"
    shutil.copytree(own, other / "results/toy/.snakemake", ignore=shutil.ignore_patterns("log"))
    assert planned(other) == {}


def test_a_value_that_is_changed_and_changed_back_is_published_again_and_no_more(clone):
    before = reports_in(clone)
    changed = overlay(clone, reports=retitled("first", "Another"))
    assert planned(clone, *changed) == {"report": 1, "publish_first": 1}
    assert "3 of 3 jobs done" in snakemake(clone, *changed)
    after = reports_in(clone)
    assert {name for name in before if before[name] != after[name]} == {"first.txt"}
    assert planned(clone, *changed) == {}
    assert planned(clone) == {"publish_first": 1}
    snakemake(clone)
    assert reports_in(clone) == before
    stamps = [path.name for path in (clone / RESULTS / ".stamps").iterdir()]
    assert sorted(stamps) == sorted(target.id for target in plan_of().default_targets())


def test_results_of_other_code_are_never_used(clone):
    edit(clone / "store/toy/numbers.py", "randint(0, 99)", "randint(0, 98)")
    assert planned(clone) == {
        "draw": 2, "add_piece": 4, "add": 2, "report": 2, "publish_first": 1, "publish_both": 1
    }  # fmt: skip


def test_code_edited_since_the_plan_stops_a_job(clone, graph):
    """Before it writes under a name that would be wrong."""
    path = named(graph, "numbers", "seed0").path
    (clone / "spec.json").write_text(graph.spec_json(path))
    shutil.rmtree(clone / RESULTS / path)
    edit(clone / "store/toy/numbers.py", "randint(0, 99)", "randint(0, 98)")

    def by_hand(spec: str, output: str) -> str:
        script = [sys.executable, "store/toy/scripts/draw.py", spec, f"{RESULTS}/{output}"]
        done = subprocess.run(script, cwd=clone, env={"PYTHONPATH": "."}, capture_output=True, text=True)
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
        return done.stderr

    message = by_hand("spec.json", path)
    assert "store.toy.numbers changed since this job was planned; run snakemake again" in message
    message = by_hand("spec.json", "numbers/another-0123456789")
    assert f"the specification belongs to {path.partition('/')[2]}" in message
    assert "none.json: cannot be read" in by_hand("none.json", path)
    assert not (clone / RESULTS / path).exists()


# --- prune: what no target names ------------------------------------------------------------------

OWN = [
    "sum/notes.txt",
    "sum/my_run/policy.bin",
    "sum/.hidden-0123456789/x",
    "report/first/report.txt",
    "own/thing-0123456789/x",
    "logs/own/thing-0123456789.log",
    "logs/sum/notes.log",
    ".stamps/first-0123456789",
    "reports/.first.txt.77.partial",
    "reports/old-0123456789",
    "notes-0123456789/x",
]
LEFTOVERS = [
    "sum/.seed0-0123456789.4711.partial",
    "state/.seed0_until6-0123456789.4711.replaced.partial",
    "numbers/seed0-0123456789",
    "state/seed0_until6-0123456789",
    "steps/seed0_until6-0123456789",
    "logs/numbers/seed0-0123456789.log",
    "logs/publish/first-0123456789.log",
]


def superfluous(graph: Graph, results: Path) -> list[str]:
    places = [*graph.kinds, *(f"logs/{kind}" for kind in graph.kinds), "logs/publish"]
    return stale.superfluous(graph, folder.existing(results, places))


def test_what_no_target_names_is_listed_and_nothing_else(graph, results):
    assert superfluous(graph, results) == []
    for path in OWN:
        write(results / path)
    for path in LEFTOVERS:
        write(results / path if path.endswith(".log") else results / path / "x")
    assert superfluous(graph, results) == sorted(LEFTOVERS)
    before = contents(results, "**/*")
    for path in superfluous(graph, results):
        folder.remove(results / path)
    after = contents(results, "**/*")
    assert before.keys() - after.keys() == {p if p.endswith(".log") else f"{p}/x" for p in LEFTOVERS}
    # What another plan names: all but what both name.
    other = plan_of(count=8)
    assert set(superfluous(other, results)) == existing(graph, results) - {
        path for path in existing(graph, results) if "/my_run" in path or "0123456789" in path
    } - {"sum/notes.txt", "report/first"}


def test_a_target_that_is_no_default_keeps_what_it_rests_on(graph, results):
    write(results / graph.targets["third"].path / "x")
    assert superfluous(graph, results) == []


def test_links_are_removed_and_not_what_they_lead_to(graph, results, tmp_path):
    write(tmp_path / "elsewhere/x")
    (results / "sum/moved-0123456789").symlink_to(tmp_path / "elsewhere")
    (results / "sum/broken-0123456789").symlink_to(tmp_path / "nothing")
    for path in superfluous(graph, results):
        folder.remove(results / path)
    assert not any((results / f"sum/{name}-0123456789").is_symlink() for name in ("moved", "broken"))
    assert (tmp_path / "elsewhere/x").is_file()


def test_an_interrupted_removal_leaves_no_half_artefact(graph, results, monkeypatch):
    half = results / "sum/old-0123456789"
    write(half / "spec.json")
    write(half / "sums.txt")

    def interrupted(path):
        (path / "sums.txt").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(shutil, "rmtree", interrupted)
        folder.remove(half)
    assert not half.exists()
    (left,) = superfluous(graph, results)
    assert left.endswith(".partial") and (results / left / "spec.json").exists()


def test_size_counts_files(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/x").write_bytes(bytes(1500))
    (tmp_path / "a/b/y").write_bytes(bytes(20))
    assert folder.size(tmp_path / "a") == 1520
    assert folder.size(tmp_path / "a/x") == 1500


@pytest.mark.parametrize(
    "path",
    [
        "sum",
        "sum/",
        "sum/x-0123456789/policy",
        "sum/../reports/x-0123456789",
        "reports/first.txt",
        ".stamps/first-0123456789",
        "configuration.yaml",
        "logs/configuration.log",
        "sum/x-01234567",
        "sum/x-012345678Z",
        "sum/x-0123456789.log",
        "logs/sum/x-0123456789",
        "sums/x-0123456789",
    ],
)
def test_superfluous_takes_no_other_name(path, graph):
    assert stale.superfluous(graph, [path]) == []
    assert stale.superfluous(graph, ["sum/x-0123456789"]) == ["sum/x-0123456789"]
