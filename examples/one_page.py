"""AsymRE on one page: off-policy reinforcement learning of a small language model, in a minute on a laptop.

    .venv/bin/python examples/one_page.py [DELTA_V]

A decoder learns sums from worked solutions with slips, so it knows the task and often errs. Cycles of N
gradient steps then improve it, on completions sampled from a frozen copy mu of the policy, by ascent on

    J(pi) = E_{x, y~mu(.|x)}[ (r(y, x) - V_mu(x) - delta_v) log pi(y|x) ]      (arXiv 2506.20520, Eq. 4).

The workflow uses the same functions: a training job with this specification gives the same bytes.
"""

import sys

import torch

from asymre.architecture import Architecture
from asymre.datasets.problems import generate_problems
from asymre.engines.local.engine import LocalEngine
from asymre.engines.local.evaluation import evaluate
from asymre.engines.local.pretraining import pretrain
from asymre.engines.local.rollouts import problem_arrays, sample_rollouts
from asymre.engines.local.tokenizer import VOCABULARY_SIZE
from asymre.objectives.asymre import advantages, token_loss
from asymre.specs import Rewards, RolloutSpec, Sampling, TrainingSpec
from asymre.tasks import load
from asymre.training.normalisation import normalise

# 0 is critical: above it, training collapses.
DELTA_V = float(sys.argv[1]) if __name__ == "__main__" and sys.argv[1:] else -0.1
SIZE = {"hidden_size": 64, "intermediate_size": 160, "layers": 2, "heads": 4, "key_value_heads": 2}
ARCHITECTURE = Architecture("llama", **SIZE, vocabulary_size=VOCABULARY_SIZE, tie_embeddings=False)
TASK = "uneven"  # sums such as 37+8+6=, solved as 45,51. ; some steps are hardly ever correct
SETTINGS = {"terms": 3, "operators": "+", "error": 0.02, "always": 0.25, "alpha": 0.5, "beta": 0.5}
PRETRAINING = {"steps": 600, "batch_size": 96, "learning_rate": 0.008, "seed": 0}
SPEC = TrainingSpec(
    objective="asymre",
    settings={"delta_v": DELTA_V},
    normalisation="token_sum",  # log pi(y|x) is a sum over the tokens of y
    learning_rate=2e-4,
    gradient_clip=1.0,
    N=100,  # gradient steps per cycle: the larger, the further off-policy
    refreshed=True,
    snapshot_every=100,
    extra_snapshots=(),
    rollouts=RolloutSpec(
        prompts_per_step=16,
        group_size=8,  # G, samples per prompt
        max_new_tokens=8,
        sampling=Sampling(temperature=1.0, top_p=1.0),
        rewards=Rewards(correct=1.0, wrong=-1.0),
        verifier=TASK,
    ),
    seed=0,
    first_step=0,
    until=400,
)


def main() -> LocalEngine:
    """Train, print the accuracy on test problems at the end of each cycle, and return the engine."""
    torch.set_num_threads(1)
    task = load(TASK)(**SETTINGS)
    train = generate_problems(task, count=3072, split="train", seed=0)
    test = generate_problems(task, count=256, split="test", seed=0)
    base = pretrain(ARCHITECTURE, [task], **PRETRAINING, log=lambda step, loss: None)
    engine = LocalEngine(ARCHITECTURE, base, SPEC.learning_rate, SPEC.rollouts.group_size)
    report(engine, test, step=0)
    for first_step in range(0, SPEC.until, SPEC.N):
        cycle(engine, train, first_step)
        report(engine, test, step=first_step + SPEC.N)
    return engine


def cycle(engine: LocalEngine, problems, first_step: int) -> None:
    """Sample from the current policy, which becomes mu, and take N gradient steps on these rollouts."""
    G, batch = SPEC.rollouts.group_size, SPEC.rollouts.batch
    span = {"seed": SPEC.seed, "first_step": first_step, "steps": SPEC.N}
    mu = sample_rollouts(engine.policy(), ARCHITECTURE, problem_arrays(problems), SPEC.rollouts, **span)
    for rows_B in torch.arange(len(mu.reward)).split(batch):
        advantages_B = advantages(mu.reward[rows_B].view(-1, G), SPEC.settings).flatten()
        log_probs_BT, _ = engine.log_probs(mu, rows_B)
        loss_BT = token_loss(log_probs_BT, mu.log_probs[rows_B], advantages_B, SPEC.settings)
        mask_BT, size = mu.mask[rows_B], {"sequences": batch, "tokens": int(mu.mask[rows_B].sum())}
        engine.backward(normalise(loss_BT, mask_BT, SPEC.normalisation, **size))
        engine.update(SPEC.gradient_clip)


def report(engine: LocalEngine, problems, *, step: int) -> None:
    """Print the accuracy and entropy of near-greedy samples, as the paper evaluates its test problems."""
    how = {"samples": 1, "temperature": 0.1, "top_p": 0.95, "max_new_tokens": SPEC.rollouts.max_new_tokens}
    found = evaluate(engine.policy(), ARCHITECTURE, problems, load(TASK), **how, stream=(SPEC.seed, step))
    print(f"step {step:3}: test accuracy {found['accuracy']:.2f}, entropy {found['entropy']:.2f}", flush=True)


if __name__ == "__main__":
    main()
