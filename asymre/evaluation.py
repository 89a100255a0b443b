"""What a snapshot can do: accuracy, pass@k, entropy, distinct answers and length on fixed problems.

Shapes: P problems, S samples a problem, R = P * S rows, T tokens.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from asymre.architecture import Architecture
from asymre.decoder import Weights
from asymre.rollouts import problem_arrays, verify
from asymre.sampling import generated_mask, sample
from asymre.streams import torch_stream
from asymre.tokenizer import decode


def evaluate(
    weights: Weights,
    architecture: Architecture,
    problems: pa.Table,
    *,
    samples: int,
    temperature: float,
    top_p: float,
    max_new_tokens: int,
    prompts_per_batch: int,
    stream: tuple[str | int, ...],
) -> dict[str, float]:
    """Sample `samples` completions of each problem and measure them.

    accuracy: share of right answers. pass_at_k for k = 1, 2, 4, ... samples. entropy: nats a token, mean
    over the generated tokens, of the whole next-token distribution at temperature 1. distinct_answers:
    different final answers a problem. length: tokens, the end included. truncated: share without an end.
    """
    prompts_PL, answers_P = problem_arrays(problems)
    completions = sample(
        weights,
        architecture,
        prompts_PL,
        group_size=samples,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        generator=torch_stream("evaluation", *stream),
        prompts_per_batch=prompts_per_batch,
    )
    mask_RT = generated_mask(completions.tokens_RT)
    correct_PS = verify(completions.tokens_RT, answers_P.repeat(samples)).view(-1, samples).numpy()
    texts = decode(completions.tokens_RT.numpy())
    finals = np.array([text.rstrip(".").rpartition(",")[2] for text in texts]).reshape(-1, samples)
    return {
        "accuracy": float(correct_PS.mean()),
        **{f"pass_at_{k}": pass_at_k(correct_PS, k) for k in _powers_of_two(samples)},
        "entropy": completions.entropy_RT[mask_RT].mean().item(),
        "distinct_answers": float(np.mean([len(set(row)) for row in finals])),
        "length": mask_RT.sum(1).float().mean().item(),
        "truncated": float(np.mean([not text.endswith(".") for text in texts])),
    }


def pass_at_k(correct_PS: np.ndarray, k: int) -> float:
    """Unbiased estimate of the chance that one of k samples is right (Chen et al. 2021, Eq. 1)."""
    samples = correct_PS.shape[1]
    wrong_P = samples - correct_PS.sum(1)
    # C(wrong, k) / C(samples, k) as a product: no large factorials.
    miss_P = np.prod([(wrong_P - i).clip(0) / (samples - i) for i in range(k)], axis=0)
    return float(np.mean(1 - miss_P))


def _powers_of_two(largest: int) -> list[int]:
    return [2**e for e in range(largest.bit_length()) if 2**e <= largest]


def evaluate_snapshot(
    weights: Weights,
    architecture: Architecture,
    train_problems: pa.Table,
    test_problems: pa.Table,
    params: dict[str, Any],
    step: int,
) -> list[dict[str, Any]]:
    """Rows: test problems as the paper samples them, test and training problems at temperature 1."""
    test = test_problems.slice(0, params["test_problems"])
    train = train_problems.slice(0, params["train_problems"])
    paper = params["test_sampling"]
    rows = []
    for split, problems, samples, temperature, top_p in (
        ("test", test, 1, paper["temperature"], paper["top_p"]),
        ("test", test, params["samples"], 1.0, 1.0),
        ("train", train, params["samples"], 1.0, 1.0),
    ):
        measured = evaluate(
            weights,
            architecture,
            problems,
            samples=samples,
            temperature=temperature,
            top_p=top_p,
            max_new_tokens=params["max_new_tokens"],
            prompts_per_batch=params["prompts_per_batch"],
            stream=(params["seed"], step, split, str(temperature)),
        )
        rows.append({"step": step, "split": split, "temperature": temperature, "top_p": top_p} | measured)
    return rows


def as_table(rows: list[dict[str, Any]]) -> pa.Table:
    """A table of rows; pass_at_k is null where fewer than k samples were drawn."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})
