"""The targets: figures, the calibration and the tables of claims, with all upstream artefacts."""

from collections.abc import Callable, Iterable
from typing import Any

from asymre.specs import BanditSpec, Rewards
from paper.captions import bandit_texts, calibration_texts, named, training_texts
from paper.configuration.checks import CLAIMED_EXPERIMENTS
from paper.configuration.runs import Run, runs_of, shown_sweeps
from paper.configuration.schema import OBJECTIVES, WITH_DELTA_V, Configuration, Figure, Sweep
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

# The chart that compares learning rates.
BY_RATE = "regime_map"
# The calibration's figure, in inches.
CALIBRATION_WIDTH, CALIBRATION_ROW, CALIBRATION_COLUMNS = 12.0, 2.8, 4
# Fields of a figure that its chart does not read.
NOTHING: dict[str, Any] = {"panels": (), "runs": (), "objectives": {}}
NOTHING |= {"rewards": None, "smoothing_window": None, "columns": None}


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
    of = Builder.pass_rates if reads == "base_policy" else getattr(engine, reads)
    fields: dict[str, Any] = {"runs": tuple(_shown(b.configuration, run) for run in dict.fromkeys(runs))}
    fields["objectives"] = _looks(run.objective for run in runs)
    if reads == "first_cycle":
        fields["rewards"] = Rewards(**b.configuration.algorithm.rewards.model_dump())
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
    """Return the figure of the calibration, drawn from its table of candidates and choices."""
    k, t = b.configuration.calibration, b.configuration.training
    N = t.N.get(k.N, k.N)
    by_rate = [
        Run(k.model, k.dataset, objective, k.delta_v if objective in WITH_DELTA_V else None, N, seed, rate)
        for objective in k.objectives
        for rate in k.learning_rates
        for seed in k.seeds
    ]
    by_delta_v = [
        Run(k.model, k.dataset, "asymre", delta_v, N, seed, t.learning_rate["asymre"])
        for delta_v in k.delta_v_candidates
        for seed in k.seeds
    ]
    inputs = {}

    def candidate(run: Run) -> Candidate:
        key = f"{run.slug}_lr{run.learning_rate:.12g}"
        inputs[key] = engine.evaluation(b, run)
        return Candidate(key, run.objective, run.delta_v, run.learning_rate, run.seed)

    rates, delta_vs = (tuple(map(candidate, runs)) for runs in (by_rate, by_delta_v))
    spec = CalibrationSpec(N, k.tolerance, rates, delta_vs)
    slug, script = f"{k.model}_{k.dataset}", "scripts.choose_learning_rates"
    table = b.make("calibration", slug, spec, inputs, script=script)
    rows = -(-(len(k.objectives) + 1) // CALIBRATION_COLUMNS)
    figure = FigureSpec(
        chart="calibration",
        width=CALIBRATION_WIDTH,
        height=CALIBRATION_ROW * rows,
        **calibration_texts(b.configuration),
        **NOTHING | {"columns": CALIBRATION_COLUMNS, "objectives": _looks(k.objectives)},
    )
    return _drawn(b, "calibration", figure, {"table": table})


def claims(b: Builder, engine: Engine) -> dict[str, Artefact]:
    """Return the tables of claims: default figures, more seeds, and figures beyond the paper."""
    c = b.configuration

    def runs_of_figures(target: str, reads: str, *, by_rate: bool = False) -> list[Run]:
        return [
            run
            for name, figure in c.figures.items()
            if figure.target == target and CHARTS[figure.chart].reads == reads
            if (figure.chart == BY_RATE) == by_rate
            for sweep in shown_sweeps(figure)
            for run in runs_of(c, name, sweep)
            # Claims other than those by rate are about runs at the calibrated learning rate.
            if by_rate or run.own_rate is None
        ]

    def more_runs(sweeps: list[Sweep]) -> list[Run]:
        return [run for sweep in sweeps for run in runs_of(c, "claims", sweep)]

    # The paper's models and data sets, without those that only further figures add.
    shown = runs_of_figures("all", "evaluation") + more_runs(c.claims.runs)
    models = {name: label for name, label in c.models.items() if name in {run.model for run in shown}}
    datasets = {name: label for name, label in c.datasets.items() if name in {run.dataset for run in shown}}

    def table(name: str, runs: list[Run], inputs: dict[str, Artefact], **fields: Any) -> Artefact:
        runs = [run for run in dict.fromkeys(runs) if run.model in models and run.dataset in datasets]
        runs = sorted(runs, key=lambda run: run.slug)
        inputs |= {run.slug: engine.evaluation(b, run) for run in runs}
        described = {"models": models, "datasets": datasets, "objectives": {}}
        described |= {"diversity": (), "first_cycle": (), "rates": ()}
        spec = ClaimsSpec(
            table=name,
            scale=c.scale,
            rewards=Rewards(**c.algorithm.rewards.model_dump()),
            main_models=tuple(sorted(c.claims.models)),
            main_dataset=c.claims.dataset,
            delta_v=c.claims.delta_v,
            stand_ins=bool(c.stand_ins),
            runs=tuple(_claimed(c, run, run.slug) for run in runs),
            **described | fields,
        )
        return b.make("claims", name, spec, inputs, script="scripts.check_claims")

    bandits = {f"bandit_{name}": _bandit(b, name) for name in CLAIMED_EXPERIMENTS}
    tables = {"claims": table("claims", shown, bandits)}
    if c.claims.seeds:
        tables["claims_seeds"] = table("claims_seeds", more_runs(c.claims.seeds), {})
    beyond = runs_of_figures("beyond", "evaluation")
    if beyond:
        inputs: dict[str, Artefact] = {}

        def also(
            name: str, runs: list[Run], evaluated: Callable[[Builder, Run], Artefact]
        ) -> tuple[ClaimedRun, ...]:
            runs = sorted(dict.fromkeys(runs), key=lambda run: run.slug)
            inputs.update({f"{run.slug}/{name}": evaluated(b, run) for run in runs})
            return tuple(_claimed(c, run, f"{run.slug}/{name}") for run in runs)

        by_rate = runs_of_figures("beyond", "evaluation", by_rate=True)
        tables["claims_beyond"] = table(
            "claims_beyond",
            beyond,
            inputs,
            diversity=also("diversity", runs_of_figures("beyond", "diversity"), engine.diversity),
            first_cycle=also("first_cycle", runs_of_figures("beyond", "first_cycle"), engine.first_cycle),
            rates=also("rates", by_rate, engine.evaluation),
            # Figure E has models and data sets beyond the paper's.
            models={name: c.models[name] for name in models | {run.model: 0 for run in by_rate}},
            datasets={name: c.datasets[name] for name in datasets | {run.dataset: 0 for run in by_rate}},
            objectives={
                o: Compared(OBJECTIVES[o].label, OBJECTIVES[o].takes_delta_v)
                for o in sorted({run.objective for run in beyond})
            },
        )
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
    )
