"""Engine fsdp_vllm: log-probabilities in chunks, micro-batches, several processes, state, policy folders."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from asymre.engines.fsdp_vllm import launch, micro_batches, state
from asymre.engines.fsdp_vllm.launch import run_processes
from asymre.engines.fsdp_vllm.log_probs import Scorer
from asymre.engines.fsdp_vllm.model import load_model, require_float32
from asymre.engines.fsdp_vllm.state import save_state, write_policy
from asymre.engines.fsdp_vllm.training import group_to_skip, train_process
from asymre.engines.local.decoder import forward, initial_weights
from asymre.engines.local.engine import LocalEngine
from asymre.engines.local.policy import load_policy, save_policy
from asymre.specs import FsdpTrainingSpec
from asymre.training.loop import train_cycle
from asymre.training.rollouts import Rollouts, write_rollouts
from store import job
from tests import fsdp_processes as hub
from tests.helpers import tiny
from tests.specs import TRAINING, training

ROOT = Path(__file__).resolve().parents[2]
HALF = hub.STEPS // 2


@pytest.fixture(scope="module", autouse=True)
def group():
    """This process is a group of one; those that it starts find the modules of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        yield
        dist.destroy_process_group()


@pytest.fixture
def policy(any_architecture, make_weights, tmp_path):
    """A policy folder of every architecture."""
    save_policy(tmp_path / "policy", any_architecture, make_weights(any_architecture))
    return tmp_path / "policy"


@pytest.fixture(scope="module")
def one_policy(tmp_path_factory):
    """The policy folder of the tests on several processes: its sizes are no multiples of 4."""
    folder = tmp_path_factory.mktemp("one") / "policy"
    architecture = tiny(key_value_heads=2)
    save_policy(folder, architecture, initial_weights(architecture, torch.Generator().manual_seed(0)))
    return folder


def relative(values, others):
    return max(abs(a - b) / abs(b) for a, b in zip(values, others, strict=True))


def assert_metrics_close(metrics, others, tolerance=1e-5):
    for name in ("loss", "gradient_norm"):
        assert relative([m[name] for m in metrics], [m[name] for m in others]) < tolerance, name


# Log-probabilities


def plain_log_probs(weights, architecture, rollouts, row):
    """Log-probabilities and entropies of one row's completion, from its logits."""
    start, count = int(rollouts.prompt_lengths[row]), int(rollouts.lengths[row])
    ids = torch.cat([rollouts.prompts[row, :start], rollouts.tokens[row, :count]])
    logits, _ = forward(weights, architecture, ids[None])
    distribution = torch.distributions.Categorical(logits=logits[0, start - 1 : -1])
    return distribution.log_prob(ids[start:]), distribution.entropy()


@pytest.mark.parametrize("chunk", [1, 5, 1000])
def test_chunks_equal_the_full_computation(policy, chunk):
    """Values and gradients against a forward pass of our own decoder, row by row and without padding."""
    engine, rollouts = hub.make_engine(policy, chunk=chunk), hub.ragged_rollouts(13)
    architecture, plain = load_policy(policy)
    plain = {name: weight.requires_grad_() for name, weight in plain.items()}
    log_probs, entropies = engine.log_probs(rollouts, torch.arange(13))
    weighted = torch.linspace(-1, 1, log_probs.numel()).view_as(log_probs)
    expected = torch.zeros(())
    for row in range(13):
        ours, entropy = plain_log_probs(plain, architecture, rollouts, row)
        count = len(ours)
        torch.testing.assert_close(log_probs[row, :count], ours, rtol=0, atol=1e-5)
        torch.testing.assert_close(entropies[row, :count], entropy, rtol=0, atol=1e-5)
        expected = expected + (ours * weighted[row, :count]).sum()
    assert log_probs[~rollouts.mask].eq(0).all() and entropies[~rollouts.mask].eq(0).all()
    assert not entropies.requires_grad
    engine.backward((log_probs * weighted).sum())
    expected.backward()
    for name, parameter in engine.model.named_parameters():
        gradient = parameter.grad.full_tensor()
        torch.testing.assert_close(gradient, plain[name].grad, rtol=1e-4, atol=1e-5)


