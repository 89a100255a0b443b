"""The store knows nothing of learning, and imports nothing that takes long."""

import ast
import subprocess
import sys
from pathlib import Path

from tests.store.toy import ROOT

STORE = [path for path in sorted((ROOT / "store").glob("*.py"))]
TOY = [*(ROOT / "store/toy").rglob("*.py"), ROOT / "store/toy/Snakefile"]
HEAVY = ("torch", "pandas", "pyarrow", "pydantic", "snakemake", "numpy", "matplotlib", "transformers", "yaml")


def imports(file: Path) -> set[str]:
    """Return the dotted names that a file imports, wherever in it."""
    text, found = file.read_text(encoding="utf-8"), set()
    if file.name == "Snakefile":
        text = "\n".join(line for line in text.splitlines() if line.startswith(("import ", "from ")))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_the_store_imports_itself_and_the_standard_library():
    for file in STORE:
        for name in imports(file):
            assert name.split(".")[0] in {"store", *sys.stdlib_module_names}, f"{file.name}: {name}"
            assert not name.startswith("store.toy"), f"{file.name}: {name}"
    assert len(STORE) > 10


def test_the_toy_imports_the_store_and_little_else():
    allowed = {"store", "tabulate", "snakemake", *sys.stdlib_module_names}
    for file in TOY:
        assert {name.split(".")[0] for name in imports(file)} <= allowed, file
        assert file.name == "Snakefile" or not any(name.startswith("snakemake") for name in imports(file))


def test_importing_the_store_imports_nothing_heavy():
    modules = [f"store.{file.stem}" for file in STORE if file.stem != "__init__"] + ["store.toy.plan"]
    program = f"import sys, {', '.join(modules)}; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
