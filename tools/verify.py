"""Compare every result with its record: name what is foreign, altered or missing.

python -m tools.verify [--scale NAME] [--configfile FILE]
"""

import sys

from store.folder import paths_in, unstamped, verify
from tools.options import ROOT, chosen, or_exit, parser
from workflow.plan import kinds_of


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    configuration, results = or_exit(chosen, ROOT, options.scale, options.configfile)
    if not results.is_dir():
        sys.exit(f"error: {results} does not exist: nothing was made yet")
    found = verify(results, paths_in(results, kinds_of(configuration)))
    findings = found.findings + unstamped(results, "figures", found.stamped)
    for finding in findings:
        print(f"{results}/{finding}")
    for path in found.left:
        print(f"{results}/{path}: left by a killed job; no result")
    if findings:
        sys.exit(
            f"{len(findings)} findings. Delete foreign files alone, where anything else is wrong the whole "
            "folder or figure, and run snakemake again: what the targets need is rebuilt."
        )
    print(f"{results}: {found.totals()}: all equal to their records")


if __name__ == "__main__":
    main()
