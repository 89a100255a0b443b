"""What store/README.md says is true: every test that it names exists, and every file."""

import ast
import re

from tests.store.toy import ROOT

README = (ROOT / "store/README.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_exists():
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", README)
    assert len(named) > 25
    for file, name in named:
        tree = ast.parse((ROOT / "tests/store" / file).read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"{file}::{name}"


def test_every_guarantee_names_a_test():
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", README, re.M)
    assert len(rows) > 20
    for guarantee, held_by in rows:
        assert "::test_" in held_by or held_by == "the same test", guarantee


def test_every_file_that_is_named_exists():
    for file in re.findall(r"`((?:toy/)?\w+\.(?:py|yaml))`", README):
        assert (ROOT / "store" / file).is_file(), file
    words = re.findall(r"^- \*\*(\w+)\*\*: ", README, re.M)
    assert words == ["artefact", "id", "record", "stamp", "checkpoint"]
