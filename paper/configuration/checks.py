"""Checks between sections of a configuration, beyond those of single keys."""

import difflib
import re
from collections.abc import Iterator
from typing import Any

from asymre.tasks import load
from paper.configuration.runs import Run, learning_rate, runs_of, steps_a_cycle
from paper.configuration.schema import (
    NAME,
    OBJECTIVES,
    TASKS,
    WITH_DELTA_V,
    Configuration,
    Figure,
    LeaveOut,
    Sweep,
)
from paper.figures.charts import CHARTS, VARYING
from paper.published import stem

NAME_RULE = "letters, digits, '_', '.' and '-' alone, a letter or digit first, at most 40 characters"
# Jobs of one run: a plan holds them all in memory.
MOST_JOBS = 10_000
# Those of vLLM's attention on a CPU (0.32, cpu_attn.py).
CPU_HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
# Tasks with worked solutions, on which stand-ins are pretrained.
TAUGHT = tuple(name for name, task in TASKS.items() if hasattr(task, "worked_solutions"))
CLAIMED_EXPERIMENTS = ("theorems", "threshold", "limit")  # bandit experiments that the claims need
Problem = tuple[tuple, str]  # path of a key, and what is wrong there


def cross_checks(c: Configuration) -> Iterator[Problem]:
    """Yield everything wrong with a configuration whose keys are valid one by one."""
    yield from _names(c)
    yield from _engine(c)
    for key, figure in c.figures.items():
        wrong = list(_sweeps_of(c, key, figure))
        yield from wrong or _chart(c, key, figure)
    for field, names, section in (
        ("models", c.claims.models, "models"),
        ("dataset", [c.claims.dataset], "datasets"),
    ):
        known = getattr(c, section)
        for name in names:
            if name not in known:
                yield ("claims", field), f"there is no {name!r} in {section}{nearest(name, known)}"
    for index, sweep in enumerate(c.claims.seeds):
        yield from _sweep(c, ("claims", "seeds", index), sweep)
    for key in c.leave_out:
        if key not in c.figures:
            yield ("leave_out", key), f"there is no figure {key!r}{nearest(key, c.figures)}"
    for experiment in CLAIMED_EXPERIMENTS:
        if getattr(c.bandit, experiment) is None:
            yield ("bandit", experiment), "is missing: the claims need it"
    yield from _sizes(c)
    yield from _train_sampling(c)
    if c.problems:
        yield from _task_sizes(c)
    if c.calibration:
        yield from _calibration(c)


