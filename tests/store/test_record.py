"""What a job records of the folders that it makes, and that a folder which differs is refused by name."""

import getpass
import json
import os
import platform
import re
import socket
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from store import job, record
from store.artefact import Artefact, identify
from store.toy.project import PROJECT

RECORDED = ("pyarrow.parquet", "deep/down.json", ".hidden")


def make_two(params, inputs, folder):
    (folder / "state").mkdir()
    (folder / "state/content").write_text(f"state {params['value']}")
    (folder / "private.bin").write_bytes(bytes(1000))
    (folder / "private.bin").chmod(0o600)


def run_job(monkeypatch, results: Path, artefact: Artefact, make=make_two, arguments=()):
    """The artefact's folder, made as a script makes it."""
    spec, output = results.parent / "wanted.json", results / artefact.path
    results.mkdir(parents=True, exist_ok=True)
    spec.write_text(json.dumps(artefact.spec()))
    monkeypatch.setattr(sys, "argv", ["script.py", str(spec), str(output), *map(str, arguments)])
    job.run(make, PROJECT, checkpoints=("state",))
    return output


def cycle(value=1, **inputs) -> Artefact:
    return Artefact("cycles", "a_cycle", {"value": value}, {}, {"tabulate": version("tabulate")}, inputs)


def recorded(place: Path, names: tuple[str, ...]) -> Path:
    """Write a folder of such files with its record."""
    spec = cycle().spec()
    folder = place / "cycles" / identify(spec)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")
    kind = {"kind": "cycles", "inputs": {}, "packages": {}, "machine": {}}
    (folder / "spec.json").write_text(json.dumps(record.describe(spec, folder, **kind)))
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    """A recorded folder with files of three kinds and depths."""
    return recorded(tmp_path, RECORDED)


def findings(folder: Path) -> list[str]:
    with pytest.raises(record.Damaged) as error:
        record.check(folder)
    return error.value.findings


# --- what is recorded ----------------------------------------------------------------------------


def test_a_job_records_what_it_read_made_and_ran_on(tmp_path, monkeypatch):
    results = tmp_path / "results"
    first, second = cycle(1), cycle(2, previous=cycle(1))
    before = run_job(monkeypatch, results, first)

    def go_on(params, inputs, folder):
        assert job.checkpoint(inputs["previous"], "state") == results / "state" / first.id
        make_two(params, inputs, folder)

    after = record.check(run_job(monkeypatch, results, second, go_on))
    assert after["params"] == {"value": 2} and identify(after) == second.id, "the record is not in the id"
    made = after["made"]
    assert made["files"].keys() == {"private.bin"} and made["files"]["private.bin"]["bytes"] == 1000
    contents = {path: record.content(record.check(results / path)) for path in made["inputs"]}
    assert made["inputs"] == contents and set(contents) == {f"cycles/{first.id}", f"state/{first.id}"}
    assert made["packages"] == {"tabulate": version("tabulate")}
    assert made["python"] == platform.python_version()
    assert made["machine"]["architecture"] == platform.machine() and made["machine"]["processor"]
    checkpoint = record.check(results / "state" / second.id)
    assert checkpoint["made"]["files"].keys() == {"content"} and checkpoint["made"]["inputs"] == contents
    # An artefact's own file is a specification, too: the old record says nothing about the new making.
    monkeypatch.setattr(sys, "argv", ["script.py", str(before / "spec.json"), str(before)])
    old = (before / "spec.json").read_bytes()
    job.run(make_two, PROJECT, checkpoints=("state",))
    assert (before / "spec.json").read_bytes() == old


def test_the_record_does_not_depend_on_place_time_or_person(tmp_path, monkeypatch):
    one = run_job(monkeypatch, tmp_path / "one/results", cycle())
    two = run_job(monkeypatch, tmp_path / "another place/results", cycle())
    assert (one / "spec.json").read_bytes() == (two / "spec.json").read_bytes()
    words = re.findall(r"[^\s\"{},:]+", (one / "spec.json").read_text())
    assert not {socket.gethostname(), getpass.getuser(), str(tmp_path)} & set(words)


def test_joined_folders_are_recorded_as_what_was_read(tmp_path, monkeypatch):
    results = tmp_path / "results"
    piece = run_job(monkeypatch, results, cycle(1))
    joined = run_job(monkeypatch, results, cycle(3, previous=cycle(9)), arguments=[piece])
    assert record.check(joined)["made"]["inputs"].keys() == {f"cycles/{piece.name}"}


