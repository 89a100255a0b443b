"""Dataclasses from what `asdict` gave and JSON holds."""

import json
from dataclasses import asdict, dataclass

import pytest

from store.typed import build


@dataclass(frozen=True)
class Inner:
    name: str
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Outer:
    inner: Inner
    many: tuple[Inner, ...]
    pair: tuple[str, float | None]
    maybe: Inner | None
    number: int | None
    settings: dict[str, float]


ONE, TWO = Inner("one", ()), Inner("two", (1, 2))


@pytest.mark.parametrize(
    "value",
    [
        Outer(ONE, (ONE, TWO), ("a", 0.5), TWO, 3, {"x": 1.0}),
        Outer(TWO, (), ("", None), None, None, {}),
    ],
)
def test_what_json_holds_is_built_again(value):
    assert build(Outer, json.loads(json.dumps(asdict(value)))) == value


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "a"}, "Inner: unknown or missing sizes; its fields are name, sizes"),
        ({"name": "a", "sizes": [], "size": 1}, "Inner: unknown or missing size; "),
        ({}, "Inner: unknown or missing name, sizes; "),
    ],
)
def test_other_fields_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        build(Inner, values)


def test_fields_within_are_refused_too():
    values = asdict(Outer(ONE, (ONE,), ("a", 0.5), TWO, 3, {}))
    values["many"][0]["nam"] = values["many"][0].pop("name")
    with pytest.raises(ValueError, match="Inner: unknown or missing nam, name"):
        build(Outer, values)
    values = asdict(Outer(ONE, (), ("a", 0.5), TWO, 3, {}))
    values["pair"] = ["a"]
    with pytest.raises(ValueError):
        build(Outer, values)
