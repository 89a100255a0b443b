r"""The value of an expression in an answer, and whether two expressions are equal.

math-verify's parser reads it, sympy evaluates it: time and memory must be limited around both. Arithmetic
is exact, and decimals are taken as exact.
"""

import random
import re
from functools import lru_cache

import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, _Latex2Sympy
from sympy import Expr, Float, I, Integer, MatrixBase, Rational, S, Symbol

from asymre.rewards.structure import Unreadable
from asymre.rewards.writing import normalise

# Decimal digits in which two numbers must agree if exact arithmetic cannot decide.
DIGITS = 300
# Points at which two expressions with variables are compared.
_POINTS = 4

NAMED_SETS = {r"\mathbb{R}": S.Reals, r"\R": S.Reals, r"\mathbb R": S.Reals, r"\emptyset": S.EmptySet}

# ---- expressions and words


class Words:
    """A text, compared after `normalise`."""

    def __init__(self, text: str):
        self.text = text


class Based:
    """A number with an explicit base: the answer is its digits, not its value."""

    def __init__(self, digits: str, base: str):
        self.digits, self.base = digits, base


class Number:
    """An expression or a matrix, with its unit and whether it had a percent sign."""

    def __init__(self, value: Expr | MatrixBase, unit: str | None, percent: bool):
        self.value, self.unit, self.percent = value, unit, percent


_UNIT = re.compile(r"(.*[^ ^_]) ?\\text ?\{([^{}]*)\}(?:\^(?:([0-9])|\{([0-9])\}))?", re.DOTALL)
# Without a font, 5m and 3ft may be products. Whole words are units; abbreviations only after a space.
_BARE_UNIT = re.compile(
    r"(.*[0-9})i])((?: (?:square |cubic |sq |cu )?(?:[mck]m|kg|mi|ft|in)"
    r"| ?(?:square |cubic |sq |cu )?(?:feet|foot|inch(?:es)?|yards?|miles?"
    r"|(?:centi|kilo|milli)?met(?:er|re)s?|units?|hours?|minutes?|seconds?|days?|weeks?|months?|years?"
    r"|dollars?|cents?|degrees?|mph|pounds?|grams?|liters?|points?|people|students?|ways)))(?:\^(?:([0-9])|\{([0-9])\}))?",
    re.DOTALL,
)
# "5 hours" is 5, but "5 or more", "5 million", "5, not 6" mean something else.
_UNIT_WORDS = re.compile(r"\s*[a-zA-Z.]+(?:[ -][a-zA-Z.]+){0,3}\s*")
_NO_UNIT = re.compile(
    r"\b(?:or|and|to|not|is|are|no|than|at|least|most|more|less|about|over|under|if|when|mod|base|up|minus|plus"
    r"|times|squared|cubed|factorial|percent|hundred|thousand|million|billion|trillion|dozen|half|halves|quarters?"
    r"|thirds?|tenths?|hundredths?|pairs?)\b",
    re.IGNORECASE,
)
_BASE_NAMES = "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
_BASE_NAMES = {name: str(base) for base, name in enumerate(_BASE_NAMES.split(), 2)}
_BASED = re.compile(
    r"([+-]?)0*([0-9A-Z., ]*[0-9][0-9A-Z., ]*)_ ?"
    r"(?:([0-9])|\{ ?([0-9]{1,2}) ?\}|\{? ?(?:\\text ?\{)? ?([a-z]+) ?\}{1,2})"
)
# The parser ignores a prime, reads 2 3 as a product, and 12_x as 12.
_NO_EXPRESSION = re.compile(r"\\text(?![a-zA-Z])|'|(?<!_)[0-9.] [0-9.]|[0-9]_|^\\mathbb ?\{[A-Z]\}$")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")


@lru_cache(maxsize=10_000)
def value_of(text: str) -> Words | Based | Number:
    """Return the value of a leaf. Raises Unreadable if it has none."""
    if match := _BASED.fullmatch(text):
        sign, digits, *bases, word = match.groups()
        base = next((base for base in bases if base), None) or _BASE_NAMES.get(word or "", "0")
        digits = re.sub("[, ]", "", digits)
        if base == "10":
            text = sign + digits
        # 3A_1 is a product.
        elif all(int(digit, 36) < int(base) for digit in digits.replace(".", "")):
            return Based(sign.replace("+", "") + digits, base)
    unit = None
    if match := _UNIT.fullmatch(text) or _BARE_UNIT.fullmatch(text):
        if _UNIT_WORDS.fullmatch(match[2]) and not _NO_UNIT.search(match[2]):
            text, unit = match[1].strip(), f"{_unit(match[2])}{match[3] or match[4] or ''}"
    percent = re.search(r" ?\\?%$", text)
    if percent:
        text = text[: percent.start()]
    if not _TRIGONOMETRIC.search(text):
        text = text.replace(r"^\circ", "").strip()
    text = _DIGIT_GROUPS.sub(lambda m: m[0].replace(" ", ""), text)
    if text in NAMED_SETS or _NO_EXPRESSION.search(text):
        if not re.search("[a-zA-Z0-9]", normalise(text)):
            raise Unreadable(text)
        return Words(text)
    return Number(_expression(text), unit, bool(percent))


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
    """Return one name for a unit of measure and its power; empty for counted things."""
    words = text.lower().replace(".", "").split()
    power = "".join(_POWERS.get(word, "") for word in words)
    names = [word for word in words if word not in _POWERS]
    if len(names) != 1:
        return ""
    name = _UNIT_NAMES.get(names[0]) or _UNIT_NAMES.get(names[0].removesuffix("s"), "")
    return name and name + power


