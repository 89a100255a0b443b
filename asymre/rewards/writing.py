r"""Reduce the notations of LaTeX and Unicode to one; text to text.

Everything here is linear in the length of its input and evaluates nothing: safe on any text.
"""

import re
from fractions import Fraction

# Each form, with the commands and the characters that are written for it.
_ALIKE = {"": "left right big Big bigg Bigg displaystyle ! ( ) [ ]", " ": "quad qquad , : ;", "-": "− –"}
_ALIKE |= {r"\frac": "dfrac tfrac cfrac", r"\binom": "dbinom tbinom", "'": "’", " or ": "lor vee"}
_ALIKE |= {r"\le ": "leq leqslant ≤", r"\ge ": "geq geqslant ≥", r"\ne ": "neq ≠", "<": "lt", ">": "gt"}
_ALIKE |= {r"\cdot ": "· ⋅", r"\times ": "×", r"\infty ": "∞", r"\cup ": "∪", r"\in ": "∈", r"\pm ": "±"}
_ALIKE |= {r"\pi ": "π", r"\theta ": "θ", "^2": "²", "^3": "³", r"^\circ ": "° degree", ".": "。"}
_ALIKE |= {r"\text": "textbf textit textrm mbox", r"\emptyset": "varnothing"}
_COMMANDS = {name: form for form, names in _ALIKE.items() for name in names.split() if name.isascii()}
_CHARACTERS = {sign: form for form, signs in _ALIKE.items() for sign in signs.split() if not sign.isascii()}

_FONT = r"\\(?:math(?:rm|bf|it|sf)|boldsymbol|bm|underline)"
_ARGUMENT = r"(?:[0-9a-zA-Z]|\\[a-z]+)"
_BRACES = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
_N = "[0-9]{1,40}"
_MIXED = rf"(?<![0-9.^_}}])({_N})(?: ({_N})/({_N})(?![0-9./])| ?\\frac\{{({_N})\}}\{{({_N})\}})"
_REPEATING = rf"(?<![0-9])({_N}|)\.({_N}|)(?:\(({_N})\)|\\(?:overline|bar|dot) ?\{{({_N})\}})"


def _mixed(match: re.Match) -> str:
    whole, above, below = (int(group) for group in match.groups() if group)
    # `5\frac{3}{2}` is a product.
    return rf"\frac{{{whole * below + above}}}{{{below}}}" if above < below else match[0]


def _repeating(match: re.Match) -> str:
    whole, once, again = match[1], match[2], match[3] or match[4]
    above = int(whole + once + again) - int(whole + once or "0")
    return rf"\frac{{{above}}}{{{(10 ** len(again) - 1) * 10 ** len(once)}}}"


