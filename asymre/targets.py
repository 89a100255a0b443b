"""What targets name: figures, the calibration and the tables of claims, with the artefacts behind each."""

from typing import Any

from asymre.artefact import Artefact
from asymre.artefacts import Builder
from asymre.captions import bandit_caption, calibration_caption, training_caption
from asymre.runs import Run, runs_of, shown_sweeps
from asymre.schema import WITH_DELTA_V, Configuration, Figure

# What each bandit experiment uses: nothing else of the section can make its results stale.
BANDIT_SETTINGS = {
    "limit": (
        "arms",
        "reward_seed",
        "instances",
        "steps",
        "learning_rate",
        "baselines",
        "support_threshold",
        "sampled_batch",
        "sampled_seeds",
    ),
    "improvement": (
        "arms",
        "reward_seed",
        "instances",
        "improvement_baselines",
        "iterations",
        "improvement_steps",
        "learning_rate",
    ),
    "threshold": ("arms", "reward_seed", "threshold_instances"),
    "theorems": (
        "arms",
        "reward_seed",
        "theorem_instances",
        "iterations",
        "improvement_steps",
        "learning_rate",
    ),
}


def bandit_figure(b: Builder, name: str, figure: Figure) -> Artefact:
    """A figure of a bandit experiment."""
    data = _bandit(b, {"entropy": "limit"}.get(figure.experiment, figure.experiment))
    params = _frame(figure) | {
        "experiment": figure.experiment,
        "caption": bandit_caption(b.configuration, figure),
    }
    return b.make("figure", name, params, {"data": data}, script="plot_bandit.py")


def _bandit(b: Builder, experiment: str) -> Artefact:
    settings = {key: getattr(b.configuration.bandit, key) for key in BANDIT_SETTINGS[experiment]}
    params = {"experiment": experiment, "settings": settings}
    return b.make("bandit", experiment, params, script="simulate_bandit.py")


def training_figure(b: Builder, graph: Any, name: str, figure: Figure) -> Artefact:
    """A figure of training runs."""
    if figure.chart != "curves":
        return _chart(b, graph, name, figure)
    controls = [run for sweep in figure.controls for run in runs_of(b.configuration, name, sweep)]
    inputs: dict[str, Artefact] = {}

    def curve(run: Run, control: bool) -> dict[str, Any]:
        inputs[run.slug] = graph.evaluation(b, run)
        inputs[f"{run.slug}/training"] = graph.training(b, run)
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
    params = _frame(figure) | {
        "panels": panels,
        "smoothing_window": b.configuration.smoothing_window,
        "rewards": b.configuration.algorithm.rewards.model_dump(),
        "caption": training_caption(b.configuration, name, figure),
    }
    return b.make("figure", name, params, inputs, script="plot_training.py")


def _chart(b: Builder, graph: Any, name: str, figure: Figure) -> Artefact:
    """A figure with one value a run and setting, not a curve."""
    runs = [run for sweep in figure.runs for run in runs_of(b.configuration, name, sweep)]
    evaluate = graph.diversity if figure.chart == "diversity" else graph.evaluation
    params = _frame(figure) | {
        "runs": [_described(b.configuration, run) for run in dict.fromkeys(runs)],
        "caption": training_caption(b.configuration, name, figure),
    }
    inputs = {run.slug: evaluate(b, run) for run in runs}
    return b.make("figure", name, params, inputs, script=f"plot_{figure.chart}.py")


def _described(c: Configuration, run: Run) -> dict[str, Any]:
    """A run for a figure's script; `input` names its evaluation."""
    names = ("objective", "delta_v", "N", "refreshed", "seed")
    described = {"model": c.models[run.model], "dataset": c.datasets[run.dataset]}
    return {"input": run.slug} | described | {name: getattr(run, name) for name in names}


def calibration_figure(b: Builder, graph: Any) -> Artefact:
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
        inputs[key] = graph.evaluation(b, run)
        names = ("objective", "delta_v", "learning_rate", "seed")
        return {"input": key} | {name: getattr(run, name) for name in names}

    params = {
        "N": N,
        "tolerance": k.tolerance,
        "runs": [described(run) for run in by_rate],
        "delta_v_runs": [described(run) for run in by_delta_v],
    }
    slug = f"{k.model}_{k.dataset}"
    table = b.make("calibration", slug, params, inputs, script="choose_learning_rates.py")
    return b.make(
        "figure",
        "calibration",
        {"caption": calibration_caption(b.configuration)},
        {"table": table},
        script="plot_calibration.py",
    )


def _frame(figure: Figure) -> dict[str, Any]:
    return {"title": figure.title, "width": figure.width, "height": figure.height}


def claims(b: Builder, graph: Any) -> dict[str, Artefact]:
    """The tables of claims: of the default figures, of more seeds, and of the figures beyond the paper."""
    c = b.configuration

    def runs_behind(target: str, charts: tuple[str, ...]) -> list[Run]:
        return [
            run
            for name, figure in c.figures.items()
            if figure.target == target and figure.chart in charts
            for sweep in shown_sweeps(figure)
            for run in runs_of(c, name, sweep)
        ]

    def table(name: str, runs: list[Run], inputs: dict[str, Artefact], more: dict[str, Any]) -> Artefact:
        runs = sorted(dict.fromkeys(runs), key=lambda run: run.slug)
        inputs |= {run.slug: graph.evaluation(b, run) for run in runs}
        params = {
            "table": name,
            "scale": c.scale,
            "models": c.models,
            "datasets": c.datasets,
            "rewards": c.algorithm.rewards.model_dump(),
            "main": {"models": sorted(c.claims.models), "dataset": c.claims.dataset},
            "delta_v": c.claims.delta_v,
            "stand_ins": bool(c.stand_ins),
            "runs": [_claimed(c, run) for run in runs],
        }
        return b.make("claims", name, params | more, inputs, script="check_claims.py")

    bandits = {f"bandit_{name}": _bandit(b, name) for name in ("theorems", "threshold", "limit")}
    tables = {"claims": table("claims", runs_behind("all", ("curves",)), bandits, {})}
    if c.claims.seeds:
        seeds = [run for sweep in c.claims.seeds for run in runs_of(c, "claims", sweep)]
        tables["claims_seeds"] = table("claims_seeds", seeds, {}, {})
    beyond = runs_behind("beyond", ("curves", "phase_diagram"))
    if beyond:
        diverse = sorted(dict.fromkeys(runs_behind("beyond", ("diversity",))), key=lambda run: run.slug)
        more = {"diversity": [_claimed(c, run) | {"input": f"{run.slug}/diversity"} for run in diverse]}
        inputs = {f"{run.slug}/diversity": graph.diversity(b, run) for run in diverse}
        tables["claims_beyond"] = table("claims_beyond", beyond, inputs, more)
    return tables


def _claimed(c: Configuration, run: Run) -> dict[str, Any]:
    """A run for the script of the claims, with keys for names."""
    base_seed = run.base_seed
    if base_seed is None:
        base_seed = c.pretraining.seed if c.pretraining else 0
    described = _described(c, run) | {"model": run.model, "dataset": run.dataset}
    return described | {"base_seed": base_seed}
