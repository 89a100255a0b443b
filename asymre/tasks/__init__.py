"""The tasks that stand for data sets, one module each: arithmetic for stand-ins and for pretrained models.

A module here, if its name has no leading underscore, is a task. It defines TASK, a frozen dataclass with
the methods of `Task` whose fields are its settings (`asymre.fields`). The workflow hashes only the module
that a result names.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import ClassVar, Protocol

import numpy as np

# The characters of every task, one token each; the last one ends a solution.
SYMBOLS = "0123456789+-=,."
END = "."


class Task(Protocol):
    """A distribution over problems with exact answers. The training and test problems are disjoint."""

    end: ClassVar[str]  # the text that ends a completion
    corpus_settings: ClassVar[tuple[str, ...]]  # the settings that only worked solutions depend on
    distinct: ClassVar[bool]  # whether a data set holds a problem once at most
    solution_length: int  # characters of a well-formed solution, the longest

    def problem_count(self, split: str) -> int:
        """Return how many problems of a split, train or test, can be drawn."""
        ...

    def draw(self, count: int, split: str, rng: np.random.Generator) -> Iterator[tuple[str, int]]:
        """Draw prompts with their answers; a problem may occur twice."""
        ...

    @staticmethod
    def is_correct(completion: str, answer: int) -> bool:
        """Return whether a completion, which may be any text, ends in the correct answer."""
        ...

    @staticmethod
    def final_answer(completion: str) -> str:
        """Return the answer that the text gives, for counting distinct ones."""
        ...

    def description(self) -> str:
        """Return a phrase for the middle of a caption's sentence."""
        ...


class TaughtTask(Task, Protocol):
    """A task on which a stand-in is pretrained: it has worked solutions with slips.

    A prompt and a solution are texts of SYMBOLS; a solution ends in END. All prompts have one length.
    """

    prompt_length: int  # characters

    def worked_solutions(self, count: int, rng: np.random.Generator) -> list[str]:
        """Return training problems with a solution, in one text each, by a writer who slips."""
        ...


def load(name: str) -> type[Task]:
    """Return the task of the module `asymre.tasks.<name>`.

    Raises ModuleNotFoundError for a name without a module; the configuration checks names.
    """
    return import_module(f"asymre.tasks.{name}").TASK
