"""Simulate a bandit experiment: data.parquet."""

from asymre.bandit import experiments
from asymre.specs import BanditSpec
from store import job
from workflow.project import PROJECT


def make(spec: BanditSpec, inputs, folder):
    table = getattr(experiments, spec.experiment)(**spec.settings)
    table.to_parquet(folder / "data.parquet", index=False)
    print(f"{len(table)} rows")


if __name__ == "__main__":
    job.run(make, PROJECT, BanditSpec)
