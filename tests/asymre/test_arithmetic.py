"""The arithmetic tasks: verifier, splits, exact and slipped results, problems, tokenizer."""

import re
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymre.datasets.problems import generate_problems, read_problems, write_problems
from asymre.engines.local import tokenizer
from asymre.tasks import END, SYMBOLS
from asymre.tasks._sums import (
    FURTHER,
    RESULT_DIGITS,
    draw_problems,
    prompt_texts,
    running_results,
    slipped_results,
    solution_texts,
)
from asymre.tasks.arithmetic import Arithmetic
from asymre.tasks.uneven import Uneven

is_correct = Arithmetic.is_correct

TASKS = [Arithmetic(3, "+"), Arithmetic(4, "+-"), Arithmetic(5, "+-")]
derandomised = settings(derandomize=True, deadline=None, max_examples=300)


def draw(task, count=2000, split="train", seed=0):
    return draw_problems(task, count, split, np.random.default_rng(seed))


def slipped(terms, signs, slip, error, seed=0):
    task = Arithmetic(terms.shape[1], "+-", slip=slip, error=error)
    return slipped_results(task, terms, signs, np.random.default_rng(seed))


@pytest.mark.parametrize("text", ["73.", "85,73.", "1,85,73.", "12345678901,73."])
def test_right_answers(text):
    assert is_correct(text, 73)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        ",",
        "73",  # cut off before the full stop
        "85,73",
        "74.",  # wrong
        "73,74.",  # right on the way, wrong at the end
        "85,,73.",
        ",73.",
        "85,73,.",
        "85,73..",
        "85.73.",
        "85,73.1",
        "85,+73.",
        "85,-73.",
        "37+48=73.",
        "0" * RESULT_DIGITS + "73.",  # longer than any result
        " 73.",
        "73 .",
        "73.\n",
        "\n73.",
        "85,\n73.",
        "73\n.",
        "73.\r",
        "73.\x00",
        "７３.",  # full-width digits
        "٧٣.",  # arabic-indic digits
        "7³.",  # a superscript is a digit to str.isdigit
        "8٥,73.",
        "73．",
        "7_3.",
        "7e1.",
        "0x49.",
        "73.0.",
        "nan.",
    ],
)
def test_wrong_answers(text):
    assert not is_correct(text, 73)


def test_answer_zero_and_leading_zeros():
    assert is_correct("0" * RESULT_DIGITS + ".", 0) and is_correct("0.", 0)
    assert is_correct("5.".zfill(RESULT_DIGITS + 1), 5)
    assert not is_correct("", 0) and not is_correct(".", 0)


@pytest.mark.parametrize(
    "text",
    [
        "9" * 1_000_000 + ".",
        "1," * 500_000 + "73.",
        "1" * 1_000_000,
        "1," * 500_000,
        "," * 1_000_000,
    ],
    ids=["long number", "many numbers", "no end", "no last number", "commas"],
)
def test_hostile_answers_are_judged_in_linear_time(text):
    """int() refuses more than 4,300 digits, and a careless pattern backtracks for years."""
    started = time.process_time()
    assert is_correct(text, 73) == text.endswith(",73.")
    assert time.process_time() - started < 1


@derandomised
@given(
    st.lists(st.sampled_from(["7", "3", "73", "0", ",", "85,", "-", "+", "\n", "٣"]), max_size=4),
    st.sampled_from(["", ".", ".", "..", ".\n"]),
    st.sampled_from([7, 73]),
)
def test_verifier_agrees_with_a_plain_reading(pieces, end, answer):
    text = "".join(pieces) + end
    numbers = text[:-1].split(",")
    well_formed = text.endswith(END) and all(re.fullmatch("[0-9]+", n) for n in numbers)
    right = well_formed and len(numbers[-1]) <= RESULT_DIGITS and int(numbers[-1]) == answer
    assert is_correct(text, answer) == right


