"""Report sums: data.csv, report.txt."""

import tabulate

from store import job
from store.toy import numbers
from store.toy.project import PROJECT, Report


def make(spec: Report, inputs, folder):
    sums = {name: job.reading(path / "sums.txt", numbers.read) for name, path in sorted(inputs.items())}
    lines = [f"{name},{value}\n" for name, values in sums.items() for value in values]
    (folder / "data.csv").write_text("".join(["name,sum\n", *lines]), encoding="utf-8")
    table = tabulate.tabulate([[name, values[-1]] for name, values in sums.items()], ["", "sum"])
    (folder / "report.txt").write_text(f"{spec.title}\n\n{table}\n", encoding="utf-8")


if __name__ == "__main__":
    job.run(make, PROJECT, Report)
