"""The tasks that stand for data sets, one module each: problems that a small decoder learns in a minute.

A module here, if its name has no leading underscore, is a task. It defines TASK, a frozen dataclass whose
fields are its settings (`asymre.fields`), and which answers what `Task` asks. The workflow hashes only the
module that a result names.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import ClassVar, Protocol

import numpy as np

# What every task is written in: a token a character, the last one ends a solution.
SYMBOLS = "0123456789+-=,."
END = "."


class Task(Protocol):
    """A distribution over problems with exact answers, and worked solutions with slips for a base policy.

    A prompt and a solution are texts of SYMBOLS; a solution ends in END. All prompts have one length, and the
    training and test problems are disjoint for every seed.
    """

    corpus_settings: ClassVar[tuple[str, ...]]  # the settings that decide worked solutions alone
    prompt_length: int  # characters
    solution_length: int  # characters of a well-formed solution, the longest

    def problem_count(self, split: str) -> int:
        """So many different problems of a split, train or test, can be drawn without much repetition."""

    def draw(self, count: int, split: str, rng: np.random.Generator) -> Iterator[tuple[str, int]]:
        """Draw prompts with their answers; a problem may come twice."""

    def worked_solutions(self, count: int, rng: np.random.Generator) -> list[str]:
        """Return prompt and solution, in one text, of training problems, by a writer who slips."""

    @staticmethod
    def is_correct(completion: str, answer: int) -> bool:
        """Return whether a completion ends in the right answer; it may be any text."""

    @staticmethod
    def final_answer(completion: str) -> str:
        """Return what the text gives as its answer, for counting different ones."""

    def description(self) -> str:
        """For captions, in the middle of a sentence."""


def load(name: str) -> type[Task]:
    """Return the task of the module `asymre.tasks.<name>`.

    Raises ModuleNotFoundError for a name without a module; the configuration checks names.
    """
    return import_module(f"asymre.tasks.{name}").TASK
