"""Entry point shared by all jobs: parse arguments, verify inputs, write the output atomically.

    python scripts/train_policy_local.py SPEC OUTPUT [JOINED ...] [name=value ...]

SPEC is a file with the artefact's specification (a `spec.json`), or - for standard input. OUTPUT is the
folder to make, `results/<name>/<kind>/<id>`. Its inputs are the folders that SPEC names, relative to
`results/<name>/`; JOINED are folders that together hold the result already. Options change no result:
processes, memory and the like.
"""

import errno
import gc
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from store import record
from store.artefact import ID, SPEC, identify
from store.fingerprint import Project, tree_hash
from store.graph import UNFINISHED
from store.typed import build

# The content of each folder that this job has verified, by its path below results/<name>/.
_verified: dict[str, str] = {}
EVERY_S = 5.0  # between two lines of progress
LISTED = 3  # damaged files that a message names


class InputError(ValueError):
    """An input cannot be used; the message names the file and the remedy."""


def run(
    make: Callable[..., None],
    project: Project,
    kind: type | None = None,
    *,
    options: dict[str, Any] | None = None,
    checkpoints: tuple[str, ...] = (),
    resumable: bool = False,
) -> None:
    """Call `make(spec, inputs, folder)` for the artefact on the command line.

    spec: its parameters, as a dataclass of this `kind`; a dictionary if none is given. inputs: the folder of
    each input by its name, and the list "joined" if there are such arguments. folder: empty and temporary; it
    becomes OUTPUT when `make` returns. options: names and default values; `make` gets those of the command
    line as keywords. checkpoints: folders below `folder` that are moved to
    `results/<name>/<checkpoint>/<id>`. resumable: `make` gets an `Unfinished` as the keyword `unfinished`.
    Exits with a message and no traceback on an `InputError`.
    """
    # Else Python searches all imported modules for garbage before it exits: half a second.
    gc.freeze()
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} SPEC OUTPUT [JOINED ...]\n{__doc__ or ''}")
    with full_disk_is_reported(sys.argv[2]):
        try:
            given, joined = _options(sys.argv[3:], options or {})
            gpu = given.get("device") in ("cuda", "auto")
            make = partial(make, **given)
            output = Path(sys.argv[2])
            _run(make, project, kind, sys.argv[1], output, joined, checkpoints, gpu=gpu, resumable=resumable)
        except InputError as error:
            sys.exit(f"error: {error}")


@contextmanager
def full_disk_is_reported(output: str) -> Iterator[None]:
    """Exit with one line and no traceback if the disk is full while `output` is written."""
    try:
        yield
    except Exception as error:
        # pyarrow, safetensors and torch each raise an exception of their own.
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        sys.exit(f"error: {output} cannot be written: {error}; free some space and run again")


def _options(arguments: list[str], defaults: dict[str, Any]) -> tuple[dict[str, Any], list[Path]]:
    """Return the options among the arguments, in the types of their defaults, and the other arguments."""
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    others = [Path(argument) for argument in arguments if "=" not in argument]
    if unknown := sorted(set(given) - set(defaults)):
        raise InputError(f"unknown option {', '.join(unknown)}; known: {', '.join(defaults) or 'none'}")
    try:
        return defaults | {name: type(defaults[name])(value) for name, value in given.items()}, others
    except ValueError as error:
        raise InputError(f"option of another type: {error}") from None


def checkpoint(artefact: Path, name: str) -> Path:
    """Return the verified folder of an artefact's checkpoint: `results/<name>/<checkpoint>/<id>`."""
    return _verify(artefact.parent.parent / name / artefact.name)


class Unfinished:
    """What a long job keeps of its work, `results/<name>/unfinished/<id>`, so that a kill costs little.

    It is written whole, checked when it is read, and removed once the artefact is complete.
    """

    def __init__(self, output: Path, spec: dict[str, Any], packages: dict[str, str], machine: dict[str, str]):
        self._folder = output.parent.parent / UNFINISHED / output.name
        self._described = {"kind": UNFINISHED, "packages": packages, "machine": machine}
        self._spec = spec

    def load(self) -> Path | None:
        """Return the folder that was kept last, None if there is none. What is damaged is removed."""
        if not self._folder.exists():
            return None
        try:
            record.check(self._folder)
        except record.Damaged as error:
            print(f"{_brief(self._folder, error.findings)}; starting again", flush=True)
            shutil.rmtree(self._folder)
            return None
        return self._folder

    def keep(self, write: Callable[[Path], None]) -> None:
        """Replace what is kept by what `write` writes into an empty folder."""
        with _temporary(self._folder, [self._folder.parent]) as folder:
            write(folder)
            described = record.describe(self._spec, folder, inputs=_verified, **self._described)
            (folder / SPEC).write_text(
                json.dumps(described, indent=1, sort_keys=True) + "\n", encoding="utf-8"
            )
            _put_in_place(folder, self._folder)

    def remove(self) -> None:
        """Remove what is kept, and what a kill left of it."""
        _set_aside(self._folder)
        for left in self._folder.parent.glob(f".{self._folder.name}.*.partial"):
            shutil.rmtree(left, ignore_errors=True)


