"""Rollouts sampled in this process.

Shapes: N problems, P prompts, G samples per prompt, R = P * G rows, L prompt tokens, T new tokens.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from asymre.architecture import Architecture
from asymre.engines.local.decoder import Weights
from asymre.engines.local.sampling import generated_mask, sample
from asymre.engines.local.tokenizer import decode, encode
from asymre.seeding import torch_stream
from asymre.specs import RolloutSpec, TrainingSpec
from asymre.tasks import Task, load
from asymre.training.rollouts import Rollouts, problem_order


def sample_rollouts(
    weights: Weights,
    architecture: Architecture,
    problems: tuple[Tensor, np.ndarray],
    spec: RolloutSpec,
    *,
    seed: int,
    first_step: int,
    steps: int,
) -> Rollouts:
    """Sample the completions for the gradient steps `first_step` to `first_step + steps - 1` of a run.

    problems: all training problems, from `problem_arrays`.
    """
    prompts_NL, answers_N = problems
    per_step, group = spec.prompts_per_step, spec.group_size
    index = problem_order(
        seed=seed, first=first_step * per_step, count=steps * per_step, problems=len(answers_N)
    )
    completions = sample(
        weights,
        architecture,
        prompts_NL[torch.from_numpy(index)],
        group_size=group,
        max_new_tokens=spec.max_new_tokens,
        temperature=spec.sampling.temperature,
        top_p=spec.sampling.top_p,
        generator=torch_stream("rollouts", seed, first_step),
    )
    correct = verify(load(spec.verifier), completions.tokens_RT, answers_N[index].repeat(group))
    row_problems = torch.from_numpy(index.repeat(group))
    return Rollouts(
        problem_id=row_problems,
        prompts=prompts_NL[row_problems],
        prompt_lengths=torch.full_like(row_problems, prompts_NL.shape[1]),
        tokens=completions.tokens_RT,
        lengths=generated_mask(completions.tokens_RT).sum(1),
        log_probs=completions.log_probs_RT,
        reward=torch.where(correct, spec.rewards.correct, spec.rewards.wrong).float(),
    )


def sampler(
    policy: Callable[[], Weights], architecture: Architecture, problems: pa.Table, spec: TrainingSpec
) -> Callable[[int, int], Rollouts]:
    """Return the function with which `training.loop.train` refreshes its rollouts from the current policy."""
    arrays, seed = problem_arrays(problems), spec.seed
    assert seed is not None

    def sample(first_step: int, steps: int) -> Rollouts:
        return sample_rollouts(
            policy(), architecture, arrays, spec.rollouts, seed=seed, first_step=first_step, steps=steps
        )

    return sample


def problem_arrays(problems: pa.Table) -> tuple[Tensor, np.ndarray]:
    """Return prompt tokens [N, L] and answers [N]."""
    texts = problems["prompt"].to_pylist()
    return torch.from_numpy(encode(texts, len(texts[0]))), problems["answer"].to_numpy()


def verify(task: Task | type[Task], tokens_RT: Tensor, answers_R: np.ndarray) -> Tensor:
    """Return whether the text of each completion ends in the correct answer [R]."""
    texts = decode(tokens_RT.numpy())
    return torch.tensor([task.is_correct(t, a) for t, a in zip(texts, answers_R.tolist(), strict=True)])
