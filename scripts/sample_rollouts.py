"""Sample the rollouts of one cycle from its frozen behaviour policy: rollouts.parquet."""

from asymre import job
from asymre.policy import load_policy, policy_folder
from asymre.problems import read_problems
from asymre.rollouts import sample_rollouts, write_rollouts


def make(params, inputs, folder):
    architecture, weights = job.reading(policy_folder(inputs["policy"]), load_policy)
    problems = job.reading(inputs["problems"] / "train.parquet", read_problems)
    rollouts = sample_rollouts(
        weights,
        architecture,
        problems,
        params,
        seed=params["seed"],
        first_step=params["first_step"],
        steps=params["steps"],
    )
    write_rollouts(folder / "rollouts.parquet", rollouts, params["group_size"])
    print(f"{len(rollouts.reward)} rollouts, mean reward {rollouts.reward.mean():.3f}")


if __name__ == "__main__":
    job.run(make)
