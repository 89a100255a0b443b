r"""Whether a text repeats one of a set of held-out problems.

Words are runs of letters or of digits, without case and without what LaTeX writes in several ways: `$x^{2}$`
is "x 2", `\dfrac` is `\frac`, `\left(` and a degree sign are nothing. A text overlaps a held-out problem if

- it has 13 words in a row in common with it (what GPT-3 used to find test data in training data);
- or all words of a held-out problem of 8 to 12 words stand in it in a row (8 is GPT-3's least, too);
- or it has the same letters and digits: `\frac34` and `\frac{3}{4}` differ in words alone.

Stock phrases ("where m and n are relatively prime positive integers, find ...") make it find more than it
must. Fewer than 8 words ("Find $x$.") stand in too many texts to be a repetition.
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
    """Return the words of a text, as above."""
    text = _FRACTION.sub(r"\\frac", _FORM.sub(" ", unicodedata.normalize("NFKC", text)))
    return _WORD.findall(text.lower())


def overlaps(texts: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that says whether a text overlaps one of `texts`."""
    runs: dict[int, set] = defaultdict(set)  # by their length
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
