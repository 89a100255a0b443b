"""Apply the calibration's rule to an objective: calibration.csv, a row per candidate and end of a cycle."""

import pandas as pd

from asymre.metrics.calibration import at_cycle_ends, is_at_the_edge, largest_of_the_best
from asymre.metrics.curves import curve, final, late_in_cycles, read_evaluation, read_metrics
from paper.specs import CalibrationSpec
from store import job
from workflow.project import PROJECT


def make(spec: CalibrationSpec, inputs, folder):
    tables = []
    for run in spec.runs:
        evaluation = job.reading(inputs[run.input] / "evaluation.parquet", read_evaluation)
        metrics = job.reading(inputs[f"{run.input}/training"] / "metrics.parquet", read_metrics)
        accuracy = curve(evaluation, "train_accuracy")
        ends = at_cycle_ends(accuracy, spec.N)
        rows = pd.DataFrame({"step": ends.index, "accuracy": ends.to_numpy()})
        kl = late_in_cycles(metrics.set_index("step")["kl_behaviour"], spec.N)
        rows["kl_behaviour"] = rows["step"].map(kl)
        described = {"delta_v": run.delta_v, "learning_rate": run.learning_rate}
        clipped = (metrics["gradient_norm"] > spec.gradient_clip).mean()
        described |= {"seed": run.seed, "final_accuracy": final(accuracy), "clipped": clipped}
        tables.append(rows.assign(**described))
    table = pd.concat(tables, ignore_index=True)
    table["chosen"] = False
    for delta_v, own in table.groupby("delta_v", sort=False, dropna=False):
        of_rates = own.groupby("learning_rate")["final_accuracy"].mean().to_dict()
        named = spec.objective if pd.isna(delta_v) else f"{spec.objective} at delta_v = {delta_v:g}"
        chosen = largest_of_the_best(of_rates, spec.tolerance)
        if spec.applied and is_at_the_edge(of_rates, spec.tolerance):
            found = ", ".join(f"{rate:g}: {value:.3f}" for rate, value in of_rates.items())
            raise ValueError(
                f"calibration.learning_rates: the choice for {named} lies at the edge of the grid ({found}): "
                "extend the grid there"
            )
        print(f"{named}: {chosen:g}")
        table.loc[own.index[own["learning_rate"] == chosen], "chosen"] = True
    names = [
        "delta_v",
        "learning_rate",
        "seed",
        "step",
        "accuracy",
        "kl_behaviour",
        "final_accuracy",
        "clipped",
    ]
    table[[*names, "chosen"]].to_csv(folder / "calibration.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    job.run(make, PROJECT, CalibrationSpec)
