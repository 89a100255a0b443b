"""Record what a folder of results holds and was made from, and check it when it is read.

The record lies under `made` in the folder's `spec.json` and is no part of its id: results of one
specification may differ in the last bits between kinds of machine, and the record states what came from what.
"""

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from store.artefact import RECORD, SPEC, canonical, identify
from store.files import is_housekeeping, write_text

# Bookkeeping, not results.
TIMESTAMP = ".snakemake_timestamp"  # carries the time of a folder for Snakemake
NOT_RECORDED = {SPEC, TIMESTAMP}
# One thread hashes about 1 GB/s, and checkpoints may have a hundred.
THREADS = min(16, os.cpu_count() or 1)
FOREIGN = ": foreign, no job wrote it"


class Damaged(Exception):
    """A folder differs from its record; `findings` has a line for each file."""

    def __init__(self, folder: Path, findings: list[str]):
        super().__init__(f"{folder}: {'; '.join(findings)}")
        self.folder, self.findings = folder, findings


def describe(
    spec: dict[str, Any],
    folder: Path,
    *,
    kind: str,
    inputs: dict[str, str],
    packages: dict[str, str],
    machine: dict[str, str],
) -> dict[str, Any]:
    """Return the specification with the record of what `folder` holds.

    kind: the folder's place below results/<name>/; a checkpoint's is not the artefact's own. inputs:
    `content` of each folder that was read, by its path below results/<name>/. packages: installed versions.
    Raises OSError if a file cannot be read.
    """
    files = hash_files(files_in(folder))
    if unreadable := [name for name, found in files.items() if "error" in found]:
        raise OSError(f"{folder / unreadable[0]}: {files[unreadable[0]]['error']}")
    made = {
        "kind": kind,
        "files": files,
        "inputs": inputs,
        "packages": packages,
        "python": platform.python_version(),
        "machine": machine,
    }
    return spec | {RECORD: made | {"checksum": _checksum(spec, made)}}


def check(folder: Path) -> dict[str, Any]:
    """Return the specification of a folder that equals its record. Raises Damaged, which names each file."""
    spec = read_spec(folder)
    recorded, found = spec[RECORD]["files"], files_in(folder)
    findings = [f"{name}{FOREIGN}" for name in found if name not in recorded]
    findings += differences(folder, recorded)
    if findings:
        raise Damaged(folder, sorted(findings))
    return spec


def remedy(folder: Path, findings: Sequence[str] = ()) -> str:
    """Return what to delete: foreign files alone, because what lies beside them may be a long run."""
    if findings and all(finding.endswith(FOREIGN) for finding in findings):
        files = "that file" if len(findings) == 1 else "those files"
        return f"delete {files}, not the folder, and run again"
    return f"delete the folder {folder.name} and run again: it will be rebuilt"


def differences(folder: Path, recorded: dict[str, dict[str, Any]]) -> list[str]:
    """Compare the files below `folder` with their records; a line for each that differs."""
    findings = []
    for name, now in hash_files({name: folder / name for name in recorded}).items():
        size, expected = now.get("bytes"), recorded[name]["bytes"]
        if not (folder / name).exists():
            findings.append(f"{name}: missing")
        elif "error" in now:
            findings.append(f"{name}: cannot be read: {now['error']}")
        elif size != expected:
            what = "truncated" if size < expected else "altered"
            findings.append(f"{name}: {what}, {size} bytes instead of {expected}")
        elif now != recorded[name]:
            findings.append(f"{name}: altered, its hash differs")
    return findings


def other_inputs(specs: dict[str, dict[str, Any]]) -> list[str]:
    """Name the folders made from an input whose content differs today; missing inputs are skipped.

    specs: of intact folders, by path below results/<name>/.
    """
    contents = {path: content(spec) for path, spec in specs.items()}
    return [
        f"{path}: made from another content of {read} than it has now"
        for path, spec in specs.items()
        for read, recorded in spec[RECORD]["inputs"].items()
        if contents.get(read, recorded) != recorded
    ]


