"""Judge completions: verdicts (`verifier.VERDICTS`) and final answers."""

from asymre.rewards import field
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


def accepted_by_math_verify(texts: list[str], golds: list[str]) -> list[bool]:
    """Return math-verify's own verdicts with its defaults, for real data."""
    with Verifier() as checks:
        return field.accepted(checks, texts, golds)


def beside_math_verify(verdicts: list[str], accepted: list[bool]) -> dict[str, float]:
    """Return the accuracy that math-verify finds, and the shares that one of both alone finds right."""
    pairs = [(verdict == "right", other) for verdict, other in zip(verdicts, accepted, strict=True)]
    return {
        "accuracy_math_verify": sum(accepted) / len(accepted),
        "share_math_verify_alone": pairs.count((False, True)) / len(pairs),
        "share_verifier_alone": pairs.count((True, False)) / len(pairs),
    }


def counts_line(verdicts: list[str], truncated: list[bool]) -> str:
    """Return `right 12, wrong 3, timeout 1; truncated 2` for the log: failures to judge are always reported.

    With a warning if more than half of the completions are truncated.
    """
    counts = ", ".join(f"{verdict} {verdicts.count(verdict)}" for verdict in dict.fromkeys(verdicts))
    line = f"{counts}; truncated {sum(truncated)}"
    if 2 * sum(truncated) > len(truncated):
        line += (
            f"\nwarning: {sum(truncated) / len(truncated):.0%} of the completions have no end: raise "
            "max_new_tokens, or compare eos_token_id in generation_config.json with the token that ends a "
            "turn of the chat template"
        )
    return line
