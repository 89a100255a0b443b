"""Say what `snakemake` would make, and what changed against the nearest result that exists.

python -m tools.why [--scale NAME] [--configfile FILE]
"""

from pathlib import Path

from asymre.plan import stale
from asymre.record.published import published_files
from tools.options import ROOT, chosen_plan, entries, existing_paths, or_exit, parser, read_specs


def read_markers(results: Path) -> set[str]:
    """Ids of what is published: a marker counts while the files that it stands for exist."""
    ids = {entry.name for entry in entries(results / "figures/.current")}
    return {id for id in ids if all(path.is_file() for path in _published(results, id.rpartition("-")[0]))}


def _published(results: Path, name: str) -> list[Path]:
    if name == "configuration":
        return [results / "configuration.yaml", results / "runs.csv"]
    return [results / file for file in published_files(name)]


def why(root: Path, scale: str | None, configfile: Path | None) -> str:
    """The report for people. Raises ConfigurationError."""
    plan, results = chosen_plan(root, scale, configfile)
    existing = existing_paths(results)
    text = stale.report(plan, read_specs(results, existing), existing, read_markers(results))
    return f"{results}\n\n{text}"


if __name__ == "__main__":
    arguments = parser(__doc__).parse_args()
    print(or_exit(why, ROOT, arguments.scale, arguments.configfile))
