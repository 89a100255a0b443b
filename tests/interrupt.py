"""A smoke run that is killed at random moments, and what has to be the same afterwards.

By hand, from the root of the repository: python tests/interrupt.py --kills 50 --seed 7
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.test_workflow import SNAKEMAKE, copy_sources, snakemake

SMOKE = ("--config", "scale=smoke")
MARK = "ASYMRE_INTERRUPTED_RUN"
RESULTS = "results/smoke"


def start(folder: Path, *arguments: str) -> tuple[subprocess.Popen, str]:
    """Snakemake in a session of its own, and the mark that all its descendants carry."""
    mark = uuid.uuid4().hex
    with (folder / "output.txt").open("ab") as output:
        process = subprocess.Popen(
            [*SNAKEMAKE, *arguments],
            cwd=folder,
            env=os.environ | {"XDG_CACHE_HOME": str(folder / ".cache"), MARK: mark},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return process, mark


def carriers(mark: str) -> list[int]:
    """The living processes whose environment has the mark, whatever their group or session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # it ended meanwhile, or belongs to somebody else
    return found


def kill(process: subprocess.Popen, mark: str) -> int:
    """SIGKILL for Snakemake and all that it started; the number of jobs' processes that were alive."""
    alive = carriers(mark)
    os.killpg(process.pid, signal.SIGKILL)
    while left := carriers(mark):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.poll()
        time.sleep(0.01)
    process.wait()
    return len(alive) - 1


def finished_results(folder: Path) -> int:
    """Results that stand under their names."""
    kinds = (folder / RESULTS).glob("*/*-*[0-9a-f]")
    return sum(not path.name.startswith(".") for path in kinds)


def unfinished(folder: Path) -> list[Path]:
    return list((folder / "results").rglob("*.partial"))


def run_with_kills(folder: Path, kills: int, seed: int, tell: Callable[[str], None]) -> list[dict]:
    """A smoke run with `kills` interruptions; what was seen at each.

    A kill comes a random time after a random number of new results, so that however fast the machine is,
    all of them fall into one run.
    """
    chosen = random.Random(seed)
    seen = []
    for index in range(kills):
        before = finished_results(folder)
        # Some 90 results in all: half of them are left for what comes after the last kill.
        wanted, delay = before + chosen.randint(0, max(1, 90 // kills - 1)), chosen.uniform(0, 1.5)
        process, mark = start(folder, *SMOKE)
        while process.poll() is None and finished_results(folder) < wanted:
            time.sleep(0.02)
        if wanted == before:
            delay = chosen.uniform(0.5, 8)  # also while Snakemake starts
        ends = time.monotonic() + delay
        while process.poll() is None and time.monotonic() < ends:
            time.sleep(0.02)
        jobs = kill(process, mark) if process.poll() is None else None
        seen.append(
            {"jobs": jobs, "results": finished_results(folder) - before, "partial": len(unfinished(folder))}
        )
        tell(f"kill {index + 1}: {seen[-1]}")
        snakemake(folder, "--unlock", *SMOKE)
    return seen


def different_figures(folder: Path, reference: Path) -> list[str]:
    """Names of the figures' CSV files that are not, byte for byte, those of the reference, or missing."""
    there = {path.name: path.read_bytes() for path in (reference / RESULTS / "figures").glob("*.csv")}
    here = {path.name: path.read_bytes() for path in (folder / RESULTS / "figures").glob("*.csv")}
    return sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        reference, folder = (copy_sources(Path(base) / name) for name in ("reference", "killed"))
        print("an uninterrupted run", flush=True)
        snakemake(reference, *SMOKE)
        run_with_kills(folder, chosen.kills, chosen.seed, lambda text: print(text, flush=True))
        snakemake(folder, *SMOKE)
        if different := different_figures(folder, reference):
            sys.exit(f"error: seed {chosen.seed}: not the same: {', '.join(different)}")
        if left := unfinished(folder):
            sys.exit(f"error: seed {chosen.seed}: left behind: {', '.join(map(str, left))}")
    print(f"{chosen.kills} kills, seed {chosen.seed}: every figure's CSV is the same", flush=True)


if __name__ == "__main__":
    main()