@pytest.mark.parametrize("task", TASKS)
def test_exact_solutions_are_right_and_others_wrong(task):
    terms, signs = draw(task)
    results = running_results(terms, signs)
    texts = solution_texts(results)
    assert {len(text) for text in texts} == {task.solution_length}
    assert {len(text) for text in prompt_texts(terms, signs)} == {task.prompt_length}
    for text, answer in zip(texts, results[:, -1].tolist(), strict=True):
        assert is_correct(text, answer)
        assert not is_correct(text, answer + 1) and not is_correct(text[:-1], answer)


@pytest.mark.parametrize("task", TASKS)
def test_running_results_are_those_of_python(task):
    terms, signs = draw(task)
    results = running_results(terms, signs)
    for prompt, row in zip(prompt_texts(terms, signs), results.tolist(), strict=True):
        assert re.fullmatch(r"[1-9][0-9]*([-+][1-9][0-9]*)+=", prompt)
        parts = re.findall(r"[-+]?[0-9]+", prompt)
        assert [eval("".join(parts[:n])) for n in range(2, len(parts) + 1)] == row
    assert 0 <= results.min() and results.max() < 10**RESULT_DIGITS
    assert ((signs == -1).mean() > 0.3) == ("-" in task.operators)


@pytest.mark.parametrize("task", TASKS)
def test_splits_are_disjoint_for_every_seed(task):
    """Drawn with different seeds, no prompt is in both; the test split is a tenth of all."""
    train = {p for seed in range(3) for p in prompt_texts(*draw(task, 5000, "train", seed))}
    test = {p for seed in range(3, 6) for p in prompt_texts(*draw(task, 5000, "test", seed))}
    assert len(test) > 100 and not train & test
    if task == TASKS[0]:  # small enough that both splits are complete or nearly so
        assert 0.07 < len(test) / len(train | test) < 0.15


@pytest.mark.parametrize("task", TASKS)
def test_without_slips_and_errors_the_results_are_exact(task):
    terms, signs = draw(task)
    expected = running_results(terms, signs)
    np.testing.assert_array_equal(slipped(terms, signs, 0, 0), expected)


def crossings(terms, signs):
    """Whether each step carries or borrows, read off the written digits."""
    results = running_results(terms, signs)
    before = np.concatenate([terms[:, :1], results[:, :-1]], axis=1)
    tens_of_term = terms[:, 1:] // 10
    return results // 10 != before // 10 + signs * tens_of_term


@pytest.mark.parametrize("task", TASKS)
def test_slips_lower_exactly_what_carries_or_borrows(task):
    """Each slip takes ten off for good; below zero the writer wraps around."""
    terms, signs = draw(task)
    crosses = crossings(terms, signs)
    assert 0.2 < crosses.mean() < 0.8
    assert signs[crosses].min() == (-1 if "-" in task.operators else 1)
    lowered = running_results(terms, signs) - 10 * crosses.cumsum(axis=1)
    np.testing.assert_array_equal(slipped(terms, signs, 1, 0), lowered % 10**RESULT_DIGITS)


@pytest.mark.parametrize("task", TASKS)
def test_slips_never_cancel(task):
    """Once a result is wrong, all later ones are: no answer is right by two wrongs."""
    terms, signs = draw(task)
    wrong = slipped(terms, signs, 0.5, 0) != running_results(terms, signs)
    np.testing.assert_array_equal(wrong, np.maximum.accumulate(wrong, axis=1))
    crosses = crossings(terms, signs)
    assert not wrong[~crosses.any(axis=1)].any()
    first = crosses[:, 0]
    assert wrong[first, 0].mean() == pytest.approx(0.5, abs=0.06)


def test_errors_are_random_results():
    terms, signs = draw(TASKS[0], 5000)
    written = slipped(terms, signs, 0, 1)
    assert set(written.flatten()) == set(range(10**RESULT_DIGITS))
    wrong = slipped(terms, signs, 0, 0.2)[:, 0] != running_results(terms, signs)[:, 0]
    assert wrong.mean() == pytest.approx(0.2 * (1 - 10.0**-RESULT_DIGITS), abs=0.02)


