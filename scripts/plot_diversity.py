"""Draw pass@k, distinct right completions and entropy by delta_v: figure.pdf, .png, data.csv, caption.txt."""

import pandas as pd

from asymre import job
from asymre.curves import read_evaluation
from asymre.figures.diversity import plot_diversity
from asymre.figures.style import write


def make(params, inputs, folder):
    tables = []
    for run in params["runs"]:
        evaluation = job.reading(inputs[run["input"]] / "evaluation.parquet", read_evaluation)
        rows = evaluation[(evaluation["split"] == "test") & (evaluation["temperature"] == 1)]
        described = {name: run[name] for name in ("model", "dataset", "delta_v", "N", "seed")}
        columns = [name for name in rows if name.startswith("pass_at_")]
        tables.append(rows[["step", *columns, "distinct_correct", "entropy"]].assign(**described))
    data = pd.concat(tables, ignore_index=True)
    figure = plot_diversity(data, title=params["title"], width=params["width"], height=params["height"])
    write(folder, figure, data, params["caption"])


if __name__ == "__main__":
    job.run(make)
