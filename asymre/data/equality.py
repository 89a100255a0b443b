r"""Whether two answers are equal, as mathematics: for the process that checks answers alone.

The parser and sympy evaluate what a hostile answer says, so time and memory must be limited around it.
A right answer that is missed costs a little; a wrong one that counts as right is learned. So everything is
compared exactly, and what cannot be decided is wrong.
"""

import random
import re
from functools import lru_cache

import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, _Latex2Sympy
from sympy import Expr, Float, I, Integer, Interval, MatrixBase, Rational, S, Symbol

from asymre.data.structure import INEQUALITIES, Chain, Group, Leaf, Listing, Node, Union, Unreadable, read
from asymre.data.writing import normalise, tidy

# Decimal digits in which two numbers must agree that no arithmetic proves equal or different.
DIGITS = 300
# Points at which two expressions with variables are compared.
_POINTS = 4


def verdict(answer: str, gold: str) -> str:
    """ "right", "wrong" or, for an answer that is no mathematics and no words, "unparsable"."""
    try:
        given = read(tidy(answer))
        _check_leaves(given)
    except Unreadable:
        return "unparsable"
    return "right" if _equal(given, _gold(gold)) else "wrong"


@lru_cache(maxsize=50_000)
def _gold(gold: str) -> Node:
    return read(tidy(gold))


def _check_leaves(node: Node) -> None:
    """`Unreadable` if a leaf is neither words nor an expression."""
    if isinstance(node, Leaf):
        _value(node.text)
    else:
        for part in node.parts:
            _check_leaves(part)


# ---- structures


def _equal(a: Node, b: Node) -> bool:
    a, b = _without_name(a, b)
    if a is None or b is None:
        return False
    if isinstance(a, Leaf) and isinstance(b, Leaf):
        return _equal_leaves(a.text, b.text)
    if _is_set(a) or _is_set(b):
        sets = _real_set(a), _real_set(b)
        if None not in sets:
            same_variable = not (_is_inequality(a) and _is_inequality(b)) or _variables(a) == _variables(b)
            return same_variable and _equal_sets(*sets)
    return _equal_parts(a, b)


def _equal_parts(a: Node, b: Node) -> bool:
    if isinstance(a, Chain) and isinstance(b, Chain):
        return _equal_chains(a, b)
    if isinstance(a, Chain) != isinstance(b, Chain):
        # `2 + 3 = 5` is 5 if all its parts are.
        chain, other = (a, b) if isinstance(a, Chain) else (b, a)
        return set(chain.signs) == {"="} and all(_equal(part, other) for part in chain.parts)
    if isinstance(a, Union) and isinstance(b, Union):
        return a.sign == b.sign and _same(a.parts, b.parts)
    if not isinstance(a, Group | Listing) or not isinstance(b, Group | Listing):
        # {5} is as good as 5.
        parts = [n.parts if isinstance(n, Group) and n.left == r"\{" else (n,) for n in (a, b)]
        return len(parts[0]) == len(parts[1]) == 1 and parts != [(a,), (b,)] and _equal(parts[0][0], parts[1][0])
    if isinstance(a, Group) and isinstance(b, Group):
        if (a.left, a.right) != (b.left, b.right):
            return False
        if a.left == r"\{":
            return _same(_distinct(a.parts), _distinct(b.parts))
        return _in_order(a.parts, b.parts)
    if isinstance(a, Listing) and isinstance(b, Listing):
        # "1 and 2" lists what "1 or 2" lists, but conditions differ.
        return (a.word == b.word or not _has_condition(a)) and _same(a.parts, b.parts)
    group, listing = (a, b) if isinstance(a, Group) else (b, a)
    if group.left == r"\{":
        return _same(_distinct(group.parts), listing.parts)
    return (group.left, group.right) == ("(", ")") and _in_order(group.parts, listing.parts)


