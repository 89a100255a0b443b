"""Pretraining of a base policy from scratch on a corpus with slips: it knows the task and often errs."""

import numpy as np
import torch
from torch.nn import functional

from asymre.architecture import Architecture
from asymre.engines.local.decoder import Weights, forward, initial_weights
from asymre.engines.local.rollouts import verify
from asymre.engines.local.sampling import sample
from asymre.engines.local.tokenizer import CHARACTERS, Tokenizer, encode
from asymre.seeding import numpy_stream, torch_stream
from asymre.tasks import Task, TaughtTask

# How a base policy is rated: number of held-out problems per task, and samples per problem.
HELD_OUT, SAMPLES = 400, 16


def corpus_batch(task: TaughtTask, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Return token ids [rows, prompt + solution] of training problems whose solutions contain slips."""
    return encode(task.worked_solutions(rows, rng), task.prompt_length + task.solution_length)


def pretrain(
    architecture: Architecture,
    tasks: list[TaughtTask],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    log,
) -> Weights:
    """Train on the next tokens of worked solutions, with equal shares of all tasks per batch.

    AdamW, linear warm-up over the first twentieth of the steps, then linear decay to a tenth of the rate.
    """
    weights = initial_weights(architecture, torch_stream("initial weights", seed))
    for weight in weights.values():
        weight.requires_grad_()
    optimiser = torch.optim.AdamW(weights.values(), lr=learning_rate, weight_decay=0.0, fused=True)
    rng = numpy_stream("corpus", seed)
    for step in range(steps):
        done = step / steps
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * min(20 * (done + 1 / steps), 1.0 - 0.9 * done)
        optimiser.zero_grad()
        losses = (_solution_loss(weights, architecture, t, batch_size // len(tasks), rng) for t in tasks)
        loss = sum(losses, start=torch.zeros(())) / len(tasks)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimiser.step()
        log(step + 1, loss.item())
    return {name: weight.detach() for name, weight in weights.items()}


def pass_rates(
    weights: Weights,
    architecture: Architecture,
    task: Task,
    *,
    max_new_tokens: int,
    temperature: float,
    tokenizer: Tokenizer = CHARACTERS,
) -> tuple[list[str], np.ndarray]:
    """Return HELD_OUT prompts, and the share of correct answers [HELD_OUT] among SAMPLES samples of each."""
    drawn = task.draw(HELD_OUT, "test", numpy_stream("base accuracy"))
    texts, answers = zip(*drawn, strict=True)
    completions = sample(
        weights,
        architecture,
        tokenizer.prompts(list(texts)),
        group_size=SAMPLES,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=1.0,
        generator=torch_stream("base accuracy", str(temperature)),
        ends=tokenizer.ends,
    )
    correct = verify(task, completions.tokens_RT, np.repeat(answers, SAMPLES), tokenizer)
    return list(texts), correct.view(-1, SAMPLES).float().mean(1).numpy()


def rating(sampled: np.ndarray) -> dict[str, float]:
    """Return the mean of pass rates at temperature 1, and the shares of problems never and always solved."""
    return {
        "sampled": float(sampled.mean()),
        "never_solved": float((sampled == 0).mean()),
        "always_solved": float((sampled == 1).mean()),
    }


def _solution_loss(weights, architecture, task, rows, rng):
    tokens_BT = torch.from_numpy(corpus_batch(task, rows, rng))
    logits_BTV, _ = forward(weights, architecture, tokens_BT[:, :-1])
    start = task.prompt_length
    return functional.cross_entropy(logits_BTV[:, start - 1 :].flatten(0, 1), tokens_BT[:, start:].flatten())