def peak_of_log_probs(model, tokens, chunk):
    """Bytes that log-probabilities of `tokens` tokens and their gradient take at the most."""
    scorer = Scorer(model, chunk)
    ids = torch.zeros(1, tokens + 1, dtype=torch.long)
    with hub.Allocations() as allocations:
        log_probs, _ = scorer(ids, torch.zeros(tokens, dtype=torch.long), torch.arange(tokens), ids[0, 1:])
        log_probs.sum().backward()
    model.zero_grad()
    return allocations.peak


@pytest.fixture
def large_policy(tmp_path):
    """A policy with a vocabulary of 128,000."""
    architecture = dataclasses.replace(tiny(), vocabulary_size=128_000)
    save_policy(tmp_path, architecture, initial_weights(architecture, torch.Generator().manual_seed(0)))
    return tmp_path


def test_memory_grows_with_the_chunk_alone(large_policy):
    """The logits of all tokens never exist, forward or backward."""
    large_model = load_model(large_policy)
    logits = 4 * 128_000  # bytes of one token
    short, long = (peak_of_log_probs(large_model, tokens, chunk=16) for tokens in (64, 256))
    wide = peak_of_log_probs(large_model, 256, chunk=128)
    assert long < 256 * logits / 2
    assert long - short < 0.05 * short
    assert wide - long > 2 * (128 - 16) * logits


def test_float32_softmax_in_bfloat16(policy):
    """The computation is coarse, the sum of probabilities is not, and weights and gradients are float32."""
    rollouts, rows = hub.ragged_rollouts(8), torch.arange(8)
    exact, _ = hub.make_engine(policy).log_probs(rollouts, rows)
    engine = hub.make_engine(policy, dtype="bfloat16")
    log_probs, entropy = engine.log_probs(rollouts, rows)
    assert log_probs.dtype == entropy.dtype == torch.float32
    assert 0 < (log_probs - exact).abs().max() < 0.2
    engine.backward(log_probs.sum())
    require_float32(engine.model)
    assert all(p.grad.dtype == torch.float32 for p in engine.model.parameters())


def test_agrees_with_the_local_engine(policy):
    """Loss, gradient norm and log-probabilities of whole steps on the same rollouts."""
    rollouts = hub.ragged_rollouts(5 * hub.BATCH)
    # The local engine's prompts have one length, and one prompt a group.
    rollouts = Rollouts(
        **vars(rollouts)
        | {
            "prompts": rollouts.prompts[:: hub.GROUP].repeat_interleave(hub.GROUP, dim=0),
            "prompt_lengths": torch.full_like(rollouts.prompt_lengths, 9),
        }
    )
    local_engine = LocalEngine(*load_policy(policy), 1e-3, hub.GROUP)
    expected = list(train_cycle(local_engine, rollouts, TRAINING, 0))
    metrics = list(train_cycle(hub.make_engine(policy), rollouts, TRAINING, 0))
    assert_metrics_close(metrics, expected)
    for ours, theirs in zip(metrics, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5, nan_ok=True)


def test_a_step_of_6e_8_changes_float32_weights(one_policy):
    engine, rollouts = hub.make_engine(one_policy, learning_rate=6e-8), hub.ragged_rollouts(hub.BATCH)
    before = {name: p.full_tensor().clone() for name, p in engine.model.named_parameters()}
    list(train_cycle(engine, rollouts, TRAINING, 0))
    for name, parameter in engine.model.named_parameters():
        after = parameter.full_tensor()
        # The coarsest are a norm's weights of 1: below 1 float32 has steps of 6e-8.
        assert (after != before[name]).float().mean() > 0.5, name
        assert (after.bfloat16() != before[name].bfloat16()).float().mean() < 0.05, name
    with pytest.raises(ValueError, match="bfloat16"):
        require_float32(engine.model.bfloat16())


def test_norm_of_a_large_gradient(large_policy):
    """torch's own float32 norm of two million numbers is off by more than 1e-5 on a CPU."""
    engine = hub.make_engine(large_policy)
    rollouts = hub.ragged_rollouts(4)
    engine.backward(engine.log_probs(rollouts, torch.arange(4))[0].sum())
    gradients = [p.grad.full_tensor().double().clone() for p in engine.model.parameters()]
    norm = sum(g.square().sum() for g in gradients).sqrt().item()
    assert engine.update(norm / 2) == pytest.approx(norm, rel=1e-7)


