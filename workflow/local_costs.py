"""What a plan of engine local with pretrained models will cost, in hours, memory and disk: estimates.

Memory and disk are in bytes. The speed is `local.gflops` of the configuration.
"""

from collections.abc import Iterable

from asymre.architecture import STATE_BYTES, Architecture
from asymre.specs import EvaluatedTrainingSpec
from paper.captions import architecture_of
from paper.configuration.schema import Configuration
from store.artefact import Artefact
from store.typed import build
from workflow.costs import model_of, targets_of
from workflow.plan import Plan

GB = 1e9
PROCESS = 0.5 * GB  # Python with torch: measured
ROWS = 512  # completions that are sampled at once (engines.local.sampling.ROWS_PER_BATCH)
CHOICE_BYTES = (
    32  # per row and token of the vocabulary while a token is chosen: logits, float64 probabilities
)
WIDTH = {"bfloat16": 2, "float32": 0}  # of the weights' copy for products; float32 needs none


def job_memory(c: Configuration, a: Architecture) -> float:
    """Return the memory of a run's job at the larger of its two peaks, a gradient step and sampling.

    Weights, gradients and two moments are float32; products have a copy of the weights, and of its gradient.
    """
    assert c.local is not None
    copy = WIDTH[c.local.products] * a.parameter_count()
    state = (4 + 8) * a.parameter_count() + copy
    step = _step_tokens(c)
    # Of each token and layer: about 16 values of the hidden size and 4 of the intermediate size.
    activations = step * a.layers * (16 * a.hidden_size + 4 * a.intermediate_size) * 4
    training = 4 * a.parameter_count() + copy + activations + 4 * 4 * step * a.vocabulary_size
    sampling = ROWS * CHOICE_BYTES * a.vocabulary_size
    return PROCESS + state + max(training, sampling)


def run_disk(a: Architecture) -> float:
    """Return the peak disk space of a run in progress: its state is kept while the next one is written."""
    return 2 * STATE_BYTES * a.parameter_count()


def runs_behind(plan: Plan, names: Iterable[str]) -> list[Artefact]:
    """Return the runs of pretrained models on which targets rest."""
    c = plan.configuration
    found = [a for a in plan.graph.upstream(names) if a.kind == "training"]
    return [a for a in found if model_of(c, a) in c.pretrained]


def core_hours(c: Configuration, runs: Iterable[Artefact]) -> float:
    """Return the core hours of runs.

    A gradient step takes 6 operations per parameter and token, sampling 2; prefixes, which are computed once,
    are left out.
    """
    assert c.local is not None
    total = 0.0
    for artefact in runs:
        a = architecture_of(c, model_of(c, artefact))
        spec = build(EvaluatedTrainingSpec, artefact.params)
        training, own = spec.training, spec.evaluation
        problems = {"train": own.train_problems, "test": own.test_problems}
        drawn = sum(problems[split] * samples for split, samples, *_ in own.drawings())
        # Of the base policy, and of each snapshot.
        evaluations = 1 + sum(map(training.is_snapshot, range(1, training.until + 1)))
        rollouts = training.until * c.algorithm.prompts_per_step * c.algorithm.group_size
        sampled = evaluations * drawn + rollouts
        tokens = 6 * training.until * _step_tokens(c) + 2 * sampled * own.max_new_tokens
        total += tokens * a.parameter_count() / (c.local.gflops * 1e9) / 3600
    return total


def _step_tokens(c: Configuration) -> int:
    longest = max(task.max_new_tokens for task in c.tasks.values())
    return c.algorithm.prompts_per_step * c.algorithm.group_size * longest


def costs_text(plan: Plan, cores: int) -> str:
    """Return the whole estimate as text. cores: how many runs at once."""
    c = plan.configuration
    assert c.local is not None
    models = list(dict.fromkeys(run.model for run in plan.trainings if run.model in c.pretrained))
    lines = [
        f"Runs of {c.training.steps} steps, each a job of one core, at {c.local.gflops:g} GFLOP/s "
        "(local.gflops). A target's runs are those that no target above has."
    ]
    above: set[str] = set()
    for target, names in targets_of(plan).items():
        runs = [run for run in runs_behind(plan, names) if run.path not in above]
        above |= {run.path for run in runs}
        hours = core_hours(c, runs)
        spent = f"{hours:6.1f} core hours, {hours / cores:.1f} h on {cores} cores"
        lines.append(f"  {target:<14}{len(runs):3} runs {spent}")
    for model in models:
        a = architecture_of(c, model)
        kept, growing = 4 * a.parameter_count() / GB, run_disk(a) / GB
        lines += [
            f"{model}, {a.parameter_count() / 1e6:.0f}e6 parameters:",
            f"  memory of a job: {job_memory(c, a) / GB:.1f} GB (local.memory_gb: {c.local.memory_gb})",
            f"  disk: {kept:.1f} GB for the base policy, {growing:.1f} GB for each run in progress, nothing "
            "large of a finished one",
        ]
    return "\n".join(lines)


def problems(c: Configuration, available: float, of: str = "the machine") -> list[str]:
    """Return what does not fit: jobs into `local.memory_gb`, and that into what there is.

    available, of: bytes, and what limits them (`machine.memory_limit`).
    """
    if c.local is None:
        return []
    found = [
        f"{model} needs {needed / GB:.1f} GB of memory in a job, local.memory_gb is {c.local.memory_gb}: "
        "raise it, or lower algorithm.prompts_per_step or algorithm.group_size"
        for model in c.pretrained
        if (needed := job_memory(c, architecture_of(c, model))) > c.local.memory_gb * GB
    ]
    if c.local.memory_gb * GB > available:
        found.append(
            f"local.memory_gb is {c.local.memory_gb}, there are {available / GB:.1f} GB ({of}): "
            "take a smaller model, or another machine"
        )
    return found
