"""Measure the whole table and the figure of growth: `make benchmark`, under five minutes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import bandit_sweep, dry_run, growth
from benchmarks.timing import Row

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv-peers/bin/python"


def main() -> None:
    """Print the measurements, part by part."""
    start = time.perf_counter()
    python = str(PEERS) if PEERS.with_name("trl").exists() else sys.executable
    print(f"load of the machine at the start: {os.getloadavg()[0]:.1f}\n")
    print("| | asymre | peer | ratio | target |\n|---|---|---|---|---|")
    done = subprocess.run(
        [python, "-m", "benchmarks.decoder"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows = [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]
    for part in (rows, bandit_sweep.rows(), dry_run.rows()):
        for row in part:
            print(row.text(), flush=True)
    growth.main()
    print(f"measured in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
