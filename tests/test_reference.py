import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from asymre.config import reading, reference
from asymre.config.schema import Configuration
from scripts import write_reference

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def configuration():
    return reading.load(ROOT)


@pytest.fixture(scope="module")
def gpu():
    return reading.load(ROOT, {"scale": "gpu"})


def test_files_are_those_of_the_code(configuration, gpu):
    stale = "run `make reference`"
    assert (ROOT / "config/reference_gpu.yaml").read_text() == reference.reference_text(gpu), stale
    assert (ROOT / "config/schema.json").read_text() == reference.schema_text(), stale
    assert (ROOT / "config/reference.yaml").read_text() == reference.reference_text(configuration), stale


@pytest.mark.parametrize("scale", ["configuration", "gpu"])
def test_reference_loads_back(scale, request):
    expected = request.getfixturevalue(scale)
    content = yaml.safe_load(reference.reference_text(expected))
    assert Configuration.model_validate(content) == expected


def test_every_description_stands_above_a_key(configuration, gpu):
    lines = [line for c in (configuration, gpu) for line in reference.reference_text(c).splitlines()]
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


@pytest.mark.parametrize("scale", ["cpu", "smoke", "rehearsal", "gpu"])
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


def test_written_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/schema.json").write_text("old")
    monkeypatch.setattr(write_reference.reading, "load", lambda *_: config_error())
    with pytest.raises(reading.ConfigurationError):
        write_reference.write_reference(tmp_path)
    assert [path.name for path in (tmp_path / "config").iterdir()] == ["schema.json"]
    assert (tmp_path / "config/schema.json").read_text() == "old"


def config_error():
    raise reading.ConfigurationError("broken")


def test_writes_both_files(tmp_path, configuration, monkeypatch):
    (tmp_path / "config").mkdir()
    monkeypatch.setattr(write_reference.reading, "load", lambda *_: configuration)
    write_reference.write_reference(tmp_path)
    written = {path.name: path.read_text() for path in (tmp_path / "config").iterdir()}
    assert written == {
        "schema.json": reference.schema_text(),
        "reference.yaml": reference.reference_text(configuration),
        "reference_gpu.yaml": reference.reference_text(configuration),
    }
