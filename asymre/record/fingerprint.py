"""What code and packages make a result: the part of an artefact's id that a configuration does not state.

The code of a script is the syntax trees, without comments, docstrings, formatting and DESCRIPTIONS, of the
script and of every project module that it imports, directly or not. Not seen: dynamic imports (a caller
names those as `also`) and files that are read without being an input.
"""

import ast
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

# They carry arguments, files, progress lines and descriptions, and no numbers: an edit makes no result stale.
CARRIERS = frozenset(
    {
        "asymre/__init__.py",
        "asymre/objectives/_entry.py",
        "asymre/record/__init__.py",
        "asymre/record/job.py",
        "asymre/settings.py",
    }
)
# What a module calls so is for people and for the configuration: an edit makes no result stale.
DESCRIPTIONS = frozenset({"OBJECTIVE", "Settings"})
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# The packages whose version can change a number or a drawing.
NUMERICAL = (
    "latex2sympy2_extended",
    "matplotlib",
    "numpy",
    "pandas",
    "scipy",
    "seaborn",
    "torch",
    "transformers",
    "vllm",
)
# What a package rests on and that can change its verdicts, too, though nobody imports it.
BELOW = {"latex2sympy2_extended": ("antlr4_python3_runtime", "sympy")}


def code_of(root: Path, script: str, also: tuple[str, ...] = ()) -> dict[str, str]:
    """Path and hash of each file that makes up `script`. Paths are relative to `root`."""
    todo, done = [script, *also], {}
    while todo:
        path = todo.pop()
        if path in done or path in CARRIERS:
            continue
        done[path] = tree_hash(root / path)
        todo.extend(_project_imports(root, path))
    return dict(sorted(done.items()))


def packages_of(root: Path, files: tuple[str, ...]) -> dict[str, str]:
    """Name and pinned version of each numerical package that the files import."""
    imported = {name.split(".")[0] for file in files for name in _imports(root / file)}
    pins = _pins(root / "requirements.txt")
    if "vllm" in imported:
        pins = _pins(root / "envs/vllm.txt") | pins
    found = [name for name in NUMERICAL if name in imported]
    found += [below for name in found for below in BELOW.get(name, ())]
    return {name: pins.get(name) or pins[name.replace("_", "-")] for name in found}


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def tree_hash(path: Path) -> str:
    return hashlib.sha256(repr(_plain(_parse(path))).encode()).hexdigest()[:16]


def _body(node: ast.AST) -> list[ast.stmt]:
    """The statements without a docstring and without what describes a module."""
    body = node.body
    if isinstance(node, ast.Module):
        body = [statement for statement in body if not _describes(statement)]
    first = body[0] if body else None
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1:] if documented and isinstance(first.value.value, str) else body


def _describes(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id in DESCRIPTIONS for target in node.targets)
    return isinstance(node, ast.ClassDef) and node.name in DESCRIPTIONS


def _plain(node: Any) -> Any:
    """A syntax tree as nested lists without docstrings and empty fields.

    `ast.dump` is not the same in every Python.
    """
    if isinstance(node, ast.AST):
        fields = dict(ast.iter_fields(node))
        if isinstance(node, DOCUMENTED):
            fields["body"] = _body(node)
        kept = ((name, value) for name, value in fields.items() if value not in (None, []))
        return [type(node).__name__, *([name, _plain(value)] for name, value in kept)]
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return repr(node)


@cache
def _imports(path: Path) -> frozenset[str]:
    """Dotted names that a file imports; `from a import b` gives `a` and `a.b`."""
    names = set()
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}: relative imports are not followed; import from asymre")
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


@cache
def _project_imports(root: Path, path: str) -> list[str]:
    found = []
    for name in _imports(root / path):
        parts = name.split(".")
        if parts[0] != "asymre":
            continue
        for end in range(1, len(parts) + 1):
            base = "/".join(parts[:end])
            found += [f for f in (f"{base}.py", f"{base}/__init__.py") if (root / f).is_file()]
    return found


@cache
def _pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", path.read_text(encoding="utf-8"), flags=re.M))
