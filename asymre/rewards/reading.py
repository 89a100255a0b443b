r"""The structure of a tidy answer: a strict guard before any parser.

Commas, brackets, relations and units are read here; what is left is an expression of known signs, or words.
"""

import re
from typing import NamedTuple


class Node(NamedTuple):
    r"""A part of an answer.

    head: "leaf"; ",", "or", "and" or "{}" of a list; brackets, as "[)"; "\cup"; "matrix"; a relation's signs.
    text: of a leaf. name: of what the answer gives the value, x in `x=5`, `x<3`, `x=1,2`; or "x,y".
    """

    head: str
    parts: tuple["Node", ...] = ()
    text: str = ""
    name: str = ""


LISTS = (",", "or", "and", "{}")
_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|[a-zA-Z]+|.", re.S)
_OPENING = {"(", "[", "{", r"\{", r"\langle", r"\begin", r"\lfloor", r"\lceil"}
_CLOSING = {")", "]", "}", r"\}", r"\rangle", r"\end", r"\rfloor", r"\rceil"}
_BRACKETS = {"(": "(", "[": "[", r"\{": "{", "{": "", r"\langle": "("}
_BRACKETS |= {")": ")", "]": "]", r"\}": "}", "}": "", r"\rangle": ")"}
_KIND = r"\{[pb]?(?:matrix|array)\}"
_MATRIX = re.compile(rf"\[? ?\\begin{_KIND}(?:\{{[clr|]*\}})?(.*?)(?:\\\\ ?)?\\end{_KIND} ?\]?", re.S)
_PLUS_OR_MINUS = re.compile(r"\\pm(?![a-zA-Z])")


def read(text: str) -> Node:
    """Return the structure of an answer from `tidy`. Raises ValueError if it has none."""
    pieces, joints = _split(text, {",", ";", "and", "or"})
    if joints:
        # "1, 2, and 3" has two joints in a row.
        kept = [p for i, p in enumerate(pieces) if p.strip() or not 0 < i < len(pieces) - 1]
        (joint,) = {*joints} - {",", ";"} or {","}  # "and" beside "or" has no one meaning
        return _list(joint, tuple(map(read, kept)))
    pieces, signs = _split(text, {"=", r"\ne", r"\in", *_TURNED})
    if signs:
        return _relation(signs, [read(piece) for piece in pieces])
    pieces, signs = _split(text, {r"\cup"})
    if signs:
        return Node(r"\cup", tuple(map(read, pieces)))
    text = text.strip()
    if matrix := _MATRIX.fullmatch(text):
        rows = re.split(r"\\\\(?: ?\[[^\]]*\])?", matrix[1])
        return Node("matrix", tuple(Node("row", tuple(map(read, row.split("&")))) for row in rows))
    if not re.search(r"[^\W_]", text):
        raise ValueError("a part without a letter or a digit")
    before, closed = _split(text, _CLOSING)
    opened = _TOKEN.findall(text)[0]
    if opened in _BRACKETS and len(closed) == 1 and closed[0] in _BRACKETS and not before[1]:
        inside = read(before[0][len(opened) :])
        head = _BRACKETS[opened] + _BRACKETS[closed[0]]
        if head == "" or head == "()" and inside.head != ",":
            return inside
        parts = inside.parts if inside.head == "," else (inside,)
        return _list(head, parts) if head == "{}" else Node(head, parts)
    if len(_PLUS_OR_MINUS.findall(text)) == 1:
        return Node("or", tuple(Node("leaf", text=_PLUS_OR_MINUS.sub(sign, text)) for sign in "+-"))
    return Node("leaf", text=text)


def _split(text: str, separators: set[str]) -> tuple[list[str], list[str]]:
    """Return the pieces of a text between separators outside of all brackets, and these separators."""
    pieces, found, depth = [""], [], 0
    for token in _TOKEN.findall(text):
        depth += (token in _OPENING) - (token in _CLOSING)
        if depth < 0:
            break
        if depth == 0 and token in separators:
            pieces.append("")
            found.append(token)
        else:
            pieces[-1] += token
    if depth:
        raise ValueError("brackets that do not match")
    return pieces, found


_NAME = re.compile(
    r"(?![ei]$|\\(?:pi|infty)(?![a-zA-Z]))\\?[a-zA-Z]+(?:_(?:\w|\{\w+\}))?(?: ?\([^()=]{1,40}\))?"
    r"|\\(?:angle|overline|triangle) ?\{?[A-Z]{2,4}\}?|\\text ?\{[^{}]*\}"
)
_TURNED = {">": "<", r"\ge": r"\le", "<": ">", r"\le": r"\ge"}
_OPEN, _CLOSE = {"<": "(", r"\le": "["}, {"<": ")", r"\le": "]"}
_BELOW, _ABOVE = Node("leaf", text=r"-\infty"), Node("leaf", text=r"\infty")


def _name(node: Node) -> str:
    """Return the name that a node is: a variable, f(2), an angle, or variables (x,y) in their order."""
    if node.head == "()":
        names = [_name(part) for part in node.parts]
        return ",".join(names) if all(names) and names == sorted(set(names)) else ""
    return node.text if _NAME.fullmatch(node.text) else ""


