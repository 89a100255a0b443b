"""What has to be true on a GPU, as functions of shapes and devices: a CPU runs them too, with a tiny policy.

Training runs where `run_processes` puts it: on GPUs if torch sees any. R rollouts, b rows of a micro-batch.
"""

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from safetensors.torch import save_file

from asymre.architecture import Architecture
from asymre.engines.fsdp_vllm.launch import run_processes
from asymre.engines.local.decoder import initial_weights
from asymre.engines.local.policy import save_policy
from asymre.engines.local.tokenizer import VOCABULARY_SIZE
from asymre.training.loop import train_cycle
from asymre.training.rollouts import Rollouts, from_lists
from asymre.training.snapshots import snapshot_folder
from paper.configuration import reading
from tests.fsdp_processes import make_engine
from tests.helpers import ROOT, SNAKEMAKE
from tests.specs import ROLLOUTS, training
from tools.measured_costs import Measured
from workflow import plan as planning
from workflow.costs import training_memory

VLLM = ROOT / ".venv-vllm/bin/python"
# The shape of Qwen2.5-0.5B, and one for a CPU.
HALF_A_BILLION = Architecture(
    family="qwen2",
    hidden_size=896,
    intermediate_size=4864,
    layers=24,
    heads=14,
    key_value_heads=2,
    vocabulary_size=151_936,
    tie_embeddings=True,
)
TINY = Architecture(
    family="qwen2",
    hidden_size=64,
    intermediate_size=96,
    layers=2,
    heads=2,
    key_value_heads=1,
    vocabulary_size=VOCABULARY_SIZE,
    tie_embeddings=True,
)
GROUP = 8
# Nats a token, on average, between vLLM and the trainer. bfloat16 rounds the hidden state after each layer,
# and the logits: 0.031 on a CPU with half a billion parameters. In float32 vLLM's attention is Triton's,
# whose products are those of TF32, which has 10 bits.
LARGEST_DIFFERENCE = {"bfloat16": 0.05, "float32": 0.01}
# Of the largest value along a run: sums in another order, and in attention's backward pass in any order.
TOLERANCE = {"bfloat16": 0.02, "float32": 1e-4}


@dataclass(frozen=True)
class Sizes:
    """What a run of training asks for beside the policy: of a configuration's `fsdp_vllm` and `algorithm`."""

    dtype: str
    tokens_per_micro_batch: int
    tokens_per_chunk: int
    activation_checkpointing: bool
    prompts_per_step: int
    prompt: int  # tokens
    completion: int  # tokens, at the most

    @property
    def batch(self) -> int:
        return self.prompts_per_step * GROUP


def make_policy(folder: Path, architecture: Architecture, dtype: str) -> Path:
    """Random weights whose next-token distributions are those of no uniform draw: logits of deviation 2."""
    weights = initial_weights(architecture, torch.Generator().manual_seed(0))
    weights["model.norm.weight"] *= 2
    save_policy(folder, architecture, weights)
    if dtype != "float32":
        rounded = {name: weight.to(getattr(torch, dtype)) for name, weight in weights.items()}
        save_file(rounded, folder / "model.safetensors", metadata={"format": "pt"})
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps(content | {"dtype": dtype}), encoding="utf-8")
    return folder


# --- vLLM ----------------------------------------------------------------------------------------


def sample(
    policy: Path, folder: Path, *, dtype: str, device: str, prompts: list[list[int]], new: int, keep: int
) -> dict[str, Any]:
    """GROUP completions by vLLM of each prompt, in a process of its own, as a job has it.

    Returns `seconds` of the whole process, `sampling`, those without its start, `tokens` that were sampled,
    and the first `keep` `completions`.
    """
    asked = {"policy": str(policy), "dtype": dtype, "device": device, "new": new, "keep": keep}
    (folder / "asked.json").write_text(json.dumps(asked | {"prompts": prompts, "group": GROUP}))
    command = [VLLM, ROOT / "tests/gpu/vllm_probe.py", folder / "asked.json", folder / "answer.json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    seconds = time.monotonic() - started
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "answer.json").read_text()) | {"seconds": seconds}


