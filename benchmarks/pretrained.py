"""A gradient step with sampling of SmolLM2-135M in engine local, compared with TRL after `make setup-peers`.

OMP_NUM_THREADS=1 .venv-peers/bin/python -m benchmarks.pretrained     (or .venv/bin/python, without TRL)

Needs the base policy of scale pretrained (`snakemake figure_F --cores 1 --config scale=pretrained`).
"""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch

from asymre.engines.local.decoder import products
from asymre.engines.local.engine import LocalEngine, token_log_probs
from asymre.engines.local.policy import load_policy
from asymre.engines.local.sampling import sample
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


def step_with_sampling(engine: LocalEngine, prompts: torch.Tensor, dtype: torch.dtype, end: int) -> None:
    """Sample the completions of one step, all of full length, and take the step."""
    ends, how = torch.tensor([end]), {"max_new_tokens": NEW_TOKENS, "temperature": 1.0, "top_p": 1.0}
    drawn = sample(
        engine.behaviour(),
        engine.architecture,
        prompts,
        group_size=GROUP,
        **how,
        generator=torch_stream("benchmark"),
        ends=ends,
    )
    rewards = torch.randint(2, (PROMPTS, GROUP), generator=torch_stream("rewards")) * 2.0 - 1
    log_probs, _ = token_log_probs(
        products(engine.weights, dtype), engine.architecture, prompts, drawn.tokens_RT
    )
    losses = token_loss(log_probs, drawn.log_probs_RT, advantages(rewards, SETTINGS).flatten(), SETTINGS)
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
    tokenizer = load_tokenizer(folder, TASK.end)
    texts = [text for text, _ in TASK.draw(PROMPTS, "train", numpy_stream("benchmark"))]
    prompts, end = tokenizer.prompts(texts), int(tokenizer.ends[0])
    try:
        from benchmarks import peers
    except ImportError:
        peers = None
    functions, matrices = {}, {}
    for name, dtype in DTYPES.items():
        engine = LocalEngine(architecture, weights, 1e-5, GROUP, dtype=dtype)
        functions[f"ours {name}"] = lambda engine=engine, dtype=dtype: step_with_sampling(
            engine, prompts, dtype, end
        )
        matrices[name] = torch.randn(512, 2048).to(dtype), torch.randn(2048, 2048).to(dtype)
        functions[f"product {name}"] = lambda pair=matrices[name]: pair[0] @ pair[1]
        if peers:
            with tempfile.TemporaryDirectory() as place:
                for file in folder.glob("*.json"):
                    (Path(place) / file.name).write_bytes(file.read_bytes())
                (Path(place) / "model.safetensors").symlink_to((folder / "model.safetensors").resolve())
                more = {"bf16": dtype == torch.bfloat16, "learning_rate": 1e-5}
                trainer = peers.trainer(Path(place), texts, group=GROUP, new_tokens=NEW_TOKENS, **more)
            functions[f"TRL {name}"] = trainer.train
    time = medians(functions, repeats=REPEATS)
    # The prefix once, then each prompt's own tokens and all but the last token of its completions.
    length = int((prompts != PADDING).sum())
    computed = length + PROMPTS * GROUP * (NEW_TOKENS - 1)
    flops = 6 * architecture.parameter_count() * computed
    table = []
    for name in DTYPES:
        ours, theirs = time[f"ours {name}"], time.get(f"TRL {name}")
        peer = "TRL, GRPO" if theirs else "TRL, GRPO: not installed (make setup-peers)"
        limit = flops / (2 * 512 * 2048**2 / time[f"product {name}"])
        table += [
            Row(f"SmolLM2, step with sampling, {name}", "s", ours, peer, theirs, ".5"),
            Row(f"the same at the core's peak, {name}", "s", ours, "6 x parameters x tokens", limit, ""),
        ]
    return table


if __name__ == "__main__":
    print(json.dumps([asdict(row) for row in rows()]))
