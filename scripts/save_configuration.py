"""Save the resolved configuration and the table of runs beside the results.

python scripts/save_configuration.py MARKER CONFIGURATION_YAML RUNS_CSV < JSON
"""

import csv
import io
import json
import os
import sys
from pathlib import Path

import yaml

from asymre import provenance


def write_whole(path: Path, text: str) -> None:
    for left in path.parent.glob(f".{path.name}.*.partial"):
        left.unlink()  # of a job that was killed
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    temporary.write_text(text)
    os.replace(temporary, path)


def save(configuration: dict, runs: list[dict], marker: Path, yaml_path: Path, csv_path: Path):
    for old in marker.parent.glob("configuration-*"):
        old.unlink()
    write_whole(yaml_path, yaml.safe_dump(configuration, sort_keys=False, width=100))
    table = io.StringIO()
    writer = csv.DictWriter(table, runs[0] if runs else ["figure"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(runs)
    write_whole(csv_path, table.getvalue())
    provenance.write_marker(marker, [yaml_path, csv_path], {})


if __name__ == "__main__":
    content = json.load(sys.stdin)
    save(content["configuration"], content["runs"], *map(Path, sys.argv[1:]))
