"""What people do to the workflow: options, profiles, variables, places and environments of their own."""

import base64
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from paper.configuration import reading
from store.lock import Busy, hold
from tests.helpers import (
    NOTEBOOK,
    ROOT,
    SMOKE,
    SNAKEMAKE,
    assert_same_files,
    call,
    copy_sources,
    edit,
    run,
    tool,
)
from tools import prune
from workflow import plan


def only(folder: Path, pattern: str) -> Path:
    return next(iter(sorted(folder.glob(pattern))))


def forget_figure_3(clone: Path) -> None:
    """Its drawing and what is published of it; the runs behind it stay."""
    shutil.rmtree(only(clone / "results/smoke/figure", "figure_3-*"))
    (clone / "results/smoke/figures/figure_03.png").unlink()


# --- success means that the targets exist ---------------------------------------------------------
# Slow ones of this file run the smoke scale; tests/store/ has the same of a smaller workflow.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("-R", "make_base_policy"), "--forcerun make_base_policy"),
        (("--forceall",), "--forceall"),
        (("--force",), "--force"),
    ],
)
def test_results_are_not_rebuilt_beside_what_rests_on_them(arguments, option, clone):
    forget_figure_3(clone)
    policies = sorted((clone / "results/smoke/base_policy").iterdir())
    before = [policy.stat().st_mtime_ns for policy in policies]
    done = run(clone, "figure_3", *arguments, *SMOKE)
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert f"{option} would rebuild existing results" in done.stdout
    assert "delete their folders in results/smoke/" in done.stdout
    assert [policy.stat().st_mtime_ns for policy in policies] == before


@pytest.mark.slow
def test_a_profile_that_reruns_what_is_incomplete_makes_the_figures_all_the_same(clone):
    forget_figure_3(clone)
    policy = only(clone / "results/smoke/base_policy", "llama-8b-*").relative_to(clone)
    marks = clone / ".snakemake/incomplete"
    marks.mkdir(parents=True)
    (marks / base64.b64encode(str(policy).encode()).decode()).write_text("1", encoding="utf-8")
    (clone / "theirs").mkdir()
    (clone / "theirs/config.yaml").write_text("rerun-incomplete: true\ncores: 1\n", encoding="utf-8")
    done = run(clone, "figure_3", "--profile", "theirs", *SMOKE, command=SNAKEMAKE[:3])
    assert done.returncode == 0, done.stdout
    assert (clone / "results/smoke/figures/figure_03.png").is_file()
    # Ours is read after theirs and wins over it: it must not say how many cores to use.
    assert "cores" not in yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_an_end_without_the_targets_is_no_success(clone):
    """If something else hides jobs one day: without the refusal of --forcerun, its kind is still caught."""
    edit(
        clone / "store/snakemake_private.py",
        "if given := forced(workflow.dag_settings):",
        "if given := None:",
    )
    forget_figure_3(clone)
    done = run(clone, "figure_3", "-R", "make_base_policy", *SMOKE)
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert "targets do not exist, such as results/smoke/figure" in done.stdout.replace("\n", " ")


@pytest.mark.slow
def test_snakemake_looks_for_jobs_when_one_ends_and_not_by_the_clock(clone):
    """With its default limit of jobs a second it looks each second, and once more for each job that ended."""
    for name in ("figure", "figures"):
        shutil.rmtree(clone / "results/smoke" / name)
    done = run(clone, "bandit", "--verbose", *SMOKE)
    assert done.returncode == 0, done.stdout
    assert "9 of 9 jobs done" in done.stdout
    assert done.stdout.count("Ready jobs: ") <= 10


# --- the results folder ---------------------------------------------------------------------------


def test_a_single_target_makes_what_it_lacks_and_saves_its_configuration(finished, clone):
    """Named as its files are, started from a notebook whose drawing library is not in this environment."""
    edit(clone / "config/paper.yaml", "title: Policy entropy against", "title: Entropy against")
    lost = only(clone / "results/smoke/bandit", "limit-*").relative_to(clone)
    shutil.rmtree(clone / lost)
    done = run(clone, "figure_07", *SMOKE, MPLBACKEND=NOTEBOOK)
    assert done.returncode == 0, done.stdout
    assert re.search(r"figure 7 +1", done.stdout) and "figure 8" not in done.stdout
    assert_same_files(finished / lost, clone / lost)
    saved = yaml.safe_load((clone / "results/smoke/configuration.yaml").read_text(encoding="utf-8"))
    assert saved["figures"]["figure_7"]["title"].startswith("Entropy against")
    stamps = [path.name for path in (clone / "results/smoke/.stamps").glob("configuration-*")]
    mine = plan.build(clone, reading.load(clone, {"scale": "smoke"}))
    assert stamps == [mine.configuration_id]


