r"""Whether two answers are equal: read strictly, valued by math-verify's parser, compared exactly.

To be run only in a process that may be killed: what a hostile answer contains is evaluated. Missing a correct
answer costs a little; a wrong answer that is accepted is learned. So kinds are compared with their like, and
what is not known to be equal is not.
"""

import re
from functools import lru_cache

import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy
from sympy import Expr, FiniteSet, Float, I, Interval, Rational, S, Symbol, oo

from asymre.rewards.reading import Node, Unreadable, beside, has_degrees, is_expression, read
from asymre.rewards.writing import number, tidy

DIGITS = 300  # in which two numbers must agree if exact arithmetic cannot decide
_COMPLEX = {"z", "w", "omega", "zeta"}  # by convention; all other variables are real
_LISTS = (",", "or", "and", "{}")
_CHOICE = re.compile(r"\(?(?:(?:\\text ?)?\{)? ?\(?([A-Ja-j])[).]? ?\}?\)?")


def verdict(answer: str, gold: str) -> str:
    """Return "right", "wrong" or, for an answer that is neither mathematics nor words, "unparsable"."""
    answer, gold = tidy(answer), tidy(gold)
    if len(gold) > 1 and (letter := _CHOICE.fullmatch(gold)) and (given := _CHOICE.fullmatch(answer)):
        return "right" if given[1].upper() == letter[1].upper() else "wrong"
    try:
        return "right" if _equal(read(answer), read(gold)) else "wrong"
    except Unreadable:
        return "unparsable"


def _equal(a: Node, b: Node) -> bool:
    (names_a, value_a), (names_b, value_b) = _named(a), _named(b)
    named, other = (a, b) if names_a else (b, a)
    if names_a and names_b and names_a != names_b and other.head != named.head:
        return False
    if names_a == names_b or not (
        names_a and names_b or isinstance(other.head, tuple) and not other.is_inequality
    ):
        a, b = value_a, value_b
    a, b = _once(a), _once(b)
    if a.head == b.head == "leaf":
        return _equal_leaves(a, b)
    if (a.is_set or b.is_set) and None not in (sets := (_real_set(a), _real_set(b))):
        return (
            len({*names_a, *names_b, *_variables(a), *_variables(b)}) < 2 and sets[0] ^ sets[1] is S.EmptySet
        )
    if isinstance(a.head, tuple) or isinstance(b.head, tuple):
        return _equal_relations(a, b)
    if a.head in _LISTS and b.head in _LISTS:
        # Three letters in a row are an arrangement; "and" differs from "or" for conditions.
        letters = len(a.parts) > 2 and all(re.fullmatch("[A-Z]", part.words) for part in a.parts)
        conditions = a.head != b.head and any(part.is_inequality for part in a.parts)
        return _in_order(a, b) if letters else not conditions and _same(a, b)
    if a.head == b.head:
        return _same(a, b) if a.head in (r"\cup", r"\cap") else _in_order(a, b)
    if {a.head, b.head} == {",", "()"}:
        return r"\infty" not in f"{a}{b}" and _in_order(a, b)  # "1, 2" may be a point, "-\infty, 3" is none
    inside, other = (a, b) if a.head == "{}" else (b, a)
    return inside.head == "{}" and len(inside.parts) == 1 and _equal(inside.parts[0], other)


def _in_order(a: Node, b: Node) -> bool:
    return len(a.parts) == len(b.parts) and all(map(_equal, a.parts, b.parts))


def _same(a: Node, b: Node) -> bool:
    """Return whether two lists have the same members with the same multiplicity, in any order."""
    rest = list(b.parts)
    for part in a.parts:
        found = next((i for i, other in enumerate(rest) if _equal(part, other)), None)
        if found is None:
            return False
        del rest[found]
    return not rest


def _once(node: Node) -> Node:
    """Return a list with its alternatives in one row, each once: `x + 1 or 1 + x` is one answer."""
    if node.head not in _LISTS or node.is_set:
        return node
    kept: list[Node] = []
    for part in node.parts:
        for value in part.parts if part.head == "or" else [part]:
            if node.head in (",", "and") or not any(_equal(value, other) for other in kept):
                kept.append(value)
    return kept[0] if len(kept) == 1 and node.head == "or" else Node(node.head, tuple(kept))


# ---- names: x = 5

