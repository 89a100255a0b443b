r"""How many digits the numbers of an answer would have, found from its text without computing them.

A parser that reads `10^{10^{6}}` computes it sooner or later, and takes its process down. So numbers are
bounded by their logarithms: of a literal, a power, a factorial, a binomial coefficient, and of products and
sums of these. Letters, roots and functions count as 1.

The limit is the number of digits up to which Python prints an integer. Beyond it math-verify errs, too: it
takes 1/2003! for 1/2004!.
"""

import math
import re

# The default of sys.get_int_max_str_digits.
MOST_DIGITS = 4300
# No answer is nested this deep; a text that is would overflow Python's stack.
_DEEPEST = 40

_SKIP = re.compile(
    r"\s|\\[!,;: ]|\\q?quad(?![a-zA-Z])|\\(?:left|right|big|Big|displaystyle)(?![a-zA-Z])|[$~]"
)
_TOKEN = re.compile(r"\d+(?:(?:,\\!|\{,\}|\\,|,)\d{3}(?!\d))*(?:\.\d+)?|\.\d+|\\[a-zA-Z]+|\\.|.", re.S)
_CLOSING = {"{": "}", "(": ")", "[": "]", r"\{": r"\}", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}
_FRACTIONS = {r"\frac", r"\dfrac", r"\tfrac", r"\cfrac"}
_BINOMIALS = {r"\binom", r"\dbinom", r"\tbinom"}
_SUMS = {"+", "-", ",", ";", "=", "&", r"\\", "<", ">", r"\pm"}
_PLAIN = 0.0  # log10 of 1


def is_enormous(answer: str) -> bool:
    """Return whether an answer holds, or requires computing, a number of more than `MOST_DIGITS` digits."""
    reader = _Reader(answer)
    while reader.tokens:
        reader.sum(None, 0)
    return reader.most > MOST_DIGITS


class _Reader:
    """Read an answer from the left. Values are upper bounds of log10 of its numbers."""

    def __init__(self, text: str):
        self.tokens = [t for t in _TOKEN.findall(_SKIP.sub(" ", text)) if t != " "][::-1]
        self.most = 0.0  # the largest value so far

    def _peek(self) -> str | None:
        return self.tokens[-1] if self.tokens else None

    def _found(self, value: float) -> float:
        self.most = max(self.most, value)
        return value

    def sum(self, end: str | None, depth: int) -> float:
        """Return the value of a sum, read through `end`, or through the last token."""
        terms, term, divides = [], None, False
        while self.tokens and (token := self.tokens.pop()) != end:
            if token in _SUMS:
                terms, term = [*terms, term], None
            elif token != "/":
                self.tokens.append(token)
                value = self._power(depth)
                term = self._found((term or _PLAIN) + (-value if divides else value))
            divides = token == "/"
        # A leading sign separates nothing.
        terms = [value for value in [*terms, term] if value is not None] or [_PLAIN]
        return self._found(max(terms) + math.log10(len(terms)))

    def _power(self, depth: int) -> float:
        """Return the value of one factor with its exponents and factorials."""
        value = self._atom(depth)
        while (token := self._peek()) in ("^", "_", "!"):
            self.tokens.pop()
            if token == "!":
                value = self._found(_factorial(value))
            elif token == "^":
                value = self._found(_times(value, self._power(depth + 1)))
            elif self.tokens:
                self._atom(depth + 1)
        return value

    def _atom(self, depth: int) -> float:
        if depth > _DEEPEST:
            self.tokens.clear()
            return self._found(math.inf)
        if not self.tokens:
            return _PLAIN
        token = self.tokens.pop()
        if token in _CLOSING:
            return self.sum(_CLOSING[token], depth + 1)
        if token in _FRACTIONS:
            above, below = self._atom(depth + 1), self._atom(depth + 1)
            return above - below
        if token in _BINOMIALS:
            return self._found(_binomial(self._atom(depth + 1), self._atom(depth + 1)))
        if token == r"\prod":
            return 1.0  # a factor of ten
        if token[0] in ".0123456789":
            # A decimal is an exact fraction: 1.01^n has the digits of 101^n.
            digits = re.sub(r"\D", "", token).lstrip("0") or "1"
            return self._found(len(digits) + math.log10(float(f"0.{digits[:15]}")))
        return _PLAIN


def _value(log: float) -> float:
    return 10.0**log if log < 300 else math.inf


def _times(base: float, exponent: float) -> float:
    return base * _value(exponent) if base > 0 else _PLAIN


def _factorial(log: float) -> float:
    number = _value(log)
    return number * max(log - math.log10(math.e), 0.0) + log if number < math.inf else math.inf


def _binomial(above: float, below: float) -> float:
    return min(_value(above) * math.log10(2), _value(below) * above if above > 0 else 0.0)
