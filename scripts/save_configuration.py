"""Save the resolved configuration, given as JSON, and the table of its runs, beside the results.

python scripts/save_configuration.py STAMP CONFIGURATION_YAML RUNS_CSV < JSON
"""

import csv
import io
import json
import sys
from pathlib import Path

import yaml

from paper.configuration.schema import Configuration
from store.files import write_text
from store.job import full_disk_is_reported
from store.publish import remove_stamps
from store.record import write_stamp
from workflow import plan
from workflow.project import PROJECT


def save(configuration: dict, runs: list[dict], stamp: Path, yaml_path: Path, csv_path: Path) -> None:
    remove_stamps(stamp)
    write_text(yaml_path, yaml.safe_dump(configuration, sort_keys=False, width=100))
    table = io.StringIO()
    writer = csv.DictWriter(table, runs[0] if runs else ["figure"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(runs)
    write_text(csv_path, table.getvalue())
    write_stamp(stamp, [yaml_path, csv_path], {})


if __name__ == "__main__":
    content = json.load(sys.stdin)
    # Recomputed here: the table of runs would not fit on the command line.
    rows = plan.build(PROJECT.root, Configuration.model_validate(content)).runs()
    with full_disk_is_reported(sys.argv[2]):
        save(content, rows, *map(Path, sys.argv[1:]))