def nearest(name: Any, valid: Any, listing: bool = True) -> str:
    """Return `; did you mean 'x'?`, or the valid names if none is near."""
    names = [str(v) for v in valid]
    close = difflib.get_close_matches(str(name), names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; valid: {', '.join(names)}" if listing and names else ""


def _names(c: Configuration) -> Iterator[Problem]:
    for section, names in (("models", c.models), ("datasets", c.datasets), ("figures", c.figures)):
        for name in names:
            if not re.fullmatch(NAME, name):
                yield (section, name), f"becomes part of file names: {NAME_RULE}"
    stems: dict[str, str] = {}
    for name in c.figures:
        if not name.startswith("figure_"):
            # Other names belong to rules and to the stamps of other targets.
            yield ("figures", name), f"names of figures begin with figure_: figure_{name}"
        first = stems.setdefault(stem(name).lower(), name)  # files on a Mac
        if first != name:
            yield ("figures", name), f"is published as {stem(name)}, and so is {first}"
    for section, names, known_section, known in (
        ("stand_ins", c.stand_ins, "models", c.models),
        ("pretrained", c.pretrained, "models", c.models),
        ("tasks", c.tasks, "datasets", c.datasets),
        ("data", c.data, "datasets", c.datasets),
    ):
        for name in names:
            if name not in known:
                yield (section, name), f"there is no such name in {known_section}{nearest(name, known)}"


def _engine(c: Configuration) -> Iterator[Problem]:
    """Yield what an engine lacks, and what belongs to the other one."""
    local = c.engine == "local"
    for section, instead in (("data", "; engine local reads tasks, such as few_shot"), ("fsdp_vllm", "")):
        if local and getattr(c, section):
            yield (section,), f"belongs to engine fsdp_vllm; this scale has engine: local{instead}"
    if c.local and not local:
        yield ("local",), "belongs to engine local; this scale has engine: fsdp_vllm"
    if local and c.pretrained and not c.local:
        yield ("local",), "engine local needs this section for pretrained models"
    for name, pretrained in c.pretrained.items():
        if not local and pretrained.architecture.family == "qwen3":
            yield (
                ("pretrained", name, "architecture", "family"),
                "qwen3 is for engine local; engine fsdp_vllm computes llama and qwen2",
            )
    if not (local or c.fsdp_vllm):
        yield ("fsdp_vllm",), "engine fsdp_vllm needs this section"
    if local and c.training.cycles_per_job is None:
        yield ("training", "cycles_per_job"), "engine local needs this key"
    if not local and c.training.cycles_per_job is not None:
        yield ("training", "cycles_per_job"), "belongs to engine local; remove it"
    for section, makes in (("problems", c.tasks), ("pretraining", c.stand_ins)):
        if makes and getattr(c, section) is None:
            yield (section,), "this section is missing: stand-ins and tasks need it"
    for section, others, other in (("pretrained", c.stand_ins, "stand_ins"), ("data", c.tasks, "tasks")):
        for name in getattr(c, section):
            if name in others:
                yield (section, name), f"is in {other} too; give one"
    for name, data in c.data.items():
        for field in ("test_problems", "train_problems"):
            if getattr(c.evaluation, field) > getattr(data, field):
                available = f"data.{name} has {getattr(data, field)} such problems"
                yield ("evaluation", field), available
    if c.fsdp_vllm and c.fsdp_vllm.device == "cpu":
        for name, stand_in in c.stand_ins.items():
            size = stand_in.hidden_size // stand_in.heads
            if size not in CPU_HEAD_SIZES:
                yield (
                    ("stand_ins", name, "heads"),
                    f"hidden_size / heads is {size}; vLLM on a CPU knows "
                    f"{', '.join(map(str, CPU_HEAD_SIZES))}",
                )


def _all_sweeps(figure: Figure) -> list[tuple[tuple, Sweep]]:
    """Return each sweep of a figure with its path within the figure."""
    sweeps = [(("runs", i), s) for i, s in enumerate(figure.runs)]
    sweeps += [(("controls", i), s) for i, s in enumerate(figure.controls)]
    for p, panel in enumerate(figure.panels):
        sweeps += [(("panels", p, "runs", i), s) for i, s in enumerate(panel.runs)]
    return sweeps


def _sweeps_of(c: Configuration, key: str, figure: Figure) -> Iterator[Problem]:
    left_out = c.leave_out.get(key, LeaveOut())
    shown = {s for where, sweep in _all_sweeps(figure) if where[0] != "controls" for s in _subjects(sweep)}
    for where, sweep in _all_sweeps(figure):
        path = ("figures", key, *where)
        yield from _sweep(c, path, sweep)
        for field in ("seeds", "delta_v"):
            values = set(getattr(sweep, field))
            if values and values <= set(getattr(left_out, field)):
                yield (
                    ("leave_out", key, field),
                    f"leaves nothing of figures.{key}.{'.'.join(map(str, where))}.{field}",
                )
        if where[0] == "controls" and not _subjects(sweep) <= shown:
            yield path, "no panel shows this model, data set, objective and delta_v: which should draw it?"


def _sweep(c: Configuration, path: tuple, sweep: Sweep) -> Iterator[Problem]:
    """Yield what a sweep at this path names but the rest of the configuration lacks."""
    for field, known, stand_ins, own, section in (
        ("model", c.models, c.stand_ins, c.pretrained, ("stand_ins", "pretrained")),
        ("dataset", c.datasets, c.tasks, c.data, ("tasks", "data")),
    ):
        for name in getattr(sweep, field):
            if name not in known:
                yield (*path, field), f"there is no {field} {name!r}{nearest(name, known)}"
            elif name not in stand_ins and name not in own:
                yield (
                    (*path, field),
                    f"scale {c.scale!r} has no stand-in for {name!r}: add {section[0]}.{name}"
                    + ("" if c.engine == "local" else f" or {section[1]}.{name}"),
                )
    for model in sweep.model:
        for dataset in sweep.dataset:
            if model in c.stand_ins and dataset in c.data:
                yield path, f"{model!r} cannot run on {dataset!r}: a stand-in reads tasks alone"
            if model in c.pretrained and dataset in c.tasks:
                if c.engine == "fsdp_vllm":
                    yield (
                        path,
                        f"{model!r} cannot run on {dataset!r}: pretrained weights read real data with engine "
                        "fsdp_vllm",
                    )
                elif (kind := c.tasks[dataset].kind) in TAUGHT:
                    yield (
                        path,
                        f"{model!r} cannot run on {dataset!r}: {kind} is for stand-ins; give it few_shot",
                    )
    for model in set(sweep.model) & set(c.stand_ins):
        tasks = c.stand_ins[model].tasks
        for dataset in sweep.dataset:
            if dataset in c.tasks and dataset not in tasks:
                yield (
                    (*path, "dataset"),
                    f"stand-in {model!r} is not pretrained on {dataset!r}: add it to stand_ins.{model}.tasks",
                )
    for objective in sweep.objective:
        for delta_v in sweep.delta_v if objective in WITH_DELTA_V else [None]:
            for rate in sweep.learning_rate or [None]:
                if learning_rate(c, objective, delta_v, rate) is None:
                    place = "best_learning_rate or learning_rate" if rate == "best" else "learning_rate"
                    wanted = objective if delta_v is None else f"{objective} at {delta_v:g}"
                    yield (*path, "objective"), f"training.{place} has none for {wanted}: add one"
        if OBJECTIVES[objective].settings and getattr(c.objectives, objective) is None:
            yield (*path, "objective"), f"{objective} has settings: add objectives.{objective}"
    for N in sweep.N:
        if N == "never" and c.training.never_refreshed is None:
            yield (
                (*path, "N"),
                "never needs training.never_refreshed: steps that the rollouts last",
            )
        elif (jobs := _jobs(c, N)) > MOST_JOBS:
            yield (
                (*path, "N"),
                f"{N} makes {jobs} jobs of one run (training.steps, training.N): at most {MOST_JOBS}",
            )
    for model in sweep.model:
        if sweep.base_policy == "own" and model in c.pretrained:
            yield (*path, "base_policy"), f"own is for stand-ins; {model!r} has pretrained weights"


def _chart(c: Configuration, key: str, figure: Figure) -> Iterator[Problem]:
    """Yield what a figure's chart lacks, and what it would silently average over."""
    chart = CHARTS[figure.chart]
    if chart.of == "experiment" and getattr(c.bandit, chart.experiment) is None:
        yield ("bandit", chart.experiment), f"is missing: figures.{key} draws it (chart {figure.chart})"
    if chart.reads != "evaluation" and c.engine != "local":
        yield ("figures", key, "chart"), f"{figure.chart} is drawn with engine local alone"
    if chart.reads in ("diversity", "first_cycle") and c.evaluation.diversity_samples is None:
        yield ("evaluation", "diversity_samples"), f"is missing: figures.{key} needs it"
    if chart.reads == "first_cycle":
        for run in (run for sweep in figure.runs for run in runs_of(c, key, sweep)):
            if run.N % c.training.snapshot_every and run.N not in c.training.extra_snapshots:
                yield (
                    ("figures", key, "runs"),
                    f"{figure.chart} needs a snapshot at step {run.N}, the end of a cycle",
                )
                break
    for path, sweeps in _drawn_together(figure):
        runs = list(dict.fromkeys(run for sweep in sweeps for run in runs_of(c, key, sweep)))
        yield from _averages(("figures", key, *path), figure.chart, runs)


def _drawn_together(figure: Figure) -> Iterator[tuple[tuple, list[Sweep]]]:
    """Yield sweeps of one pair of axes, with their path within the figure."""
    if not figure.panels:
        yield ("runs",), figure.runs
    for index, panel in enumerate(figure.panels):
        yield (("panels", index, "runs"), panel.runs) if panel.runs else (("runs",), figure.runs)


def _averages(path: tuple, chart: str, runs: list[Run]) -> Iterator[Problem]:
    """Yield the settings that a chart would average over: it may only average over seeds."""
    over = CHARTS[chart].over
    for name in VARYING:
        # A run has two fields for N and never. Rates may differ between objectives, not within one.
        of: dict[tuple, set] = {}
        for run in runs:
            value = (run.N, run.refreshed) if name == "N" else getattr(run, name)
            of.setdefault(run.subject if name == "learning_rate" else (), set()).add(value)
        for values in of.values():
            if name not in over and len(values) > 1:
                texts = (f"{v[0] if v[1] else 'never'}" if name == "N" else str(v) for v in values)
                yield (
                    path,
                    f"chart {chart} would average over {name} ({', '.join(sorted(texts))}): one figure each",
                )
    without = sorted({run.objective for run in runs if run.delta_v is None})
    if without and "objective" not in over and "delta_v" in over:
        yield (
            path,
            f"chart {chart} is drawn over delta_v, and {', '.join(without)} takes none: leave it out, or "
            "draw chart curves",
        )
    # A repeated seed would count twice in a mean.
    twice: dict[tuple, set] = {}
    for run in runs:
        twice.setdefault((*run.subject, run.N, run.refreshed, run.seed), set()).add(run.base_seed)
    if any(len(base_seeds) > 1 for base_seeds in twice.values()):
        yield (
            path,
            f"chart {chart} would average runs of one seed with a base policy of its own and with the "
            "shared one (base_policy): one figure each",
        )


def _jobs(c: Configuration, N: int | str) -> int:
    """Return the number of jobs that train a run of cycles of N steps."""
    together = 1 if c.engine == "fsdp_vllm" else c.training.cycles_per_job
    return 1 if together == "all" else -(-c.training.steps // (steps_a_cycle(c, N) * (together or 1)))


def _subjects(sweep: Sweep) -> set[tuple]:
    return {
        (model, dataset, objective, delta_v)
        for model in sweep.model
        for dataset in sweep.dataset
        for objective in sweep.objective
        for delta_v in (sweep.delta_v if objective in WITH_DELTA_V else [None])
    }


def _sizes(c: Configuration) -> Iterator[Problem]:
    if c.algorithm.rewards.correct <= c.algorithm.rewards.wrong:
        yield ("algorithm", "rewards"), "the reward of a right answer must be the larger one"
    if c.algorithm.test_sampling.temperature == 1:
        yield (
            ("algorithm", "test_sampling", "temperature"),
            "temperature 1 is a measure of its own (test_accuracy_temperature_1); give another one here",
        )
    if c.training.steps % c.training.snapshot_every:
        yield (
            ("training", "steps"),
            f"must be a multiple of training.snapshot_every, {c.training.snapshot_every}: "
            "the end of a run is evaluated",
        )


def _sweeps_of_all(c: Configuration) -> list[Sweep]:
    """Return the sweeps of figures and claims, without the calibration's."""
    shown = [sweep for figure in c.figures.values() for _, sweep in _all_sweeps(figure)]
    return [*shown, *c.claims.seeds]


def _train_sampling(c: Configuration) -> Iterator[Problem]:
    """Yield samplings that ratios forbid: the log-probabilities of mu are stored at temperature 1."""
    used = {name for sweep in _sweeps_of_all(c) for name in sweep.objective}
    used |= set(c.calibration.objectives) if c.calibration else set()
    ratios = ", ".join(sorted(name for name in used if OBJECTIVES[name].takes_ratio))
    for field in ("temperature", "top_p"):
        value = getattr(c.algorithm.train_sampling, field)
        if ratios and value != 1:
            yield (
                ("algorithm", "train_sampling", field),
                f"is {value:g}, but log-probabilities of the rollouts are those at {field} 1, and the losses "
                f"of {ratios} are made of them: give 1, or take these objectives out of figures, claims and "
                "calibration",
            )


def _task_sizes(c: Configuration) -> Iterator[Problem]:
    for field, available in (("test_problems", c.problems.test), ("train_problems", c.problems.train)):
        if getattr(c.evaluation, field) > available:
            own = field.removesuffix("_problems")
            yield ("evaluation", field), f"there are {available} such problems (problems.{own})"
    for name, task in c.tasks.items():
        own = load(task.kind)(**task.settings)
        if task.max_new_tokens < own.solution_length:
            yield (
                ("tasks", name, "max_new_tokens"),
                f"cuts off every solution: at least {own.solution_length}",
            )
        for split in ("train", "test"):
            limit = own.problem_count(split)
            if getattr(c.problems, split) > limit:
                yield ("problems", split), f"task {name!r} has enough problems for at most {limit}"
    if c.pretraining is None:
        return
    for name, stand_in in c.stand_ins.items():
        for task in stand_in.tasks:
            if task in c.tasks and c.tasks[task].kind not in TAUGHT:
                yield (
                    ("stand_ins", name, "tasks"),
                    f"{task!r} has no worked solutions to pretrain on: its kind is {c.tasks[task].kind}",
                )
            if task not in c.tasks:
                yield ("stand_ins", name, "tasks"), f"there is no task {task!r}{nearest(task, c.tasks)}"
        if c.pretraining.batch_size < (count := len(stand_in.tasks)):
            yield ("pretraining", "batch_size"), f"at least one solution of each of the {count} tasks"
    ranges = {("tasks", name, "never_solved"): task.never_solved for name, task in c.tasks.items()}
    for path, (low, high) in {("pretraining", "accuracy"): c.pretraining.accuracy, **ranges}.items():
        if low > high:
            yield path, "give the lower end first"


def _calibration(c: Configuration) -> Iterator[Problem]:
    k = c.calibration
    for field, known in (("model", c.stand_ins | c.pretrained), ("dataset", c.tasks | c.data)):
        name = getattr(k, field)
        if name not in known:
            yield ("calibration", field), f"there is no {field} {name!r}{nearest(name, known)}"
    if list(k.learning_rates) != sorted(set(k.learning_rates)):
        yield ("calibration", "learning_rates"), "give increasing values"
    for objective, values in k.objectives.items():
        if bool(values) != (objective in WITH_DELTA_V):
            wanted = "no delta_v: []" if values else "at least one delta_v, for example [-0.1]"
            yield ("calibration", "objectives", objective), f"takes {wanted}"
    if k.delta_v not in {value for values in k.objectives.values() for value in values}:
        yield ("calibration", "delta_v"), "must be one of those in calibration.objectives"
    if k.base_policy == "own" and k.model in c.pretrained:
        yield ("calibration", "base_policy"), f"own is for stand-ins; {k.model!r} has pretrained weights"
    N = c.training.N.get(k.N, k.N)
    if N % c.training.snapshot_every:
        yield (
            ("calibration", "N"),
            f"the end of each cycle of {N} steps needs a snapshot: training.snapshot_every must divide it",
        )
    used = {seed for sweep in _sweeps_of_all(c) for seed in sweep.seeds}
    if used & set(k.seeds):
        shared = ", ".join(map(str, sorted(used & set(k.seeds))))
        yield ("calibration", "seeds"), f"a figure or claim uses {shared}; give seeds of its own"
