"""Simulate a bandit experiment: data.parquet."""

from asymre import bandit_experiments, job
from asymre.theorem_checks import theorem_sweep

EXPERIMENTS = {
    "limit": bandit_experiments.limit_sweep,
    "improvement": bandit_experiments.improvement_sweep,
    "threshold": bandit_experiments.threshold_sweep,
    "theorems": theorem_sweep,
}
# The configuration tells the experiments' settings apart by a prefix that the functions do not need.
ARGUMENTS = {
    "improvement_baselines": "baselines",
    "improvement_steps": "steps",
    "threshold_instances": "instances",
    "theorem_instances": "instances",
}


def make(params, inputs, folder):
    settings = {ARGUMENTS.get(name, name): value for name, value in params["settings"].items()}
    table = EXPERIMENTS[params["experiment"]](**settings)
    table.to_parquet(folder / "data.parquet", index=False)
    print(f"{len(table)} rows")


if __name__ == "__main__":
    job.run(make)