@pytest.mark.parametrize("share", [0.25, 4.0])
def test_gradient_is_clipped(one_policy, share):
    """AdamW's first moment after a step is a tenth of the gradient that it was given."""
    engine, rollouts = hub.make_engine(one_policy), hub.ragged_rollouts(8)
    engine.backward(engine.log_probs(rollouts, torch.arange(8))[0].sum())
    before = [p.grad.full_tensor().clone() for p in engine.model.parameters()]
    norm = torch.nn.utils.get_total_norm(before).item()
    assert engine.update(share * norm) == pytest.approx(norm, rel=1e-5)
    for gradient, moments in zip(before, engine.optimiser.state.values(), strict=True):
        torch.testing.assert_close(10 * moments["exp_avg"].full_tensor(), min(1, share) * gradient)
    assert all(p.grad is None for p in engine.model.parameters())


@pytest.mark.parametrize("steps", [1, 3])
def test_the_optimiser_is_adamw_fused(one_policy, steps):
    """Against its formula in float64, on made-up gradients."""
    engine = hub.make_engine(one_policy)
    assert all(group["fused"] for group in engine.optimiser.param_groups)
    generator = torch.Generator().manual_seed(0)
    for _, parameter in engine.model.named_parameters():
        weight, first, second = parameter.full_tensor().double(), 0.0, 0.0
        for step in range(1, steps + 1):
            gradient = torch.randn(weight.shape, generator=generator)
            parameter.grad = torch.zeros_like(parameter)
            parameter.grad.to_local().copy_(gradient)
            engine.optimiser.step()
            engine.optimiser.zero_grad()
            first = 0.9 * first + 0.1 * gradient.double()
            second = 0.999 * second + 0.001 * gradient.double().square()
            scale = (second / (1 - 0.999**step)).sqrt() + 1e-8
            weight = weight - 1e-3 * first / (1 - 0.9**step) / scale
        torch.testing.assert_close(parameter.full_tensor().double(), weight, rtol=1e-6, atol=1e-7)
        assert engine.optimiser.state[parameter]["step"] == steps


ALLOCATORS = [
    ({}, "expandable_segments:True"),
    ({"PYTORCH_ALLOC_CONF": "max_split_size_mb:64"}, "max_split_size_mb:64"),
    ({"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64"}, "max_split_size_mb:64"),
]


@pytest.mark.parametrize(("variables", "expected"), ALLOCATORS)
def test_settings_of_the_allocator(variables, expected, monkeypatch, tmp_path):
    """As torch itself has read them, in a process that is forked before it reads any."""
    for name in [name for name in os.environ if "ALLOC_CONF" in name]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if (child := os.fork()) == 0:
        sys.modules.pop("scripts.train_cycle_fsdp", None)
        import scripts.train_cycle_fsdp  # noqa: F401

        (tmp_path / "settings").write_text(torch._C._accelerator_getAllocatorSettings())
        os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / "settings").read_text() == expected


# Groups of one reward only


GRPO = training("grpo", settings={"clip": 0.2})
AT_ZERO = training(settings={"delta_v": 0.0})


@pytest.mark.parametrize(
    ("params", "group"),
    [
        (GRPO, hub.GROUP),
        (AT_ZERO, hub.GROUP),
        (TRAINING, None),
        (training(settings={"delta_v": 1e-9}), None),
        # Its penalty pulls where the advantage is 0, too.
        (training("asymre_kl", settings={"delta_v": 0.0, "beta": 0.1}), None),
        (training("asymre_kl", settings={"delta_v": 0.0, "beta": 0.0}), hub.GROUP),
        (
            training("asymre_tis", settings={"delta_v": 0.0, "truncation": 2.0}),
            hub.GROUP,
        ),
        (training("topr", settings={}), None),
        # Wrong answers alone have no advantage.
        (training("positives_only", settings={}), None),
    ],
)
def test_which_objectives_skip_groups(params, group):
    assert group_to_skip(params) == group