def test_nothing_is_removed_from_a_results_folder_in_use(clone):
    stray = clone / "results/smoke/training/left_over-0123456789"
    stray.mkdir()
    held = hold(clone / "results/smoke")
    try:
        code, output = call(prune.main, clone, "--scale", "smoke", "--yes")
        assert code == 1 and "another snakemake uses results/smoke" in output
        assert stray.is_dir()
    finally:
        os.close(held)
    assert call(prune.main, clone, "--scale", "smoke", "--yes")[0] == 0 and not stray.exists()


@pytest.mark.slow
def test_two_runs_in_one_results_folder_are_refused(clone, tmp_path):
    other = copy_sources(tmp_path / "other")
    (other / "results").symlink_to(clone / "results")
    (clone / "results/smoke/figures/figure_03.pdf").unlink()
    stray = clone / "results/smoke/training/left_over-0123456789"
    stray.mkdir()
    held = hold(clone / "results/smoke")
    try:
        for folder in (clone, other):
            done = run(folder, *SMOKE)
            assert done.returncode != 0 and "Traceback" not in done.stdout
            assert "another snakemake uses results/smoke" in done.stdout
            assert run(folder, "-n", *SMOKE).returncode == 0
        done = tool(clone, "prune", "--scale", "smoke", "--yes")
        assert done.returncode == 1 and "another snakemake uses results/smoke" in done.stdout
        assert stray.is_dir()
        with pytest.raises(Busy):
            hold(clone / "results/smoke")
    finally:
        os.close(held)
    assert run(other, *SMOKE).returncode == 0
    assert (clone / "results/smoke/figures/figure_03.pdf").is_file()


# --- places and environments ----------------------------------------------------------------------


def test_a_path_that_cannot_stand_in_pythonpath_is_refused(tmp_path):
    repository = copy_sources(tmp_path / "a:b")
    done = run(repository, "-n", *SMOKE)
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert "a path with ':' does not work in PYTHONPATH: move the clone" in done.stdout


@pytest.mark.slow
def test_a_path_with_spaces_and_quotes_works(finished, tmp_path):
    folder = copy_sources(tmp_path / "it's a clone")
    shutil.copytree(finished / "results", folder / "results")
    (folder / "results/smoke/figures/figure_07.pdf").unlink()
    (folder / "my own.yaml").write_text("scale: smoke\n", encoding="utf-8")
    done = run(folder, "figure_7", "--configfile", "my own.yaml")
    assert done.returncode == 0, done.stdout
    assert (folder / "results/smoke/figures/figure_07.pdf").is_file()


WITHOUT_DOCSTRINGS = """
import runpy, sys
from pathlib import Path
from paper.configuration import reading
from workflow import plan
assert reading.__doc__ is None
print(*plan.build(Path("."), reading.load(Path("."))).graph.artefacts)
for name in ("why", "prune", "verify", "archive", "plan_costs", "local_slurm", "report"):
    sys.argv = [name, "--help"]
    try:
        runpy.run_module(f"tools.{name}", run_name="__main__")
    except SystemExit as end:
        assert not end.code, name
"""


