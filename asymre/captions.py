"""Captions: what was run, on which stand-in, with which settings, and what is not the paper's."""

from asymre.architecture import Architecture
from asymre.runs import shown_sweeps, steps_a_cycle
from asymre.schema import Configuration, Figure, LeaveOut, Sweep, Task
from asymre.tokenizer import VOCABULARY_SIZE

COLLAPSE = (
    "test accuracy below half of its running maximum and below the base policy's, at two evaluation points "
    "in a row; a run whose loss or gradient is no longer finite counts as 0 from there"
)


def training_caption(c: Configuration, name: str, figure: Figure) -> str:
    """Caption of a figure of training curves."""
    sweeps = shown_sweeps(figure)
    left_out = c.leave_out.get(name, LeaveOut())
    models = _unique(m for s in sweeps for m in s.model)
    datasets = _unique(d for s in sweeps for d in s.dataset)
    draws = {panel.draw for panel in figure.panels}
    rewards = c.algorithm.rewards
    band = "Lines: mean over seeds, bands: minimum to maximum. " if "mean" in draws else ""
    if "runs" in draws:
        band += "Where so titled, each line is one run. "
    parts = [
        f"{figure.title}. ",
        "; ".join(f"{c.models[m]}: {_model_text(c, m)}" for m in models),
        ", trained here from scratch on worked solutions with slips. " if models[0] in c.stand_ins else ". ",
        "; ".join(f"{c.datasets[d]}: {_dataset_text(c, d)}" for d in datasets) + ". ",
        f"Rewards {rewards.correct:+g} and {rewards.wrong:+g} (delta_v is in these units), "
        f"G = {c.algorithm.group_size}, {c.algorithm.prompts_per_step} prompts a step, "
        f"N = {_N_text(c, sweeps)}, {c.training.steps} gradient steps, "
        f"AdamW at {_rates_text(c, sweeps)}, loss {c.algorithm.normalisation}. ",
        f"{_seeds_text(figure, left_out)}{band}",
        f"Moving average over {c.smoothing_window} evaluation points, centred, shorter at the ends. "
        if figure.panels
        else "",
        _measures_text(c, figure),
        _left_out_text(left_out, sweeps),
        _controls_text(figure.controls),
        f"Cross: step of collapse ({COLLAPSE}). "
        if any(p.measure == "test_accuracy" for p in figure.panels)
        else "",
        figure.known,
    ]
    return "".join(parts).strip()


def bandit_caption(c: Configuration, figure: Figure) -> str:
    """Caption of a bandit figure."""
    b = c.bandit
    demo = (
        f"{b.arms} arms, rewards uniform on [0, 1], mu = softmax(y/10), pi_0 = mu, "
        f"learning rate {b.learning_rate:g}. Demo instance: numpy RandomState({b.reward_seed}), "
        "not known to be the paper's. "
    )
    own = {
        "limit": f"Expected gradient, {b.steps} steps; sampled: batches of {b.sampled_batch}, "
        f"{len(b.sampled_seeds)} seeds; closed form: Theorem 4.2. {len(b.baselines)} values of V from "
        f"{min(b.baselines):g} to {max(b.baselines):g}. Support of a simulated policy: arms with "
        f"probability above {b.support_threshold:g}. Right: median, 25 to 75 % and 5 to 95 % of "
        f"{b.instances} random instances, V shifted to the same distance from V_mu. ",
        "entropy": f"Entropy in nats after {b.steps} steps of the expected gradient; sampled: batches "
        f"of {b.sampled_batch}, {len(b.sampled_seeds)} seeds; closed form: Theorem 4.2. Right: "
        f"median, 25 to 75 % and 5 to 95 % of {b.instances} random instances. ",
        "improvement": f"{b.iterations} improvement iterations of {b.improvement_steps} steps of the "
        f"expected gradient; red: V close to V_mu. Right: median of {b.instances} random "
        "instances, V shifted to the same distance from V_mu. ",
        "threshold": f"{b.threshold_instances} random instances and the demo; Theorem 4.3 in closed form. "
        "Lines: medians, band: 25 to 75 % of the limit; above V_0 only instances count whose V is below "
        "their V_mu. ",
    }
    return f"{figure.title}. {demo}{own[figure.experiment]}{figure.known}"


def calibration_caption(c: Configuration) -> str:
    """Caption of the calibration figure."""
    k = c.calibration
    return (
        f"Calibration of the learning rates on {c.models[k.model]} (stand-in "
        f"{stand_in_text(c, k.model)}), {c.datasets[k.dataset]} (stand-in "
        f"{_task_text(c.tasks[k.dataset])}), N = {c.training.N.get(k.N, k.N)}, seeds "
        f"{', '.join(map(str, k.seeds))}, which no figure uses. delta_v = {k.delta_v:g} "
        f"where there is one. Accuracy on {c.evaluation.train_problems} fixed training problems at "
        "temperature 1. The rule takes the largest learning rate whose final accuracy (mean over seeds and "
        f"the last three evaluation points) is at most {k.tolerance:g} below that of the best. It sees "
        "one delta_v alone. Last panel: of the delta_v below 0, the claims compare the best one with GRPO, "
        "beside the paper's -0.1. The choices serve all models and data sets."
    )


