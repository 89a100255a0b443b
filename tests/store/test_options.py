"""What people do to a workflow: options that force jobs, locales, places; and the options of a job."""

import os
import shutil
import subprocess
import sys

import pytest

from store import job
from store.lock import Busy, hold
from store.toy.project import PROJECT
from tests.store.toy import (
    COMMAND,
    RESULTS,
    contents,
    copy_sources,
    edit,
    elsewhere,
    make_all,
    overlay,
    plan_of,
    planned,
    retitled,
    snakemake,
)


def forget_the_first_report(clone, graph) -> None:
    shutil.rmtree(clone / RESULTS / graph.targets["first"].path)
    (clone / RESULTS / "reports/first.txt").unlink()


# --- success means that the targets exist ---------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("-R", "draw"), "--forcerun draw"),
        (("-F",), "--forceall"),
        (("-f",), "--force"),
    ],
)
def test_results_are_not_made_again_before_what_rests_on_them(arguments, option, clone, graph):
    forget_the_first_report(clone, graph)
    before = {path: path.stat().st_mtime_ns for path in (clone / RESULTS).glob("[!.l]*/*")}
    output = snakemake(clone, *arguments, check=False)
    assert f"{option} would rebuild existing results" in output
    assert "delete their folders in small/ instead" in output
    assert {path: path.stat().st_mtime_ns for path in (clone / RESULTS).glob("[!.l]*/*")} == before


def test_an_end_without_the_targets_is_no_success(clone, graph):
    """If something else hides jobs one day: the refusal of --forcerun taken out, its kind is still caught."""
    refusal = "if given := forced(workflow.dag_settings):"
    edit(clone / "store/snakemake_private.py", refusal, "if given := None:")
    forget_the_first_report(clone, graph)
    output = snakemake(clone, "-R", "draw", "--config", "pieces=1", check=False)
    assert "targets do not exist, such as small/" in output.replace("\n", " ")


def test_less_than_the_targets_may_be_asked_for(clone, graph):
    forget_the_first_report(clone, graph)
    snakemake(clone, "--until", "report")
    assert (clone / RESULTS / graph.targets["first"].path).exists()
    assert planned(clone) == {"publish_first": 1}


# --- locks ----------------------------------------------------------------------------------------


