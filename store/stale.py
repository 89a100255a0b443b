"""What a graph still has to make and why, and which existing results none of its targets names.

Pure: a graph is compared with names and specifications that `store/folder.py` reads. Paths are relative to
results/<name>/.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from store.artefact import ID, Artefact, canonical
from store.graph import Graph

EXAMPLES = 3
# Longer values, such as captions, are not printed.
LONGEST = 60
_ABSENT = object()

# --- why: what has to be made -------------------------------------------------------------------


def missing(graph: Graph, existing: set[str], stamps: set[str]) -> list[Artefact]:
    """Return what the default targets need and what does not exist, upstream kinds first.

    existing: paths of artefacts. stamps: ids of what is published.
    """
    found: dict[str, Artefact] = {}
    todo = [target.path for target in graph.default_targets() if target.id not in stamps]
    while todo:
        path = todo.pop()
        artefact = graph.artefacts[graph.owner(path)]
        if path not in existing and artefact.path not in found:
            found[artefact.path] = artefact
            todo.extend(graph.inputs(artefact.path))
    return sorted(found.values(), key=lambda a: (graph.kinds.index(a.kind), a.id))


def report(graph: Graph, specs: dict[str, dict], existing: set[str], stamps: set[str]) -> str:
    """Say what has to be made and why, grouped by reason; empty if nothing has to be made or published.

    specs: by path, the specifications of the existing artefacts, as far as they can be read.
    """
    artefacts = missing(graph, existing, stamps)
    fields = {path: _fields(spec) for path, spec in specs.items()}
    groups: dict[tuple, list[tuple[Artefact, dict]]] = {}
    for artefact in artefacts:
        wanted = _fields(json.loads(graph.spec_json(artefact.path)))
        script = graph.scripts[artefact.path]
        candidates = {
            path: f for path, f in fields.items() if f["kind",] == artefact.kind and ("code", script) in f
        }
        nearest = _nearest(wanted, candidates, set(graph.artefacts))
        if artefact.path in existing:
            changes = {"its checkpoints do not exist": ""}
        elif nearest:
            changes = differences(candidates[nearest], wanted)
        else:
            changes = {"nothing comparable exists": ""}
        groups.setdefault((artefact.kind, *changes), []).append((artefact, changes))
    lines = [f"{len(artefacts)} of {len(graph.artefacts)} artefacts have to be made."] if artefacts else []
    for (kind, *whats), members in groups.items():
        reasons = [_reason(what, [changes[what] for _, changes in members]) for what in whats]
        lines += ["", f"{len(members)} {kind}: {'; '.join(reasons)}"]
        lines += [f"    {artefact.path}" for artefact, _ in members[:EXAMPLES]]
        lines += [f"    and {len(members) - EXAMPLES} more"] if len(members) > EXAMPLES else []
    publish = [a.slug for a in graph.default_targets() if a.path in existing and a.id not in stamps]
    if publish:
        lines += ["", f"Made already, but not published: {', '.join(publish)}"]
    return "\n".join(lines).strip()


def _reason(what: str, details: list[str]) -> str:
    different = list(dict.fromkeys(filter(None, details)))
    text = ", ".join(different[:EXAMPLES]) + (", ..." if len(different) > EXAMPLES else "")
    return f"{what}: {text}" if text else what


def differences(old: dict[tuple, Any], new: dict[tuple, Any]) -> dict[str, str]:
    """Return what differs between the fields of two specifications, causes first, with both values."""
    changed = [key for key in new | old if old.get(key, _ABSENT) != new.get(key, _ABSENT)]
    texts = {
        ".".join(key): _from_to(old.get(key, _ABSENT), new.get(key, _ABSENT))
        for key in changed
        if key[0] in ("params", "packages")
    }
    for section, one, several in (("code", "module", "modules"), ("inputs", "input", "inputs")):
        for is_one, are_many, names in (
            ("changed", "changed", [k[1] for k in changed if k[0] == section and k in old and k in new]),
            ("is new", "are new", [k[1] for k in changed if k[0] == section and k not in old]),
            ("was removed", "were removed", [k[1] for k in changed if k[0] == section and k not in new]),
        ):
            if len(names) > EXAMPLES:
                texts[f"{several} {are_many}"] = str(len(names))
            else:
                texts |= {f"{one} {name} {is_one}": "" for name in names}
    return texts or {"name": _from_to(old["slug",], new["slug",])}


def _from_to(old: Any, new: Any) -> str:
    texts = ["(none)" if v is _ABSENT else v if isinstance(v, str) else canonical(v) for v in (old, new)]
    return " -> ".join(texts) if sum(map(len, texts)) <= LONGEST else "changed"


def _fields(spec: dict[str, Any]) -> dict[tuple[str, ...], Any]:
    """Flatten a specification; a list is one field."""

    def leaves(path: tuple[str, ...], value: Any):
        if isinstance(value, dict):
            for key, item in value.items():
                yield from leaves((*path, key), item)
        else:
            yield path, value

    return dict(leaves((), spec))


def _nearest(wanted: dict, candidates: dict[str, dict], current: set[str]) -> str | None:
    """Return the candidate with most equal fields; then one that is not current, then the closest numbers."""

    def closeness(path: str) -> tuple:
        fields = candidates[path]
        both = [(value, fields[key]) for key, value in wanted.items() if key in fields]
        distance = sum(abs(a - b) for a, b in both if _is_number(a) and _is_number(b))
        return sum(a == b for a, b in both), path not in current, -distance, path

    return max(candidates, key=closeness, default=None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- prune: what no target names ----------------------------------------------------------------

_PARTIAL = re.compile(rf"\.{ID.pattern}\.\d+(\.replaced)?\.partial")


def superfluous(graph: Graph, paths: Iterable[str]) -> list[str]:
    """Return artefacts, and their logs, that no target names, and what killed jobs left.

    A path of any other form is somebody's own, and left alone.
    """
    published = {target.id for target in graph.targets.values()}

    def is_superfluous(path: str) -> bool:
        folder, _, name = path.rpartition("/")
        is_log = folder.startswith("logs/") and name.endswith(".log")
        if is_log:
            folder, name = folder.removeprefix("logs/"), name.removesuffix(".log")
        if is_log and folder == "publish":
            return ID.fullmatch(name) is not None and name not in published
        if folder not in graph.kinds:
            return False
        if ID.fullmatch(name):
            return graph.owner(f"{folder}/{name}") not in graph.artefacts
        return not is_log and _PARTIAL.fullmatch(name) is not None

    return sorted(filter(is_superfluous, paths))
