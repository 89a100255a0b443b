"""Sums and differences with written-out steps: what the arithmetic tasks share.

A problem is `37+8-6=`, its solution `45,39.`: the running results, the last of which is the answer.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from asymre.fields import Share
from asymre.tasks import END

FURTHER = range(1, 10)
RESULT_DIGITS = 2
_SOLUTION = re.compile(r"(?:[0-9]+,)*([0-9]+)\.")
TEST_SHARE = 0.1
# The share of all problems that may be drawn: finding different ones is slow when few remain.
DRAWN = 0.8


@dataclass(frozen=True)
class Sums(ABC):
    """A two-digit number, then one-digit numbers, `terms` in all; each task defines how a writer slips."""

    terms: Annotated[int, Ge(2), Le(5), "numbers per problem: one of two digits, then one-digit numbers"]
    operators: Annotated[Literal["+", "+-"], "between the numbers, each with the same probability"]
    error: Annotated[Share, "corpus: probability of a random result"] = 0.0

    end: ClassVar[str] = END
    distinct: ClassVar[bool] = True

    @abstractmethod
    def slips(self, running: np.ndarray, sign: np.ndarray, term: np.ndarray) -> np.ndarray:
        """Return the probability [count] of writing the step from `running` by `sign * term` ten too low."""

    @property
    def first(self) -> range:
        """The first number: such that no running result has more than two digits."""
        return range(10, 10**RESULT_DIGITS - FURTHER[-1] * (self.terms - 1))

    @property
    def prompt_length(self) -> int:
        """Characters of a prompt; the same for every problem of the distribution."""
        return 2 * self.terms + 1

    @property
    def solution_length(self) -> int:
        """Characters of a well-formed solution."""
        return (RESULT_DIGITS + 1) * (self.terms - 1)

    def problem_count(self, split: str) -> int:
        """Return how many different problems of a split can be drawn, apart from their signs."""
        share = TEST_SHARE if split == "test" else 1 - TEST_SHARE
        return int(DRAWN * share * len(self.first) * len(FURTHER) ** (self.terms - 1))

    def draw(self, count: int, split: str, rng: np.random.Generator) -> Iterator[tuple[str, int]]:
        """Draw `count` prompts such as `37+8-6=`, each with its answer."""
        terms, signs = draw_problems(self, count, split, rng)
        answers = running_results(terms, signs)[:, -1].tolist()
        return zip(prompt_texts(terms, signs), answers, strict=True)

    def worked_solutions(self, count: int, rng: np.random.Generator) -> list[str]:
        """Return `count` texts such as `37+8-6=45,39.`, by a writer who slips (`slipped_results`)."""
        terms, signs = draw_problems(self, count, "train", rng)
        written = slipped_results(self, terms, signs, rng)
        return [p + s for p, s in zip(prompt_texts(terms, signs), solution_texts(written), strict=True)]

    @staticmethod
    def is_correct(completion: str, answer: int) -> bool:
        """Return whether the text is numbers joined by commas, the last one correct, and a full stop.

        Anything else (malformed, empty, cut off before the full stop, text after it) is wrong.
        """
        match = _SOLUTION.fullmatch(completion)
        return match is not None and len(match[1]) <= RESULT_DIGITS and int(match[1]) == answer

    @staticmethod
    def final_answer(completion: str) -> str:
        """Return what follows the last comma."""
        return completion.rstrip(END).rpartition(",")[2]

    def description(self) -> str:
        """Return `sums of 3 numbers with written-out steps`."""
        kind = "sums" if self.operators == "+" else "sums and differences"
        return f"{kind} of {self.terms} numbers with written-out steps"


def draw_problems(
    task: Sums, count: int, split: str, rng: np.random.Generator
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
    """Return the exact running results [count, K-1] of problems; the last column is the answer."""
    return terms[:, :1] + np.cumsum(signs * terms[:, 1:], axis=1)


def slipped_results(task: Sums, terms: np.ndarray, signs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return running results [count, K-1] of a writer who slips, each step continuing from what was written.

    A slip leaves the tens one too low, whatever the sign, so that two slips never cancel.
    """
    running = terms[:, 0].copy()
    written = np.empty_like(signs)
    for step in range(signs.shape[1]):
        term, sign = terms[:, step + 1], signs[:, step]
        slips = rng.random(len(terms)) < task.slips(running, sign, term)
        result = running + sign * term - 10 * slips
        errs = rng.random(len(terms)) < task.error
        result = np.where(errs, rng.integers(0, 10**RESULT_DIGITS, len(terms)), result)
        # A slip can leave a negative result; the writer then wraps around.
        running = written[:, step] = result % 10**RESULT_DIGITS
    return written


def prompt_texts(terms: np.ndarray, signs: np.ndarray) -> list[str]:
    """Return `37+8-6=` for each row."""
    return [
        str(row[0]) + "".join(f"{'+' if s > 0 else '-'}{t}" for s, t in zip(sign, row[1:], strict=True)) + "="
        for row, sign in zip(terms.tolist(), signs.tolist(), strict=True)
    ]


def solution_texts(results: np.ndarray) -> list[str]:
    """Return `45,39.` for each row of running results."""
    return [",".join(f"{r:0{RESULT_DIGITS}d}" for r in row) + END for row in results.tolist()]
