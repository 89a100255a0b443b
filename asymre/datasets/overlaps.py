r"""Whether a text repeats one of a set of held-out problems.

Words are runs of letters or of digits, without case and without alternative LaTeX notation: `$x^{2}$` is
"x 2", `\dfrac` is `\frac`, `\left(` and a degree sign are dropped. A text overlaps a held-out problem if

- they share 13 words in a row (GPT-3's criterion for test data in training data);
- or it contains, in a row, all words of a held-out problem of 8 to 12 words (8 is GPT-3's minimum, too);
- or it has the same letters and digits: `\frac34` and `\frac{3}{4}` differ only in words.

Stock phrases ("where m and n are relatively prime positive integers, find ...") cause false positives.
Fewer than 8 words ("Find $x$.") occur in too many texts to count as a repetition.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable

RUN = 13
_LEAST = 8
_WORD = re.compile(r"[^\W\d_]+|\d+")
_FORM = re.compile(
    r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|text(?:bf|it|rm|normal)?|math(?:rm|bf|it|sf)|mbox|operatorname"
    r"|quad|qquad|cdot|times|circ|degree)(?![a-zA-Z])"
)
_FRACTION = re.compile(r"\\[dtc]frac(?![a-zA-Z])")


def words(text: str) -> list[str]:
    """Return the words of a text, as defined above."""
    text = _FRACTION.sub(r"\\frac", _FORM.sub(" ", unicodedata.normalize("NFKC", text)))
    return _WORD.findall(text.lower())


def overlaps(texts: Iterable[str]) -> Callable[[str], bool]:
    """Return a predicate: whether a text overlaps one of `texts`."""
    runs: dict[int, set] = defaultdict(set)  # by length
    wholes = set()
    for text in texts:
        own = words(text)
        length = min(len(own), RUN)
        if length >= _LEAST:
            runs[length].update(_runs(own, length))
        wholes.add("".join(own))

    def overlap(text: str) -> bool:
        own = words(text)
        return "".join(own) in wholes or any(
            not known.isdisjoint(_runs(own, length)) for length, known in runs.items()
        )

    return overlap


def _runs(own: list[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(own[i : i + length]) for i in range(len(own) - length + 1)]