@pytest.mark.slow
def test_without_docstrings_everything_works():
    python = [sys.executable, "-OO"]
    done = run(ROOT, "-c", WITHOUT_DOCSTRINGS, command=python, XDG_CACHE_HOME=None)
    assert done.returncode == 0, done.stdout
    ids, helps = done.stdout.split("\n", 1)
    assert ids.split() == list(plan.build(ROOT, reading.load(ROOT)).graph.artefacts)
    assert helps.count("usage: ") == 7
    done = run(ROOT, "-m", "tools.generate", "--check", command=python, XDG_CACHE_HOME=None)
    assert done.returncode == 1 and "unset it" in done.stdout and "Traceback" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("variables", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_a_locale_decides_no_byte(variables, clone):
    """A title beyond ASCII, drawn and published where Python would write ASCII by itself."""
    (clone / "mine.yaml").write_text(
        "scale: smoke\nfigures: {figure_7: {title: 'Entropie, δ und Größe'}}\nresults: mine\n",
        encoding="utf-8",
    )
    shutil.copytree(clone / "results/smoke", clone / "results/mine")
    written = []
    for given in ({}, variables):
        done = run(clone, "figure_7", "--configfile", "mine.yaml", **given)
        assert done.returncode == 0, done.stdout
        results = clone / "results/mine"
        files = [
            results / "figures/figure_07.txt",
            results / "figures/figure_07.pdf",
            results / "configuration.yaml",
        ]
        written.append([file.read_bytes() for file in files])
        for path in (only(results / "figure", "figure_7-*"), *results.glob(".stamps/*")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert written[0] == written[1] and "δ und Größe".encode() in written[0][0]


def test_a_home_that_cannot_be_written_to(clone):
    """As in a container with another user: make says where Snakemake's cache goes."""
    show = "show:\n\t@echo cache=$$XDG_CACHE_HOME\n"
    (clone / "show.mk").write_text(show, encoding="utf-8")
    shutil.copy(ROOT / "Makefile", clone)
    make = ["make", "-s", "--no-print-directory", "-f", "Makefile", "-f", "show.mk", "show"]
    for home in (None, "/proc/nowhere"):
        done = run(clone, command=make, HOME=home, XDG_CACHE_HOME=None)
        assert done.stdout.strip() == f"cache={clone}/.snakemake/cache"
    done = run(clone, command=make, HOME=str(clone), XDG_CACHE_HOME=None)
    assert done.stdout.strip() == "cache="


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nobody can write")
def test_a_folder_that_cannot_be_written_to_is_refused_in_words():
    done = run(ROOT, "-n", "--snakefile", ROOT / "Snakefile", "--directory", "/proc")
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert "/proc cannot be written to (No such file or directory): copy it" in done.stdout.replace("\n", " ")


@pytest.mark.parametrize("name", [".snakemake", pytest.param("results", marks=pytest.mark.slow)])
def test_a_place_that_is_no_folder_is_named(tmp_path, name):
    clone = copy_sources(tmp_path / "clone")
    (clone / name).symlink_to("/nonexistent/disk")
    done = run(clone, "-n", "figure_1", *SMOKE)
    assert done.returncode and f"{name} is a link to /nonexistent/disk" in done.stdout.replace("\n", " ")
    (clone / name).unlink()
    (clone / name).write_text("x", encoding="utf-8")
    done = run(clone, "-n", "figure_1", *SMOKE)
    assert done.returncode and f"{name} is a file" in done.stdout and "Traceback" not in done.stdout


@pytest.mark.slow
def test_snakemake_without_a_home(clone):
    done = run(clone, "-n", *SMOKE, HOME="/proc/nowhere", XDG_CACHE_HOME=str(clone / ".snakemake/cache"))
    assert done.returncode == 0, done.stdout


# --- mistakes on the command line ------------------------------------------------------------------


@pytest.mark.slow
def test_a_misspelt_key_on_the_command_line_is_told_the_nearest(clone):
    done = run(clone, "-n", "--config", "sclae=smoke")
    assert "--config: sclae: unknown key; did you mean 'scale'?" in done.stdout
    assert "name a results folder" not in done.stdout


def test_an_overlay_without_results_shows_all_its_mistakes():
    overlay = {"training": {"stepz": 1}, "evaluation": {"samples": 3}, "trainng": {}}
    with pytest.raises(reading.ConfigurationError) as error:
        reading.load(ROOT, overlay, "own.yaml")
    lines = str(error.value).splitlines()
    assert len(lines) == 4
    for expected in (
        "results: name a results folder",
        "training.stepz: ",
        "evaluation.samples: ",
        "trainng: ",
    ):
        assert any(line.startswith(f"own.yaml: {expected}") for line in lines), expected
    with pytest.raises(reading.ConfigurationError) as error:
        reading.load(ROOT, {"scale": "cpuu", "trainng": {}}, "own.yaml")
    assert len(str(error.value).splitlines()) == 2


# --- make ------------------------------------------------------------------------------------------


def make(*arguments, **variables) -> subprocess.CompletedProcess:
    """What make would do. The environment counts as made."""
    command = ["make", "-n", "--no-print-directory", "-o", ".venv/.complete", "-o", "setup", *arguments]
    # These tests may run under make themselves.
    return run(ROOT, command=command, XDG_CACHE_HOME=None, MAKEFLAGS=None, MAKELEVEL=None, **variables)


def test_make_takes_a_configuration_everywhere():
    for target, command in (
        ("figures", ".venv/bin/snakemake --cores all --configfile 'my own.yaml'"),
        ("report", ".venv/bin/python -m tools.report --configfile 'my own.yaml'"),
        ("why", ".venv/bin/python -m tools.why --configfile 'my own.yaml'"),
        ("prune", ".venv/bin/python -m tools.prune --configfile 'my own.yaml'"),
        ("plan", ".venv/bin/python -m tools.plan_costs --configfile 'my own.yaml'"),
    ):
        assert make(target, "CONFIG=my own.yaml").stdout.strip() == command
    assert make("plan").stdout.strip() == ".venv/bin/python -m tools.plan_costs"
    assert make("report", "SCALE=smoke").stdout.strip() == ".venv/bin/python -m tools.report --scale 'smoke'"
    assert "'it'\\''s.yaml'" in make("why", "CONFIG=it's.yaml").stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("figures", "SCALE=smoke", "CONFIG=my.yaml"), "give SCALE or CONFIG"),
        (("prune", "YES=0"), "YES=1 removes"),
        (("prune", "YES=no"), "YES=1 removes"),
    ],
)
def test_make_refuses_what_contradicts(arguments, expected):
    done = make(*arguments)
    assert done.returncode != 0 and expected in done.stdout


