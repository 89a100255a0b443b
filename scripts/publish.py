"""Publish a figure with its lineage, or a table of claims, under a stable name.

python scripts/publish.py FOLDER STEM STAMP
"""

import sys
from pathlib import Path

from paper.published import PUBLISHED_CLAIMS
from store.job import full_disk_is_reported
from store.publish import publish
from store.record import Damaged, remedy

FIGURE = {"figure.pdf": "pdf", "figure.png": "png", "data.csv": "csv", "caption.txt": "txt"}
CLAIMS = {f"claims.{suffix}": suffix for suffix in PUBLISHED_CLAIMS}


def main(source: Path, stem: str, stamp: Path) -> None:
    results = stamp.parents[1]
    if source.parent.name == "figure":
        files = {file: results / "figures" / f"{stem}.{suffix}" for file, suffix in FIGURE.items()}
        page = results / "figures" / f"{stem}.lineage.html"
        publish(source, files, stamp, page=page, checkpoints_of="cycles")
    else:
        publish(source, {file: results / f"{stem}.{suffix}" for file, suffix in CLAIMS.items()}, stamp)


if __name__ == "__main__":
    folder, name, mark = sys.argv[1:]
    try:
        with full_disk_is_reported(mark):
            main(Path(folder), name, Path(mark))
    except Damaged as error:
        sys.exit(f"error: {error}; {remedy(error.folder, error.findings)}")
