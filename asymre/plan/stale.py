"""What a plan still has to make and why, and what exists that no target of the plan names.

Pure: a plan is compared with names and specifications that `tools/why.py` and `tools/prune.py` read.
Paths are relative to results/<name>/.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from asymre.plan.hub_graph import BESIDE
from asymre.plan.plan import Plan
from asymre.record.artefact import Artefact, canonical

# What is made from something stands behind it.
KINDS = (
    "bandit",
    "problems",
    "base_policy",
    "rollouts",
    "cycles",
    *BESIDE,
    "snapshot_evaluation",
    "training",
    "evaluation",
    "calibration",
    "figure",
    "claims",
)
EXAMPLES = 3
# Longer values, such as captions, are not printed.
LONGEST = 60
_ABSENT = object()

# --- why: what has to be made -------------------------------------------------------------------


def missing(plan: Plan, existing: set[str], markers: set[str]) -> list[Artefact]:
    """What the default targets need and what does not exist.

    existing: paths of artefacts. markers: names in figures/.current, that is ids of published figures.
    """
    found: dict[str, Artefact] = {}
    todo = [target.path for target in default_targets(plan) if target.id not in markers]
    while todo:
        path = todo.pop()
        artefact = plan.artefact_of(path)
        if path not in existing and artefact.path not in found:
            found[artefact.path] = artefact
            todo.extend(plan.inputs(artefact.path))
    return sorted(found.values(), key=lambda a: (KINDS.index(a.kind), a.id))


def report(plan: Plan, specs: dict[str, dict], existing: set[str], markers: set[str]) -> str:
    """What has to be made and why, for people; what has to be made for the same reason stands together.

    specs: by path, the specifications of the existing artefacts, as far as they can be read.
    """
    artefacts = missing(plan, existing, markers)
    fields = {path: _fields(spec) for path, spec in specs.items()}
    groups: dict[tuple, list[tuple[Artefact, dict]]] = {}
    for artefact in artefacts:
        wanted = _fields(json.loads(plan.spec_json(artefact.path)))
        candidates = {path: f for path, f in fields.items() if _maker(f) == _maker(wanted)}
        nearest = _nearest(wanted, candidates, set(plan.artefacts))
        changes = differences(candidates[nearest], wanted) if nearest else {"nothing comparable exists": ""}
        groups.setdefault((artefact.kind, *changes), []).append((artefact, changes))
    lines = [f"{len(artefacts)} of {len(plan.artefacts)} artefacts have to be made."] if artefacts else []
    for (kind, *whats), members in groups.items():
        reasons = [_reason(what, [changes[what] for _, changes in members]) for what in whats]
        lines += ["", f"{len(members)} {kind}: {'; '.join(reasons)}"]
        lines += [f"    {artefact.path}" for artefact, _ in members[:EXAMPLES]]
        lines += [f"    and {len(members) - EXAMPLES} more"] if len(members) > EXAMPLES else []
    publish = [a.slug for a in default_targets(plan) if a.path in existing and a.id not in markers]
    if publish:
        lines += ["", f"Made already, but not published: {', '.join(publish)}"]
    if plan.configuration_id not in markers:
        lines += ["", "configuration.yaml and runs.csv have to be saved."]
    return "\n".join(lines).strip() or "Nothing has to be made: all figures are up to date."


def _reason(what: str, details: list[str]) -> str:
    different = list(dict.fromkeys(filter(None, details)))
    text = ", ".join(different[:EXAMPLES]) + (", ..." if len(different) > EXAMPLES else "")
    return f"{what}: {text}" if text else what


def differences(old: dict[tuple, Any], new: dict[tuple, Any]) -> dict[str, str]:
    """What differs between the fields of two specifications, causes first, and from what to what."""
    changed = [key for key in new | old if old.get(key, _ABSENT) != new.get(key, _ABSENT)]
    texts = {
        ".".join(key): _from_to(old.get(key, _ABSENT), new.get(key, _ABSENT))
        for key in changed
        if key[0] in ("params", "packages")
    }
    for section, one, several in (("code", "code", "code files"), ("inputs", "input", "inputs")):
        for is_one, are_many, names in (
            ("changed", "changed", [k[1] for k in changed if k[0] == section and k in old and k in new]),
            ("is new", "are new", [k[1] for k in changed if k[0] == section and k not in old]),
            ("is gone", "are gone", [k[1] for k in changed if k[0] == section and k not in new]),
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
    """A specification as one flat mapping; a list is one field."""

    def leaves(path: tuple[str, ...], value: Any):
        if isinstance(value, dict):
            for key, item in value.items():
                yield from leaves((*path, key), item)
        else:
            yield path, value

    return dict(leaves((), spec))


def _maker(fields: dict) -> tuple:
    """Kind and script: what differs in these cannot be compared."""
    scripts = sorted(key for key in fields if key[0] == "code" and key[1].startswith("scripts/"))
    return fields["kind",], *scripts


def _nearest(wanted: dict, candidates: dict[str, dict], current: set[str]) -> str | None:
    """The candidate with most fields equal; among those what the plan no longer names, then close numbers."""

    def closeness(path: str) -> tuple:
        fields = candidates[path]
        both = [(value, fields[key]) for key, value in wanted.items() if key in fields]
        distance = sum(abs(a - b) for a, b in both if _is_number(a) and _is_number(b))
        return sum(a == b for a, b in both), path not in current, -distance, path

    return max(candidates, key=closeness, default=None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def default_targets(plan: Plan) -> list[Artefact]:
    """The figures and the table of claims that are made by default."""
    return [plan.published[name] for name in plan.default]


# --- prune: what no target names ----------------------------------------------------------------

_KIND = f"(?P<kind>{'|'.join(KINDS)})"
_ID = r"(?P<id>[A-Za-z0-9][^/]*-[0-9a-f]{10})"
_ARTEFACT = re.compile(f"{_KIND}/{_ID}")
_LOG = re.compile(rf"logs/({_KIND}|publish)/{_ID}\.log")
_PARTIAL = re.compile(rf"{_KIND}/\.{_ID}\.\d+(\.replaced)?\.partial")


def superfluous(plan: Plan, paths: Iterable[str]) -> list[str]:
    """The artefacts, and their logs, that no target names, and what killed jobs left behind.

    Anything that does not look like one of these is left out: it is somebody's own.
    """

    published = {target.id for target in plan.published.values()}

    def is_superfluous(path: str) -> bool:
        if match := _ARTEFACT.fullmatch(path) or _LOG.fullmatch(path):
            if match["kind"] is None:
                return match["id"] not in published
            kind = "cycles" if match["kind"] in BESIDE else match["kind"]
            return f"{kind}/{match['id']}" not in plan.artefacts
        return _PARTIAL.fullmatch(path) is not None

    return sorted(filter(is_superfluous, paths))
