"""The command that sets graders side by side."""

import json

import pytest

from tests.helpers import call
from tools import grade_answers

ROWS = [
    {"kind": "unit", "gold": r"5\text{ kg}", "completion": r"so \boxed{5\text{ mg}}", "verdict": "wrong"},
    {"kind": "unit", "gold": r"5\text{ kg}", "completion": r"\boxed{5}", "verdict": "right"},
    {"kind": "number", "gold": r"\frac13", "completion": r"\boxed{0.(3)}", "verdict": "right"},
    {"kind": "number", "gold": "15", "completion": r"\boxed{5!!}", "verdict": "right"},
]


def test_false_rewards_and_missed_answers_are_counted_by_kind(tmp_path):
    lines, columns = tmp_path / "rows.jsonl", tmp_path / "rows.tsv"
    lines.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n", encoding="utf-8")
    code, output = call(grade_answers.main, tmp_path, lines)
    table = {cells[1]: cells[2:-1] for line in output.splitlines() if (cells := line.split("|"))}
    found = {
        name.strip(): [int(n) for n in counts]
        for name, counts in table.items()
        if counts[0].strip().isdigit()
    }
    # Right, wrong; false and missed of the verifier, of math-verify, with TRL's settings.
    assert code == 0 and found == {
        "number": [2, 0, 0, 1, 0, 2, 0, 2],
        "unit": [1, 1, 0, 0, 1, 0, 1, 0],
        "all": [3, 1, 0, 1, 1, 2, 1, 2],
    }
    columns.write_text("section\tanswer\tgold\texpected\nunit\t5\t5\\text{ kg}\tright\n", encoding="utf-8")
    code, output = call(grade_answers.main, tmp_path, columns)
    assert code == 0 and output.splitlines()[-1] == "| all | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |"


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"gold": "5"}', "row 1 has no 'completion'"), (None, "No such file"), ("x", "Expecting")],
)
def test_a_file_that_is_none_is_refused_in_words(tmp_path, text, message):
    if text:
        (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    code, output = call(grade_answers.main, tmp_path, "rows.jsonl")
    assert code == 1 and message in output
