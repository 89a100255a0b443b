"""examples/one_page.py is the method: its weights are, byte for byte, those of the workflow's jobs."""

from dataclasses import asdict, replace

import pytest

from asymre.engines.local.policy import load_policy
from asymre.specs import CycleRolloutSpec, Pretraining, StandInSpec, StandInTask, TaskProblemsSpec
from tests.helpers import ROOT, module_of


@pytest.fixture
def page(monkeypatch):
    """The page, with a run of two short cycles."""
    page = module_of("examples/one_page.py")
    rollouts = replace(page.SPEC.rollouts, prompts_per_step=3)
    monkeypatch.setattr(page, "SPEC", replace(page.SPEC, N=2, until=4, snapshot_every=2, rollouts=rollouts))
    monkeypatch.setattr(page, "PRETRAINING", page.PRETRAINING | {"steps": 60})
    return page


def job(script, spec, folder, options=None, **inputs):
    folder.mkdir()
    module_of(f"scripts/{script}.py").make(spec, inputs, folder, **options or {})
    return folder


def test_the_page_gives_the_bytes_of_the_jobs(page, tmp_path, capsys):
    engine = page.main()
    assert len([line for line in capsys.readouterr().out.splitlines() if "test accuracy" in line]) == 3

    task = StandInTask("math", page.TASK, page.SETTINGS, (0, 1))
    stand_in = {name: value for name, value in asdict(page.ARCHITECTURE).items() if name != "vocabulary_size"}
    pretraining = Pretraining(**page.PRETRAINING, accuracy=(0, 1))
    drawn = TaskProblemsSpec(page.TASK, page.SETTINGS, train=3072, test=256, seed=0)
    problems = job("make_problems_task", drawn, tmp_path / "problems")
    base = job("make_base_policy_stand_in", StandInSpec(stand_in, (task,), pretraining), tmp_path / "base")
    first = CycleRolloutSpec(page.SPEC.rollouts, page.SPEC.seed, first_step=0, steps=page.SPEC.N)
    inputs = {"policy": base, "problems": problems}
    cpu = {"device": "cpu"}
    rollouts = job("sample_rollouts_local", first, tmp_path / "rollouts", cpu, **inputs)
    run = job("train_policy_local", page.SPEC, tmp_path / "run", **inputs, rollouts=rollouts)

    _, weights = load_policy(run / "policy")
    assert weights.keys() == engine.policy().keys()
    for name, weight in engine.policy().items():
        assert weight.numpy().tobytes() == weights[name].numpy().tobytes(), name
    _, start = load_policy(base)
    assert any((start[name] != weight).any() for name, weight in weights.items())


def test_the_page_is_a_page():
    assert len((ROOT / "examples/one_page.py").read_text(encoding="utf-8").splitlines()) <= 100
