"""What people's commands share: the options that choose a configuration, and what lies in its results."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from asymre.config import reading
from asymre.config.schema import Configuration
from asymre.plan import stale
from asymre.plan.plan import Plan, build
from asymre.record.artefact import RECORD, SPEC, identify

ROOT = Path(__file__).resolve().parents[1]


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The options that choose a configuration, as snakemake takes them; doc: of the module of a command."""
    options = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    options.add_argument("--scale", metavar="NAME", help="a file of config/scale/ (default: cpu)")
    options.add_argument("--configfile", metavar="FILE", type=Path, help="an overlay, as for snakemake")
    return options


def chosen(root: Path, scale: str | None, configfile: Path | None) -> tuple[Configuration, Path]:
    """The configuration, and the folder of its results, as seen from here. Raises ConfigurationError."""
    overlay = reading.read(configfile) if configfile else {}
    overlay |= {"scale": scale} if scale else {}
    configuration = reading.load(root, overlay, str(configfile or "--scale"))
    return configuration, Path("results") / configuration.results


def chosen_plan(root: Path, scale: str | None, configfile: Path | None) -> tuple[Plan, Path]:
    """The plan, and the folder of its results, as seen from here. Raises ConfigurationError."""
    configuration, results = chosen(root, scale, configfile)
    return build(root, configuration), results


def or_exit(function: Callable, *arguments):
    """What the function returns; a configuration that cannot be used ends the command with its message."""
    try:
        return function(*arguments)
    except reading.ConfigurationError as error:
        sys.exit(f"error: {error}")


def existing_paths(results: Path) -> set[str]:
    """Everything that lies in the folders of the kinds, as `<kind>/<name>`."""
    return {f"{kind}/{entry.name}" for kind in stale.KINDS for entry in entries(results / kind)}


def read_specs(results: Path, paths: set[str]) -> dict[str, dict]:
    """Specifications by path; what cannot be read, or is not what its name says, is left out."""
    specs = {}
    for path in sorted(paths):
        try:
            spec = json.loads((results / path / SPEC).read_text(encoding="utf-8"))
            spec.pop(RECORD, None)
            if f"{spec['kind']}/{identify(spec)}" == path:
                specs[path] = spec
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return specs


def entries(folder: Path) -> list[Path]:
    """What lies in a folder; nothing if there is none."""
    return list(folder.iterdir()) if folder.is_dir() else []
