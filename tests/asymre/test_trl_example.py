"""The reward of examples/trl_asymre.py, without TRL; tests/peers has its loss."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

FILE = Path(__file__).resolve().parents[2] / "examples/trl_asymre.py"


@pytest.fixture
def reward(monkeypatch):
    monkeypatch.setitem(sys.modules, "trl", SimpleNamespace(GRPOConfig=object, GRPOTrainer=object))
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=None))
    return runpy.run_path(str(FILE))["reward"]


@pytest.mark.parametrize(
    ("end", "gold", "right"),
    [
        ("so $18", "18", True),
        ("so $18.00", "18", True),
        ("so $0.18", "18", False),
        ("x = 3.18", "18", False),
        ("it is 2.5.", "2.5", True),
        ("it is 2.50", "2.5", True),
        ("it is .5 or 1/2, so .5", "0.5", True),
        ("in all $1,200.00.", "1,200", True),
        ("1,200, I think", "1200", True),
        ("-$5", "-5", True),
        ("-5", "5", False),
        ("between 5-18", "18", True),
        ("the answer is -18", "18", False),
        ("none", "18", False),
        ("none", "none", False),
        ("18 apples, 3 pears", "18", False),
    ],
)
def test_rewards_compare_numbers(reward, end, gold, right):
    completions, answers = [[{"role": "assistant", "content": end}]], [f"A solution.\n#### {gold}"]
    assert reward(completions, answers) == [1.0 if right else -1.0]
