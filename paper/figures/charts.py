"""The charts that a figure can be: one entry each, beside the module of the same name.

A chart's module has `table(spec, read)`, which returns the table that it shows and that is published as
csv, and `draw(data, spec)`, which draws it. The workflow hashes only the module that a figure names.
"""

from dataclasses import dataclass
from typing import Literal

# In what training runs can differ, by its name in a sweep. A chart may fix some: its runs must agree there.
VARYING = ("model", "dataset", "objective", "delta_v", "N", "learning_rate")
CURVES = tuple(name for name in VARYING if name != "learning_rate")


BANDIT = (
    "{arms} arms, rewards uniform on [0, 1], mu = softmax(y/10), pi_0 = mu{rate}. Demo instance: numpy "
    "RandomState({reward_seed}), not known to be the paper's."
)


@dataclass(frozen=True)
class Chart:
    """What a chart draws, and its part of the caption.

    of: runs: training runs; experiment: the table of a bandit experiment; calibration: that of the
    calibration. over: in which of VARYING its runs may differ, besides the seed; it would average over the
    others. panels: several axes, each with a measure drawn against the gradient step; otherwise one value
    per run. reads: what it reads of a run: its evaluation (training: the metrics of its steps too), its
    diversity, its first cycle or its base policy.
    caption: sentences, with names from the configuration's `evaluation` and `bandit.<experiment>` in braces.
    preface: goes before the caption of an experiment, with `arms`, `reward_seed` and `rate`, too. reading:
    how to read the marks; it stands in the picture, too.
    """

    of: Literal["runs", "experiment", "calibration"]
    caption: str = ""
    reading: str = ""
    over: tuple[str, ...] = ()
    panels: bool = False
    reads: Literal["evaluation", "training", "diversity", "first_cycle", "base_policy"] = "evaluation"
    experiment: str = ""
    preface: str = BANDIT


CHARTS = {
    "curves": Chart(
        of="runs",
        over=CURVES,
        panels=True,
        reading="Thick: mean over seeds; thin: runs. Numbers: mean of the last three evaluations.",
    ),
    "phase_diagram": Chart(
        of="runs",
        over=("delta_v", "N"),
        caption="Left: share of runs that collapse ({collapse}). Right: test accuracy, mean over seeds and "
        "the last three evaluation points. Test accuracy: {test_problems} problems at temperature "
        "{temperature:g}, top-p {top_p:g}.",
    ),
    "regime_map": Chart(
        of="runs",
        over=("model", "dataset", "objective", "delta_v", "learning_rate"),
        caption="Test accuracy, mean over seeds: of the first cycle (area under the curve) and at the end "
        "(last three evaluation points); {test_problems} problems at temperature {temperature:g}, top-p "
        "{top_p:g}. Collapse of a run: {collapse}.",
        reading="\N{MULTIPLICATION SIGN}: half of the runs or more collapse. Above a map of the end: the δV "
        "below 0 that ends lowest, and at how many of the learning rates.",
    ),
    "diversity": Chart(
        of="runs",
        over=("delta_v",),
        reads="diversity",
        caption="At the end of training, {test_problems} test problems x {diversity_samples} samples at "
        "temperature 1. pass@k: chance that one of k samples is correct. Distinct correct completions among "
        "the samples of a problem. Entropy in nats per token.",
        reading="Lines and points: mean over seeds, bars: minimum to maximum.",
    ),
    "pass_rates": Chart(
        of="runs",
        over=("model", "dataset"),
        reads="base_policy",
        caption="Pass rate of a problem: share of correct answers among 16 samples of the base policy at "
        "temperature 1, for 400 problems that no run sees.",
    ),
    "first_cycle": Chart(
        of="runs",
        over=("delta_v",),
        reads="first_cycle",
        caption="Pass rate of a problem: share of correct answers among {diversity_samples} samples at "
        "temperature 1, for {train_problems} training problems, before the first cycle and at its end. "
        "Means are over problems with about the same pass rate before. Theorem 4.2 for a prompt: min(1, p + "
        "g p (1 - p) (G - 1) / (G |δV|)), g the difference of the rewards, for converged cycles and prompts "
        "that share nothing; here a problem is in one step of the cycle or in none.",
        reading="Small points: a problem of a run. Black: mean over problems, bars: minimum to maximum over "
        "seeds.",
    ),
    "mechanism": Chart(
        of="runs",
        over=("model", "dataset", "objective", "delta_v", "learning_rate"),
        reads="training",
        caption="KL(mu || pi) a token and the effective sample size of the ratios of whole completions, as a "
        "share of the batch: mean over the last tenth of each cycle. Final test accuracy: mean of the last "
        "three evaluation points, {test_problems} problems at temperature {temperature:g}, top-p {top_p:g}. "
        "Errors: answers to {train_problems} fixed training problems x {samples} samples at temperature 1; "
        "in the stand-ins' tasks ten too low is the slip of the worked solutions.",
        reading="Points: runs; bars: medians, of final accuracy means. Lower row: the white share is right.",
    ),
    "bandit_limit": Chart(
        of="experiment",
        experiment="limit",
        caption="Expected gradient, {steps} steps; sampled: batches of {sampled_batch}, {sampled_seeds} "
        "seeds; closed form: Theorem 4.2. {baselines} values of V from {baselines_least:g} to "
        "{baselines_most:g}. Support of a simulated policy: arms with probability above "
        "{support_threshold:g}. Right: median, 25 to 75 % and 5 to 95 % of {instances} random instances, V "
        "at the same distances from V_mu.",
    ),
    "bandit_entropy": Chart(
        of="experiment",
        experiment="limit",
        caption="Entropy in nats after {steps} steps of the expected gradient; sampled: batches of "
        "{sampled_batch}, {sampled_seeds} seeds; closed form: Theorem 4.2. Right: median, 25 to 75 % and 5 "
        "to 95 % of {instances} random instances.",
    ),
    "bandit_improvement": Chart(
        of="experiment",
        experiment="improvement",
        caption="{iterations} improvement iterations of {steps} steps of the expected gradient; red: V close "
        "to V_mu. Right: median of {instances} random instances, V shifted to the same distance from V_mu.",
    ),
    "bandit_prompts": Chart(
        of="experiment",
        experiment="prompts",
        preface="{prompts} prompts that share nothing, each a softmax policy over {answers} answers, half of "
        "them correct, rewards -1 and 1{rate}.",
        caption="Pass rates are drawn from Beta({alpha:g}, {beta:g}). A cycle: {steps} steps, each on "
        "G = {group_size} samples of every prompt from the frozen policy, of which V_mu is the mean. Left: "
        "pass rate after the first cycle against that before it, and Theorem 4.2 for a prompt: "
        "min(1, p + 2 p (1 - p) (G - 1) / (G |δV|)), which {steps} steps do not reach where successes are "
        "rare. Middle: mean pass rate by cycle. Right: entropy of a prompt's answers in the first cycle, "
        "mean over prompts: the larger δV, the faster it falls.",
        reading="Points: simulated prompts; lines: the theorem, for a cycle that has converged.",
    ),
    "bandit_threshold": Chart(
        of="experiment",
        experiment="threshold",
        caption="{instances} random instances and the demo; Theorem 4.3 in closed form. Lines: medians, "
        "band: 25 to 75 % of the limit; above V_0 only instances count whose V is below their V_mu.",
    ),
    "calibration": Chart(of="calibration", reading="Lines: mean over seeds, bars: minimum to maximum."),
}
