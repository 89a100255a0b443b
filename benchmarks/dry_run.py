"""`snakemake -n` with nothing to do at cpu scale, against stock Snakemake on a graph of as many jobs.

python -m benchmarks.dry_run        (after `make figures`; median of five runs each, alternating)
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from asymre.config.reading import load
from asymre.plan.plan import build

ROOT = Path(__file__).parent.parent
SNAKEMAKE = [sys.executable, "-m", "snakemake", "-n", "--cores", "2"]
# One chain a run, as long as ours, with the scheduler and triggers of our profile.
STOCK = """
rule all:
    input: expand("{{i}}.c", i=range({chains}))
rule a:
    output: "{{i}}.a"
    shell: "touch {{output}}"
rule b:
    input: "{{i}}.a"
    output: "{{i}}.b"
    shell: "touch {{output}}"
rule c:
    input: "{{i}}.b"
    output: "{{i}}.c"
    shell: "touch {{output}}"
"""


def seconds(folder: Path, *arguments: str) -> float:
    start = time.perf_counter()
    done = subprocess.run([*SNAKEMAKE, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    if not re.search("Nothing to be done", done.stdout + done.stderr):
        sys.exit("there is something to do: run `make figures` first")
    return time.perf_counter() - start


def main() -> None:
    plan = build(ROOT, load(ROOT))
    jobs = len(plan.artefacts) + len(plan.figures)
    with tempfile.TemporaryDirectory() as folder:
        stock = Path(folder)
        (stock / "Snakefile").write_text(STOCK.format(chains=jobs // 3))
        for chain in range(jobs // 3):
            for suffix in "abc":
                (stock / f"{chain}.{suffix}").touch()
        ours_s, stock_s = zip(
            *[
                (seconds(ROOT), seconds(stock, "--rerun-triggers", "mtime", "--scheduler", "greedy"))
                for _ in range(5)
            ],
            strict=True,
        )
    ours, theirs = statistics.median(ours_s), statistics.median(stock_s)
    print(f"{jobs} jobs: asymre {ours:.2f} s, stock {theirs:.2f} s, ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
