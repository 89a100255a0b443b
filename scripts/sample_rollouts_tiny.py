"""Sample the rollouts of one cycle from its frozen behaviour policy: rollouts.parquet."""

from asymre.cycle.rollouts import FILE, write_no_rollouts, write_rollouts
from asymre.cycle.snapshots import divergence_in
from asymre.data.problems import read_problems
from asymre.record import job
from asymre.tiny.policy import load_policy, policy_folder
from asymre.tiny.rollouts import problem_arrays, sample_rollouts
from asymre.tiny.tokenizer import END, decode


def make(params, inputs, folder):
    source = policy_folder(inputs["policy"])
    if divergence_in(source):
        write_no_rollouts(folder / FILE)
        return
    architecture, weights = job.reading(source, load_policy)
    problems = job.reading(inputs["problems"] / "train.parquet", read_problems)
    rollouts = sample_rollouts(
        weights,
        architecture,
        problem_arrays(problems),
        params,
        seed=params["seed"],
        first_step=params["first_step"],
        steps=params["steps"],
    )
    texts = decode(rollouts.tokens.numpy())
    right = (rollouts.reward == params["rewards"]["correct"]).tolist()
    write_rollouts(
        folder / FILE,
        rollouts,
        params["group_size"],
        verdicts=["right" if r else "wrong" for r in right],
        truncated=[not text.endswith(END) for text in texts],
        texts=texts,
    )
    print(f"{len(right)} rollouts, mean reward {rollouts.reward.mean():.3f}")


if __name__ == "__main__":
    job.run(make)
