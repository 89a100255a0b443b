"""What each job is asked to do: the plan makes these, ids hash them, scripts read them.

There are no defaults: a field that is missing or misspelt fails when the plan is made.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sampling:
    """How a completion is drawn: softmax temperature, and nucleus (top-p)."""

    temperature: float
    top_p: float


@dataclass(frozen=True)
class Rewards:
    """Rewards of a correct and of a wrong completion; delta_v is in these units."""

    correct: float
    wrong: float


@dataclass(frozen=True)
class RolloutSpec:
    """How the rollouts of a run are sampled and rewarded.

    verifier: what judges the completions: a task by its name, or "boxed", the last box of a text.
    """

    prompts_per_step: int
    group_size: int
    max_new_tokens: int
    sampling: Sampling
    rewards: Rewards
    verifier: str

    @property
    def batch(self) -> int:
        """Completions behind one gradient step."""
        return self.prompts_per_step * self.group_size


@dataclass(frozen=True)
class Generation:
    """How vLLM reads a policy and its prompts: prompt is the text around a problem, None for none."""

    dtype: str
    prompt: str | None
    prompt_date: str | None


@dataclass(frozen=True)
class CycleRolloutSpec:
    """The rollouts for the gradient steps `first_step` to `first_step + steps - 1` of a run."""

    rollouts: RolloutSpec
    seed: int
    first_step: int
    steps: int


@dataclass(frozen=True)
class ShardSpec:
    """One of `shards` equal parts of a cycle's rollouts."""

    cycle: CycleRolloutSpec
    generation: Generation
    shards: int
    shard: int


@dataclass(frozen=True)
class TrainingSpec:
    """Gradient steps `first_step` to `until` - 1 of a run.

    settings: what the objective takes, delta_v among it. N: gradient steps per cycle. refreshed: whether the
    behaviour policy is refreshed after each cycle. seed: None where no random stream is left to derive.
    """

    objective: str
    settings: dict[str, Any]
    normalisation: str
    learning_rate: float
    gradient_clip: float
    N: int
    refreshed: bool
    snapshot_every: int
    extra_snapshots: tuple[int, ...]
    rollouts: RolloutSpec
    seed: int | None
    first_step: int
    until: int

    def is_snapshot(self, step: int) -> bool:
        """Whether the policy is kept after this step."""
        return step % self.snapshot_every == 0 or step in self.extra_snapshots


@dataclass(frozen=True)
class FsdpTrainingSpec:
    """A cycle of training with FSDP2. dtype: of the computation and of the written policies."""

    training: TrainingSpec
    dtype: str
    recompute_log_probs: bool


@dataclass(frozen=True)
class EvaluationSpec:
    """How a snapshot is evaluated.

    samplings: split and temperature of each sampling; temperature None: one completion per problem, drawn as
    the paper draws those of test problems (`test_sampling`), else `samples` completions.
    """

    samples: int
    train_problems: int
    test_problems: int
    max_new_tokens: int
    test_sampling: Sampling
    verifier: str
    samplings: tuple[tuple[str, float | None], ...]
    seed: int

    def drawings(self) -> list[tuple[str, int, float, float]]:
        """Return split, samples, temperature and top-p of each sampling."""
        paper = self.test_sampling
        return [
            (split, 1, paper.temperature, paper.top_p)
            if temperature is None
            else (split, self.samples, temperature, 1.0)
            for split, temperature in self.samplings
        ]


@dataclass(frozen=True)
class RunEvaluationSpec:
    """The evaluation of the snapshots of a run at some steps, None for all."""

    evaluation: EvaluationSpec
    steps: tuple[int, ...] | None


@dataclass(frozen=True)
class SnapshotEvaluationSpec:
    """The evaluation of one snapshot, at `step`, of the cycle that ends at step `until`."""

    evaluation: EvaluationSpec
    generation: Generation
    step: int
    until: int


@dataclass(frozen=True)
class TaskProblemsSpec:
    """Problems of a task: how many of each split."""

    task: str
    settings: dict[str, Any]
    train: int
    test: int
    seed: int


@dataclass(frozen=True)
class StandInTask:
    """A task that a stand-in is pretrained on, and the bounds of the share of problems it never solves."""

    name: str
    task: str
    settings: dict[str, Any]
    never_solved: tuple[float, float]


@dataclass(frozen=True)
class Pretraining:
    """How a stand-in is trained from scratch; accuracy: the bounds of its sampled accuracy."""

    steps: int
    batch_size: int
    learning_rate: float
    accuracy: tuple[float, float]
    seed: int


@dataclass(frozen=True)
class StandInSpec:
    """A base policy trained from scratch. stand_in: fields of `architecture.Architecture`."""

    stand_in: dict[str, Any]
    tasks: tuple[StandInTask, ...]
    pretraining: Pretraining


@dataclass(frozen=True)
class PretrainedSpec:
    """A base policy from the hub (id and commit) or from a folder (and a hash of its files)."""

    hub: str | None
    revision: str | None
    folder: str | None
    content: str | None
    architecture: dict[str, Any]


@dataclass(frozen=True)
class BanditSpec:
    """A function of `bandit.experiments` and its arguments."""

    experiment: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class JoinSpec:
    """A Parquet file of which every input holds some rows."""

    file: str


@dataclass(frozen=True)
class SourceSpec:
    """Files of a data set, on the hub or in a folder. revision: a commit, or a hash of the folder's files."""

    hub: str | None
    folder: str | None
    revision: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class DatasetProblemsSpec:
    """Problems of a real data set: formats math and gsm8k name train and test, numina source and held_out."""

    format: str
    train: SourceSpec | None
    test: SourceSpec | None
    source: SourceSpec | None
    held_out: SourceSpec | None
    overlap: str | None
    train_problems: int
    test_problems: int
    seed: int
