"""What tests on a GPU ask of vLLM, in its own environment: python tests/gpu/vllm_probe.py ASKED ANSWER.

ASKED: a JSON file with policy, dtype, device, prompts, group (completions of each), new (tokens) and keep
(how many completions to write). ANSWER: the file to write, with completions, tokens (how many there were)
and sampling, the seconds that vLLM took for them after its start.
"""

import json
import sys
import time
from pathlib import Path

from asymre.engines.fsdp_vllm.generation import Request, generate, vllm
from asymre.engines.fsdp_vllm.prompts import end_tokens


def time_sampling(file: Path) -> None:
    """The seconds of vLLM's own call go into a file: it runs in a child process, started with the engine."""
    sample = vllm.LLM.generate

    def timed(*arguments, **options):
        started = time.monotonic()
        outputs = sample(*arguments, **options)
        file.write_text(str(time.monotonic() - started), encoding="utf-8")
        return outputs

    vllm.LLM.generate = timed


def main() -> None:
    asked, seconds = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2] + ".seconds")
    time_sampling(seconds)
    prompts = [prompt for prompt in asked["prompts"] for _ in range(asked["group"])]
    requests = [Request(prompt, 1.0, 1.0, seed) for seed, prompt in enumerate(prompts)]
    completions = generate(
        Path(asked["policy"]),
        requests,
        max_new_tokens=asked["new"],
        dtype=asked["dtype"],
        ends=end_tokens(Path(asked["policy"]), None),
        device=asked["device"],
    )
    kept = [
        {"prompt": prompt, "tokens": completion.tokens, "log_probs": completion.log_probs}
        for prompt, completion in zip(prompts[: asked["keep"]], completions, strict=False)
    ]
    answer = {
        "completions": kept,
        "tokens": sum(len(completion.tokens) for completion in completions),
        "sampling": float(seconds.read_text(encoding="utf-8")),
    }
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
