"""Report the progress of the whole workflow: jobs done, and an estimate of the time left.

A handler of Snakemake's log. The time left follows from the mean time of the finished jobs of each rule, and
from how many jobs have run at once. It is left out while most of the jobs left are of rules of which none has
finished: they may take hours where those that finished took seconds.
"""

import logging
import sys
import time
from collections import Counter, defaultdict
from typing import Any

EVERY_S = 10.0


class ProgressLine(logging.Handler):
    """Print to standard error, at most every few seconds."""

    def __init__(self):
        super().__init__()
        self._waiting: Counter[str] = Counter()  # jobs not finished, by rule
        self._running: dict[int, tuple[str, float]] = {}  # by job: rule, start
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)  # of finished jobs, by rule
        self._total, self._started, self._printed = 0, time.monotonic(), 0.0

    def emit(self, record: logging.LogRecord) -> None:
        # What Snakemake adds to its events' records.
        added: Any = record
        event = str(getattr(record, "event", ""))
        if event == "run_info":
            self._waiting = Counter({rule: n for rule, n in added.stats.items() if rule != "total"})
            self._total = self._waiting.total()
            self._started = time.monotonic()
        elif event == "job_info":
            self._running[added.jobid] = (added.rule_name, time.monotonic())
        elif event == "job_finished" and added.job_id in self._running:
            rule, start = self._running.pop(added.job_id)
            self._seconds[rule].append(time.monotonic() - start)
            self._waiting[rule] -= 1
            self._print()

    def _print(self) -> None:
        now, left = time.monotonic(), self._waiting.total()
        if now - self._printed >= EVERY_S or left == 0:
            self._printed = now
            done = self._total - left
            known = sum(self._waiting[rule] for rule in self._seconds)
            text = f", about {duration(self.seconds_left())} left" if left and 2 * known >= left else ""
            print(f"{done} of {self._total} jobs done{text}", file=sys.stderr, flush=True)

    def seconds_left(self) -> float:
        """Return an estimate. A rule without a finished job counts as a mean job."""
        spent = [s for seconds in self._seconds.values() for s in seconds]
        mean = sum(spent) / len(spent)
        means = {rule: sum(s) / len(s) for rule, s in self._seconds.items()}
        work = sum(n * means.get(rule, mean) for rule, n in self._waiting.items())
        at_once = max(sum(spent) / max(time.monotonic() - self._started, 1e-9), 1.0)
        return work / at_once


def duration(seconds: float) -> str:
    """Return `40 s`, `12 min` or `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
