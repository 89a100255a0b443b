"""Draw the calibration figure: figure.pdf, figure.png, data.csv, caption.txt."""

import shutil

import pandas as pd

from asymre import job
from asymre.figures.calibration import plot_calibration
from asymre.figures.style import add_caption, save


def make(params, inputs, folder):
    source = inputs["table"] / "calibration.csv"
    figure = plot_calibration(job.reading(source, pd.read_csv))
    add_caption(figure, params["caption"])
    save(figure, folder, "figure")
    shutil.copyfile(source, folder / "data.csv")
    (folder / "caption.txt").write_text(params["caption"] + "\n")


if __name__ == "__main__":
    job.run(make)
