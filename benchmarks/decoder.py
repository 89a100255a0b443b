"""A training step and sampling of engine local, compared with TRL and transformers after `make setup-peers`.

OMP_NUM_THREADS=1 .venv-peers/bin/python -m benchmarks.decoder     (or .venv/bin/python, without the peers)
"""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch

from asymre.architecture import Architecture
from asymre.engines.local.decoder import initial_weights
from asymre.engines.local.engine import LocalEngine, token_log_probs
from asymre.engines.local.policy import save_policy
from asymre.engines.local.sampling import sample
from asymre.engines.local.tokenizer import END_ID, VOCABULARY_SIZE, decode, generated_mask
from asymre.objectives.asymre import advantages, token_loss
from asymre.seeding import torch_stream
from asymre.training.normalisation import normalise
from benchmarks.timing import Row, medians

ARCHITECTURE = Architecture("llama", 64, 176, 2, 4, 4, VOCABULARY_SIZE, False)
PROMPTS, GROUP, PROMPT_LENGTH, NEW_TOKENS = 16, 8, 9, 12
REPEATS = 15
TRL_STEPS = 5
SETTINGS = {"delta_v": -0.1}


def engine_of(architecture: Architecture) -> LocalEngine:
    """Return an engine with initial weights."""
    return LocalEngine(architecture, initial_weights(architecture, torch_stream("benchmark")), 1e-4, GROUP)


def batch(prompt_length: int, new_tokens: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return random prompts [P, L], completions [P * G, T] without an end token, and rewards [P, G]."""
    stream = torch_stream("benchmark", "batch")
    draw = {"generator": stream}
    prompts = torch.randint(VOCABULARY_SIZE - 1, (PROMPTS, prompt_length), **draw)
    tokens = torch.randint(VOCABULARY_SIZE - 1, (PROMPTS * GROUP, new_tokens), **draw)
    return prompts, tokens, torch.randint(2, (PROMPTS, GROUP), **draw) * 2.0 - 1


def step(engine: LocalEngine, prompts, tokens, rewards) -> None:
    """Take one gradient step of AsymRE."""
    log_probs, _ = token_log_probs(engine.weights, engine.architecture, prompts, tokens)
    losses = token_loss(log_probs, log_probs.detach(), advantages(rewards, SETTINGS).flatten(), SETTINGS)
    mask = generated_mask(tokens)
    engine.backward(normalise(losses, mask, "token_sum", sequences=len(tokens), tokens=int(mask.sum())))
    engine.update(1.0)


def draw(engine: LocalEngine, prompts, new_tokens: int, seed: int = 0):
    """Sample the completions of one step."""
    return sample(
        engine.policy(),
        engine.architecture,
        prompts,
        group_size=GROUP,
        max_new_tokens=new_tokens,
        temperature=1.0,
        top_p=1.0,
        generator=torch_stream("benchmark", seed),
    )


def rows() -> list[Row]:
    """Return the table's rows about engine local."""
    torch.set_num_threads(1)
    engine = engine_of(ARCHITECTURE)
    prompts, tokens, rewards = batch(PROMPT_LENGTH, NEW_TOKENS)
    matrix = torch.randn(1024, 1024)

    def both() -> None:
        step(engine, prompts, draw(engine, prompts, NEW_TOKENS).tokens_RT, rewards)

    measured = {
        "step": lambda: step(engine, prompts, tokens, rewards),
        "sampling": lambda: draw(engine, prompts, NEW_TOKENS),
        "both": both,
        "product": lambda: matrix @ matrix,
    }
    try:
        from benchmarks import peers
    except ImportError:
        theirs = {}
    else:
        theirs = _peers(peers, prompts, tokens)
    time = medians(measured | theirs, repeats=REPEATS)
    if "trl" in time:
        time["trl"] /= TRL_STEPS
    computed = PROMPTS * (PROMPT_LENGTH + GROUP * (NEW_TOKENS - 1))
    flops = 6 * ARCHITECTURE.parameter_count() * computed
    limit = flops / (2 * 1024**3 / time["product"])

    def line(name, key, peer, peer_key, target, factor=1e3):
        missing = peer_key not in time
        return Row(
            name,
            "ms",
            factor * time[key],
            f"{peer}: not installed (make setup-peers)" if missing else peer,
            None if missing else factor * time[peer_key],
            target,
        )

    return [
        line("step with sampling", "both", "TRL, GRPO", "trl", ".25"),
        line("step alone", "step", "transformers, AdamW", "transformers", ".35"),
        line("sampling", "sampling", "generate", "generate", ".40"),
        Row(
            "step, at the core's peak",
            "ms",
            1e3 * time["step"],
            "6 x parameters x tokens",
            1e3 * limit,
            "1.6",
        ),
    ]


def _peers(peers, prompts, tokens):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = initial_weights(ARCHITECTURE, torch_stream("benchmark"))
        save_policy(folder, ARCHITECTURE, weights)
        trainer = peers.trainer(
            folder,
            [text.rstrip(".") for text in decode(prompts.numpy())],
            group=GROUP,
            new_tokens=NEW_TOKENS,
            steps=TRL_STEPS,
        )
        model = peers.model(folder)
        generating = peers.model(folder)
    sequences = torch.cat([prompts.repeat_interleave(GROUP, dim=0), tokens], dim=1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.0)

    def transformers_step() -> None:
        logits = model(sequences[:, :-1]).logits[:, prompts.shape[1] - 1 :]
        chosen = logits.log_softmax(-1).gather(2, tokens[:, :, None])
        (-chosen.sum() / len(tokens)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()

    return {
        "trl": trainer.train,  # TRL_STEPS of its steps
        "transformers": transformers_step,
        "generate": lambda: peers.generate(
            generating, prompts, group=GROUP, new_tokens=NEW_TOKENS, end=END_ID
        ),
    }


if __name__ == "__main__":
    print(json.dumps([asdict(row) for row in rows()]))
