"""Add some of the numbers to the sum of those before: total.txt; checkpoints state/ and steps/."""

import time

from store import job
from store.toy import numbers
from store.toy.project import PROJECT, Add


def make(spec: Add, inputs, folder, pause):
    values = job.reading(inputs["numbers"] / "numbers.txt", numbers.read)[spec.first : spec.until]
    start = 0
    if "previous" in inputs:
        state = job.checkpoint(inputs["previous"], "state")
        (start,) = job.reading(state / "sum.txt", numbers.read)
    progress = job.Progress(len(values), "number")
    for done in range(len(values)):
        time.sleep(pause)
        progress(done + 1)
    sums = numbers.running_sums(values, start)
    for name in ("state", "steps"):
        (folder / name).mkdir()
    numbers.write(folder / "total.txt", sums[-1:])
    numbers.write(folder / "state/sum.txt", sums[-1:])
    numbers.write(folder / "steps/sums.txt", sums)


if __name__ == "__main__":
    job.run(make, PROJECT, Add, options={"pause": 0.0}, checkpoints=("state", "steps"))
