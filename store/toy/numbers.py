"""Integers: drawn, summed, written to text files."""

import random
from itertools import accumulate
from pathlib import Path


def draw(seed: int, count: int) -> list[int]:
    """Return integers from 0 to 99."""
    generator = random.Random(seed)
    return [generator.randint(0, 99) for _ in range(count)]


def running_sums(values: list[int], start: int) -> list[int]:
    """Return the sum after each value."""
    return list(accumulate(values, initial=start))[1:]


def write(path: Path, values: list[int]) -> None:
    path.write_text("".join(f"{value}\n" for value in values), encoding="utf-8")


def read(path: Path) -> list[int]:
    return [int(line) for line in path.read_text(encoding="utf-8").splitlines()]
