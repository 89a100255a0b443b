"""The verdicts of math-verify as others use it, to set results beside theirs. To be run as `equality` is."""

from math_verify import parse, verify
from math_verify.parser import LatexExtractionConfig, NormalizationConfig

# How TRL's accuracy_reward reads a completion.
_TRL = LatexExtractionConfig(
    normalization_config=NormalizationConfig(units=True),
    boxed_match_priority=0,
    try_extract_without_anchor=False,
)


def accepts(completion: str, gold: str, settings: str = "defaults") -> bool:
    """Return whether math-verify finds a completion right. settings: "defaults", or "trl" for TRL's."""
    options = {"extraction_config": [_TRL], "extraction_mode": "first_match"} if settings == "trl" else {}
    given = parse(completion, parsing_timeout=None, **options)
    return bool(verify(parse(f"${gold}$", parsing_timeout=None), given, timeout_seconds=None))
