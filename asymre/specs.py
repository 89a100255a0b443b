"""Specifications of jobs: the plan creates them, ids hash them, scripts read them.

There are no defaults, so a missing or misspelt field fails when the plan is built.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sampling:
    """How a completion is sampled: softmax temperature, and nucleus (top-p)."""

    temperature: float
    top_p: float


@dataclass(frozen=True)
class Rewards:
    """The rewards of a correct and a wrong completion; delta_v is in these units."""

    correct: float
    wrong: float


@dataclass(frozen=True)
class RolloutSpec:
    """How the rollouts of a run are sampled and rewarded.

    verifier: what judges the completions: the name of a task, or "boxed", for the last box of a text.
    """

    prompts_per_step: int
    group_size: int
    max_new_tokens: int
    sampling: Sampling
    rewards: Rewards
    verifier: str

    @property
    def batch(self) -> int:
        """Return the number of completions per gradient step."""
        return self.prompts_per_step * self.group_size


@dataclass(frozen=True)
class Generation:
    """How vLLM reads a policy and its prompts. prompt: the text around a problem, None for no text."""

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
    """The gradient steps of a run after step `first_step`, up to and with step `until`.

    settings: arguments of the objective, including delta_v. N: gradient steps per cycle. refreshed: whether
    the behaviour policy is refreshed after each cycle. seed: None if the steps draw no random numbers.
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
        """Return whether a snapshot is written after this step."""
        return step % self.snapshot_every == 0 or step in self.extra_snapshots


@dataclass(frozen=True)
class FsdpTrainingSpec:
    """A cycle of training with FSDP2. dtype: of the computation and of written policies."""

    training: TrainingSpec
    dtype: str
    recompute_log_probs: bool


@dataclass(frozen=True)
class EvaluationSpec:
    """How a snapshot is evaluated.

    samplings: split and temperature of each sampling. With a temperature, `samples` completions per problem;
    with None a single one, sampled as in the paper's tests (`test_sampling`).
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
    """The evaluation of a run's snapshots at some steps, None for all."""

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
class EvaluatedTrainingSpec:
    """A whole run, whose snapshots are evaluated when the run reaches them and not kept."""

    training: TrainingSpec
    evaluation: EvaluationSpec


@dataclass(frozen=True)
class PassRatesSpec:
    """How often a base policy solves the problems of a task. name: of its data set."""

    name: str
    task: str
    settings: dict[str, Any]
    max_new_tokens: int


@dataclass(frozen=True)
class TaskProblemsSpec:
    """Problems of a task. train, test: how many."""

    task: str
    settings: dict[str, Any]
    train: int
    test: int
    seed: int


@dataclass(frozen=True)
class StandInTask:
    """A task of a stand-in's pretraining. never_solved: bounds of the share of problems it never solves."""

    name: str
    task: str
    settings: dict[str, Any]
    never_solved: tuple[float, float]


@dataclass(frozen=True)
class Pretraining:
    """How a stand-in is trained from scratch. accuracy: bounds of its sampled accuracy."""

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
    """A base policy from the hub (id and commit), a folder (with a hash of its files) or a package."""

    hub: str | None
    revision: str | None
    folder: str | None
    content: str | None
    package: "PackageSpec | None"
    architecture: dict[str, Any]


@dataclass(frozen=True)
class PackageSpec:
    """A GGUF file in a Python package. name: with its version. file: in the wheel. sha256: of the wheel."""

    name: str
    file: str
    sha256: str


@dataclass(frozen=True)
class LocalPretrainedSpec:
    """A pretrained base policy for engine local.

    dtype: of matrix products. end: what ends a completion. longest: text of the longest prompt, which at most
    `new_tokens` tokens follow.
    """

    source: PretrainedSpec
    dtype: str
    end: str
    longest: str
    new_tokens: int


@dataclass(frozen=True)
class BanditSpec:
    """A function of `bandit.experiments` and its arguments."""

    experiment: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class JoinSpec:
    """A Parquet file whose rows are spread over the inputs."""

    file: str


@dataclass(frozen=True)
class SourceSpec:
    """Files of a data set, on the hub or in a folder. revision: a commit, or a hash of these files."""

    hub: str | None
    folder: str | None
    revision: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class DatasetProblemsSpec:
    """Problems of a real data set. Formats math and gsm8k have train and test, numina source and held_out."""

    format: str
    train: SourceSpec | None
    test: SourceSpec | None
    source: SourceSpec | None
    held_out: SourceSpec | None
    overlap: str | None
    train_problems: int
    test_problems: int
    seed: int
