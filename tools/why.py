"""Report what `snakemake` would make, and what changed against the nearest existing result.

python -m tools.why [--scale NAME] [--configfile FILE]
"""

from pathlib import Path

from store import folder, stale
from tools.options import ROOT, chosen_plan, or_exit, parser


def why(root: Path, scale: str | None, configfile: Path | None) -> str:
    """Return the report. Raises ConfigurationError."""
    plan, results = chosen_plan(root, scale, configfile)
    existing, stamps = folder.existing(results, plan.graph.kinds), folder.read_stamps(results)
    parts = [stale.report(plan.graph, folder.read_specs(results, existing), existing, stamps)]
    if plan.configuration_id not in stamps:
        parts.append("configuration.yaml and runs.csv have to be saved.")
    text = "\n\n".join(filter(None, parts)) or "Nothing has to be made: all figures are up to date."
    return f"{results}\n\n{text}"


if __name__ == "__main__":
    arguments = parser(__doc__).parse_args()
    print(or_exit(why, ROOT, arguments.scale, arguments.configfile))