def _has_condition(listing: Listing) -> bool:
    return any(map(_is_inequality, listing.parts))


def _in_order(a: tuple, b: tuple) -> bool:
    return len(a) == len(b) and all(map(_equal, a, b))


def _same(a: tuple, b: tuple) -> bool:
    """Whether two lists have the same members, in any order, each as often."""
    if len(a) != len(b):
        return False
    rest = list(b)
    for part in a:
        found = next((i for i, other in enumerate(rest) if _equal(part, other)), None)
        if found is None:
            return False
        del rest[found]
    return True


def _distinct(parts: tuple) -> tuple:
    kept: list = []
    for part in parts:
        if not any(_equal(part, other) for other in kept):
            kept.append(part)
    return tuple(kept)


# ---- names: x = 5

_VARIABLE = r"(?:[a-zA-Z]|\\(?!pi(?![a-zA-Z]))[a-z]{2,7})(?:_(?:[a-zA-Z0-9]|\{[a-zA-Z0-9]{1,9}\}))?'?"
_NAME = re.compile(rf"{_VARIABLE}(?: ?\({_VARIABLE}(?:,{_VARIABLE})*\))?|[A-Z]{{2,4}}|\\text ?\{{[^{{}}]*\}}")


def _without_name(a: Node, b: Node) -> tuple[Node | None, Node | None]:
    """Both without their names, if these are the same or only one has any; (None, None) if they differ."""
    names_a, value_a = _names(a)
    names_b, value_b = _names(b)
    if names_a == names_b:
        return value_a, value_b
    if names_a and names_b:
        return (a, b) if isinstance(a, Chain) and isinstance(b, Chain) else (None, None)
    named, other = (names_a, b) if names_a else (names_b, a)
    if _is_inequality(other):
        return (value_a, value_b) if _variables(other) == set(named) else (None, None)
    return (a, b) if isinstance(other, Chain) else (value_a, value_b)


def _names(node: Node) -> tuple[tuple[str, ...], Node]:
    """The variables whose values an answer states, in alphabetical order, and these values."""
    if isinstance(node, Chain) and set(node.signs) in ({"="}, {r"\in"}):
        first, *rest = node.parts
        if len(rest) == 1 and not _is_name(first) and _is_name(rest[0]):
            first, rest = rest[0], [first]
        value = rest[0] if len(rest) == 1 else Chain(node.signs[1:], tuple(rest))
        if _is_name(first):
            return (normalise(first.text),), value
        if isinstance(first, Group) and all(map(_is_name, first.parts)):
            return _sorted(tuple(normalise(part.text) for part in first.parts), value)
    if isinstance(node, Listing):
        found = [_names(part) for part in node.parts]
        names = [name for name, _ in found if name]
        values = tuple(value for _, value in found)
        distinct = set(names)
        if len(distinct) == 1 and found[0][0]:
            return names[0], Listing(node.word, _flat_values(values))
        if len(names) == len(found) == len(distinct) and all(len(name) == 1 for name in names):
            return _sorted(tuple(name for (name,) in names), Group("(", ")", values))
    return (), node


def _flat_values(values: tuple) -> tuple:
    return tuple(part for value in values for part in (value.parts if isinstance(value, Listing) else (value,)))


def _sorted(names: tuple[str, ...], value: Node) -> tuple[tuple[str, ...], Node]:
    if not isinstance(value, Group) or len(names) != len(value.parts):
        return names, value
    order = sorted(range(len(names)), key=names.__getitem__)
    parts = tuple(value.parts[i] for i in order)
    return tuple(names[i] for i in order), Group(value.left, value.right, parts)


def _is_name(node: Node) -> bool:
    # e and i are numbers.
    return isinstance(node, Leaf) and node.text not in ("e", "i") and bool(_NAME.fullmatch(node.text))


# ---- equations and inequalities


