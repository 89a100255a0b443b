"""Arithmetic for a pretrained model: a problem such as `23 + 8 =` behind a few worked lines.

The answer is the rest of the line. How hard a problem is, is up to the model.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from asymre.fields import UNIQUE

_RESULT = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
# fmt: off
Kind = Literal[
    "1+1", "1+2", "1+3", "2+1", "2+2", "2+3", "3+1", "3+2", "3+3",
    "1-1", "1-2", "1-3", "2-1", "2-2", "2-3", "3-1", "3-2", "3-3",
    "1*1", "1*2", "1*3", "2*1", "2*2", "2*3", "3*1", "3*2", "3*3",
]
# fmt: on
TEST_SHARE = 0.2
_ANSWER = re.compile(r" ?([0-9]+)")


@dataclass(frozen=True)
class FewShot:
    """Problems of several kinds, equally often, behind worked lines. No result is negative."""

    kinds: Annotated[list[Kind], UNIQUE, "digits of both numbers, and the sign: 2+1 is 23 + 8"]
    examples: Annotated[list[str], "worked lines before each problem, such as 7 + 5 = 12"]

    end: ClassVar[str] = "\n"
    corpus_settings: ClassVar[tuple[str, ...]] = ()
    # There are few problems of one digit.
    distinct: ClassVar[bool] = False

    @property
    def prefix(self) -> str:
        """The worked lines, with which every prompt begins."""
        return "".join(f"{line}\n" for line in self.examples)

    @property
    def longest_prompt(self) -> str:
        """A prompt of at least as many characters as any other."""
        return f"{self.prefix}999 + 999 ="

    @property
    def solution_length(self) -> int:
        """Characters of a blank, the longest result and the line break."""
        digits = ((int(kind[0]), int(kind[2])) for kind in self.kinds)
        return 2 + max(sum(pair) for pair in digits)

    def problem_count(self, split: str) -> int:
        """Return a number without meaning: problems repeat."""
        return 10**9

    def draw(self, count: int, split: str, rng: np.random.Generator) -> Iterator[tuple[str, int]]:
        """Draw prompts with their answers. A fixed hash of a problem decides its split."""
        prefix = self.prefix
        for kind in rng.choice(self.kinds, count).tolist():
            while True:
                first, second = (
                    int(rng.integers(10 ** (int(n) - 1), 10 ** int(n))) for n in (kind[0], kind[2])
                )
                if kind[1] == "-" and first < second:
                    first, second = second, first
                problem = f"{first} {kind[1]} {second} ="
                answer = _RESULT[kind[1]](first, second)
                if (
                    _in_test_split(problem) == (split == "test")
                    and f"{problem} {answer}" not in self.examples
                ):
                    break
            yield prefix + problem, answer

    @staticmethod
    def is_correct(completion: str, answer: int) -> bool:
        """Return whether the line, which has to end, is the answer in digits, after one blank or none."""
        line, end, _ = completion.partition(FewShot.end)
        match = _ANSWER.fullmatch(line)
        # Longer numbers are wrong, and cost time.
        return bool(end) and match is not None and len(match[1]) <= 9 and int(match[1]) == answer

    @staticmethod
    def final_answer(completion: str) -> str:
        """Return the line."""
        return completion.partition(FewShot.end)[0].strip()

    def description(self) -> str:
        """Return `problems such as 7 + 5 =, of the kinds ..., behind 3 worked lines`."""
        kinds = ", ".join(self.kinds)
        return f"arithmetic of the kinds {kinds} (digits and sign) behind {len(self.examples)} worked lines"


def _in_test_split(problem: str) -> bool:
    # CRC-32 as a fixed hash: Python's own differs from process to process.
    return zlib.crc32(problem.encode()) % round(1 / TEST_SHARE) == 0


TASK = FewShot
