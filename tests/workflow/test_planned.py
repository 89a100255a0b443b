"""`tests.helpers.planned`, which the tests ask instead of Snakemake, says what Snakemake plans."""

import shutil

import pytest

from tests.helpers import edit, planned, planned_by_snakemake

SWEEP = "model: llama-3b\n        dataset: math\n        objective: asymre\n        delta_v: "


def nothing(clone):
    pass


def much(clone):
    """A title, a delta_v, an objective and a snapshot's evaluation change; a figure and a run are lost."""
    results = clone / "results/smoke"
    paper = clone / "config/paper.yaml"
    edit(paper, 'title: "Training and test accuracy by δV: {llama-8b} on {math}"', "title: Another title")
    edit(paper, f"{SWEEP}*all", f"{SWEEP}[-0.05, -0.5, -0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3]")
    edit(clone / "asymre/objectives/grpo.py", "std_P1 + 1e-4", "std_P1 + 1e-5")
    (results / "figures/figure_02.pdf").unlink()
    shutil.rmtree(next((results / "figure").glob("figure_1-*")))
    (results / "figures/figure_01.png").unlink()


def evaluation(clone):
    edit(clone / "config/scale/smoke.yaml", "test_problems: 16", "test_problems: 12")


def policies(clone):
    edit(clone / "asymre/engines/local/sampling.py", "if top_p < 1:", "if top_p < 0.99:")


def lost(clone):
    shutil.rmtree(clone / "results/smoke/training")
    shutil.rmtree(clone / "results/smoke/rollouts")
    (clone / "results/smoke/figures/figure_03.pdf").unlink()


@pytest.mark.parametrize(
    "change",
    # That Snakemake plans nothing, a fast test of test_smoke.py says, too.
    [much, *(pytest.param(c, marks=pytest.mark.slow) for c in (nothing, evaluation, policies, lost))],
)
def test_the_plan_says_what_snakemake_would_run(change, clone):
    change(clone)
    jobs = planned(clone)
    assert jobs == planned_by_snakemake(clone)
    assert bool(jobs) == (change is not nothing)


@pytest.mark.slow
def test_of_a_single_target_and_of_cycles(clone):
    (clone / "split.yaml").write_text("scale: smoke\nresults: split\ntraining: {cycles_per_job: 1}\n")
    expected = planned_by_snakemake(clone, "figure_13", "--configfile", "split.yaml")
    assert planned(clone, "figure_13", configfile="split.yaml") == expected