def _equal_chains(a: Chain, b: Chain) -> bool:
    for chain in (a, _turned(a)):
        if chain.signs == b.signs and all(map(_equal, chain.parts, b.parts)):
            return True
    if len(a.signs) != 1 or len(b.signs) != 1:
        return False
    if not all(isinstance(part, Leaf) for part in (*a.parts, *b.parts)):
        return False
    if b.signs[0] in ("<", r"\le"):
        b = _turned(b)
    if a.signs[0] in ("<", r"\le"):
        a = _turned(a)
    if a.signs != b.signs or a.signs[0] == r"\in":
        return False
    ratio = _constant_ratio(_difference(a), _difference(b))
    return ratio is not None and (a.signs[0] in ("=", r"\ne") or bool(ratio > 0))


_TURNED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}


def _turned(chain: Chain) -> Chain:
    signs = tuple(_TURNED.get(sign, sign) for sign in reversed(chain.signs))
    return Chain(signs, tuple(reversed(chain.parts)))


def _difference(chain: Chain) -> Expr | None:
    left, right = (_value(part.text) for part in chain.parts)
    if isinstance(left, _Number) and isinstance(right, _Number):
        difference = left.value - right.value
        return difference if isinstance(difference, Expr) and difference.free_symbols else None
    return None


def _constant_ratio(a: Expr | None, b: Expr | None) -> Expr | None:
    """c where a = c b everywhere and c is not 0; None if there is none. Both have variables."""
    if a is None or b is None or a.free_symbols != b.free_symbols:
        return None
    ratio = None
    for point in _points(a, b):
        at_a, at_b = a.subs(point), b.subs(point)
        if _is_zero(at_a) or _is_zero(at_b):
            if _is_zero(at_a) != _is_zero(at_b):
                return None
            continue
        here = at_a / at_b
        if not here.is_finite:
            continue
        if ratio is None:
            ratio = here
        elif not _equal_numbers(here, ratio):
            return None
    return ratio if ratio is not None and ratio.is_real else None


# ---- sets of real numbers


def _is_set(node: Node) -> bool:
    """Whether it can be nothing but a set of real numbers."""
    return _is_inequality(node) or isinstance(node, Union) or isinstance(node, Leaf) and node.text in _NAMED_SETS


def _is_inequality(node: Node) -> bool:
    """Whether it says what a variable is not, in one or several conditions."""
    if isinstance(node, Listing):
        return node.word != "," and all(map(_is_inequality, node.parts))
    return isinstance(node, Chain) and bool(set(node.signs) & {*INEQUALITIES, r"\ne"})


_NAMED_SETS = {r"\mathbb{R}": S.Reals, r"\R": S.Reals, r"\mathbb R": S.Reals, r"\emptyset": S.EmptySet}


def _real_set(node: Node) -> sympy.Set | None:
    """The set; None if it is none of real numbers, or if its bounds are not plain numbers."""
    if isinstance(node, Leaf):
        return _NAMED_SETS.get(node.text)
    if isinstance(node, Group):
        return _set_of_group(node)
    if isinstance(node, Chain):
        return _set_of_chain(node)
    sets = [_real_set(part) for part in node.parts]
    if None in sets or (isinstance(node, Listing) and (node.word == "," or len(_variables(node)) != 1)):
        return None
    union = node.word == "or" if isinstance(node, Listing) else node.sign == r"\cup"
    return sympy.Union(*sets) if union else sympy.Intersection(*sets)


def _set_of_group(group: Group) -> sympy.Set | None:
    bounds = [_real(part) for part in group.parts]
    if None in bounds:
        return None
    if group.left == r"\{":
        return sympy.FiniteSet(*bounds)
    if len(bounds) != 2 or group.left not in "([" or group.right not in ")]" or not _less(*bounds):
        return None
    # Infinity is in no set of real numbers.
    if (group.left == "[" and bounds[0].is_infinite) or (group.right == "]" and bounds[1].is_infinite):
        return None
    return Interval(*bounds, left_open=group.left == "(", right_open=group.right == ")")


