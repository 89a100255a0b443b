"""Completions from vLLM: a policy folder and requests in, tokens and log-probabilities out.

Each call runs a new engine in a child process: on a CPU vLLM cannot load new weights, and on a GPU only the
end of a process frees all memory. The calling process must not use CUDA.
"""

import contextlib
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from asymre.engines.fsdp_vllm.parent import die_with_parent

_CACHE = Path(".snakemake/vllm").resolve()
# vLLM reads its environment on import.
os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine runs in our child process
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    # FlashInfer's sampler is compiled at every start, with nvcc and ninja, which few nodes have.
    "VLLM_USE_FLASHINFER_SAMPLER": os.environ.get("VLLM_USE_FLASHINFER_SAMPLER", "0"),
    "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "WARNING"),
    # For CPUs only: GB of keys and values, and no thread bound to a core that other jobs use.
    "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1"),
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # Compiled code belongs in Snakemake's folder, not in the home, which may be small and slow.
    "VLLM_CACHE_ROOT": os.environ.get("VLLM_CACHE_ROOT", str(_CACHE / "vllm")),
    "TRITON_CACHE_DIR": os.environ.get("TRITON_CACHE_DIR", str(_CACHE / "triton")),
}
try:
    import vllm  # pyright: ignore[reportMissingImports]
except ModuleNotFoundError as error:
    message = f"{error} in {sys.prefix}: run make setup-vllm"
    raise ImportError(message, name=error.name) from None

LENGTH_STEP = 512
# For speed and memory. They change only the rounding of a result, through the batch that a request is in.
ENGINE_OPTIONS = {
    "gpu_memory_utilization": 0.9,
    "max_num_seqs": 256,
    "max_num_batched_tokens": 8192,
    "enforce_eager": 0,
}


@dataclass(frozen=True)
class Request:
    """One completion of one prompt, with its own random seed."""

    prompt: list[int]
    temperature: float
    top_p: float
    seed: int


@dataclass(frozen=True)
class Completion:
    tokens: list[int]  # the end token included, if there was one
    log_probs: list[float]  # of each token under the policy at temperature 1
    truncated: bool  # no end token within the allowed length


def generate(
    policy: Path,
    requests: list[Request],
    *,
    max_new_tokens: int,
    dtype: str,
    ends: list[int],
    device: str,
    engine_options: dict[str, float] = ENGINE_OPTIONS,
) -> list[Completion]:
    """Return the completions of the requests, in order. RuntimeError if vLLM fails.

    ends: the tokens that end a completion. device: cuda or cpu.
    """
    return in_child(
        _generate, policy.resolve(), requests, max_new_tokens, dtype, ends, device, engine_options
    )


def in_child(function: Callable, *arguments: Any) -> Any:
    """Run `function(*arguments)` in a forked process and return the result. Errors become RuntimeError."""
    if torch.cuda.is_initialized():
        raise RuntimeError("CUDA is in use in this process: a forked one could not use it")
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_answer, args=(sender, function, arguments))
    child.start()
    sender.close()
    try:
        result, error = receiver.recv()
    except EOFError:
        child.join()
        raise RuntimeError(f"the process of {function.__name__} died (exit code {child.exitcode})") from None
    child.join()
    if error:
        raise RuntimeError(error)
    return result


def _answer(sender, function, arguments) -> None:
    die_with_parent()
    try:
        sender.send((function(*arguments), None))
    except Exception as error:
        sender.send((None, f"{type(error).__name__}: {error}"))
    sender.close()
    # Ends everything that the engine left running.
    os._exit(0)


def _generate(policy, requests, max_new_tokens, dtype, ends, device, engine_options) -> list[Completion]:
    length = model_length(policy, max(len(r.prompt) for r in requests) + max_new_tokens)
    options = engine_options | {"enforce_eager": bool(engine_options["enforce_eager"])}
    if device == "cpu":
        # A chunked prompt would need a random offset, which the CPU's generator does not support.
        options |= {"enforce_eager": True, "enable_chunked_prefill": False}
    engine = _engine(policy, dtype=dtype, max_model_len=length, **options)
    settings = [
        vllm.SamplingParams(
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            max_tokens=max_new_tokens,
            logprobs=0,  # of the chosen token only, before temperature and top-p
            stop_token_ids=ends,
            detokenize=False,
        )
        for request in requests
    ]
    prompts = [{"prompt_token_ids": request.prompt} for request in requests]
    outputs = [o.outputs[0] for o in engine.generate(prompts, settings, use_tqdm=True)]
    return [
        Completion(
            tokens=list(output.token_ids),
            log_probs=[p[t].logprob for t, p in zip(output.token_ids, output.logprobs, strict=True)],
            truncated=output.finish_reason == "length",
        )
        for output in outputs
    ]


def _engine(policy: Path, **options):
    # vLLM caches compiled code under a hash that includes the model's path: use one path for all policies.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("policy").symlink_to(policy)
        return vllm.LLM(
            model="policy",
            skip_tokenizer_init=True,
            # Ignore the folder's own defaults (Qwen's repetition penalty): they are not the paper's sampling.
            generation_config="vllm",
            seed=0,
            **options,
        )


def model_length(policy: Path, needed: int) -> int:
    """Return how many tokens the engine must hold, in coarse steps: each new length is compiled again."""
    limit = json.loads((policy / "config.json").read_text(encoding="utf-8")).get(
        "max_position_embeddings", needed
    )
    return max(needed, min(-(-needed // LENGTH_STEP) * LENGTH_STEP, limit))
