r"""The structure and the kind of a tidy answer: a strict guard before any parser.

Commas, brackets and relations decide what an answer means; words, units and signs of money or percent decide
what a number is. All are read here, and what is left is an expression of known signs, or words.
"""

import re
from dataclasses import dataclass
from itertools import product


class Unreadable(ValueError):
    """A text that is not an answer: its brackets do not match, or a part of it is empty."""


@dataclass(frozen=True)
class Node:
    r"""A part of an answer.

    head: "leaf"; of a list ",", "or", "and"; brackets, as "[)"; "\cup", "\cap", "\setminus"; "matrix", whose
    parts are its rows; or the signs of a relation, as a tuple. text: of a leaf.
    """

    head: str | tuple[str, ...]
    parts: tuple["Node", ...] = ()
    text: str = ""

    @property
    def words(self) -> str:
        """What leaves without a value are compared by: fonts, spaces and the case of words are dropped."""
        text = re.sub(r"\\text ?\{([^{}]*)\}", r" \1 ", self.text).strip()
        text = re.sub(r"(?<![0-9]) +| +(?![0-9])|(?<=[_^])\{(\w)\}|(?<=[ap])\.(?=m)|(?<=m)\.", r"\1", text)
        folded = (
            r"\text" in self.text and re.search("[A-Za-z][a-z]|[AP]M", text) or re.search("[a-z]{3}", text)
        )
        return text.lower() if folded and "\\" not in text else text

    @property
    def is_inequality(self) -> bool:
        return isinstance(self.head, tuple) and bool({"<", ">", r"\le", r"\ge", r"\ne"} & {*self.head})

    @property
    def is_set(self) -> bool:
        """Whether it can only be a set of real numbers."""
        if self.head in ("or", "and"):
            return all(part.is_set for part in self.parts)
        is_set = self.head in ("[]", "[)", "(]", r"\cup", r"\cap", r"\setminus") or self.text == r"\mathbb{R}"
        return is_set or self.is_inequality


_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|[a-zA-Z]+|.", re.S)
_OPENING = {"(", "[", "{", r"\{", r"\langle", r"\begin", r"\lfloor", r"\lceil"}
_CLOSING = {")", "]", "}", r"\}", r"\rangle", r"\end", r"\rfloor", r"\rceil"}
_BRACKETS = {"(": "(", "[": "[", r"\{": "{", r"\langle": "<", ")": ")", "]": "]", r"\}": "}", r"\rangle": ">"}
_JOINTS = {",": ",", ";": ",", "and": "and", "or": "or"}
_RELATIONS = {"<", ">", "=", r"\le", r"\ge", r"\ne", r"\in"}
_KIND = r"\{[pb]?(?:matrix|array)\}"
_MATRIX = re.compile(rf"\[? ?\\begin{_KIND}(?:\{{[clr|]*\}})?(.*?)(?:\\\\ ?)?\\end{_KIND} ?\]?", re.S)


def read(text: str) -> Node:
    """Return the structure of an answer from `tidy`. Raises Unreadable if it has none."""
    pieces, found = _split(text, _JOINTS)
    if found:
        # "1, 2, and 3" has two joints in a row.
        kept = [p for i, p in enumerate(pieces) if p.strip() or not 0 < i < len(pieces) - 1]
        joints = {_JOINTS[joint] for joint in found} - {","} or {","}
        if len(joints) > 1:
            raise Unreadable(text)
        return Node(joints.pop(), tuple(map(read, kept)))
    for separators in (_RELATIONS, {r"\cup", r"\cap"}, {r"\setminus"}):
        pieces, found = _split(text, separators)
        if found and (separators is _RELATIONS or len(set(found)) == 1):
            return Node(tuple(found) if separators is _RELATIONS else found[0], tuple(map(read, pieces)))
    text = text.strip()
    if matrix := _MATRIX.fullmatch(text):
        rows = re.split(r"\\\\(?: ?\[[^\]]*\])?", matrix[1])
        return Node("matrix", tuple(Node("row", tuple(map(read, row.split("&")))) for row in rows))
    tokens = _TOKEN.findall(text)
    if len(tokens) > 2 and _closes_last(tokens):
        inside = read(text[len(tokens[0]) : -len(tokens[-1])])
        head = _BRACKETS.get(tokens[0], "") + _BRACKETS.get(tokens[-1], "")
        if head in ("()", "") and (inside.head != "," or not head):
            return inside
        return Node(head, inside.parts if inside.head == "," else (inside,))
    if not re.search(r"[^\W_]", text):
        raise Unreadable("a part without a letter or a digit")
    if signs := len(re.findall(r"\\pm(?![a-zA-Z])", text)):
        if signs > 3:
            raise Unreadable(text)
        values = (
            re.sub(r"\\pm(?![a-zA-Z])", "%s", text.replace("%", "%%")) % s
            for s in product("+-", repeat=signs)
        )
        return Node("or", tuple(Node("leaf", text=value) for value in values))
    return Node("leaf", text=text)


def _split(text: str, separators) -> tuple[list[str], list[str]]:
    """Return the pieces of a text between separators outside of all brackets, and these separators."""
    pieces, found, depth = [""], [], 0
    for token in _TOKEN.findall(text):
        depth += (token in _OPENING) - (token in _CLOSING)
        if depth < 0:
            raise Unreadable("brackets")
        if depth == 0 and token in separators:
            pieces.append("")
            found.append(token)
        else:
            pieces[-1] += token
    if depth:
        raise Unreadable("brackets")
    return pieces, found


