"""Apply the calibration's rules: calibration.csv, one row per candidate and end of a cycle."""

from dataclasses import asdict
from functools import partial

import pandas as pd

from asymre.metrics.calibration import best, cycle_ends, final_accuracy, largest_of_the_best
from asymre.metrics.curves import curve, read_evaluation
from paper.specs import CalibrationSpec
from store import job
from workflow.project import PROJECT


def make(spec: CalibrationSpec, inputs, folder):
    def accuracies(runs: pd.DataFrame) -> list[pd.Series]:
        files = [inputs[name] / "evaluation.parquet" for name in runs["input"]]
        return [curve(job.reading(file, read_evaluation), "train_accuracy") for file in files]

    tables = []
    for choice, runs, rule in (
        ("learning_rate", spec.runs, partial(largest_of_the_best, tolerance=spec.tolerance)),
        ("delta_v", spec.delta_v_runs, best),
    ):
        for objective, candidates in pd.DataFrame(map(asdict, runs)).groupby("objective", sort=False):
            by_value = {value: accuracies(own) for value, own in candidates.groupby(choice)}
            final = {value: final_accuracy(curves) for value, curves in by_value.items()}
            chosen = rule(final)
            print(f"{objective}: {choice} {chosen}")
            for value, curves in by_value.items():
                each = pd.concat([cycle_ends([one], spec.N) for one in curves], axis=1)
                last = [final_accuracy([one]) for one in curves]
                same = candidates[candidates[choice] == value].iloc[0]
                described = {"choice": choice, "objective": objective}
                described |= {"delta_v": same["delta_v"], "learning_rate": same["learning_rate"]}
                rows = {"accuracy": each.mean(axis=1), "least": each.min(axis=1), "most": each.max(axis=1)}
                rows = pd.DataFrame(rows).rename_axis("step").reset_index().assign(**described)
                rows = rows.assign(final_accuracy=final[value], final_least=min(last), final_most=max(last))
                rows["chosen"] = value == chosen
                tables.append(rows)
    names = [
        "choice",
        "objective",
        "delta_v",
        "learning_rate",
        "step",
        "accuracy",
        "least",
        "most",
        "final_accuracy",
        "final_least",
        "final_most",
        "chosen",
    ]
    table = pd.concat(tables, ignore_index=True)[names]
    table.to_csv(folder / "calibration.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    job.run(make, PROJECT, CalibrationSpec)
