"""Sum all numbers: sums.txt; with further arguments, join the sums of those pieces instead."""

from store import job
from store.toy import numbers
from store.toy.project import PROJECT, Add


def make(spec: Add, inputs, folder):
    if "joined" in inputs:
        files = [job.checkpoint(piece, "steps") / "sums.txt" for piece in inputs["joined"]]
        sums = [value for file in files for value in job.reading(file, numbers.read)]
    else:
        values = job.reading(inputs["numbers"] / "numbers.txt", numbers.read)
        sums = numbers.running_sums(values[spec.first : spec.until], 0)
    numbers.write(folder / "sums.txt", sums)


if __name__ == "__main__":
    job.run(make, PROJECT, Add)
