"""Verdicts on completions: right, wrong, or why there is none, each within a time limit.

Plain numbers are compared here. The rest goes to `equality`, in processes whose hanging or crashing on a
hostile answer does no harm. Nothing is evaluated in this process.
"""

import logging
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from concurrent.futures import TimeoutError
from typing import Any

from pebble import ProcessExpired, ProcessPool

from asymre.rewards.boxed import last_boxed
from asymre.rewards.writing import number, tidy

VERDICTS = ("right", "wrong", "no_answer", "unparsable", "timeout")
MAX_LENGTH = 400  # characters; the longest answer of MATH has 159, and parsing grows faster than the length
MEMORY = 2 << 30  # bytes of address space of a process; no honest answer needs a tenth of it
_START_S = 300.0  # for a process to start


class Verifier:
    """Processes that check answers. Use in a `with` statement, from one thread."""

    def __init__(self, workers: int | None = None, timeout_s: float = 5.0):
        """Start the processes.

        workers: how many, of about 70 MB each; by default one per core of this job, at most 8. timeout_s:
        seconds that one check may take.
        """
        # A server that has imported parser and sympy forks them: safe beside CUDA, and quick after a loss.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["asymre.rewards.equality"])
        # A machine may have many more cores than this job.
        workers = workers or min(8, len(os.sched_getaffinity(0)))
        self._timeout_s, self._pool = timeout_s, ProcessPool(workers, initializer=_confine, context=context)
        try:
            self._pool.schedule(_verdict, ["1", "1"], timeout=_START_S).result()
        except ProcessExpired as error:
            raise RuntimeError("the process that checks answers does not start") from error

    def __enter__(self) -> "Verifier":
        return self

    def __exit__(self, *exception) -> None:
        self._pool.stop()
        self._pool.join()

    def verify(self, completions: list[str], golds: list[str]) -> list[str]:
        r"""Return one of `VERDICTS` for each completion, whose final answer is its last `\boxed{...}`.

        "no_answer": there is no box, or it does not close. "unparsable": longer than `MAX_LENGTH`, not
        mathematics, or too large for a process's memory. "timeout": the check took too long.
        """
        pairs = [(last_boxed(text), gold) for text, gold in zip(completions, golds, strict=True)]
        verdicts = {pair: _without_parser(*pair) for pair in set(pairs)}
        verdicts |= self.check([pair for pair in dict.fromkeys(pairs) if verdicts[pair] is None], _verdict)
        return [verdicts[pair] for pair in pairs]

    def gold_errors(self, golds: list[str]) -> list[str | None]:
        """Return for each gold answer why it cannot be verified against itself; None if it can."""
        reasons = {"right": None, "wrong": "is not equal to itself", "unparsable": "cannot be parsed"}
        reasons["timeout"] = f"takes more than {self._timeout_s:g} s to check"
        short = {gold for gold in golds if gold.strip() and len(gold) <= MAX_LENGTH}
        checked = self.check([(gold, gold) for gold in dict.fromkeys(golds) if gold in short], _verdict)
        errors = {gold: reasons[verdict] for (gold, _), verdict in checked.items()}
        too_long = f"has more than {MAX_LENGTH} characters"
        return [errors[g] if g in short else too_long if g.strip() else "is empty" for g in golds]

    def check(self, pairs: list[tuple[str, str]], function: Callable) -> dict[tuple[str, str], Any]:
        """Return what a function says of each pair in the processes, or why it says nothing."""
        tasks = {pair: self._pool.schedule(function, pair, timeout=self._timeout_s) for pair in pairs}
        verdicts = {}
        for pair, task in tasks.items():
            try:
                verdicts[pair] = task.result()
            except TimeoutError:
                verdicts[pair] = "timeout"
            except ProcessExpired:
                verdicts[pair] = "unparsable"
        return verdicts


def _without_parser(answer: str | None, gold: str) -> str | None:
    """Return the verdict if no mathematics is needed; otherwise None."""
    if answer is None:
        return "no_answer"
    if len(answer) > MAX_LENGTH:
        return "unparsable"
    value, expected = number(tidy(answer)), number(tidy(gold))
    return None if value is None or expected is None else "right" if value == expected else "wrong"


def _confine() -> None:
    """Limit the memory of this process, keep it silent, and let signals end it that its parent blocks."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    logging.disable(logging.CRITICAL)  # math-verify warns of each check without its own time limit
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY if hard < 0 else min(MEMORY, hard), hard))


def _verdict(answer: str, gold: str) -> str:
    # Parser and sympy stay out of the process of the caller.
    from asymre.rewards.equality import verdict

    return verdict(answer, gold)
