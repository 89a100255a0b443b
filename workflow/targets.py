"""The targets: figures, the calibration and the tables of claims, with all upstream artefacts."""

from collections.abc import Iterable
from typing import Any

from asymre.specs import BanditSpec, Rewards
from paper.captions import bandit_texts, calibration_texts, named, training_texts
from paper.configuration.checks import CLAIMED_EXPERIMENTS
from paper.configuration.runs import Run, learning_rate, runs_of, shown_sweeps
from paper.configuration.schema import OBJECTIVES, Configuration, Figure, Sweep
from paper.figures.charts import CHARTS
from paper.specs import (
    CalibrationSpec,
    Candidate,
    ClaimedRun,
    ClaimsSpec,
    Compared,
    Curve,
    FigureSpec,
    Look,
    PanelSpec,
    ShownRun,
)
from store.artefact import Artefact
from workflow.builder import Builder
from workflow.engines import Engine

# The calibration's figure: inches of a panel and of the legend; panels in a row at most.
CALIBRATION_PANEL, CALIBRATION_LEGEND, CALIBRATION_COLUMNS = (2.7, 2.8), 1.2, 4
# Fields of a figure that its chart does not read.
NOTHING: dict[str, Any] = {"panels": (), "runs": (), "objectives": {}}
NOTHING |= {"rewards": None, "group_size": None, "smoothing_window": None, "columns": None}


def figure(b: Builder, engine: Engine, name: str, figure: Figure) -> Artefact:
    """Return a figure of the configuration, whatever its chart."""
    chart = CHARTS[figure.chart]
    size = {"width": figure.width, "height": figure.height}
    if chart.of == "experiment":
        texts = bandit_texts(b.configuration, figure)
        spec = FigureSpec(chart=figure.chart, **texts, **size, **NOTHING)
        return _drawn(b, name, spec, {"data": _bandit(b, chart.experiment)})
    texts = training_texts(b.configuration, name, figure)
    fields, inputs = (_curves if chart.panels else _values)(b, engine, name, figure)
    spec = FigureSpec(chart=figure.chart, **texts, **size, **NOTHING | fields)
    return _drawn(b, name, spec, inputs)


def _drawn(b: Builder, name: str, spec: FigureSpec, inputs: dict[str, Artefact]) -> Artefact:
    also = (f"paper.figures.{spec.chart}",)
    return b.make("figure", name, spec, inputs, script="scripts.plot_figure", also=also)


def _bandit(b: Builder, experiment: str) -> Artefact:
    bandit = b.configuration.bandit
    common = {"arms": bandit.arms, "reward_seed": bandit.reward_seed}
    spec = BanditSpec(experiment, common | getattr(bandit, experiment).model_dump())
    return b.make("bandit", experiment, spec, script="scripts.simulate_bandit")


def _curves(b: Builder, engine: Engine, name: str, figure: Figure) -> tuple[dict, dict[str, Artefact]]:
    """Return the specification's fields and the inputs of a figure with panels."""
    controls = [run for sweep in figure.controls for run in runs_of(b.configuration, name, sweep)]
    inputs: dict[str, Artefact] = {}
    shown: set[str] = set()

    def curve(run: Run, control: bool) -> Curve:
        inputs[run.slug] = engine.evaluation(b, run)
        inputs[f"{run.slug}/training"] = engine.training(b, run)
        shown.add(run.objective)
        return Curve(_shown(b.configuration, run), control)

    panels = []
    for panel in figure.panels:
        runs = [r for sweep in panel.runs or figure.runs for r in runs_of(b.configuration, name, sweep)]
        # A control is drawn only beside runs with the same subject.
        own_controls = [r for r in dict.fromkeys(controls) if r.subject in {run.subject for run in runs}]
        curves = [curve(r, False) for r in dict.fromkeys(runs)] + [curve(r, True) for r in own_controls]
        title = named(b.configuration, panel.title)
        panels.append(PanelSpec(title, panel.measure, panel.draw, tuple(curves)))
    fields = {
        "panels": tuple(panels),
        "smoothing_window": b.configuration.smoothing_window,
        "rewards": Rewards(**b.configuration.algorithm.rewards.model_dump()),
        "objectives": _looks(shown),
    }
    return fields, inputs


def _values(b: Builder, engine: Engine, name: str, figure: Figure) -> tuple[dict, dict[str, Artefact]]:
    """Return the specification's fields and the inputs of a figure with one value per run and setting."""
    runs = [run for sweep in figure.runs for run in runs_of(b.configuration, name, sweep)]
    reads = CHARTS[figure.chart].reads
    fields: dict[str, Any] = {"runs": tuple(_shown(b.configuration, run) for run in dict.fromkeys(runs))}
    fields["objectives"] = _looks(run.objective for run in runs)
    if reads == "training":
        inputs = {run.slug: engine.evaluation(b, run) for run in runs}
        return fields, inputs | {f"{run.slug}/training": engine.training(b, run) for run in runs}
    of = Builder.pass_rates if reads == "base_policy" else getattr(engine, reads)
    if reads == "first_cycle":
        fields["rewards"] = Rewards(**b.configuration.algorithm.rewards.model_dump())
        fields["group_size"] = b.configuration.algorithm.group_size
    return fields, {run.slug: of(b, run) for run in runs}


def _looks(objectives: Iterable[str]) -> dict[str, Look]:
    return {o: Look(OBJECTIVES[o].label, OBJECTIVES[o].colour) for o in objectives}


def _shown(c: Configuration, run: Run) -> ShownRun:
    """Return a run for a figure's script; `input` names its evaluation."""
    return ShownRun(
        input=run.slug,
        model=c.models[run.model],
        dataset=c.datasets[run.dataset],
        task=run.dataset,
        **_settings(run),
    )


