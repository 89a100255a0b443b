"""Files that are written whole or not at all; text is UTF-8 whatever the locale says."""

import os
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

# What file managers, network file systems and editors leave in any folder, in lower case.
_HOUSEKEEPING = (
    ".ds_store",
    "._*",  # macOS, on other systems' disks
    "thumbs.db",
    "desktop.ini",
    ".directory",  # KDE
    ".nfs*",  # deleted while open
    "*~",
    ".*.sw[op]",
)


def is_housekeeping(name: str) -> bool:
    """Whether a file of this name, without its folder, belongs to the system or an editor."""
    return any(fnmatchcase(name.lower(), pattern) for pattern in _HOUSEKEEPING)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path beside `path`, then give that file its name.

    Removes what a killed process left of an earlier try.
    """
    for left in path.parent.glob(f".{path.name}.*.partial"):
        left.unlink()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text whole or not at all."""
    write_whole(path, lambda temporary: temporary.write_bytes(text.encode()))