def test_files_are_readable_as_the_umask_says(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        made = run_job(monkeypatch, tmp_path / "results", cycle())
    finally:
        os.umask(before)
    assert (made / "private.bin").stat().st_mode & 0o777 == 0o640


# --- what is refused -----------------------------------------------------------------------------


def test_an_intact_folder_passes(folder):
    assert record.check(folder)["made"]["files"].keys() == set(RECORDED)
    (folder / ".snakemake_timestamp").touch()
    (folder / "empty").mkdir()
    record.check(folder)


HOUSEKEEPING = (".DS_Store", "._policy.bin", "Thumbs.db", "Desktop.ini", ".nfs0000000001a2b3c4", ".directory")


@pytest.mark.parametrize("name", [*HOUSEKEEPING, "notes.txt~", ".notes.txt.swp", "deep/.DS_Store"])
def test_housekeeping_files_of_systems_are_no_findings(folder, name):
    (folder / name).write_text("x")
    assert record.check(folder)["made"]["files"].keys() == set(RECORDED)


@pytest.mark.parametrize("name", ["DS_Store", "notes.swp", "policy.bin", ".private", "thumbs.db.txt"])
def test_other_files_are_foreign(folder, name):
    (folder / name).write_text("x")
    assert findings(folder) == [f"{name}: foreign, no job wrote it"]


def test_a_foreign_file_costs_no_folder(tmp_path, monkeypatch):
    """At the gpu scale a folder is a run of many hours."""
    results = tmp_path / "results"
    made = run_job(monkeypatch, results, cycle())
    (made / "notes.txt").touch()
    with pytest.raises(SystemExit) as exit:
        run_job(monkeypatch, results, cycle(2, previous=cycle()))
    expected = f"{made}/notes.txt: foreign, no job wrote it; delete that file, not the folder, and run again"
    assert expected in str(exit.value)
    (made / "other.txt").touch()
    assert record.remedy(made, findings(made)) == "delete those files, not the folder, and run again"
    first = next(iter(record.read_spec(made)["made"]["files"]))
    (made / first).unlink()
    assert (
        record.remedy(made, findings(made))
        == f"delete the folder {made.name} and run again: it will be rebuilt"
    )


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "{}: missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "{}: truncated, "),
        (lambda path: path.write_bytes(b""), "{}: truncated, 0 bytes instead of"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "{}: altered, "),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), "{}: altered, its hash differs"),
        (lambda path: path.with_name("more").write_text("x"), "more: foreign, no job wrote it"),
        (lambda path: (path.unlink(), path.symlink_to("nowhere")), "{}: missing"),
    ],
    ids=["missing", "truncated", "empty", "longer", "altered", "foreign", "link"],
)
def test_damage_is_named(folder, name, damage, words):
    damage(folder / name)
    (finding,) = findings(folder)
    assert words.format(name) in finding


def test_all_damage_is_named(folder):
    (folder / RECORDED[0]).unlink()
    (folder / RECORDED[1]).write_text("")
    (folder / "spare.bin").write_text("")
    assert [finding.partition(":")[0] for finding in findings(folder)] == [
        "deep/down.json",
        "pyarrow.parquet",
        "spare.bin",
    ]


def test_every_flipped_bit_of_the_specification_is_found(tmp_path):
    folder = recorded(tmp_path, ("a",))
    path, harmless = folder / "spec.json", []
    good = path.read_bytes()
    for position in range(len(good)):
        for bit in range(8):
            flipped = bytearray(good)
            flipped[position] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                record.read_spec(folder)
                harmless.append((position, bit))
            except record.Damaged as error:
                assert all(finding.startswith("spec.json: ") for finding in error.findings)
    assert not harmless


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "damaged"),
        ("[]", "damaged"),
        ("3", "damaged"),
        ("{}", "damaged"),
        ('{"slug": "a"}', "damaged"),
        ('{"slug": "a", "code": []}', "damaged"),
        ('{"slug": "a", "code": {}, "made": 3}', "damaged"),
        ('{"slug": "a", "code": {}, "made": {"checksum": NaN}}', "belongs to a-"),
        ('{"slug": "a", "code": {}, "params": NaN}', "damaged"),
        ('{"slug": "a", "code": {}}', "belongs to a-"),
    ],
)
def test_other_specifications_are_refused(folder, text, words):
    (folder / "spec.json").write_text(text)
    assert words in findings(folder)[0]


def test_a_folder_without_a_record_is_refused(folder):
    (folder / "spec.json").write_text(json.dumps(cycle().spec()))
    assert findings(folder) == ["spec.json: does not record what was made (an older version wrote it)"]
    (folder / "spec.json").unlink()
    assert findings(folder) == ["spec.json: missing"]


def test_a_checkpoint_cannot_change_places(tmp_path, monkeypatch):
    results = tmp_path / "results"
    made = run_job(monkeypatch, results, cycle())
    (results / "policies").mkdir()
    (results / "state" / made.name).rename(results / "policies" / made.name)
    assert findings(results / "policies" / made.name) == [f"spec.json: belongs to state/{made.name}"]


@pytest.mark.parametrize("kind", ["cycles", "state"])
def test_a_job_refuses_before_any_work_what_is_damaged(tmp_path, monkeypatch, kind):
    results, worked = tmp_path / "results", []
    made = run_job(monkeypatch, results, cycle())
    damaged = results / kind / made.name
    name = {"cycles": "private.bin", "state": "content"}[kind]
    (damaged / name).write_text("x")

    def go_on(params, inputs, folder):
        job.checkpoint(inputs["previous"], "state")
        worked.append(inputs)

    with pytest.raises(SystemExit) as exit:
        run_job(monkeypatch, results, cycle(2, previous=cycle()), go_on)
    message = str(exit.value)
    assert message.startswith(f"error: {damaged}/{name}: truncated, 1 bytes instead of")
    assert f"delete the folder {made.name} and run again" in message
    assert not worked and not (results / cycle(2, previous=cycle()).path).exists()
    assert not list(results.glob("*/.*.partial"))


def test_a_message_names_the_first_of_many_files(tmp_path, monkeypatch):
    results = tmp_path / "results"
    made = run_job(monkeypatch, results, cycle())
    for number in range(9):
        (made / f"extra_{number}").touch()
    with pytest.raises(SystemExit) as exit:
        run_job(monkeypatch, results, cycle(2, previous=cycle()))
    message = str(exit.value)
    assert message.count("foreign") == 3 and "extra_2: foreign" in message and "and 6 more" in message
