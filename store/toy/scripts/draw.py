"""Draw numbers: numbers.txt."""

from store import job
from store.toy import numbers
from store.toy.project import PROJECT, Draw


def make(spec: Draw, inputs, folder):
    numbers.write(folder / "numbers.txt", numbers.draw(spec.seed, spec.count))


if __name__ == "__main__":
    job.run(make, PROJECT, Draw)
