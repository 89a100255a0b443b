"""The options that choose a configuration, shared by all commands."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from paper.configuration import reading
from paper.configuration.schema import Configuration
from workflow.plan import Plan, build

ROOT = Path(__file__).resolve().parents[1]


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that choose a configuration; doc: of the command's module."""
    options = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    options.add_argument("--scale", metavar="NAME", help="a file of config/scale/ (default: cpu)")
    options.add_argument("--configfile", metavar="FILE", type=Path, help="an overlay, as for snakemake")
    return options


def chosen(root: Path, scale: str | None, configfile: Path | None) -> tuple[Configuration, Path]:
    """Return the configuration and the folder of its results. Raises ConfigurationError."""
    overlay = reading.read(configfile) if configfile else {}
    overlay |= {"scale": scale} if scale else {}
    configuration = reading.load(root, overlay, str(configfile or "--scale"))
    return configuration, Path("results") / configuration.results


def chosen_plan(root: Path, scale: str | None, configfile: Path | None) -> tuple[Plan, Path]:
    """Return the plan and the folder of its results. Raises ConfigurationError."""
    configuration, results = chosen(root, scale, configfile)
    return build(root, configuration), results


def or_exit(function: Callable, *arguments):
    """Return the function's result; a ConfigurationError ends the command with its message."""
    try:
        return function(*arguments)
    except reading.ConfigurationError as error:
        sys.exit(f"error: {error}")
