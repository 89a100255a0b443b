"""Captions: what was run, on which stand-in, with which settings, and what is not the paper's."""

from typing import Any

from asymre.architecture import Architecture
from asymre.metrics.measures import MEASURES
from asymre.tasks import SYMBOLS, load
from paper.configuration.runs import learning_rate, shown_sweeps, steps_a_cycle
from paper.configuration.schema import WITH_DELTA_V, Configuration, Figure, LeaveOut, Sweep, Task
from paper.figures.charts import CHARTS

COLLAPSE = (
    "test accuracy below half of its running maximum and below the base policy's, at two evaluation points "
    "in a row and again at the end; a run whose loss or gradient is no longer finite counts as 0 from there"
)


def named(c: Configuration, text: str) -> str:
    """Return a text of the configuration, with names for keys of models and data sets in braces."""
    for key, name in (c.models | c.datasets).items():
        text = text.replace(f"{{{key}}}", name)
    return text


def training_texts(c: Configuration, name: str, figure: Figure) -> dict[str, str]:
    """Return title, note and caption of a figure of training runs."""
    sweeps = shown_sweeps(figure)
    left_out = c.leave_out.get(name, LeaveOut())
    models = _unique(m for s in sweeps for m in s.model)
    datasets = _unique(d for s in sweeps for d in s.dataset)
    rewards = c.algorithm.rewards
    chart = CHARTS[figure.chart]
    trained = chart.reads != "base_policy"
    N = _N_text(c, sweeps)
    different = [
        f"N = {N}." if trained and "(the paper" in N else "",
        _left_out_text(left_out, sweeps),
        named(c, figure.known),
        _controls_text(figure.controls),
        chart.reading,
    ]
    details = [
        "; ".join(dict.fromkeys(f"{c.models[m]}: {_model_text(c, m)}" for m in models))
        + (
            ", trained here from scratch on worked solutions with slips." if models[0] in c.stand_ins else "."
        ),
        "; ".join(f"{c.datasets[d]}: {_dataset_text(c, d)}" for d in datasets) + ".",
        f"Rewards {rewards.correct:+g} and {rewards.wrong:+g} (δV is in these units), "
        f"G = {c.algorithm.group_size}, {c.algorithm.prompts_per_step} prompts per step, "
        f"N = {N}, {c.training.steps} gradient steps, "
        f"AdamW at {_rates_text(c, sweeps)}, loss {c.algorithm.normalisation}. "
        + _seeds_text(figure, left_out)
        if trained
        else "",
        _smoothing_text(c) if figure.panels else "",
        _measures_text(c, figure),
        f"Collapse of a run: {COLLAPSE}."
        if any(MEASURES[p.measure].collapses for p in figure.panels)
        else "",
    ]
    return _texts(named(c, figure.title), different, details)


def bandit_texts(c: Configuration, figure: Figure) -> dict[str, str]:
    """Return title, note and caption of a figure of a bandit experiment."""
    chart = CHARTS[figure.chart]
    settings = getattr(c.bandit, chart.experiment).model_dump()
    rate = f", learning rate {settings['learning_rate']:g}" if "learning_rate" in settings else ""
    own = chart.caption.format(**_facts(settings))
    preface = chart.preface.format(
        **_facts(settings), rate=rate, arms=c.bandit.arms, reward_seed=c.bandit.reward_seed
    )
    return _texts(figure.title, [figure.known, chart.reading], [preface, own])


def _texts(title: str, different: list[str], details: list[str]) -> dict[str, str]:
    """Return title, note (in the picture) and caption (all of it): what is shown, what differs, details."""
    note = " ".join(filter(None, different))
    return {"title": title, "note": note, "caption": " ".join(filter(None, [f"{title}.", note, *details]))}


