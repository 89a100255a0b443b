"""Verdicts on completions: right, wrong, or why there is none, each within a time limit.

Equality that needs no parser is decided here. The rest goes to `equality`, in processes whose hanging or
crashing on a hostile answer does no harm (`answer_worker`). Nothing is evaluated in this process.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from asymre.rewards import answer_worker
from asymre.rewards.boxed import last_boxed, surely_different, surely_equal

VERDICTS = ("right", "wrong", "no_answer", "unparsable", "timeout")

# Characters. The longest answer of MATH has 159; parsing time grows faster than the length.
MAX_LENGTH = 400

# Seconds beyond a check's own limit, for a process that does not end by itself; and for one to start.
_GRACE = 10.0
_START = 300.0

# Where the worker processes find this package.
_ROOT = str(Path(__file__).parents[2])


class Verifier:
    """Processes that check answers. Use in a `with` statement, from one thread."""

    def __init__(self, workers: int | None = None, timeout_s: float = 5.0):
        """Start the processes.

        workers: how many, of about 70 MB each; by default one per core of this job, at most 8. timeout_s:
        seconds that one check may take.
        """
        # A machine may have many more cores than this job.
        workers = workers or min(8, len(os.sched_getaffinity(0)))
        if find_spec("latex2sympy2_extended") is None:
            raise ValueError("the parser of math-verify is not installed: run make setup")
        self._timeout_s = timeout_s
        self._workers = [_Worker(timeout_s) for _ in range(workers)]

    def __enter__(self) -> "Verifier":
        return self

    def __exit__(self, *exception) -> None:
        for worker in self._workers:
            worker.stop()

    def verify(self, completions: list[str], golds: list[str]) -> list[str]:
        r"""Return one of `VERDICTS` for each completion, whose final answer is its last `\boxed{...}`.

        "no_answer": there is no box, or it does not close. "unparsable": longer than `MAX_LENGTH`, not
        mathematics, or too large for a process's memory. "timeout": the check took too long.
        """
        pairs = [(last_boxed(text), gold) for text, gold in zip(completions, golds, strict=True)]
        verdicts = {pair: _without_parser(*pair) for pair in set(pairs)}
        verdicts |= self._check([pair for pair in dict.fromkeys(pairs) if verdicts[pair] is None])
        return [verdicts[pair] for pair in pairs]

    def gold_errors(self, golds: list[str]) -> list[str | None]:
        """Return for each gold answer why it cannot be verified against itself; None if it can."""
        reasons = {
            "right": None,
            "wrong": "is not equal to itself",
            "unparsable": "cannot be parsed",
            "timeout": f"takes more than {self._timeout_s:g} s to check",
        }
        short = {gold for gold in golds if gold.strip() and len(gold) <= MAX_LENGTH}
        checked = self._check([(gold, gold) for gold in dict.fromkeys(golds) if gold in short])
        errors = {gold: reasons[verdict] for (gold, _), verdict in checked.items()}
        too_long = f"has more than {MAX_LENGTH} characters"
        return [errors[g] if g in short else too_long if g.strip() else "is empty" for g in golds]

    def _check(self, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return the processes' verdicts on pairs (answer, gold)."""
        waiting, verdicts = deque(pairs), {}

        def work(worker: _Worker) -> None:
            while True:
                try:
                    pair = waiting.popleft()
                except IndexError:
                    return
                verdicts[pair] = worker.check(*pair)

        with ThreadPoolExecutor(len(self._workers)) as pool:
            try:
                list(pool.map(work, self._workers))
            finally:
                # After an interruption, drop the rest.
                waiting.clear()
        return verdicts


def _without_parser(answer: str | None, gold: str) -> str | None:
    """Return the verdict if no mathematics is needed; otherwise None."""
    if answer is None:
        return "no_answer"
    if len(answer) > MAX_LENGTH:
        return "unparsable"
    if surely_different(answer, gold):
        return "wrong"
    return "right" if surely_equal(answer, gold) else None


class _Worker:
    """One process with one request at a time, restarted if it is lost."""

    def __init__(self, timeout_s: float):
        self._timeout_s = timeout_s
        self._start()

    def _start(self) -> None:
        # Not multiprocessing: it forks, which is unsafe with CUDA, or imports the caller's script again.
        # -P keeps this package's folder, whose modules may shadow others, out of the import path.
        command = [sys.executable, "-P", answer_worker.__file__, str(self._timeout_s)]
        path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), _ROOT]))
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=pipe,
            bufsize=0,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        self._ready = False

    def check(self, answer: str, gold: str) -> str:
        if not self._ready:
            if self._reply(_START) != "ready":
                raise RuntimeError("the process that checks answers does not start")
            self._ready = True
        request = json.dumps({"answer": answer, "gold": gold}) + "\n"
        try:
            self._process.stdin.write(request.encode())
            verdict = self._reply(self._timeout_s + _GRACE)
        except BrokenPipeError:
            verdict = ""
        if not verdict:
            self.stop()
            self._start()
        return {None: "timeout", "": "unparsable"}.get(verdict, verdict)

    def _reply(self, seconds: float) -> str | None:
        """Return the next line; empty if the process has ended, None if no line comes within `seconds`."""
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        return self._process.stdout.readline().decode().strip() if ready else None

    def stop(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
