"""Say what a scale on GPUs will cost, before anything starts: jobs, GPU hours, disk, memory.

python -m tools.plan_costs [--scale NAME] [--configfile FILE]
"""

import sys

from asymre.plan.costs import costs_text, problems
from tools.options import ROOT, chosen_plan, or_exit, parser


def main() -> None:
    chosen = parser(__doc__).parse_args()
    default = None if chosen.configfile else "gpu"
    plan, results = or_exit(chosen_plan, ROOT, chosen.scale or default, chosen.configfile)
    if plan.configuration.hub is None:
        sys.exit(f"error: {results} belongs to engine tiny, which needs no GPU: try --scale gpu")
    print(costs_text(plan))
    for problem in problems(plan):
        print(f"WARNING: {problem}")


if __name__ == "__main__":
    main()
