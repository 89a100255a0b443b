"""The estimate before a run: parameters, memory, disk and hours by hand, and warnings."""

import subprocess
import sys
from pathlib import Path

import pytest

from asymre.config import reading
from asymre.plan import costs
from asymre.plan.plan import build

ROOT = Path(__file__).resolve().parents[1]


def gpu(**hub):
    return reading.load(ROOT, {"scale": "gpu", "results": "mine", "hub": hub})


@pytest.mark.parametrize(
    ("model", "parameters"),
    # As the models' pages on the hub state them.
    [("llama-8b", 8_030_261_248), ("llama-3b", 3_212_749_824), ("qwen-3b", 3_085_938_688)],
)
def test_parameters_of_the_papers_models(model, parameters):
    assert costs.architecture_of(gpu(), model).parameter_count() == parameters


def test_memory_by_hand():
    c = gpu(processes=4, tokens_per_micro_batch=1000, tokens_per_chunk=100)
    parts = costs.training_memory(c, costs.architecture_of(c, "llama-8b")).parts
    assert parts["weights"] == parts["gradients"] == parts["moments"] / 2 == 8_030_261_248
    assert parts["logits"] == 3 * 4 * 100 * 128_256
    # Inputs of 32 layers in bfloat16, and the insides of one.
    assert parts["activations"] == 2 * 1000 * (32 * 4096 + 16 * 4096 + 4 * 14336)
    more = costs.training_memory(
        gpu(processes=4, tokens_per_micro_batch=1000, activation_checkpointing=False),
        costs.architecture_of(c, "llama-8b"),
    )
    assert more.parts["activations"] > 10 * parts["activations"]


def test_disk_by_hand():
    c = gpu()
    disk = costs.cycle_disk(c, costs.architecture_of(c, "llama-8b"), snapshots=4)
    assert disk["state"] == 12 * 8_030_261_248 and disk["snapshots"] == 4 * disk["policy"]


def test_hours_of_one_run_by_hand():
    run = {
        "model": "llama-8b",
        "dataset": "math",
        "objective": "asymre",
        "delta_v": -0.1,
        "N": 250,
        "seeds": 0,
    }
    panels = [{"title": "t", "measure": "test_accuracy", "runs": [run]}]
    figures = {
        name: {"panels": panels, "runs": []}
        for name in [f"figure_{n}" for n in (3, 4, 5, 8, 9, 10, 11, 12, 13)]
    }
    c = reading.load(
        ROOT, {"scale": "gpu", "results": "mine", "figures": figures, "training": {"steps": 500}}
    )
    hours, jobs = costs.gpu_hours(build(ROOT, c))
    assert dict(jobs) == {"sample_rollouts": 8, "train_cycle": 2, "evaluate_snapshot": 11}
    assumed, parameters = c.hub.costs, 8_030_261_248
    seconds = 2 * 250 * 128 * assumed.tokens_per_completion / (assumed.generation_speed * 1e9 / parameters)
    assert hours["sample_rollouts"] == pytest.approx(seconds / 3600 + 8 * assumed.start_minutes / 60)
    tokens = 2 * 250 * 128 * (assumed.tokens_per_completion + assumed.tokens_per_prompt)
    seconds = 8 * parameters * tokens / (assumed.training_tflops * 1e12)
    assert hours["train_cycle"] == pytest.approx(seconds / 3600 + 2 * 4 * assumed.start_minutes / 60)
    # Five snapshots a cycle (its end included) and the base policy.
    drawn = 500 + 256 * 4
    one = drawn * assumed.tokens_per_completion / (assumed.generation_speed * 1e9 / parameters) / 3600
    tokens = drawn * (assumed.tokens_per_completion + assumed.tokens_per_prompt)
    one += 2 * parameters * tokens / (assumed.training_tflops * 1e12) / 3600
    assert hours["evaluate_snapshot"] == pytest.approx(11 * (one + assumed.start_minutes / 60))


def test_warnings_where_a_model_does_not_fit():
    assert costs.problems(build(ROOT, gpu())) == []
    (warning,) = costs.problems(build(ROOT, gpu(processes=1)))
    assert "llama-8b does not fit a GPU of 80 GB in training" in warning and "hub.processes" in warning
    small = costs.problems(build(ROOT, gpu(costs={"gpu_memory_gb": 16})))
    assert any("llama-8b" in text and "sampling" in text for text in small)


def test_hours_are_said_for_each_target_and_each_gpu():
    def run(*arguments):
        command = [sys.executable, "-m", "tools.plan_costs", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    text = run("--scale", "one_gpu").stdout
    first, second = text.split("The same on a GPU of 24 GB")
    for part in (first, second):
        assert part.index(" make figures:") < part.index(" beyond:") < part.index(" calibration:")
    hours = [float(line.split()[3]) for line in text.splitlines() if line.startswith("  together")]
    # The default target of one 80 GB GPU takes some ten hours.
    assert 5 < hours[0] < 12 and all(slow > fast for fast, slow in zip(hours[:3], hours[3:], strict=True))
    assert "WARNING" not in first and "llama-1b does not fit a GPU of 24 GB in training" in second


def test_the_command():
    def run(*arguments):
        command = [sys.executable, "-m", "tools.plan_costs", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    done = run("--scale", "gpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("164 runs of 2000 steps") and "llama-8b" in done.stdout
    assert "WARNING" not in done.stdout
    done = run("--scale", "cpu")
    assert done.returncode == 1 and "needs no GPU" in done.stderr
