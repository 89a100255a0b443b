"""Draw a bandit figure: figure.pdf, figure.png, the data.csv that they show, caption.txt."""

import pandas as pd

from asymre import job
from asymre.figures.bandit import plot_entropy, plot_improvement, plot_limit, plot_threshold
from asymre.figures.style import write

PLOTS = {
    "limit": plot_limit,
    "improvement": plot_improvement,
    "entropy": plot_entropy,
    "threshold": plot_threshold,
}


def make(params, inputs, folder):
    data = job.reading(inputs["data"] / "data.parquet", pd.read_parquet)
    figure = PLOTS[params["experiment"]](
        data, title=params["title"], width=params["width"], height=params["height"]
    )
    write(folder, figure, data, params["caption"])


if __name__ == "__main__":
    job.run(make)
