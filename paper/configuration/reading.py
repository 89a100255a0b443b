"""Read and check the configuration: config/paper.yaml, config/scale/*.yaml and a user's overlay.

The three are merged (mappings key by key, anything else replaced) and checked as a whole before any job
starts. An error names the file, the key's path, what is wrong and the nearest valid name.
"""

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import yaml
from pydantic import ValidationError

from paper.configuration.checks import NAME_RULE, cross_checks, nearest
from paper.configuration.schema import Configuration


class ConfigurationError(ValueError):
    """A configuration with mistakes; the message is for the user."""


def load(root: Path, overlay: dict[str, Any] | None = None, source: str = "--config") -> Configuration:
    """Merge paper, scale and overlay below `root`/config and check the whole.

    overlay: keys of `Configuration`; `scale` selects the scale file (cpu if absent). source: the overlay's
    name in messages. Raises ConfigurationError.
    """
    overlay = overlay or {}
    scale = overlay.get("scale", "cpu")
    available = sorted(path.stem for path in (root / "config/scale").glob("*.yaml"))
    if scale not in available:
        text = f"there is no scale {scale!r}{nearest(scale, available)}"
        unknown = [key for key in overlay if key not in Configuration.model_fields]
        lines = [_line(source, (key,), _unknown(key, Configuration.model_fields)) for key in unknown]
        raise ConfigurationError("\n".join([_line(source, ("scale",), text), *lines]))
    layers = {name: read(root / name) for name in ("config/paper.yaml", f"config/scale/{scale}.yaml")}
    taken = {name: read(root / f"config/scale/{name}.yaml").get("results") for name in available}
    lines = list(_own_results(overlay, source, taken[scale], taken.values()))
    layers[source] = {"scale": scale, **overlay}
    merged: dict[str, Any] = {}
    for layer in layers.values():
        merged = _merge(merged, layer)
    try:
        configuration = Configuration.model_validate(merged)
        problems = cross_checks(configuration)
        lines += [_line(_file_of(path, layers), path, text) for path, text in problems]
    except ValidationError as error:
        lines += _explain(error, merged, layers)
    if lines:
        raise ConfigurationError("\n".join(lines))
    return configuration


def _own_results(overlay: dict[str, Any], source: str, default: Any, taken: Iterable[Any]) -> Iterator[str]:
    """Yield a message if an overlay that changes anything writes into the results of a scale."""
    # A misspelt key counts as the nearest valid one.
    names = {next(iter(get_close_matches(str(key), Configuration.model_fields, 1)), key) for key in overlay}
    results = overlay.get("results", default)
    if (names - {"scale", "results"} or results != default) and str(results).lower() in taken:
        yield (
            f"{source}: results: name a results folder of your own (results: my_trial), so that the "
            f"figures in results/{results} keep showing the configuration of the repository"
        )


# libyaml reads the same ten times faster, but PyYAML can be built without it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


# How a plain value looks that YAML 1.1 reads as what it looks like; it reads `on` as true, `012` as 10.
_TAG = "tag:yaml.org,2002:"
_AS_IT_LOOKS = {
    f"{_TAG}bool": re.compile("true|false", re.I),
    f"{_TAG}int": re.compile("[-+]?(0|[1-9][0-9]*)"),
    f"{_TAG}float": re.compile("[^_:]*"),
    f"{_TAG}timestamp": re.compile("(?!)"),
}


class _Misread(yaml.MarkedYAMLError):
    """A plain value that YAML reads as something else than it looks."""


