"""List the results that no target of a configuration needs; --yes removes them.

python -m tools.prune [--scale NAME] [--configfile FILE] [--yes]
"""

import os
import sys
from pathlib import Path

from store import stale
from store.folder import existing, remove, size
from store.lock import Busy, hold
from tools.options import ROOT, chosen_plan, or_exit, parser

LOCKS = Path(".snakemake/locks")


def superfluous(root: Path, scale: str | None, configfile: Path | None) -> tuple[Path, list[str]]:
    """Return the folder of the results and the paths below it that no target needs. ConfigurationError."""
    plan, results = chosen_plan(root, scale, configfile)
    kinds = plan.graph.kinds
    folders = [*kinds, *(f"logs/{kind}" for kind in kinds), "logs/publish"]
    return results, stale.superfluous(plan.graph, existing(results, folders))


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
