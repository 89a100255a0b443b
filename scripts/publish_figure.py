"""Copy a figure under its stable name, and leave a marker that says which id it shows.

python scripts/publish_figure.py FIGURE_FOLDER STEM MARKER
"""

import os
import shutil
import sys
from pathlib import Path

FILES = {"figure.pdf": "pdf", "figure.png": "png", "data.csv": "csv", "caption.txt": "txt"}


def publish(figure: Path, stem: str, marker: Path) -> None:
    # The old marker goes first: a marker never stands beside files of another figure.
    slug = figure.name.rpartition("-")[0]
    for old in marker.parent.glob(f"{slug}-*"):
        if old.name.rpartition("-")[0] == slug:
            old.unlink()
    for source, suffix in FILES.items():
        target = marker.parent.parent / f"{stem}.{suffix}"
        for left in target.parent.glob(f".{target.name}.*.partial"):
            left.unlink()  # of a job that was killed
        temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
        shutil.copyfile(figure / source, temporary)
        os.replace(temporary, target)
    marker.touch()


if __name__ == "__main__":
    folder, name, mark = sys.argv[1:]
    publish(Path(folder), name, Path(mark))