def equal_leaves(a: str, b: str) -> bool:
    if normalise(a) == normalise(b) and normalise(a):
        return True
    x, y = value_of(a), value_of(b)
    if isinstance(x, Based) and isinstance(y, Based):
        return (x.digits, x.base) == (y.digits, y.base)
    if not isinstance(x, Number) or not isinstance(y, Number):
        return False
    if x.unit and y.unit and x.unit != y.unit:
        return False
    if _equal_values(x.value, y.value):
        return True
    # MATH reads 50\% both as 50 and as 0.5.
    if x.percent == y.percent:
        return False
    return _equal_values(x.value / 100, y.value) if x.percent else _equal_values(x.value, y.value / 100)


class _Parser(_Latex2Sympy):
    """The parser of math-verify, corrected in three respects."""

    def convert_func(self, func):
        # It reads the cube root of -8 as a complex number.
        found = super().convert_func(func)
        if func.FUNC_SQRT() and func.root:
            base, exponent = found.base.doit(), found.exp.doit()
            if base.is_negative and exponent.is_Rational and exponent.p == 1 and exponent.q % 2:
                return self.mul_flat(-1, sympy.Pow(-base, exponent, evaluate=False))
        return found

    def convert_postfix_list(self, arr, i=0):
        # It reads 3(2) as the mixed number 3 + 2.
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
        # It reads I as i.
        letter = atom_expr.LETTER_NO_E()
        if letter and letter.getText() == "I" and not atom_expr.subexpr():
            return Symbol("I")
        return super().convert_atom_expr(atom_expr)


_DIGIT_GROUPS = re.compile(r"(?<![0-9.,])[1-9][0-9]{0,2}(?: [0-9]{3})+(?![0-9])")
_REPEATING = re.compile(r"([0-9]*)\.([0-9]*)\\overline ?\{([0-9]{1,40})\}")
_SCIENTIFIC = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)[eE]([+-]?[0-9]{1,3})")
_MIXED = re.compile(r"(?<![0-9.^_}),])([0-9]+) ?\\frac\{([0-9]+)\}\{([0-9]+)\}")
# Complex by convention; all other variables are real.
_COMPLEX = {"z", "w", "omega", "zeta"}


@lru_cache(maxsize=10_000)
def _expression(text: str) -> Expr | MatrixBase:
    """Return the text as an expression or a matrix, with exact decimals. Raises Unreadable for others."""
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
        return equal_numbers(a, b)
    if a.free_symbols != b.free_symbols:
        a, b = sympy.simplify(a), sympy.simplify(b)
        if a.free_symbols != b.free_symbols:
            return False
    compared = 0
    for point in points(a, b):
        left, right = a.subs(point), b.subs(point)
        if not (left.is_finite is False or right.is_finite is False):
            if not equal_numbers(left, right):
                return False
            compared += 1
    return compared >= 2


def equal_numbers(a: Expr, b: Expr) -> bool:
    """Return whether two numbers are equal: exactly, or otherwise in their first `DIGITS` digits."""
    if a == b:
        return True
    if a.is_Rational and b.is_Rational or a.is_infinite or b.is_infinite:
        return False
    return is_zero(a - b)


def is_zero(number: Expr) -> bool:
    if number.is_zero is not None:
        return bool(number.is_zero)
    if number.atoms(sympy.core.function.AppliedUndef) or number.free_symbols:
        return number == 0
    # sympy doubles its precision until a digit is certain, or up to this many digits.
    value = number.evalf(5, maxn=DIGITS * 4)
    return value.is_number and abs(value) < Rational(1, 10**DIGITS) * _size(number)


def _size(number: Expr) -> Expr:
    """Return the largest term of a sum, the scale of its rounding errors."""
    terms = [abs(term.evalf(5)) for term in sympy.Add.make_args(number)]
    return max([term for term in terms if term.is_comparable], default=Integer(1))


def points(a: Expr, b: Expr) -> list[dict]:
    """Return points derived from both expressions, where different ones agree only by negligible chance."""
    symbols = sorted(a.free_symbols | b.free_symbols, key=str)
    rng = random.Random(f"{a}|{b}")

    def fraction() -> Rational:
        return Rational(rng.randint(10**3, 10**4), rng.randint(10**3, 10**4))

    def value(symbol: Symbol, sign: int) -> Expr:
        return sign * fraction() + (0 if symbol.is_real else I * fraction())

    # Include integer points: floor and ceil agree with other expressions between integers and differ at them.
    points = [{symbol: Integer(rng.randint(2, 40)) for symbol in symbols if symbol.is_real}]
    points += [{symbol: value(symbol, (-1) ** k) for symbol in symbols} for k in range(_POINTS)]
    return points if all(symbol.is_real for symbol in symbols) else points[1:]
