r"""The structure of an answer: lists, brackets, unions, relations, and expressions as text.

The commas, brackets and relations of an answer decide its meaning. They are read here, by one rule each, and
never reach the parser of expressions. Nothing is evaluated.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product


class Unreadable(ValueError):
    """A text that is not an answer: its brackets do not match, or a part of it is empty."""


@dataclass(frozen=True)
class Leaf:
    """Anything without parts: an expression, a word, a number in some base."""

    text: str


@dataclass(frozen=True)
class Listing:
    """Several answers. word: the word that joins them, "and" or "or", or ","."""

    word: str
    parts: tuple


@dataclass(frozen=True)
class Group:
    """Parts in brackets: a point, an interval or a set; a ratio has the brackets ":"."""

    left: str
    right: str
    parts: tuple


@dataclass(frozen=True)
class Chain:
    """Parts joined by relation signs: `x = 5`, `1 < x < 2`."""

    signs: tuple
    parts: tuple


@dataclass(frozen=True)
class Union:
    """Sets. sign: `\\cup` or `\\cap`."""

    sign: str
    parts: tuple


Node = Leaf | Listing | Group | Chain | Union

_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|[a-zA-Z]+|.", re.DOTALL)
_OPENING = {"(", "[", "{", r"\{", r"\langle", r"\begin", r"\lfloor", r"\lceil"}
_CLOSING = {")", "]", "}", r"\}", r"\rangle", r"\end", r"\rfloor", r"\rceil"}
_LEFT, _RIGHT = ("(", "[", "{", r"\{", r"\langle"), (")", "]", "}", r"\}", r"\rangle")
_WORDS = {",": ",", ";": ",", "and": "and", "or": "or", r"\land": "and", r"\lor": "or"}
_RELATIONS = {"<", ">", "=", r"\le", r"\ge", r"\ne", r"\in", r"\approx"}
INEQUALITIES = {"<", ">", r"\le", r"\ge"}
_PLUS_MINUS = re.compile(r"\\(pm|mp)(?![a-zA-Z])")
# Each independent sign doubles the number of values.
_MOST_SIGNS = 3


def read(text: str) -> Node:
    """Return the structure of an answer from `tidy`. Raises Unreadable if it has none."""
    text = text.strip()
    pieces, separators = _split(text, _WORDS)
    if separators:
        # "1, 2, and 3" has two separators in a row.
        kept = [piece for i, piece in enumerate(pieces) if piece.strip() or not 0 < i < len(pieces) - 1]
        words = {_WORDS[separator] for separator in separators} - {","}
        if len(words) > 1:
            raise Unreadable(text)
        return Listing(words.pop() if words else ",", flat([read(piece) for piece in kept]))
    pieces, cups = _split(text, {r"\cup", r"\cap"})
    if cups and all(_split(piece, INEQUALITIES)[1] for piece in pieces):
        if len(set(cups)) > 1:
            raise Unreadable(text)
        return Listing("or" if cups[0] == r"\cup" else "and", tuple(map(read, pieces)))
    pieces, signs = _split(text, _RELATIONS)
    if r"\approx" in signs:
        # Approximations after the value add nothing.
        keep = signs.index(r"\approx") + 1
        pieces, signs = pieces[:keep], signs[: keep - 1]
    if signs:
        return Chain(tuple(signs), tuple(map(read, pieces)))
    return _read_set(pieces[0].strip())


def _read_set(text: str) -> Node:
    pieces, cups = _split(text, {r"\cup", r"\cap"})
    if cups:
        if len(set(cups)) > 1:
            raise Unreadable(text)
        return Union(cups[0], tuple(_read_set(piece.strip()) for piece in pieces))
    if group := _read_group(text):
        return group
    pieces, colons = _split(text, {":"})
    if colons:
        return Group(":", ":", tuple(Leaf(_not_empty(piece)) for piece in pieces))
    values = plus_and_minus(_not_empty(text))
    return Listing(",", tuple(map(Leaf, values))) if len(values) > 1 else Leaf(text)


def _read_group(text: str) -> Node | None:
    """Return the text as one pair of brackets with its parts; None if it is something else."""
    tokens = _TOKEN.findall(text)
    left, right = (tokens[0], tokens[-1]) if len(tokens) > 1 else ("", "")
    if left not in _LEFT or right not in _RIGHT or 0 in list(_depths(tokens))[:-1]:
        return None
    inside = text[len(left) : -len(right)]
    if not inside.strip():
        return Leaf(r"\emptyset") if left == r"\{" else None
    if (left == "{") != (right == "}"):
        raise Unreadable(text)
    if left == "{":
        return read(inside)
    pieces, separators = _split(inside, {",", ";"})
    parts = tuple(read(piece) for piece in pieces)
    if left == r"\{":
        return Group(left, right, flat(parts))
    if not separators and (left, right) == ("(", ")"):
        return parts[0]
    several = [i for i, part in enumerate(parts) if isinstance(part, Listing)]
    if len(several) != 1:
        return Group(left, right, parts)
    (i,) = several
    each = (Group(left, right, (*parts[:i], value, *parts[i + 1 :])) for value in parts[i].parts)
    return Listing(",", tuple(each))


def flat(nodes: Iterable[Node]) -> tuple:
    """Return the nodes, with lists replaced by their values."""
    return tuple(part for node in nodes for part in (node.parts if isinstance(node, Listing) else (node,)))


def _not_empty(text: str) -> str:
    if not text.strip():
        raise Unreadable("an empty part")
    return text.strip()


def plus_and_minus(text: str) -> list[str]:
    r"""Return the values of an expression with \pm; the expression alone if it has none.

    Each \pm has its own sign, unless there is a \mp: then all signs are coupled.
    """
    signs = _PLUS_MINUS.findall(text)
    if len(signs) > _MOST_SIGNS:
        raise Unreadable(text)
    if "mp" in signs:
        choices = [
            ["+" if sign == "pm" else "-" for sign in signs],
            ["-" if s == "pm" else "+" for s in signs],
        ]
    else:
        choices = list(product("+-", repeat=len(signs)))
    values = []
    for choice in choices:
        chosen = iter(choice)
        values.append(_PLUS_MINUS.sub(lambda _, chosen=chosen: next(chosen), text))
    return values


def _split(text: str, separators) -> tuple[list[str], list[str]]:
    """Return the pieces of a text between separators outside of all brackets, and these separators."""
    tokens = _TOKEN.findall(text)
    pieces, found, piece = [], [], []
    for token, depth in zip(tokens, _depths(tokens), strict=True):
        if depth == 0 and token in separators:
            pieces.append("".join(piece))
            found.append(token)
            piece = []
        else:
            piece.append(token)
    return [*pieces, "".join(piece)], found


def _depths(tokens: list[str]) -> Iterator[int]:
    """Yield the number of open brackets after each token. Raises Unreadable if more close than open."""
    depth = 0
    for token in tokens:
        depth += (token in _OPENING) - (token in _CLOSING)
        if depth < 0:
            raise Unreadable("brackets")
        yield depth
    if depth:
        raise Unreadable("brackets")
