"""Estimate what real models will cost, before anything starts: jobs, hours, disk, memory.

python -m tools.plan_costs [--scale NAME] [--configfile FILE]

Speeds and GPU memory come from results/measured.json, if `make test-gpu` measured them here.
"""

import os
import sys

from tools import measured_costs
from tools.options import ROOT, chosen_plan, or_exit, parser
from workflow import local_costs
from workflow.costs import costs_text, problems, with_costs
from workflow.machine import memory_limit
from workflow.plan import Plan


def main() -> None:
    chosen = parser(__doc__).parse_args()
    default = None if chosen.configfile else "gpu"
    plan, results = or_exit(chosen_plan, ROOT, chosen.scale or default, chosen.configfile)
    if plan.configuration.local:
        print(local_costs.costs_text(plan, os.cpu_count() or 1))
        for problem in local_costs.problems(plan.configuration, *memory_limit(os.environ)):
            print(f"WARNING: {problem}")
        return
    if plan.configuration.fsdp_vllm is None:
        sys.exit(f"error: {results} has stand-ins, which take minutes: try --scale pretrained or gpu")
    measured = or_exit(measured_costs.read) if plan.configuration.fsdp_vllm.device == "cuda" else None
    if measured:
        plan = with_costs(plan, **measured.costs())
        print(measured, end="\n\n")
    tell(plan)
    for name, gpu in plan.configuration.fsdp_vllm.costs.other_gpus.items():
        print(f"\nThe same on {name}\n")
        tell(with_costs(plan, **gpu.model_dump()))


def tell(plan: Plan) -> None:
    """Print the estimate, and warnings where something does not fit."""
    print(costs_text(plan))
    for problem in problems(plan):
        print(f"WARNING: {problem}")


if __name__ == "__main__":
    main()