def _settings(run: Run) -> dict[str, Any]:
    """Return the fields of a run that every specification of it has."""
    names = ("objective", "delta_v", "N", "refreshed", "seed", "learning_rate")
    return {name: getattr(run, name) for name in names}


def calibration_figure(b: Builder, engine: Engine) -> Artefact:
    """Return the figure of the calibration, drawn from a table of candidates and choices per objective."""
    k, t = b.configuration.calibration, b.configuration.training
    N = t.N.get(k.N, k.N)
    tables = {}
    for objective, values in k.objectives.items():
        inputs = {}
        candidates = []
        sweep = Sweep(
            model=[k.model],
            dataset=[k.dataset],
            objective=[objective],
            delta_v=values,
            N=[k.N],
            seeds=k.seeds,
            learning_rate=k.learning_rates,
            base_policy=k.base_policy,
        )
        for run in runs_of(b.configuration, "calibration", sweep):
            inputs[run.slug] = engine.evaluation(b, run)
            inputs[f"{run.slug}/training"] = engine.training(b, run)
            candidates.append(Candidate(run.slug, run.delta_v, run.learning_rate, run.seed))
        spec = CalibrationSpec(objective, N, k.tolerance, t.gradient_clip, k.applied, tuple(candidates))
        slug, script = f"{k.model}_{k.dataset}_{objective}", "scripts.choose_learning_rates"
        tables[objective] = b.make("calibration", slug, spec, inputs, script=script)
    panels = sum(len(values) or 1 for values in k.objectives.values())
    columns = min(panels, CALIBRATION_COLUMNS)
    figure = FigureSpec(
        chart="calibration",
        width=CALIBRATION_PANEL[0] * columns + CALIBRATION_LEGEND,
        height=CALIBRATION_PANEL[1] * -(-panels // columns),
        **calibration_texts(b.configuration),
        **NOTHING | {"columns": columns, "objectives": _looks(k.objectives)},
    )
    return _drawn(b, "calibration", figure, tables)


def claims(b: Builder, engine: Engine) -> dict[str, Artefact]:
    """Return the tables of claims: default figures, a base policy for each pair, and figure B."""
    c = b.configuration

    def of_sweeps(name: str, sweeps: list[Sweep]) -> list[Run]:
        return [run for sweep in sweeps for run in runs_of(c, name, sweep)]

    def of_figures(target: str, chart: str) -> list[Run]:
        return [
            run
            for name, figure in c.figures.items()
            if figure.target == target and figure.chart == chart
            for run in of_sweeps(name, shown_sweeps(figure))
        ]

    # The paper's models and data sets, without those that only further figures add.
    shown = of_figures("all", "curves")
    models = {name: label for name, label in c.models.items() if name in {run.model for run in shown}}
    datasets = {name: label for name, label in c.datasets.items() if name in {run.dataset for run in shown}}

    def table(name: str, runs: list[Run], inputs: dict[str, Artefact], **fields: Any) -> Artefact:
        runs = [run for run in dict.fromkeys(runs) if run.model in models and run.dataset in datasets]
        runs = sorted(runs, key=lambda run: run.slug)
        inputs |= {run.slug: engine.evaluation(b, run) for run in runs}
        described: dict[str, Any] = {"objectives": {}, "first_cycle": (), "note": ""}
        spec = ClaimsSpec(
            table=name,
            scale=c.scale,
            models=models,
            datasets=datasets,
            rewards=Rewards(**c.algorithm.rewards.model_dump()),
            main_models=tuple(sorted(c.claims.models)),
            main_dataset=c.claims.dataset,
            stand_ins=bool(c.stand_ins),
            runs=tuple(_claimed(c, run, run.slug) for run in runs),
            **described | fields,
        )
        return b.make("claims", name, spec, inputs, script="scripts.check_claims")

    bandits = {f"bandit_{name}": _bandit(b, name) for name in CLAIMED_EXPERIMENTS}
    tables = {"claims": table("claims", shown, bandits)}
    if c.claims.seeds:
        runs = of_sweeps("claims", c.claims.seeds)
        inputs: dict[str, Artefact] = {}
        rare = []
        if c.engine == "local" and c.evaluation.diversity_samples:
            rare = [run for run in dict.fromkeys(runs) if run.N > 1 and (run.delta_v or 0) < 0]
        inputs |= {f"{run.slug}/first_cycle": engine.first_cycle(b, run) for run in rare}
        cycles = tuple(_claimed(c, run, f"{run.slug}/first_cycle") for run in rare)
        tables["claims_seeds"] = table(
            "claims_seeds", runs, inputs, first_cycle=cycles, note=c.claims.seeds_note
        )
    beyond = of_figures("beyond", "curves")
    if beyond:
        shown_objectives = sorted({run.objective for run in beyond})
        compared = {o: Compared(OBJECTIVES[o].label, OBJECTIVES[o].takes_delta_v) for o in shown_objectives}
        tables["claims_beyond"] = table("claims_beyond", beyond, {}, objectives=compared)
    return tables


def _claimed(c: Configuration, run: Run, input: str) -> ClaimedRun:
    """Return a run for the script of the claims; keys identify its model and data set."""
    base_seed = run.base_seed
    if base_seed is None:
        base_seed = c.pretraining.seed if c.pretraining else 0
    return ClaimedRun(
        input=input,
        model=run.model,
        dataset=run.dataset,
        **_settings(run),
        base_seed=base_seed,
        swept=run.own_rate is None,
        best=run.learning_rate == learning_rate(c, run.objective, run.delta_v, "best"),
    )
