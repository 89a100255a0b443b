r"""Whether two answers are equal as mathematics; to be run only in the process that checks answers.

`structure` parses an answer into parts, `values` evaluates its expressions. They evaluate what a hostile
answer contains, so time and memory must be limited around them. Missing a correct answer costs a little; a
wrong answer that is accepted is learned. So everything is compared exactly, and what cannot be decided is
wrong.
"""

import re
from functools import lru_cache

import sympy
from sympy import Expr, Interval, S

from asymre.rewards.structure import (
    INEQUALITIES,
    Chain,
    Group,
    Leaf,
    Listing,
    Node,
    Union,
    Unreadable,
    flat,
    read,
)
from asymre.rewards.values import NAMED_SETS, Number, equal_leaves, equal_numbers, is_zero, points, value_of
from asymre.rewards.writing import normalise, tidy


def verdict(answer: str, gold: str) -> str:
    """Return "right", "wrong" or, for an answer that is neither mathematics nor words, "unparsable"."""
    try:
        given = read(tidy(answer))
        _check_leaves(given)
        return "right" if _equal(given, _gold(gold)) else "wrong"
    except Unreadable:
        return "unparsable"


@lru_cache(maxsize=50_000)
def _gold(gold: str) -> Node:
    return read(tidy(gold))


def _check_leaves(node: Node) -> None:
    """Raise Unreadable if a leaf is neither words nor an expression."""
    if isinstance(node, Leaf):
        value_of(node.text)
    else:
        for part in node.parts:
            _check_leaves(part)


# ---- structures


def _equal(a: Node, b: Node) -> bool:
    a, b = _without_name(a, b)
    if a is None or b is None:
        return False
    a, b = _once(a), _once(b)
    if isinstance(a, Leaf) and isinstance(b, Leaf):
        return equal_leaves(a.text, b.text)
    if _is_set(a) or _is_set(b):
        sets = _real_set(a), _real_set(b)
        if None not in sets:
            same_variable = not (_is_inequality(a) and _is_inequality(b)) or _variables(a) == _variables(b)
            return same_variable and _equal_sets(*sets)
    return _equal_parts(a, b)


def _once(node: Node) -> Node:
    """Return the node without repeated alternatives of an "or": `x + 1 or 1 + x` is one answer."""
    if not isinstance(node, Listing) or node.word != "or" or _has_condition(node):
        return node
    parts = _distinct(node.parts)
    return Listing("or", parts) if len(parts) > 1 else parts[0]


def _equal_parts(a: Node, b: Node) -> bool:
    if isinstance(a, Chain) and isinstance(b, Chain):
        return _equal_chains(a, b)
    if isinstance(a, Chain) != isinstance(b, Chain):
        # `2 + 3 = 5` is 5 if all its parts equal 5.
        chain, other = (a, b) if isinstance(a, Chain) else (b, a)
        return set(chain.signs) == {"="} and all(_equal(part, other) for part in chain.parts)
    if isinstance(a, Union) and isinstance(b, Union):
        return a.sign == b.sign and _same(a.parts, b.parts)
    if not isinstance(a, Group | Listing) or not isinstance(b, Group | Listing):
        # {5} counts as 5.
        parts = [n.parts if isinstance(n, Group) and n.left == r"\{" else (n,) for n in (a, b)]
        return (
            len(parts[0]) == len(parts[1]) == 1 and parts != [(a,), (b,)] and _equal(parts[0][0], parts[1][0])
        )
    if isinstance(a, Group) and isinstance(b, Group):
        if (a.left, a.right) != (b.left, b.right):
            return False
        if a.left == r"\{":
            return _same(_distinct(a.parts), _distinct(b.parts))
        return _in_order(a.parts, b.parts)
    if isinstance(a, Listing) and isinstance(b, Listing):
        # "1 and 2" lists the same values as "1 or 2"; for conditions the words differ.
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
    """Return whether two lists have the same members with the same multiplicity, in any order."""
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
    """Return both without their names if these agree or only one has any; (None, None) if they differ."""
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
    """Return the variables whose values an answer states, in alphabetical order, and their values."""
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
            return names[0], Listing(node.word, flat(values))
        if len(names) == len(found) == len(distinct) and all(len(name) == 1 for name in names):
            return _sorted(tuple(name for (name,) in names), Group("(", ")", values))
    return (), node


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
    left, right = (value_of(part.text) for part in chain.parts)
    if isinstance(left, Number) and isinstance(right, Number):
        difference = left.value - right.value
        return difference if isinstance(difference, Expr) and difference.free_symbols else None
    return None


def _constant_ratio(a: Expr | None, b: Expr | None) -> Expr | None:
    """Return c != 0 with a = c b everywhere; None if there is none. Both have variables."""
    if a is None or b is None or a.free_symbols != b.free_symbols:
        return None
    ratio = None
    for point in points(a, b):
        at_a, at_b = a.subs(point), b.subs(point)
        if is_zero(at_a) or is_zero(at_b):
            if is_zero(at_a) != is_zero(at_b):
                return None
            continue
        here = at_a / at_b
        if not here.is_finite:
            continue
        if ratio is None:
            ratio = here
        elif not equal_numbers(here, ratio):
            return None
    return ratio if ratio is not None and ratio.is_real else None


# ---- sets of real numbers


def _is_set(node: Node) -> bool:
    """Return whether a node can only be a set of real numbers."""
    return (
        _is_inequality(node) or isinstance(node, Union) or isinstance(node, Leaf) and node.text in NAMED_SETS
    )


def _is_inequality(node: Node) -> bool:
    """Return whether a node consists of one or several inequalities."""
    if isinstance(node, Listing):
        return node.word != "," and all(map(_is_inequality, node.parts))
    return isinstance(node, Chain) and bool(set(node.signs) & {*INEQUALITIES, r"\ne"})


def _real_set(node: Node) -> sympy.Set | None:
    """Return a set of real numbers; None if the node is none, or if its bounds are not plain numbers."""
    if isinstance(node, Leaf):
        return NAMED_SETS.get(node.text)
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
    # No set of real numbers contains infinity.
    if (group.left == "[" and bounds[0].is_infinite) or (group.right == "]" and bounds[1].is_infinite):
        return None
    return Interval(*bounds, left_open=group.left == "(", right_open=group.right == ")")


def _set_of_chain(chain: Chain) -> sympy.Set | None:
    """Return the set of x with `a < x < b`, with one bound only, or with the signs reversed."""
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
    """Return the names of the variables in a list of inequalities."""
    if isinstance(node, Leaf):
        return {normalise(node.text)} if _is_name(node) else set()
    return set().union(*map(_variables, node.parts))


def _real(node: Node) -> Expr | None:
    if not isinstance(node, Leaf):
        return None
    value = value_of(node.text)
    if not isinstance(value, Number) or not isinstance(value.value, Expr) or value.percent:
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
        and equal_numbers(x.start, y.start)
        and equal_numbers(x.end, y.end)
        for x, y in zip(pieces_a, pieces_b, strict=True)
    )


def _pieces(a: sympy.Set) -> list[Interval] | None:
    """Return the intervals and points that make up a set, from the left; None for other sets."""
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
    """An interval with a single number; sympy turns such an interval into a finite set."""

    left_open = right_open = False

    def __init__(self, at: Expr):
        self.start = self.end = at
