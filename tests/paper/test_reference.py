import json
import shutil
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from paper.configuration import reading, reference
from paper.configuration.schema import Configuration
from tools import generate

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def configuration():
    return reading.load(ROOT)


@pytest.fixture(scope="module")
def gpu():
    return reading.load(ROOT, {"scale": "gpu"})


def test_files_are_those_of_the_code():
    assert list(generate.stale(ROOT)) == [], "run `make reference`"


@pytest.fixture
def generated(tmp_path):
    """A copy of the generated files and of what they follow from."""
    for name in ("config", "envs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    return tmp_path


def test_an_edited_experiment_makes_no_generated_file_stale(generated):
    """The README's first edit must not fail the tests."""
    paper = generated / "config/paper.yaml"
    paper.write_text(paper.read_text().replace("-0.1, 0, 0.1", "-0.1, -0.05, 0, 0.1"))
    assert list(generate.stale(generated)) == []


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("config/reference.yaml", "# the figures", "# some figures"),
        ("config/reference.yaml", "smoothing_window: 3", "smoothing_windov: 3"),
        ("config/schema.json", "smoothing_window", "smoothing_windov"),
        ("envs/train.yaml", "torch==", "torch=="[::-1]),
    ],
)
def test_a_generated_file_that_was_edited_is_named(file, old, new, generated):
    text = (generated / file).read_text()
    assert old in text
    (generated / file).write_text(text.replace(old, new, 1))
    assert list(generate.stale(generated)) == [file]


@pytest.fixture(scope="module")
def pretrained():
    return reading.load(ROOT, {"scale": "pretrained"})


@pytest.mark.parametrize("scale", ["configuration", "pretrained", "gpu"])
def test_reference_loads_back(scale, request):
    expected = request.getfixturevalue(scale)
    content = yaml.safe_load(reference.reference_text(expected))
    assert Configuration.model_validate(content) == expected


def test_every_description_stands_above_a_key(configuration, pretrained, gpu):
    shown = (configuration, pretrained, gpu)
    lines = [line for c in shown for line in reference.reference_text(c).splitlines()]
    schema = json.loads(reference.schema_text())
    for section in [schema, *schema["$defs"].values()]:
        for key, values in section["properties"].items():
            # The first line of a wrapped comment is enough to know it by.
            start = f"# {values['description']}"[:60]
            above = [index for index, line in enumerate(lines) if line.strip().startswith(start)]
            assert above, f"{key}: {start}"
            assert any(
                next(text for text in lines[index:] if "#" not in text).strip().startswith(f"{key}:")
                for index in above
            )


def test_reference_as_overlay_changes_nothing(configuration):
    content = yaml.safe_load(reference.reference_text(configuration)) | {"results": "mine"}
    loaded = reading.load(ROOT, content, "reference.yaml")
    assert loaded.model_dump() == configuration.model_dump() | {"results": "mine"}


@pytest.mark.parametrize("scale", ["cpu", "smoke", "pretrained", "rehearsal", "gpu"])
def test_schema_takes_what_the_files_say(scale):
    validator = jsonschema.Draft202012Validator(json.loads(reference.schema_text()))
    merged = reading.read(ROOT / "config/paper.yaml")
    for key, value in reading.read(ROOT / f"config/scale/{scale}.yaml").items():
        merged[key] = merged.get(key, {}) | value if isinstance(value, dict) else value
    merged["scale"] = scale
    # The scales add controls to a figure of the paper; the schema wants figures whole.
    merged["figures"] = reading.load(ROOT, {"scale": scale}).model_dump(mode="json")["figures"]
    validator.validate(json.loads(json.dumps(merged)))
    merged["training"]["setps"] = 3
    assert [e.message for e in validator.iter_errors(json.loads(json.dumps(merged)))] == [
        "Additional properties are not allowed ('setps' was unexpected)"
    ]


def test_schema_takes_one_value_without_brackets():
    validator = jsonschema.Draft202012Validator(json.loads(reference.schema_text()))
    sweep = {"model": "a", "dataset": ["b"], "objective": "asymre", "delta_v": -0.1, "N": 250, "seeds": 0}
    definitions = {"$defs": validator.schema["$defs"], "$ref": "#/$defs/Sweep"}
    sweeps = jsonschema.Draft202012Validator(definitions)
    assert sweeps.is_valid(sweep)
    assert not sweeps.is_valid(sweep | {"seeds": -1})
    assert not sweeps.is_valid(sweep | {"objective": ["ppo"]})


def test_what_is_generated_is_not_stale(generated, monkeypatch):
    for file in (
        "config/schema.json",
        "config/reference.yaml",
        "config/reference_pretrained.yaml",
        "config/reference_gpu.yaml",
        "envs/vllm.yaml",
    ):
        (generated / file).write_text("old")
    monkeypatch.setattr(generate, "ROOT", generated)
    monkeypatch.setattr(sys, "argv", ["generate"])
    generate.main()
    assert list(generate.stale(generated)) == []
    assert {file for file, text in generate.generated(ROOT).items() if (ROOT / file).read_text() == text}


def test_a_broken_configuration_generates_nothing(generated, monkeypatch):
    (generated / "config/paper.yaml").write_text("algorithm: 3")
    before = {file: (generated / file).read_text() for file in generate.fixed(generated)}
    monkeypatch.setattr(generate, "ROOT", generated)
    monkeypatch.setattr(sys, "argv", ["generate"])
    with pytest.raises(SystemExit, match="error: .*algorithm"):
        generate.main()
    assert before == {file: (generated / file).read_text() for file in before}
