"""What names a result: canonical JSON, ids, and the code and packages behind a script."""

import copy
import hashlib
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.artefact import canonical, identify
from store.fingerprint import Project, code_of, packages_of

SETTINGS = settings(deadline=None, derandomize=True, max_examples=200)

# --- canonical JSON -----------------------------------------------------------------------------

NUMBERS = st.one_of(st.integers(-(2**53) + 1, 2**53 - 1), st.floats(allow_nan=False, allow_infinity=False))
VALUES = st.recursive(
    st.one_of(NUMBERS, st.none(), st.booleans(), st.text(max_size=5)),
    lambda children: st.one_of(
        st.lists(children, max_size=3), st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=10,
)


def turned(value):
    if isinstance(value, dict):
        return {key: turned(item) for key, item in reversed(value.items())}
    return [turned(item) for item in value] if isinstance(value, list) else value


@given(VALUES)
@SETTINGS
def test_canonical_keeps_the_value_and_not_the_order(value):
    text = canonical(value)
    assert json.loads(text) == value
    assert canonical(turned(value)) == text == canonical(json.loads(text))


@given(NUMBERS, NUMBERS)
@SETTINGS
def test_canonical_tells_numbers_apart(a, b):
    assert (canonical(a) == canonical(b)) == (a == b)
    assert canonical(float(a)) == canonical(a)


def test_canonical_has_one_form_for_each_number():
    assert canonical([0, 0.0, -0.0, 3.0, -250.0]) == "[0,0,0,3,-250]"
    assert canonical({"b": 1e-4, "a": True}) == '{"a":true,"b":0.0001}'
    assert canonical([0.1 + 0.2, 0.3]) == "[0.30000000000000004,0.3]"
    assert canonical((1, [2])) == "[1,[2]]"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_canonical_refuses_what_is_no_number(value):
    with pytest.raises(ValueError):
        canonical({"delta_v": value})


def test_identify_by_hand():
    spec = {"slug": "llama", "params": {"delta_v": -0.0}, "code": {"b.a": "0", "a.c": "1"}}
    text = b'{"code":[["a","0"],["c","1"]],"params":{"delta_v":0},"slug":"llama"}'
    digest = hashlib.sha256(text).hexdigest()
    assert identify(spec) == f"llama-{digest[:10]}"


@given(st.sampled_from(["params", "code", "packages", "inputs", "kind", "slug"]), st.integers())
@settings(SETTINGS, max_examples=30)
def test_every_field_of_a_specification_counts(field, value):
    spec = {"kind": "k", "slug": "s", "params": {}, "code": {}, "packages": {}, "inputs": {}}
    other = copy.deepcopy(spec)
    if isinstance(other[field], dict):
        other[field]["x"] = value
    else:
        other[field] += str(value)
    assert identify(other).rpartition("-")[2] != identify(spec).rpartition("-")[2]


# --- the code of a script -----------------------------------------------------------------------


def project(root, **files):
    """A project of these files; __ stands for / in their names."""
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "requirements.txt").write_text("torch==2.0\nnumpy==1.0\npandas==3.0\nscipy==1\n")
    return Project(
        root=root,
        packages=("library", "scripts"),
        carriers=frozenset({"library.carrier"}),
        numerical=("numpy", "pandas", "scipy", "torch"),
        pins=("requirements.txt",),
    )


def test_code_follows_every_form_of_import(tmp_path):
    own = project(
        tmp_path,
        scripts__make="import library.a\nfrom library import b, carrier\nfrom library.p import c\n"
        "from other import job\n",
        library__a="def f():\n    from library.p.d import x\n",
        library__b="import numpy as np\nfrom torch.nn import functional\n",
        library__carrier="import library.unused\n",
        library__p__c="X = 1\n",
        library__p__d="import library.a\n",
        library__e="X = 1\n",
        library__named="import pandas\n",
        library__unused="X = 1\n",
        other__job="import library.unused\n",
    )
    (tmp_path / "library/__init__.py").write_text('"""Decides nothing."""\n')
    (tmp_path / "library/p/__init__.py").write_text("from library import e\n")
    code = code_of(own, "scripts.make", also=("library.named",))
    assert list(code) == [
        "library.a",
        "library.b",
        "library.e",
        "library.named",
        "library.p",
        "library.p.c",
        "library.p.d",
        "scripts.make",
    ]
    assert packages_of(own, tuple(code)) == {"numpy": "1.0", "pandas": "3.0", "torch": "2.0"}


def test_relative_imports_are_refused(tmp_path):
    own = project(tmp_path, scripts__make="from . import a\n")
    with pytest.raises(ValueError, match=r"make\.py: relative imports are not followed"):
        code_of(own, "scripts.make")


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ('"""Doc."""\n\n\ndef f(x):  # comment\n    return (x + 1)\n', True),
        ('def f(x):\n    "A docstring."\n    return x + 1\n', True),
        ("def f(x):\n    return x + 2\n", False),
        ("def f(x):\n    return x + 1.0\n", False),
        ("def f(y):\n    return y + 1\n", False),
        ("def f(x, y=None):\n    return x + 1\n", False),
        ("def f(x):\n    'A docstring.'\n    'A string.'\n    return x + 1\n", False),
    ],
)
def test_hash_of_a_file_is_that_of_its_meaning(text, same, tmp_path):
    own = project(tmp_path, a="def f(x):\n    return x + 1\n", b=text)
    hashes = [code_of(own, name)[name] for name in ("a", "b")]
    assert (hashes[0] == hashes[1]) == same


def test_hash_of_a_file_is_the_same_in_every_python(tmp_path):
    # ast.dump would not do: it differs between Python 3.11, 3.12 and 3.13.
    own = project(tmp_path, a="class A:\n    def f(self, *, x=None):\n        return [f'{x}', ()]\n")
    assert code_of(own, "a") == {"a": "cfa53d5e189b8cf9"}
