r"""Reduce the notations of LaTeX, Unicode and people to one; text to text.

Everything here is linear in the length of its input and evaluates nothing: safe on any text.
"""

import re
import unicodedata
from fractions import Fraction

_GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma"
_GREEK += " sigma tau upsilon phi chi psi omega"
_ALIKE = {"-": "‐‑‒–—−﹣", r"\cdot ": "·⋅∙", r"\le ": "≤⩽≦", r"\ge ": "≥⩾≧", "'": "′’", "/": "÷∕⁄", ".": "。"}
_ALIKE |= {r"^\circ ": "°º", r"\times ": "×", r"\infty ": "∞", r"\ne ": "≠", r"\approx ": "≈", r"\cup ": "∪"}
_ALIKE |= {r"\cap ": "∩", r"\in ": "∈", r"\pm ": "±", r"\mp ": "∓", r"\mathbb{R}": "ℝ", r"\emptyset ": "∅"}
_ALIKE |= {r"\sqrt[3]": "∛", r"\sqrt": "√"}
_UNICODE = {character: latex for latex, characters in _ALIKE.items() for character in characters}
_UNICODE |= {chr(0x3B1 + i): rf"\{name} " for i, name in enumerate(_GREEK.split())}
for _character in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒":
    _UNICODE[_character] = r"\frac{{{}}}{{{}}}".format(*unicodedata.normalize("NFKC", _character).split("⁄"))
_UNICODE = str.maketrans(_UNICODE)
_RAISED, _LOWERED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+"), re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_ROOT = re.compile(r"([√∛]|\\sqrt|(?<![\\a-z])sqrt) ?(?:\(([^()]*)\)|(?<=[√∛]) ?([0-9]+(?:\.[0-9]+)?))")

_END = "(?![a-zA-Z])"
_ONE = r"(?<!\\)\\"  # two backslashes end a row of a matrix
_ARGUMENT = r"(?:[0-9a-zA-Z]|\\[a-z]+)"
_BRACES = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
_FONT = "math(?:rm|bf|it|sf|normal)"
_FORM = (
    (rf"{_ONE}(?:left|right|[bB]igg?[lrm]?|(?:display|text|script)style|bf|rm|it|limits){_END}", ""),
    (rf"{_ONE}(?:text)?color ?\{{[a-z]*\}}|{_ONE}(?:begin|end)\{{aligned\}}|{_ONE}[()\[\]]", ""),
    (r"\*\*(?=.*\*\*$)|\*\*$", ""),
    (r"(?<!\\)\$", ""),
    (r"(?<=[0-9])(?:, ?\\!|\\,|\\ |\{,\}|~)(?=[0-9]{3}(?![0-9]))", ""),
    (rf"{_ONE}[!,;: ]|{_ONE}q?quad{_END}|[~\s]+", " "),
    (rf"{_ONE}[dtc](frac|binom){_END}", r"\\\1"),
    (rf"<=|{_ONE}le(?:q|qslant){_END}", r"\\le "),
    (rf">=|{_ONE}ge(?:q|qslant){_END}", r"\\ge "),
    (rf"!=|{_ONE}(?:neq{_END}|not ?=)", r"\\ne "),
    (rf"{_ONE}lt{_END}", "<"),
    (rf"{_ONE}gt{_END}", ">"),
    (rf"{_ONE}(?:vee|lor){_END}", " or "),
    (rf"{_ONE}(?:wedge|land){_END}", " and "),
    (rf"{_ONE}lbrace{_END}", r"\\{"),
    (rf"{_ONE}rbrace{_END}", r"\\}"),
    (rf"{_ONE}varnothing{_END}|{_ONE}\{{ *{_ONE}\}}", r"\\emptyset"),
    (rf"\^ ?\{{ ?\\circ ?\}}|\^ ?\\circ{_END}|\^? ?\\degree{_END}", r"^\\circ "),
    (r"(?<=[,(])(\s*)\+(?=\\infty)", r"\1"),
    (rf"\{{ ?([^{{}}]*?) ?\\choose{_END} ?([^{{}}]*?)\}}", r"\\binom{\1}{\2}"),
    (r"\(([0-9A-Z]+)\)_", r"\1_"),
    (rf"(?<=\}}) ?/ ?{_ONE}mathrm ?\{{([a-z])\}}", r"/\\text{\1}"),
    (rf"(?<=circ ) *{_ONE}mathrm ?\{{([CF])\}}", r"\\text{\1}"),
    (
        rf"{_ONE}(?:text(?:bf|it|rm|sf|tt|normal)|emph|[mh]box|{_FONT}(?= ?\{{[a-zA-Z .]{{2,}}\}}))(?= ?\{{)",
        r"\\text",
    ),
    (rf"{_ONE}(?:{_FONT}|boldsymbol|bm|underline)(?= ?\{{)(?! ?\{{[A-Z]\}})", ""),
    (r"\\text ?\{([^a-zA-Z{}]*| *[A-Z](?:,? +(?:and +)?[A-Z]|,[A-Z])+ *)\}", r"\1"),
    (r"\\\$|€", lambda m: rf"\text{{{m[0][-1]}}}"),
    (r"\\text ?\{\s*,?\s*(and|or)\s*\}", r" \1 "),
    (r"\\text ?\{ *(?:all )?real numbers *\}", r"\\mathbb{R}"),
    (r"\\text ?\{\s*(?:percent|per cent)\s*\}", r"\\%"),
    (r"\\text ?\{\s*degrees?\s*\}", r"^\\circ "),
    (r"\\text ?\{([^{}]*)\} ?/ ?\\text ?\{([^{}]*)\}", r"\\text{\1/\2}"),
    (r"(?<![\\a-zA-Z])(pi|infty)(?![a-zA-Z])", r"\\\1"),
    (r"(?<=[0-9])\.([0-9]*)(?:\\overline|\\bar|\\dot) ?\{([0-9]+)\}", r".\1(\2)"),
    (r"(?<=\S) ?\\approx.*|^ ?\\(?:therefore|implies|Rightarrow) ", ""),
    (r"^\](.*)\[$", r"(\1)"),
    (r"\*\*", "^"),
    (r"(?<=[0-9]) ?x ?(?=10 ?\^)", r"\\times "),
    (r"_\{\(([0-9]+)\)\}", r"_{\1}"),
    (r" ?/ ?", "/"),
    (r"(?<=\{) | (?=\})", ""),
    # Arguments without braces, as TeX reads them.
    (rf"\\(frac|binom) ?({_ARGUMENT}) ?(?={_ARGUMENT}|\{{)", r"\\\1{\2}"),
    (rf"\\(frac|binom)({_BRACES}) ?({_ARGUMENT})", r"\\\1\2{\3}"),
    (rf"(\\sqrt(?:\[[^\]]*\])?|\^) ?(\\frac{_BRACES}{_BRACES})", r"\1{\2}"),
    (rf"(\\sqrt(?:\[[^\]]*\])?) ?({_ARGUMENT})", r"\1{\2}"),
    (r"(?:\\\\| |(?<![,.;\\])[.,;])+$", ""),
)
_FORM = [(re.compile(pattern, re.S), replacement) for pattern, replacement in _FORM]
_THOUSANDS = re.compile(r"(?<![0-9.,])([1-9][0-9]{0,2})((?:,[0-9]{3})+)(?![0-9,])")
_GROUPS = re.compile(r"(?<![0-9.,/] )(?<![0-9.,/])([1-9][0-9]{0,2})((?: [0-9]{3})+)(?![0-9])")
_MIXED = re.compile(r"(?<![0-9.,/^_}])([0-9]{1,40}) ([0-9]{1,40})/([0-9]{1,40})(?![0-9./])")


