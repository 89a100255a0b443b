"""Save the resolved configuration, given as JSON, and the table of its runs beside the results.

python scripts/save_configuration.py MARKER CONFIGURATION_YAML RUNS_CSV < JSON
"""

import csv
import io
import json
import sys
from pathlib import Path

import yaml

from asymre.config.schema import Configuration
from asymre.files import write_text
from asymre.plan import plan
from asymre.record import provenance
from asymre.record.job import full_disk_is_said

ROOT = Path(__file__).resolve().parents[1]


def save(configuration: dict, runs: list[dict], marker: Path, yaml_path: Path, csv_path: Path):
    marker.parent.mkdir(parents=True, exist_ok=True)
    for old in marker.parent.glob("configuration-*"):
        old.unlink()
    write_text(yaml_path, yaml.safe_dump(configuration, sort_keys=False, width=100))
    table = io.StringIO()
    writer = csv.DictWriter(table, runs[0] if runs else ["figure"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(runs)
    write_text(csv_path, table.getvalue())
    provenance.write_marker(marker, [yaml_path, csv_path], {})


if __name__ == "__main__":
    content = json.load(sys.stdin)
    # The table would not fit into the command line beside it.
    rows = plan.build(ROOT, Configuration.model_validate(content)).runs()
    with full_disk_is_said(sys.argv[2]):
        save(content, rows, *map(Path, sys.argv[1:]))