def _set_of_chain(chain: Chain) -> sympy.Set | None:
    """The set of x where `a < x < b`, or with one bound, or another order of the signs."""
    if chain.signs[0] in (">", r"\ge"):
        chain = _turned(chain)
    at = [i for i, part in enumerate(chain.parts) if _is_name(part)]
    if chain.signs == (r"\ne",) and at == [0]:
        without = _real(chain.parts[1])
        return None if without is None else S.Reals - sympy.FiniteSet(without)
    if not set(chain.signs) <= {"<", r"\le"} or len(chain.parts) > 3:
        return None
    if len(at) != 1 or (len(chain.parts) == 3 and at != [1]):
        return None
    low = _real(chain.parts[0]) if at[0] == 1 else -sympy.oo
    high = _real(chain.parts[-1]) if at[0] < len(chain.parts) - 1 else sympy.oo
    if low is None or high is None or not _less(low, high):
        return None
    left_open = low == -sympy.oo or chain.signs[0] == "<"
    return Interval(low, high, left_open=left_open, right_open=high == sympy.oo or chain.signs[-1] == "<")


def _variables(node: Node) -> set[str]:
    """The names that stand in a list of inequalities."""
    if isinstance(node, Leaf):
        return {normalise(node.text)} if _is_name(node) else set()
    return set().union(*map(_variables, node.parts))


def _real(node: Node) -> Expr | None:
    if not isinstance(node, Leaf):
        return None
    value = _value(node.text)
    if not isinstance(value, _Number) or not isinstance(value.value, Expr) or value.percent:
        return None
    return value.value if value.value.is_extended_real and not value.value.free_symbols else None


def _less(a: Expr, b: Expr) -> bool:
    return (a < b) == True  # noqa: E712 - a relation, if sympy does not know


def _equal_sets(a: sympy.Set, b: sympy.Set) -> bool:
    pieces_a, pieces_b = _pieces(a), _pieces(b)
    if pieces_a is None or pieces_b is None or len(pieces_a) != len(pieces_b):
        return False
    return all(
        (x.left_open, x.right_open) == (y.left_open, y.right_open)
        and _equal_numbers(x.start, y.start)
        and _equal_numbers(x.end, y.end)
        for x, y in zip(pieces_a, pieces_b, strict=True)
    )


def _pieces(a: sympy.Set) -> list[Interval] | None:
    """The intervals and points that make up a set, from the left; None if it is of another kind."""
    pieces = []
    for part in a.args if isinstance(a, sympy.Union) else (a,):
        if isinstance(part, sympy.FiniteSet):
            pieces += [_Point(point) for point in part.args]
        elif isinstance(part, Interval):
            pieces.append(part)
        elif part is S.Reals:
            pieces.append(Interval(-sympy.oo, sympy.oo))
        elif part is not S.EmptySet:
            return None
    return sorted(pieces, key=lambda piece: (float(piece.start), float(piece.end)))


class _Point:
    """An interval of one number; sympy turns such an interval into a finite set."""

    left_open = right_open = False

    def __init__(self, at: Expr):
        self.start = self.end = at


# ---- expressions and words


class _Words:
    """A text; what it says is compared as `normalise` gives it."""

    def __init__(self, text: str):
        self.text = text


class _Based:
    """A number that names its base: its digits, not its value, are the answer."""

    def __init__(self, digits: str, base: str):
        self.digits, self.base = digits, base


class _Number:
    """An expression or a matrix, and beside it a unit and whether a percent sign stood there."""

    def __init__(self, value: Expr | MatrixBase, unit: str | None, percent: bool):
        self.value, self.unit, self.percent = value, unit, percent


