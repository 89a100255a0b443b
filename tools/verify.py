"""Compare every result with what was recorded when it was made: name what is foreign, altered or missing.

python -m tools.verify [--scale NAME] [--configfile FILE]
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asymre.plan import stale
from asymre.record import provenance
from asymre.record.artefact import RECORD
from asymre.record.job import Progress
from tools.options import ROOT, chosen, or_exit, parser


@dataclass
class Verified:
    """The records of what is as it was made, by path below results/<name>/, and what is wrong elsewhere."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # behind by killed jobs
    marked: set[str] = field(default_factory=set)  # files that a marker stands for

    def totals(self) -> str:
        files = [f for record in self.records.values() for f in record[RECORD]["files"].values()]
        size = sum(f["bytes"] for f in files) / 1e9
        return f"{len(self.records)} artefacts and published figures, {len(files)} files, {size:.3g} GB"


def paths_in(results: Path) -> list[str]:
    """Everything in the folders of the kinds, and the markers, by path below results/<name>/."""
    folders = [*stale.KINDS, "figures/.current"]
    return [f"{folder}/{p.name}" for folder in folders for p in sorted((results / folder).glob("*"))]


def verify(results: Path, paths: Iterable[str]) -> Verified:
    """Compare the files of artefacts and markers with their records."""
    paths, found = list(paths), Verified()
    progress = Progress(len(paths), "verified")
    for done, path in enumerate(paths, start=1):
        try:
            if path.endswith(".partial"):
                found.left.append(path)
            elif path.startswith("figures/.current/"):
                record = provenance.read_marker(results / path)
                found.marked |= record[RECORD]["files"].keys()
                wrong = provenance.differences(results, record[RECORD]["files"])
                found.findings += wrong
                found.records |= {} if wrong else {path: record}
            elif not (results / path).is_dir():
                found.findings.append(f"{path}: foreign, no job made it")
            else:
                found.records[path] = provenance.check(results / path)
        except provenance.Damaged as error:
            folder = error.folder.relative_to(results)
            found.findings += [f"{folder}/{finding}" for finding in error.findings]
        progress(done, path)
    found.findings += provenance.other_inputs(found.records)
    return found


def unmarked(results: Path, marked: set[str]) -> list[str]:
    """Published files that no marker stands for: nothing says what made them."""
    files = {
        f"figures/{p.name}"
        for p in (results / "figures").glob("*")
        if p.is_file() and not p.name.endswith(".partial")
    }
    return [f"{name}: foreign, no marker stands for it" for name in sorted(files - marked)]


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    _, results = or_exit(chosen, ROOT, options.scale, options.configfile)
    if not results.is_dir():
        sys.exit(f"error: there is no {results}: nothing was made yet")
    found = verify(results, paths_in(results))
    findings = found.findings + unmarked(results, found.marked)
    for finding in findings:
        print(f"{results}/{finding}")
    for path in found.left:
        print(f"{results}/{path}: left behind by a job that was killed; no result")
    if findings:
        sys.exit(
            f"{len(findings)} findings. Delete the folders and figures that they name "
            "and run snakemake again: what the targets need is made anew."
        )
    print(f"{results}: {found.totals()}: all as they were made")


if __name__ == "__main__":
    main()
