r"""The final answer of a completion, and equality of answers where no parser is needed.

Everything here is linear in the length of its input and evaluates nothing: safe on any text.
"""

import re
from fractions import Fraction

from asymre.rewards.writing import normalise, same_choice

_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*")
_ESCAPE_OR_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
# `\boxed 5` has no braces; its content ends where its formula or its line does.
_END_OF_FORMULA = re.compile(r"\$|\n|\\\)|\\\]")

# Two boxes of one answer are joined by a comma or a word, and at most the name of the next value.
_NAME = r"[a-zA-Z](?:_(?:[a-zA-Z0-9]|\{[a-zA-Z0-9]{1,9}\}))?'?"
_GAP = r"(?:[ \t~$]|\\[()!,;: ]|\\q?quad(?![a-zA-Z]))"
_WORD = r"(?:(?:and|or)(?![a-zA-Z])|\\(?:text|textrm|mbox|mathrm) ?\{[ ~]*,?[ ~]*(?:and|or)?[ ~]*\})"
_JOINT = re.compile(rf"{_GAP}{{0,20}}(?:[,;]{_GAP}{{0,20}}{_WORD}?|{_WORD}){_GAP}{{0,20}}(?:({_NAME}) ?= ?)?")
# Characters: no joint between two boxes, and no two forms of a number, are longer.
_LONG = 200
_OR = re.compile("(?<![a-zA-Z])or(?![a-zA-Z])")
_NAME_BEFORE = re.compile(rf"(?<![a-zA-Z0-9_^}}]) ?({_NAME}) ?= ?\Z")


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}`, `\fbox{...}` or `\boxed 5`, without outer spaces.

    Boxes separated from the last one only by a comma, "and" or "or", on one line, are one answer with it:
    `x=\boxed{2}` or `x=\boxed{5}` gives `x=2 \text{ or } x=5`. If they are one number in several forms, the
    last of them counts. Of all other boxes only the last counts, because it may correct the others. None if
    there is no box, if one is empty, or if its braces do not balance. Of nested boxes the innermost counts.
    """
    boxes = [match.span() for match in _BOX.finditer(text)]
    answer: list[str | None] = []
    joints: list[str] = []
    limit = len(text)
    for start, inside in reversed(boxes):
        content, end = _content(text, inside, limit)
        if answer:
            joint = _JOINT.fullmatch(text, end, limit) if end is not None and limit - end < _LONG else None
            if joint is None:
                break
            answer[-1] = _named(joint[1], answer[-1])
            joints.append(r" \text{ or } " if _OR.search(joint[0]) else ", ")
        answer.append(content)
        limit = start
    if not answer or None in answer:
        return None
    if sum(map(len, answer)) <= _LONG and all(surely_equal(each, answer[0]) for each in answer[1:]):
        # "15\frac{39}{40} or \frac{639}{40}" is one answer in two forms.
        return answer[0]
    if len(answer) > 1 and (name := _NAME_BEFORE.search(text[max(0, limit - 20) : limit])):
        answer[-1] = _named(name[1], answer[-1])
    in_order = [answer.pop()]
    while answer:
        in_order += [joints.pop(), answer.pop()]
    return "".join(in_order)


def _content(text: str, inside: int, limit: int) -> tuple[str | None, int | None]:
    """Return the content of the box that begins at `inside`, None if it is empty, and where it ends.

    Nothing after `limit` is read. The end is None if the braces do not balance.
    """
    if text[inside : inside + 1] != "{":
        end = _END_OF_FORMULA.search(text, inside, limit)
        end = end.start() if end else limit
        return text[inside:end].strip() or None, end
    depth = 0
    for match in _ESCAPE_OR_BRACE.finditer(text, inside, limit):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return text[inside + 1 : match.start()].strip() or None, match.end()
    return None, None


def _named(name: str | None, content: str | None) -> str | None:
    return f"{name}={content}" if name and content else content


# Longer numbers are left to `equality`: the cost of exact arithmetic grows with the digits.
_DIGITS = r"(?:[0-9]{1,3}(?:[, ][0-9]{3}){1,12}|[0-9]{1,40})"
_SEPARATOR = re.compile("[, ]")
_INTEGER = re.compile(rf"([+-]?){_DIGITS}")
_DECIMAL = re.compile(rf"([+-]?)({_DIGITS}?)\.([0-9]{{1,40}})")
_FRACTION = re.compile(
    r"([+-]?)([0-9]{0,40})\\frac(?:\{([+-]?[0-9]{1,40})\}|([0-9]))(?:\{([+-]?[0-9]{1,40})\}|([0-9]))"
)
_SLASH = re.compile(r"([+-]?)([0-9]{1,40})/([+-]?[0-9]{1,40})")


def number(normalised: str) -> Fraction | None:
    r"""Return the value of a normalised integer, decimal, fraction or mixed number; None for all else.

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


_NAMED = re.compile(r"(?:[a-zA-Z]|\\[a-zA-Z]+)=([^=]+)")


def surely_equal(answer: str, gold: str) -> bool:
    """Return True if two answers are equal after `normalise` or as numbers; False decides nothing."""
    a, b = normalise(answer), normalise(gold)
    if same_choice(answer, gold):
        return True
    if ("=" in a) != ("=" in b):
        a, b = (_NAMED.fullmatch(side)[1] if _NAMED.fullmatch(side) else side for side in (a, b))
    if a == b:
        return a != ""
    value = number(a)
    return value is not None and value == number(b)


_PLAIN_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")


def surely_different(answer: str, gold: str) -> bool:
    """Return True for two different integers written only with digits; False decides nothing."""
    both = _PLAIN_INTEGER.fullmatch(answer) and _PLAIN_INTEGER.fullmatch(gold)
    return bool(both) and int(answer) != int(gold)
