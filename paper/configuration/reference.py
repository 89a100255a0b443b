"""The configuration's reference: a JSON schema, and the resolved configuration with every key explained.

`tools/write_reference.py` writes both; a test holds the files equal to what this module makes.
"""

import inspect
import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from paper.configuration.schema import Configuration, Section, Sweep

WIDTH = 100
HEADER = (
    "The configuration of scale {0}: config/paper.yaml and config/scale/{0}.yaml merged, with every "
    "default. Written by `make reference` from paper/configuration/schema.py: do not edit. To change "
    "something, put only those keys, and a results folder of your own, into a file: snakemake --configfile "
    "FILE. Among named things and in lists, keys are explained at their first use."
)


def schema_text() -> str:
    """Return JSON schema of a whole configuration."""
    schema = Configuration.model_json_schema()
    for values in schema["$defs"][Sweep.__name__]["properties"].values():
        # The schema is that of the checked configuration; in a file, one value may stand without brackets.
        if "items" in values:
            values["anyOf"] = [values["items"], {"type": values.pop("type"), "items": values.pop("items")}]
    return json.dumps(schema, indent=1) + "\n"


def reference_text(configuration: Configuration) -> str:
    """Return the configuration as YAML that loads back to it, each key below its description."""
    header = _comment(HEADER.format(configuration.scale), WIDTH)
    return "\n".join([*header, "", *_section(configuration, WIDTH, set())])


def _section(section: Section, width: int, explained: set[type]) -> Iterator[str]:
    """Yield lines of a section, `width` characters wide. explained: kinds of section explained further up."""
    explain = type(section) not in explained
    explained.add(type(section))
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if explain:
            yield from _comment(_description(field), width)
        if isinstance(value, Section):
            explained.discard(type(value))
        yield from _entry(name, value, width, explained)
        if isinstance(section, Configuration):
            yield ""


def _entry(key: Any, value: Any, width: int, explained: set[type]) -> Iterator[str]:
    if isinstance(value, Section):
        yield f"{key}:"
        yield from _indented(_section(value, width - 2, explained))
    elif isinstance(value, dict) and value:
        yield f"{key}:"
        for name, item in value.items():
            yield from _indented(_entry(name, item, width - 2, explained))
    elif isinstance(value, list) and value and isinstance(value[0], Section):
        yield f"{key}:"
        for item in value:
            yield "  -"
            yield from _indented(_indented(_section(item, width - 4, explained)))
    else:
        # None: lists in flow style, on one line as far as they fit.
        flow = None if isinstance(value, list | tuple) else False
        yield from yaml.safe_dump({key: value}, default_flow_style=flow, width=width).splitlines()


def _description(field: FieldInfo) -> str:
    """Return what a key means, the values that its description does not name, and more on a section."""
    text, annotation = field.description, field.annotation
    choices = _choices(annotation)
    if any(choice not in text for choice in choices):
        text += f" (one of {', '.join(choices)})" if len(choices) > 1 else f" (or {choices[0]})"
    below = get_args(annotation)[-1] if get_origin(annotation) in (dict, list) else annotation
    if isinstance(below, type) and issubclass(below, Section):
        # What a section is stands in its key's description; the rest of its docstring does not.
        _, *more = re.split(r"(?<=\.)\s+", inspect.getdoc(below), maxsplit=1)
        text = ". ".join([text, *more])
    return text


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [choice for part in get_args(annotation) for choice in _choices(part)]


def _comment(text: str, width: int) -> Iterator[str]:
    yield from textwrap.wrap(text, width, initial_indent="# ", subsequent_indent="# ")


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
