"""A run that is killed, starved of disk or started twice ends with the reports of an undisturbed one."""

import base64
import errno
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from store import folder as keeping
from store import job, record
from store.files import write_text
from tests.store.kills import killed_at_change
from tests.store.toy import (
    RESULTS,
    contents,
    copy_sources,
    files_of,
    forks,
    named,
    planned,
    publish,
    reports_in,
    run_job,
    snakemake,
    start,
    unfinished,
)

SLOW = ("--config", "pause=0.05")


# --- killed in the middle of a write -----------------------------------------------------------


# A piece has checkpoints, a report three files.
@pytest.mark.parametrize(
    ("kind", "slug", "exists"),
    [
        ("piece", "seed0_until12", True),
        ("report", "both", False),
        *(
            pytest.param(kind, slug, exists, marks=pytest.mark.slow)
            for kind, slug, exists in (
                ("piece", "seed0_until12", False),
                ("report", "both", True),
                *(("numbers", "seed0", exists) for exists in (False, True)),
                *(("sum", "seed0", exists) for exists in (False, True)),
            )
        ),
    ],
)
def test_a_job_killed_anywhere_leaves_its_result_whole_or_missing(graph, made, results, kind, slug, exists):
    path = named(graph, kind, slug).path
    checkpoints = graph.checkpoints.folders if kind == graph.checkpoints.of else ()
    outputs = [f"{folder}/{path.partition('/')[2]}" for folder in (kind, *checkpoints)]
    for n in itertools.count(1):
        if not exists:
            for output in outputs:
                shutil.rmtree(results / output, ignore_errors=True)
        killed = killed_at_change(n, results, lambda: run_job(graph, results, path))
        there = [output for output in outputs if (results / output).exists()]
        for output in there:
            record.check(results / output)
        assert path not in there or there == outputs, "an artefact without its checkpoints"
        if not killed:
            break
        if n % 7 == 0:
            run_job(graph, results, path)
            assert not unfinished(results), "the next job leaves nothing of the killed one"
    assert n > 5 + 4 * len(checkpoints), "the kills hit no write"
    assert all(files_of(results / output) == files_of(made / output) for output in outputs)
    assert unfinished(results) == []


def test_a_kill_while_a_report_is_published_leaves_no_stamp_of_another(graph, results):
    stamp = results / ".stamps" / graph.targets["first"].id
    other = stamp.with_name("first-0123456789")
    new = contents(results, "reports/first.*")
    assert len(new) == 3
    for n in itertools.count(1):
        # What another version of the report left.
        stamp.unlink(missing_ok=True)
        other.touch()
        for name in new:
            (results / name).write_text("old")
        killed = killed_at_change(n, results, lambda: publish(graph, results, "first"))
        now = contents(results, "reports/first.*")
        assert all(now[name] in (b"old", new[name]) for name in new)
        assert now == new or not stamp.exists()
        assert set(now.values()) == {b"old"} or not other.exists()
        if not killed:
            break
    assert n > 8, "the kills hit no write"
    assert now == new and stamp.exists() and unfinished(results) == []
    assert keeping.verify(results, keeping.paths_in(results, graph.kinds)).findings == []


def test_a_text_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")
    for n in itertools.count(1):
        killed = killed_at_change(n, tmp_path, lambda: write_text(file, "new"))
        assert file.read_text() in ("old", "new")
        if not killed:
            break
    assert n > 2 and file.read_text() == "new" and unfinished(tmp_path) == []


def test_an_archive_is_packed_whole_or_not_at_all(results, tmp_path):
    file, target = next(results.glob("reports/*")), tmp_path / "all.tar"
    keeping.pack([file], target)
    whole = target.read_bytes()
    target.write_text("old")
    for n in itertools.count(1):
        killed = killed_at_change(n, tmp_path, lambda: keeping.pack([file], target))
        assert target.read_bytes() in (b"old", whole)
        if not killed:
            break
    assert n > 2 and unfinished(tmp_path) == []


# --- a run that is killed ----------------------------------------------------------------------


def wait_until(true, process: int) -> None:
    ends = time.monotonic() + 60
    while not true():
        assert _members(process), "it ended too early"
        assert time.monotonic() < ends
        time.sleep(0.005)


def kill(process: int) -> None:
    """Kill Snakemake and all that it started."""
    os.killpg(process, signal.SIGKILL)
    assert forks().wait(process) == -signal.SIGKILL, "it was over before"
    while _members(process):
        time.sleep(0.005)


