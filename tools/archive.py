"""Pack the results that the current targets need into results/<name>.tar; once extracted, nothing is planned.

python -m tools.archive [--scale NAME] [--configfile FILE]
"""

import sys

from store.folder import files_of, named, pack, paths_in, verify
from store.publish import STAMPS
from tools.options import ROOT, chosen_plan, or_exit, parser


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    plan, results = or_exit(chosen_plan, ROOT, options.scale, options.configfile)
    saved = (plan.configuration_id,)
    paths = [p for p in paths_in(results, plan.graph.kinds) if named(plan.graph, saved, p)]
    found = verify(results, paths)
    stamps = [f"{STAMPS}/{id}" for id in (*(t.id for t in plan.graph.default_targets()), *saved)]
    wrong = [f"{stamp}: missing" for stamp in stamps if stamp not in paths] + found.findings
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
