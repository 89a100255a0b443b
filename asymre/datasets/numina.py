r"""The part of NuminaMath that can be trained on: final answers that can be verified, nothing held out.

A row of NuminaMath-1.5 is kept if, in this order,

1. it is not synthetic,
2. its problem and its solution were both found valid ("Yes"),
3. its question type is "math-word-problem": no proof, no multiple choice,
4. it has a final answer: not empty, "proof" or "notfound", nor the letter of a choice,
5. neither its problem nor its answer lost LaTeX commands to JSON's escapes (`readers.eaten_latex`),
6. its answer is no sentence, of five words or more, and not one of several parts, `(1) 5; (2) 6`,
7. its answer is no enormous number (`magnitude`), whose checks would not end,
8. it needs no picture that it does not hold (`pictures`),
9. no earlier row has the same problem, word for word,
10. it overlaps no held-out problem (`overlaps`),
11. the verifier finds its answer equal to itself.
"""

import re
from collections.abc import Callable, Iterable

import pyarrow as pa

from asymre.datasets.magnitude import is_enormous
from asymre.datasets.overlaps import overlaps, words
from asymre.datasets.pictures import lacks_picture
from asymre.datasets.readers import choose, eaten_latex
from asymre.rewards.writing import number, tidy
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
TEXTS = ("problem", "answer")
_NO_ANSWER = {"", "proof", "notfound", "not found"}
_LETTER = re.compile("[A-Ea-e]")
# Of two letters or more, in any alphabet, and no command.
_WORD = re.compile(r"(?<!\\)\b[^\W\d_]{2,}\b")
_SENTENCE = 5
# Without blanks and fonts. What follows a label is no bracket: (1)(2) is a permutation.
_LABELS = (("1", "2"), ("a", "b"), ("A", "B"), ("i", "ii"), ("I", "II"))
_PARTS = re.compile(
    "|".join(rf"\(?{one}\)[^\s,;(].*(?:\(|(?<![\w(])){two}\)[^\s,;(]" for one, two in _LABELS), re.S
)
_REASONS = (
    "synthetic",
    "not valid",
    "question type",
    "no final answer",
    "damaged LaTeX",
    "sentence",
    "several parts",
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
    unsure = [answer for _, answer, _ in kept if number(tidy(answer)) is None]
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
    # Read as text, and text in some copies of the data set.
    if str(synthetic).strip().lower() not in ("false", "none", "0", ""):
        return "synthetic"
    if problem_is_valid != "Yes" or solution_is_valid != "Yes":
        return "not valid"
    if question_type != "math-word-problem":
        return "question type"
    final = re.sub(r"\\text ?\{([^{}]*)\}|\s", r"\1", tidy(answer or ""))
    if not problem or final.lower() in _NO_ANSWER or _LETTER.fullmatch(final.strip("()")):
        return "no final answer"
    if eaten_latex(problem) or eaten_latex(answer):
        return "damaged LaTeX"
    if _is_sentence(answer):
        return "sentence"
    if _PARTS.match(final):
        return "several parts"
    if is_enormous(answer):
        return "enormous number"
    return "picture missing" if lacks_picture(problem) else None


def _is_sentence(answer: str) -> bool:
    """Whether an answer is a sentence, which no other answer equals; the words of cases are conditions."""
    return r"\begin" not in answer and len(_WORD.findall(answer)) >= _SENTENCE
