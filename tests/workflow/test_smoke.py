"""The workflow end to end at smoke scale, and what it rebuilds afterwards. Every sentence of the README's
"only what is stale" is one test here.

What would run is asked of the plan; test_planned.py proves that Snakemake plans the same.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from paper.published import PUBLISHED, PUBLISHED_CLAIMS, stem
from store.artefact import identify
from tests.helpers import (
    SMOKE,
    SOURCES,
    assert_same_files,
    by_hand,
    call,
    copy_sources,
    edit,
    finish,
    planned,
    planned_by_snakemake,
    snakemake,
)
from tools import archive, verify


def test_smoke_run_makes_all_figures(finished):
    figures = finished / "results/smoke/figures"
    for number in range(1, 14):
        for suffix in PUBLISHED:
            file = figures / f"figure_{number:02d}.{suffix}"
            assert file.stat().st_size > 50, file
    assert (finished / "results/smoke/configuration.yaml").is_file()
    assert 10 < len(trainings(finished)) <= 25
    assert all((finished / "results/smoke" / path).is_dir() for path in trainings(finished))
    for suffix in PUBLISHED_CLAIMS:
        text = (finished / f"results/smoke/claims.{suffix}").read_text()
        assert "not decided by these runs" in text and ("Theorem 4.2" in text) == (suffix != "rst")


def trainings(folder: Path, words: str = "") -> set[str]:
    """Paths of the trainings of the default figures whose rows of runs.csv hold these words."""
    rows = (folder / "results/smoke/runs.csv").read_text().splitlines()[1:]
    beyond = ("figure_A,", "figure_B,", "figure_C,", "figure_H,")
    return {row.split(",")[-2] for row in rows if words in row and not row.startswith(beyond)}


def evaluations(folder: Path) -> set[str]:
    """Paths of the evaluations of all runs."""
    rows = (folder / "results/smoke/runs.csv").read_text().splitlines()[1:]
    return {row.split(",")[-1] for row in rows}


def test_touching_every_source_file_plans_nothing(clone):
    for name in SOURCES:
        for path in [clone / name, *(clone / name).rglob("*")]:
            path.touch()
    assert planned_by_snakemake(clone) == planned(clone) == {}


def test_comments_docstrings_and_key_order_plan_nothing(clone):
    edit(clone / "asymre/engines/local/decoder.py", "def forward(", "# a comment\ndef forward(")
    edit(clone / "asymre/training/loop.py", '"""', '"""Another docstring. ')
    edit(clone / "paper/figures/curves.py", '"""', '"""Another docstring. ')
    edit(clone / "config/paper.yaml", "{correct: 1, wrong: -1}", "{wrong: -1, correct: 1}")
    assert planned(clone) == {}


@pytest.mark.slow
def test_results_copied_without_times_plan_nothing(finished, tmp_path):
    """A plain copy without .snakemake, in which every time is new."""
    other = copy_sources(tmp_path / "without_times")
    shutil.copytree(finished / "results", other / "results", copy_function=shutil.copyfile)
    assert planned_by_snakemake(other) == {}


# How results are made: by the scripts alone, or, ten times as slow, by Snakemake.
WAYS = ["scripts", pytest.param("snakemake", marks=pytest.mark.slow)]


def make(clone: Path, how: str, configfile: str | None, target: str) -> None:
    if how == "scripts":
        finish(clone, configfile or "smoke", target)
    else:
        chosen = ("--configfile", configfile) if configfile else SMOKE
        snakemake(clone, target, *chosen)
        assert planned_by_snakemake(clone, target, *chosen) == {}


@pytest.mark.slow
@pytest.mark.parametrize("how", WAYS)
def test_going_back_to_an_old_value_plans_nothing_but_publishing(clone, how):
    paper = clone / "config/paper.yaml"
    original = paper.read_text()
    before = (clone / "results/smoke/figures/figure_03.png").read_bytes()
    edit(paper, 'title: "Training and test accuracy by δV: {llama-8b} on {math}"', "title: Another title")
    assert planned(clone) == {"plot_figure": 1, "figure_3": 1, "save_configuration": 1}
    make(clone, how, None, "figure_3")
    assert planned(clone) == {}
    assert (clone / "results/smoke/figures/figure_03.png").read_bytes() != before
    paper.write_text(original)
    assert planned(clone) == {"figure_3": 1, "save_configuration": 1}
    make(clone, how, None, "figure_3")
    assert (clone / "results/smoke/figures/figure_03.png").read_bytes() == before


def test_one_more_delta_v_adds_its_own_jobs(clone):
    edit(
        clone / "config/paper.yaml",
        "model: llama-3b\n        dataset: math\n        objective: asymre\n        delta_v: *all",
        "model: llama-3b\n        dataset: math\n        objective: asymre\n"
        "        delta_v: [-0.05, -0.5, -0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3]",
    )
    assert planned(clone) == {
        "train_policy": 1,
        "evaluate_policy": 1,
        "plot_figure": 1,
        "figure_9": 1,
        "check_claims": 1,
        "claims": 1,
        "save_configuration": 1,
    }


def test_one_more_seed_adds_its_own_jobs(clone):
    smoke = clone / "config/scale/smoke.yaml"
    left_out = "figure_9: {delta_v: [-0.5, -0.3, -0.2, 0.1, 0.2, 0.3], seeds: "
    edit(smoke, left_out + "[1, 2]}", left_out + "[2]}")
    assert planned(clone) == {
        "sample_rollouts": 1,
        "train_policy": 2,
        "evaluate_policy": 2,
        "plot_figure": 1,
        "figure_9": 1,
        "check_claims": 1,
        "claims": 1,
        "save_configuration": 1,
    }


def test_a_changed_objective_retrains_its_own_runs(clone):
    grpo = trainings(clone, ",grpo,")
    edit(clone / "asymre/objectives/grpo.py", "std_P1 + 1e-4", "std_P1 + 1e-5")
    assert planned(clone) == {
        "train_policy": len(grpo),
        "evaluate_policy": len(grpo),
        "plot_figure": 2,
        "figure_5": 1,
        "figure_13": 1,
        "check_claims": 1,
        "claims": 1,
        "save_configuration": 1,
    }


def test_a_changed_evaluation_retrains_nothing(clone):
    edit(clone / "config/scale/smoke.yaml", "test_problems: 16", "test_problems: 12")
    jobs = planned(clone)
    assert jobs["evaluate_policy"] > 10
    assert not {"train_policy", "sample_rollouts", "make_base_policy", "simulate_bandit"} & set(jobs)


def test_results_of_other_code_are_never_used(clone):
    runs = trainings(clone)
    decoder = clone / "asymre/engines/local/decoder.py"
    edit(decoder, "return functional.linear(hidden_BTC", "return 2 * functional.linear(hidden_BTC")
    jobs = planned(clone)
    assert jobs["train_policy"] == jobs["evaluate_policy"] == len(runs)
    assert jobs["make_base_policy"] == 3
    assert "simulate_bandit" not in jobs and "make_problems" not in jobs


def test_a_deleted_result_is_rebuilt_without_what_it_rests_on(clone):
    shutil.rmtree(next((clone / "results/smoke/evaluation").iterdir()))
    shutil.rmtree(clone / "results/smoke/training")
    assert planned(clone) == {}, "published figures need nothing that lies behind them"
    (clone / "results/smoke/figures/figure_03.pdf").unlink()
    assert planned(clone) == {"figure_3": 1}


def moved_away(clone: Path, kind: str) -> tuple[Path, Path]:
    """Move the first artefact of a kind away; the old folder and the path of the new one."""
    new = sorted(p for p in (clone / "results/smoke" / kind).iterdir() if (p / "spec.json").is_file())[0]
    old = clone / "old" / new.name
    old.parent.mkdir(exist_ok=True)
    shutil.move(new, old)
    return old, new


SCRIPTS = {
    "bandit": "simulate_bandit.py",
    "problems": "make_problems_task.py",
    "base_policy": "make_base_policy_stand_in.py",
    "rollouts": "sample_rollouts_local.py",
    "training": "train_policy_local.py",
    "evaluation": "evaluate_policy_local.py",
}


@pytest.mark.slow
def test_snakemake_makes_the_same_bytes_as_the_scripts_alone(finished, tmp_path):
    """The whole run, every artefact, stamp and published file."""
    folder = copy_sources(tmp_path / "clone")
    snakemake(folder, *SMOKE)
    assert planned_by_snakemake(folder) == {}
    for kind in (path.name for path in (finished / "results/smoke").iterdir() if path.is_dir()):
        if kind != "logs":
            assert_same_files(finished / "results/smoke" / kind, folder / "results/smoke" / kind)


@pytest.mark.slow
def test_snakemake_trains_a_lost_run_again_to_the_same_bytes(finished, clone):
    results = clone / "results/smoke"
    (training,) = sorted(trainings(clone, "figure_13,"))[:1]
    lost = [training, training.replace("training/", "evaluation/", 1)]
    lost[1] = next(path for path in evaluations(clone) if Path(path).name.startswith(lost[1][11:-10]))
    lost += [f"figure/{next((results / 'figure').glob('figure_13-*')).name}", "figures/figure_13.csv"]
    for path in lost:
        shutil.rmtree(results / path) if (results / path).is_dir() else (results / path).unlink()
    snakemake(clone, "figure_13", *SMOKE)
    for path in lost[:-1]:
        assert_same_files(finished / "results/smoke" / path, results / path)
    assert_same_files(finished / "results/smoke/figures", results / "figures")


@pytest.mark.parametrize(
    "kind", ["bandit", *(pytest.param(kind, marks=pytest.mark.slow) for kind in list(SCRIPTS)[1:])]
)
def test_a_script_run_by_hand_makes_the_same_bytes(clone, kind):
    old, new = moved_away(clone, kind)
    done = by_hand(clone, SCRIPTS[kind], old / "spec.json", new)
    assert done.returncode == 0, done.stdout
    assert_same_files(old, new)


@pytest.mark.slow
@pytest.mark.parametrize("figure", ["figure_5", "figure_1"])
def test_figure_scripts_run_by_hand_make_the_same_bytes(clone, figure):
    results = clone / "results/smoke"
    folder = next((results / "figure").glob(f"{figure}-*"))
    old = clone / "old" / folder.name
    shutil.copytree(folder, old)
    shutil.rmtree(folder)
    done = by_hand(clone, "plot_figure.py", old / "spec.json", folder)
    assert done.returncode == 0, done.stdout
    assert_same_files(old, folder)
    stamp = next((results / ".stamps").glob(f"{figure}-*"))
    pdf = results / f"figures/{stem(figure)}.pdf"
    pdf.unlink()
    done = by_hand(clone, "publish.py", f"results/smoke/figure/{stamp.name}", stem(figure), stamp)
    assert done.returncode == 0 and pdf.is_file(), done.stdout


SPLIT = """
scale: smoke
results: split
figures:
  figure_5: {panels: [{title: t, measure: test_accuracy, runs: [RUN]}], runs: [], controls: []}
