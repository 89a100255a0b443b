r"""The final answer of a completion, and equality of answers where no parser is needed.

Everything here is linear in the length of its input and evaluates nothing: safe on any text.
"""

import re
from fractions import Fraction

_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*")
_ESCAPE_OR_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
# `\boxed 5` has no braces; what is boxed ends where its formula or its line does.
_END_OF_FORMULA = re.compile(r"\$|\n|\\\)|\\\]")


def last_boxed(text: str) -> str | None:
    r"""Content of the last `\boxed{...}`, `\fbox{...}` or `\boxed 5` of a text, without outer spaces.

    None if there is no box, if it is empty, or if the braces of the last one do not balance. Of boxes
    in one another the innermost counts.
    """
    start = None
    for match in _BOX.finditer(text):
        start = match.end()
    if start is None:
        return None
    if text[start : start + 1] != "{":
        end = _END_OF_FORMULA.search(text, start)
        return text[start : end.start() if end else len(text)].strip() or None
    depth = 0
    for match in _ESCAPE_OR_BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return text[start + 1 : match.start()].strip() or None
    return None


_TOKEN = r" ?(\\[a-zA-Z]+|[a-zA-Z0-9])"
_TIDY = (
    (r"\\[dt]frac(?![a-zA-Z])", r"\\frac"),
    (rf"\\frac{_TOKEN}{_TOKEN}(?![a-zA-Z])", r"\\frac{\1}{\2}"),
    (r"(?<=[0-9])(?:,\\!|\\,|\{,\})(?=[0-9]{3}(?![0-9]))", ""),
    # A parser takes "2 i" for complex and "2i" for a variable.
    (r"(?<=[0-9])i(?![a-zA-Z])", " i"),
    (r"\\varnothing(?![a-zA-Z])", r"\\emptyset"),
    (r"°", r"^\\circ"),
    (r"−", "-"),
)
_NORMAL = (
    (r"\\left(?![a-zA-Z])|\\right(?![a-zA-Z])", ""),
    (r"\\[!,;: ]|~|\\quad|\\qquad", " "),
    (r"\\(?:text|textbf|textit|textrm|mbox|mathrm|mathbf) ?\{([^{}\\$]*)\}", r"\1"),
    (r"\^ ?\{? ?\\(?:circ|degree)(?![a-zA-Z]) ?\}?|\\degree(?![a-zA-Z])", ""),
    (r"\\?[$%]", ""),
    # A space means something between two words and between two numbers alone.
    (r"\s+", " "),
    (r"(?<![a-zA-Z0-9]) | (?![a-zA-Z0-9])|(?<=[0-9]) (?=[a-zA-Z])", ""),
    (r"\.$", ""),
)
_TIDY, _NORMAL = ([(re.compile(p), r) for p, r in rules] for rules in (_TIDY, _NORMAL))
_NAMED = re.compile(r"(?:[a-zA-Z]|\\[a-zA-Z]+)=([^=]+)")
_CHOICE = re.compile(r"\(([A-Z])\)")
_WORDS = re.compile(r"[a-zA-Z][a-z]+(?: [a-zA-Z][a-z]+)*")


def tidy(answer: str) -> str:
    r"""The same answer in a form that a parser reads: \frac \pi 4, 1,\!000, 2i, degree and minus signs."""
    for pattern, replacement in _TIDY:
        answer = pattern.sub(replacement, answer)
    return answer


def normalise(answer: str) -> str:
    r"""One way to write what LaTeX writes in several: spacing, \left, \text, dollars, case of words.

    A percent sign and a degree sign are dropped, as is usual for MATH: 50\% and 50 count as equal.
    """
    answer = tidy(answer)
    for pattern, replacement in _NORMAL:
        answer = pattern.sub(replacement, answer)
    if choice := _CHOICE.fullmatch(answer):
        return choice.group(1)
    return answer.lower() if _WORDS.fullmatch(answer) else answer


# Longer numbers are left to others: the cost of exact arithmetic grows with the digits.
_DIGITS = r"(?:[0-9]{1,3}(?:[, ][0-9]{3}){1,12}|[0-9]{1,40})"
_SEPARATOR = re.compile("[, ]")
_INTEGER = re.compile(rf"([+-]?){_DIGITS}")
_DECIMAL = re.compile(rf"([+-]?)({_DIGITS}?)\.([0-9]{{1,40}})")
_FRACTION = re.compile(
    r"([+-]?)([0-9]{0,40})\\frac(?:\{([+-]?[0-9]{1,40})\}|([0-9]))(?:\{([+-]?[0-9]{1,40})\}|([0-9]))"
)
_SLASH = re.compile(r"([+-]?)([0-9]{1,40})/([+-]?[0-9]{1,40})")


def number(normalised: str) -> Fraction | None:
    r"""Value of an integer, decimal, fraction or mixed number that `normalise` gave; None for all else.

    `5\frac{1}{2}` is read as the mixed number 11/2, `1,234` as 1234, `.5` as 1/2; `1/0` is None.
    """
    text = normalised
    if match := _INTEGER.fullmatch(text):
        return Fraction(int(_SEPARATOR.sub("", text)))
    if match := _DECIMAL.fullmatch(text):
        sign, whole, decimals = match.groups()
        digits = _SEPARATOR.sub("", whole or "0") + decimals
        return Fraction(int(sign + digits), 10 ** len(decimals))
    if match := _FRACTION.fullmatch(text):
        sign, whole, *parts = match.groups()
        numerator, denominator = (int(a or b) for a, b in (parts[:2], parts[2:]))
        if whole and not 0 <= numerator < denominator:
            return None
    elif match := _SLASH.fullmatch(text):
        sign, whole, numerator, denominator = match[1], "", int(match[2]), int(match[3])
    else:
        return None
    if denominator == 0:
        return None
    value = Fraction(numerator, denominator) + int(whole or 0)
    return -value if sign == "-" else value


def surely_equal(answer: str, gold: str) -> bool:
    """True if two answers are equal after `normalise` or as numbers; False says nothing."""
    a, b = normalise(answer), normalise(gold)
    if ("=" in a) != ("=" in b):
        a, b = (_NAMED.fullmatch(side)[1] if _NAMED.fullmatch(side) else side for side in (a, b))
    if a == b:
        return a != ""
    value = number(a)
    return value is not None and value == number(b)


_PLAIN_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")


def surely_different(answer: str, gold: str) -> bool:
    """True for two integers, written as nothing but digits, that differ; False says nothing."""
    both = _PLAIN_INTEGER.fullmatch(answer) and _PLAIN_INTEGER.fullmatch(gold)
    return bool(both) and int(answer) != int(gold)
