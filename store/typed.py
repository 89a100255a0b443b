"""Dataclasses from JSON, so that a job reads its specification with types."""

from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


def build(kind: type, values: dict[str, Any]) -> Any:
    """Return a dataclass, nested ones included, from what `dataclasses.asdict` gave and JSON holds.

    Raises ValueError for unknown or missing fields.
    """
    names = [field.name for field in fields(kind)]
    if set(values) != set(names):
        differing = ", ".join(sorted(set(values) ^ set(names)))
        raise ValueError(
            f"{kind.__name__}: unknown or missing {differing}; its fields are {', '.join(names)}"
        )
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], values[name]) for name in names})


def _value(hint: Any, value: Any) -> Any:
    if get_origin(hint) in (Union, UnionType):
        if value is None:
            return None
        (hint,) = (inner for inner in get_args(hint) if inner is not NoneType)
    if isinstance(hint, type) and is_dataclass(hint):
        return build(hint, value)
    if get_origin(hint) is dict:
        return {key: _value(get_args(hint)[1], item) for key, item in value.items()}
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        hints = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_value(own, item) for own, item in zip(hints, value, strict=True))
    return value