leave_out: {figure_5: {}}
"""
RUN = "{model: llama-8b, dataset: math, objective: OBJECTIVES, delta_v: -0.1, N: 250, seeds: 0}"


@pytest.mark.slow
@pytest.mark.parametrize(("how", "objectives"), [("scripts", ["asymre"]), ("snakemake", ["asymre", "grpo"])])
def test_one_job_a_cycle_gives_the_same_bytes_as_one_job_a_run(finished, clone, how, objectives):
    split = SPLIT.replace("RUN", RUN.replace("OBJECTIVES", f"[{', '.join(objectives)}]"))
    (clone / "split.yaml").write_text(f"{split}training: {{cycles_per_job: 1}}\n")
    for kind in ("base_policy", "problems"):
        shutil.copytree(finished / "results/smoke" / kind, clone / "results/split" / kind)
    jobs = planned(clone, "figure_5", configfile="split.yaml")
    assert jobs["train_cycles"] == 2 * jobs["train_policy"] == 2 * len(objectives)
    make(clone, how, "split.yaml", "figure_5")
    assert planned(clone, "figure_5", configfile="split.yaml") == {}
    for folder in (clone / "results/split/training").iterdir():
        # The record says what was read, here the cycles.
        assert_same_files(finished / "results/smoke/training" / folder.name, folder, but=("spec.json",))
        read = json.loads((folder / "spec.json").read_text())["made"]["inputs"]
        assert len(read) == 2 and all(path.startswith("cycles/") for path in read)
    # The choice is in no id: with the pieces gone, the runs are still the runs.
    shutil.rmtree(clone / "results/split/cycles")
    (clone / "split.yaml").write_text(split)
    assert planned(clone, "figure_5", configfile="split.yaml") == {}


def pack(folder: Path) -> tuple[int, str]:
    return call(archive.main, folder, "--scale", "smoke")


@pytest.mark.slow
def test_a_clone_plus_the_archive_plans_nothing(clone, tmp_path):
    results = clone / "results/smoke"
    stray = results / "training/somebody_else-0123456789"
    stray.mkdir()
    code, output = pack(clone)
    assert code == 0 and "artefacts and published results" in output, output
    packed = (clone / "results/smoke.tar").read_bytes()
    other = copy_sources(tmp_path / "other")
    subprocess.run(["tar", "-xf", clone / "results/smoke.tar"], cwd=other, check=True)
    assert planned(other) == {}
    stray.rmdir()
    for folder in results.glob("*/*-*"):
        assert_same_files(folder, other / folder.relative_to(clone))
    assert call(verify.main, other, "--scale", "smoke")[0] == 0
    # Names and content alone: from the extracted copy come the same bytes.
    assert pack(other)[0] == 0 and (other / "results/smoke.tar").read_bytes() == packed
    assert not list((clone / "results").glob(".*.partial"))


def test_an_archive_of_damaged_or_missing_results_is_refused(clone):
    results = clone / "results/smoke"
    (results / "figures/figure_03.pdf").unlink()
    stamp = next((results / ".stamps").glob("figure_5-*"))
    stamp.unlink()
    weights = next((results / "base_policy").glob("*/model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    code, output = pack(clone)
    assert code == 1 and "3 findings, nothing packed" in output, output
    assert "results/smoke/figures/figure_03.pdf: missing" in output
    assert f"results/smoke/.stamps/{stamp.name}: missing" in output
    assert f"{weights.relative_to(clone)}: truncated" in output
    assert not list((clone / "results").glob("*tar*"))


def test_calibration_is_planned(clone):
    jobs = planned(clone, "calibration")
    assert jobs["train_policy"] == 6 and jobs["choose_learning_rates"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("how", WAYS)
def test_calibration_target(clone, how):
    make(clone, how, None, "calibration")
    table = (clone / "results/smoke/figures/calibration.csv").read_text()
    assert table.startswith("objective,delta_v,learning_rate,seed,step,accuracy,kl_behaviour,final_accuracy,")


def test_other_packages_than_the_pinned_are_refused(clone):
    old, new = moved_away(clone, "training")
    spec = json.loads((old / "spec.json").read_text())
    spec["packages"]["torch"] = "1.0.0"
    (clone / "spec.json").write_text(json.dumps(spec))
    done = by_hand(clone, "train_policy_local.py", clone / "spec.json", new.with_name(identify(spec)))
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert "the pinned version is 1.0.0" in done.stdout and "make setup" in done.stdout


def test_code_edited_since_the_plan_is_refused(clone):
    old, new = moved_away(clone, "training")
    edit(clone / "asymre/engines/local/sampling.py", "if top_p < 1:", "if top_p < 0.99:")
    done = by_hand(clone, "train_policy_local.py", old / "spec.json", new)
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert "asymre.engines.local.sampling changed" in done.stdout and not new.exists()


def test_a_specification_of_another_id_is_refused(clone):
    old, new = moved_away(clone, "training")
    done = by_hand(clone, "train_policy_local.py", old / "spec.json", new.with_name("other-0123456789"))
    assert done.returncode != 0 and old.name in done.stdout and "Traceback" not in done.stdout
