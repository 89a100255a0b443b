"""Read and keep a folder of results: what lies in it, what differs from its record, what may go."""

import json
import os
import shutil
import tarfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from store import record
from store.artefact import RECORD, SPEC, identify
from store.files import is_housekeeping, write_whole
from store.graph import Graph
from store.job import Progress
from store.publish import STAMPS

# --- what lies in it ----------------------------------------------------------------------------


def entries(folder: Path) -> list[Path]:
    """Return what lies in a folder; nothing if it does not exist."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def existing(results: Path, kinds: Iterable[str]) -> set[str]:
    """Return everything in the folders of the kinds, as `<kind>/<name>`."""
    return {f"{kind}/{entry.name}" for kind in kinds for entry in entries(results / kind)}


def read_specs(results: Path, paths: set[str]) -> dict[str, dict]:
    """Return specifications by path, without those that cannot be read or do not belong to their path."""
    specs = {}
    for path in sorted(paths):
        try:
            spec = json.loads((results / path / SPEC).read_text(encoding="utf-8"))
            spec.pop(RECORD, None)
            if f"{spec['kind']}/{identify(spec)}" == path:
                specs[path] = spec
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return specs


def read_stamps(results: Path) -> set[str]:
    """Return the ids of what is published: a stamp counts while the files that it records exist."""
    ids = set()
    for stamp in entries(results / STAMPS):
        try:
            files = record.read_stamp(stamp)[RECORD]["files"]
        except record.Damaged:
            continue
        if all((results / file).is_file() for file in files):
            ids.add(stamp.name)
    return ids


def settle_times(results: Path, kinds: Iterable[str]) -> None:
    """Set times that are ahead of the clock to now, as of results copied from a machine that is ahead.

    Snakemake fails a job whose output is older than an input, ancient or not, and deletes the output.
    """
    now = time.time()
    for path in sorted(existing(results, kinds)):
        for entry in (results / path, results / path / record.TIMESTAMP):
            # Another user's file keeps its time, and a job that reads it fails with Snakemake's words.
            with suppress(OSError):
                if entry.stat().st_mtime > now:
                    os.utime(entry, (now, now))


# --- what differs from its record ---------------------------------------------------------------


@dataclass
class Verified:
    """The records of what equals its record, by path below results/<name>/, and findings on the rest."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # by killed jobs
    stamped: set[str] = field(default_factory=set)  # published files

    def totals(self) -> str:
        """Return numbers and sizes, for people."""
        files = [f for recorded in self.records.values() for f in recorded[RECORD]["files"].values()]
        size = sum(f["bytes"] for f in files) / 1e9
        return f"{len(self.records)} artefacts and published results, {len(files)} files, {size:.3g} GB"


def paths_in(results: Path, kinds: Iterable[str]) -> list[str]:
    """Return everything in the folders of the kinds, and the stamps, by path below results/<name>/."""
    return [
        f"{folder}/{p.name}"
        for folder in [*kinds, STAMPS]
        for p in entries(results / folder)
        if not is_housekeeping(p.name)
    ]


def verify(results: Path, paths: Iterable[str]) -> Verified:
    """Compare the files of artefacts and stamps with their records."""
    paths, found = list(paths), Verified()
    progress = Progress(len(paths), "verified")
    for done, path in enumerate(paths, start=1):
        try:
            if path.endswith(".partial"):
                found.left.append(path)
            elif path.startswith(f"{STAMPS}/"):
                stamp = record.read_stamp(results / path)
                found.stamped |= stamp[RECORD]["files"].keys()
                wrong = record.differences(results, stamp[RECORD]["files"])
                found.findings += wrong
                found.records |= {} if wrong else {path: stamp}
            elif not (results / path).is_dir():
                found.findings.append(f"{path}{record.FOREIGN}")
            else:
                found.records[path] = record.check(results / path)
        except record.Damaged as error:
            folder = error.folder.relative_to(results)
            found.findings += [f"{folder}/{finding}" for finding in error.findings]
        progress(done, path)
    found.findings += record.other_inputs(found.records)
    return found


def unstamped(results: Path, folder: str, stamped: set[str]) -> list[str]:
    """Return a finding for each published file in `folder` that no stamp records."""
    files = {
        f"{folder}/{p.name}"
        for p in entries(results / folder)
        if p.is_file() and not p.name.endswith(".partial") and not is_housekeeping(p.name)
    }
    return [f"{name}: foreign, no stamp records it" for name in sorted(files - stamped)]


# --- what to pack, what to remove ---------------------------------------------------------------


def named(graph: Graph, saved: Iterable[str], path: str) -> bool:
    """Whether the graph names this path: an artefact, a checkpoint, a stamp. saved: further stamps."""
    folder, _, id = path.rpartition("/")
    if folder == STAMPS:
        return id in {*saved, *(target.id for target in graph.targets.values())}
    return graph.owner(path) in graph.artefacts


def files_of(results: Path, records: dict[str, dict]) -> list[Path]:
    """Return all files of artefacts and stamps, with the files that hold the records."""
    files = []
    for path, recorded in records.items():
        if path.startswith(f"{STAMPS}/"):
            files += [results / path, *(results / name for name in recorded[RECORD]["files"])]
        else:
            files += [results / path / SPEC, *record.files_in(results / path).values()]
    return sorted(files)


def pack(files: list[Path], target: Path) -> None:
    """Pack files in this order, whole or not at all; the bytes depend on names and content alone."""

    def write(temporary: Path) -> None:
        with tarfile.open(temporary, "w") as tar:
            for path in files:
                entry = tarfile.TarInfo(path.as_posix())
                entry.size, entry.mode = path.stat().st_size, 0o644
                with path.open("rb") as stream:
                    tar.addfile(entry, stream)

    write_whole(target, write)


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; a link counts as itself."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(size(entry) for entry in path.iterdir())


def remove(path: Path) -> None:
    """Remove a file, a link or a folder; a folder is never half removed under its name."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    if not path.name.endswith(".partial"):
        path = path.rename(path.with_name(f".{path.name}.{os.getpid()}.partial"))
    shutil.rmtree(path)
