"""Measure the whole table and the figure of growth: `make benchmark`, under ten minutes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
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
    for part in (
        in_peers(python, "decoder"),
        in_peers(python, "pretrained"),
        bandit_sweep.rows,
        dry_run.rows,
    ):
        for row in part():
            print(row.text(), flush=True)
    growth.main()
    print(f"measured in {time.perf_counter() - start:.0f} s")


def in_peers(python: str, name: str) -> Callable[[], list[Row]]:
    """Return the function that measures a part in a process of its own, where TRL is if it is installed."""

    def rows() -> list[Row]:
        done = subprocess.run(
            [python, "-m", f"benchmarks.{name}"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        if not found:
            print(f"{name}: skipped, there is no base policy: see benchmarks/{name}.py")
        return [Row(**row) for row in found]

    return rows


if __name__ == "__main__":
    main()
