"""Pack the results that the current targets name into results/<name>.tar; extracted, nothing is planned.

python -m tools.archive [--scale NAME] [--configfile FILE]
"""

import sys
import tarfile
from pathlib import Path

from asymre.files import write_whole
from asymre.plan import stale
from asymre.plan.plan import Plan
from asymre.record import provenance
from asymre.record.artefact import RECORD, SPEC
from tools.options import ROOT, chosen_plan, or_exit, parser
from tools.verify import paths_in, verify


def named(plan: Plan, path: str) -> bool:
    """Whether a target of the plan names what has this path: an artefact, what stands beside it, a marker."""
    folder, _, id = path.rpartition("/")
    if folder == "figures/.current":
        return id in {plan.configuration_id, *(target.id for target in plan.published.values())}
    return f"{'cycles' if folder in plan.engine.BESIDE else folder}/{id}" in plan.artefacts


def missing(plan: Plan, paths: list[str]) -> list[str]:
    """What the default target names and what is not there; files behind a marker are compared with it."""
    markers = [target.id for target in stale.default_targets(plan)] + [plan.configuration_id]
    return [f"figures/.current/{id}: missing" for id in markers if f"figures/.current/{id}" not in paths]


def files_of(results: Path, records: dict[str, dict]) -> list[Path]:
    """All files of artefacts and markers, with the files that the records are in."""
    files = []
    for path, record in records.items():
        if path.startswith("figures/"):
            files += [results / path, *(results / name for name in record[RECORD]["files"])]
        else:
            files += [results / path / SPEC, *provenance.files_in(results / path).values()]
    return sorted(files)


def pack(files: list[Path], target: Path) -> None:
    """The files in this order, written whole or not at all; the bytes depend on names and content alone."""

    def write(temporary: Path) -> None:
        with tarfile.open(temporary, "w") as tar:
            for path in files:
                entry = tarfile.TarInfo(path.as_posix())
                entry.size, entry.mode = path.stat().st_size, 0o644
                with path.open("rb") as stream:
                    tar.addfile(entry, stream)

    write_whole(target, write)


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    plan, results = or_exit(chosen_plan, ROOT, options.scale, options.configfile)
    paths = [path for path in paths_in(results) if named(plan, path)]
    found = verify(results, paths)
    wrong = missing(plan, paths) + found.findings
    for finding in wrong:
        print(f"{results}/{finding}")
    if wrong:
        sys.exit(f"{len(wrong)} findings, nothing packed: run snakemake (first delete what is damaged)")
    target = results.with_name(f"{results.name}.tar")
    try:
        pack(files_of(results, found.records), target)
    except OSError as error:
        sys.exit(f"error: {target}: {error}")
    size = target.stat().st_size / 1e9
    print(f"{target}: {found.totals()} ({size:.3g} GB packed); in a clone: tar -xf {target.name}")


if __name__ == "__main__":
    main()
