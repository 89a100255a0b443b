"""The commands why, verify and prune on fabricated results of the real graph: what they say and remove."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from paper.configuration import reading
from store.lock import hold
from tests.workflow.test_real_graph import ROOT, fabricate, plan_of, stamp, write
from tools import prune, verify, why
from workflow.plan import Plan, build


@pytest.fixture(scope="module")
def smoke() -> Plan:
    return build(ROOT, reading.load(ROOT, {"scale": "smoke"}))


@pytest.fixture
def results(tmp_path, monkeypatch, smoke) -> Path:
    """results/smoke with everything that the plan names, made and published; the current folder is above."""
    monkeypatch.chdir(tmp_path)
    place = Path("results/smoke")
    fabricate(place, smoke)
    return place


def everything(place: Path) -> set[str]:
    """Return what lies below a folder. The lock of a run, or of prune, stays and is no result."""
    return {path.relative_to(place).as_posix() for path in place.rglob("*") if path.name != ".lock"}


# --- why ------------------------------------------------------------------------------------------


def test_why_says_what_has_to_be_made_published_and_saved(smoke, results):
    assert why.why(ROOT, "smoke", None) == (
        "results/smoke\n\nNothing has to be made: all figures are up to date."
    )
    (results / "figures/figure_03.png").unlink()
    (results / "runs.csv").unlink()
    assert why.why(ROOT, "smoke", None) == (
        "results/smoke\n\nMade already, but not published: figure_3\n\n"
        "configuration.yaml and runs.csv have to be saved."
    )
    shutil.rmtree(results / smoke.figures["figure_3"].path)
    report = why.why(ROOT, "smoke", None)
    assert f"1 of {len(smoke.graph.artefacts)} artefacts have to be made.\n\n1 figure: " in report
    assert f"\n    {smoke.figures['figure_3'].path}" in report


def test_why_refuses_a_broken_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("own.yaml"), yaml.safe_dump({"results": "mine", "bandit": {"armz": 3}}))
    with pytest.raises(reading.ConfigurationError, match="own.yaml: bandit.armz: unknown key"):
        why.why(ROOT, "smoke", Path("own.yaml"))
    with pytest.raises(reading.ConfigurationError, match="none.yaml: cannot be read"):
        why.why(ROOT, None, Path("none.yaml"))


@pytest.mark.parametrize("tool", ["why", "prune", "verify", "archive", "plan_costs"])
def test_commands_say_what_is_wrong_and_no_more(tool):
    command = [sys.executable, "-m", f"tools.{tool}", "--scale", "smok"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "error: --scale: scale: there is no scale 'smok'; did you mean 'smoke'?\n"


# --- verify ---------------------------------------------------------------------------------------


def test_verify_lists_and_counts(smoke, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="error: results/smoke does not exist: nothing was made yet"):
        verify.main(["--scale", "smoke"])
    place, figure = Path("results/smoke"), smoke.figures["figure_2"]
    stamp(place, figure.id, ["figures/figure_02.pdf", "figures/figure_02.csv"])
    verify.main(["--scale", "smoke"])
    output = capsys.readouterr().out
    assert "results/smoke: 1 artefacts and published results, 2 files, 2e-09 GB: all equal" in output
    left = place / f"training/.{figure.id}.12.partial"
    left.mkdir(parents=True)
    verify.main(["--scale", "smoke"])
    assert f"results/smoke/training/{left.name}: left by a killed job; no result" in capsys.readouterr().out
    write(place / "figures/mine.pdf", "")
    write(place / "bandit/notes.txt", "")
    (place / "figures/figure_02.pdf").unlink()
    with pytest.raises(SystemExit, match="^3 findings. Delete"):
        verify.main(["--scale", "smoke"])
    lines = capsys.readouterr().out.splitlines()
    assert "results/smoke/figures/mine.pdf: foreign, no stamp records it" in lines
    assert "results/smoke/bandit/notes.txt: foreign, no job wrote it" in lines
    assert "results/smoke/figures/figure_02.pdf: missing" in lines


# --- prune ----------------------------------------------------------------------------------------


@pytest.fixture
def cluttered(results, smoke) -> tuple[Path, set[str]]:
    """Current results, somebody's own things, and what no target names; the last as expected of prune."""
    for path in ("training/notes.txt", "training/my_run/policy.bin", "figures/old-0123456789"):
        write(results / path, "x")
    expected = {"logs/publish/figure_3-0123456789.log", "training/.a-0123456789.4711.partial"}
    old = plan_of(evaluation={"samples": 4})
    replaced = set(old.graph.artefacts) - set(smoke.graph.artefacts)
    for path in replaced:
        write(results / path / "spec.json", old.graph.spec_json(path))
        write(results / f"logs/{path}.log", "x")
    write(results / "logs/publish/figure_3-0123456789.log", "x")
    write(results / "training/.a-0123456789.4711.partial/x", "x")
    return results, expected | replaced | {f"logs/{path}.log" for path in replaced}


def test_prune_lists_and_removes_nothing_else(cluttered, capsys):
    results, expected = cluttered
    before = everything(results)
    prune.main(["--scale", "smoke"])
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in listed[:-1]] == sorted(expected)
    assert listed[-1].startswith(f"{results}: {len(expected)} entries, ")
    assert listed[-1].endswith("named by no target; --yes removes them")
    assert everything(results) == before

    prune.main(["--scale", "smoke", "--yes"])
    assert capsys.readouterr().out.splitlines()[-1].endswith("removed")
    gone = {path for path in before if any(path == e or path.startswith(f"{e}/") for e in expected)}
    assert everything(results) == before - gone

    prune.main(["--scale", "smoke", "--yes"])
    assert capsys.readouterr().out == f"{results}: 0 entries, 0.000 MB, removed\n"


def test_prune_keeps_the_runs_of_the_calibration(results):
    before = everything(results)
    assert any("seed100" in path for path in before)
    prune.main(["--scale", "smoke", "--yes"])
    assert everything(results) == before


def test_prune_of_another_configuration(results, smoke):
    write(Path("own.yaml"), yaml.safe_dump({"results": "mine", "scale": "smoke"}))
    kept = f"results/mine/{smoke.figures['figure_1'].path}"
    write(Path(kept, "spec.json"), "{}")
    write(Path("results/mine/problems/math-0123456789/x"), "x")
    before = everything(results)
    prune.main(["--configfile", "own.yaml", "--yes"])
    assert everything(results) == before
    assert {str(path) for path in Path("results/mine").glob("[!l]*/*")} == {kept}


def test_prune_without_results(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    prune.main(["--scale", "smoke", "--yes"])
    assert capsys.readouterr().out == "results/smoke: 0 entries, 0.000 MB, removed\n"
    assert everything(tmp_path) == set()


def test_prune_waits_for_snakemake(cluttered, capsys):
    """In this clone, by Snakemake's lock, and in another with the same results, by that of the folder."""
    results, expected = cluttered
    before = everything(results)
    lock = Path(".snakemake/locks/0.input.lock")
    write(lock, "")
    with pytest.raises(SystemExit, match="snakemake runs here"):
        prune.main(["--scale", "smoke", "--yes"])
    lock.unlink()
    held = hold(results)
    with pytest.raises(SystemExit, match="another snakemake uses results/smoke"):
        prune.main(["--scale", "smoke", "--yes"])
    assert everything(results) == before
    prune.main(["--scale", "smoke"])
    assert f"{len(expected)} entries" in capsys.readouterr().out
    os.close(held)