_UNIT = re.compile(r"(.*[^ ^_]) ?\\text ?\{([^{}]*)\}(?:\^(?:([0-9])|\{([0-9])\}))?", re.DOTALL)
_BARE_UNIT = re.compile(
    r"(.*[0-9})i]) ?((?:square |cubic |sq ?|cu )?(?:[mck]m|mi|ft|in|feet|foot|inch(?:es)?|yards?|miles?|(?:centi|kilo|milli)?"
    r"met(?:er|re)s?|units?|hours?|minutes?|seconds?|days?|weeks?|months?|years?|dollars?|cents?|degrees?|mph|kg"
    r"|pounds?|grams?|liters?|points?|people|students?|ways))(?:\^(?:([0-9])|\{([0-9])\}))?",
    re.DOTALL,
)
_SCALES = re.compile(r"hundred|thousand|million|billion|trillion|dozen|half|quarter|third|pair", re.IGNORECASE)
_BASE_NAMES = dict(
    zip(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split(),
        map(str, range(2, 17)),
        strict=True,
    )
)
_BASED = re.compile(
    r"([+-]?)0*([0-9A-Z., ]*[0-9][0-9A-Z., ]*)_ ?(?:([0-9])|\{ ?([0-9]{1,2}) ?\}|\{? ?(?:\\text ?\{)? ?([a-z]+) ?\}{1,2})"
)
_TEXT = re.compile(r"\\text(?![a-zA-Z])")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")


@lru_cache(maxsize=10_000)
def _value(text: str) -> _Words | _Based | _Number:
    """What a leaf says. `Unreadable` if nothing."""
    if match := _BASED.fullmatch(text):
        sign, digits, *bases, word = match.groups()
        base = next((base for base in bases if base), None) or _BASE_NAMES.get(word or "")
        if base and base != "10":
            return _Based(sign.replace("+", "") + re.sub("[, ]", "", digits), base)
        if base:
            text = sign + digits
    unit = None
    if match := _UNIT.fullmatch(text) or _BARE_UNIT.fullmatch(text):
        if not _SCALES.search(match[2]):
            text, unit = match[1].strip(), f"{_unit(match[2])}{match[3] or match[4] or ''}"
    percent = re.search(r" ?\\?%$", text)
    if percent:
        text = text[: percent.start()]
    if not _TRIGONOMETRIC.search(text):
        text = text.replace(r"^\circ", "").strip()
    text = _DIGIT_GROUPS.sub(lambda m: m[0].replace(" ", ""), text)
    if text in _NAMED_SETS:
        return _Words(text)
    if _TEXT.search(text) or _NO_PRODUCT.search(text):
        if not re.search("[a-zA-Z0-9]", normalise(text)):
            raise Unreadable(text)
        return _Words(text)
    return _Number(_expression(text), unit, bool(percent))


_UNITS = {
    "mm": "millimeter millimetre",
    "cm": "centimeter centimetre",
    "m": "meter metre",
    "km": "kilometer kilometre",
    "in": "inch inche",
    "ft": "foot feet",
    "yd": "yard",
    "mi": "mile",
    "s": "second sec",
    "min": "minute",
    "h": "hour hr",
    "day": "",
    "week": "",
    "month": "",
    "year": "",
    "g": "gram gm",
    "kg": "kilogram",
    "lb": "pound",
    "oz": "ounce",
    "l": "liter litre",
    "ml": "milliliter",
    "dollar": "",
    "cent": "",
    "am": "",
    "pm": "",
    "mph": "",
    "unit": "",
}
_UNIT_NAMES = {name: unit for unit, names in _UNITS.items() for name in [unit, *names.split()]}
_POWERS = {"square": "2", "sq": "2", "cubic": "3", "cu": "3"}


def _unit(text: str) -> str:
    """One name for a unit of measure and its power; empty for what is only counted."""
    words = text.lower().replace(".", "").split()
    power = "".join(_POWERS.get(word, "") for word in words)
    names = [word for word in words if word not in _POWERS]
    if len(names) != 1:
        return ""
    name = _UNIT_NAMES.get(names[0]) or _UNIT_NAMES.get(names[0].removesuffix("s"), "")
    return name and name + power


