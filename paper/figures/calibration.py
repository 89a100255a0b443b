"""The calibration figure: accuracy against the learning rate, and against delta_v."""

from collections.abc import Callable

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from paper.figures.style import new_figure, styled
from paper.specs import FigureSpec


def table(spec: FigureSpec, read: Callable) -> pd.DataFrame:
    """choice, objective, delta_v, learning_rate, step, accuracy, final_accuracy, chosen
    (`scripts/choose_learning_rates.py`)."""
    return read("table", "calibration.csv", pd.read_csv)


def draw(data: pd.DataFrame, spec: FigureSpec) -> Figure:
    """Draw a panel per objective, a line per end of a cycle; the last panel shows the choice of delta_v."""
    rates, delta_vs = (data[data["choice"] == choice] for choice in ("learning_rate", "delta_v"))
    objectives = rates["objective"].unique()
    final = delta_vs.drop_duplicates("delta_v")
    columns = spec.columns
    with styled():
        fig = new_figure(spec)
        axes = fig.subplots(
            -(-(len(objectives) + 1) // columns), columns, sharey=True, squeeze=False
        ).flatten()
        line = {"marker": "o", "markeredgewidth": 0, "errorbar": None}
        for axis, objective in zip(axes, objectives, strict=False):
            mine = rates[rates["objective"] == objective]
            ends = mine.assign(end=mine["step"].map(lambda step: f"step {step}" if step else "base policy"))
            sns.lineplot(
                ends,
                x="learning_rate",
                y="accuracy",
                hue="end",
                palette=sns.color_palette("viridis_r", ends["end"].nunique()),
                ax=axis,
                legend=axis is axes[0],
                **line,
            )
            _mark_chosen(axis, mine.loc[mine["chosen"], "learning_rate"].unique())
            axis.set(xscale="log", xlabel="learning rate", title=objective, ylim=(0, 1), ylabel="")
        last = axes[len(objectives)]
        sns.lineplot(final, x="delta_v", y="final_accuracy", color="black", ax=last, **line)
        _mark_chosen(last, final.loc[final["chosen"], "delta_v"])
        last.set(xlabel="$\\delta_v$", title="asymre: final training accuracy", ylabel="")
        for axis in axes[len(objectives) + 1 :]:
            axis.set_axis_off()
        for axis in axes[::columns]:
            axis.set_ylabel("training accuracy")
        axes[0].legend(loc="lower left", title=None)
    return fig


def _mark_chosen(axis, values) -> None:
    for value in values:
        axis.axvline(value, color="black", ls="--", lw=1, label="chosen")
