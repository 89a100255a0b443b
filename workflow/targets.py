"""What targets name: figures, the calibration and the tables of claims, with the artefacts behind each."""

from collections.abc import Callable
from typing import Any

from asymre.specs import BanditSpec
from paper.captions import bandit_caption, calibration_caption, training_caption
from paper.configuration.checks import CLAIMED_EXPERIMENTS
from paper.configuration.runs import Run, runs_of, shown_sweeps
from paper.configuration.schema import OBJECTIVES, WITH_DELTA_V, Configuration, Figure, Sweep
from paper.figures.catalogue import CHARTS
from store.artefact import Artefact
from workflow.builder import Builder
from workflow.engines import Engine

# The chart that compares learning rates.
BY_RATE = "regime_map"
# The calibration's figure, in inches.
CALIBRATION_WIDTH, CALIBRATION_ROW, CALIBRATION_COLUMNS = 12.0, 2.8, 4


def figure(b: Builder, engine: Engine, name: str, figure: Figure) -> Artefact:
    """A figure of the configuration, whatever its chart."""
    chart = CHARTS[figure.chart]
    if chart.of == "experiment":
        params, inputs = {}, {"data": _bandit(b, chart.experiment)}
        caption = bandit_caption(b.configuration, figure)
    else:
        params, inputs = (_curves if chart.panels else _values)(b, engine, name, figure)
        caption = training_caption(b.configuration, name, figure)
    frame = {"title": figure.title, "width": figure.width, "height": figure.height}
    return _drawn(b, name, figure.chart, frame | params | {"caption": caption}, inputs)


def _drawn(b: Builder, name: str, chart: str, params: dict[str, Any], inputs: dict) -> Artefact:
    also = (f"paper.figures.{chart}",)
    return b.make("figure", name, {"chart": chart} | params, inputs, script="scripts.plot_figure", also=also)


def _bandit(b: Builder, experiment: str) -> Artefact:
    bandit = b.configuration.bandit
    common = {"arms": bandit.arms, "reward_seed": bandit.reward_seed}
    spec = BanditSpec(experiment, common | getattr(bandit, experiment).model_dump())
    return b.make("bandit", experiment, spec, script="scripts.simulate_bandit")


def _curves(b: Builder, engine: Engine, name: str, figure: Figure) -> tuple[dict, dict[str, Artefact]]:
    """Parameters and inputs of a figure with panels."""
    controls = [run for sweep in figure.controls for run in runs_of(b.configuration, name, sweep)]
    inputs: dict[str, Artefact] = {}
    shown: set[str] = set()

    def curve(run: Run, control: bool) -> dict[str, Any]:
        inputs[run.slug] = engine.evaluation(b, run)
        inputs[f"{run.slug}/training"] = engine.training(b, run)
        shown.add(run.objective)
        return _described(b.configuration, run) | {"control": control}

    panels = []
    for panel in figure.panels:
        runs = [r for sweep in panel.runs or figure.runs for r in runs_of(b.configuration, name, sweep)]
        # A control stands where its own objective is shown.
        own_controls = [r for r in dict.fromkeys(controls) if r.subject in {run.subject for run in runs}]
        panels.append(
            {
                "title": panel.title,
                "measure": panel.measure,
                "draw": panel.draw,
                "curves": [curve(r, False) for r in dict.fromkeys(runs)]
                + [curve(r, True) for r in own_controls],
            }
        )
    params = {
        "panels": panels,
        "smoothing_window": b.configuration.smoothing_window,
        "rewards": b.configuration.algorithm.rewards.model_dump(),
        "objectives": {o: {"label": OBJECTIVES[o].label, "colour": OBJECTIVES[o].colour} for o in shown},
    }
    return params, inputs


def _values(b: Builder, engine: Engine, name: str, figure: Figure) -> tuple[dict, dict[str, Artefact]]:
    """Parameters and inputs of a figure with one value a run and setting, not a curve."""
    runs = [run for sweep in figure.runs for run in runs_of(b.configuration, name, sweep)]
    reads = CHARTS[figure.chart].reads
    of = Builder.base_policy if reads == "base_policy" else getattr(engine, reads)
    params: dict[str, Any] = {
        "runs": [_described(b.configuration, run) | {"task": run.dataset} for run in dict.fromkeys(runs)]
    }
    if reads == "first_cycle":
        params["rewards"] = b.configuration.algorithm.rewards.model_dump()
    return params, {run.slug: of(b, run) for run in runs}


def _described(c: Configuration, run: Run) -> dict[str, Any]:
    """A run for a figure's script; `input` names its evaluation."""
    names = ("objective", "delta_v", "N", "refreshed", "seed", "learning_rate")
    described = {"model": c.models[run.model], "dataset": c.datasets[run.dataset]}
    return {"input": run.slug} | described | {name: getattr(run, name) for name in names}


