"""Time of a training step and of sampling for 103,000 parameters, and the speed of the core beside it.

OMP_NUM_THREADS=1 python -m benchmarks.training_step
"""

import statistics
import time

import torch

from asymre.architecture import Architecture
from asymre.cycle.normalisation import normalise
from asymre.objectives.asymre import advantages, token_loss
from asymre.streams import torch_stream
from asymre.tiny.decoder import initial_weights
from asymre.tiny.engine import TinyEngine, token_log_probs
from asymre.tiny.sampling import generated_mask, sample

ARCHITECTURE = Architecture("llama", 64, 176, 2, 4, 4, 15, False)
PROMPTS, GROUP, PROMPT_LENGTH, NEW_TOKENS = 16, 8, 9, 12


def median_ms(run, repeats=50) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def main() -> None:
    torch.set_num_threads(1)
    stream = torch_stream("benchmark")
    engine = TinyEngine(ARCHITECTURE, initial_weights(ARCHITECTURE, stream), 1e-4, GROUP)
    symbols = ARCHITECTURE.vocabulary_size
    prompts = torch.randint(symbols, (PROMPTS, PROMPT_LENGTH), generator=stream)
    tokens = torch.randint(symbols - 1, (PROMPTS * GROUP, NEW_TOKENS), generator=stream)
    rewards = torch.randint(2, (PROMPTS, GROUP), generator=stream) * 2.0 - 1
    settings = {"delta_v": -0.1}

    def step() -> None:
        log_probs, _ = token_log_probs(engine.weights, ARCHITECTURE, prompts, tokens)
        losses = token_loss(log_probs, log_probs.detach(), advantages(rewards, settings).flatten(), settings)
        mask = generated_mask(tokens)
        loss = normalise(losses, mask, "token_sum", sequences=len(tokens), tokens=int(mask.sum()))
        engine.backward(loss)
        engine.update(1.0)

    def draw() -> None:
        sample(
            engine.policy(),
            ARCHITECTURE,
            prompts,
            group_size=GROUP,
            max_new_tokens=NEW_TOKENS,
            temperature=1.0,
            top_p=1.0,
            generator=stream,
            prompts_per_batch=PROMPTS,
        )

    matrix = torch.randn(1024, 1024, generator=stream)
    gflops = 2 * 1024**3 / median_ms(lambda: matrix @ matrix) / 1e6
    step()
    print(f"core: {gflops:.0f} GFLOP/s in a 1024 x 1024 float32 product")
    print(
        f"step of {PROMPTS * GROUP} sequences of {PROMPT_LENGTH + NEW_TOKENS} tokens, "
        f"{ARCHITECTURE.parameter_count():,} parameters: {median_ms(step):.1f} ms"
    )
    print(f"sampling {PROMPTS * GROUP} completions of up to {NEW_TOKENS} tokens: {median_ms(draw):.1f} ms")


if __name__ == "__main__":
    main()