def _relation(signs: list[str], parts: list[Node]) -> Node:
    """Return the value or the interval of what a relation names; a relation if it names nothing."""
    if signs[0] in (">", r"\ge"):  # all inequalities are read as rising
        signs, parts = [_TURNED.get(sign, sign) for sign in reversed(signs)], parts[::-1]
    if {*signs} in ({"="}, {r"\in"}):
        first, *rest = parts if _name(parts[0]) else parts[::-1]
        while len(rest) > 1 and _name(rest[0]):
            del rest[0]  # x = y = 5
        if _name(first) and not any(part.name for part in rest):
            return (rest[0] if len(rest) == 1 else Node("=", tuple(rest)))._replace(name=_name(first))
    elif {*signs} <= {*_OPEN} and len(signs) < 3:
        if len(signs) == 1:
            before = _name(parts[0])
            signs, parts = (["<", *signs], [_BELOW, *parts]) if before else ([*signs, "<"], [*parts, _ABOVE])
        if name := _name(parts[1]):
            return Node(_OPEN[signs[0]] + _CLOSE[signs[1]], (parts[0], parts[2]), name=name)
    return Node(" ".join(signs) if {*signs} != {"="} else "=", tuple(parts))


def _list(head: str, parts: tuple[Node, ...]) -> Node:
    """Return a list with the name of its members, `x=1,2`; of `x=1,y=2` the point with the name x,y."""
    names, values = [part.name for part in parts], tuple(part._replace(name="") for part in parts)
    ranges = any(part.name and part.head[0] in "([" for part in parts)
    if names[0] and {*names} <= {names[0], ""} and (head == "or" or not ranges):
        return Node(r"\cup" if ranges else "or", values, name=names[0])
    if all(names) and len({*names}) == len(names) and head in (",", "and"):
        pairs = sorted(zip(names, values, strict=True))
        return Node("()", tuple(value for _, value in pairs), name=",".join(sorted(names)))
    return Node(head, parts)


_MEASURES = """mm millimeter|cm centimeter|m meter|km kilometer|in inch inche|ft foot feet|yd yard|mi mile|
s sec second|min minute|h hr hour|day|week|month|year|mg milligram|g gram|kg kilogram|lb pound|oz ounce|
L l liter|mL ml milliliter|gal gallon|mph|cent|$ dollar usd|radian|unit|%|° degree|C|F"""
_COUNTED = """student people person way apple time pair point square triangle circle side term book ball coin
marble page child children boy girl man men woman women cat dog egg number integer value solution root more"""
_UNITS = {name: names.split()[0] for names in _MEASURES.split("|") for name in names.split()}
_UNITS |= {name: name for name in _COUNTED.split()}
_POWERS = {"square": "2", "sq": "2", "squared": "2", "cubic": "3", "cu": "3", "cubed": "3"}
_WORDS = r"(?:\\text ?\{([^{}]*)\}|(?<=[0-9}] )([a-zA-Z][a-zA-Z. /]+))(?:\^\{?([23])\}?)?"
_QUANTITY = re.compile(rf"\A(\\\$|€)? ?(.*?)(?: ?(/?) ?{_WORDS})?\Z", re.S)


def beside(text: str) -> tuple[str, str]:
    """Return an expression and the unit beside it, such as "cm2", "$/h" or "%"; "" if there is none.

    Words that are no known unit stay in the expression, which then is none.
    """
    ((money, value, per, words, bare_words, power),) = _QUANTITY.findall(text)
    unit = _unit(words or bare_words)
    # The degree of an angle changes its sine.
    if unit is None or unit == "°" and re.search(r"\\(?:sin|cos|tan)", value):
        return text, ""
    return value, money[-1:] + per + unit + power


def _unit(words: str) -> str | None:
    """Return one name for a unit and its power, "" for no words; None if a word is unknown."""
    # m is no M, but the case of longer words says nothing.
    names = [name.lower() if len(name) > 2 else name for name in re.findall("[^ /.]+", words)]
    power = "".join(_POWERS.get(name, "") for name in names)
    found = [_UNITS.get(n, _UNITS.get(n.removesuffix("s"))) for n in names if n not in _POWERS]
    return None if None in found or power and not found else "/".join(found) + power


_COMMANDS = "frac|sqrt|pi|infty|cdot|times|div|binom|sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|ln|log|exp"
_COMMANDS += "|lfloor|rfloor|lceil|rceil|alpha|beta|gamma|delta|theta|lambda|mu|rho|sigma|phi|omega|zeta"
REFUSED = re.compile(
    rf"\\(?!(?:{_COMMANDS})(?![a-zA-Z]))"
    # Signs that the parser drops or reads otherwise, and signs without what they join.
    r"|[^\x20-\x7e]|['?&;:\"@#~`=<>%$,]|(?<!sqrt)\[|\](?! ?\{)|!!|\.(?![0-9])|(?<!_)[0-9.] +[0-9.]|[0-9)] ?_"
    r"|\{ *\}|^ *[*/^_!]|[-+*/^_] *(?:[)}]|$)"
    # Transposes, inverse matrices and functions, functions by other names, odd roots of negative numbers.
    r"|\^\{? ?[T*] ?\}?(?![a-zA-Z])|(?:\\[a-z]{3}|[A-Z]) ?\^ ?\{ ?-|(?<![a-zA-Z\\])[fghFGP] ?\("
    r"|\\sqrt\[[^\]]*\]\{ ?-"
    # 1/2x is read in two ways, I is no i, and letters in a row are names or words.
    r"|/ ?[0-9a-zA-Z]+ ?[a-zA-Z\\(]|(?<![\\a-zA-Z])I(?![a-zA-Z])|(?<!\\)[A-Z]{2}|[A-Z][0-9]+[A-Z]"
    r"|[A-Z]-[A-Z]|(?<![\\a-zA-Z])[a-zA-Z]{3}|^[a-zA-Z]{2,}$"
)
