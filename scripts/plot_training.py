"""Draw a figure of training curves: figure.pdf, figure.png, the data.csv that they show, caption.txt."""

import math

import pandas as pd

from asymre import job
from asymre.curves import curve, read_evaluation, read_metrics, smooth, step_of_collapse
from asymre.figures.style import write
from asymre.figures.training import plot_training


def make(params, inputs, folder):
    evaluations = {
        name: job.reading(path / "evaluation.parquet", read_evaluation)
        for name, path in inputs.items()
        if not name.endswith("/training")
    }
    rewards = params["rewards"]
    data, rollouts = [], []
    for index, panel in enumerate(params["panels"]):
        for run in panel["curves"]:
            name = run["input"]
            described = {key: run[key] for key in ("control", "objective", "delta_v", "seed")}
            described |= {"panel": index, "model": run["model"], "dataset": run["dataset"]}
            described["N"] = run["N"] if run["refreshed"] else math.inf
            values = curve(evaluations[name], panel["measure"])
            rows = pd.DataFrame({"step": values.index, "value": values.to_numpy()})
            rows["smoothed"] = smooth(values, params["smoothing_window"]).to_numpy()
            collapse = step_of_collapse(
                *(curve(evaluations[name], measure) for measure in ("test_accuracy", "entropy"))
            )
            data.append(
                rows.assign(
                    panel_title=panel["title"],
                    measure=panel["measure"],
                    draw=panel["draw"],
                    collapse_step=collapse,
                    **described,
                )
            )
            if panel["measure"] == "train_accuracy":
                metrics = job.reading(inputs[f"{name}/training"] / "metrics.parquet", read_metrics)
                mean = metrics.groupby("cycle")["rollout_reward"].mean()
                accuracy = (mean - rewards["wrong"]) / (rewards["correct"] - rewards["wrong"])
                ends = [*(mean.index * run["N"]), metrics["step"].max()]
                steps = pd.DataFrame({"step": ends, "rollout_accuracy": [*accuracy, accuracy.iloc[-1]]})
                rollouts.append(steps.assign(**described))
    data = pd.concat(data, ignore_index=True)
    columns = [*described, "step", "rollout_accuracy"]
    rollouts = pd.concat(rollouts, ignore_index=True) if rollouts else pd.DataFrame(columns=columns)
    for table in (data, rollouts):
        table["delta_v"] = table["delta_v"].astype(float)
        table["control"] = table["control"].astype(bool)
    figure = plot_training(
        data,
        rollouts,
        title=params["title"],
        width=params["width"],
        height=params["height"],
    )
    both = pd.concat([data, rollouts.assign(measure="rollout_accuracy")]) if len(rollouts) else data
    write(folder, figure, both, params["caption"])


if __name__ == "__main__":
    job.run(make)
