"""Draw a figure: figure.pdf, figure.png, the data.csv that they show, caption.txt."""

from functools import cache
from importlib import import_module

from paper.figures.style import write
from paper.specs import FigureSpec
from store import job
from workflow.project import PROJECT


def make(spec: FigureSpec, inputs, folder):
    @cache
    def read(name, file, how):
        return job.reading(inputs[name] / file, how)

    chart = import_module(f"paper.figures.{spec.chart}")
    data = chart.table(spec, read)
    write(folder, chart.draw(data, spec), data, spec)


if __name__ == "__main__":
    job.run(make, PROJECT, FigureSpec)
