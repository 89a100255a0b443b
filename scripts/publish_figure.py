"""Copy a figure under its stable name, with the chain of what it was made from, and leave a marker that says
which id it shows, in which content.

python scripts/publish_figure.py FIGURE_FOLDER STEM MARKER
"""

import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from asymre import chain, provenance

FILES = {"figure.pdf": "pdf", "figure.png": "png", "data.csv": "csv", "caption.txt": "txt"}


def publish(figure: Path, stem: str, marker: Path) -> None:
    """Raises Damaged, and touches nothing, if the figure is not as it was made."""
    content = provenance.content(provenance.check(figure))
    # The old marker goes first: a marker never stands beside files of another figure.
    slug = figure.name.rpartition("-")[0]
    for old in marker.parent.glob(f"{slug}-*"):
        if old.name.rpartition("-")[0] == slug:
            old.unlink()
    published = []

    def put(suffix: str, write: Callable[[Path], object]) -> None:
        target = marker.parent.parent / f"{stem}.{suffix}"
        temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
        write(temporary)
        os.replace(temporary, target)
        published.append(target)

    for source, suffix in FILES.items():
        put(suffix, partial(shutil.copyfile, figure / source))
    links = chain.follow(f"figure/{figure.name}", partial(read_link, figure.parent.parent))
    text = chain.page(stem, content, links)
    put("chain.html", lambda path: path.write_text(text))
    provenance.write_marker(marker, published, {f"figure/{figure.name}": content})


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
        publish(Path(folder), name, Path(mark))
    except provenance.Damaged as error:
        sys.exit(f"error: {error}; delete the folder {Path(folder).name} and run again")