def rollouts_with(groups):
    """Two steps of each mix of groups; equal: whether a group has one reward only."""
    rows = len(groups) * hub.GROUP
    mixed = torch.tensor([1.0, -1.0, -1.0, 1.0])
    reward = torch.cat([torch.full((hub.GROUP,), equal) if equal else mixed for equal in groups])
    return dataclasses.replace(hub.ragged_rollouts(rows), reward=reward)


# A step has two groups: some, none and all of them equal, and again, where moments are no longer 0.
MIXES = [1.0, 0, 0, 0, 1.0, -1.0, 0, -1.0, -1.0, -1.0, 0, 0]


@pytest.mark.parametrize(
    ("params", "processes"),
    [(GRPO, 1), (AT_ZERO, 1), *(pytest.param(p, 2, marks=pytest.mark.slow) for p in (GRPO, AT_ZERO))],
    ids=["grpo-1", "asymre at 0-1", "grpo-2", "asymre at 0-2"],
)
def test_equal_groups_need_no_gradient(one_policy, params, processes):
    def train(group):
        arguments = (one_policy, params, rollouts_with(MIXES))
        settings = {"skip_equal_groups_of": group}
        if processes == 1:
            return hub.cycle(*arguments, settings)
        return run_processes(processes, hub.cycle, *arguments, settings)

    (metrics, weights), (expected, others) = train(hub.GROUP), train(None)
    assert len(metrics) == len(MIXES) // 2
    for ours, theirs in zip(metrics, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-6, nan_ok=True)
    for name, weight in weights.items():
        torch.testing.assert_close(*map(torch.from_numpy, (weight, others[name])), rtol=1e-6, atol=1e-6)
    assert metrics[2]["gradient_norm"] == 0


def test_equal_groups_run_no_backward_pass(one_policy, monkeypatch):
    """Half the rows of the batch, in parts of their own behind the others."""
    rollouts, rows = rollouts_with([1.0, 0]), torch.arange(hub.BATCH)
    engine = hub.make_engine(one_policy, skip_equal_groups_of=hub.GROUP)
    parts = engine.micro_batches(rollouts, rows)
    with_gradient = [engine.log_probs(rollouts, part)[0].requires_grad for part in parts]
    assert with_gradient == sorted(with_gradient, reverse=True)
    assert sorted(torch.cat(parts).tolist()) == rows.tolist()
    skipped = torch.cat([part for part, own in zip(parts, with_gradient, strict=True) if not own])
    assert sorted(skipped.tolist()) == list(range(hub.GROUP))


@pytest.mark.slow
def test_fewer_equal_rows_than_processes(one_policy):
    """Processes without rows run with gradients, so all do."""
    rollouts = rollouts_with([1.0, 0])
    arguments = (one_policy, GRPO, rollouts)
    settings = {"skip_equal_groups_of": hub.GROUP, "tokens_per_micro_batch": 1}
    metrics, _ = run_processes(3, hub.cycle, *arguments, settings)
    assert_metrics_close(metrics, hub.cycle(*arguments, settings | {"skip_equal_groups_of": None})[0])


# Log-probabilities of the behaviour policy, computed again


@pytest.fixture
def a_cycle(one_policy, tmp_path):
    """What a job that trains a cycle of two steps gets; the log-probabilities in its rollouts are made up."""
    rollouts = rollouts_with([0, 0, 0, 1.0])
    spec = FsdpTrainingSpec(
        dataclasses.replace(GRPO, learning_rate=1e-2, until=2), dtype="float32", recompute_log_probs=True
    )
    inputs = {
        "base_policy": one_policy,
        "problems": tmp_path / "problems",
        "rollouts_0": tmp_path / "rollouts",
    }
    inputs["problems"].mkdir()
    pq.write_table(pa.table({"problem": ["?"] * 4}), inputs["problems"] / "train.parquet")
    settings = {
        name: hub.SETTINGS[name] for name in ("tokens_per_micro_batch", "chunk", "checkpoint_activations")
    }

    def train(processes=1, log_probs=rollouts.log_probs, **changes):
        inputs["rollouts_0"].mkdir(exist_ok=True)
        rows = len(rollouts.reward)
        words = {"verdicts": ["right"] * rows, "truncated": [False] * rows, "texts": [""] * rows}
        changed = dataclasses.replace(rollouts, log_probs=log_probs)
        write_rollouts(inputs["rollouts_0"] / "rollouts.parquet", changed, hub.GROUP, **words)
        out = tmp_path / f"out_{len(list(tmp_path.glob('out_*')))}"
        own = dataclasses.replace(spec, **changes)
        arguments = (own, inputs, None, out, settings, job.reading, hub.no_progress)
        if processes == 1:
            return train_process(*arguments)
        return run_processes(processes, train_process, *arguments)

    return train


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_log_probs_computed_again_replace_the_samplers(a_cycle, capfd, processes):
    made_up = hub.ragged_rollouts(4 * hub.GROUP).log_probs
    metrics, tampered = a_cycle(processes), a_cycle(processes, made_up * 3)
    assert [as_bits(m) for m in metrics] == [as_bits(m) for m in tampered]
    first, second = metrics
    assert first["ratio_max"] == first["ratio_mean"] == pytest.approx(1, abs=1e-6)
    assert first["kl_behaviour"] == pytest.approx(0, abs=1e-6)
    assert second["ratio_max"] > 1.001
    if processes == 1:
        said = [line for line in capfd.readouterr().out.splitlines() if "computed again" in line]
        assert len(said) == 2 and said[0] != said[1]


