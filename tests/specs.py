"""Small specifications that tests change with `dataclasses.replace`."""

from dataclasses import replace

from asymre.specs import EvaluationSpec, Rewards, RolloutSpec, Sampling, TrainingSpec

ROLLOUTS = RolloutSpec(
    prompts_per_step=2,
    group_size=4,
    max_new_tokens=6,
    sampling=Sampling(temperature=1.0, top_p=1.0),
    rewards=Rewards(correct=1, wrong=-1),
    verifier="arithmetic",
)
TRAINING = TrainingSpec(
    objective="asymre",
    settings={"delta_v": -0.1},
    normalisation="token_sum",
    learning_rate=1e-3,
    gradient_clip=1.0,
    N=10,
    refreshed=True,
    snapshot_every=5,
    extra_snapshots=(),
    rollouts=ROLLOUTS,
    seed=0,
    first_step=0,
    until=10,
)
EVALUATION = EvaluationSpec(
    samples=4,
    train_problems=3,
    test_problems=5,
    max_new_tokens=6,
    test_sampling=Sampling(temperature=0.1, top_p=0.95),
    verifier="arithmetic",
    samplings=(("test", None), ("test", 1.0), ("train", 1.0)),
    seed=0,
)


def training(objective: str = "asymre", **changes) -> TrainingSpec:
    """Return a training spec; settings: those of the objective."""
    return replace(TRAINING, objective=objective, **changes)
