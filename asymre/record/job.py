"""The edge of every script: its two arguments, its checked inputs, its output written whole or not at all.

    python scripts/train_policy_tiny.py SPEC OUTPUT [PART ...] [name=value ...]

SPEC is a file with the artefact's specification (a `spec.json`), or - for standard input. OUTPUT is the
folder to make, `results/<name>/<kind>/<id>`. The inputs are the folders that SPEC names, beside OUTPUT; PARTs
are folders that already hold the result in pieces. Options change no result: processes, memory and the like.
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

from asymre.record import provenance
from asymre.record.artefact import identify
from asymre.record.fingerprint import tree_hash

ROOT = Path(__file__).resolve().parents[2]
# What this job has read: the content of each checked folder, by its path below results/<name>/.
_read_folders: dict[str, str] = {}
EVERY_S = 5.0  # between two lines of progress
LISTED = 3  # damaged files that a message names
ENVIRONMENTS = "run make setup (or make setup-vllm for vLLM's environment)"


class InputError(Exception):
    """An input that cannot be used; the message names the file and says what to do."""


def run(make: Callable[..., None], *, options: dict[str, Any] | None = None, beside=()) -> None:
    """Call `make(params, inputs, folder)` for the artefact on the command line.

    inputs: folder of each input by its name, and the list "parts" if there are any. folder: empty
    and temporary; it takes the place of OUTPUT when `make` returns. options: names and default values;
    `make` gets those of the command line as keywords. beside: folders below `folder` that get a place of
    their own, `results/<name>/<folder>/<id>`. Exits with a message, and no traceback, on an `InputError`.
    """
    # What was imported stays. Without this, Python seeks garbage in it before it exits: half a second.
    gc.freeze()
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} SPEC OUTPUT [PART ...]\n{__doc__ or ''}")
    with full_disk_is_said(sys.argv[2]):
        try:
            given, parts = _options(sys.argv[3:], options or {})
            gpu = given.get("device") == "cuda"
            _run(partial(make, **given), sys.argv[1], Path(sys.argv[2]), parts, beside, gpu)
        except InputError as error:
            sys.exit(f"error: {error}")


@contextmanager
def full_disk_is_said(output: str) -> Iterator[None]:
    """Ends the process with one line, and no traceback, if there is no space left to write `output`."""
    try:
        yield
    except Exception as error:
        # pyarrow, safetensors and torch each have an exception of their own for it.
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        sys.exit(f"error: {output} cannot be written: {error}; free some space and run again")


def _options(arguments: list[str], defaults: dict[str, Any]) -> tuple[dict[str, Any], list[Path]]:
    """The options among the arguments, in the types of their defaults, and the other arguments."""
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    parts = [Path(argument) for argument in arguments if "=" not in argument]
    if unknown := sorted(set(given) - set(defaults)):
        raise InputError(
            f"there is no option {', '.join(unknown)}; there are: {', '.join(defaults) or 'none'}"
        )
    return defaults | {name: type(defaults[name])(value) for name, value in given.items()}, parts


def beside(artefact: Path, folder: str) -> Path:
    """What stands beside an artefact, checked: `results/<name>/<folder>/<id>`."""
    return _checked_input(artefact.parent.parent / folder / artefact.name)


def _run(make, spec_argument: str, output: Path, parts: list[Path], beside=(), gpu=False) -> None:
    _read_folders.clear()
    if "torch" in sys.modules:
        # Two threads on small tensors are many times slower, and the order of sums would depend on it.
        sys.modules["torch"].set_num_threads(1)
    text = sys.stdin.read() if spec_argument == "-" else _read(Path(spec_argument))
    spec = json.loads(text)
    if identify(spec) != output.name:
        raise InputError(f"{output}: the specification belongs to {identify(spec)}; use that name")
    changed = [file for file, digest in spec["code"].items() if tree_hash(ROOT / file) != digest]
    # Made by other code or packages, the result would not be what its name says.
    if changed:
        raise InputError(f"{', '.join(changed)} changed since this job was planned; run snakemake again")
    packages = {name: _installed(name) for name in spec["packages"]}
    for name, pinned in spec["packages"].items():
        installed = packages[name]
        if installed.partition("+")[0] != pinned.partition("+")[0]:
            raise InputError(
                f"{name} {installed} is installed, the pinned version is {pinned}: {ENVIRONMENTS}"
            )
    results = output.parent.parent
    if parts:
        inputs = {"parts": [_checked_input(part) for part in parts]}
    else:
        inputs = {name: _checked_input(results / path) for name, path in spec["inputs"].items()}
    unfinished = output.with_name(f".{output.name}.{os.getpid()}.partial")
    for folder in (output.parent, *(results / name for name in beside)):
        # What a killed job for the same output left behind may be large.
        for left in folder.glob(f".{output.name}.*.partial"):
            shutil.rmtree(left, ignore_errors=True)
    unfinished.mkdir(parents=True)
    started = time.monotonic()
    try:
        make(spec["params"], inputs, unfinished)
        machine = provenance.machine_class(gpu)
        # The artefact itself comes last: where it is, what stands beside it was there.
        for source, target in [
            *((unfinished / name, results / name / output.name) for name in beside),
            (unfinished, output),
        ]:
            _make_readable(source)
            recorded = provenance.record(
                spec,
                source,
                kind=target.parent.name,
                inputs=_read_folders,
                packages=packages,
                machine=machine,
            )
            (source / "spec.json").write_text(
                json.dumps(recorded, indent=1, sort_keys=True) + "\n", encoding="utf-8"
            )
            _put_in_place(source, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    print(f"done in {time.monotonic() - started:.1f} s: {output}", flush=True)


def _make_readable(folder: Path) -> None:
    """The usual rights for every file: safetensors gives its files to the owner alone."""
    umask = os.umask(0)
    os.umask(umask)
    for path in provenance.files_in(folder).values():
        if path.stat().st_nlink == 1:  # a further link is a file of the hub's cache: not ours to change
            path.chmod(0o666 & ~umask)


def _put_in_place(source: Path, target: Path) -> None:
    replaced = target.with_name(f".{target.name}.{os.getpid()}.replaced.partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        # Renamed before it is deleted: no half of it keeps the name.
        os.replace(target, replaced)
    os.replace(source, target)
    shutil.rmtree(replaced, ignore_errors=True)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        try:
            return version(f"{name}-cpu")  # vLLM's name where there is no GPU
        except PackageNotFoundError:
            raise InputError(f"{name} is not installed in {sys.prefix}: {ENVIRONMENTS}") from None


def _checked_input(folder: Path) -> Path:
    """The folder, if all of it is as it was made."""
    path = f"{folder.parent.name}/{folder.name}"
    if path not in _read_folders:
        try:
            _read_folders[path] = provenance.content(provenance.check(folder))
        except provenance.Damaged as error:
            raise InputError(f"{_brief(folder, error.findings)}; {_remedy(folder)}") from None
    return folder


def _brief(folder: Path, findings: list[str]) -> str:
    more = [f"and {len(findings) - LISTED} more"] if len(findings) > LISTED else []
    return "; ".join([*(f"{folder}/{finding}" for finding in findings[:LISTED]), *more])


def _remedy(folder: Path) -> str:
    return f"delete the folder {folder.name} and run again: it will be made anew"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def reading(path: Path, read: Callable[[Path], Any]) -> Any:
    """`read(path)`, with any failure turned into an InputError that names the file and the remedy."""
    try:
        return read(path)
    except Exception as error:
        artefact = next((p for p in (path, *path.parents) if (p / "spec.json").is_file()), path.parent)
        raise InputError(f"{path}: cannot be read ({error}); {_remedy(artefact)}") from error


class Progress:
    """Prints a line of progress every few seconds: count, text, estimate of the time left."""

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
