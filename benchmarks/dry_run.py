"""`snakemake -n` with nothing to do at cpu scale, compared with stock Snakemake on a graph of as many jobs.

.venv/bin/python -m benchmarks.dry_run        (after `make figures`)
"""

import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.timing import Row, medians
from paper.configuration.reading import load
from workflow.plan import build

ROOT = Path(__file__).parent.parent
SNAKEMAKE = [sys.executable, "-m", "snakemake", "-n", "--cores", "2"]
# One chain per run, as long as ours; `rows` uses the scheduler and triggers of our profile.
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


def dry_run(folder: Path, *arguments: str) -> str:
    """Return what `snakemake -n` prints in the folder."""
    done = subprocess.run([*SNAKEMAKE, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def rows() -> list[Row]:
    """Return the table's row about `snakemake -n`; none if figures are missing."""
    if not re.search("Nothing to be done", dry_run(ROOT)):
        print("snakemake -n: skipped, there is something to do: run `make figures` first")
        return []
    plan = build(ROOT, load(ROOT))
    jobs = len(plan.graph.artefacts) + len(plan.figures)
    with tempfile.TemporaryDirectory() as folder:
        stock = Path(folder)
        (stock / "Snakefile").write_text(STOCK.format(chains=jobs // 3), encoding="utf-8")
        for chain in range(jobs // 3):
            for suffix in "abc":
                (stock / f"{chain}.{suffix}").touch()
        options = ("--rerun-triggers", "mtime", "--scheduler", "greedy")
        time = medians(
            {"ours": partial(dry_run, ROOT), "stock": partial(dry_run, stock, *options)}, repeats=5
        )
    name = f"snakemake -n, nothing to do, {jobs} jobs"
    return [Row(name, "s", time["ours"], "stock Snakemake", time["stock"], "1.3")]


if __name__ == "__main__":
    print(*(row.text() for row in rows()), sep="\n")
