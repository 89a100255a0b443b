r"""Whether two answers are equal: read strictly, valued by math-verify's parser, compared exactly.

To be run only in a process that may be killed: what a hostile answer contains is evaluated. Missing a correct
answer costs a little; a wrong answer that is accepted is learned. So kinds are compared with their like, and
what is not known to be equal is not.
"""

import re
from functools import lru_cache

import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy
from sympy import Expr, Float, I, Rational, S, Symbol

from asymre.rewards.reading import LISTS, REFUSED, Node, beside, read
from asymre.rewards.writing import number, tidy

DIGITS = 300  # in which two numbers must agree if exact arithmetic cannot decide
_COMPLEX = {"z", "w", "omega", "zeta"}  # by convention; all other variables are real
_CHOICE = re.compile(r"\(?(?:(?:\\text ?)?\{)? ?\(?([A-Ja-j])[).]? ?\}?\)?")


def verdict(answer: str, gold: str) -> str:
    """Return "right", "wrong" or, for an answer that is neither mathematics nor words, "unparsable"."""
    answer, gold = tidy(answer), tidy(gold)
    if len(gold) > 1 and (letter := _CHOICE.fullmatch(gold)) and (given := _CHOICE.fullmatch(answer)):
        return "right" if given[1].upper() == letter[1].upper() else "wrong"
    try:
        return "right" if _equal(read(answer), read(gold)) else "wrong"
    except Exception:  # no answer, or one for which sympy raises an error, of any kind
        return "unparsable"


def _equal(a: Node, b: Node) -> bool:
    # A name counts against another name alone: `x=5` is 5, and is not `y=5`.
    if "=" in (a.head, b.head) or a.name and b.name and a.name != b.name:
        return _equal_equations(a, b)
    if a.head == b.head == "leaf":
        return _equal_leaves(a, b)
    if {a.head, b.head} == {",", "()"}:
        return r"\infty" not in f"{a}{b}" and _in_order(a.parts, b.parts)  # "1, 2" may be a point
    if a.head in LISTS or b.head in LISTS or a.head == b.head == r"\cup":
        return _equal_lists(a, b)
    return a.head == b.head and _in_order(a.parts, b.parts)


def _in_order(a: tuple[Node, ...], b: tuple[Node, ...]) -> bool:
    return len(a) == len(b) and all(map(_equal, a, b))


def _equal_lists(a: Node, b: Node) -> bool:
    """Return whether two lists have the same members with the same multiplicity, in any order."""
    if a.head != b.head and any(part.name for part in a.parts):
        return False  # `x<1 and y>2` is not `x<1 or y>2`
    members, rest = _members(a, b), _members(b, a)
    if len(members) > 2 and all(re.fullmatch("[A-Z]", _words(member.text)) for member in members):
        return _in_order(a.parts, b.parts)  # three letters in a row are an arrangement
    for member in members:
        found = next((i for i, other in enumerate(rest) if _equal(member, other)), None)
        if found is None:
            return False
        del rest[found]
    return not rest


def _members(node: Node, other: Node) -> list[Node]:
    """Return the members of a list, of alternatives each once: `x + 1 or 1 + x` is one answer."""
    parts = node.parts if node.head in LISTS or node.head == other.head else (node,)
    members = [member for part in parts for member in (part.parts if part.head == "or" else [part])]
    if node.head != "or":
        return members
    return [m for i, m in enumerate(members) if not any(_equal(m, other) for other in members[:i])]


def _equal_equations(a: Node, b: Node) -> bool:
    """Return whether two equations differ by a factor; `2 + 3 = 5` is 5 if all its parts are."""
    if not all(node.head == "=" or node.name for node in (a, b)):
        chain, other = (a, b) if a.head == "=" else (b, a)
        return all(_equal(part, other) for part in chain.parts)
    sides = [n.parts if n.head == "=" else (Node("leaf", (), n.name), n._replace(name="")) for n in (a, b)]
    if _in_order(*sides):
        return True
    values = [_expression(side.text) for side in (*sides[0], *sides[1])]
    if len(values) != 4 or None in values or values[2] == values[3]:
        return False
    ratio = sympy.simplify((values[0] - values[1]) / (values[2] - values[3]))
    return bool((values[2] - values[3]).free_symbols and ratio.is_Rational and ratio != 0)


def _equal_leaves(a: Node, b: Node) -> bool:
    if _words(a.text) == _words(b.text):
        return True
    (x, unit_a), (y, unit_b) = beside(a.text), beside(b.text)
    if unit_a and unit_b and unit_a != unit_b:
        return False
    # A gold answer that is an unevaluated product may be an arrangement, 3 by 4.
    values = _expression(x), None if re.search(r"\\times(?! ?10 ?\^)", y) else _expression(y)
    if None in values:
        return False
    if unit_a != unit_b and "%" in (unit_a, unit_b):
        # MATH reads 50\% as 50 and as 0.5; nobody reads 0.5\% as 0.5.
        percent, other = values if unit_a == "%" else values[::-1]
        return _equal_values(percent / 100, other) or abs(percent) >= 1 and _equal_values(percent, other)
    return _equal_values(*values)


def _words(text: str) -> str:
    """Return what leaves without a value are compared by: without fonts, spaces and the case of words."""
    bare = re.sub(r"\\text ?\{([^{}]*)\}", r" \1 ", text).strip()
    bare = re.sub(r"(?<![0-9]) +| +(?![0-9])|(?<=[_^])\{(\w)\}", r"\1", bare)
    is_word = re.search("[A-Za-z][a-z]" if r"\text" in text else "[a-z]{3}", bare)
    return bare.lower() if is_word and "\\" not in bare else bare


_READING = ConversionConfig(interpret_as_mixed_fractions=False, lowercase_symbols=False)


@lru_cache(maxsize=10_000)
def _expression(text: str) -> Expr | None:
    """Return the value of a text, with exact decimals; None for what no parser may read."""
    if (value := number(text)) is not None:
        return Rational(value.numerator, value.denominator)
    if REFUSED.search(text):
        return None
    # The parser reads 3(2) as the mixed number 3 + 2.
    text = re.sub(r"(?<!_)(?<=[0-9)])(?= ?(?:\(|\\frac))", r"\\cdot ", text)
    try:
        found = latex2sympy(text, None, None, False, None, _READING)
        replaced = {decimal: Rational(str(decimal)) for decimal in found.atoms(Float)}
        for s in found.atoms(Symbol):
            replaced[s] = I if s.name == "i" else Symbol(s.name, real=s.name not in _COMPLEX or None)
        found = found.xreplace(replaced).doit()
    except (MemoryError, RecursionError):
        raise
    except Exception:  # the parser has errors of many kinds
        return None
    return found if isinstance(found, Expr) and not found.has(S.NaN, S.ComplexInfinity) else None


def _equal_values(a: Expr, b: Expr) -> bool:
    """Return whether two values are equal: exactly, as sympy finds, or in `DIGITS` digits."""
    if a == b or a.is_Rational and b.is_Rational or a.is_infinite or b.is_infinite:
        return a == b
    if not (a.is_number and b.is_number):
        return (a - b).equals(0) is True
    # sympy doubles its precision until a digit is certain, or up to this many digits.
    found, size = (a - b).evalf(5, maxn=4 * DIGITS), abs(a.evalf(5)) + abs(b.evalf(5))
    return bool(found.is_number and abs(found) <= size * Rational(1, 10**DIGITS))
