"""The house: which package may import which, what a plan must not import, and which folder holds what."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.helpers import ROOT

ROOMS = ("store", "asymre", "paper", "workflow", "scripts", "tools")
# Rooms that are one row; in the others each package, and each module directly in the room, is one.
WHOLE = ("store", "workflow", "scripts", "tools")


def table() -> dict[str, set[str]]:
    """The table of docs/house.md: package, and the packages that it may import."""
    text = (ROOT / "docs/house.md").read_text(encoding="utf-8")
    section = re.search(r"^## Packages$(.*?)(?=^## |\Z)", text, re.S | re.M)[1]
    rows = re.findall(r"^\| `([a-z_.]+)` \|[^|]*\|([^|]*)\|$", section, re.M)
    return {name: set(re.findall(r"`([a-z_.]+)`", allowed)) for name, allowed in rows}


def files(*rooms: str) -> list[Path]:
    return sorted(file for room in rooms for file in (ROOT / room).rglob("*.py"))


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


@cache
def imports(file: Path) -> frozenset[str]:
    """Dotted names of the project's modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if is_module(name) else node.module for name in names}
    return frozenset(name for name in found if name.split(".")[0] in (*ROOMS, "tests", "benchmarks"))


def row_of(module: str) -> str:
    """The row of the table that a module belongs to."""
    room, *rest = module.split(".")
    if room in WHOLE or not rest:
        return room
    if ROOT.joinpath(*module.split(".")).is_dir():
        return module
    return module.rpartition(".")[0] if len(rest) > 1 else module


def module_of(file: Path) -> str:
    names = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def test_packages_import_what_the_table_allows():
    used: dict[str, set[str]] = {}
    for file in files(*ROOMS):
        row = row_of(module_of(file))
        used.setdefault(row, set()).update({row_of(name) for name in imports(file)} - {row})
    for empty in ("asymre", "paper", "asymre.engines"):
        assert used.pop(empty) == set(), "a package that only holds others"
    assert used == table(), "docs/house.md: the table of packages"


def test_arrows_run_one_way():
    """Each row of the table imports rows above it alone, so there is no circle."""
    above: set[str] = set()
    for name, allowed in table().items():
        assert allowed <= above, name
        above.add(name)


@pytest.mark.parametrize(
    ("room", "may"),
    [
        ("store", {"store"}),
        ("asymre", {"asymre"}),
        ("paper", {"paper", "asymre", "store"}),
        ("workflow", {"workflow", "paper", "asymre", "store"}),
        ("scripts", {"workflow", "paper", "asymre", "store"}),
    ],
)
def test_rooms_import_rooms_below(room, may):
    """Jobs and the library know no command of people and no test."""
    for file in files(room):
        assert {name.split(".")[0] for name in imports(file)} - {room} <= may, file


ALONE = """
import importlib, pkgutil, sys
from unittest.mock import MagicMock

# It has an environment of its own.
sys.modules["vllm"] = MagicMock()

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocked())
import asymre
print(*(name for name in sys.modules if name in {heavy}))
for module in pkgutil.walk_packages(asymre.__path__, "asymre."):
    importlib.import_module(module.name)
"""


def test_the_method_needs_no_other_room_and_no_snakemake():
    """Every module of asymre is imported without them; `import asymre` imports nothing heavy either."""
    blocked = ("snakemake", "pydantic", "store", "paper", "workflow", "scripts", "tools")
    program = ALONE.format(blocked=blocked, heavy=("torch", "transformers", "pandas", "pyarrow"))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_a_plan_imports_nothing_that_computes_or_draws():
    heavy = ("torch", "transformers", "pandas", "pyarrow", "matplotlib", "seaborn", "scipy", "vllm")
    program = f"import sys, workflow.plan; print(*(m for m in {heavy} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_every_script_is_named_by_a_rule():
    """As the job of a rule: in a rules file, or by the plan, which the rules ask for a script."""
    rules = " ".join(file.read_text() for file in (ROOT / "rules").glob("*.smk"))
    rules += (ROOT / "Snakefile").read_text()
    plan = " ".join(file.read_text() for file in (ROOT / "workflow").glob("*.py"))
    for script in (ROOT / "scripts").glob("*.py"):
        assert f"/{script.name}" in rules or f'"scripts.{script.stem}"' in plan, script.name


def test_scripts_are_named_by_their_rules():
    """By the rule, and by the engine or the source where there are several for one rule."""
    text = "\n".join(file.read_text() for file in (ROOT / "rules").glob("*.smk"))
    rules = set(re.findall(r"^rule (\w+):", text, re.M)) | set(re.findall(r'"(train_\w+)"', text))
    # The rules that publish are named by what they publish; one wraps the commands of others.
    rules |= {"publish", "with_gpus"}
    for script in (ROOT / "scripts").glob("*.py"):
        variant = re.sub(r"_(local|fsdp|vllm|task|dataset|stand_in|pretrained)$", "", script.stem)
        assert variant in rules, script.name


def test_every_text_file_is_read_and_written_as_utf_8():
    """A locale must not decide a byte of a result: each call names its encoding."""
    unnamed = []
    for file in files(*ROOMS):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _opens_text(node):
                unnamed.append(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert unnamed == []


def _opens_text(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    owner = getattr(getattr(call.func, "value", None), "id", "")
    if name not in ("open", "read_text", "write_text") or owner in ("os", "tarfile"):
        return False
    # files.write_text, a plain function, always writes UTF-8.
    if name == "write_text" and isinstance(call.func, ast.Name):
        return False
    constants = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return not any(k.arg == "encoding" for k in call.keywords) and not any("b" in c for c in constants)
