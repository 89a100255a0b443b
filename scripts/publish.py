"""Copy a figure, with the chain of what it was made from, or a table of claims under its stable name, and
leave a marker that says which id it shows, in which content.

python scripts/publish.py FOLDER STEM MARKER
"""

import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

from asymre.files import write_text, write_whole
from asymre.record import chain, provenance
from asymre.record.job import full_disk_is_said
from asymre.record.published import PUBLISHED_CLAIMS

FIGURE = {"figure.pdf": "pdf", "figure.png": "png", "data.csv": "csv", "caption.txt": "txt"}
CLAIMS = {f"claims.{suffix}": suffix for suffix in PUBLISHED_CLAIMS}


def publish(source: Path, stem: str, marker: Path) -> None:
    """Raises Damaged, and touches nothing, if the source is not as it was made."""
    content = provenance.content(provenance.check(source))
    # The old marker goes first: a marker never stands beside files of another source.
    slug = source.name.rpartition("-")[0]
    for old in marker.parent.glob(f"{slug}-*"):
        if old.name.rpartition("-")[0] == slug:
            old.unlink()
    published, is_figure = [], source.parent.name == "figure"
    folder = marker.parents[1 if is_figure else 2]

    for file, suffix in (FIGURE if is_figure else CLAIMS).items():
        published.append(folder / f"{stem}.{suffix}")
        write_whole(published[-1], partial(shutil.copyfile, source / file))
    path = f"{source.parent.name}/{source.name}"
    if is_figure:
        links = chain.follow(path, partial(read_link, source.parent.parent))
        published.append(folder / f"{stem}.chain.html")
        write_text(published[-1], chain.page(stem, content, links))
    provenance.write_marker(marker, published, {path: content})


def read_link(results: Path, path: str) -> tuple[dict[str, Any], str]:
    """For `chain.follow`: the specification of a folder, and its state."""
    kind, _, id = path.partition("/")
    state = chain.KEPT if (results / path).exists() else chain.NOT_KEPT
    # One job makes a cycle and what stands beside it: where that is gone, the cycle says what was read.
    for folder in (kind, "cycles"):
        try:
            return provenance.read_spec(results / folder / id), state
        except provenance.Damaged:
            state = state or "damaged"
    return {}, state


if __name__ == "__main__":
    folder, name, mark = sys.argv[1:]
    try:
        with full_disk_is_said(mark):
            publish(Path(folder), name, Path(mark))
    except provenance.Damaged as error:
        sys.exit(f"error: {error}; delete the folder {Path(folder).name} and run again")
