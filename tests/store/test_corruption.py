"""A damaged, mixed-up or foreign file is named by the job that would read it and by `verify`; nothing is made
of it, and nothing published."""

import json
import os
import shutil
from pathlib import Path

import pytest

from store import folder, publish, record
from store.artefact import RECORD, SPEC
from store.graph import Graph
from tests.store.toy import (
    RESULTS,
    contents,
    folders,
    named,
    run_job,
    snakemake,
)
from tests.store.toy import publish as publish_report

# What is read, by the slug of what reads it: a report is read by the script that publishes it.
FILES = {
    "numbers/seed0/numbers.txt": "piece/seed0_until6",
    "piece/seed0_until6/total.txt": "piece/seed0_until12",
    "piece/seed0_until12/total.txt": "sum/seed0",
    "state/seed0_until6/sum.txt": "piece/seed0_until12",
    "steps/seed0_until6/sums.txt": "sum/seed0",
    "sum/seed0/sums.txt": "report/first",
}


def path_of(graph: Graph, place: str) -> str:
    """Return the path of a folder that is named by its kind and slug."""
    kind, slug = place.split("/")[:2]
    of = graph.checkpoints.of if kind in graph.checkpoints.folders else kind
    return f"{kind}/{named(graph, of, slug).id}"


def findings(graph: Graph, results: Path) -> list[str]:
    return folder.verify(results, folder.paths_in(results, graph.kinds)).findings