def test_log_probs_of_the_sampler_otherwise(a_cycle, capfd):
    assert a_cycle(recompute_log_probs=False)[0]["ratio_max"] != pytest.approx(1, abs=0.01)
    assert "computed again" not in capfd.readouterr().out


# Micro-batches


@settings(deadline=None, max_examples=300)
@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 200), st.integers(1, 8))
def test_micro_batches(lengths, budget, processes):
    shares = micro_batches.split(lengths, budget, processes)
    assert shares == micro_batches.split(lengths, budget, processes)
    assert len(shares) == processes and len({len(share) for share in shares}) == 1
    parts = [part for share in shares for part in share]
    assert sorted(row for part in parts for row in part) == list(range(len(lengths)))
    for part in parts:
        assert len(part) <= 1 or len(part) * max(lengths[row] for row in part) <= budget
    # No process is without rows while another has micro-batches of several.
    assert all(parts) or all(len(part) <= 1 for part in parts)
    # Sorted by length: the ranges of any two parts overlap at their ends alone.
    ranges = sorted((min(own), max(own)) for part in parts if (own := [lengths[r] for r in part]))
    assert all(high <= low for (_, high), (low, _) in zip(ranges, ranges[1:], strict=False))


def test_little_is_padding():
    """Tokens computed for ragged rows: at least 1.5 times fewer than with padding to the maximum."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.empty(128).log_normal_(5.5, 0.7, generator=generator).clamp(20, 2048).long().tolist()
    for processes in (1, 2, 4):
        shares = micro_batches.split(lengths, 8192, processes)
        computed = sum(len(p) * max(lengths[r] for r in p) for share in shares for p in share)
        assert computed < 1.35 * sum(lengths) and computed < 128 * max(lengths) / 1.5
        slots = zip(*shares, strict=True)
        waiting = sum(max(len(p) * max(lengths[r] for r in p) for p in slot) for slot in slots)
        assert processes * waiting < 1.6 * sum(lengths)


# Several processes


@pytest.fixture(scope="module")
def alone(one_policy, tmp_path_factory):
    """Metrics of an uninterrupted run in one process, and the folder of its results."""
    out = tmp_path_factory.mktemp("alone")
    return hub.train(one_policy, 0, hub.STEPS, out=out), out


@pytest.fixture(scope="module")
def pair(one_policy, tmp_path_factory):
    """The same on two processes."""
    out = tmp_path_factory.mktemp("pair")
    return run_processes(2, hub.train, one_policy, 0, hub.STEPS, None, out), out


@pytest.fixture(scope="module")
def half(one_policy, tmp_path_factory):
    """Half of it on two processes, killed while the second half runs."""
    out = tmp_path_factory.mktemp("half")
    with pytest.raises(RuntimeError, match="exit code -9"):
        run_processes(2, hub.train, one_policy, 0, HALF, None, out, True)
    return out


def test_results_do_not_depend_on_the_number_of_processes(alone, pair):
    assert len(pair[0]) == hub.STEPS
    assert_metrics_close(pair[0], alone[0])
    ours, theirs = (load_file(out / "float32" / "model.safetensors") for _, out in (alone, pair))
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_results_on_four_processes(one_policy, alone):
    four = run_processes(4, hub.train, one_policy, 0, hub.STEPS)
    assert len(four) == hub.STEPS
    assert_metrics_close(four, alone[0])


def test_a_killed_run_goes_on_bit_for_bit(pair, half, tmp_path):
    arguments = (half / "bfloat16", HALF, hub.STEPS, half / "state", tmp_path)
    second = run_processes(2, hub.train, *arguments)
    assert [as_bits(m) for m in second] == [as_bits(m) for m in pair[0][HALF:]]
    for dtype in ("bfloat16", "float32"):
        for file in (pair[1] / dtype).iterdir():
            assert file.read_bytes() == (tmp_path / dtype / file.name).read_bytes(), file.name


def as_bits(metrics):
    return {name: float(value).hex() for name, value in metrics.items()}


def test_state_goes_on_with_another_number_of_processes(one_policy, alone, half):
    second = hub.train(one_policy, HALF, hub.STEPS, half / "state")
    assert_metrics_close(second, alone[0][HALF:])


@pytest.mark.slow
def test_fewer_rows_than_processes(one_policy):
    results = run_processes(2, hub.one_row, one_policy)
    assert results == pytest.approx(hub.one_row(one_policy), rel=1e-5)


# State and policy folders


@pytest.mark.parametrize("other", [{"family": "qwen2"}, {"key_value_heads": 4}, {"tie_embeddings": False}])
def test_state_of_another_model_is_refused(one_policy, make_weights, tmp_path, other):
    save_policy(tmp_path / "policy", tiny(**other), make_weights(tiny(**other)))
    save_state(hub.make_engine(one_policy), tmp_path / "state")
    with pytest.raises(ValueError, match="of another model"):
        hub.make_engine(tmp_path / "policy", tmp_path / "state")


def test_damaged_state_is_refused(one_policy, tmp_path):
    with pytest.raises(ValueError, match="damaged"):
        hub.make_engine(one_policy, tmp_path / "nothing")
    save_state(hub.make_engine(one_policy), tmp_path / "state")
    file = next((tmp_path / "state").glob("*.distcp"))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged"):
        hub.make_engine(one_policy, tmp_path / "state")


def test_a_state_needs_no_weights_of_the_base_policy(one_policy, half, tmp_path):
    copied(one_policy, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    engine, other = (hub.make_engine(folder, half / "state") for folder in (tmp_path, one_policy))
    assert all(state["step"] == HALF for state in engine.optimiser.state.values())
    for ours, theirs in zip(engine.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(ours.full_tensor(), theirs.full_tensor())
    write_policy(engine, tmp_path / "out", tmp_path, "float32")
    written, expected = (load_file(f / "model.safetensors") for f in (tmp_path / "out", half / "float32"))
    assert written.keys() == expected.keys()
    assert all(torch.equal(weight, expected[name]) for name, weight in written.items())


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_written_policy(policy, tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(state, "MAX_FILE_SIZE", 5_000)
    (policy / "chat_template.jinja").write_text("{{ messages }}")
    (policy / "notes.txt").write_text("not the tokenizer's")
    configuration = json.loads((policy / "config.json").read_text())
    del configuration["dtype"]
    (policy / "config.json").write_text(json.dumps(configuration | {"torch_dtype": "float16"}))
    out = tmp_path / "out"
    write_policy(hub.make_engine(policy), out, policy, dtype)
    assert json.loads((out / "config.json").read_text()) == configuration | {"dtype": dtype}
    assert (out / "chat_template.jinja").exists() and not (out / "notes.txt").exists()
    index = json.loads((out / "model.safetensors.index.json").read_text())["weight_map"]
    assert len(set(index.values())) > 1
    written = {n: w for file in sorted(set(index.values())) for n, w in load_file(out / file).items()}
    original = load_file(policy / "model.safetensors")
    assert set(index) == set(written) == set(original)
    for name, weight in original.items():
        assert torch.equal(written[name], weight.to(getattr(torch, dtype))), name
    load_model(out)


# Loading


def copied(source, target):
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def in_two_files(folder):
    """As the hub has large models, with a second copy of the weights under a name that no one reads."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    parts = {f"model-{i}.safetensors": list(weights)[i::2] for i in range(2)}
    for file, names in parts.items():
        save_file({name: weights[name] for name in names}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, names in parts.items() for name in names}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def in_bfloat16(folder):
    edit_weights(folder, lambda w: w.update({name: weight.bfloat16() for name, weight in w.items()}))


