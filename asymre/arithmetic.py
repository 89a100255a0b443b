"""Arithmetic with written-out intermediate results: the tasks that stand in for MATH and NuminaMath.

A problem is `37+8-6=`, its solution `45,39.`: the running results, the last one is the answer.
"""

import re
from dataclasses import dataclass

import numpy as np

SYMBOLS = "0123456789+-=,."
END = "."
FURTHER = range(1, 10)
RESULT_DIGITS = 2
_SOLUTION = re.compile(r"(?:[0-9]+,)*([0-9]+)\.")
TEST_SHARE = 0.1


@dataclass(frozen=True)
class Arithmetic:
    """A distribution over problems: a two-digit number, then one-digit numbers, `terms` in all.

    `operators` is "+" or "+-" (each with probability 1/2).
    """

    terms: int
    operators: str

    @property
    def first(self) -> range:
        """The first number: such that no running result has more than two digits."""
        return range(10, 10**RESULT_DIGITS - FURTHER[-1] * (self.terms - 1))

    @property
    def problem_count(self) -> int:
        """Different problems, signs apart."""
        return len(self.first) * len(FURTHER) ** (self.terms - 1)

    @property
    def prompt_length(self) -> int:
        """Characters of a prompt; the same for every problem of the distribution."""
        return 2 * self.terms + 1

    @property
    def solution_length(self) -> int:
        """Characters of a well-formed solution."""
        return (RESULT_DIGITS + 1) * (self.terms - 1)


def draw_problems(
    task: Arithmetic, count: int, split: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw `count` problems of a split ("train" or "test"): terms [count, K], signs [count, K-1].

    The splits are disjoint for every seed: a fixed hash of the problem decides. No running result
    is negative: a sign that would make it so is drawn as "+".
    """
    terms, signs = (np.empty((0, task.terms), int), np.empty((0, task.terms - 1), int))
    while len(terms) < count:
        new_terms = rng.integers(FURTHER.start, FURTHER.stop, size=(2 * count, task.terms))
        new_terms[:, 0] = rng.integers(task.first.start, task.first.stop, size=2 * count)
        minus = rng.random((2 * count, task.terms - 1)) < 0.5
        new_signs = np.where(minus & ("-" in task.operators), -1, 1)
        running = new_terms[:, 0].copy()
        for step in range(task.terms - 1):
            new_signs[:, step] = np.where(running < new_terms[:, step + 1], 1, new_signs[:, step])
            running += new_signs[:, step] * new_terms[:, step + 1]
        keep = _in_test_split(new_terms, new_signs) == (split == "test")
        terms = np.concatenate([terms, new_terms[keep]])
        signs = np.concatenate([signs, new_signs[keep]])
    return terms[:count], signs[:count]


def _in_test_split(terms: np.ndarray, signs: np.ndarray) -> np.ndarray:
    key = np.zeros(len(terms), np.uint64)
    for column in (*terms.T, *(signs.T + 1)):
        key = key * np.uint64(6364136223846793005) + column.astype(np.uint64) + np.uint64(1)
        key ^= key >> np.uint64(29)
    return (key >> np.uint64(17)) % np.uint64(round(1 / TEST_SHARE)) == 0


def running_results(terms: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """The exact running results [count, K-1] of problems; the last column is the answer."""
    return terms[:, :1] + np.cumsum(signs * terms[:, 1:], axis=1)


def slipped_results(
    terms: np.ndarray, signs: np.ndarray, *, slip: float, error: float, rng: np.random.Generator
) -> np.ndarray:
    """Running results [count, K-1] of a writer who slips, each step continuing from what was written.

    With probability `slip` a carry from the units is forgotten, or a borrow taken twice: both leave the
    tens one too low, so that two slips never cancel. With probability `error` a result is random.
    """
    running = terms[:, 0].copy()
    written = np.empty_like(signs)
    for step in range(signs.shape[1]):
        term, sign = terms[:, step + 1], signs[:, step]
        units = running % 10 + sign * (term % 10)
        crosses_ten = (units > 9) | (units < 0)
        slips = crosses_ten & (rng.random(len(terms)) < slip)
        result = running + sign * term - 10 * slips
        errs = rng.random(len(terms)) < error
        result = np.where(errs, rng.integers(0, 10**RESULT_DIGITS, len(terms)), result)
        # A slip can leave a negative result; the writer then wraps around.
        running = written[:, step] = result % 10**RESULT_DIGITS
    return written


def prompt_texts(terms: np.ndarray, signs: np.ndarray) -> list[str]:
    """`37+8-6=` for each row."""
    return [
        str(row[0]) + "".join(f"{'+' if s > 0 else '-'}{t}" for s, t in zip(sign, row[1:], strict=True)) + "="
        for row, sign in zip(terms.tolist(), signs.tolist(), strict=True)
    ]


def solution_texts(results: np.ndarray) -> list[str]:
    """`45,39.` for each row of running results."""
    return [",".join(f"{r:0{RESULT_DIGITS}d}" for r in row) + END for row in results.tolist()]


def is_correct(completion: str, answer: int) -> bool:
    """Whether the text ends in the right answer: numbers joined by commas, the last one exact, a full stop.

    Anything else (malformed, empty, cut off before the full stop, text after it) is wrong.
    """
    match = _SOLUTION.fullmatch(completion)
    return match is not None and len(match[1]) <= RESULT_DIGITS and int(match[1]) == answer
