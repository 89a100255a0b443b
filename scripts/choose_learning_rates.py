"""Apply the calibration rule: calibration.csv, one row an objective, learning rate and end of cycle."""

import pandas as pd

from asymre import job
from asymre.calibration import choose, cycle_ends, still_improves
from asymre.curves import curve


def make(params, inputs, folder):
    runs = pd.DataFrame(params["runs"])
    tables = []
    for objective, candidates in runs.groupby("objective"):
        ends = {}
        for rate, seeds in candidates.groupby("learning_rate"):
            evaluations = [
                job.reading(inputs[name] / "evaluation.parquet", pd.read_parquet) for name in seeds["input"]
            ]
            accuracies = [curve(e, "test_accuracy_temperature_1") for e in evaluations]
            ends[rate] = cycle_ends(accuracies, params["N"])
        improves = {rate: still_improves(e, params["tolerance"]) for rate, e in ends.items()}
        chosen = choose(improves)
        print(f"{objective}: {chosen}")
        for rate, accuracy in ends.items():
            tables.append(
                pd.DataFrame(
                    {
                        "objective": objective,
                        "learning_rate": rate,
                        "step": accuracy.index,
                        "accuracy": accuracy.to_numpy(),
                        "still_improves": improves[rate],
                        "chosen": rate == chosen,
                    }
                )
            )
    table = pd.concat(tables, ignore_index=True)
    table.to_csv(folder / "calibration.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    job.run(make)
