"""One shard of a cycle's rollouts: sampled with vLLM, verified, rewarded."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch

from asymre.engines.fsdp_vllm.generation import Request, generate
from asymre.engines.fsdp_vllm.prompts import decode_completions, encode_prompts, end_tokens
from asymre.rewards.judge import judge
from asymre.seeding import integer
from asymre.specs import ShardSpec
from asymre.training.rollouts import Rollouts, from_lists, problem_order


@dataclass(frozen=True)
class Shard:
    """Rollouts, with verdict and text of each completion and whether it was truncated."""

    rollouts: Rollouts
    verdicts: list[str]
    texts: list[str]
    truncated: list[bool]


def sample_shard(
    policy: Path, tokenizer, problems: pa.Table, spec: ShardSpec, device: str, engine_options: dict
) -> Shard:
    """Sample and judge the completions of a shard. problems: all training problems.

    Raises ValueError or RuntimeError.
    """
    cycle, rollouts, generation = spec.cycle, spec.cycle.rollouts, spec.generation
    first, count = cycle.first_step * rollouts.prompts_per_step, cycle.steps * rollouts.prompts_per_step
    order = problem_order(seed=cycle.seed, first=first, count=count, problems=problems.num_rows)
    positions = range(count * spec.shard // spec.shards, count * (spec.shard + 1) // spec.shards)
    group = rollouts.group_size
    problem_ids = order[positions.start : positions.stop].repeat(group).tolist()
    asked = [problems["prompt"][i].as_py() for i in problem_ids[::group]]
    prompts = encode_prompts(tokenizer, asked, generation.prompt, generation.prompt_date)
    requests = [
        Request(
            prompt,
            rollouts.sampling.temperature,
            rollouts.sampling.top_p,
            integer("rollouts", cycle.seed, first + position, sample),
        )
        for position, prompt in zip(positions, prompts, strict=True)
        for sample in range(group)
    ]
    print(f"{len(requests)} completions to sample", flush=True)
    completions = generate(
        policy,
        requests,
        max_new_tokens=rollouts.max_new_tokens,
        dtype=generation.dtype,
        ends=end_tokens(policy, tokenizer.eos_token_id),
        device=device,
        engine_options=engine_options,
    )
    texts = decode_completions(tokenizer, [c.tokens for c in completions], generation.prompt)
    golds = [problems["answer"][i].as_py() for i in problem_ids]
    verdicts, _ = judge(texts, golds, rollouts.verifier)
    rewards = {"right": rollouts.rewards.correct}
    sampled = from_lists(
        problem_id=torch.tensor(problem_ids),
        prompts=[request.prompt for request in requests],
        tokens=[c.tokens for c in completions],
        log_probs=[c.log_probs for c in completions],
        reward=torch.tensor([float(rewards.get(v, rollouts.rewards.wrong)) for v in verdicts]),
    )
    return Shard(sampled, verdicts, texts, [c.truncated for c in completions])
