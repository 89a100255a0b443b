"""Hashes of the content of local folders and files, which a path alone does not identify."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

SPEC = "spec.json"  # the store's, in a folder that is a result: it follows from the others
WHOLE, ENDS = 2**24, 2**20  # bytes


def folder_hash(folder: Path) -> str:
    """Return a hash of a local folder: names, sizes and content of its files, of large ones both ends.

    Cheap enough for every plan. ValueError if it is not a folder or holds no file.
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
    """Return a hash of the content of files, used like a commit; ValueError if one is missing."""
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
