"""Draw a figure: figure.pdf, figure.png, the data.csv that they show, caption.txt."""

from functools import cache
from importlib import import_module

from asymre.figures.style import write
from asymre.record import job


def make(params, inputs, folder):
    @cache
    def read(name, file, how):
        return job.reading(inputs[name] / file, how)

    chart = import_module(f"asymre.figures.{params['chart']}")
    data = chart.table(params, read)
    write(folder, chart.draw(data, params), data, params["caption"])


if __name__ == "__main__":
    job.run(make)