def tidy(answer: str) -> str:
    r"""Return the same answer in a form that a parser reads.

    Sizes, spaces and dollars are dropped, fonts are `\text` or nothing; `\frac12` gets its braces, `11 5/6`
    becomes a mixed number, `1,234` one number, and Unicode LaTeX.
    """
    text = _ROOT.sub(
        lambda m: rf"{m[1] if m[1] in '√∛' else chr(92) + 'sqrt'}{{{m[2] or m[3] or ''}}}", answer
    )
    for run, mark in ((_RAISED, "^"), (_LOWERED, "_")):
        text = run.sub(lambda m, mark=mark: f"{mark}{{{unicodedata.normalize('NFKC', m[0])}}}", text)
    text = unicodedata.normalize("NFKC", text.translate(_UNICODE)).translate(_UNICODE)
    for pattern, replacement in _FORM:
        text = pattern.sub(replacement, text).strip()
    if not re.search(r"[(\[]|\\[{l]", text):  # else a point, an interval or a set
        text = _THOUSANDS.sub(lambda m: m[1] + m[2].replace(",", ""), text)
    text = _GROUPS.sub(lambda m: m[0].replace(" ", ""), text)
    return _MIXED.sub(lambda m: rf"{m[1]}\frac{{{m[2]}}}{{{m[3]}}}" if int(m[2]) < int(m[3]) else m[0], text)


_INTEGER = r"[0-9]{1,40}"
_NUMBER = re.compile(
    rf"([+-]?)(?:({_INTEGER})?\.({_INTEGER})|({_INTEGER})(?:/({_INTEGER}))?"
    rf"|({_INTEGER})?\\frac\{{(-?{_INTEGER})\}}\{{(-?{_INTEGER})\}})"
)


def number(text: str) -> Fraction | None:
    r"""Return the value of a tidy integer, decimal, fraction or mixed number; None for all else.

    `5\frac{1}{2}` is the mixed number 11/2, `.5` is 1/2; `5\frac{3}{2}` and `1/0` are None.
    """
    if not (match := _NUMBER.fullmatch(text)):
        return None
    sign, whole, decimals, p, q, mixed, above, below = match.groups()
    if decimals:
        value = Fraction(int((whole or "") + decimals), 10 ** len(decimals))
    elif p:
        value = Fraction(int(p), int(q or 1)) if int(q or 1) else None
    elif int(below) == 0 or mixed and not 0 <= int(above) < int(below):
        return None
    else:
        value = Fraction(int(above), int(below)) + int(mixed or 0)
    return -value if value is not None and sign == "-" else value