def _equal_leaves(a: str, b: str) -> bool:
    if normalise(a) == normalise(b) and normalise(a):
        return True
    x, y = _value(a), _value(b)
    if isinstance(x, _Based) and isinstance(y, _Based):
        return (x.digits, x.base) == (y.digits, y.base)
    if not isinstance(x, _Number) or not isinstance(y, _Number):
        return False
    if x.unit and y.unit and x.unit != y.unit:
        return False
    if _equal_values(x.value, y.value):
        return True
    # MATH takes 50\% for 50, and as what it is.
    if x.percent == y.percent:
        return False
    return _equal_values(x.value / 100, y.value) if x.percent else _equal_values(x.value, y.value / 100)


class _Parser(_Latex2Sympy):
    """The parser of math-verify, which has its own mind about three things."""

    def convert_func(self, func):
        # It takes the cube root of -8 for a complex number.
        found = super().convert_func(func)
        if func.FUNC_SQRT() and func.root:
            base, exponent = found.base.doit(), found.exp.doit()
            if base.is_negative and exponent.is_Rational and exponent.p == 1 and exponent.q % 2:
                return self.mul_flat(-1, sympy.Pow(-base, exponent, evaluate=False))
        return found

    def convert_postfix_list(self, arr, i=0):
        # It takes 3(2) for 3 + 2, as if it were a mixed number.
        factors = [self.convert_postfix(factor) for factor in arr]
        if len(factors) == 1:
            return factors[0]
        if any(isinstance(factor, list) for factor in factors):
            raise Unreadable("a derivative")
        product = factors[0]
        for factor in factors[1:]:
            matrix = isinstance(product, MatrixBase) or isinstance(factor, MatrixBase)
            product = self.mat_mul_flat(product, factor) if matrix else self.mul_flat(product, factor)
        return product

    def convert_atom_expr(self, atom_expr):
        # It takes I for i.
        letter = atom_expr.LETTER_NO_E()
        if letter and letter.getText() == "I" and not atom_expr.subexpr():
            return Symbol("I")
        return super().convert_atom_expr(atom_expr)


_DIGIT_GROUPS = re.compile(r"(?<![0-9.,])[1-9][0-9]{0,2}(?: [0-9]{3})+(?![0-9])")
# Neither is a product: 2 3, 12_{x}.
_NO_PRODUCT = re.compile("(?<!_)[0-9.] [0-9.]|[0-9]_")
_REPEATING = re.compile(r"([0-9]*)\.([0-9]*)\\overline ?\{([0-9]{1,40})\}")
_SCIENTIFIC = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)[eE]([+-]?[0-9]{1,3})")
_MIXED = re.compile(r"(?<![0-9.^_}),])([0-9]+) ?\\frac\{([0-9]+)\}\{([0-9]+)\}")
# Complex by convention; all other variables are real.
_COMPLEX = {"z", "w", "omega", "zeta"}


@lru_cache(maxsize=10_000)
def _expression(text: str) -> Expr | MatrixBase:
    """The text as an expression or a matrix, with decimals as exact numbers. `Unreadable` if it is none."""
    if not text.isascii():
        raise Unreadable(text)
    text = _SCIENTIFIC.sub(r"\1\\cdot 10^{\2}", text) if _SCIENTIFIC.fullmatch(text) else text
    text = _MIXED.sub(_mixed, _REPEATING.sub(_repeating, text))
    parser = _Parser(None, None, bool(_TRIGONOMETRIC.search(text)), ConversionConfig(lowercase_symbols=False))
    try:
        found = parser.parse(text)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:
        raise Unreadable(text) from error
    if not isinstance(found, Expr | MatrixBase | sympy.MatrixExpr):
        raise Unreadable(text)
    replaced = {number: Rational(str(number)) for number in found.atoms(Float)}
    replaced |= {symbol: _symbol(symbol.name) for symbol in found.atoms(Symbol)}
    found = found.xreplace(replaced).doit()
    if found.has(S.NaN, S.ComplexInfinity):
        raise Unreadable(text)
    return found


