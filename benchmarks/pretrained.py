"""A gradient step with sampling of SmolLM2-135M in engine local, compared with TRL after `make setup-peers`.

OMP_NUM_THREADS=1 .venv-peers/bin/python -m benchmarks.pretrained     (or .venv/bin/python, without TRL)

Needs the base policy of scale pretrained (`snakemake figure_F --cores 1 --config scale=pretrained`), and
10 GB of memory.
"""

import gc
import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from asymre.engines.local.decoder import products
from asymre.engines.local.engine import LocalEngine, token_log_probs
from asymre.engines.local.policy import load_policy
from asymre.engines.local.sampling import Completions, sample, shared_prefix
from asymre.engines.local.tokenizer import PADDING, load_tokenizer
from asymre.objectives.asymre import advantages, token_loss
from asymre.seeding import numpy_stream, torch_stream
from asymre.tasks.few_shot import FewShot
from asymre.training.normalisation import normalise
from benchmarks.timing import Row, medians

POLICIES = Path("results/pretrained/base_policy")
PROMPTS, GROUP, NEW_TOKENS = 8, 8, 7
TASK = FewShot(kinds=["1+1", "2-1", "2*1"], examples=["7 + 5 = 12", "36 - 9 = 27", "6 * 4 = 24"])
SETTINGS = {"delta_v": -0.1}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
REPEATS = 3
PRODUCTS, SHAPE = 10, (512, 2048, 2048)  # whose speed is the core's peak
LIMIT = "6 x parameters x tokens"


def draw(engine: LocalEngine, prompts_PL: torch.Tensor, end: int) -> Completions:
    """Sample the completions of one step; line breaks do not end them, so they have their full length."""
    return sample(
        engine.behaviour(),
        engine.architecture,
        prompts_PL,
        group_size=GROUP,
        max_new_tokens=NEW_TOKENS,
        temperature=1.0,
        top_p=1.0,
        generator=torch_stream("benchmark"),
        ends=torch.tensor([end]),
    )


def step(
    engine: LocalEngine,
    prompts_PL: torch.Tensor,
    drawn: Completions,
    rewards_PG: torch.Tensor,
    dtype: torch.dtype,
) -> None:
    """Take a gradient step of AsymRE."""
    log_probs, _ = token_log_probs(
        products(engine.weights, dtype), engine.architecture, prompts_PL, drawn.tokens_RT
    )
    losses = token_loss(log_probs, drawn.log_probs_RT, advantages(rewards_PG, SETTINGS).flatten(), SETTINGS)
    mask = torch.ones_like(losses, dtype=torch.bool)
    engine.backward(normalise(losses, mask, "token_sum", sequences=len(losses), tokens=losses.numel()))
    engine.update(1.0)


def rows() -> list[Row]:
    """Return the table's rows; none without a base policy."""
    found = sorted(POLICIES.glob("smollm2-*"))
    if not found:
        return []
    torch.set_num_threads(1)
    folder = found[0]
    architecture, weights = load_policy(folder)
    _, prompts_PL, _ = _prompts(folder)
    # What all prompts begin with once, then each prompt's own tokens and all but the last of its completions.
    shared = shared_prefix(prompts_PL)
    computed = int((prompts_PL != PADDING).sum()) - (PROMPTS - 1) * shared
    computed += PROMPTS * GROUP * (NEW_TOKENS - 1)
    flops = 6 * architecture.parameter_count() * computed

    table = []
    for name, dtype in DTYPES.items():
        time = _times(folder, LocalEngine(architecture, weights, 1e-5, GROUP, dtype=dtype), dtype)
        gc.collect()  # TRL's trainer
        peer = "TRL, GRPO" if "trl" in time else "TRL, GRPO: not installed (make setup-peers)"
        limit = flops * time["products"] / (PRODUCTS * 2 * math.prod(SHAPE))
        table += [
            Row(f"SmolLM2 in {name}, step with sampling", "s", time["both"], peer, time.get("trl"), ".5"),
            Row(f"SmolLM2 in {name}, step, at the core's peak", "s", time["step"], LIMIT, limit, "1.6"),
        ]
    return table


def _times(folder: Path, engine: LocalEngine, dtype: torch.dtype) -> dict[str, float]:
    """Return median seconds of a step, of one with sampling, of large products, and of TRL's step."""
    texts, prompts_PL, end = _prompts(folder)
    rewards_PG = torch.randint(2, (PROMPTS, GROUP), generator=torch_stream("rewards")) * 2.0 - 1
    drawn = draw(engine, prompts_PL, end)
    one, other = torch.randn(SHAPE[:2]).to(dtype), torch.randn(SHAPE[1:]).to(dtype)

    def both() -> None:
        step(engine, prompts_PL, draw(engine, prompts_PL, end), rewards_PG, dtype)

    def multiply() -> None:
        for _ in range(PRODUCTS):
            torch.mm(one, other)

    ours = {
        "step": lambda: step(engine, prompts_PL, drawn, rewards_PG, dtype),
        "both": both,
        "products": multiply,
    }
    return medians(ours | _trl(folder, texts, dtype), repeats=REPEATS)


def _prompts(folder: Path) -> tuple[list[str], torch.Tensor, int]:
    """Return the texts of the prompts, their tokens [P, L], and the token that ends a completion."""
    tokenizer = load_tokenizer(folder, TASK.end)
    texts = [text for text, _ in TASK.draw(PROMPTS, "train", numpy_stream("benchmark"))]
    return texts, tokenizer.prompts(texts), int(tokenizer.ends[0])


def _trl(folder: Path, texts: list[str], dtype: torch.dtype) -> dict[str, Callable[[], object]]:
    """Return TRL's step on the same prompts, or nothing where TRL is not installed."""
    try:
        from benchmarks import peers
    except ImportError:
        return {}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for file in (*folder.glob("*.json"), folder / "model.safetensors"):
            (place / file.name).symlink_to(file.resolve())
        more = {"bf16": dtype == torch.bfloat16, "learning_rate": 1e-5}
        trainer = peers.trainer(place, texts, group=GROUP, new_tokens=NEW_TOKENS, **more)
    return {"trl": trainer.train}


if __name__ == "__main__":
    print(json.dumps([asdict(row) for row in rows()]))