def stand_in_text(c: Configuration, model: str) -> str:
    """`Llama decoder of 88,256 parameters` and the like."""
    stand_in = c.stand_ins[model]
    family = {"llama": "Llama", "qwen2": "Qwen2"}[stand_in.family]
    architecture = Architecture(**stand_in.model_dump(), vocabulary_size=VOCABULARY_SIZE)
    return f"{family} decoder of {architecture.parameter_count():,} parameters"


def _model_text(c: Configuration, model: str) -> str:
    if model in c.stand_ins:
        return f"stand-in {stand_in_text(c, model)}"
    source = c.pretrained[model]
    return f"local weights {source.folder}" if source.folder else f"{source.hub} at {source.revision[:8]}"


def _dataset_text(c: Configuration, dataset: str) -> str:
    if dataset in c.tasks:
        return f"stand-in {_task_text(c.tasks[dataset])}"
    data = c.data[dataset]
    sources = [source for source in (data.train, data.source) if source]
    names = ", ".join(source.hub or source.folder for source in sources)
    return f"{data.train_problems:,} training problems of {names}"


def _task_text(task: Task) -> str:
    kind = "sums" if task.operators == "+" else "sums and differences"
    return f"{kind} of {task.terms} numbers with written-out steps"


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
    names = _unique(o for s in sweeps for o in s.objective)
    rates = [f"{c.training.learning_rate[name]:g} ({name})" for name in names]
    return ", ".join(rates)


def _seeds_text(figure: Figure, left_out: LeaveOut) -> str:
    panels = [panel.runs or figure.runs for panel in figure.panels] or [figure.runs]
    by_panel = [_listed(i for s in runs for i in s.seeds if i not in left_out.seeds) for runs in panels]
    if len(set(by_panel)) == 1:
        return f"Seeds: {by_panel[0]}. "
    return f"Seeds, panel by panel: {'; '.join(by_panel)}. "


def _controls_text(controls: list[Sweep]) -> str:
    if not controls:
        return ""
    Ns, seeds = _listed(N for s in controls for N in s.N), _listed(i for s in controls for i in s.seeds)
    return f"Thin dashed lines, not in the paper: controls at N = {Ns}, mean over seeds {seeds}. "


def _measures_text(c: Configuration, figure: Figure) -> str:
    e, sampling = c.evaluation, c.algorithm.test_sampling
    texts = {
        "test_accuracy": f"Test accuracy: {e.test_problems} problems at temperature "
        f"{sampling.temperature:g}, top-p {sampling.top_p:g}. ",
        "test_accuracy_temperature_1": f"Test accuracy at temperature 1: {e.test_problems} problems x "
        f"{e.samples} samples. ",
        "train_accuracy": f"Training accuracy: {e.train_problems} fixed training problems x "
        f"{e.samples} samples at temperature 1; step line: share of right answers among the rollouts. ",
        "entropy": "Entropy in nats a token: mean over the tokens sampled at temperature 1 for "
        f"{e.train_problems} fixed training problems. ",
    }
    charts = {
        "curves": "",
        "phase_diagram": f"Left: share of runs that collapse ({COLLAPSE}). Right: test accuracy, mean over "
        f"seeds and the last three evaluation points. {texts['test_accuracy']}",
        "diversity": f"At the end of training, {e.test_problems} test problems x {e.diversity_samples} "
        "samples at temperature 1. pass@k: chance that one of k samples is right. Distinct right completions "
        "among the samples of a problem. Entropy in nats a token. Grey: the base policy. Lines and points: "
        "mean over seeds, bars: minimum to maximum. ",
    }
    measures = "".join(texts[m] for m in _unique(panel.measure for panel in figure.panels))
    return measures + charts[figure.chart]


def _left_out_text(left_out: LeaveOut, sweeps: list[Sweep]) -> str:
    """What the scale leaves out of these sweeps; a sweep that an overlay changed may not hold all of it."""
    delta_vs = {v for s in sweeps for v in s.delta_v}
    values = ", ".join(f"{v:g}" for v in left_out.delta_v if v in delta_vs)
    seeds = ", ".join(str(i) for i in left_out.seeds if any(i in s.seeds for s in sweeps))
    texts = [f"delta_v {values}"] if values else []
    texts += [f"seeds {seeds}"] if seeds else []
    return f"Not run at this scale: {' and '.join(texts)}. " if texts else ""


def _listed(values) -> str:
    return ", ".join(map(str, _unique(values)))


def _unique(values) -> list:
    return list(dict.fromkeys(values))
