"""Say what `snakemake` would make, and what changed against the nearest result that exists.

python scripts/why.py [--scale NAME] [--configfile FILE]
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from asymre import config, stale
from asymre.artefact import RECORD, identify
from asymre.checks import published_files
from asymre.plan import Plan, build
from asymre.schema import Configuration

ROOT = Path(__file__).resolve().parents[1]


def parser(description: str) -> argparse.ArgumentParser:
    """The options that choose a configuration, as snakemake takes them."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--scale", metavar="NAME", help="a file of config/scale/ (default: cpu)")
    options.add_argument("--configfile", metavar="FILE", type=Path, help="an overlay, as for snakemake")
    return options


def chosen(root: Path, scale: str | None, configfile: Path | None) -> tuple[Configuration, Path]:
    """The configuration, and the folder of its results, as seen from here. Raises ConfigurationError."""
    overlay = config.read(configfile) if configfile else {}
    overlay |= {"scale": scale} if scale else {}
    configuration = config.load(root, overlay, str(configfile or "--scale"))
    return configuration, Path("results") / configuration.results


def chosen_plan(root: Path, scale: str | None, configfile: Path | None) -> tuple[Plan, Path]:
    """The plan, and the folder of its results, as seen from here. Raises ConfigurationError."""
    configuration, results = chosen(root, scale, configfile)
    return build(root, configuration), results


def existing_paths(results: Path) -> set[str]:
    """Everything that lies in the folders of the kinds, as `<kind>/<name>`."""
    return {f"{kind}/{entry.name}" for kind in stale.KINDS for entry in _entries(results / kind)}


def read_specs(results: Path, paths: set[str]) -> dict[str, dict]:
    """Specifications by path; what cannot be read, or is not what its name says, is left out."""
    specs = {}
    for path in sorted(paths):
        try:
            spec = json.loads((results / path / "spec.json").read_text())
            spec.pop(RECORD, None)
            if f"{spec['kind']}/{identify(spec)}" == path:
                specs[path] = spec
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return specs


def read_markers(results: Path) -> set[str]:
    """Ids of what is published: a marker counts while the files that it stands for exist."""
    ids = {entry.name for entry in _entries(results / "figures/.current")}
    return {id for id in ids if all(path.is_file() for path in _published(results, id.rpartition("-")[0]))}


def _published(results: Path, name: str) -> list[Path]:
    if name == "configuration":
        return [results / "configuration.yaml", results / "runs.csv"]
    return [results / file for file in published_files(name)]


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def why(root: Path, scale: str | None, configfile: Path | None) -> str:
    """The report for people. Raises ConfigurationError."""
    plan, results = chosen_plan(root, scale, configfile)
    existing = existing_paths(results)
    text = stale.report(plan, read_specs(results, existing), existing, read_markers(results))
    return f"{results}\n\n{text}"


if __name__ == "__main__":
    arguments = parser(__doc__.partition("\n")[0]).parse_args()
    try:
        print(why(ROOT, arguments.scale, arguments.configfile))
    except config.ConfigurationError as error:
        sys.exit(f"error: {error}")
