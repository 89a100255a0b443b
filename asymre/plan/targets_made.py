"""What Snakemake was told that a result named by its id does not bear, and whether its targets were made."""

from pathlib import Path
from typing import Any


def forced(settings: Any) -> str:
    """The options that make existing results again, as Snakemake calls them; empty if there are none.

    settings: Snakemake's `dag_settings`. Inputs are `ancient`, so what rests on such a result would stay.
    """
    given = {
        "--force": settings.forcetargets,
        "--forceall": settings.forceall,
        f"--forcerun {' '.join(sorted(settings.forcerun))}": settings.forcerun,
    }
    return " and ".join(option for option, is_given in given.items() if is_given)


def absent(dag: Any, settings: Any) -> list[str]:
    """Files that Snakemake's targets name and that are not there after a run that ended well."""
    if settings.until or settings.omit_from or settings.batch:
        return []  # less than the targets was asked for
    files = [str(file) for job in dag.targetjobs for file in (*job.input, *job.output) if not _is_temp(file)]
    return sorted(file for file in set(files) if not Path(file).exists())


def _is_temp(file: Any) -> bool:
    return "temp" in getattr(file, "flags", {})