def with_scaled_positions(folder):
    scaling = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0}
    scaling |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 16}
    edit_configuration(folder, rope_parameters=scaling, max_position_embeddings=128)


@pytest.mark.parametrize("change", [lambda f: None, in_two_files, in_bfloat16, with_scaled_positions])
def test_the_model_is_that_of_transformers(policy, change):
    """Weights, which of them are one, and buffers, bit for bit; for training and for scoring."""
    change(policy)
    expected = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32)
    weights = {name: p for name, p in expected.named_parameters(remove_duplicate=False)}
    buffers = dict(expected.named_buffers())
    for model in (load_model(policy), hub.make_engine(policy).model):
        ours = dict(model.named_parameters(remove_duplicate=False))
        assert ours.keys() == weights.keys()
        tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
        assert tied == expected.config.tie_word_embeddings
        for name, weight in ours.items():
            whole = weight.full_tensor() if hasattr(weight, "full_tensor") else weight
            assert whole.dtype == torch.float32 and torch.equal(whole, weights[name]), name
        assert dict(model.named_buffers()).keys() == buffers.keys() != set()
        for name, buffer in model.named_buffers():
            assert buffer.dtype == torch.float32 and torch.equal(buffer, buffers[name]), name
        assert (
            not model.training and model.config._attn_implementation == expected.config._attn_implementation
        )