def _run(
    make, project, kind, spec_argument, output, joined, checkpoints=(), *, gpu=False, resumable=False
) -> None:
    _verified.clear()
    if "torch" in sys.modules:
        # Two threads on small tensors are many times slower, and would decide the order of sums.
        sys.modules["torch"].set_num_threads(1)
    spec = _read_specification(spec_argument, output)
    packages = _check_makers(spec, project)
    params = build(kind, spec["params"]) if kind else spec["params"]
    results = output.parent.parent
    if joined:
        inputs: dict[str, Any] = {"joined": [_verify(folder) for folder in joined]}
    else:
        inputs = {name: _verify(results / path) for name, path in spec["inputs"].items()}
    started = time.monotonic()
    unfinished = Unfinished(output, spec, packages, record.machine_class(gpu))
    if resumable:
        make = partial(make, unfinished=unfinished)
    with _temporary(output, [output.parent, *(results / name for name in checkpoints)]) as folder:
        make(params, inputs, folder)
        machine = record.machine_class(gpu)
        # The artefact goes first and comes last: its existence implies complete checkpoints.
        if checkpoints:
            _set_aside(output)
        for source, target in [
            *((folder / name, results / name / output.name) for name in checkpoints),
            (folder, output),
        ]:
            _make_readable(source)
            described = record.describe(
                spec,
                source,
                kind=target.parent.name,
                inputs=_verified,
                packages=packages,
                machine=machine,
            )
            text = json.dumps(described, indent=1, sort_keys=True) + "\n"
            (source / SPEC).write_text(text, encoding="utf-8")
            _put_in_place(source, target)
    unfinished.remove()
    print(f"done in {time.monotonic() - started:.1f} s: {output}", flush=True)


def _read_specification(argument: str, output: Path) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if argument == "-" else Path(argument).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{argument}: cannot be read: {error}") from None
    spec = json.loads(text)
    if identify(spec) != output.name:
        raise InputError(f"{output}: the specification belongs to {identify(spec)}; use that name")
    return spec


def _check_makers(spec: dict[str, Any], project: Project) -> dict[str, str]:
    """Return the installed packages; InputError if code or packages are not those of the specification.

    The result would not be what its name says.
    """
    changed = [module for module, digest in spec["code"].items() if _hash(project, module) != digest]
    if changed:
        raise InputError(f"{', '.join(changed)} changed since this job was planned; run snakemake again")
    packages = {name: _installed(name, project) for name in spec["packages"]}
    for name, pinned in spec["packages"].items():
        installed = packages[name]
        if installed.partition("+")[0] != pinned.partition("+")[0]:
            raise InputError(
                f"{name} {installed} is installed, the pinned version is {pinned}: {project.remedy}"
            )
    return packages


def _hash(project: Project, module: str) -> str | None:
    try:
        return tree_hash(project, module)
    except FileNotFoundError:
        return None


def _installed(name: str, project: Project) -> str:
    for known_as in filter(None, (name, project.aliases.get(name))):
        try:
            return version(known_as)
        except PackageNotFoundError:
            pass
    raise InputError(f"{name} is not installed in {sys.prefix}: {project.remedy}")


@contextmanager
def _temporary(output: Path, places: list[Path]) -> Iterator[Path]:
    """Yield an empty folder that is removed in the end, and remove those of killed jobs for this output."""
    folder = output.with_name(f".{output.name}.{os.getpid()}.partial")
    for place in places:
        # They may be large.
        for left in place.glob(f".{output.name}.*.partial"):
            shutil.rmtree(left, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_readable(folder: Path) -> None:
    """Give every file the usual permissions: safetensors makes its files readable by the owner alone."""
    umask = os.umask(0)
    os.umask(umask)
    for path in record.files_in(folder).values():
        if path.stat().st_nlink == 1:  # a further link is a file of the hub's cache: not ours to change
            path.chmod(0o666 & ~umask)


def _put_in_place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    replaced = _set_aside(target)
    os.replace(source, target)
    shutil.rmtree(replaced, ignore_errors=True)


def _set_aside(target: Path) -> Path:
    """Return the name of what was `target`. Renamed before it is deleted: no half of it keeps its name."""
    replaced = target.with_name(f".{target.name}.{os.getpid()}.replaced.partial")
    if target.exists():
        os.replace(target, replaced)
    return replaced


def _verify(folder: Path) -> Path:
    """Return the folder. InputError if it differs from its record."""
    path = f"{folder.parent.name}/{folder.name}"
    if path not in _verified:
        try:
            _verified[path] = record.content(record.check(folder))
        except record.Damaged as error:
            raise InputError(
                f"{_brief(folder, error.findings)}; {record.remedy(folder, error.findings)}"
            ) from None
    return folder


def _brief(folder: Path, findings: list[str]) -> str:
    more = [f"and {len(findings) - LISTED} more"] if len(findings) > LISTED else []
    return "; ".join([*(f"{folder}/{finding}" for finding in findings[:LISTED]), *more])


def reading(path: Path, read: Callable[[Path], Any]) -> Any:
    """Return `read(path)`; any failure becomes an InputError that names the file and the remedy."""
    try:
        return read(path)
    except Exception as error:
        folders = (p for p in (path, *path.parents) if ID.fullmatch(p.name) and (p / SPEC).is_file())
        artefact = next(folders, path.parent)
        raise InputError(f"{path}: cannot be read ({error}); {record.remedy(artefact)}") from error


@contextmanager
def refusals() -> Iterator[None]:
    """Turn a ValueError, whose message names the fault and the remedy, into an InputError."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from error


class Progress:
    """Print a line of progress every few seconds: count, text, estimate of the time left."""

    def __init__(self, total: int, what: str):
        self._total, self._what = total, what
        self._started = self._last = time.monotonic()

    def __call__(self, done: int, text: str = "") -> None:
        now = time.monotonic()
        if done < self._total and now - self._last < EVERY_S:
            return
        self._last = now
        left = (now - self._started) / max(done, 1) * (self._total - done)
        print(f"{self._what} {done}/{self._total} {text} {left:.0f} s left", flush=True)
