"""Draw a bandit figure: figure.pdf, figure.png, the data.csv that they show, caption.txt."""

import pandas as pd

from asymre import job
from asymre.figures.bandit import plot_entropy, plot_improvement, plot_limit, plot_threshold
from asymre.figures.style import add_caption, save

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
    add_caption(figure, params["caption"])
    save(figure, folder, "figure")
    data.to_csv(folder / "data.csv", index=False, float_format="%.6g")
    (folder / "caption.txt").write_text(params["caption"] + "\n")


if __name__ == "__main__":
    job.run(make)
