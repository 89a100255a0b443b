"""Hashes of what somebody's own folders and files hold: a path alone does not say it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

SPEC = "spec.json"  # the store's, of a folder that is a result: it follows from the others
WHOLE, ENDS = 2**24, 2**20  # bytes


def folder_hash(folder: Path) -> str:
    """What a local folder holds: names, sizes, and the content of its files, of large ones both ends.

    Cheap enough for every plan. ValueError if it is no folder or holds no file.
    """
    paths = folder.glob("*") if folder.is_dir() else []
    files = sorted(path for path in paths if path.is_file() and path.name != SPEC)
    if not files:
        raise ValueError(f"there is no folder with files at {str(folder)!r}")
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name}/{size}/".encode())
        with path.open("rb") as stream:
            digest.update(stream.read(size if size <= WHOLE else ENDS))
            if size > WHOLE:
                stream.seek(size - ENDS)
                digest.update(stream.read())
    return digest.hexdigest()[:16]


def files_hash(folder: Path, files: Sequence[str]) -> str:
    """A hash of the content of files, which stands for a commit; ValueError if one is missing."""
    digest = hashlib.sha256()
    for name in files:
        try:
            with open(folder / name, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise ValueError(
                f"{folder / name}: {error.strerror}; check the folder and files of the data set"
            ) from None
    return digest.hexdigest()[:40]