def test_make_deletes_nothing_because_of_the_environment():
    plain = make("prune").stdout
    assert "--yes" not in plain and "--yes" in make("prune", "YES=1").stdout
    assert make("prune", YES="1", SCALE="gpu", CONFIG="my.yaml").stdout == plain


def test_a_clone_that_was_moved_or_copied_gets_an_environment_of_its_own(tmp_path):
    """A link to another clone's environment is a wish, and stays."""
    here, there = tmp_path / "it's here", tmp_path / "there"
    for name in (".venv", ".venv-vllm", ".venv-peers"):
        (here / name).mkdir(parents=True)
        (here / name / ".complete").write_text(f"{(here / name).resolve()}\n", encoding="utf-8")
    for name in ("Makefile", "requirements.txt", "envs"):
        (here / name).symlink_to(ROOT / name)

    def setup(folder):
        command = ["make", "-n", "--no-print-directory", "setup-vllm", "setup-peers"]
        return run(folder, command=command, MAKEFLAGS=None, MAKELEVEL=None).stdout

    assert "venv" not in setup(here) and "moved" not in setup(here)
    (tmp_path / "linked").mkdir()
    for path in here.iterdir():
        (tmp_path / "linked" / path.name).symlink_to(path)
    assert "venv" not in setup(tmp_path / "linked")
    here.rename(there)
    for name in (".venv", ".venv-vllm", ".venv-peers"):
        assert f"-m venv --clear {name}\n" in setup(there)
    assert "this clone was moved or copied" in setup(there)


def test_modules_are_found_under_pythonsafepath(tmp_path):
    """make starts tools by python -m, which with that variable does not look into the working folder."""
    (tmp_path / "mine.py").write_text("print('found')", encoding="utf-8")
    recipe = f"own:\n\t@python=$$PWD/$(BIN)/python; cd '{tmp_path}' && $$python -m mine\n"
    (tmp_path / "own.mk").write_text(recipe, encoding="utf-8")
    command = ["make", "--no-print-directory", "-f", "Makefile", "-f", str(tmp_path / "own.mk"), "own"]
    done = run(ROOT, command=command, MAKEFLAGS=None, MAKELEVEL=None, PYTHONSAFEPATH="1")
    assert done.stdout == "found\n"


def test_the_report_goes_where_the_results_are(clone):
    (clone / "own.yaml").write_text("scale: smoke\nresults: own\nsmoothing_window: 1\n", encoding="utf-8")
    for name in ("smoke", "own"):
        (clone / f"results/{name}").mkdir(exist_ok=True)
        (clone / f"results/{name}/report.html").write_text("old", encoding="utf-8")
    stub = "import sys\nprint(*sys.argv[1:])\n"
    (clone / "snakemake.py").write_text(stub, encoding="utf-8")
    done = tool(clone, "report", "--configfile", "own.yaml")
    assert done.stdout.split() == ["--configfile", "own.yaml", "--report", "results/own/report.html"]
    assert tool(clone, "report", "--scale", "smoke").stdout.split()[-1] == "results/smoke/report.html"


# --- what the files say ----------------------------------------------------------------------------


def test_every_rule_says_how_much_memory_it_takes():
    for file in (ROOT / "rules").glob("*.smk"):
        for block in re.split(r"(?m)^ *(?=rule\b)", file.read_text(encoding="utf-8"))[1:]:
            assert "mem_mb=" in block or "resources_of(" in block, block[:60]


def test_targets_stand_first_in_the_documents():
    """Snakemake takes what follows --config and --configfile as further values of them."""
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"):
        for typed in re.findall(r"snakemake [^`\n#]*", document.read_text(encoding="utf-8")):
            assert not re.search(r"--config(file)? \S+ +[^-\s]\S*(?<!\S=)", typed), typed


def test_line_ends_do_not_depend_on_the_machine():
    assert "* text=auto eol=lf" in (ROOT / ".gitattributes").read_text(encoding="utf-8").splitlines()