def _facts(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings for a sentence; for a list its length, its least and its largest value."""
    facts = dict(settings)
    for name, values in settings.items():
        if isinstance(values, list):
            facts |= {name: len(values), f"{name}_least": min(values), f"{name}_most": max(values)}
    return facts


def calibration_texts(c: Configuration) -> dict[str, str]:
    """Return title, note and caption of the calibration figure."""
    k = c.calibration
    different = [
        f"Not in the paper. {c.models[k.model]}, {c.datasets[k.dataset]}. Chosen: the largest rate whose "
        f"final accuracy is at most {k.tolerance:g} below the best.",
        CHARTS["calibration"].reading,
    ]
    own = ", each with a base policy of its own" if k.base_policy == "own" else ""
    details = [
        f"{c.models[k.model]}: {_model_text(c, k.model)}. {c.datasets[k.dataset]}: "
        f"{_dataset_text(c, k.dataset)}. N = {c.training.N.get(k.N, k.N)}, seeds "
        f"{', '.join(map(str, k.seeds))}, which no figure uses{own}. Accuracy on "
        f"{c.evaluation.train_problems} fixed training problems at temperature 1; final: mean over seeds "
        f"and the last three evaluation points. Sweeps over δV have AsymRE's choice at {k.delta_v:g}; "
        "objectives that are compared have each their own. The choices serve all models and data sets."
    ]
    return _texts("Training accuracy by learning rate", different, details)


def architecture_of(c: Configuration, model: str) -> Architecture:
    """Return the shape of a model, be it a stand-in or pretrained."""
    if model in c.pretrained:
        return Architecture(**c.pretrained[model].architecture.model_dump())
    return Architecture(**c.stand_ins[model].decoder(), vocabulary_size=len(SYMBOLS))


def stand_in_text(c: Configuration, model: str) -> str:
    """Return `Llama decoder of 88,256 parameters` and the like."""
    family = {"llama": "Llama", "qwen2": "Qwen2"}[c.stand_ins[model].family]
    return f"{family} decoder of {architecture_of(c, model).parameter_count():,} parameters"


def _model_text(c: Configuration, model: str) -> str:
    if model in c.stand_ins:
        return f"stand-in {stand_in_text(c, model)}"
    source = c.pretrained[model]
    size = f"{architecture_of(c, model).parameter_count() / 1e6:,.0f} million parameters"
    if source.package:
        return f"{size}, the dequantised weights of package {source.package.name}"
    return f"{size}, " + (
        f"local weights {source.folder}" if source.folder else f"{source.hub} at {source.revision[:8]}"
    )


def _dataset_text(c: Configuration, dataset: str) -> str:
    if dataset in c.tasks:
        return f"{'stand-in ' if c.stand_ins else ''}{_task_text(c.tasks[dataset])}"
    data = c.data[dataset]
    sources = [source for source in (data.train, data.source) if source]
    names = ", ".join(source.hub or source.folder for source in sources)
    overlap = {
        "keep": "overlap with the test problems kept, as published",
        "drop": "no overlap with the test problems",
    }
    return f"{data.train_problems:,} training problems of {names} ({overlap[data.overlap or 'drop']})"


def _task_text(task: Task) -> str:
    return load(task.kind)(**task.settings).description()


def _N_text(c: Configuration, sweeps: list[Sweep]) -> str:
    texts = []
    for N in _unique(N for s in sweeps for N in s.N):
        own = steps_a_cycle(c, N)
        if N == "never":
            texts.append(f"never refreshed (the rollouts of {own} steps, reused in epochs)")
        else:
            texts.append(f"{own}" if own == N else f"{own} (the paper: {N})")
    return ", ".join(texts)


def _rates_text(c: Configuration, sweeps: list[Sweep]) -> str:
    if any(set(s.learning_rate) - {"best"} for s in sweeps):
        return "the learning rates shown"
    rates = ", ".join(
        f"{value:g} ({objective}{'' if delta_v is None or rate is None else f' at {delta_v:g}'})"
        for objective, delta_v, rate, value in _unique(
            (objective, delta_v if rate else None, rate, learning_rate(c, objective, delta_v, rate))
            for s in sweeps
            for objective in s.objective
            for delta_v in (s.delta_v if objective in WITH_DELTA_V else [None])
            for rate in s.learning_rate or [None]
        )
    )
    if c.calibration is None:
        return rates
    return f"{rates}, {'each by' if c.calibration.applied else 'not chosen by'} the calibration's rule"


def _seeds_text(figure: Figure, left_out: LeaveOut) -> str:
    panels = [panel.runs or figure.runs for panel in figure.panels] or [figure.runs]
    by_panel = [_listed(i for s in runs for i in s.seeds if i not in left_out.seeds) for runs in panels]
    if len(set(by_panel)) == 1:
        return f"Seeds: {by_panel[0]}."
    return f"Seeds, panel by panel: {'; '.join(by_panel)}."


def _controls_text(controls: list[Sweep]) -> str:
    if not controls:
        return ""
    Ns, seeds = _listed(N for s in controls for N in s.N), _listed(i for s in controls for i in s.seeds)
    return f"Dashed, not in the paper: controls at N = {Ns}, mean over seeds {seeds}."


def _smoothing_text(c: Configuration) -> str:
    t = c.training
    uneven = any(step % t.snapshot_every for step in [*t.extra_snapshots, t.steps])
    if uneven or c.smoothing_window == 1:
        return "Curves are not smoothed."
    return f"Moving average over {c.smoothing_window} evaluation points, centred; the ends as measured."


def _measures_text(c: Configuration, figure: Figure) -> str:
    """Return the sentences of the catalogues on the measures of a figure's panels and on its chart."""
    sampling = c.algorithm.test_sampling.model_dump()
    facts = c.evaluation.model_dump() | sampling | {"collapse": COLLAPSE}
    texts = [MEASURES[m].caption for m in _unique(panel.measure for panel in figure.panels)]
    texts += [CHARTS[figure.chart].caption] if CHARTS[figure.chart].caption else []
    return " ".join(text.format(**facts) for text in texts)


def _left_out_text(left_out: LeaveOut, sweeps: list[Sweep]) -> str:
    """Return what the scale leaves out of these sweeps, which an overlay may have changed."""
    delta_vs = {v for s in sweeps for v in s.delta_v}
    values = ", ".join(f"{v:g}" for v in left_out.delta_v if v in delta_vs)
    seeds = ", ".join(str(i) for i in left_out.seeds if any(i in s.seeds for s in sweeps))
    texts = [f"δV {values}"] if values else []
    texts += [f"seeds {seeds}"] if seeds else []
    return f"Not run at this scale: {' and '.join(texts)}." if texts else ""


def _listed(values) -> str:
    return ", ".join(map(str, _unique(values)))


def _unique(values) -> list:
    return list(dict.fromkeys(values))