def test_one_process_holds_a_folder(tmp_path):
    held = hold(tmp_path / "results")
    with pytest.raises(Busy, match="another snakemake uses .*results"):
        hold(tmp_path / "results")
    # A fork stands for another process, and the end of one for a kill.
    other = os.fork()
    if not other:
        try:
            hold(tmp_path / "results")
        except Busy:
            os._exit(3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == 3
    os.close(held)
    os.close(hold(tmp_path / "results"))


def test_a_file_system_without_locks_refuses_nothing(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError("no locks available")

    monkeypatch.setattr("store.lock.fcntl.flock", no_locks)
    for _ in range(2):
        os.close(hold(tmp_path / "results"))


# --- places and locales ---------------------------------------------------------------------------


def test_a_locale_decides_no_byte_and_a_path_may_hold_blanks_and_quotes(tmp_path):
    """Titles beyond ASCII, made where Python would write ASCII by itself, against jobs that know UTF-8."""
    clone = copy_sources(tmp_path / "it's a clone")
    reports = retitled("first", "Größe \N{GREEK SMALL LETTER DELTA}")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    # Python chooses its locale when it starts: a fork would not do.
    command = [sys.executable, "-m", "snakemake", *COMMAND, "publish_first", *overlay(clone, reports=reports)]
    done = subprocess.run(
        command,
        cwd=clone,
        env=environment | {"XDG_CACHE_HOME": str(elsewhere())},
        text=True,
        encoding="utf-8",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    expected = make_all(plan_of(reports=reports), tmp_path / "expected/small")
    for pattern in ("reports/first.[tc]*", "report/first-*/*", "sum/seed0-*/*"):
        found = contents(clone / RESULTS, pattern)
        found = {name: text for name, text in found.items() if not name.endswith(".snakemake_timestamp")}
        assert found == contents(expected, pattern) and found
    assert "Größe δ".encode() in (clone / RESULTS / "reports/first.txt").read_bytes()


# --- options of a job -----------------------------------------------------------------------------


def test_options_have_the_types_of_their_defaults():
    defaults = {"device": "cpu", "processes": 1, "pause": 0.0}
    given, others = job._options(["a/b-1", "processes=3", "device=a=b"], defaults)
    assert given == {"device": "a=b", "processes": 3, "pause": 0.0}
    assert [str(path) for path in others] == ["a/b-1"]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("cpus=3", "unknown option cpus; known: pause"),
        ("pause=long", "option of another type: could not convert string to float: 'long'"),
    ],
)
def test_other_options_are_refused(argument, words):
    with pytest.raises(job.InputError, match=words):
        job._options([argument], {"pause": 0.0})


def test_an_option_changes_no_result(graph, finished, tmp_path):
    """The script is run as its rule runs it, with another value."""
    path = next(path for path in graph.artefacts if path.startswith("piece/seed0_until6-"))
    numbers = graph.artefacts[path].inputs["numbers"].path
    shutil.copytree(finished / RESULTS / numbers, tmp_path / "small" / numbers)
    done = subprocess.run(
        [sys.executable, graph.script(path), "-", tmp_path / "small" / path, "pause=0.01"],
        input=graph.spec_json(path),
        env=os.environ | {"PYTHONPATH": "."},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "done in 0." in done.stdout, done.stderr
    made = (tmp_path / "small" / path / "spec.json").read_bytes()
    assert made == (finished / RESULTS / path / "spec.json").read_bytes()


def test_a_script_without_arguments_says_how_it_is_called(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["draw.py"])
    with pytest.raises(SystemExit, match=r"usage: draw.py SPEC OUTPUT"):
        job.run(None, None)


def test_a_file_that_cannot_be_read_is_named_with_its_folder(tmp_path):
    file = tmp_path / "sum/a-0123456789/policy/b.txt"
    file.parent.mkdir(parents=True)
    (file.parents[1] / "spec.json").touch()
    file.write_text("x")
    words = (
        r"b.txt: cannot be read \(.*'x'\); delete the folder a-0123456789 and run again: it will be rebuilt"
    )
    with pytest.raises(job.InputError, match=words):
        job.reading(file, lambda path: int(path.read_text()))


def test_a_stray_specification_above_makes_no_folder_a_result(tmp_path):
    """Nobody is told to delete what is no result."""
    file = tmp_path / "mine/data/b.txt"
    file.parent.mkdir(parents=True)
    (tmp_path / "spec.json").touch()
    (tmp_path / "mine/spec.json").touch()
    file.write_text("x")
    with pytest.raises(job.InputError, match="delete the folder data and run again"):
        job.reading(file, lambda path: int(path.read_text()))


def test_a_job_tells_its_progress(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(job.time, "monotonic", lambda: now[0])
    progress = job.Progress(10, "step")
    for done in range(1, 11):
        now[0] += 2
        progress(done, "reward 1")
    assert capsys.readouterr().out.splitlines() == [
        "step 3/10 reward 1 14 s left",
        "step 6/10 reward 1 8 s left",
        "step 9/10 reward 1 2 s left",
        "step 10/10 reward 1 0 s left",
    ]


# --- packages of a job ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packages", "words"),
    [
        ({"tabulate": "0.1"}, "tabulate .* is installed, the pinned version is 0.1: run make setup"),
        ({"no_such_package": "1"}, "no_such_package is not installed in .*: run make setup"),
    ],
)
def test_other_packages_than_the_pinned_are_refused(graph, packages, words):
    spec = graph.targets["first"].spec()
    job._check_makers(spec, PROJECT)
    with pytest.raises(job.InputError, match=words):
        job._check_makers(spec | {"packages": packages}, PROJECT)
    local = f"{spec['packages']['tabulate']}+cpu"
    assert job._check_makers(spec | {"packages": {"tabulate": local}}, PROJECT), "a build of the same version"


def test_the_graph_is_drawn_before_anything_is_made(tmp_path):
    """Commands that run no job, such as --dag and --summary, have no settings of a scheduler."""
    clone = copy_sources(tmp_path / "clone")
    for option in ("--dag", "--summary"):
        assert "report" in snakemake(clone, option)