def calibration_figure(b: Builder, engine: Engine) -> Artefact:
    """The figure of the calibration, behind it the table of what was chosen."""
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

    def described(run: Run) -> dict[str, Any]:
        key = f"{run.slug}_lr{run.learning_rate:.12g}"
        inputs[key] = engine.evaluation(b, run)
        names = ("objective", "delta_v", "learning_rate", "seed")
        return {"input": key} | {name: getattr(run, name) for name in names}

    params = {
        "N": N,
        "tolerance": k.tolerance,
        "runs": [described(run) for run in by_rate],
        "delta_v_runs": [described(run) for run in by_delta_v],
    }
    slug = f"{k.model}_{k.dataset}"
    table = b.make("calibration", slug, params, inputs, script="scripts.choose_learning_rates")
    rows = -(-(len(k.objectives) + 1) // CALIBRATION_COLUMNS)
    frame = {
        "title": "Calibration of the learning rates, and of delta_v",
        "width": CALIBRATION_WIDTH,
        "height": CALIBRATION_ROW * rows,
        "columns": CALIBRATION_COLUMNS,
        "caption": calibration_caption(b.configuration),
    }
    return _drawn(b, "calibration", "calibration", frame, {"table": table})


def claims(b: Builder, engine: Engine) -> dict[str, Artefact]:
    """The tables of claims: of the default figures, of more seeds, and of the figures beyond the paper."""
    c = b.configuration

    def runs_behind(target: str, reads: str, *, by_rate: bool = False) -> list[Run]:
        return [
            run
            for name, figure in c.figures.items()
            if figure.target == target and CHARTS[figure.chart].reads == reads
            if (figure.chart == BY_RATE) == by_rate
            for sweep in shown_sweeps(figure)
            for run in runs_of(c, name, sweep)
            # Else a claim is about runs at the learning rate of the calibration.
            if by_rate or run.own_rate is None
        ]

    def more_runs(sweeps: list[Sweep]) -> list[Run]:
        return [run for sweep in sweeps for run in runs_of(c, "claims", sweep)]

    # The paper's, and not what a further figure compares them with.
    shown = runs_behind("all", "evaluation") + more_runs(c.claims.runs)
    models = {name: label for name, label in c.models.items() if name in {run.model for run in shown}}
    datasets = {name: label for name, label in c.datasets.items() if name in {run.dataset for run in shown}}

    def table(name: str, runs: list[Run], inputs: dict[str, Artefact], more: dict[str, Any]) -> Artefact:
        runs = [run for run in dict.fromkeys(runs) if run.model in models and run.dataset in datasets]
        runs = sorted(runs, key=lambda run: run.slug)
        inputs |= {run.slug: engine.evaluation(b, run) for run in runs}
        params = {
            "table": name,
            "scale": c.scale,
            "models": models,
            "datasets": datasets,
            "rewards": c.algorithm.rewards.model_dump(),
            "main": {"models": sorted(c.claims.models), "dataset": c.claims.dataset},
            "delta_v": c.claims.delta_v,
            "stand_ins": bool(c.stand_ins),
            "runs": [_claimed(c, run) for run in runs],
        }
        return b.make("claims", name, params | more, inputs, script="scripts.check_claims")

    bandits = {f"bandit_{name}": _bandit(b, name) for name in CLAIMED_EXPERIMENTS}
    tables = {"claims": table("claims", shown, bandits, {})}
    if c.claims.seeds:
        tables["claims_seeds"] = table("claims_seeds", more_runs(c.claims.seeds), {}, {})
    beyond = runs_behind("beyond", "evaluation")
    if beyond:
        inputs: dict[str, Artefact] = {}

        def also(name: str, runs: list[Run], evaluated: Callable[[Builder, Run], Artefact]) -> list[dict]:
            runs = sorted(dict.fromkeys(runs), key=lambda run: run.slug)
            inputs.update({f"{run.slug}/{name}": evaluated(b, run) for run in runs})
            return [_claimed(c, run) | {"input": f"{run.slug}/{name}"} for run in runs]

        by_rate = runs_behind("beyond", "evaluation", by_rate=True)
        more = {
            "diversity": also("diversity", runs_behind("beyond", "diversity"), engine.diversity),
            "first_cycle": also("first_cycle", runs_behind("beyond", "first_cycle"), engine.first_cycle),
            "rates": also("rates", by_rate, engine.evaluation),
            # Figure E compares with more than the paper has.
            "models": {name: c.models[name] for name in models | {run.model: 0 for run in by_rate}},
            "datasets": {name: c.datasets[name] for name in datasets | {run.dataset: 0 for run in by_rate}},
            "objectives": {
                o: {"label": OBJECTIVES[o].label, "takes_delta_v": OBJECTIVES[o].takes_delta_v}
                for o in sorted({run.objective for run in beyond})
            },
        }
        tables["claims_beyond"] = table("claims_beyond", beyond, inputs, more)
    return tables


def _claimed(c: Configuration, run: Run) -> dict[str, Any]:
    """A run for the script of the claims, with keys for names."""
    base_seed = run.base_seed
    if base_seed is None:
        base_seed = c.pretraining.seed if c.pretraining else 0
    described = _described(c, run) | {"model": run.model, "dataset": run.dataset}
    return described | {"base_seed": base_seed}