@pytest.mark.slow
@pytest.mark.parametrize("processes", [4, 2])
def test_each_process_reads_its_own_rows_alone(make_weights, tmp_path, processes):
    """Of both families, tied and not, with fewer rows than processes."""
    architectures = [
        tiny("llama", 2, False),
        tiny("qwen2", 1, True),
        dataclasses.replace(tiny(), intermediate_size=5),
    ]
    folders = [tmp_path / str(i) for i in range(len(architectures))]
    for folder, architecture in zip(folders, architectures, strict=True):
        save_policy(folder, architecture, make_weights(architecture))
    found = run_processes(processes, hub.loaded_weights, folders)
    for folder, architecture, (weights, read) in zip(folders, architectures, found, strict=True):
        expected = dict(load_model(folder).named_parameters())
        assert weights.keys() == expected.keys()
        for name, weight in weights.items():
            assert torch.equal(torch.from_numpy(weight), expected[name]), name
        assert read == architecture.parameter_count()


@pytest.mark.parametrize(
    "edit",
    [
        lambda w: w.update({"lm_head.weight": w["model.embed_tokens.weight"].clone()}),
        lambda w: w.update({"lm_head.weight": w.pop("model.embed_tokens.weight")}),
        lambda w: w.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(2)}),
    ],
    ids=["both embeddings, equal", "the other of them", "frequencies of an old file"],
)
def test_files_of_other_forms(one_policy, tmp_path, edit):
    expected = dict(load_model(one_policy).named_parameters())
    edit_weights(copied(one_policy, tmp_path), edit)
    engine = hub.make_engine(tmp_path)
    assert engine.model.get_input_embeddings().weight is engine.model.get_output_embeddings().weight
    for name, weight in engine.model.named_parameters():
        assert torch.equal(weight.full_tensor(), expected[name]), name


# Bad folders


