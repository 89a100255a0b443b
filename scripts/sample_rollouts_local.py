"""Sample the rollouts of one cycle from its frozen behaviour policy: rollouts.parquet."""

import torch

from asymre.datasets.problems import read_problems
from asymre.engines.local.device import find_device
from asymre.engines.local.policy import open_policy, policy_folder
from asymre.engines.local.rollouts import problem_arrays, sample_rollouts
from asymre.specs import CycleRolloutSpec
from asymre.tasks import load
from asymre.training.rollouts import FILE, write_no_rollouts, write_rollouts
from asymre.training.snapshots import divergence_in
from store import job
from workflow.project import PROJECT


def make(spec: CycleRolloutSpec, inputs, folder, device: str):
    source = policy_folder(inputs["policy"])
    if divergence_in(source):
        write_no_rollouts(folder / FILE)
        return
    with job.refusals():
        place = find_device(device)
    policy = job.reading(source, lambda path: open_policy(path, load(spec.rollouts.verifier).end, place))
    tokenizer = policy.tokenizer
    problems = job.reading(inputs["problems"] / "train.parquet", read_problems)
    rollouts = sample_rollouts(
        policy.behaviour(),
        policy.architecture,
        problem_arrays(problems, tokenizer),
        spec.rollouts,
        seed=spec.seed,
        first_step=spec.first_step,
        steps=spec.steps,
        tokenizer=tokenizer,
    )
    right = (rollouts.reward == spec.rollouts.rewards.correct).tolist()
    write_rollouts(
        folder / FILE,
        rollouts,
        spec.rollouts.group_size,
        verdicts=["right" if r else "wrong" for r in right],
        truncated=(~torch.isin(rollouts.tokens, tokenizer.ends).any(1)).tolist(),
        texts=tokenizer.texts(rollouts.tokens),
    )
    print(f"{len(right)} rollouts, mean reward {rollouts.reward.mean():.3f}")


if __name__ == "__main__":
    job.run(make, PROJECT, CycleRolloutSpec, options={"device": "cpu"})