class _PlainReading(_Loader):
    """YAML without surprises.

    Keys are unique: with PyYAML alone the last of two silently wins. A value that YAML 1.1 reads as something
    else than it looks is refused.
    """

    def construct_object(self, node, deep=False):
        plain = isinstance(node, yaml.ScalarNode) and not node.style
        looks = _AS_IT_LOOKS.get(node.tag) if plain else None
        if looks and not looks.fullmatch(node.value):
            raise _Misread(problem=self._misread(node), problem_mark=node.start_mark)
        return super().construct_object(node, deep)

    def _misread(self, node) -> str:
        if node.tag == f"{_TAG}timestamp":
            return f'YAML reads {node.value} as a date: write "{node.value}" for text'
        value = json.dumps(super().construct_object(node))
        return (
            f'YAML reads {node.value} as {value}: write {value} if you mean that, or "{node.value}" for text'
        )

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = repr(self.construct_object(key_node, deep=True))
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key} appears twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file. Raises ConfigurationError."""
    try:
        with path.open(encoding="utf-8") as stream:
            content = yaml.load(stream, Loader=_PlainReading)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except _Misread as error:
        raise ConfigurationError(f"{path}: line {error.problem_mark.line + 1}: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8
        raise ConfigurationError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: must hold a mapping of keys to values")
    return content


def _merge(lower: Any, upper: Any) -> Any:
    if not (isinstance(lower, dict) and isinstance(upper, dict)):
        return upper
    return lower | {key: _merge(lower.get(key), value) for key, value in upper.items()}


def _explain(error: ValidationError, merged: dict, layers: dict[str, dict]) -> list[str]:
    """Return one message per path; a misspelt key comes before the key that is missing because of it."""
    messages: dict[tuple, str] = {}
    for e in sorted(error.errors(), key=lambda e: e["type"] == "missing"):
        missing = e["type"] == "missing"
        path = _path(e["loc"], merged, missing)
        text = _text(e, path, merged)
        if path in messages:
            # A value that may be of two types: pydantic reports each.
            text = f"{messages[path].rpartition(', not ')[0]} or {text}"
        else:
            text = _line(_file_of(path, layers, missing), path, text)
        messages[path] = text
    return list(messages.values())


def _text(error: dict[str, Any], path: tuple, merged: dict) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        return _unknown(path[-1], _annotation(path[:-1]).model_fields)
    if kind == "missing":
        return f"this key is missing{_meant(path[:-1], merged)}"
    if kind == "value_error":
        return error["msg"].removeprefix("Value error, ")
    given = textwrap.shorten(repr(error["input"]), 60)
    if kind in ("model_type", "dict_type"):
        return f"must be a mapping of keys to values, not {given}"
    if kind == "string_type" and isinstance(error["input"], int | float):
        return (
            f"must be text, not {given}, as which YAML and --config read a name of digits: begin it with a "
            "letter, or quote it, for --config as in results='\"2026_10_10\"'"
        )
    if kind == "string_pattern_mismatch":
        return f"must be {NAME_RULE}, not {given}"
    # The reasons that pydantic adds, such as "unable to parse string", do not help a reader of YAML.
    reason = error["msg"] if kind == "literal_error" else error["msg"].partition(", ")[0]
    text = f"{reason.replace('Input should be', 'must be')}, not {given}"
    if kind == "literal_error":
        text += nearest(str(error["input"]), _literals(error["ctx"]["expected"]), listing=False)
    return text


def _unknown(key: Any, valid: Iterable[str]) -> str:
    return f"unknown key{nearest(str(key), valid)}"


def _meant(path: tuple, merged: Any) -> str:
    """Return the name that a misspelt one of the named things (models, figures, ...) may stand for."""
    if not path or get_origin(_annotation(path[:-1])) is not dict:
        return ""
    for part in path[:-1]:
        merged = merged[part]
    return nearest(path[-1], [name for name in merged if name != path[-1]], listing=False)


def _path(loc: tuple, merged: Any, missing: bool) -> tuple:
    """Return the part of pydantic's location that is in the configuration, without the names of types."""
    node, path = merged, ()
    for part in loc:
        keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        if part not in keys:
            return (*path, part) if missing else path
        node, path = node[part], (*path, part)
    return path


def _literals(expected: str) -> list[str]:
    return [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]


def _annotation(path: tuple) -> Any:
    """Return the type of the value at a path of the configuration."""
    annotation: Any = Configuration
    for part in path:
        if get_origin(annotation) is UnionType:  # an optional section
            annotation = get_args(annotation)[0]
        if get_origin(annotation) in (dict, list):
            annotation = get_args(annotation)[-1]
        else:
            annotation = annotation.model_fields[part].annotation
    return get_args(annotation)[0] if get_origin(annotation) is UnionType else annotation


def _line(file: str, path: tuple, text: str) -> str:
    """Return one line of a message, whatever the characters and lengths of keys and values."""
    return f"{file}: {_dotted(path)}: {_legible(text, 500)}"


def _dotted(path: tuple) -> str:
    return ".".join(_legible(str(part), 60) for part in path) or "(top level)"


def _legible(text: str, length: int) -> str:
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= length else f"{text[:length]}..."


def _file_of(path: tuple, layers: dict[str, dict], missing: bool = False) -> str:
    """Return the layer that decides the value at a path.

    It is the last one that replaces a part of it whole, or otherwise the last that holds most of it; for a
    missing key it is the first, because later ones need not repeat it.
    """
    depths = {}
    for name, layer in reversed(layers.items()):
        node, depth = layer, 0
        while isinstance(node, dict) and depth < len(path) and path[depth] in node:
            node, depth = node[path[depth]], depth + 1
        if depth and not isinstance(node, dict):
            return name
        depths[name] = depth
    holding = [name for name in layers if depths[name] == max(depths.values())]
    if not any(depths.values()):
        return ", ".join(holding)
    return holding[0] if missing else holding[-1]