_FORM = (
    (r"\*\*(.*)\*\*", r"\1"),
    (r"(?<!\\)\$|\\(?:text)?color ?\{[a-z]*\}|\\(?:begin|end)\{aligned\}", ""),
    (r"(?<=[0-9])(?:, ?\\!|\\,|\\ |\{,\}|~)(?=[0-9]{3}(?![0-9]))", ""),
    (r"(?<!\\)\\ |[~\s]+", " "),
    # Two backslashes end a row of a matrix; so they are read, and kept, first.
    (r"\\(\\|[a-zA-Z]+|.)", lambda match: _COMMANDS.get(match[1], match[0])),
    (r" *(?= |/)|(?<=/) ", ""),
    (r"\*\*", "^"),
    (r"√ ?([0-9]+|[a-z])|(?:√|\\sqrt|(?<![\\a-z])sqrt) ?\(([^()]*)\)", r"\\sqrt{\1\2}"),
    (r"(?<![\\a-z])pi(?![a-z])", r"\\pi"),
    (r"(?<=[0-9]) ?x ?(?=10 ?\^)", r"\\times "),
    # Fonts are of words, or nothing.
    (rf"{_FONT}(?= ?\{{[a-zA-Z. ]{{2,}}\}})|(?<=\}}/){_FONT}", r"\\text"),
    (rf"{_FONT}(?= ?\{{)(?! ?\{{[A-Z]\}})", ""),
    (r"\\text ?\{([^a-zA-Z{}]*)\}", r"\1"),
    (r"\\text ?\{ ?(and|or) ?\}", r" \1 "),
    (r"\\text ?\{([^{}]*)\} ?/ ?\\text ?\{([^{}]*)\}", r"\\text{\1/\2}"),
    (r"\\?%|\\text ?\{ ?per ?cent ?\}", r"\\text{%}"),
    (r" ?\^ ?\{? ?\\circ ?\}?", r"\\text{°}"),
    (r"\\text\{°\} ?\\(?:text|mathrm) ?\{ ?([CF]) ?\}", r"\\text{\1}"),
    # Sets of numbers.
    (r"\\mathbb ?\{R\} ?\\setminus ?\\\{([^,{}]*)\\\}", r"(-\\infty,\1)\\cup(\1,\\infty)"),
    (r"\\text ?\{ ?(?:all )?real numbers ?\}|\\mathbb ?\{R\}", r"(-\\infty,\\infty)"),
    (r"^([a-z]) ?\\ne ([^,]*)$", r"\1\\in(-\\infty,\2)\\cup(\2,\\infty)"),
    (r"\\\{ *\\\}", r"\\emptyset"),
    (r"^\](.*)\[$", r"(\1)"),
    (r"\(([0-9]+)\)_", r"\1_"),
    (r"\{ ?([^{}]*?) ?\\choose(?![a-zA-Z]) ?([^{}]*?) ?\}", r"\\binom{\1}{\2}"),
    (_REPEATING, _repeating),
    (r"(?<=\S) ?\\approx.*|^\\(?:therefore|implies|Rightarrow)(?![a-zA-Z])", ""),
    # Arguments without braces, as TeX reads them.
    (r"(?<=\{) | (?=\})", ""),
    (rf"\\(frac|binom) ?({_ARGUMENT}) ?(?={_ARGUMENT}|\{{)", r"\\\1{\2}"),
    (rf"\\(frac|binom)({_BRACES}) ?({_ARGUMENT})", r"\\\1\2{\3}"),
    (rf"(\\sqrt(?:\[[^\]]*\])?) ?({_ARGUMENT})", r"\1{\2}"),
    (_MIXED, _mixed),
    (r"(?:\\\\| |(?<![,.;\\])[.,;])+$", ""),
)
_FORM = [(re.compile(pattern, re.S), replacement) for pattern, replacement in _FORM]
_THOUSANDS = re.compile(r"(?<![0-9.,])(?<![0-9.,/] )[1-9][0-9]{0,2}((,[0-9]{3})+|( [0-9]{3})+)(?![0-9,])")


def tidy(answer: str) -> str:
    r"""Return an answer in the one form that is read: `\frac12` with its braces, `1,234` as one number."""
    text = answer.translate(str.maketrans(_CHARACTERS))
    for pattern, replacement in _FORM:
        text = pattern.sub(replacement, text).strip()
    if re.search(r"[(\[]|\\[{l]", text):
        return text  # a point, an interval or a set
    return _THOUSANDS.sub(lambda match: re.sub("[, ]", "", match[0]), text)


_DECIMAL = rf"({_N}|(?:{_N})?\.{_N})(?:[eE]([+-]?[0-9]{{1,3}})|/({_N}))?"
_NUMBER = re.compile(rf"([+-]?)(?:{_DECIMAL}|\\frac\{{(-?{_N})\}}\{{(-?{_N})\}})")


def number(text: str) -> Fraction | None:
    """Return the value of a tidy integer, decimal or fraction, also as 1e3; None for all else, as 1/0."""
    if not (match := _NUMBER.fullmatch(text)):
        return None
    sign, decimal, power, divisor, above, below = match.groups()
    if not (divisor := int(divisor or below or 1)):
        return None
    value = Fraction(decimal or above) * Fraction(10) ** int(power or 0) / divisor
    return -value if sign == "-" else value
