"""Measures of a snapshot on fixed problems: accuracy, pass@k, entropy, distinct answers and length.

Shapes: P problems, S samples per problem, R = P * S rows.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from asymre.specs import EvaluationSpec


def measure(
    *,
    correct_PS: np.ndarray,
    answers_PS: np.ndarray,
    texts_PS: np.ndarray,
    entropy: float,
    length: float,
    truncated: float,
    differences_PS: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return the measures of one sampling.

    accuracy: share of correct answers. pass_at_k for k = 1, 2, 4, ... samples. entropy: nats per token, mean
    over the generated tokens, of the full next-token distribution at temperature 1. distinct_answers:
    different final answers per problem. distinct_correct: different correct completions per problem. length:
    tokens, including the end. truncated: share without an end. pass_rates: share of correct answers [P].
    differences: where answers are numbers, [R] of answer less right answer, NaN for no number.
    """
    samples = correct_PS.shape[1]
    numbers = {} if differences_PS is None else {"differences": differences_PS.flatten().tolist()}
    return {
        "accuracy": float(correct_PS.mean()),
        **{f"pass_at_{k}": pass_at_k(correct_PS, k) for k in _powers_of_two(samples)},
        "entropy": entropy,
        "distinct_answers": float(np.mean([len(set(row)) for row in answers_PS])),
        "distinct_correct": float(
            np.mean([len(set(row[right])) for row, right in zip(texts_PS, correct_PS, strict=True)])
        ),
        "length": length,
        "truncated": truncated,
        "pass_rates": correct_PS.mean(1).tolist(),
        **numbers,
    }


def diverged_rows(spec: EvaluationSpec, step: int) -> list[dict[str, Any]]:
    """Return the rows of a step after a run diverged: accuracy 0, and no other measure."""
    return [
        {"step": step, "split": split, "temperature": temperature, "top_p": top_p, "accuracy": 0.0}
        | {f"pass_at_{k}": 0.0 for k in _powers_of_two(samples)}
        for split, samples, temperature, top_p in spec.drawings()
    ]


def pass_at_k(correct_PS: np.ndarray, k: int) -> float:
    """Return the unbiased chance that one of k samples is correct (Chen et al. 2021, Eq. 1)."""
    samples = correct_PS.shape[1]
    wrong_P = samples - correct_PS.sum(1)
    # C(wrong, k) / C(samples, k) as a product: no large factorials.
    miss_P = np.prod([(wrong_P - i).clip(0) / (samples - i) for i in range(k)], axis=0)
    return float(np.mean(1 - miss_P))


def _powers_of_two(largest: int) -> list[int]:
    return [2**e for e in range(largest.bit_length()) if 2**e <= largest]


def as_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Return a table of rows, null where one lacks a measure: pass_at_k beyond its samples, divergence."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})
