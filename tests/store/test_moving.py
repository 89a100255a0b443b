"""A module that moves changes no hash, and what hashes could not tell apart is refused."""

import re
import shutil
from pathlib import Path

import pytest

from store import fingerprint
from store.fingerprint import Project
from tests.store.toy import copy_sources, edit, plan_of

FILES = {
    "own/__init__.py": '"""A docstring alone."""\n',
    "own/make.py": "import json\n\nfrom own import a, b\nfrom own.a import f\nfrom own.c.d import g\n",
    "own/a.py": "def f():\n    from own import b\n    from own.c import d\n",
    "own/b.py": "B = 1\n",
    "own/c/__init__.py": "",
    "own/c/d.py": "def g():\n    pass\n",
    "other/x.py": "def f():\n    pass\n",
}


def code_of(root: Path, files: dict[str, str], script: str = "own.make") -> dict[str, str]:
    """Return the code by own name of module."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    code = fingerprint.code_of(Project(root, ("own",)), script)
    return {module.rpartition(".")[2]: digest for module, digest in code.items()}


def test_a_module_of_the_toy_that_moves_changes_no_id(tmp_path, graph):
    """Some files import the module from its package, and one a name from the module."""
    tree = copy_sources(tmp_path / "tree")
    toy, one_more = tree / "store/toy", "import numbers\nfrom store.toy.numbers import draw\n"
    edit(toy / "scripts/draw.py", "import numbers\n", one_more)
    before = plan_of(shutil.copytree(tree, tmp_path / "before"))
    assert before.artefacts.keys() != graph.artefacts.keys(), "an import more is other code"
    (toy / "arithmetic").mkdir()
    (toy / "arithmetic/__init__.py").write_text('"""Sums of all kinds."""\n')
    (toy / "numbers.py").rename(toy / "arithmetic/numbers.py")
    for file in toy.rglob("*.py"):
        text = re.sub(r"store\.toy import numbers", "store.toy.arithmetic import numbers", file.read_text())
        file.write_text(re.sub(r"store\.toy\.numbers import", "store.toy.arithmetic.numbers import", text))
    moved = plan_of(tree)
    assert moved.artefacts.keys() == before.artefacts.keys()
    assert "store.toy.arithmetic.numbers" in next(iter(moved.artefacts.values())).code


MOVES = {
    "a module, to a package": {"own.a": "own.c.a"},
    "a module, out of its package": {"own.c.d": "own.d"},
    "two modules": {"own.b": "own.z.y.b", "own.c.d": "own.z.d"},
    "the script": {"own.make": "own.scripts.make"},
}


@pytest.mark.parametrize("moves", MOVES.values(), ids=MOVES)
def test_a_module_that_moves_keeps_all_hashes(tmp_path, moves):
    moved = {}
    for name, text in FILES.items():
        module = name.removesuffix(".py").replace("/", ".")
        for old, new in moves.items():
            parent, _, own = old.rpartition(".")
            package = new.rpartition(".")[0]
            text = text.replace(f"from {old} import", f"from {new} import")
            # `from own import a, b` may have to become two statements.
            text = re.sub(
                rf"( *)from {parent} import (.*\b{own}\b.*)",
                lambda m, own=own, package=package, parent=parent: "\n".join(
                    f"{m[1]}from {package if word == own else parent} import {word}"
                    for word in reversed(m[2].split(", "))
                ),
                text,
            )
        moved[moves.get(module, module).replace(".", "/") + ".py"] = text
    script = moves.get("own.make", "own.make")
    assert code_of(tmp_path / "moved", moved, script) == code_of(tmp_path / "before", FILES)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("own/make.py", "import a, b", "import a as b, b as a"),
        ("own/make.py", "from own.a import f", "from own.b import f"),
        ("own/make.py", "from own import a, b", "from own import a"),
        ("own/make.py", "import json", "import json as js"),
        ("own/make.py", "import json", "from json import json"),
        ("own/a.py", "from own import b", "import b"),
        ("own/c/__init__.py", "", "C = 1\n"),
    ],
)
def test_other_imports_are_other_code(tmp_path, file, old, new):
    changed = FILES | {file: FILES[file].replace(old, new, 1)}
    assert code_of(tmp_path / "changed", changed) != code_of(tmp_path / "before", FILES)


@pytest.mark.parametrize(
    "definition", ["def {}():\n    pass\n", "class {}:\n    pass\n", "{} = 1\n", "{}: int = 1\n"]
)
def test_two_modules_of_one_name_share_no_definition(tmp_path, definition):
    """`from own.a import f` and `from own.c.a import f` would have the same hash."""
    files = FILES | {"own/c/a.py": definition.format("f"), "own/b.py": "import own.c.a\n"}
    with pytest.raises(ValueError, match=r"own(\.c)?\.a and own(\.c)?\.a both define f"):
        code_of(tmp_path / "twins", files)
    code_of(tmp_path / "cousins", files | {"own/c/a.py": definition.format("other")})


def test_a_package_may_be_named_with_those_above_it(tmp_path):
    files = {"own/b.py": "import own.c.d\nfrom own import cc\n", "own/cc.py": "import own.make\n"}
    code_of(tmp_path, FILES | files)
    code = fingerprint.code_of(Project(tmp_path, ("own.c",)), "own.b")
    assert list(code) == ["own.b", "own.c.d"]
