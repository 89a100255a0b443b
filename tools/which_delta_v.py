"""Which delta_v for my prompts? Compute from pass rates what a cycle makes of them, by Theorem 4.2.

    python -m tools.which_delta_v pass_rates.csv                 a csv or parquet file with a column pass_rate
    python -m tools.which_delta_v results/cpu                    the base policies of a results folder
    python -m tools.which_delta_v rates.csv --wrong 0 --right 1 --delta-v -0.05 -0.1 --cycles 3 --plot my.png

The formula is for converged cycles and prompts that share nothing. It tells how fast prompts can be learned
at most: in a cycle of real training a prompt is in few steps or none, and its answer moves with those of
others. It does not tell when a policy with shared weights forgets or collapses. Nearer to 0 is always faster
here; the runs of this repository show what it costs.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

# A notebook's backend is in its own environment, and matplotlib refuses to start without it.
os.environ["MPLBACKEND"] = "agg"

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from asymre.bandit.theory import pass_rate_after_cycle
from paper.figures.style import styled, sweep_colours

DELTA_V = (-0.5, -0.3, -0.2, -0.1)
NOTE = (
    "An upper bound: converged cycles, prompts that share nothing, V_mu the mean of groups of {group_size}.\n"
    "In a cycle of real training a prompt is in few steps or none. What nearer to 0 costs: docs/results.md"
)


def pass_rates_in(path: Path) -> dict[str, np.ndarray]:
    """Return pass rates by name: of a file, or of each base policy and task of a results folder.

    Raises ValueError for a path without any.
    """
    if path.is_dir():
        files = sorted(path.glob("base_policy/*/pass_rates.parquet"))
        if not files:
            raise ValueError(f"{path}: no base_policy/*/pass_rates.parquet; give a results folder or a csv")
        tables = {file.parent.name.rpartition("-")[0]: pd.read_parquet(file) for file in files}
        return {
            f"{name}, {task}": own["pass_rate"].to_numpy()
            for name, table in tables.items()
            for task, own in table.groupby("task")
        }
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    if "pass_rate" not in table:
        raise ValueError(f"{path}: needs a column pass_rate, has {', '.join(map(str, table.columns))}")
    rates = pd.to_numeric(table["pass_rate"], errors="coerce").to_numpy()
    if len(rates) == 0 or not ((rates >= 0) & (rates <= 1)).all():
        raise ValueError(f"{path}: pass_rate must be numbers from 0 to 1, at least one")
    return {path.stem: rates}


def after_cycles(rates: np.ndarray, delta_v: tuple[float, ...], cycles: int, **group: Any) -> pd.DataFrame:
    """Return a row per delta_v and cycle: solved (share of prompts at pass rate 1), mean pass rate.

    group: rewards and size of a group of samples, for `pass_rate_after_cycle`.
    """
    rows = []
    for value in delta_v:
        now = rates
        for cycle in range(cycles + 1):
            rows.append({"delta_v": value, "cycle": cycle, "solved": (now == 1).mean(), "mean": now.mean()})
            now = pass_rate_after_cycle(now, value, **group)
    return pd.DataFrame(rows)


def plot(rates: np.ndarray, table: pd.DataFrame, **group: Any) -> Figure:
    """Draw the distribution of pass rates, what a cycle does to a pass rate, and the mean by cycle."""
    colours = sweep_colours(sorted(table["delta_v"].unique()))
    before = np.linspace(0, 1, 501)
    with styled():
        fig = Figure(figsize=(11, 3.2), dpi=120, layout="constrained")
        prompts, cycle, means = fig.subplots(1, 3)
        prompts.hist(
            rates, bins=np.linspace(0, 1, 18), weights=np.full(len(rates), 1 / len(rates)), color="0.6"
        )
        prompts.set(xlabel="pass rate of a prompt", ylabel="share of prompts", xlim=(0, 1))
        for value, own in table.groupby("delta_v"):
            look = {"color": colours[value], "label": f"$\\delta_v$ = {value:g}"}
            cycle.plot(before, pass_rate_after_cycle(before, value, **group), **look)
            means.plot(own["cycle"], own["mean"], "o-", **look)
        cycle.set(xlabel="pass rate before a cycle", ylabel="after it", xlim=(0, 1), ylim=(0, 1.02))
        means.set(
            xlabel="cycles", ylabel="mean pass rate", ylim=(0, 1.02), xticks=sorted(table["cycle"].unique())
        )
        means.legend()
    return fig


def main() -> None:
    """Print a table for each set of pass rates, and draw the first one on request."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "pass_rates", type=Path, help="csv or parquet with a column pass_rate, or a results folder"
    )
    parser.add_argument("--wrong", type=float, default=-1.0, help="reward of a wrong answer (-1)")
    parser.add_argument("--right", type=float, default=1.0, help="reward of a correct answer (1)")
    parser.add_argument(
        "--group-size", type=int, default=8, help="samples a prompt, of which V_mu is the mean"
    )
    parser.add_argument("--delta-v", type=float, nargs="+", default=DELTA_V, help="at most 0")
    parser.add_argument("--cycles", type=int, default=3)
    parser.add_argument("--plot", type=Path, help="a picture of the first set")
    given = parser.parse_args()
    group = {"wrong": given.wrong, "right": given.right, "group_size": given.group_size}
    try:
        sets = pass_rates_in(given.pass_rates)
        tables = {
            name: after_cycles(rates, tuple(given.delta_v), given.cycles, **group)
            for name, rates in sets.items()
        }
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    for name, table in tables.items():
        rates = sets[name]
        print(
            f"{name}: {len(rates)} prompts, mean {rates.mean():.3f}, never solved {(rates == 0).mean():.0%}"
        )
        wide = table[table["cycle"] > 0].pivot(index="delta_v", columns="cycle", values=["solved", "mean"])
        print(wide.map("{:.3f}".format).to_string() + "\n")
    print(NOTE.format(group_size=given.group_size))
    if given.plot:
        first = next(iter(sets))
        plot(sets[first], tables[first], **group).savefig(given.plot)
        print(given.plot)


if __name__ == "__main__":
    main()
