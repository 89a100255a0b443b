"""Verdicts on hand-made answers, on the answers of MATH, and on texts made to hang or crash a checker."""

import csv
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from asymre.rewards.boxed import last_boxed
from asymre.rewards.verifier import MAX_LENGTH, VERDICTS, Verifier

MATH = Path(os.environ.get("ASYMRE_MATH_DATA") or Path(__file__).parents[3] / "shared" / "data" / "math")


@pytest.fixture(scope="module")
def verifier():
    with Verifier() as verifier:
        yield verifier


def boxed(answers):
    return [rf"So it is \boxed{{{answer}}}." for answer in answers]


def test_hand_made_answers(verifier):
    """answers.tsv: what mathematics says (with percent, units and degrees as MATH grades them), and beside
    it the verdict that is given instead, where a correct answer is known to be missed."""
    with open(Path(__file__).parent / "answers.tsv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(rows) >= 200
    given = verifier.verify(boxed(row["answer"] for row in rows), [row["gold"] for row in rows])
    expected = [row["given"] or row["expected"] for row in rows]
    differing = [(r["answer"], r["gold"], v) for r, v, e in zip(rows, given, expected, strict=True) if v != e]
    assert differing == []
    assert sum(bool(row["given"]) for row in rows) <= 0.1 * len(rows)


def test_verdicts_follow_their_completions(verifier):
    completions = [r"\boxed{\frac{2x+2}{2}}", "x", r"\boxed{x", r"\boxed{y+1}", r"\boxed{???}"]
    completions += [rf"\boxed{{{'1+' * MAX_LENGTH}1}}"]
    golds = ["x+1"] * len(completions)
    expected = ["right", "no_answer", "no_answer", "wrong", "unparsable", "unparsable"]
    assert verifier.verify(completions, golds) == expected
    order = [5, 0, 3, 3, 1, 0]
    shuffled = verifier.verify([completions[i] for i in order], golds)
    assert shuffled == [expected[i] for i in order]
    assert verifier.verify([], []) == []
    with pytest.raises(ValueError):
        verifier.verify(["x"], [])


def test_the_gold_answer_counts(verifier):
    golds = ["x", "y", "x+1", "1+x"]
    assert verifier.verify([r"\boxed{x+1}"] * 4, golds) == ["wrong", "wrong", "right", "right"]


def test_several_boxes_are_one_answer_and_no_guesses(verifier):
    """What the boxes of a line list is equal to the whole list alone; else the last box counts alone."""
    cases = {
        r"So $x=\boxed{2}$ and $x=\boxed{5}$.": ("2,5", "right"),
        r"So $x=\boxed{5}$ or $x=\boxed{2}$.": ("2,5", "right"),
        r"It is $\boxed{2}$, $\boxed{3}$, or $\boxed{5}$.": ("2,5", "wrong"),
        r"It is $\boxed{2}$, $\boxed{3}$ or $\boxed{7}$.": ("7", "wrong"),
        r"It is $\boxed{7}$ or $\boxed{2}$.": ("7", "wrong"),
        r"It is $\boxed{2}$. No, it is $\boxed{7}$.": ("7", "right"),
        r"It is $\boxed{7}$. No, it is $\boxed{2}$.": ("7", "wrong"),
        r"So $x=\boxed{2}$, $y=\boxed{5}$.": ("(2,5)", "right"),
        r"So $y=\boxed{2}$, $x=\boxed{5}$.": ("(2,5)", "wrong"),
        r"It is $\boxed{x+1}$ or $\boxed{1+x}$.": ("1+x", "right"),
        r"It is $\boxed{1\frac{1}{2}}$, or $\boxed{\frac32}$.": ("1.5", "right"),
    }
    golds, expected = zip(*cases.values(), strict=True)
    assert verifier.verify(list(cases), list(golds)) == list(expected)
    # A solution says its gold answer in the same way.
    assert verifier.verify([r"\boxed{5, 2}"], [last_boxed(next(iter(cases)))]) == ["right"]


def test_units_and_restated_questions(verifier):
    cases = {
        (r"\$10/\text{hour}", "10"): "right",
        (r"\$10/\text{hour}", r"\$10/\text{day}"): "wrong",
        ("€8", r"\$8"): "wrong",
        (r"5\text{ M}", "5"): "wrong",  # millions, perhaps
        (r"20^\circ\text{C}", "20"): "right",
        (r"\langle 1,2\rangle", "(1,2)"): "right",
        ("x^2<4", "(-2,2)"): "wrong",
        ("(x-5)^2=0", "x=5"): "wrong",
    }
    answers, golds = zip(*cases, strict=True)
    assert verifier.verify(boxed(answers), list(golds)) == list(cases.values())


def test_gold_errors(verifier):
    golds = ["x^2", "x^2", " ", "?", "1+" * MAX_LENGTH + "1", r"\text{Monday}"]
    errors = verifier.gold_errors(golds)
    assert errors[0] is errors[1] is errors[5] is None
    assert [errors[2], errors[3]] == ["is empty", "cannot be parsed"]
    assert str(MAX_LENGTH) in errors[4]


@pytest.mark.skipif(not MATH.is_dir(), reason="no MATH data: set ASYMRE_MATH_DATA to a folder with it")
@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_answers_of_math_are_equal_to_themselves(verifier, every):
    """500 test and 4,500 training answers, extracted from their solutions; all compared, no short cut."""
    rows = [
        [json.loads(line) for line in open(path, encoding="utf-8")] for path in sorted(MATH.glob("*.jsonl"))
    ]
    test, train = rows
    assert (len(test), len(train)) == (500, 4500)
    solutions = [row["solution"] for row in test + train]
    golds = [last_boxed(solution) for solution in solutions]
    # One solution has two boxes, with one number in two forms.
    assert sum(g != row["answer"].strip() for g, row in zip(golds, test, strict=False)) <= 1
    assert set(verifier.verify(solutions[:500], [row["answer"] for row in test])) == {"right"}
    solutions, golds = solutions[::every], golds[::every]
    assert [pair for pair in zip(golds, verifier.gold_errors(golds), strict=True) if pair[1]] == []
    assert set(verifier.verify(solutions, golds)) == {"right"}


BOMBS = [
    r"9^{9^{9^{9}}}",
    r"{10^{10}}^{10^{10}}",
    r"100000000!",
    r"((9!)!)!",
    r"(x+1)^{100000}",
    r"\sum_{n=1}^{10^9}\frac{1}{n}",
    r"\binom{10^9}{5\cdot10^8}",
    r"\sin(" * 60 + "x" + ")" * 60,
    r"\sum_{i=1}^{" * 10 + "3" + "} i" * 10,
    r"\cos(10^{10^{10}})",
]
NESTED = [
    "(%s)",
    "{%s}",
    r"\frac{1}{%s}",
    r"\sqrt{%s}",
    "2^{%s}",
    r"\left(%s\right)",
    r"\text{%s}",
    r"\lfloor %s\rfloor ",
]
INJECTED = ["__import__('os').system('touch {}')", "exec(open('{}','w'))", r"\text{{eval(open('{}','w'))}}"]
PIECES = [
    *r"0123456789xyi+-*/^_=<>()[]{}|!,.;:'\"$%&#~@? ",
    *"\0\1\t\n\r\x1b\x7f\x85\u2028\ud800\udfff\ufeff",
]
PIECES += [*"√π∞−×½²„٣文🙂e\u0301", "\\\\", "\\"] + [
    rf"\{name} " for name in ("frac", "sqrt", "text", "left", "right")
]
PIECES += [rf"\{name}{{" for name in ("frac", "boxed", "begin", "end", "overline", "mathbb", "operatorname")]
PIECES += [
    rf"\{name} " for name in ("pi", "infty", "cup", "in", "pm", "cdot", "sum", "int", "lim", "log", "mod")
]


def hostile_completions(count, marker):
    """Completions of every family that we know to hurt, and random ones."""
    rng = random.Random(0)
    texts = boxed(BOMBS) + boxed(text.format(marker) for text in INJECTED)
    for depth in (10, 40, 100_000):
        for form in NESTED:
            opened, closed = form.split("%s")
            texts += boxed([opened * depth + "1" + closed * depth, opened * depth + "1"])
    texts += boxed(["7" * 3_000_000, "\0" * 3_000_000, "7" * MAX_LENGTH, "\\" * MAX_LENGTH, "|" * MAX_LENGTH])
    texts += ["\\boxed{" * 200_000, "\\boxed{1" + "}" * 1_000_000, "{" * 1_000_000 + r"\boxed{x"]
    while len(texts) < count:
        content = "".join(rng.choices(PIECES, k=rng.randint(1, 60)))
        texts.append(content if rng.random() < 0.1 else rf"\boxed{{{content}" + "}" * rng.randint(0, 3))
    return texts


# Of a hundred, all but a dozen are of the families that we know.
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_hostile_completions_cost_no_more_than_the_limit(count, tmp_path):
    marker, limit = tmp_path / "injected", 0.5
    texts = hostile_completions(count, marker)
    with Verifier(workers=1, timeout_s=limit) as verifier:
        verifier.gold_errors(["x"])  # the process has started
        started = time.monotonic()
        verdicts = verifier.verify(texts, ["x^2+5"] * (count // 2) + ["(1,2)"] * (count // 2))
        seconds = time.monotonic() - started
        # Replaced processes check what comes after; on a busy machine the first check may take too long.
        assert "right" in {verifier.verify([r"\boxed{x(x+1)}"], ["x^2+x"])[0] for _ in range(5)}
    assert set(verdicts) <= set(VERDICTS) - {"right"}
    stopped = verdicts.count("timeout")
    assert len(BOMBS) // 2 < stopped < 40
    # Starting afresh and every other check take little, with room for a busy machine.
    assert seconds < stopped * (limit + 1) + len(texts) * 0.06
    assert not marker.exists()


STUB = """
import os, signal, sys, time
import sympy
class ConversionConfig:
    def __init__(self, **settings): pass
def latex2sympy(text, *settings):
    print("noise", flush=True)
    os.system("echo noise; echo noise >&2")
    act = text[0]
    if act == "e": os._exit(3)
    if act == "c": os.kill(os.getpid(), signal.SIGSEGV)
    if act == "d": signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if act in "ds": time.sleep(60)
    if act == "r": raise KeyError
    if act == "m":
        taken = []
        while True: taken.append(b"1" * 50_000_000)
    return sympy.Symbol(act)
"""
PROGRAM = """
import json, sys
from asymre.rewards.verifier import Verifier
if __name__ == "__main__":
    answers, workers, seconds = json.loads(sys.argv[1])
    with Verifier(workers, seconds) as verifier:
        print("started", flush=True)
        completions = [rf"\\boxed{{{answer}}}" for answer in answers]
        print(json.dumps(verifier.verify(completions, ["g+1"] * len(answers))), flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def stubbed(tmp_path):
    """Starts a program that verifies answers with a parser that does what an answer says."""
    package = tmp_path / "latex2sympy2_extended"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "latex2sympy2.py").write_text(STUB)
    (tmp_path / "program.py").write_text(PROGRAM)
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])

    def start(*arguments):
        command = [sys.executable, tmp_path / "program.py", json.dumps(arguments)]
        pipe = subprocess.PIPE
        environment = os.environ | {"PYTHONPATH": path}
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)

    return start


def verdicts_of(program) -> list[str]:
    output, errors = program.communicate(timeout=300)
    (line,) = (line for line in output.splitlines() if line.startswith("["))
    return json.loads(line)


@pytest.mark.parametrize("workers", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_a_checker_that_is_lost_is_replaced(stubbed, workers):
    """Whatever happens within one check, the others get their verdicts."""
    acts = {"e+1": "unparsable", "c+1": "unparsable", "s+1": "timeout"}
    acts |= {"d+1": "timeout", "r+1": "wrong"}
    answers = [text for act in acts for text in (act, f"g+{act}")]
    expected = [verdict for act in acts for verdict in (acts[act], "right")]
    assert verdicts_of(stubbed(answers, workers, 2)) == expected


def test_a_checker_without_memory_is_replaced(stubbed):
    # Long enough to take all the memory there is for it, on a busy machine.
    assert verdicts_of(stubbed(["m+1", "g+1+1"], 1, 60)) == ["unparsable", "right"]


def test_no_process_is_left_by_a_verifier_that_is_killed(stubbed):
    program = stubbed(["g+2"], 2, 60)
    assert program.stdout.readline() == "started\n"
    children = psutil.Process(program.pid).children(recursive=True)
    assert len(children) >= 2
    program.kill()
    program.communicate()
    _, left = psutil.wait_procs(children, timeout=30)
    assert not left


def test_a_checker_that_cannot_start_is_said(stubbed, tmp_path):
    (tmp_path / "latex2sympy2_extended" / "latex2sympy2.py").write_text("raise ImportError('no parser')")
    program = stubbed(["g+2"], 1, 60)
    _, errors = program.communicate(timeout=300)
    assert program.returncode != 0 and "no parser" in errors
