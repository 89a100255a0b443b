r"""The part of NuminaMath that can be trained on: final answers that can be verified, nothing held out.

A row of NuminaMath-1.5 is kept if, in this order,

1. it is not synthetic,
2. its problem and its solution were both found valid ("Yes"),
3. its question type is "math-word-problem": no proof, no multiple choice,
4. it has a final answer: not empty, "proof" or "notfound", nor the letter of a choice,
5. its answer is no enormous number (`magnitude`), whose checks would not end,
6. it needs no picture that it does not hold (`pictures`),
7. no earlier row has the same problem, word for word,
8. it overlaps no held-out problem (`overlaps`),
9. the verifier finds its answer equal to itself.
"""

import re
from collections.abc import Callable, Iterable

import pyarrow as pa

from asymre.datasets.overlaps import overlaps, words
from asymre.datasets.pictures import lacks_picture
from asymre.datasets.readers import choose
from asymre.rewards.boxed import number
from asymre.rewards.magnitude import is_enormous
from asymre.rewards.writing import normalise
from asymre.seeding import numpy_stream

COLUMNS = (
    "problem",
    "answer",
    "source",
    "synthetic",
    "problem_is_valid",
    "solution_is_valid",
    "question_type",
)
_NO_ANSWER = {"", "proof", "notfound", "not found"}
_LETTER = re.compile("[A-Ea-e]")
_REASONS = (
    "synthetic",
    "not valid",
    "question type",
    "no final answer",
    "enormous number",
    "picture missing",
    "duplicate",
    "held out",
)


def verifiable_problems(
    table: pa.Table, held_out: Iterable[str], gold_errors: Callable[[list[str]], list[str | None]]
) -> tuple[pa.Table, dict[str, int]]:
    """Return the rows to keep, with columns prompt, answer and source, and counts of the dropped, by reason.

    table: `COLUMNS`. held_out: texts of problems. gold_errors: as `Verifier.gold_errors`.
    """
    is_held_out = overlaps(held_out)
    dropped: dict[str, int] = dict.fromkeys(_REASONS, 0)
    kept, seen = [], set()
    for row, values in enumerate(zip(*(table[name].to_pylist() for name in COLUMNS), strict=True)):
        problem, answer, source, *_ = values
        reason = _unusable(*values)
        if not reason:
            own = " ".join(words(problem))
            reason = "duplicate" if own in seen else "held out" if is_held_out(problem) else None
            seen.add(own)
        if reason:
            dropped[reason] += 1
        else:
            kept.append((problem.strip(), answer.strip(), f"{source}:{row}"))
    # Numbers need no parser.
    unsure = [answer for _, answer, _ in kept if number(normalise(answer)) is None]
    errors = dict(zip(unsure, gold_errors(unsure), strict=True))
    verifiable = [row for row in kept if errors.get(row[1]) is None]
    dropped["not verifiable"] = len(kept) - len(verifiable)
    columns = zip(*verifiable, strict=True) if verifiable else [(), (), ()]
    arrays = [pa.array(values, pa.string()) for values in columns]
    return pa.table(arrays, names=["prompt", "answer", "source"]), dropped


def split(problems: pa.Table, *, train: int, test: int, seed: int) -> tuple[pa.Table, pa.Table]:
    """Return `train` and `test` problems in `readers.SCHEMA`; no training problem overlaps a test problem.

    ValueError if there are too few.
    """
    test_problems = choose(problems, test, numpy_stream("problems", seed, "test"), "test")
    in_test = overlaps(test_problems["prompt"].to_pylist())
    others = pa.array([not in_test(prompt) for prompt in problems["prompt"].to_pylist()], pa.bool_())
    stream = numpy_stream("problems", seed, "train")
    return choose(problems.filter(others), train, stream, "train"), test_problems


def _unusable(problem, answer, source, synthetic, problem_is_valid, solution_is_valid, question_type):
    """Return the first reason in the row itself to drop it; None if there is none."""
    if synthetic:
        return "synthetic"
    if problem_is_valid != "Yes" or solution_is_valid != "Yes":
        return "not valid"
    if question_type != "math-word-problem":
        return "question type"
    final = normalise(answer or "")
    if not problem or final.lower() in _NO_ANSWER or _LETTER.fullmatch(final):
        return "no final answer"
    if is_enormous(answer):
        return "enormous number"
    return "picture missing" if lacks_picture(problem) else None