def _symbol(name: str) -> Expr:
    if name == "i":
        return I
    return Symbol(name) if name in _COMPLEX else Symbol(name, real=True)


def _mixed(match: re.Match) -> str:
    whole, numerator, denominator = match.groups()
    proper = int(numerator) < int(denominator)
    return rf"({whole}+\frac{{{numerator}}}{{{denominator}}})" if proper else match[0]


def _repeating(match: re.Match) -> str:
    whole, once, again = match.groups()
    numerator = int((whole + once or "0") + again) - int(whole + once or "0")
    return rf"\frac{{{numerator}}}{{{(10 ** len(again) - 1) * 10 ** len(once)}}}"


# ---- numbers


def _equal_values(a: Expr | MatrixBase, b: Expr | MatrixBase) -> bool:
    if a == b:
        return True
    if isinstance(a, MatrixBase) or isinstance(b, MatrixBase):
        same_shape = isinstance(a, MatrixBase) and isinstance(b, MatrixBase) and a.shape == b.shape
        return same_shape and all(map(_equal_values, a.flat(), b.flat()))
    if not isinstance(a, Expr) or not isinstance(b, Expr):
        return False
    if not a.free_symbols and not b.free_symbols:
        return _equal_numbers(a, b)
    if a.free_symbols != b.free_symbols:
        a, b = sympy.simplify(a), sympy.simplify(b)
        if a.free_symbols != b.free_symbols:
            return False
    compared = 0
    for point in _points(a, b):
        left, right = a.subs(point), b.subs(point)
        if not (left.is_finite is False or right.is_finite is False):
            if not _equal_numbers(left, right):
                return False
            compared += 1
    return compared >= 2


def _equal_numbers(a: Expr, b: Expr) -> bool:
    """Whether two numbers are equal: exactly, or else in their first `DIGITS` digits."""
    if a == b:
        return True
    if a.is_Rational and b.is_Rational or a.is_infinite or b.is_infinite:
        return False
    return _is_zero(a - b)


def _is_zero(number: Expr) -> bool:
    if number.is_zero is not None:
        return bool(number.is_zero)
    if number.atoms(sympy.core.function.AppliedUndef) or number.free_symbols:
        return number == 0
    # It doubles its own precision until a digit is certain, or there are more than these.
    value = number.evalf(5, maxn=DIGITS * 4)
    return value.is_number and abs(value) < Rational(1, 10**DIGITS) * _size(number)


def _size(number: Expr) -> Expr:
    """The largest term of a sum: what its rounding errors are measured by."""
    terms = [abs(term.evalf(5)) for term in sympy.Add.make_args(number)]
    return max([term for term in terms if term.is_comparable], default=Integer(1))


def _points(a: Expr, b: Expr) -> list[dict]:
    """Points that nobody knows before both expressions: chance does not make different ones agree there."""
    symbols = sorted(a.free_symbols | b.free_symbols, key=str)
    rng = random.Random(f"{a}|{b}")

    def fraction() -> Rational:
        return Rational(rng.randint(10**3, 10**4), rng.randint(10**3, 10**4))

    def value(symbol: Symbol, sign: int) -> Expr:
        return sign * fraction() + (0 if symbol.is_real else I * fraction())

    # What rounds is plain between whole numbers and tells itself apart at them.
    points = [{symbol: Integer(rng.randint(2, 40)) for symbol in symbols if symbol.is_real}]
    points += [{symbol: value(symbol, (-1) ** k) for symbol in symbols} for k in range(_POINTS)]
    return points if all(symbol.is_real for symbol in symbols) else points[1:]
