"""Judge completions: verdicts (`verifier.VERDICTS`) and final answers."""

from asymre.rewards.boxed import last_boxed
from asymre.rewards.verifier import Verifier
from asymre.tasks import load


def judge(texts: list[str], golds: list, verifier: str) -> tuple[list[str], list[str]]:
    """Return verdicts and final answers of texts. verifier: "boxed" (real data) or the name of a task."""
    if verifier == "boxed":
        with Verifier() as checks:
            return checks.verify(texts, golds), [last_boxed(text) or "" for text in texts]
    task = load(verifier)
    verdicts = ["right" if task.is_correct(t, g) else "wrong" for t, g in zip(texts, golds, strict=True)]
    return verdicts, [task.final_answer(text) for text in texts]


def counts_line(verdicts: list[str]) -> str:
    """Return `right 12, wrong 3, timeout 1` for the log: failures to judge are always reported."""
    return ", ".join(f"{verdict} {verdicts.count(verdict)}" for verdict in dict.fromkeys(verdicts))