_VARIABLE = r"(?:[a-zA-Z]|\\(?!(?:pi|infty)(?![a-zA-Z]))[a-z]{2,7})(?:_(?:\w|\{\w{1,9}\}))?"
_NAME = re.compile(
    rf"(?![ei]$){_VARIABLE}(?: ?\([^()=]{{1,40}}\))?|(?:\\(?:angle|overline|triangle) ?)?\{{?[A-Z]{{2,4}}\}}?"
    r"|\\text ?\{[^{}]*\}"
)


def _is_name(node: Node) -> bool:
    return node.head == "leaf" and bool(_NAME.fullmatch(node.text))


def _named(node: Node) -> tuple[tuple[str, ...], Node]:
    """Return the variables whose values an answer states, in alphabetical order, and their values."""
    names: list[tuple[str, ...]] = []
    values: list[Node] = []
    if isinstance(node.head, tuple) and set(node.head) in ({"="}, {r"\in"}):
        first, *rest = node.parts
        if len(rest) == 1 and _is_name(rest[0]) > _is_name(first):
            first, rest = rest[0], [first]
        while len(rest) > 1 and _is_name(first) and _is_name(rest[0]):
            first, *rest = rest  # x = y = 5
        value = rest[0] if len(rest) == 1 else Node(node.head[-len(rest) + 1 :], tuple(rest))
        if _is_name(first):
            return (first.text,), value
        if first.head == "()" == value.head and all(map(_is_name, first.parts)):
            names, values = [(part.text,) for part in first.parts], list(value.parts)
    elif node.head in _LISTS:
        found = [_named(part) for part in node.parts]
        names, values = [name for name, _ in found if name], [value for _, value in found]
        if found[0][0] and len(set(names)) == 1:
            return names[0], Node("or", tuple(values))
    if len(names) != len(values) or len(set(names)) < len(names) or any(len(name) > 1 for name in names):
        return (), node
    pairs = sorted(zip(names, values, strict=True), key=lambda pair: pair[0])
    return tuple(name for (name,), _ in pairs), Node(
        "()", tuple(value for _, value in pairs)
    ) if pairs else node


# ---- equations, inequalities, sets of real numbers

_TURNED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}


def _turned(node: Node) -> Node:
    return Node(tuple(_TURNED.get(sign, sign) for sign in reversed(node.head)), node.parts[::-1])


def _equal_relations(a: Node, b: Node) -> bool:
    if not isinstance(a.head, tuple) or not isinstance(b.head, tuple):
        # `2 + 3 = 5` is 5 if all its parts equal 5.
        chain, other = (a, b) if isinstance(a.head, tuple) else (b, a)
        return set(chain.head) == {"="} and all(_equal(part, other) for part in chain.parts)
    if any(turned.head == b.head and _in_order(turned, b) for turned in (a, _turned(a))):
        return True
    a, b = (_turned(node) if node.head[0] in ("<", r"\le") else node for node in (a, b))
    sides = [_value(part) for part in (*a.parts, *b.parts)]
    if a.head != b.head or len(a.head) > 1 or a.head[0] == r"\in" or None in sides or sides[2] == sides[3]:
        return False
    ratio = sympy.simplify((sides[0] - sides[1]) / (sides[2] - sides[3]))
    variables = (sides[2] - sides[3]).free_symbols
    return bool(variables and ratio.is_Rational and (ratio > 0 or ratio != 0 and a.head[0] in ("=", r"\ne")))


def _variables(node: Node) -> set[str]:
    """Return the names of the variables in inequalities."""
    if node.is_inequality or node.head in _LISTS:
        return set().union(*map(_variables, node.parts))
    return {node.text} if _is_name(node) else set()


def _real_set(node: Node) -> sympy.Set | None:
    """Return a set of real numbers; None if the node is none, or if its bounds are not plain numbers."""
    if node.text == r"\mathbb{R}":
        return S.Reals
    if node.is_inequality:
        return _set_of_inequality(node)
    if node.head in ("()", "[]", "(]", "[)") and len(node.parts) == 2:
        low, high = map(_real, node.parts)
        if low is None or high is None or (low < high) is not S.true:
            return None
        if node.head[0] == "[" and low.is_infinite or node.head[1] == "]" and high.is_infinite:
            return None
        return Interval(low, high, node.head[0] == "(", node.head[1] == ")")
    if node.head == "{}":
        values = list(map(_real, node.parts))
        return None if None in values else FiniteSet(*values)
    sets = list(map(_real_set, node.parts))
    if None in sets or not sets or node.head in ("or", "and") and len(_variables(node)) != 1:
        return None
    if node.head == r"\setminus":
        return sets[0] - sets[1]
    operation = {
        "or": sympy.Union,
        r"\cup": sympy.Union,
        "and": sympy.Intersection,
        r"\cap": sympy.Intersection,
    }
    return operation[node.head](*sets) if node.head in operation else None


