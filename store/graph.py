"""The artefacts that targets rest on: made once each, with what the job of each reads."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any

from store.artefact import Artefact, canonical
from store.fingerprint import Project, code_of, packages_of

# The folder below results/<name>/ in which jobs keep what a kill must not cost (`job.Unfinished`).
UNFINISHED = "unfinished"
# A specification is an argument of its job's command, which Linux limits to 128 KiB.
LONGEST_SPEC = 120_000


@dataclass(frozen=True)
class Checkpoints:
    """Large folders that the job of one kind writes beside its result, under its id.

    of: that kind. folders: where they lie below results/<name>/. read_by: which of them the jobs of a kind
    read in place of the artefact.
    """

    of: str = ""
    folders: tuple[str, ...] = ()
    read_by: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """All artefacts of a plan, and the targets among them.

    artefacts: by path. targets: what is published, by its stable name. default: names of those that are
    made by default. kinds: all folders of artefacts and checkpoints, upstream first. scripts: module of the
    script of each artefact, by path. joined: artefacts that other jobs may make in pieces, by path.
    """

    artefacts: dict[str, Artefact]
    targets: dict[str, Artefact]
    default: tuple[str, ...]
    kinds: tuple[str, ...]
    scripts: dict[str, str]
    checkpoints: Checkpoints = Checkpoints()
    joined: dict[str, list[Artefact]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, target in self.targets.items():
            if len(canonical(target.spec())) > LONGEST_SPEC:
                raise ValueError(f"{name}: too many inputs ({len(target.inputs)}); make it smaller")

    def inputs(self, path: str) -> list[str]:
        """Return the paths of the folders that an artefact's job reads: artefacts, or their checkpoints."""
        artefacts = self.joined.get(path) or self.artefacts[path].inputs.values()
        read = self.checkpoints.read_by.get(path.partition("/")[0])
        folders = [
            [f"{folder}/{a.id}" for folder in read] if read and a.kind == self.checkpoints.of else [a.path]
            for a in artefacts
        ]
        return list(dict.fromkeys(path for paths in folders for path in paths))

    def upstream(self, names: Iterable[str]) -> list[Artefact]:
        """Return all artefacts that these targets rest on, the targets included, each once."""
        found: dict[str, Artefact] = {}
        waiting = [self.targets[name] for name in names]
        while waiting:
            artefact = waiting.pop()
            if artefact.path not in found:
                found[artefact.path] = artefact
                waiting += artefact.inputs.values()
        return list(found.values())

    def owner(self, path: str) -> str:
        """Return the path of the artefact that a folder, itself or a checkpoint, belongs to.

        What a job keeps of an artefact that it has not finished belongs to the artefact.
        """
        folder, _, id = path.partition("/")
        if folder == UNFINISHED:
            return next((a.path for a in self.artefacts.values() if a.id == id), path)
        return f"{self.checkpoints.of}/{id}" if folder in self.checkpoints.folders else path

    def spec_json(self, path: str) -> str:
        """Return the specification of an artefact, for its script's command line."""
        return canonical(self.artefacts[path].spec())

    def script(self, path: str) -> str:
        """Return the file, below the source tree, of the script that makes an artefact."""
        return self.scripts[path].replace(".", "/") + ".py"

    def default_targets(self) -> list[Artefact]:
        """Return what is published by default."""
        return [self.targets[name] for name in self.default]


class Builder:
    """Make the artefacts of a graph, each once."""

    def __init__(self, project: Project):
        self.artefacts: dict[str, Artefact] = {}
        self.scripts: dict[str, str] = {}
        self.joined: dict[str, list[Artefact]] = {}
        self._project = project
        self._memory: dict[tuple, Any] = {}

    def make(
        self,
        kind: str,
        slug: str,
        params: Any,
        inputs: dict[str, Artefact] | None = None,
        *,
        script: str,
        also: tuple[str, ...] = (),
    ) -> Artefact:
        """Return an artefact.

        params: a dataclass, or a dictionary. script: the module that makes it. also: modules that it imports
        by name.
        """
        code = self.once(("code", script, also), lambda: code_of(self._project, script, also))
        packages = self.once(("packages", script, also), lambda: packages_of(self._project, tuple(code)))
        params = asdict(params) if is_dataclass(params) and not isinstance(params, type) else params
        artefact = Artefact(kind, slug, params, code, packages, inputs or {})
        self.scripts[artefact.path] = script
        return self.artefacts.setdefault(artefact.path, artefact)

    def once(self, key: tuple, make: Callable[[], Any]) -> Any:
        """Return what `make` returned the first time that it was called for this key."""
        if key not in self._memory:
            self._memory[key] = make()
        return self._memory[key]