def refused(graph: Graph, results: Path, reader: str) -> str:
    """Return the message of a job that reads a damaged folder, and makes nothing."""
    shutil.rmtree(results / reader)
    with pytest.raises(SystemExit) as exit:
        run_job(graph, results, reader)
    assert not (results / reader).exists() and not list(results.glob("*/.*.partial"))
    return str(exit.value)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def drop_a_line(path: Path) -> None:
    """Leave a file that can be read, with less in it."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) // 2] + lines[len(lines) // 2 + 1 :]))


def make_unreadable(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "x").touch()


def test_intact_results_pass(graph, results):
    found = folder.verify(results, folder.paths_in(results, graph.kinds))
    assert found.findings == found.left == []
    assert {path.partition("/")[0] for path in found.records} == {*graph.kinds, ".stamps"}
    assert folder.unstamped(results, "reports", found.stamped) == []
    files = [
        f for p in results.rglob("*") if p.is_file() and (f := p).name != SPEC and ".stamps" not in f.parts
    ]
    # Two pieces of each of two seeds, each with two checkpoints.
    count = 2 + 3 * 4 + 2 + 2 + 2
    assert found.totals().startswith(f"{count} artefacts and published results, {len(files)} files, ")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncate, "truncated, "),
        (flip_a_bit, "altered, its hash differs"),
        (drop_a_line, "truncated, "),
        (Path.unlink, "missing"),
    ],
)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_named(graph, results, file, damage, words):
    path, name = path_of(graph, file), file.rpartition("/")[2]
    damage(results / path / name)
    (finding,) = findings(graph, results)
    assert finding.startswith(f"{path}/{name}: {words}")
    message = refused(graph, results, path_of(graph, FILES[file]))
    assert message.startswith(f"error: {results}/{finding}")
    assert f"delete the folder {path.partition('/')[2]} and run again" in message


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        (SPEC, flip_a_bit, ("damaged", "altered, ", "belongs to ")),
        (SPEC, truncate, ("damaged", "altered, ")),
        (SPEC, lambda path: path.write_bytes(b""), ("damaged",)),
        (SPEC, Path.unlink, ("missing",)),
        (SPEC, make_unreadable, ("cannot be read: ",)),
        ("notes.txt", Path.touch, ("foreign, no job wrote it",)),
        ("link", lambda path: path.symlink_to("nowhere"), ("foreign, no job wrote it",)),
    ],
)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_record_or_a_foreign_file_is_named(graph, results, file, name, damage, words):
    path = path_of(graph, file)
    if damage is truncate:
        # The last byte is a line break, which decides nothing.
        truncate(results / path / name)
    damage(results / path / name)
    own = [finding for finding in findings(graph, results) if finding.startswith(f"{path}/{name}: ")]
    assert len(own) == 1 and own[0].startswith(tuple(f"{path}/{name}: {word}" for word in words))
    assert refused(graph, results, path_of(graph, FILES[file])).startswith(f"error: {results}/{own[0]}")


@pytest.mark.parametrize("kind", ["numbers", "sum"])
@pytest.mark.parametrize("with_spec", [True, False])
def test_a_folder_that_holds_another_result_is_named(graph, results, kind, with_spec):
    """The file of another seed is as good a file."""
    right, wrong = (path_of(graph, f"{kind}/{slug}") for slug in ("seed0", "seed1"))
    for file in (results / wrong).iterdir():
        if with_spec or file.name != SPEC:
            shutil.copyfile(file, results / right / file.name)
    own = [finding for finding in findings(graph, results) if finding.startswith(right)]
    expected = f"spec.json: belongs to {wrong.partition('/')[2]}" if with_spec else f"{file.stem[:3]}"
    assert len(own) == 1 and own[0].startswith(f"{right}/{expected}")
    reader = {"numbers": "piece/seed0_until6", "sum": "report/first"}[kind]
    assert f"{results}/{own[0]}" in refused(graph, results, path_of(graph, reader))


def test_folders_that_changed_places_are_named(graph, results):
    """Within a kind, and between an artefact and its checkpoints, which have one id."""
    first, second = (results / path_of(graph, f"numbers/{slug}") for slug in ("seed0", "seed1"))
    first.rename(first.with_name("x"))
    second.rename(first)
    (results / "numbers/x").rename(second)
    id = named(graph, "piece", "seed0_until6").id
    shutil.rmtree(results / "state" / id)
    shutil.copytree(results / "steps" / id, results / "state" / id)
    assert findings(graph, results) == [
        f"numbers/{first.name}/spec.json: belongs to {second.name}",
        f"numbers/{second.name}/spec.json: belongs to {first.name}",
        f"state/{id}/spec.json: belongs to steps/{id}",
    ]
    reader = path_of(graph, "piece/seed0_until12")
    assert "belongs to " in refused(graph, results, reader)


def rewrite(results: Path, path: str, file: str, content: str) -> None:
    """Give a folder another content and a true record of it."""
    spec = json.loads((results / path / SPEC).read_text())
    made = spec.pop(RECORD)
    (results / path / file).write_text(content)
    rest = {key: made[key] for key in ("kind", "inputs", "packages", "machine")}
    (results / path / SPEC).write_text(json.dumps(record.describe(spec, results / path, **rest)))


def test_an_input_of_another_content_is_named(graph, results):
    """The folder is whole and its record true, but it is not what the others were made from."""
    path = path_of(graph, "numbers/seed0")
    rewrite(results, path, "numbers.txt", "1\n")
    readers = [f"{kind}/{named(graph, 'piece', slug).id}" for kind in ("piece", "state", "steps")
               for slug in ("seed0_until12", "seed0_until6")]  # fmt: skip
    assert sorted(findings(graph, results)) == sorted(
        f"{reader}: made from another content of {path} than it has now" for reader in readers
    )


def test_what_is_gone_is_no_finding(graph, results):
    shutil.rmtree(results / "numbers")
    shutil.rmtree(results / "steps")
    assert findings(graph, results) == []


# --- what is published ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["txt", "csv", "lineage.html"])
def test_a_published_file_is_compared(graph, results, suffix):
    flip_a_bit(results / f"reports/first.{suffix}")
    assert findings(graph, results) == [f"reports/first.{suffix}: altered, its hash differs"]
    (results / f"reports/first.{suffix}").unlink()
    assert findings(graph, results) == [f"reports/first.{suffix}: missing"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"made": []}', '{"made": {"files": []}}'])
def test_a_damaged_stamp_is_named(graph, results, text):
    id = graph.targets["first"].id
    (results / ".stamps" / id).write_text(text)
    assert findings(graph, results) == [f".stamps/{id}: damaged"]
    assert folder.read_stamps(results) == {graph.targets["both"].id}, "and stands for nothing"


def test_every_flipped_bit_of_a_stamp_is_found(tmp_path):
    (tmp_path / "a").write_text("x")
    stamp, harmless = tmp_path / ".stamps/first-0123456789", []
    stamp.parent.mkdir()
    record.write_stamp(stamp, [tmp_path / "a"], {"report/first-0123456789": "0"})
    good = stamp.read_bytes()
    for position in range(len(good) - 1):
        for bit in range(8):
            flipped = bytearray(good)
            flipped[position] ^= 1 << bit
            stamp.write_bytes(flipped)
            try:
                record.read_stamp(stamp)
                harmless.append((position, bit))
            except record.Damaged:
                pass
    assert harmless == []


def test_a_report_of_another_content_than_the_published_is_named(graph, results):
    target = graph.targets["first"]
    rewrite(results, target.path, "data.csv", "other")
    expected = f".stamps/{target.id}: made from another content of {target.path} than it has now"
    assert findings(graph, results) == [expected]


def test_a_file_that_no_stamp_records_is_named(graph, results):
    (results / "reports/mine.pdf").touch()
    (results / "numbers/notes.txt").touch()
    for kind in ("numbers", "reports", ".stamps"):
        (results / kind / ".DS_Store").touch()
    # Of a killed job, and no result.
    (results / "reports/.first.txt.7.partial").touch()
    left = f"sum/.{named(graph, 'sum', 'seed0').id}.12.partial"
    (results / left).mkdir()
    found = folder.verify(results, folder.paths_in(results, graph.kinds))
    assert found.findings == ["numbers/notes.txt: foreign, no job wrote it"] and found.left == [left]
    unstamped = folder.unstamped(results, "reports", found.stamped)
    assert unstamped == ["reports/mine.pdf: foreign, no stamp records it"]


@pytest.mark.parametrize("name", [SPEC, "data.csv", "report.txt"])
def test_what_is_damaged_is_not_published(graph, results, name):
    """The old files and their stamp stay as they are."""
    target = graph.targets["first"]
    before = contents(results, "reports/*") | contents(results, ".stamps/*")
    flip_a_bit(results / target.path / name)
    with pytest.raises(record.Damaged, match=name):
        publish_report(graph, results, "first")
    assert contents(results, "reports/*") | contents(results, ".stamps/*") == before


def test_publishing_removes_the_stamps_of_other_results_of_that_name_alone(graph, results):
    stamps = results / publish.STAMPS
    for name in ("first-0123456789", "first-x-0123456789", "firs-0123456789"):
        (stamps / name).touch()
    publish_report(graph, results, "first")
    left = {stamp.name for stamp in stamps.iterdir()}
    expected = {graph.targets[name].id for name in graph.default}
    assert left == expected | {"first-x-0123456789", "firs-0123456789"}


# --- archives -------------------------------------------------------------------------------------


def test_an_archive_depends_on_names_and_content_alone(graph, results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = results.relative_to(tmp_path)
    stray = place / "sum/other-0123456789"
    stray.mkdir()
    packed = []
    for time in (1, 2):
        for path in place.rglob("*"):
            os.utime(path, (time, time))
        paths = [p for p in folder.paths_in(place, graph.kinds) if folder.named(graph, (), p)]
        assert len(paths) == len(folder.paths_in(place, graph.kinds)) - 1, "all but the stray folder"
        target = tmp_path / f"{time}.tar"
        folder.pack(folder.files_of(place, folder.verify(place, paths).records), target)
        packed.append(target.read_bytes())
    assert packed[0] == packed[1]
    stray.rmdir()
    shutil.move(place, tmp_path / "before")
    shutil.unpack_archive(tmp_path / "1.tar", tmp_path, filter="data")
    logs = {"logs"}
    assert {p for p in contents(tmp_path / "before", "**/*") if p.split("/")[0] not in logs} == set(
        contents(place, "**/*")
    )
    assert findings(graph, place) == []


def test_an_archive_is_whole_or_not_there(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(FileNotFoundError):
        folder.pack([tmp_path / "a", tmp_path / "b"], tmp_path / "all.tar")
    assert {path.name for path in tmp_path.iterdir()} == {"a"}


def test_an_archive_takes_the_stamps_that_are_named(graph):
    id = graph.targets["first"].id
    assert folder.named(graph, (), f".stamps/{id}") and folder.named(graph, (), graph.targets["first"].path)
    assert not folder.named(graph, (), ".stamps/saved-1") and folder.named(
        graph, ("saved-1",), ".stamps/saved-1"
    )
    piece = named(graph, "piece", "seed0_until6")
    assert all(folder.named(graph, (), f"{kind}/{piece.id}") for kind in ("piece", "state", "steps"))
    assert not folder.named(graph, (), f"sum/{piece.id}")


# --- Snakemake ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_snakemake_reports_nothing_from_a_damaged_file(clone, graph):
    results = clone / RESULTS
    path = path_of(graph, "sum/seed0")
    flip_a_bit(results / path / "sums.txt")
    for name in ("reports", "report"):
        shutil.rmtree(results / name)
    output = snakemake(clone, check=False)
    assert f"small/{path}/sums.txt: altered, its hash differs" in output
    assert not list(results.glob("reports/*")) and not list(results.glob("report/*"))
    shutil.rmtree(results / path)
    snakemake(clone)
    assert (results / "reports/first.txt").is_file() and findings(graph, results) == []


def test_all_kinds_and_files_are_damaged_here(graph, results):
    """The list of files above is complete."""
    listed = {(place.split("/")[0], place.rpartition("/")[2]) for place in FILES}
    there = {
        (path.partition("/")[0], file.name)
        for path in folders(graph)
        if (results / path).exists()
        for file in (results / path).iterdir()
        if file.name != SPEC
    }
    assert there - listed == {("report", "data.csv"), ("report", "report.txt")}