def made_up_prompts(count: int, length: int, vocabulary_size: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(vocabulary_size, (count, length), generator=generator).tolist()


def differences(policy: Path, completions: list[dict[str, Any]], dtype: str) -> dict[str, float]:
    """How far the trainer's log-probabilities are from those that came with the completions, in nats."""
    return run_processes(1, _differences, policy, completions, dtype)


@torch.no_grad()
def _differences(policy: Path, completions: list[dict[str, Any]], dtype: str) -> dict[str, float]:
    rollouts = from_lists(
        problem_id=torch.arange(len(completions)),
        prompts=[c["prompt"] for c in completions],
        tokens=[c["tokens"] for c in completions],
        log_probs=[c["log_probs"] for c in completions],
        reward=torch.zeros(len(completions)),
    )
    engine, rows_R = (
        make_engine(policy, dtype=dtype, tokens_per_micro_batch=4096, chunk=1024),
        torch.arange(len(completions)),
    )
    found = []
    for part in engine.micro_batches(rollouts, rows_R):
        log_probs_bT = engine.log_probs(rollouts, rows_R[part])[0].cpu()
        found.append((log_probs_bT - rollouts.log_probs[part])[rollouts.mask[part]].abs())
    all_N = torch.cat(found)
    sampled = rollouts.log_probs[rollouts.mask]
    return {"mean": all_N.mean().item(), "max": all_N.max().item(), "log_prob": sampled.mean().item()}


# --- training ------------------------------------------------------------------------------------


def made_up_rollouts(rows: int, sizes: Sizes, vocabulary_size: int) -> Rollouts:
    """Completions of all lengths from half of the largest on, with rewards of both kinds in each group."""
    generator = torch.Generator().manual_seed(0)

    def tokens(width: int) -> torch.Tensor:
        return torch.randint(vocabulary_size, (rows, width), generator=generator)

    lengths = torch.randint(sizes.completion // 2, sizes.completion + 1, (rows,), generator=generator)
    mask = torch.arange(sizes.completion) < lengths[:, None]
    return Rollouts(
        problem_id=torch.arange(rows) // GROUP,
        prompts=tokens(sizes.prompt),
        prompt_lengths=torch.full((rows,), sizes.prompt),
        tokens=tokens(sizes.completion),
        lengths=lengths,
        log_probs=torch.full((rows, sizes.completion), -8.0) * mask,
        reward=torch.arange(rows) % 2 * 2.0 - 1,
    )


def train(
    policy: Path, architecture: Architecture, sizes: Sizes, steps: int, processes: int = 1
) -> dict[str, Any]:
    """A few gradient steps of AsymRE in processes of their own.

    Returns `metrics` and `seconds` of each step, `tokens` (prompts and completions) of each, and of the first
    process's GPU: `peak`, the most bytes that tensors took, `gpu` (name) and `gpu_memory` in bytes; None on
    a CPU.
    """
    return run_processes(processes, _train, policy, architecture, sizes, steps)


def _train(policy: Path, architecture: Architecture, sizes: Sizes, steps: int) -> dict[str, Any]:
    sampled = replace(ROLLOUTS, prompts_per_step=sizes.prompts_per_step, group_size=GROUP)
    spec = training(normalisation="token_mean", N=steps, until=steps, rollouts=sampled)
    engine = make_engine(
        policy,
        learning_rate=1e-6,
        dtype=sizes.dtype,
        tokens_per_micro_batch=sizes.tokens_per_micro_batch,
        chunk=sizes.tokens_per_chunk,
        checkpoint_activations=sizes.activation_checkpointing,
    )
    on_gpu = engine.device.type == "cuda"
    rollouts = made_up_rollouts(steps * sizes.batch, sizes, architecture.vocabulary_size)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    metrics, seconds, before = [], [], time.monotonic()
    for row in train_cycle(engine, rollouts, spec, 0):
        # Each row has waited for its step.
        now = time.monotonic()
        metrics.append(row)
        seconds.append(now - before)
        before = now
    all_tokens = (rollouts.prompt_lengths + rollouts.lengths).view(steps, -1).sum(1)
    gpu = torch.cuda.get_device_properties(engine.device) if on_gpu else None
    return {
        "metrics": metrics,
        "seconds": seconds,
        "tokens": all_tokens.tolist(),
        "peak": torch.cuda.max_memory_allocated() if on_gpu else None,
        "gpu": gpu and gpu.name,
        "gpu_memory": gpu and gpu.total_memory,
    }


def tflops(architecture: Architecture, sizes: Sizes, trained: dict[str, Any], warm_up: int = 2) -> float:
    """1e12 operations a second after the first steps, counted as `make plan` counts them."""
    operations = (8 if sizes.activation_checkpointing else 6) * architecture.parameter_count()
    tokens, seconds = sum(trained["tokens"][warm_up:]), sum(trained["seconds"][warm_up:])
    return operations * tokens / seconds / 1e12


def planned_memory(architecture: Architecture, sizes: Sizes, processes: int = 1) -> float:
    """Bytes of a GPU in training as `make plan` counts them."""
    names = ("dtype", "tokens_per_micro_batch", "tokens_per_chunk", "activation_checkpointing")
    own = {name: getattr(sizes, name) for name in names} | {"processes": processes}
    c = reading.load(ROOT, {"scale": "gpu", "results": "mine", "fsdp_vllm": own})
    return training_memory(c, architecture).total


def relative(metrics: list[dict[str, float]], others: list[dict[str, float]]) -> dict[str, float]:
    """Of loss and gradient norm: the largest difference, in parts of the largest value."""
    found = {}
    for name in ("loss", "gradient_norm"):
        a, b = (np.array([row[name] for row in rows]) for rows in (metrics, others))
        found[name] = float(np.abs(a - b).max() / np.abs(b).max())
    return found


def measured(
    architecture: Architecture, sizes: Sizes, trained: dict[str, Any], sampled: dict[str, Any]
) -> Measured:
    """What `make plan` counts with, of what `train` and a long `sample` returned."""
    count = architecture.parameter_count()
    return Measured(
        gpu=trained["gpu"],
        parameters=count,
        gpu_memory_gb=round(trained["gpu_memory"] / 1e9, 1),
        generation_speed=sampled["tokens"] / sampled["sampling"] * count / 1e9,
        training_tflops=tflops(architecture, sizes, trained),
        start_minutes=(sampled["seconds"] - sampled["sampling"]) / 60,
    )


# --- a cycle that is killed ----------------------------------------------------------------------

RUN = {"model": "qwen-3b", "dataset": "math", "objective": "asymre", "delta_v": -0.1, "N": 250, "seeds": 0}
STEPS = 60
ONE_CYCLE = {
    "scale": "rehearsal",
    "results": "killed",
    "algorithm": {"prompts_per_step": 4, "group_size": GROUP},
    "pretraining": {"steps": 20},
    # So small that steps which differ in rounding lead to no other policy.
    "training": {
        "steps": STEPS,
        "N": {250: STEPS},
        "snapshot_every": STEPS // 2,
        "learning_rate": {"asymre": 1e-5},
    },
    "figures": {"figure_5": {"panels": [{"title": "t", "measure": "test_accuracy", "runs": [RUN]}]}},
}


def killed_and_not(project: Path, device: str, dtype: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Metrics of a cycle whose process was killed half way and that ran again, and of one left alone.

    project: a copy of the sources, with .venv-vllm. Snakemake makes everything, the sampling by vLLM too.
    """
    own = {"device": device, "dtype": dtype, "processes": 1, "shards": 1, "vllm": {"enforce_eager": True}}
    plan = planning.build(project, reading.load(project, ONE_CYCLE | {"fsdp_vllm": own}))
    (run,) = set(plan.figure_runs["figure_5"])
    (cycle,) = (part.path for part in plan.trainings[run].inputs.values())
    results, (kind, name) = project / "results/killed", cycle.split("/")
    (project / "cycle.yaml").write_text(yaml.safe_dump(ONE_CYCLE | {"fsdp_vllm": own}), encoding="utf-8")

    def start() -> subprocess.Popen:
        command = [*SNAKEMAKE, f"results/killed/{cycle}", "--configfile", "cycle.yaml", "--notemp"]
        return subprocess.Popen(
            command,
            cwd=project,
            env=os.environ | {"XDG_CACHE_HOME": str(project / ".cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(process: subprocess.Popen) -> pd.DataFrame:
        output = process.communicate(timeout=600)[0]
        assert process.returncode == 0, output
        return pd.read_parquet(results / cycle / "metrics.parquet")

    workflow = start()
    # The job's process is in the name of the folder that it writes; half way, it has left a snapshot there.
    half = f".{name}.*.partial/snapshots/{snapshot_folder(Path(), STEPS // 2)}"
    while not (found := list((results / kind).glob(half))) and workflow.poll() is None:
        time.sleep(0.01)
    assert found, workflow.communicate()[0]
    os.kill(int(found[0].parents[1].name.split(".")[-2]), signal.SIGKILL)
    output = workflow.communicate(timeout=600)[0]
    assert workflow.returncode != 0 and not (results / cycle).exists(), output
    again = finish(start())
    for folder in ("cycles", "policies", "state", "snapshots"):
        (results / folder / name).rename(results / f"{folder}_again")
    return again, finish(start())