def read_spec(folder: Path) -> dict[str, Any]:
    """Return specification and record of a folder without reading its files. Raises Damaged."""
    try:
        spec = json.loads((folder / SPEC).read_bytes())
        found = identify(spec)
        made = dict(spec[RECORD]) if RECORD in spec else None
        checksum = made.pop("checksum") if made else None
    except FileNotFoundError:
        raise Damaged(folder, ["spec.json: missing"]) from None
    except OSError as error:
        raise Damaged(folder, [f"spec.json: cannot be read: {error}"]) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Damaged(folder, ["spec.json: damaged"]) from None
    if found != folder.name:
        raise Damaged(folder, [f"spec.json: belongs to {found}"])
    if made is None:
        raise Damaged(folder, ["spec.json: does not record what was made (an older version wrote it)"])
    if checksum != _checksum(spec, made):
        raise Damaged(folder, ["spec.json: altered, its checksum differs"])
    if made["kind"] != folder.parent.name:
        raise Damaged(folder, [f"spec.json: belongs to {made['kind']}/{found}"])
    return spec


def content(spec: dict[str, Any]) -> str:
    """Return one hash over everything that a folder holds, equal for equal files."""
    return hashlib.sha256(canonical(spec[RECORD]["files"]).encode()).hexdigest()


def write_stamp(stamp: Path, published: list[Path], inputs: dict[str, str]) -> None:
    """Write a stamp, `results/<name>/.stamps/<id>`, which records the published files of that id."""
    results = stamp.parents[1]
    files = hash_files({path.relative_to(results).as_posix(): path for path in published})
    made = {"files": files, "inputs": inputs}
    made["checksum"] = _checksum({}, made)
    write_text(stamp, json.dumps({RECORD: made}, indent=1) + "\n")


def read_stamp(stamp: Path) -> dict[str, Any]:
    """Return the record of a stamp without reading the files that it names. Raises Damaged."""
    try:
        record = json.loads(stamp.read_bytes())
        if record[RECORD]["checksum"] == _checksum({}, record[RECORD]):
            return record
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise Damaged(stamp.parent, [f"{stamp.name}: damaged"])


def files_in(folder: Path) -> dict[str, Path]:
    """Return the files below a folder that a record names, by relative path; no housekeeping files."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    # A dangling link is no file, but no job wrote it either.
    return {
        name: path
        for name, path in paths.items()
        if name not in NOT_RECORDED
        and not is_housekeeping(path.name)
        and (path.is_symlink() or not path.is_dir())
    }


def hash_files(files: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Return SHA-256 and size of files, or the error from reading one."""
    # In threads: hashing releases the GIL.
    with ThreadPoolExecutor(THREADS) as threads:
        return dict(zip(files, threads.map(_hash, files.values()), strict=True))


def _hash(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            return {"sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "bytes": stream.tell()}
    except OSError as error:
        return {"error": error.strerror}


def _checksum(spec: dict[str, Any], made: dict[str, Any]) -> str:
    whole = {**spec, RECORD: {key: value for key, value in made.items() if key != "checksum"}}
    return hashlib.sha256(canonical(whole).encode()).hexdigest()


def machine_class(gpu: bool = False) -> dict[str, str]:
    """Return what decides how sums round here; nothing that identifies the machine, its owner or a time."""
    found = {"architecture": platform.machine(), "processor": _processor()}
    torch = sys.modules.get("torch")
    if torch:
        found["torch_cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    if torch and gpu and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    elif torch and gpu and torch.backends.mps.is_available():
        found["gpu"] = "mps"
    return found


def _processor() -> str:
    """Return vendor, family, model and name: on virtual machines the name alone is not enough."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return platform.processor()
    fields = dict(re.findall(r"^(.*?)\s*: (.*)$", first, re.M))
    known = [fields[key] for key in ("vendor_id", "cpu family", "model", "model name") if key in fields]
    return " ".join(known) or platform.processor()