def _members(session: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def finished_results(clone: Path) -> int:
    return len(list((clone / RESULTS).glob("[!.]*/*-*[0-9a-f]")))


def test_kills_on_the_way_of_one_run_change_no_report(tmp_path, finished):
    """Some when a job has written half, some a random time after a random number of new results."""
    clone, chosen, partial = copy_sources(tmp_path / "clone"), random.Random(0), 0
    for number in range(4):
        before = finished_results(clone)
        process, _ = start(clone, *SLOW)
        if number % 2:
            # A piece takes long enough to be killed.
            wait_until(lambda: unfinished(clone / RESULTS / "piece"), process)
        else:
            wanted = before + chosen.randint(1, 2)
            wait_until(lambda wanted=wanted: finished_results(clone) >= wanted, process)
            time.sleep(chosen.uniform(0, 0.4))
        kill(process)
        partial += bool(unfinished(clone / RESULTS))
        if number == 0:
            message = snakemake(clone, check=False)
            assert "cannot be locked" in message and "--unlock" in message, "it says what to do"
            snakemake(clone, "--unlock")
        # What --unlock does.
        shutil.rmtree(clone / "results/toy/.snakemake/locks", ignore_errors=True)
    assert partial >= 2, "no kill left a half-written result"
    assert 4 <= finished_results(clone), "the kills hit no job"
    snakemake(clone)
    assert reports_in(clone) == reports_in(finished)
    assert unfinished(clone / RESULTS) == [] and planned(clone) == {}


def note_as_incomplete(clone: Path, path: str) -> None:
    """Leave what Snakemake notes while a job runs, and removes when it has seen the job end."""
    note = clone / "results/toy/.snakemake/incomplete" / base64.b64encode(f"small/{path}".encode()).decode()
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text("1")


def test_a_result_in_place_when_the_run_was_killed_hides_no_other_job(clone, graph):
    shutil.rmtree(clone / RESULTS / "reports")
    note_as_incomplete(clone, graph.targets["first"].path)
    assert planned(clone) == {"publish_first": 1, "publish_both": 1}


@pytest.mark.parametrize(
    ("arguments", "makes"),
    [
        (("--profile", "theirs"), True),
        # Without what profiles/default says, Snakemake refuses.
        (("--workflow-profile", "none", "--rerun-triggers", "mtime", "--rerun-incomplete"), False),
    ],
)
def test_what_is_noted_as_incomplete_is_not_made_again(clone, graph, arguments, makes):
    """Snakemake alone would make the numbers again, and end with success and without the report."""
    shutil.rmtree(clone / RESULTS / graph.targets["first"].path)
    (clone / RESULTS / "reports/first.csv").unlink()
    numbers = named(graph, "numbers", "seed0").path
    note_as_incomplete(clone, numbers)
    before = (clone / RESULTS / numbers).stat().st_mtime_ns
    (clone / "theirs").mkdir()
    (clone / "theirs/config.yaml").write_text("rerun-incomplete: true\n")
    # In one job: pieces would stand between the numbers and the sum.
    snakemake(clone, *arguments, "--config", "pieces=1", check=makes)
    assert (clone / RESULTS / "reports/first.csv").is_file() == makes
    assert (clone / RESULTS / numbers).stat().st_mtime_ns == before


# --- a full disk -------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a small file system at a folder; skips where that is not allowed."""
    mounted = []

    def mount(folder: Path, size: str) -> None:
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no tmpfs may be mounted here: {done.stderr.strip()}")
        mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


def test_a_run_goes_on_after_a_full_disk(finished, tmp_path, small_disk):
    clone = copy_sources(tmp_path / "clone")
    small_disk(clone / RESULTS, "48k")
    output = " ".join(snakemake(clone, "publish_first", check=False).split())  # it is wrapped
    assert "No space left on device" in output and "free some space and run again" in output, output
    assert 0 < finished_results(clone), "some results fit"
    subprocess.run(["mount", "-o", "remount,size=10m", clone / RESULTS], check=True)
    snakemake(clone, "publish_first")
    first = {name: text for name, text in reports_in(finished).items() if name.startswith("first")}
    assert reports_in(clone) == first and unfinished(clone / RESULTS) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), True),
        (RuntimeError("PytorchStreamWriter failed: No space left on device"), True),
        (OSError(errno.EACCES, os.strerror(errno.EACCES)), False),
    ],
)
def test_a_full_disk_is_told_in_one_line_and_nothing_else_is_taken_for_it(error, told):
    expected = "error: results/a cannot be written: .*No space left.*; free some space and run again"
    with pytest.raises(SystemExit if told else OSError, match=expected if told else "denied"):
        with job.full_disk_is_reported("results/a"):
            raise error


def test_a_job_without_disk_leaves_nothing(graph, results, monkeypatch):
    path = named(graph, "piece", "seed0_until6").path
    shutil.rmtree(results / path)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(record, "describe", full)
    with pytest.raises(SystemExit, match="free some space"):
        run_job(graph, results, path)
    assert not (results / path).exists() and unfinished(results) == []


# --- two at once -------------------------------------------------------------------------------


def test_a_second_run_is_refused_and_the_first_ends_well(finished, tmp_path):
    """In the same clone, and in one whose results are the same folder, which Snakemake does not notice."""
    clone, other = (copy_sources(tmp_path / name) for name in ("clone", "other"))
    (other / "results/toy").mkdir(parents=True)
    (other / RESULTS).symlink_to(clone / RESULTS)
    process, output = start(clone, "--verbose", *SLOW)
    wait_until(lambda: unfinished(clone / RESULTS), process)
    # However slow the others are, it is not over before.
    os.killpg(process, signal.SIGSTOP)
    # By Snakemake's own lock, or by that of the results folder.
    assert re.search("cannot be locked|another snakemake uses", snakemake(clone, *SLOW, check=False))
    assert "another snakemake uses small" in snakemake(other, check=False)
    snakemake(other, "--dry-run")
    os.killpg(process, signal.SIGCONT)
    assert forks().wait(process) == 0, output.read_text()
    assert reports_in(clone) == reports_in(finished)
    assert planned(other) == {}
    # Under its default limit Snakemake looks for jobs each second, and once more for each job that ended.
    assert "13 of 13 jobs done" in output.read_text()
    assert output.read_text().count("Ready jobs: ") <= 14, "it looks when a job ends, and not by the clock"