def _closes_last(tokens: list[str]) -> bool:
    """Whether brackets of this module, or braces, open with the first token and close with the last."""
    depths, depth = [], 0
    for token in tokens:
        depth += (token in _OPENING) - (token in _CLOSING)
        depths.append(depth)
    return tokens[0] in {"{", *_BRACKETS} and tokens[-1] in {"}", *_BRACKETS} and 0 not in depths[:-1]


# ---- units, money, percent, degrees

_MEASURES = """mm millimeter millimetre|cm centimeter centimetre|m meter metre|km kilometer kilometre|
in inch inche|ft foot feet|yd yard|mi mile|s sec second|min minute|h hr hour|day|week|month|year|
mg milligram|g gm gram|kg kilogram|lb pound|oz ounce|l liter litre|ml milliliter millilitre|
gal gallon|N newton|J joule|W watt|V volt|$ dollar usd|cent|€ euro|rs rupee|am|pm|mph|km/h kph|unit|
rad radian|acre|degree"""
_COUNTED = """
student people person way apple time pair point square triangle circle edge vertice face side term
digit car book ball coin marble page step child children boy girl man men woman women cat dog egg
cookie tree number integer value solution root zero pencil ticket game question problem part piece
row column marker seat arrangement combination outcome sequence path more"""
_UNITS = {
    name: names.split()[0] for names in _MEASURES.replace("\n", "").split("|") for name in names.split()
}
_UNITS |= {name: name for name in _COUNTED.split()}
_POWERS = {"square": "2", "sq": "2", "squared": "2", "cubic": "3", "cu": "3", "cubed": "3"}
_PREFIX = re.compile(r"\\text ?\{ ?(Rs\.?|USD|€|\$) ?\} ?(.+)", re.S)
_DEGREES = re.compile(r"(.*?) ?\^\\circ ?(?:\\text ?\{ ?)?([CF])? ?\}?", re.S)
_SUFFIX = re.compile(
    r"(.*\S)(?: ?\\text ?\{([^{}]*)\}|(?<=[0-9}]) ([a-zA-Z][a-zA-Z. /]+))(?:\^\{?([23])\}?)?", re.S
)


def beside(text: str) -> tuple[str, str | None]:
    """Return an expression and the unit beside it, such as "cm2" or "%"; None if there is none.

    Words that are no known unit stay in the expression, which then is none.
    """
    if text.endswith("%"):
        return text.rstrip("%\\ "), "%"
    if match := _PREFIX.fullmatch(text):
        return match[2], _unit(match[1])
    if not has_degrees(text) and (match := _DEGREES.fullmatch(text)):
        return match[1], "°" + (match[2] or "")
    if (match := _SUFFIX.fullmatch(text)) and (unit := _unit(match[2] or match[3])):
        return match[1], unit + (match[4] or "")
    return text, None


def _unit(words: str) -> str | None:
    """Return one name for a unit and its power; None if a word is unknown."""
    names = [name for word in words.replace(".", "").split() for name in word.split("/")]
    power = "".join(_POWERS.get(name.lower(), "") for name in names)
    names = [name for name in names if name.lower() not in _POWERS or len(names) == 1]
    found = [
        next((_UNITS[f] for f in (n, n.lower(), n.lower().removesuffix("s")) if f in _UNITS), None)
        for n in names
    ]
    return None if None in found or not found else "/".join(found) + power


# ---- what a parser may read

_ANGLES = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")
_COMMANDS = set(
    "frac sqrt pi infty cdot times div binom sin cos tan cot sec csc arcsin arccos arctan ln log exp lfloor"
    " rfloor lceil rceil circ alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho"
    " sigma tau phi chi psi omega Delta Omega Phi Gamma Lambda Sigma ell".split()
)
_REFUSED = re.compile(
    # Signs that the parser drops or reads otherwise, and signs without what they join.
    r"[^\x20-\x7e]|['?&;:\"@#~`=<>%$\],]|(?<!sqrt)\[|!!|\.(?![0-9])|(?<!_)[0-9.] +[0-9.]|[0-9)] ?_"
    r"|\{ *\}|^ *[*/^_!]|[-+*/^_] *(?:[)}]|$)|\\circ ?[0-9a-zA-Z]|\{\\circ"
    # Transposes, inverse matrices and functions, functions by other names, odd roots of negative numbers.
    r"|\^\{? ?[T*] ?\}?(?![a-zA-Z])|(?:\\[a-z]{3}|[A-Z]) ?\^ ?\{ ?-|(?<![a-zA-Z\\])[fghFGP] ?\("
    r"|\\sqrt\[[^\]]*\]\{ ?-"
    # 1/2x is read in two ways, I is no i, and letters in a row are names or words.
    r"|/ ?[0-9a-zA-Z]+ ?[a-zA-Z\\(]|(?<![\\a-zA-Z])I(?![a-zA-Z])|(?<!\\)[A-Z]{2}|[A-Z][0-9]+[A-Z]"
    r"|[A-Z]-[A-Z]|(?<![\\a-zA-Z])[a-zA-Z]{3}|^[a-zA-Z]{2,}$"
)


def has_degrees(text: str) -> bool:
    """Whether a degree sign changes the value, as in a function of an angle."""
    return bool(_ANGLES.search(text))


def is_expression(text: str) -> bool:
    """Whether a text holds only signs that the parser reads as people do."""
    commands = re.sub(r"\\sqrt\[\w{1,9}\]", r"\\sqrt", text)
    return (
        set(re.findall(r"\\([a-zA-Z]+|.)", text)) <= _COMMANDS
        and not _REFUSED.search(commands)
        and text.count("|") % 2 == 0
    )
