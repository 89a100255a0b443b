"""Apply the calibration's rules: calibration.csv, a row a learning rate and end of cycle, or a delta_v."""

import pandas as pd

from asymre import job
from asymre.calibration import choose, cycle_ends, final_accuracy, still_improves
from asymre.curves import curve, read_evaluation


def make(params, inputs, folder):
    def accuracies(runs: pd.DataFrame, measure: str) -> list[pd.Series]:
        files = [inputs[name] / "evaluation.parquet" for name in runs["input"]]
        return [curve(job.reading(file, read_evaluation), measure) for file in files]

    tables = []
    for objective, candidates in pd.DataFrame(params["runs"]).groupby("objective", sort=False):
        ends = {
            rate: cycle_ends(accuracies(runs, "test_accuracy_temperature_1"), params["N"])
            for rate, runs in candidates.groupby("learning_rate")
        }
        improves = {rate: still_improves(e, params["tolerance"]) for rate, e in ends.items()}
        chosen = choose(improves)
        print(f"{objective}: {chosen}")
        for rate, accuracy in ends.items():
            described = {"choice": "learning_rate", "objective": objective, "learning_rate": rate}
            described |= {"delta_v": candidates["delta_v"].iloc[0], "still_improves": improves[rate]}
            rows = pd.DataFrame({"step": accuracy.index, "accuracy": accuracy.to_numpy()})
            tables.append(rows.assign(**described, chosen=rate == chosen))
    runs = pd.DataFrame(params["delta_v_runs"])
    final = {v: final_accuracy(accuracies(own, "train_accuracy")) for v, own in runs.groupby("delta_v")}
    preferred = max(final, key=final.get)
    print(f"delta_v: {preferred}")
    rows = pd.DataFrame({"delta_v": final.keys(), "accuracy": final.values()})
    described = {"choice": "delta_v", "objective": "asymre", "learning_rate": runs["learning_rate"].iloc[0]}
    tables.append(rows.assign(**described, chosen=rows["delta_v"] == preferred))
    names = [
        "choice",
        "objective",
        "delta_v",
        "learning_rate",
        "step",
        "accuracy",
        "still_improves",
        "chosen",
    ]
    table = pd.concat(tables, ignore_index=True)[names].astype({"step": "Int64"})
    table.to_csv(folder / "calibration.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    job.run(make)
