"""List the results that no target of a configuration names; --yes removes them.

python -m tools.prune [--scale NAME] [--configfile FILE] [--yes]
"""

import os
import shutil
import sys
from pathlib import Path

from asymre.plan import stale
from asymre.record.lock import Busy, hold
from tools.options import ROOT, chosen_plan, entries, or_exit, parser

LOCKS = Path(".snakemake/locks")


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links count by themselves."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(size(entry) for entry in path.iterdir())


def remove(path: Path) -> None:
    """Remove a file, a link or a folder; a folder never stands half removed under its name."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    if not path.name.endswith(".partial"):
        path = path.rename(path.with_name(f".{path.name}.{os.getpid()}.partial"))
    shutil.rmtree(path)


def superfluous(root: Path, scale: str | None, configfile: Path | None) -> tuple[Path, list[str]]:
    """The folder of the results, and the paths below it that no target names. Raises ConfigurationError."""
    plan, results = chosen_plan(root, scale, configfile)
    folders = [*stale.KINDS, *(f"logs/{kind}" for kind in stale.KINDS), "logs/publish"]
    paths = [f"{folder}/{entry.name}" for folder in folders for entry in entries(results / folder)]
    return results, stale.superfluous(plan, paths)


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--yes", action="store_true", help="remove what is listed")
    chosen = options.parse_args(arguments)
    results, paths = or_exit(superfluous, ROOT, chosen.scale, chosen.configfile)
    if chosen.yes and LOCKS.is_dir() and any(LOCKS.iterdir()):
        sys.exit(
            f"error: {LOCKS} says that snakemake runs here, and its jobs may need what is listed: "
            "wait for it, or, if it was killed, run snakemake --unlock"
        )
    held = None
    if chosen.yes and results.is_dir():
        try:
            held = hold(results)
        except Busy as error:
            sys.exit(f"error: {error}")
    sizes = {path: size(results / path) for path in paths}
    for path in paths:
        if chosen.yes:
            remove(results / path)
        print(f"{sizes[path] / 1e6:10.3f} MB  {path}")
    if held is not None:
        os.close(held)
    done = "removed" if chosen.yes else "named by no target; --yes removes them"
    print(f"{results}: {len(paths)} entries, {sum(sizes.values()) / 1e6:.3f} MB, {done}")


if __name__ == "__main__":
    main()
