"""Evaluation of a snapshot in this process.

Shapes: P problems, S samples per problem, R = P * S rows, T tokens.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from asymre.architecture import Architecture
from asymre.engines.local.decoder import Weights
from asymre.engines.local.rollouts import problem_arrays, verify
from asymre.engines.local.sampling import generated_mask, sample
from asymre.engines.local.tokenizer import decode
from asymre.metrics.evaluation import measure
from asymre.seeding import torch_stream
from asymre.specs import EvaluationSpec
from asymre.tasks import END, Task, load


def evaluate(
    weights: Weights,
    architecture: Architecture,
    problems: pa.Table,
    task: type[Task],
    *,
    samples: int,
    temperature: float,
    top_p: float,
    max_new_tokens: int,
    stream: tuple[str | int, ...],
) -> dict[str, float]:
    """Sample `samples` completions of each problem and measure them (`asymre.metrics.evaluation`)."""
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
    )
    mask_RT = generated_mask(completions.tokens_RT)
    texts = decode(completions.tokens_RT.numpy())
    finals = np.array([task.final_answer(text) for text in texts])
    return measure(
        correct_PS=verify(task, completions.tokens_RT, answers_P.repeat(samples)).view(-1, samples).numpy(),
        answers_PS=finals.reshape(-1, samples),
        texts_PS=np.array(texts).reshape(-1, samples),
        entropy=completions.entropy_RT[mask_RT].mean().item(),
        length=mask_RT.sum(1).float().mean().item(),
        truncated=float(np.mean([not text.endswith(END) for text in texts])),
    )


def evaluate_snapshot(
    weights: Weights,
    architecture: Architecture,
    train_problems: pa.Table,
    test_problems: pa.Table,
    spec: EvaluationSpec,
    step: int,
) -> list[dict[str, Any]]:
    """Return a row for each of `EvaluationSpec.drawings`."""
    tables = {
        "test": test_problems.slice(0, spec.test_problems),
        "train": train_problems.slice(0, spec.train_problems),
    }
    rows = []
    for split, samples, temperature, top_p in spec.drawings():
        measured = evaluate(
            weights,
            architecture,
            tables[split],
            load(spec.verifier),
            samples=samples,
            temperature=temperature,
            top_p=top_p,
            max_new_tokens=spec.max_new_tokens,
            stream=(spec.seed, step, split, f"{temperature:g}"),
        )
        rows.append({"step": step, "split": split, "temperature": temperature, "top_p": top_p} | measured)
    return rows