def _set_of_inequality(node: Node) -> sympy.Set | None:
    """Return the set of x with `a < x < b`, with one bound alone, or with the signs reversed."""
    found = S.Reals
    for sign, left, right in zip(node.head, node.parts, node.parts[1:], strict=False):
        if not _is_name(left):
            left, right, sign = right, left, _TURNED.get(sign, sign)
        bound = _real(right)
        if not _is_name(left) or bound is None or sign not in (*_TURNED, r"\ne"):
            return None
        below, above = Interval(-oo, bound, True, True), Interval(bound, oo, True, True)
        at = FiniteSet(bound)
        found &= {"<": below, ">": above, r"\ne": below | above, r"\le": below | at, r"\ge": above | at}[sign]
    return found


def _real(node: Node) -> Expr | None:
    value = _value(node)
    return value if value is not None and value.is_extended_real and not value.free_symbols else None


# ---- values


def _equal_leaves(a: Node, b: Node) -> bool:
    if a.words == b.words:
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


def _value(node: Node) -> Expr | None:
    """Return the value of a leaf with no unit beside it; None if it has none."""
    text, unit = beside(node.text)
    return _expression(text) if node.head == "leaf" and unit in (None, "°") else None


_REPEATING = re.compile(r"([0-9]*)\.([0-9]*)\(([0-9]{1,40})\)")
_SCIENTIFIC = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)[eE]([+-]?[0-9]{1,3})")
_MIXED = re.compile(r"(?<![0-9.^_}),])([0-9]+) ?\\frac\{([0-9]+)\}\{([0-9]+)\}")
_READING = ConversionConfig(interpret_as_mixed_fractions=False, lowercase_symbols=False)


@lru_cache(maxsize=10_000)
def _expression(text: str) -> Expr | None:
    """Return the value of a text, with exact decimals; None for what no parser may read."""
    if (value := number(text)) is not None:
        return Rational(value.numerator, value.denominator)
    text = _SCIENTIFIC.sub(r"\1\\cdot 10^{\2}", text) if _SCIENTIFIC.fullmatch(text) else text
    text = _MIXED.sub(_mixed, _REPEATING.sub(_repeating, text))
    # The parser reads 3(2) as the mixed number 3 + 2.
    text = re.sub(r"(?<!_)(?<=[0-9)])(?= ?(?:\(|\\frac))", r"\\cdot ", text)
    if not is_expression(text):
        return None
    try:
        degrees = has_degrees(text)
        found = latex2sympy(
            text if degrees else text.replace(r"^\circ", ""), None, None, degrees, None, _READING
        )
        replaced = {decimal: Rational(str(decimal)) for decimal in found.atoms(Float)}
        replaced |= {
            s: I if s.name == "i" else Symbol(s.name, real=s.name not in _COMPLEX or None)
            for s in found.atoms(Symbol)
        }
        found = found.xreplace(replaced).doit()
    except (MemoryError, RecursionError):
        raise
    except Exception:
        return None
    return found if isinstance(found, Expr) and not found.has(S.NaN, S.ComplexInfinity) else None


def _mixed(match: re.Match) -> str:
    proper = int(match[2]) < int(match[3])
    return rf"({match[1]}+\frac{{{match[2]}}}{{{match[3]}}})" if proper else match[0]


def _repeating(match: re.Match) -> str:
    whole, once, again = match.groups()
    above = int((whole + once or "0") + again) - int(whole + once or "0")
    return rf"\frac{{{above}}}{{{(10 ** len(again) - 1) * 10 ** len(once)}}}"


def _equal_values(a: Expr, b: Expr) -> bool:
    """Return whether two values are equal: exactly, as sympy finds, or in `DIGITS` digits."""
    if a == b or a.is_Rational and b.is_Rational or a.is_infinite or b.is_infinite:
        return a == b
    difference = a - b
    if difference.free_symbols or not difference.is_number:
        return difference.equals(0) is True
    # sympy doubles its precision until a digit is certain, or up to this many digits.
    found, sizes = (
        difference.evalf(5, maxn=4 * DIGITS),
        [abs(t.evalf(5)) for t in sympy.Add.make_args(difference)],
    )
    size = max([size for size in sizes if size.is_comparable], default=sympy.Integer(1))
    return bool(found.is_number and abs(found) < Rational(1, 10**DIGITS) * size)
