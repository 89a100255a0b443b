"""The estimate before a run: parameters, memory, disk and hours by hand, and warnings."""

import pytest
import torch

from asymre.architecture import Architecture
from asymre.engines.fsdp_vllm.launch import run_processes
from asymre.engines.local.decoder import initial_weights
from asymre.engines.local.policy import save_policy
from paper.configuration import reading
from tests import fsdp_processes
from tests.helpers import ONE_GPU_RUN, ROOT, call, tiny
from tools import plan_costs
from workflow import costs
from workflow.plan import build


def gpu(**own):
    return reading.load(ROOT, {"scale": "gpu", "results": "mine", "fsdp_vllm": own})


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
    # Embedding and head with their gradients, these in float32 too, and a quarter of them summed.
    assert parts["gathered"] == (2 + 2 + 4 + 1) * 2 * 128_256 * 4096
    assert parts["slack"] == pytest.approx((parts["gathered"] + parts["activations"] + parts["logits"]) / 10)
    # Inputs of 32 layers in bfloat16, and the insides of one.
    assert parts["activations"] == 2 * 1000 * (32 * 4096 + 16 * 4096 + 4 * 14336)
    more = costs.training_memory(
        gpu(processes=4, tokens_per_micro_batch=1000, activation_checkpointing=False),
        costs.architecture_of(c, "llama-8b"),
    )
    assert more.parts["activations"] > 10 * parts["activations"]


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


MEASURED = [
    # Weights, gradients and moments: 39e6 parameters, most of them in embedding and head, and 55e6 in layers.
    slow(Architecture("llama", 512, 1408, 2, 8, 4, 32_000, False), {"dtype": "bfloat16"}, 64, 16),
    slow(Architecture("llama", 768, 2048, 8, 8, 4, 4_000, True), {"dtype": "float32"}, 64, 16),
    # Activations, and logits.
    slow(Architecture("llama", 256, 704, 4, 8, 4, 2_000, True), {"dtype": "float32"}, 4096, 64),
    slow(Architecture("llama", 64, 128, 2, 8, 4, 32_000, True), {"dtype": "float32"}, 512, 512),
]


@pytest.mark.parametrize(("architecture", "dtype", "tokens", "chunk"), MEASURED)
def test_memory_of_a_process_on_a_cpu(architecture, dtype, tokens, chunk, tmp_path, monkeypatch):
    """The plan is enough (to 5 %), and not far too much."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for folder, shape in (("policy", architecture), ("small", tiny())):
        save_policy(tmp_path / folder, shape, initial_weights(shape, torch.Generator().manual_seed(0)))
    c = gpu(processes=1, tokens_per_micro_batch=tokens, tokens_per_chunk=chunk, **dtype)
    settings = dtype | {"tokens_per_micro_batch": tokens, "chunk": chunk}
    arguments = (tmp_path / "policy", tmp_path / "small", architecture.vocabulary_size, settings)
    peak = run_processes(1, fsdp_processes.peak_memory, *arguments)
    assert 0.6 < peak / costs.training_memory(c, architecture).total < 1.05


def test_main_memory_by_hand():
    c = gpu(processes=4)
    # Rollouts of a cycle in every process, and a file of the policy.
    rollouts = 4 * 56 * 250 * 16 * 8 * (2048 + c.fsdp_vllm.costs.tokens_per_prompt)
    process, model = costs.PROCESS_BYTES["cuda"], costs.architecture_of(c, "llama-8b")
    assert costs.host_memory(c, model) == 4 * process + rollouts + 5e9
    on_cpu = gpu(processes=4, device="cpu", dtype="float32")
    held = costs.host_memory(on_cpu, model) - 4 * costs.PROCESS_BYTES["cpu"] - rollouts - 5e9
    assert held == pytest.approx(4 * costs.training_memory(on_cpu, model).total)


def test_log_probs_are_computed_again_for_ratios_alone():
    def cycles(recompute, N):
        runs = {"model": "llama-8b", "dataset": "math", "objective": ["asymre", "grpo"], "seeds": 0, "N": N}
        panels = [{"title": "t", "measure": "test_accuracy", "runs": [runs | {"delta_v": 0}]}]
        figures = {f"figure_{n}": None for n in (4, 5, 8, 9, 10, 11, 12, 13)}
        figures["figure_3"] = {"panels": panels, "runs": []}
        own = {"recompute_log_probs": recompute}
        training = {"steps": 500, "never_refreshed": 250}
        asked = {"scale": "gpu", "results": "mine", "figures": figures, "training": training}
        plan = build(ROOT, reading.load(ROOT, asked | {"fsdp_vllm": own}))
        own = [a for a in plan.graph.artefacts.values() if a.kind == "cycles"]
        return plan, {a.id: a.params["recompute_log_probs"] for a in own}

    plan, found = cycles(True, 250)
    other, without = cycles(False, 250)
    assert set(without.values()) == {False} and len(found) == len(without) == 4
    again = {id for id, recomputed in found.items() if recomputed}
    assert len(again) == 2 and all("_grpo_" in id for id in again)
    # Ids of other objectives stay.
    assert found.keys() - without.keys() == again
    hours, before = (costs.gpu_hours(p)[0]["train_cycle"] for p in (plan, other))
    c = plan.configuration
    model = costs.architecture_of(c, "llama-8b")
    assert hours - before == pytest.approx(costs.scoring_hours(c, model, 500 * 16 * 8))
    # The policy has moved away from the base policy, which alone sampled.
    assert cycles(True, "never")[1] == cycles(False, "never")[1]


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
    assumed, parameters = c.fsdp_vllm.costs, 8_030_261_248
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
    def problems(**own):
        return costs.problems(build(ROOT, reading.load(ROOT, ONE_GPU_RUN | {"fsdp_vllm": own})))

    assert problems() == []
    (warning,) = problems(processes=1)
    assert "llama-8b does not fit a GPU of 80 GB in training" in warning and "fsdp_vllm.processes" in warning
    small = problems(costs={"gpu_memory_gb": 16})
    assert any("llama-8b" in text and "sampling" in text for text in small)


def test_hours_are_told_for_each_target_and_each_gpu():
    _, text = call(plan_costs.main, ROOT, "--scale", "one_gpu")
    first, second = text.split("The same on a GPU of 24 GB")
    for part in (first, second):
        assert part.index(" make figures:") < part.index(" beyond:") < part.index(" calibration:")
    hours = [float(line.split()[3]) for line in text.splitlines() if line.startswith("  together")]
    # The default target of one 80 GB GPU takes some ten hours.
    assert 5 < hours[0] < 12 and all(slow > fast for fast, slow in zip(hours[:3], hours[3:], strict=True))
    assert "WARNING" not in first and "llama-1b does not fit a GPU of 24 GB in training" in second


@pytest.mark.slow
def test_the_whole_gpu_scale():
    code, output = call(plan_costs.main, ROOT, "--scale", "gpu")
    assert code == 0 and output.startswith("164 runs of 2000 steps") and "llama-8b" in output
    assert "WARNING" not in output


def test_a_scale_without_gpus():
    code, output = call(plan_costs.main, ROOT, "--scale", "cpu")
    assert code == 1 and "has stand-ins, which take minutes" in output
