"""What tests ask of vLLM, in its own environment: python tests/scale/vllm_probe.py POLICY PROMPTS SEEDS.

Prints, as JSON, the completions of two calls with the same seeds and of one with others, and the largest
difference of a log-probability from that of transformers.
"""

import json
import sys
from pathlib import Path

from asymre.engines.fsdp_vllm.evaluation import _score
from asymre.engines.fsdp_vllm.generation import Request, generate, in_child
from asymre.engines.fsdp_vllm.prompts import end_tokens


def main() -> None:
    policy, prompts, seeds = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
    ends = end_tokens(policy, None)
    size = {"max_new_tokens": 8, "dtype": "float32", "ends": ends, "device": "cpu"}
    answers = []
    for first in seeds:
        requests = [Request(prompt, 1.0, 1.0, first + i) for i, prompt in enumerate(prompts)]
        answers.append(generate(policy, requests, **size))
    parts = [list(zip(requests, answers[-1], strict=True))]
    ((entropy, differences),) = in_child(_score, policy, parts, "float32", "cpu", 64, 64)
    cold = generate(policy, [Request(prompt, 0.01, 0.95, 1) for prompt in prompts], **size)
    print(
        json.dumps(
            {
                "runs": [[vars(c) for c in completions] for completions in answers],
                "cold": [vars(c) for c in cold],
                "entropy": entropy,
                "difference": differences["log_prob_difference"],
            }
        )
    )


if __name__ == "__main__":
    main()
