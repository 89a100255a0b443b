"""Publish a result under stable names, with a stamp that records which id they show."""

import shutil
from functools import partial
from pathlib import Path

from store import lineage, record
from store.files import write_text, write_whole

STAMPS = ".stamps"


def publish(
    source: Path, files: dict[str, Path], stamp: Path, *, page: Path | None = None, checkpoints_of: str = ""
) -> None:
    """Copy files of the folder `source` to stable names, and stamp them.

    files: target of each file of `source`. page: where to write the lineage, None for nowhere. Raises
    Damaged, and touches nothing, if the source differs from its record.
    """
    content = record.content(record.check(source))
    remove_stamps(stamp)
    for file, target in files.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, partial(shutil.copyfile, source / file))
    path, published = f"{source.parent.name}/{source.name}", list(files.values())
    if page:
        links = lineage.follow(path, partial(lineage.read_link, source.parent.parent, checkpoints_of))
        title = page.name.partition(".")[0]
        write_text(page, lineage.page(title, content, links))
        published.append(page)
    record.write_stamp(stamp, published, {path: content})


def remove_stamps(stamp: Path) -> None:
    """Remove the stamps of other results under the same name: none may lie beside files of another source."""
    stamp.parent.mkdir(parents=True, exist_ok=True)
    slug = stamp.name.rpartition("-")[0]
    for old in stamp.parent.glob(f"{slug}-*"):
        if old.name.rpartition("-")[0] == slug:
            old.unlink()
