"""`python -m tools.which_delta_v`: pass rates of a file or a results folder, the formula, the plot."""

import sys

import numpy as np
import pandas as pd
import pytest

from tests.helpers import NOTEBOOK, ROOT, call, run
from tools import which_delta_v
from tools.which_delta_v import after_cycles, pass_rates_in


def which(*arguments):
    return call(which_delta_v.main, ROOT, *arguments)


def test_cycles_by_hand():
    """Rewards 0 and 1, delta_v = -0.5: p becomes p + 2 p (1 - p), or 1 from p = 0.5 on."""
    table = after_cycles(np.array([0.0, 0.1, 0.5, 1.0]), (-0.5,), 2, wrong=0.0, right=1.0)
    assert table["solved"].tolist() == [0.25, 0.5, 0.5]
    second = 0.28 + 2 * 0.28 * 0.72
    assert table["mean"].tolist() == pytest.approx([0.4, (0.28 + 2) / 4, (second + 2) / 4])


def test_a_csv_is_read_and_drawn(tmp_path):
    (tmp_path / "mine.csv").write_text("problem,pass_rate\na,0.05\nb,0.5\nc,1\n", encoding="utf-8")
    code, output = which(
        tmp_path / "mine.csv", "--delta-v", -0.1, -0.5, "--cycles", 2, "--plot", tmp_path / "mine.png"
    )
    assert code == 0, output
    assert "mine: 3 prompts, mean 0.517, never solved 0%" in output
    assert "groups of 8" in output and "few steps or none" in output
    rows = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line.startswith("-0")}
    # At -0.1 .05 becomes .05 + 7 / 8 * 20 * .05 * .95 = .88; at -0.5 .05 + 7 / 8 * 4 * .05 * .95.
    assert rows["-0.1"] == ["0.667", "1.000", "0.960", "1.000"]
    assert rows["-0.5"][0] == "0.667" and rows["-0.5"][2] == "0.739"
    assert (tmp_path / "mine.png").stat().st_size > 10_000


def test_a_results_folder_is_read(tmp_path):
    folder = tmp_path / "base_policy/llama-8b-0123456789"
    folder.mkdir(parents=True)
    table = pd.DataFrame(
        {"task": ["math", "math", "other"], "problem": list("abc"), "pass_rate": [0, 0.5, 1]}
    )
    table.to_parquet(folder / "pass_rates.parquet")
    found = pass_rates_in(tmp_path)
    assert {name: rates.tolist() for name, rates in found.items()} == {
        "llama-8b, math": [0, 0.5],
        "llama-8b, other": [1],
    }


@pytest.mark.parametrize(
    "text,arguments,message",
    [
        ("accuracy\n0.5\n", [], "needs a column pass_rate, has accuracy"),
        ("pass_rate\n1.5\n", [], "pass_rate must be numbers from 0 to 1"),
        ("pass_rate\nmany\n", [], "pass_rate must be numbers from 0 to 1"),
        ("pass_rate\n", [], "at least one"),
        ("pass_rate\n0.5\n", ["--delta-v", "0.1"], "above delta_v = 0 the limit is one answer"),
        ("pass_rate\n0.5\n", ["--right", "-1"], "the reward of a right answer must be the larger one"),
    ],
)
def test_bad_input_is_refused_in_one_line(text, arguments, message, tmp_path):
    (tmp_path / "mine.csv").write_text(text, encoding="utf-8")
    code, output = which(tmp_path / "mine.csv", *arguments)
    assert code == 1 and message in output and len(output.splitlines()) == 1
    code, output = which(tmp_path / "nothing.csv")
    assert code == 1 and "nothing.csv" in output


@pytest.mark.slow
def test_a_notebooks_backend_is_not_needed(tmp_path):
    """As `!python -m tools.which_delta_v` in Jupyter, whose matplotlib_inline is not in this environment."""
    (tmp_path / "mine.csv").write_text("pass_rate\n0.5\n", encoding="utf-8")
    command = [sys.executable, "-m", "tools.which_delta_v", "mine.csv", "--plot", "mine.png"]
    done = run(tmp_path, command=command, PYTHONPATH=str(ROOT), MPLBACKEND=NOTEBOOK)
    assert done.returncode == 0 and (tmp_path / "mine.png").is_file(), done.stdout
