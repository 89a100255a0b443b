"""The rollouts of a tiny policy: sampled in this process.

Shapes: N problems, P prompts, G samples a prompt, R = P * G rows, L prompt tokens, T new tokens.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from asymre.architecture import Architecture
from asymre.cycle.rollouts import Rollouts, problem_order
from asymre.streams import torch_stream
from asymre.tasks import Task, load
from asymre.tiny.decoder import Weights
from asymre.tiny.sampling import generated_mask, sample
from asymre.tiny.tokenizer import decode, encode


def sample_rollouts(
    weights: Weights,
    architecture: Architecture,
    problems: tuple[Tensor, np.ndarray],
    params: dict[str, Any],
    *,
    seed: int,
    first_step: int,
    steps: int,
) -> Rollouts:
    """Completions for the gradient steps `first_step` to `first_step + steps - 1` of a run.

    problems: all training problems, of `problem_arrays`.
    params: prompts_per_step, group_size, max_new_tokens, temperature, top_p, rewards, verifier (the name of a
    task).
    """
    prompts_NL, answers_N = problems
    per_step, group = params["prompts_per_step"], params["group_size"]
    index = problem_order(
        seed=seed, first=first_step * per_step, count=steps * per_step, problems=len(answers_N)
    )
    completions = sample(
        weights,
        architecture,
        prompts_NL[torch.from_numpy(index)],
        group_size=group,
        max_new_tokens=params["max_new_tokens"],
        temperature=params["temperature"],
        top_p=params["top_p"],
        generator=torch_stream("rollouts", seed, first_step),
    )
    correct = verify(load(params["verifier"]), completions.tokens_RT, answers_N[index].repeat(group))
    rewards = params["rewards"]
    row_problems = torch.from_numpy(index.repeat(group))
    return Rollouts(
        problem_id=row_problems,
        prompts=prompts_NL[row_problems],
        prompt_lengths=torch.full_like(row_problems, prompts_NL.shape[1]),
        tokens=completions.tokens_RT,
        lengths=generated_mask(completions.tokens_RT).sum(1),
        log_probs=completions.log_probs_RT,
        reward=torch.where(correct, rewards["correct"], rewards["wrong"]).float(),
    )


def problem_arrays(problems: pa.Table) -> tuple[Tensor, np.ndarray]:
    """Prompt tokens [N, L] and answers [N]."""
    texts = problems["prompt"].to_pylist()
    return torch.from_numpy(encode(texts, len(texts[0]))), problems["answer"].to_numpy()


def verify(task: Task | type[Task], tokens_RT: Tensor, answers_R: np.ndarray) -> Tensor:
    """Whether the text of each completion ends in the right answer [R]."""
    texts = decode(tokens_RT.numpy())
    return torch.tensor([task.is_correct(t, a) for t, a in zip(texts, answers_R.tolist(), strict=True)])