UNEVEN = Uneven(4, "+-", always=0.25, alpha=0.5, beta=0.5)


def test_uneven_slips_are_u_shaped_and_follow_from_the_table():
    rates = UNEVEN.slip_rates
    units, terms = np.arange(10)[:, None], np.array(FURTHER)
    crossing = np.stack([units + terms > 9, units - terms < 0])
    assert (rates[~crossing] == 0).all() and (rates[crossing] > 0).all()
    for sign in (0, 1):
        assert (rates[sign] == 1).sum() == round(0.25 * 45)
    others = rates[crossing & (rates < 1)]
    inner = ((others > 0.25) & (others < 0.75)).mean()
    assert inner < 0.45 < ((others < 0.25) | (others > 0.75)).mean()
    again, other = Uneven(4, "+-", always=0.25, alpha=0.5, beta=0.5), Uneven(4, "+-", table=1)
    assert (again.slip_rates == rates).all() and not (other.slip_rates == rates).all()


def test_uneven_steps_are_slipped_as_often_as_the_table_says():
    terms, signs = draw(UNEVEN, count=40_000)
    written = slipped_results(UNEVEN, terms, signs, np.random.default_rng(1))
    wrong = (terms[:, 0] + signs[:, 0] * terms[:, 1] - written[:, 0]) % 100
    assert set(wrong) == {0, 10}
    for sign in (1, -1):
        for units in range(10):
            for term in FURTHER:
                rows = (signs[:, 0] == sign) & (terms[:, 0] % 10 == units) & (terms[:, 1] == term)
                rate = UNEVEN.slip_rates[int(sign < 0), units, term - 1]
                assert (wrong[rows] == 10).mean() == pytest.approx(rate, abs=0.18)


def test_both_tasks_draw_the_same_problems():
    even, uneven = Arithmetic(4, "+-"), UNEVEN
    for split in ("train", "test"):
        texts = [list(t.draw(50, split, np.random.default_rng(0))) for t in (even, uneven)]
        assert texts[0] == texts[1]


@pytest.mark.parametrize("split", ["train", "test"])
def test_problems_are_different_and_follow_from_the_seed(split):
    table = generate_problems(TASKS[1], count=300, split=split, seed=5)
    assert table.equals(generate_problems(TASKS[1], count=300, split=split, seed=5))
    assert not table.equals(generate_problems(TASKS[1], count=300, split=split, seed=6))
    rows = table.to_pylist()
    assert [row["problem_id"] for row in rows] == list(range(300))
    assert len({row["prompt"] for row in rows}) == 300
    assert all(eval(row["prompt"][:-1]) == row["answer"] for row in rows)


def test_problems_on_disk(tmp_path, problems):
    path = tmp_path / "train.parquet"
    write_problems(path, problems)
    assert read_problems(path).equals(problems)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError):
        read_problems(path)
    for table, message in (
        (problems.drop_columns("answer"), "columns"),
        (problems.slice(0, 0), "rows"),
    ):
        pq.write_table(table, path)
        with pytest.raises(ValueError, match=message):
            read_problems(path)


def test_tokenizer_round_trip():
    texts = ["37+8-6=45,39.", "0.", ".", SYMBOLS]
    ids = tokenizer.encode(texts, 20)
    assert ids.shape == (4, 20) and ids.max() < tokenizer.VOCABULARY_SIZE == len(SYMBOLS)
    assert tokenizer.decode(ids) == texts
    assert [SYMBOLS[i] for i in ids[0]] == list(texts[0]) + [END] * 7
    assert tokenizer.decode(tokenizer.encode(["12,3"], 4)) == ["12,3"]  # cut off: no end token


@pytest.mark.parametrize("text", ["12345", "a", " ", "é", "\n", "٣", "1\x00", "😀"])
def test_tokenizer_refuses_what_does_not_fit(text):
    with pytest.raises(ValueError, match="cannot encode"):
        tokenizer.encode(["12", text], 4)
