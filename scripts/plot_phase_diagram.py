"""Draw collapse and final accuracy by delta_v and N: figure.pdf, figure.png, data.csv, caption.txt."""

import math

import pandas as pd

from asymre import job
from asymre.curves import curve, final, read_evaluation, step_of_collapse
from asymre.figures.phase_diagram import plot_phase_diagram
from asymre.figures.style import write


def make(params, inputs, folder):
    rows = []
    for run in params["runs"]:
        evaluation = job.reading(inputs[run["input"]] / "evaluation.parquet", read_evaluation)
        accuracy, entropy = (curve(evaluation, measure) for measure in ("test_accuracy", "entropy"))
        described = {name: run[name] for name in ("model", "dataset", "objective", "delta_v", "seed")}
        described["N"] = run["N"] if run["refreshed"] else math.inf
        rows.append(
            described
            | {"final_accuracy": final(accuracy), "collapse_step": step_of_collapse(accuracy, entropy)}
        )
    data = pd.DataFrame(rows)
    figure = plot_phase_diagram(data, title=params["title"], width=params["width"], height=params["height"])
    write(folder, figure, data, params["caption"])


if __name__ == "__main__":
    job.run(make)