def edit_configuration(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_weights(folder, edit):
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    "damage,message",
    [
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "model.safetensors").unlink(), "no weights"),
        (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer"),
        (lambda f: (f / "model.safetensors").write_bytes(b"abc"), "cannot be loaded"),
        (lambda f: os.truncate(f / "model.safetensors", 5_000), "cannot be loaded"),
        (lambda f: (f / "model.safetensors").rename(f / "other.safetensors"), "cannot be loaded"),
        (lambda f: in_two_files(f) or (f / "model-1.safetensors").unlink(), "cannot be loaded"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be loaded"),
        (lambda f: edit_configuration(f, model_type="no_such_model"), "cannot be loaded"),
        (lambda f: edit_configuration(f, model_type="gpt_neox"), "gpt_neox are not supported"),
        (lambda f: edit_configuration(f, model_type="qwen2"), "lacks model.layers.0.self_attn.k_proj.bias"),
        (lambda f: edit_configuration(f, num_hidden_layers=1), "has the foreign model.layers.1"),
        (lambda f: edit_configuration(f, num_hidden_layers=3), "lacks model.layers.2"),
        (lambda f: edit_configuration(f, hidden_size=32), "has other shapes for"),
        (lambda f: edit_configuration(f, vocab_size=16), "has other shapes for"),
        (lambda f: edit_configuration(f, tie_word_embeddings=False), "lacks lm_head.weight"),
        (lambda f: edit_weights(f, lambda w: w.pop("model.norm.weight")), "lacks model.norm.weight"),
        (lambda f: edit_weights(f, lambda w: w["model.norm.weight"].fill_(torch.inf)), "not finite"),
        (
            lambda f: edit_weights(f, lambda w: w.update({"lm_head.weight": torch.ones(15, 16)})),
            "two embeddings",
        ),
    ],
)
def test_bad_folders_are_refused(one_policy, tmp_path, damage, message):
    damage(copied(one_policy, tmp_path))
    for load in (load_model, hub.make_engine):
        with pytest.raises(ValueError, match=message):
            load(tmp_path)


def test_weights_are_loaded_in_the_type_of_the_computation_and_positions_stay_exact(one_policy):
    exact, rounded = load_model(one_policy), load_model(one_policy, torch.bfloat16)
    assert {p.dtype for p in rounded.parameters()} == {torch.bfloat16}
    buffers = dict(exact.named_buffers())
    assert any("inv_freq" in name for name in buffers)
    for name, buffer in rounded.named_buffers():
        torch.testing.assert_close(buffer, buffers[name], rtol=0, atol=0)
    # What casting the loaded model does.
    cast = load_model(one_policy).to(torch.bfloat16)
    assert any(b.dtype != torch.float32 for name, b in cast.named_buffers() if "inv_freq" in name)


# Launching


def test_a_value_error_arrives_with_its_text():
    with pytest.raises(ValueError, match="^the key is wrong; set it$"):
        run_processes(2, hub.fail_on_the_last, ValueError("the key is wrong; set it"))


@pytest.mark.slow
def test_another_error_arrives_once(capfd):
    with pytest.raises(RuntimeError, match="training process 1: KeyError: 'weights'"):
        run_processes(2, hub.fail_on_the_last, KeyError("weights"))
    assert capfd.readouterr().err.count("Traceback") == 1


def test_a_killed_process_hangs_no_other():
    started = time.monotonic()
    with pytest.raises(RuntimeError, match="exit code -9"):
        run_processes(2, hub.fail_on_the_last, None)
    assert time.monotonic() - started < 60


def test_more_processes_than_gpus(monkeypatch):
    monkeypatch.setattr(launch.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(launch.torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="2 training processes, but 1 GPUs"):
        run_processes(2, hub.rank_sum)


# Imports no more than it needs: transformers takes seconds.
WAITING = """
import os, signal, sys
from pathlib import Path
import torch.distributed as dist
from asymre.engines.fsdp_vllm.launch import run_processes

def wait_for_ever(folder):
    (folder / f"{os.getpid()}.pid").touch()
    dist.barrier()
    signal.pause()

if __name__ == "__main__":
    run_processes(2, wait_for_ever, Path(sys.argv[1]))
"""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_all_and_jobs_do_not_meet(ending, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(WAITING)
    with subprocess.Popen([sys.executable, script, tmp_path], stderr=subprocess.DEVNULL) as parent:
        deadline = time.monotonic() + 90
        while len(pids := list(tmp_path.glob("*.pid"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(pids) == 2
        assert run_processes(2, hub.rank_sum) == 3
        # The fork server, too.
        children = psutil.Process(parent.pid).children(recursive=True)
        assert {int(pid.stem) for pid in pids} < {child.pid for child in children}
        parent.send_signal(ending)
        assert parent.wait(60) != 0
    _, left = psutil.wait_procs(children, timeout=30)
    assert not left
