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
from asymre.engines.local.sampling import sample
from asymre.engines.local.tokenizer import CHARACTERS, PADDING, Tokenizer, lengths
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
    tokenizer: Tokenizer = CHARACTERS,
) -> Rollouts:
    """Sample the completions for the gradient steps `first_step` to `first_step + steps - 1` of a run.

    problems: all training problems, from `problem_arrays`, by the same tokenizer.
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
        ends=tokenizer.ends,
    )
    tokens_RT, answers_R = completions.tokens_RT, answers_N[index].repeat(group)
    correct = verify(load(spec.verifier), tokens_RT, answers_R, tokenizer)
    row_problems = torch.from_numpy(index.repeat(group))
    return Rollouts(
        problem_id=row_problems,
        prompts=prompts_NL[row_problems].clamp(min=0),
        prompt_lengths=(prompts_NL[row_problems] != PADDING).sum(1),
        tokens=tokens_RT,
        lengths=lengths(tokens_RT, tokenizer.ends),
        log_probs=completions.log_probs_RT,
        reward=torch.where(correct, spec.rewards.correct, spec.rewards.wrong).float(),
    )


def sampler(
    policy: Callable[[], Weights],
    architecture: Architecture,
    problems: pa.Table,
    spec: TrainingSpec,
    tokenizer: Tokenizer = CHARACTERS,
) -> Callable[[int, int], Rollouts]:
    """Return the function with which `training.loop.train` refreshes its rollouts from the current policy."""
    arrays, seed = problem_arrays(problems, tokenizer), spec.seed
    assert seed is not None

    def sample(first_step: int, steps: int) -> Rollouts:
        span = {"seed": seed, "first_step": first_step, "steps": steps}
        return sample_rollouts(policy(), architecture, arrays, spec.rollouts, **span, tokenizer=tokenizer)

    return sample


def problem_arrays(problems: pa.Table, tokenizer: Tokenizer = CHARACTERS) -> tuple[Tensor, np.ndarray]:
    """Return prompt tokens [N, L], padded with PADDING, and answers [N]."""
    return tokenizer.prompts(problems["prompt"].to_pylist()), problems["answer"].to_numpy()


def verify(
    task: Task | type[Task], tokens_RT: Tensor, answers_R: np.ndarray, tokenizer: Tokenizer = CHARACTERS
) -> Tensor:
    """Return whether the text of each completion ends in the correct answer [R]."""
    texts = tokenizer.texts(tokens_RT)
    return torch.tensor([task.is_correct(t, a) for t, a in zip(texts, answers_R.tolist(), strict=True)])
