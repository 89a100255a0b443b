"""The house: which package may import which, what a plan must not import, and which folder holds what."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DESIGN = (ROOT / "docs/house.md").read_text()


def table() -> dict[str, set[str]]:
    """The table at the head of docs/house.md: package, and the packages that it may import."""
    rows = re.findall(r"^\| `([a-z_]+)` \|[^|]*\|([^|]*)\|$", DESIGN, re.M)
    return {name: set(re.findall(r"`([a-z_]+)`", allowed)) for name, allowed in rows}


def imports(file: Path) -> set[str]:
    """Dotted names of the project's modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in ("asymre", "scripts", "tools", "tests")}


def package_of(file: Path) -> str:
    return file.relative_to(ROOT / "asymre").with_suffix("").parts[0]


def test_packages_import_what_the_table_allows():
    allowed, used = table(), {}
    for file in (ROOT / "asymre").rglob("*.py"):
        others = {name.split(".")[1] for name in imports(file) if name.count(".")}
        assert all(name.startswith("asymre.") for name in imports(file) if "." in name), file
        used.setdefault(package_of(file), set()).update(others - {package_of(file)})
    used.pop("__init__")
    assert used == allowed, "docs/house.md: the table of packages"


def test_arrows_run_one_way():
    """Each row of the table imports rows above it alone, so there is no circle."""
    above: set[str] = set()
    for name, allowed in table().items():
        assert allowed <= above, name
        above.add(name)


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
    plan = " ".join(file.read_text() for file in (ROOT / "workflow").glob("*.py"))
    for script in (ROOT / "scripts").iterdir():
        if script.name != "__pycache__":
            assert f"/{script.name}" in rules or f'"{script.name}"' in plan, script.name


def test_scripts_are_named_by_their_rules():
    """By the rule, and by the engine or the source where there are several for one rule."""
    text = "\n".join(file.read_text() for file in (ROOT / "rules").glob("*.smk"))
    rules = set(re.findall(r"^rule (\w+):", text, re.M)) | set(re.findall(r'"(train_\w+)"', text))
    # The rules that publish are named by what they publish; one wraps the commands of others.
    rules |= {"publish", "with_gpus"}
    for script in (ROOT / "scripts").glob("*.py"):
        variant = re.sub(r"_(tiny|hub|task|dataset|stand_in|pretrained)$", "", script.stem)
        assert variant in rules, script.name


def test_jobs_and_the_library_know_no_command_of_people():
    for folder in ("asymre", "scripts"):
        for file in (ROOT / folder).rglob("*.py"):
            assert not any(name.startswith(("tools", "scripts", "tests")) for name in imports(file)), file


def test_every_text_file_is_read_and_written_as_utf_8():
    """A locale must not decide a byte of a result: each call names its encoding."""
    unnamed = []
    for folder in ("asymre", "scripts", "tools"):
        for file in (ROOT / folder).rglob("*.py"):
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
