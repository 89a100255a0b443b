"""Evaluation of a snapshot in this process.

Shapes: P problems, S samples per problem, R = P * S rows, T tokens.
"""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from asymre.architecture import Architecture
from asymre.engines.local.decoder import Weights
from asymre.engines.local.rollouts import problem_arrays, verify
from asymre.engines.local.sampling import sample
from asymre.engines.local.tokenizer import CHARACTERS, Tokenizer, generated_mask
from asymre.metrics.evaluation import measure
from asymre.seeding import torch_stream
from asymre.specs import EvaluationSpec
from asymre.tasks import Task, load

NUMBER = re.compile(r"\s*[+-]?\d+(\.\d+)?\s*", re.ASCII)


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
    tokenizer: Tokenizer = CHARACTERS,
) -> dict[str, Any]:
    """Sample `samples` completions of each problem and measure them (`asymre.metrics.evaluation`)."""
    prompts_PL, answers_P = problem_arrays(problems, tokenizer)
    completions = sample(
        weights,
        architecture,
        prompts_PL,
        group_size=samples,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        generator=torch_stream("evaluation", *stream),
        ends=tokenizer.ends,
    )
    tokens_RT = completions.tokens_RT
    mask_RT = generated_mask(tokens_RT, tokenizer.ends)
    texts, ended_R = tokenizer.texts(tokens_RT), torch.isin(tokens_RT, tokenizer.ends).any(1)
    finals = np.array([task.final_answer(text) for text in texts])
    return measure(
        correct_PS=verify(task, tokens_RT, answers_P.repeat(samples), tokenizer).view(-1, samples).numpy(),
        answers_PS=finals.reshape(-1, samples),
        texts_PS=np.array(texts).reshape(-1, samples),
        entropy=completions.entropy_RT[mask_RT].mean().item(),
        length=mask_RT.sum(1).float().mean().item(),
        truncated=(~ended_R).double().mean().item(),
        differences_PS=finals_as_numbers(finals).reshape(-1, samples) - answers_P[:, None],
    )


def finals_as_numbers(finals: np.ndarray) -> np.ndarray:
    """Return final answers as numbers, NaN for those that are none."""
    return np.array([float(final) if NUMBER.fullmatch(final) else np.nan for final in finals])


def evaluate_snapshot(
    weights: Weights,
    architecture: Architecture,
    train_problems: pa.Table,
    test_problems: pa.Table,
    spec: EvaluationSpec,
    step: int,
    tokenizer: Tokenizer = CHARACTERS,
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
            tokenizer=tokenizer,
        )
        rows.append({"step": step, "split": split, "temperature": temperature, "top_p": top_p} | measured)
    return rows
