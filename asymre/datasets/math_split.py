"""The problems of MATH that are used, and which are dropped.

Test problems are dropped only if their answer is an enormous number (`magnitude`), whose checks would not
end. Training problems are dropped, in this order, if they are exact duplicates (spacing aside), have an
enormous number, need a picture that they do not hold (`pictures`; `[asy]` code is part of a text), or, if so
configured, overlap a test problem (`overlaps`).
"""

import pyarrow as pa

from asymre.datasets.magnitude import is_enormous
from asymre.datasets.overlaps import overlaps
from asymre.datasets.pictures import lacks_picture


def test_problems(table: pa.Table) -> tuple[pa.Table, dict]:
    """Return the test problems that are used, and counts. table: from `readers.read_math`."""
    enormous = [is_enormous(answer) for answer in table["answer"].to_pylist()]
    lacking = sum(map(lacks_picture, table["prompt"].to_pylist()))
    counts = {"dropped": {"enormous number": sum(enormous)}, "picture missing, kept": lacking}
    return _without(table, enormous), counts


def training_problems(table: pa.Table, test: pa.Table, *, keep_overlaps: bool) -> tuple[pa.Table, dict]:
    """Return the training problems that are used, and counts. table, test: from `readers.read_math`."""
    in_test = overlaps(test["prompt"].to_pylist())
    dropped = dict.fromkeys(["duplicate", "enormous number", "picture missing", "overlaps the test"], 0)
    seen, drop, kept_overlaps = set(), [], 0
    for problem, answer in zip(table["prompt"].to_pylist(), table["answer"].to_pylist(), strict=True):
        text, reason = " ".join(problem.split()), None
        if text in seen:
            reason = "duplicate"
        elif is_enormous(answer):
            reason = "enormous number"
        elif lacks_picture(problem):
            reason = "picture missing"
        elif in_test(problem):
            reason = None if keep_overlaps else "overlaps the test"
            kept_overlaps += keep_overlaps
        seen.add(text)
        drop.append(reason is not None)
        if reason:
            dropped[reason] += 1
    return _without(table, drop), {"dropped": dropped, "overlaps the test, kept": kept_overlaps}


def _without(table: pa.Table, drop: list[bool]) -> pa.Table:
    return table.filter(pa.array([not row for row in drop], pa.bool_()))
