"""Copy a figure under its stable name, and leave a marker that says which id it shows, in which content.

python scripts/publish_figure.py FIGURE_FOLDER STEM MARKER
"""

import os
import shutil
import sys
from pathlib import Path

from asymre import provenance

FILES = {"figure.pdf": "pdf", "figure.png": "png", "data.csv": "csv", "caption.txt": "txt"}


def publish(figure: Path, stem: str, marker: Path) -> None:
    """Raises Damaged, and touches nothing, if the figure is not as it was made."""
    content = provenance.content(provenance.check(figure))
    # The old marker goes first: a marker never stands beside files of another figure.
    slug = figure.name.rpartition("-")[0]
    for old in marker.parent.glob(f"{slug}-*"):
        if old.name.rpartition("-")[0] == slug:
            old.unlink()
    targets = {source: marker.parent.parent / f"{stem}.{suffix}" for source, suffix in FILES.items()}
    for source, target in targets.items():
        temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
        shutil.copyfile(figure / source, temporary)
        os.replace(temporary, target)
    provenance.write_marker(marker, list(targets.values()), {f"figure/{figure.name}": content})


if __name__ == "__main__":
    folder, name, mark = sys.argv[1:]
    try:
        publish(Path(folder), name, Path(mark))
    except provenance.Damaged as error:
        sys.exit(f"error: {error}; delete the folder {Path(folder).name} and run again")
