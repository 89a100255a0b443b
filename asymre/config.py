"""Reading and checking the configuration: config/paper.yaml, config/scale/*.yaml and a user's overlay.

The three are merged (mappings key by key, anything else replaced) and checked as a whole before any job
starts. An error names the file, the key's path, what is wrong and the nearest valid name.
"""

import difflib
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from asymre.schema import Configuration, LeaveOut, Section


class ConfigurationError(Exception):
    """A configuration that no job should start from; the message is for the user."""


def load(root: Path, overlay: dict[str, Any] | None = None, source: str = "") -> Configuration:
    """Merge paper, scale and overlay below `root`/config and check the whole.

    overlay: keys of `Configuration`; `scale` selects the scale file (cpu if absent). source: what to
    call the overlay in messages. Raises ConfigurationError.
    """
    overlay = overlay or {}
    scale = overlay.get("scale", "cpu")
    available = sorted(path.stem for path in (root / "config/scale").glob("*.yaml"))
    if scale not in available:
        raise ConfigurationError(
            f"{source or '--config'}: scale: there is no scale {scale!r}{_nearest(scale, available)}"
        )
    layers = {name: _read(root / name) for name in ("config/paper.yaml", f"config/scale/{scale}.yaml")}
    base_results = layers[f"config/scale/{scale}.yaml"].get("results")
    if set(overlay) - {"scale", "results"} and overlay.get("results", base_results) == base_results:
        raise ConfigurationError(
            f"{source}: results: name a results folder of your own (results: my_trial), so that the "
            f"figures in results/{base_results} keep showing the configuration of the repository"
        )
    layers[source or "--config"] = {"scale": scale, **overlay}
    merged: dict[str, Any] = {}
    for layer in layers.values():
        merged = _merge(merged, layer)
    try:
        configuration = Configuration.model_validate(merged)
    except ValidationError as error:
        messages = [_explain(e, layers) for e in error.errors()]
        raise ConfigurationError("\n".join(messages)) from None
    problems = list(_cross_checks(configuration))
    if problems:
        raise ConfigurationError(
            "\n".join(f"{_file_of(path, layers)}: {_dotted(path)}: {text}" for path, text in problems)
        )
    return configuration


def _cross_checks(c: Configuration):
    """What one section says of another, as (path, message)."""
    for key, figure in c.figures.items():
        sweeps = [(("runs", i), s) for i, s in enumerate(figure.runs)]
        sweeps += [(("controls", i), s) for i, s in enumerate(figure.controls)]
        for p, panel in enumerate(figure.panels):
            sweeps += [(("panels", p, "runs", i), s) for i, s in enumerate(panel.runs)]
        for where, sweep in sweeps:
            for field, known, stand_ins, section in (
                ("model", c.models, c.stand_ins, "stand_ins"),
                ("dataset", c.datasets, c.tasks, "tasks"),
            ):
                for name in getattr(sweep, field):
                    path = ("figures", key, *where, field)
                    if name not in known:
                        yield path, f"there is no {field} {name!r}{_nearest(name, known)}"
                    elif name not in stand_ins:
                        yield (
                            path,
                            f"scale {c.scale!r} has no stand-in for {name!r}: add {section}.{name}",
                        )
        left_out = c.leave_out.get(key, LeaveOut())
        for where, sweep in sweeps:
            if set(sweep.seeds) <= set(left_out.seeds) or (
                sweep.delta_v and set(sweep.delta_v) <= set(left_out.delta_v)
            ):
                yield (
                    ("leave_out", key),
                    f"leaves nothing of figures.{key}.{'.'.join(map(str, where))}",
                )
    for key in c.leave_out:
        if key not in c.figures:
            yield ("leave_out", key), f"there is no figure {key!r}{_nearest(key, c.figures)}"
    for field, known in (("model", c.stand_ins), ("dataset", c.tasks)):
        name = getattr(c.calibration, field)
        if name not in known:
            yield ("calibration", field), f"there is no {field} {name!r}{_nearest(name, known)}"
    if list(c.calibration.learning_rates) != sorted(set(c.calibration.learning_rates)):
        yield ("calibration", "learning_rates"), "give increasing values"
    for field, available in (
        ("test_problems", c.problems.test),
        ("train_problems", c.problems.train),
    ):
        if getattr(c.evaluation, field) > available:
            yield ("evaluation", field), f"there are {available} such problems (problems)"
    if c.training.snapshot_every > c.training.steps:
        yield (
            ("training", "snapshot_every"),
            f"no snapshot within the {c.training.steps} steps of a run (training.steps)",
        )
    if c.pretraining.accuracy[0] > c.pretraining.accuracy[1]:
        yield ("pretraining", "accuracy"), "give the lower end first"


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which no key may stand twice; PyYAML alone lets the last one win in silence."""

    def construct_mapping(self, node, deep=False):
        seen = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands twice", key_node.start_mark
                )
            seen[key] = True
        return super().construct_mapping(node, deep)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(), Loader=_UniqueKeys)
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: there is no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: must hold a mapping of keys to values")
    return content


def _merge(lower: Any, upper: Any) -> Any:
    if not (isinstance(lower, dict) and isinstance(upper, dict)):
        return upper
    return lower | {key: _merge(lower.get(key), value) for key, value in upper.items()}


def _explain(error: dict[str, Any], layers: dict[str, dict]) -> str:
    path = tuple(error["loc"])
    text = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        text = f"unknown key{_nearest(str(path[-1]), _fields_at(path[:-1]))}"
    elif error["type"] == "missing":
        text = "this key is missing"
    elif error["type"] != "value_error":
        text += f", not {error['input']!r}"
        if error["type"] == "literal_error":
            text += _nearest(str(error["input"]), _literals(error["ctx"]["expected"]), listing=False)
    return f"{_file_of(path, layers)}: {_dotted(path)}: {text}"


def _literals(expected: str) -> list[str]:
    return [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]


def _fields_at(path: tuple) -> list[str]:
    """Names that are valid below a path of the configuration."""
    model: Any = Configuration
    for part in path:
        if isinstance(model, type) and issubclass(model, BaseModel):
            annotation = model.model_fields[part].annotation
        else:
            annotation = model
        model = _section_of(annotation)
        if model is None:
            return []
    return list(model.model_fields)


def _section_of(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((s for arg in get_args(annotation) if (s := _section_of(arg))), None)


def _nearest(name: Any, valid: Any, listing: bool = True) -> str:
    names = [str(v) for v in valid]
    close = difflib.get_close_matches(str(name), names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; valid: {', '.join(names)}" if listing and names else ""


def _dotted(path: tuple) -> str:
    return ".".join(str(part) for part in path) or "(top level)"


def _file_of(path: tuple, layers: dict[str, dict]) -> str:
    """The layer that decides the value at a path: the last that holds the longest part of it."""
    best, best_depth = next(iter(layers)), -1
    for name, layer in layers.items():
        depth, node = 0, layer
        for part in path:
            if isinstance(node, dict) and part in node:
                node = node[part]
            elif isinstance(node, list) and isinstance(part, int) and part < len(node):
                node = node[part]
            else:
                break
            depth += 1
        if depth >= best_depth:
            best, best_depth = name, depth
    return best
