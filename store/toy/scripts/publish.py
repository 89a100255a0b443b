"""Publish a report, with its lineage, under its stable name.

python store/toy/scripts/publish.py FOLDER NAME STAMP
"""

import sys
from pathlib import Path

from store.job import full_disk_is_reported
from store.publish import publish
from store.record import Damaged, remedy


def main(source: Path, name: str, stamp: Path) -> None:
    reports = stamp.parents[1] / "reports"
    files = {"report.txt": reports / f"{name}.txt", "data.csv": reports / f"{name}.csv"}
    publish(source, files, stamp, page=reports / f"{name}.lineage.html", checkpoints_of="piece")


if __name__ == "__main__":
    folder, name, stamp = sys.argv[1:]
    try:
        with full_disk_is_reported(stamp):
            main(Path(folder), name, Path(stamp))
    except Damaged as error:
        sys.exit(f"error: {error}; {remedy(error.folder, error.findings)}")
