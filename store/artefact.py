"""What names a result: its specification, and the id that follows from it."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

HASH_DIGITS = 10
ID = re.compile(rf"[A-Za-z0-9][^/]*-[0-9a-f]{{{HASH_DIGITS}}}")
SPEC = "spec.json"  # in a folder: its specification and record
RECORD = "made"  # the part of spec.json that describes the result (store/record.py)


@dataclass(frozen=True, eq=False, repr=False)
class Artefact:
    """A folder of results, `<kind>/<id>`, and everything that decides its content."""

    kind: str  # the folder below results/<name>/, one kind per rule
    slug: str  # the readable part of the id
    params: dict[str, Any]  # only what the script uses
    code: dict[str, str]  # module: hash of its syntax tree
    packages: dict[str, str]  # name: pinned version
    inputs: dict[str, "Artefact"] = field(default_factory=dict)
    id: str = field(init=False)

    def __post_init__(self) -> None:
        # Computed once: a plan asks for the ids of shared inputs many times.
        object.__setattr__(self, "id", identify(self.spec()))

    def __repr__(self) -> str:
        # Not its inputs: a graph written out as a tree has no end.
        return f"Artefact({self.path})"

    @property
    def path(self) -> str:
        """Path below results/<name>/."""
        return f"{self.kind}/{self.id}"

    def spec(self) -> dict[str, Any]:
        """Return the specification, as stored in `spec.json`."""
        return {
            "kind": self.kind,
            "slug": self.slug,
            "params": self.params,
            "code": self.code,
            "packages": self.packages,
            "inputs": {name: artefact.path for name, artefact in self.inputs.items()},
        }


def identify(spec: dict[str, Any]) -> str:
    """Return the id of a specification: its slug and the first digits of a hash of its canonical JSON.

    The record is left out. Of a module only its own name and its hash count, not its package: moving a file
    changes no id.
    """
    named = {key: value for key, value in spec.items() if key != RECORD}
    named["code"] = sorted([module.rpartition(".")[2], digest] for module, digest in spec["code"].items())
    return f"{spec['slug']}-{hashlib.sha256(canonical(named).encode()).hexdigest()[:HASH_DIGITS]}"


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and one form for each number (no -0.0, no NaN)."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value
