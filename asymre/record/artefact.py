"""What names a result: its specification, and the id that follows from it."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

HASH_DIGITS = 10
SPEC = "spec.json"  # of a folder: its specification and record
RECORD = "made"  # the part of spec.json that says how it came out (asymre/record/provenance.py)


@dataclass(frozen=True, eq=False)
class Artefact:
    """A folder of results, `<kind>/<id>`, and everything that decides its content."""

    kind: str  # the folder below results/<name>/, one kind a rule
    slug: str  # the readable part of the id
    params: dict[str, Any]  # only what the script uses
    code: dict[str, str]  # file: hash of its syntax tree
    packages: dict[str, str]  # name: pinned version
    inputs: dict[str, "Artefact"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Computed once: a plan asks for the ids of shared inputs many times.
        object.__setattr__(self, "id", identify(self.spec()))

    @property
    def path(self) -> str:
        """Path below results/<name>/."""
        return f"{self.kind}/{self.id}"

    def spec(self) -> dict[str, Any]:
        """The specification, as it stands in `spec.json`."""
        return {
            "kind": self.kind,
            "slug": self.slug,
            "params": self.params,
            "code": self.code,
            "packages": self.packages,
            "inputs": {name: artefact.path for name, artefact in self.inputs.items()},
        }


def identify(spec: dict[str, Any]) -> str:
    """The id of a specification: slug and first digits of a hash of its canonical JSON without the record."""
    asked = {key: value for key, value in spec.items() if key != RECORD}
    return f"{spec['slug']}-{hashlib.sha256(canonical(asked).encode()).hexdigest()[:HASH_DIGITS]}"


def canonical(value: Any) -> str:
    """JSON with sorted keys and one form for each number (no -0.0, no NaN)."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value
