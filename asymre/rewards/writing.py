r"""Reduce the notations of LaTeX, Unicode and people to one; text to text.

Everything here is linear in the length of its input and evaluates nothing: safe on any text.
"""

import re
import unicodedata

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma"
)
_GREEK = (_GREEK + " tau upsilon phi chi psi omega").split()
_UNICODE = {
    **dict.fromkeys("‐‑‒–—−﹣", "-"),
    **dict.fromkeys("·⋅∙", r"\cdot "),
    **dict.fromkeys("≤⩽≦", r"\le "),
    **dict.fromkeys("≥⩾≧", r"\ge "),
    **dict.fromkeys("′’", "'"),
    "×": r"\times ",
    "÷": "/",
    "∕": "/",
    "⁄": "/",
    "√": r"\sqrt ",
    "∛": r"\sqrt[3] ",
    "∞": r"\infty ",
    "≠": r"\ne ",
    "≈": r"\approx ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "∨": r"\lor ",
    "∧": r"\land ",
    "ℝ": r"\mathbb{R}",
    "∅": r"\emptyset ",
    "°": r"^\circ ",
    "º": r"^\circ ",
    "±": r"\pm ",
    "∓": r"\mp ",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
    **{chr(0x3B1 + i): rf"\{name} " for i, name in enumerate(_GREEK)},
    **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
    **{
        character: r"\frac{{{}}}{{{}}}".format(*unicodedata.normalize("NFKC", character).split("⁄"))
        for character in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"
    },
}
_UNICODE = str.maketrans(_UNICODE)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ₀₁₂₃₄₅₆₇₈₉", "0123456789+-n0123456789")
_RUNS = (
    (re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+"), "^"),
    (re.compile("[₀₁₂₃₄₅₆₇₈₉]+"), "_"),
)
# The root sign has no braces around its argument.
_ROOT = re.compile(r"([√∛]) ?(?:\(([^()]*)\)|([0-9]+(?:\.[0-9]+)?))")

_NOT_A_NAME = "(?![a-zA-Z])"
# Not after another backslash: two end a row of a matrix.
_ONE = r"(?<!\\)\\"
_FORM = (
    (r"\s+", " "),
    (r"(?<!\\)((?:\\\\)*)\\?\$", r"\1"),
    (rf"{_ONE}(?:left|right|[bB]igg?[lrm]?){_NOT_A_NAME}\.?", ""),
    (rf"{_ONE}(?:display|text|script)style{_NOT_A_NAME}|{_ONE}(?:bf|rm|it){_NOT_A_NAME}", ""),
    (rf"{_ONE}[dtc]frac{_NOT_A_NAME}", r"\\frac"),
    (rf"{_ONE}[dt]binom{_NOT_A_NAME}", r"\\binom"),
    (rf"<=|{_ONE}le(?:q|qslant){_NOT_A_NAME}", r"\\le "),
    (rf">=|{_ONE}ge(?:q|qslant){_NOT_A_NAME}", r"\\ge "),
    (rf"!=|{_ONE}(?:neq|not ?=)", r"\\ne "),
    (rf"{_ONE}lt{_NOT_A_NAME}", "<"),
    (rf"{_ONE}gt{_NOT_A_NAME}", ">"),
    (rf"{_ONE}vee{_NOT_A_NAME}", r"\\lor"),
    (rf"{_ONE}wedge{_NOT_A_NAME}", r"\\land"),
    (rf"{_ONE}lbrace{_NOT_A_NAME}", r"\\{"),
    (rf"{_ONE}rbrace{_NOT_A_NAME}", r"\\}"),
    (rf"{_ONE}(?:varnothing){_NOT_A_NAME}", r"\\emptyset"),
    (rf"\^ ?\{{ ?\\circ ?\}}|\^ ?\\circ{_NOT_A_NAME}|\^? ?\\degree{_NOT_A_NAME}", r"^\\circ"),
    (r"\^ ?(-(?:[0-9]+|[a-zA-Z]))", r"^{\1}"),
    (r"(?<=[0-9])(?:, ?\\!|\\,|\{,\})(?=[0-9]{3}(?![0-9]))", ""),
    (rf"{_ONE}[!,;: ]|{_ONE}q?quad{_NOT_A_NAME}|~", " "),
)
_FORM = [(re.compile(p), r) for p, r in _FORM]
_FONT = (
    r"(text|textbf|textit|textrm|textsf|texttt|textnormal|emph|mbox|hbox|mathrm|mathbf|mathit|mathsf|mathtt"
)
_FONT += r"|mathnormal|boldsymbol|bm|bold|underline)"
_FONT_OF_PLAIN = re.compile(rf"{_ONE}{_FONT} ?\{{([^{{}}\\]*)\}}")
_FONT = re.compile(rf"{_ONE}{_FONT}(?= ?\{{)")
_WORDY = {"text", "textbf", "textit", "textrm", "textsf", "texttt", "textnormal", "emph", "mbox", "hbox"}
_LETTERS = re.compile("[a-zA-Z]")
_CONNECTIVE = re.compile(r"\s*[,;]?\s*(and|or)\s*", re.IGNORECASE)
_LIST_OF_LETTERS = re.compile(r"\s*[A-Za-z](?:\s*(?:,|and|or)\s*[A-Za-z])+\s*")
_QUANTITY = re.compile(r"\s*([+-]?[0-9][0-9.,/]*)(\s+(?!and|or)[a-zA-Z.]+(?: [a-zA-Z.]+)?\s*)")
_PERCENT = re.compile(r"\s*(?:percent|per cent|pct)\s*")
_DEGREES = re.compile(r"\s*degrees?\s*")

# Digits in groups of three are one number, unless brackets make them a point, an interval or a set.
_THOUSANDS = re.compile(r"(?<![0-9.,])([1-9][0-9]{0,2})((?:,[0-9]{3})+)(?![0-9,])")
_BRACKET = re.compile(r"[(\[]|\\[{l]")
_MIXED = re.compile(r"(?<![0-9.,/^_}])([0-9]{1,40}) ([0-9]{1,40})/([0-9]{1,40})(?![0-9./])")
_END = re.compile(r"(?<!\\)[.,;]\s*$")


def tidy(answer: str) -> str:
    r"""Return the same answer in a form that a parser reads.

    Fonts, sizes, spaces and dollars are dropped; `\frac12` gets its braces, `11 5/6` becomes a mixed number,
    `1,234` one number, and Unicode LaTeX.
    """
    text = _ROOT.sub(lambda m: rf"{m[1]}{{{m[2] or m[3]}}}", answer)
    for run, mark in _RUNS:
        text = run.sub(lambda m, mark=mark: f"{mark}{{{m[0].translate(_RAISED)}}}", text)
    text = text.translate(_UNICODE)
    for pattern, replacement in _FORM:
        text = pattern.sub(replacement, text)
    # Twice, for nested fonts.
    text = _FONT_OF_PLAIN.sub(_plain, _FONT_OF_PLAIN.sub(_plain, text))
    text = _FONT.sub(lambda m: rf"\{m[1]}" if m[1] in _WORDY else "", text)
    text = _END.sub("", text.strip())
    if not _BRACKET.search(text):
        text = _THOUSANDS.sub(lambda m: m[1] + m[2].replace(",", ""), text)
    return braced(_MIXED.sub(_mixed, text))


def _plain(match: re.Match) -> str:
    """Return the content of a font command: a connective, letters as words, all else unchanged."""
    font, content = match.groups()
    if connective := _CONNECTIVE.fullmatch(content):
        return f" {connective[1].lower()} "
    if _PERCENT.fullmatch(content):
        return r"\%"
    if _DEGREES.fullmatch(content):
        return r"^\circ"
    if not _LETTERS.search(content):
        return content
    if quantity := _QUANTITY.fullmatch(content):
        return rf"{quantity[1]}\text{{{quantity[2]}}}"
    if font in _WORDY and _LIST_OF_LETTERS.fullmatch(content):
        return re.sub("[A-Za-z](?![A-Za-z])(?<![a-z][a-z])", lambda m: rf"\text{{{m[0]}}}", content)
    if font not in _WORDY and (len(content.strip()) == 1 or re.search("[0-9=<>^_+*/]", content)):
        return content
    return rf"\text{{{content}}}"


def _mixed(match: re.Match) -> str:
    whole, numerator, denominator = match.groups()
    return rf"{whole}\frac{{{numerator}}}{{{denominator}}}" if int(numerator) < int(denominator) else match[0]


_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|.", re.DOTALL)
_ARGUMENTS = {r"\frac": 2, r"\binom": 2, r"\sqrt": 1}


def braced(text: str) -> str:
    r"""Return the text with braces around each argument of \frac, \binom, \sqrt, and these in ^ or _."""
    if not any(command in text for command in _ARGUMENTS):
        return text
    out: list[str] = []
    # Open groups by their closing brace, open commands by the number of arguments still to come.
    open_: list[str | list] = []

    def wait(count: int, end: str) -> None:
        open_.append([count, end])

    def finish() -> None:
        """Close the commands that have all their arguments."""
        while open_ and isinstance(open_[-1], list) and open_[-1][0] == 0:
            out.append(open_.pop()[1])

    for token in _TOKEN.findall(text):
        waiting = open_[-1] if open_ and isinstance(open_[-1], list) else None
        raised = waiting is not None and waiting[1] == "^"
        if waiting is None:
            if token == "{":
                open_.append("}")
            elif token in ("}", "]") and open_ and open_[-1] == token:
                open_.pop()
                out.append(token)
                finish()
                continue
            out.append(token)
            if token in _ARGUMENTS:
                wait(_ARGUMENTS[token], "")
            elif token in "^_":
                wait(1, "^")
        elif token.isspace():
            continue
        elif token == "{":
            waiting[0] -= 1
            if raised:
                waiting[1] = ""
            open_.append("}")
            out.append(token)
        elif token == "}":
            # Its argument is missing: the parser will report it.
            while open_ and isinstance(open_[-1], list):
                out.append(open_.pop()[1].strip("^"))
            if open_:
                open_.pop()
            out.append(token)
            finish()
        elif token == "[" and out[-1] == r"\sqrt":
            open_.append("]")
            out.append(token)
        else:
            waiting[0] -= 1
            if token in _ARGUMENTS:
                waiting[1] = waiting[1].strip("^")
                out += ["{", token]
                wait(_ARGUMENTS[token], "}")
            elif raised:
                waiting[1] = ""
                out.append(token)
                finish()
            else:
                out += ["{", token, "}"]
                finish()
    return "".join(out)


_NORMAL = (
    (r"\\text ?\{([^{}\\]*)\}", r"\1"),
    (r"\^\\circ", ""),
    (r"\\?%", ""),
    # A space has meaning only between two words and between two numbers.
    (r"\s+", " "),
    (r"(?<![a-zA-Z0-9]) | (?![a-zA-Z0-9])|(?<=[0-9]) (?=[a-zA-Z])", ""),
    # A list keeps its spaces: `1, 234` is not a way to write 1234.
    (r",(?=.)", ", "),
    (r"\.$", ""),
)
_NORMAL = [(re.compile(p), r) for p, r in _NORMAL]
_CHOICE = re.compile(r"\(([A-Z])\)")
_WORDS = re.compile(r"[a-zA-Z][a-z]+(?: [a-zA-Z][a-z]+)*")
_WORD = re.compile("[a-zA-Z][a-z]{3}")


def normalise(answer: str) -> str:
    r"""Return the same text for answers that differ only in spacing, fonts, dollars or the case of words.

    A percent sign and a degree sign are dropped, as is usual for MATH: 50\% and 50 count as equal.
    """
    tidied = answer = tidy(answer)
    for pattern, replacement in _NORMAL:
        answer = pattern.sub(replacement, answer)
    if choice := _CHOICE.fullmatch(answer):
        return choice.group(1)
    # `Ab` may be a product of two variables; words are marked as such, or longer.
    words = _WORDS.fullmatch(answer) and (r"\text" in tidied or _WORD.match(answer))
    return answer.lower() if words else answer


_CHOICE_FORM = re.compile(r"\(?\s*\\text ?\{\s*\(?([A-Ja-j])[).]?\s*\}\s*\)?|\(\s*([A-Ja-j])\s*\)")
_CHOICE_OF_SOME_KIND = re.compile(rf"{_CHOICE_FORM.pattern}|([A-Ja-j])[).]?")


def same_choice(answer: str, gold: str) -> bool:
    r"""Return whether the gold answer has the form of a choice, `\text{(B)}`, and the answer is that letter.

    A plain letter is not such a form: it may be a variable, whose case matters.
    """
    wanted, given = _CHOICE_FORM.fullmatch(tidy(gold)), _CHOICE_OF_SOME_KIND.fullmatch(tidy(answer))
    return bool(wanted and given) and _letter(wanted) == _letter(given)


def _letter(match: re.Match) -> str:
    return next(group for group in match.groups() if group).upper()
