"""What a baseline costs in diversity (figure C): pass@k, correct completions and entropy by delta_v."""

from collections.abc import Callable

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from asymre.metrics.curves import read_evaluation
from paper.figures.style import DELTA_V, new_figure, signed, styled, sweep_colours
from paper.specs import FigureSpec

BASE_COLOUR = "0.6"


def table(spec: FigureSpec, read: Callable) -> pd.DataFrame:
    """Return a row per run and step, 0 (the base policy) or the last: step, pass_at_1, pass_at_2, ...,
    distinct_correct, entropy (NaN: the run diverged), model, dataset, delta_v, N, seed."""
    tables = []
    for run in spec.runs:
        evaluation = read(run.input, "evaluation.parquet", read_evaluation)
        rows = evaluation[(evaluation["split"] == "test") & (evaluation["temperature"] == 1)]
        described = run.described("model", "dataset", "delta_v", "N", "seed")
        columns = [name for name in rows if name.startswith("pass_at_")]
        tables.append(rows[["step", *columns, "distinct_correct", "entropy"]].assign(**described))
    return pd.concat(tables, ignore_index=True)


def draw(data: pd.DataFrame, spec: FigureSpec) -> Figure:
    """Draw three panels: pass@k against k, distinct correct completions and entropy against delta_v."""
    ks = sorted(int(name.removeprefix("pass_at_")) for name in data if name.startswith("pass_at_"))
    base, end = data[data["step"] == 0], data[data["step"] > 0]
    colours = sweep_colours(sorted(end["delta_v"].unique()))
    with styled():
        fig = new_figure(spec)
        axes = fig.subplots(1, 3)
        columns = [f"pass_at_{k}" for k in ks]
        axes[0].plot(ks, base[columns].mean(), color=BASE_COLOUR, ls="--", label="base policy")
        for delta_v, rows in end.groupby("delta_v"):
            label = f"{DELTA_V} = {signed(delta_v)}"
            axes[0].plot(ks, rows[columns].mean(), "o-", color=colours[delta_v], label=label)
        axes[0].set_xscale("log", base=2)
        axes[0].set_xticks(ks, [str(k) for k in ks])
        axes[0].set_xlabel("k")
        axes[0].set_ylabel("pass@k")
        axes[0].set_ylim(-0.02, 1.02)
        for axis, column, label in (
            (axes[1], "distinct_correct", "distinct correct completions per problem"),
            (axes[2], "entropy", "entropy (nats per token)"),
        ):
            axis.axhline(base[column].mean(), color=BASE_COLOUR, ls="--")
            # 100 % of the values: from the least to the most.
            sns.pointplot(
                end,
                x="delta_v",
                y=column,
                hue="delta_v",
                palette=colours,
                ax=axis,
                errorbar=("pi", 100),
                native_scale=True,
                legend=False,
                ls="",
                ms=4,
                err_kws={"lw": 1},
            )
            axis.set_xlabel(DELTA_V)
            axis.set_ylabel(label)
            axis.set_ylim(bottom=-0.02 * axis.get_ylim()[1])
        fig.legend(loc="outside right center")
    return fig
