"""Simulate a bandit experiment: data.parquet."""

from asymre.bandit import experiments
from asymre.record import job


def make(params, inputs, folder):
    table = getattr(experiments, params["experiment"])(**params["settings"])
    table.to_parquet(folder / "data.parquet", index=False)
    print(f"{len(table)} rows")


if __name__ == "__main__":
    job.run(make)
