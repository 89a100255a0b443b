"""`make plan` with what `make test-gpu` measured: used, said, and refused where it is no measurement."""

import json

import pytest
import yaml

from paper.configuration.reading import ConfigurationError
from tests.helpers import ONE_GPU_RUN
from tools import measured_costs, plan_costs
from tools.measured_costs import Measured

VALUES = {
    "gpu": "NVIDIA Some GPU",
    "parameters": 4.9e8,
    "gpu_memory_gb": 40.0,
    "generation_speed": 160000.0,
    "training_tflops": 150.0,
    "start_minutes": 1.5,
}


@pytest.fixture
def plan(tmp_path, monkeypatch, capsys):
    """The command on one run, in a folder of its own; returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(**overlay) -> str:
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(ONE_GPU_RUN | overlay))
        monkeypatch.setattr("sys.argv", ["plan_costs", "--configfile", "mine.yaml"])
        plan_costs.main()
        return capsys.readouterr().out

    return run


def test_what_was_written_is_read(tmp_path):
    assert measured_costs.read(tmp_path / "none.json") is None
    measured_costs.write(Measured(**VALUES), tmp_path / "a/measured.json")
    assert json.loads((tmp_path / "a/measured.json").read_text()) == VALUES
    assert measured_costs.read(tmp_path / "a/measured.json") == Measured(**VALUES)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"training_tflops": 0}, "training_tflops: Input should be greater than 0"),
        ({"start_minutes": -1}, "start_minutes: Input should be greater than 0"),
        ({"generation_speed": "fast"}, "generation_speed: Input should be a valid number"),
        ({"gpu": ""}, "gpu: "),
        ({"speed": 1}, "speed: Extra inputs"),
        ({"gpu_memory_gb": None}, "gpu_memory_gb: "),
    ],
)
def test_a_measurement_that_is_none_is_refused(change, words, tmp_path):
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(VALUES | change))
    with pytest.raises(ConfigurationError) as error:
        measured_costs.read(path)
    assert words in str(error.value) and str(error.value).startswith(f"{path}: ")
    assert "run make test-gpu again, or delete the file" in str(error.value)


def test_a_damaged_file_ends_the_command_with_its_name(plan, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/measured.json").write_text("{")
    with pytest.raises(SystemExit, match="^error: results/measured.json: content: "):
        plan()
    assert plan(fsdp_vllm={"device": "cpu", "dtype": "float32"}), "nothing was measured for a CPU"


def test_the_plan_counts_with_measurements_and_says_so(plan):
    guessed = plan()
    measured_costs.write(Measured(**VALUES))
    measured = plan()
    first = measured.splitlines()[0]
    assert first.startswith("measured on NVIDIA Some GPU with 0.49e9 parameters (results/measured.json)")
    assert "generation_speed 1.6e+05" in first and "measured" not in guessed
    assert "of 40:" in measured and "150 TFLOP/s" in measured and "1.5 min to start" in measured
    assert "does not fit a GPU of 40 GB" in measured and "WARNING" not in guessed

    def sampling(text: str) -> float:
        return float(next(line for line in text.splitlines() if "sample_rollouts" in line).split()[-2])

    # Twice as fast, and half the time to start.
    assert sampling(measured) == pytest.approx(sampling(guessed) / 2, rel=0.02)
