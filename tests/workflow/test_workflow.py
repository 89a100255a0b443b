"""The workflow end to end at smoke scale, and what it rebuilds afterwards. Every sentence of the README's
"only what is stale" is one test here."""

import filecmp
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from paper.published import PUBLISHED, PUBLISHED_CLAIMS
from store.artefact import identify

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ["Snakefile", "rules", "scripts", "tools", "asymre", "config", "envs", "profiles", "docs"]
SOURCES += ["requirements.txt"]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--cores", "2"]


def copy_sources(target: Path) -> Path:
    target.mkdir(parents=True)
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "gallery")
            shutil.copytree(source, target / name, ignore=ignore)
        else:
            shutil.copy(source, target / name)
    return target


def snakemake(folder: Path, *arguments: str, check: bool = True) -> str:
    # Each call has a cache folder of its own: a test must not depend on the user's.
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / ".cache"), "COLUMNS": "200"}
    done = subprocess.run(
        [*SNAKEMAKE, *arguments],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert not check or done.returncode == 0, done.stdout
    return done.stdout


def planned(folder: Path, *arguments: str) -> dict[str, int]:
    """Number of planned jobs by rule, without the collecting target."""
    output = snakemake(folder, "-n", *(arguments or ("--config", "scale=smoke")))
    jobs = counts(output)
    assert jobs or "Nothing to be done" in output, output
    jobs.pop("all", None)
    return jobs


def counts(output: str) -> dict[str, int]:
    """The number of jobs by rule from Snakemake's table of them."""
    jobs = {
        name.replace(" ", "_"): int(n) for name, n in re.findall(r"^ (\w[\w ]*?) {2,}(\d+) *$", output, re.M)
    }
    assert jobs.pop("total", 0) == sum(jobs.values())
    return jobs


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def clone(finished, tmp_path) -> Path:
    """A copy of the sources beside a plain copy of the finished results, without .snakemake."""
    folder = copy_sources(tmp_path / "clone")
    shutil.copytree(finished / "results", folder / "results")
    return folder


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
    beyond = ("figure_A,", "figure_B,", "figure_C,")
    return {row.split(",")[-2] for row in rows if words in row and not row.startswith(beyond)}


def test_nothing_is_planned_after_a_finished_run(finished):
    assert planned(finished) == {}


def test_touching_every_source_file_plans_nothing(finished):
    for name in SOURCES:
        for path in [finished / name, *(finished / name).rglob("*")]:
            path.touch()
    assert planned(finished) == {}


def test_comments_docstrings_and_key_order_plan_nothing(clone):
    edit(clone / "asymre/engines/local/decoder.py", "def forward(", "# a comment\ndef forward(")
    edit(clone / "asymre/training/loop.py", '"""', '"""Another docstring. ')
    edit(clone / "paper/figures/curves.py", '"""', '"""Another docstring. ')
    edit(clone / "config/paper.yaml", "{correct: 1, wrong: -1}", "{wrong: -1, correct: 1}")
    assert planned(clone) == {}


def test_a_copy_of_results_in_a_fresh_clone_plans_nothing(finished, clone, tmp_path):
    assert planned(clone) == {}  # copytree keeps times; .snakemake is not there
    other = copy_sources(tmp_path / "without_times")
    shutil.copytree(finished / "results", other / "results", copy_function=shutil.copyfile)
    assert planned(other) == {}
    shutil.copytree(finished / ".snakemake", other / ".snakemake", dirs_exist_ok=True)
    assert planned(other) == {}


def test_going_back_to_an_old_value_plans_nothing_but_publishing(clone):
    paper = clone / "config/paper.yaml"
    original = paper.read_text()
    before = (clone / "results/smoke/figures/figure_03.png").read_bytes()
    edit(paper, "title: Llama 8B on MATH, training and test accuracy", "title: Another title, accuracy")
    assert planned(clone) == {"plot_figure": 1, "figure_3": 1, "save_configuration": 1}
    snakemake(clone, "--config", "scale=smoke")
    assert planned(clone) == {}
    assert (clone / "results/smoke/figures/figure_03.png").read_bytes() != before
    paper.write_text(original)
    assert planned(clone) == {"figure_3": 1, "save_configuration": 1}
    snakemake(clone, "--config", "scale=smoke")
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
    edit(clone / "asymre/engines/local/decoder.py", "return functional.linear(hidden_BTC, head), new_cache",
         "return 2 * functional.linear(hidden_BTC, head), new_cache")  # fmt: skip
    jobs = planned(clone)
    assert jobs["train_policy"] == jobs["evaluate_policy"] == len(runs)
    assert jobs["make_base_policy"] == 3
    assert "simulate_bandit" not in jobs and "make_problems" not in jobs


def test_a_deleted_result_is_made_again_without_what_it_rests_on(clone):
    shutil.rmtree(next((clone / "results/smoke/evaluation").iterdir()))
    shutil.rmtree(clone / "results/smoke/training")
    assert planned(clone) == {}, "published figures need nothing that lies behind them"
    (clone / "results/smoke/figures/figure_03.pdf").unlink()
    assert planned(clone) == {"figure_3": 1}


def remade(clone: Path, kind: str) -> tuple[Path, Path]:
    """Move the first artefact of a kind away; the old folder and the path of the new one."""
    new = sorted(p for p in (clone / "results/smoke" / kind).iterdir() if (p / "spec.json").is_file())[0]
    old = clone / "old" / new.name
    old.parent.mkdir(exist_ok=True)
    shutil.move(new, old)
    return old, new


def by_hand(clone: Path, script: str, *arguments) -> subprocess.CompletedProcess:
    return command(clone, clone / "scripts" / script, *arguments)


def tool(clone: Path, name: str, *arguments) -> subprocess.CompletedProcess:
    """One of people's commands, as the Makefile calls it."""
    return command(clone, "-m", f"tools.{name}", *arguments)


def command(clone: Path, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=clone,
        env=os.environ | {"PYTHONPATH": str(clone)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


SCRIPTS = {
    "bandit": "simulate_bandit.py",
    "problems": "make_problems_task.py",
    "base_policy": "make_base_policy_stand_in.py",
    "rollouts": "sample_rollouts_local.py",
    "training": "train_policy_local.py",
    "evaluation": "evaluate_policy_local.py",
}


@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_script_run_by_hand_makes_the_same_bytes(clone, kind):
    old, new = remade(clone, kind)
    done = by_hand(clone, SCRIPTS[kind], old / "spec.json", new)
    assert done.returncode == 0, done.stdout
    assert_same_files(old, new)


def test_figure_scripts_run_by_hand_make_the_same_bytes(clone):
    for folder in sorted((clone / "results/smoke/figure").iterdir()):
        if folder.name.startswith(("figure_1-", "figure_5-")):
            old = clone / "old" / folder.name
            shutil.copytree(folder, old)
            shutil.rmtree(folder)
            done = by_hand(clone, "plot_figure.py", old / "spec.json", folder)
            assert done.returncode == 0, done.stdout
            assert_same_files(old, folder)
    published = clone / "results/smoke/figures"
    marker = next((published / ".current").glob("figure_5-*"))
    (published / "figure_05.pdf").unlink()
    done = by_hand(clone, "publish.py", f"results/smoke/figure/{marker.name}", "figure_05", marker)
    assert done.returncode == 0 and (published / "figure_05.pdf").is_file(), done.stdout


def assert_same_files(old: Path, new: Path, but: tuple[str, ...] = ()) -> None:
    names, new_names = (
        {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        - {".snakemake_timestamp", *but}
        for folder in (old, new)
    )
    assert names == new_names
    _, different, errors = filecmp.cmpfiles(old, new, names, shallow=False)
    assert not different and not errors


def test_one_job_a_cycle_gives_the_same_bytes_as_one_job_a_run(finished, clone, tmp_path):
    (clone / "split.yaml").write_text("scale: smoke\nresults: split\ntraining: {cycles_per_job: 1}\n")
    jobs = planned(clone, "figure_13", "--configfile", "split.yaml")
    assert jobs["train_cycles"] == 2 * jobs["train_policy"]
    snakemake(clone, "figure_13", "--configfile", "split.yaml")
    assert planned(clone, "figure_13", "--configfile", "split.yaml") == {}
    for folder in (clone / "results/split/training").iterdir():
        # The record says what was read, here the cycles.
        assert_same_files(finished / "results/smoke/training" / folder.name, folder, but=("spec.json",))
        read = json.loads((folder / "spec.json").read_text())["made"]["inputs"]
        assert len(read) == 2 and all(path.startswith("cycles/") for path in read)
    # The choice is in no id: with the pieces gone, the runs are still the runs.
    shutil.rmtree(clone / "results/split/cycles")
    (clone / "split.yaml").write_text("scale: smoke\nresults: split\n")
    assert planned(clone, "figure_13", "--configfile", "split.yaml") == {}


def archive(clone: Path) -> tuple[int, str]:
    done = tool(clone, "archive", "--scale", "smoke")
    return done.returncode, done.stdout


def test_a_clone_plus_the_archive_plans_nothing(clone, tmp_path):
    results = clone / "results/smoke"
    stray = results / "training/somebody_else-0123456789"
    stray.mkdir()
    code, output = archive(clone)
    assert code == 0 and "artefacts and published figures" in output, output
    packed = (clone / "results/smoke.tar").read_bytes()
    other = copy_sources(tmp_path / "other")
    subprocess.run(["tar", "-xf", clone / "results/smoke.tar"], cwd=other, check=True)
    assert planned(other) == {}
    stray.rmdir()
    for folder in results.glob("*/*-*"):
        assert_same_files(folder, other / folder.relative_to(clone))
    assert tool(other, "verify", "--scale", "smoke").returncode == 0
    # Names and content alone: from the extracted copy come the same bytes.
    assert archive(other)[0] == 0 and (other / "results/smoke.tar").read_bytes() == packed
    assert not list((clone / "results").glob(".*.partial"))


def test_an_archive_of_damaged_or_missing_results_is_refused(clone):
    results = clone / "results/smoke"
    (results / "figures/figure_03.pdf").unlink()
    marker = next((results / ".stamps").glob("figure_5-*"))
    marker.unlink()
    weights = next((results / "base_policy").glob("*/model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    code, output = archive(clone)
    assert code == 1 and "3 findings, nothing packed" in output, output
    assert "results/smoke/figures/figure_03.pdf: missing" in output
    assert f"results/smoke/.stamps/{marker.name}: missing" in output
    assert f"{weights.relative_to(clone)}: truncated" in output
    assert not list((clone / "results").glob("*tar*"))


def test_calibration_target(clone):
    jobs = planned(clone, "calibration", "--config", "scale=smoke")
    assert jobs["train_policy"] == 5 and jobs["choose_learning_rates"] == 1
    output = snakemake(clone, "calibration", "--config", "scale=smoke")
    table = (clone / "results/smoke/figures/calibration.csv").read_text()
    assert table.startswith("choice,objective,delta_v,learning_rate,step,accuracy,final_accuracy,chosen"), (
        output
    )


def test_other_packages_than_the_pinned_are_refused(clone):
    old, new = remade(clone, "training")
    spec = json.loads((old / "spec.json").read_text())
    spec["packages"]["torch"] = "1.0.0"
    (clone / "spec.json").write_text(json.dumps(spec))
    done = by_hand(clone, "train_policy_local.py", clone / "spec.json", new.with_name(identify(spec)))
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert "the pinned version is 1.0.0" in done.stdout and "make setup" in done.stdout


def test_code_edited_since_the_plan_is_refused(clone):
    old, new = remade(clone, "training")
    edit(clone / "asymre/engines/local/sampling.py", "if top_p < 1:", "if top_p < 0.99:")
    done = by_hand(clone, "train_policy_local.py", old / "spec.json", new)
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert "asymre/engines/local/sampling.py changed" in done.stdout and not new.exists()


def test_a_specification_of_another_id_is_refused(clone):
    old, new = remade(clone, "training")
    done = by_hand(clone, "train_policy_local.py", old / "spec.json", new.with_name("other-0123456789"))
    assert done.returncode != 0 and old.name in done.stdout and "Traceback" not in done.stdout
