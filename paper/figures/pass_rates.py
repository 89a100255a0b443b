"""How hard the problems are for the base policies (figure F): the distribution of pass rates."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from paper.figures.style import new_figure, styled
from paper.specs import FigureSpec

BINS = np.linspace(-1 / 32, 1 + 1 / 32, 18)  # a bin for each of 0, 1, ... 16 correct answers of 16


def read_pass_rates(path) -> pd.DataFrame:
    """Return a table of task, problem and pass_rate. ValueError for anything else."""
    table = pd.read_parquet(path)
    if list(table) != ["task", "problem", "pass_rate"] or not table["pass_rate"].between(0, 1).all():
        raise ValueError("must have the columns task, problem and pass_rate, the last from 0 to 1")
    return table


def table(spec: FigureSpec, read: Callable) -> pd.DataFrame:
    """Return a row per model, data set and problem: pass_rate."""
    tables = []
    for run in spec.runs:
        rates = read(run.input, "pass_rates.parquet", read_pass_rates)
        own = rates[rates["task"] == run.task].drop(columns="task")
        tables.append(own.assign(model=run.model, dataset=run.dataset))
    return pd.concat(tables, ignore_index=True)


def draw(data: pd.DataFrame, spec: FigureSpec) -> Figure:
    """Draw a panel per data set, a line per model: share of the problems by pass rate."""
    datasets = data["dataset"].unique()
    with styled():
        fig = new_figure(spec)
        axes = fig.subplots(1, len(datasets), sharey=True, squeeze=False)[0]
        for axis, dataset in zip(axes, datasets, strict=True):
            own = data[data["dataset"] == dataset]
            means = own.groupby("model", sort=False)["pass_rate"].mean()
            labels = {model: f"{model}, mean {mean:.2f}" for model, mean in means.items()}
            sns.histplot(
                own.assign(model=own["model"].map(labels)),
                x="pass_rate",
                hue="model",
                palette=sns.color_palette("colorblind", len(labels)),
                bins=BINS,
                stat="probability",
                common_norm=False,
                element="step",
                fill=False,
                ax=axis,
            )
            axis.set_title(dataset, parse_math=False)
            axis.get_legend().set_title(None)
            axis.set_xlabel("pass rate of a problem")
            axis.set_ylabel("share of problems")
    return fig
