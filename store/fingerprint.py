"""Which code and packages make a result: the part of an artefact's id that no configuration states.

The code of a script is the syntax trees (without comments, docstrings, formatting and descriptions) of the
script and of every project module that it imports, directly or not. Not seen: dynamic imports (a caller
names those as `also`) and files that are read without being an input. A module counts by its own name and
tree, whatever package it is in, so moving a file makes nothing stale.
"""

import ast
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Project:
    """What the store has to know of a project to hash its code.

    root: folder of the source tree. packages: those whose modules decide results, by dotted name. carriers:
    modules that carry values and compute none: an edit makes no result stale, nor does what they import.
    descriptions: names that a module assigns, or classes that it defines, for people and for the
    configuration. numerical: packages whose version can change a number or a drawing. rest_on: packages
    that another rests on though no module imports them. pins: files of `name==version` lines, below `root`;
    the first that names a package counts. aliases: other names under which a package may be installed.
    remedy: how to get the pinned packages.
    """

    root: Path
    packages: tuple[str, ...]
    carriers: frozenset[str] = frozenset()
    descriptions: frozenset[str] = frozenset()
    numerical: tuple[str, ...] = ()
    rest_on: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    pins: tuple[str, ...] = ()
    aliases: dict[str, str] = field(default_factory=dict, hash=False)
    remedy: str = "install the pinned packages"


def code_of(project: Project, script: str, also: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the hash of each module that `script` imports, itself included, by dotted name.

    also: modules that it imports by name. Raises ValueError for code that hashes could not tell apart.
    """
    todo, done = [script, *also], {}
    while todo:
        module = todo.pop()
        if module in done or module in project.carriers:
            continue
        done[module] = tree_hash(project, module)
        todo.extend(_project_imports(project, module))
    _refuse_twins(project, done)
    # A package that holds a docstring alone decides nothing, and a move may add or remove one.
    return {name: digest for name, digest in sorted(done.items()) if not _is_empty(project, name)}


def packages_of(project: Project, modules: tuple[str, ...]) -> dict[str, str]:
    """Return name and pinned version of each numerical package that the modules import."""
    imported = {name.split(".")[0] for module in modules for name in _imports(_file(project.root, module))}
    found = [name for name in project.numerical if name in imported]
    found += [below for name in found for below in project.rest_on.get(name, ())]
    pins: dict[str, str] = {}
    for file in project.pins:
        pins = _pins(project.root / file) | pins
    return {name: pins.get(name) or pins[name.replace("_", "-")] for name in found}


@cache
def tree_hash(project: Project, module: str) -> str:
    """Return the hash of a module's syntax tree. Raises FileNotFoundError for a module without a file."""
    tree = _plain(_parse(_file(project.root, module)), project)
    return hashlib.sha256(repr(tree).encode()).hexdigest()[:16]


def _refuse_twins(project: Project, modules: Iterable[str]) -> None:
    """Raise ValueError if modules of one name share a definition: an import of the other hashes the same."""
    defined: dict[tuple[str, str], str] = {}
    for module in modules:
        for name in _defined(_body(_parse(_file(project.root, module)), project)):
            other = defined.setdefault((module.rpartition(".")[2], name), module)
            if other != module:
                raise ValueError(f"{other} and {module} both define {name}: give one of them another name")


def _defined(body: list[ast.stmt]) -> set[str]:
    found = [getattr(statement, "name", None) for statement in body]
    for statement in body:
        targets = [*getattr(statement, "targets", ()), getattr(statement, "target", None)]
        found += [getattr(target, "id", None) for target in targets]
    return {name for name in found if isinstance(name, str)}


def _is_empty(project: Project, module: str) -> bool:
    return not _body(_parse(_file(project.root, module)), project)


def _file(root: Path, module: str) -> Path:
    base = root.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _body(node: Any, project: Project) -> list[ast.stmt]:
    """Return the statements without a docstring and without what describes a module."""
    body = node.body
    if isinstance(node, ast.Module):
        body = [statement for statement in body if not _describes(statement, project)]
    first = body[0] if body else None
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1:] if documented and isinstance(first.value.value, str) else body


def _describes(node: ast.stmt, project: Project) -> bool:
    if isinstance(node, ast.Assign):
        names = (target.id for target in node.targets if isinstance(target, ast.Name))
        return any(name in project.descriptions for name in names)
    return isinstance(node, ast.ClassDef) and node.name in project.descriptions


def _plain(node: Any, project: Project) -> Any:
    """Return a syntax tree as nested lists without docstrings, empty fields and packages of the project.

    `ast.dump` is not the same in every Python.
    """
    if isinstance(node, ast.AST):
        fields = dict(ast.iter_fields(node))
        if isinstance(node, DOCUMENTED):
            fields["body"] = _body(node, project)
        if isinstance(node, ast.Module):
            statements, fields["body"], imports = fields["body"], [], []
            for statement in statements:
                is_import = isinstance(statement, ast.Import | ast.ImportFrom)
                (imports if is_import else fields["body"]).append(statement)
            # Sorted: a module that moves may stand elsewhere among them.
            fields["imports"] = sorted((p for i in imports for p in _imported(i, project)), key=repr)
        if isinstance(node, ast.ImportFrom):
            return _imported(node, project)
        filled = ((name, value) for name, value in fields.items() if value not in (None, []))
        return [type(node).__name__, *([name, _plain(value, project)] for name, value in filled)]
    if isinstance(node, list):
        return [_plain(value, project) for value in node]
    return repr(node)


def _imported(node: ast.Import | ast.ImportFrom, project: Project) -> list[list[str | None]]:
    """Return each imported name with its module; of the project's own, no package that holds a module."""
    found = []
    for alias in node.names:
        module = getattr(node, "module", None)
        if module and _is_own(project, module):
            is_module = _file(project.root, f"{module}.{alias.name}").is_file()
            module = "" if is_module else module.rpartition(".")[2]
        found.append([module, alias.name, alias.asname])
    return found


@cache
def _imports(path: Path) -> frozenset[str]:
    """Return the dotted names that a file imports; `from a import b` gives `a` and `a.b`."""
    names = set()
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}: relative imports are not followed; import from the package")
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


@cache
def _project_imports(project: Project, module: str) -> list[str]:
    found = []
    for name in sorted(_imports(_file(project.root, module))):
        words = name.split(".")
        names = (".".join(words[:end]) for end in range(1, len(words) + 1))
        found += [own for own in names if _is_own(project, own) and _file(project.root, own).is_file()]
    return found


def _is_own(project: Project, module: str) -> bool:
    return any(f"{module}.".startswith(f"{package}.") for package in project.packages)


@cache
def _pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", path.read_text(encoding="utf-8"), flags=re.M))
