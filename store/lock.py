"""One run a results folder: two clones may share one by a link, and Snakemake locks the clone alone."""

import fcntl
import os
from pathlib import Path

_FILE = ".lock"


class Busy(Exception):
    """Another run holds the lock."""


def hold(results: Path) -> int:
    """Return a file descriptor that holds the lock of `results` until it is closed or its process ends.

    Raises Busy. A file system without locks gives none, and nothing is refused.
    """
    results.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(results / _FILE, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Busy(
            f"another snakemake uses {results} (here, or in a clone whose results/ is the same folder): "
            "let it finish"
        ) from None
    except OSError:
        pass
    return descriptor
