"""Sample the rollouts of one cycle from its frozen behaviour policy: rollouts.parquet."""

from asymre.datasets.problems import read_problems
from asymre.engines.local.policy import load_policy, policy_folder
from asymre.engines.local.rollouts import problem_arrays, sample_rollouts
from asymre.engines.local.tokenizer import END, decode
from asymre.specs import CycleRolloutSpec
from asymre.training.rollouts import FILE, write_no_rollouts, write_rollouts
from asymre.training.snapshots import divergence_in
from store import job
from workflow.project import PROJECT


def make(spec: CycleRolloutSpec, inputs, folder):
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
        spec.rollouts,
        seed=spec.seed,
        first_step=spec.first_step,
        steps=spec.steps,
    )
    texts = decode(rollouts.tokens.numpy())
    right = (rollouts.reward == spec.rollouts.rewards.correct).tolist()
    write_rollouts(
        folder / FILE,
        rollouts,
        spec.rollouts.group_size,
        verdicts=["right" if r else "wrong" for r in right],
        truncated=[not text.endswith(END) for text in texts],
        texts=texts,
    )
    print(f"{len(right)} rollouts, mean reward {rollouts.reward.mean():.3f}")


if __name__ == "__main__":
    job.run(make, PROJECT, CycleRolloutSpec)
