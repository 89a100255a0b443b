"""The verdicts of math-verify as others use it, to set results beside theirs. They reward nothing."""

from functools import partial

from asymre.rewards.verifier import Verifier

LONGEST = 20_000  # characters of a completion, from its end, that math-verify searches for an answer


def accepted(
    checks: Verifier, completions: list[str], golds: list[str], settings: str = "defaults"
) -> list[bool]:
    """Return whether math-verify finds each completion right; False if it has no verdict.

    settings: "defaults", or "trl" for those of TRL's accuracy_reward.
    """
    pairs = list(zip(completions, golds, strict=True))
    found = checks.check(list(dict.fromkeys(pairs)), partial(_accepts, settings))
    return [found[pair] is True for pair in pairs]


def _accepts(settings: str, completion: str, gold: str) -> bool:
    # Parser and sympy stay out of the process of the caller.
    from math_verify import parse, verify
    from math_verify.parser import LatexExtractionConfig, NormalizationConfig

    options = {}
    if settings == "trl":
        units = NormalizationConfig(units=True)
        trl = LatexExtractionConfig(
            normalization_config=units, boxed_match_priority=0, try_extract_without_anchor=False
        )
        options = {"extraction_config": [trl], "extraction_mode": "first_match"}
    try:
        given = parse(completion[-LONGEST:], parsing_timeout=None, **options)
        return bool(verify(parse(f"${gold}$", parsing_timeout=None), given, timeout_seconds=None))
    except Exception:
        return False
