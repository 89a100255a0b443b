"""Sample one shard of a cycle's rollouts with vLLM: rollouts.parquet."""

import torch

from asymre.cycle.rollouts import FILE, from_lists, problem_order, write_no_rollouts, write_rollouts
from asymre.cycle.snapshots import divergence_in
from asymre.hub.answers import counts_line, judge
from asymre.hub.generation import ENGINE_OPTIONS, Request, generate
from asymre.hub.prompts import decode_completions, encode_prompts, load_tokenizer
from asymre.parquet import read_parquet
from asymre.record import job
from asymre.streams import integer


def make(params, inputs, folder, device, **engine_options):
    policy = inputs["policy"]
    if policy.parent.name == "cycles":
        policy = job.beside(policy, "policies")
    if divergence_in(policy):
        write_no_rollouts(folder / FILE)
        return
    problems = job.reading(inputs["problems"] / "train.parquet", read_parquet)
    per_step, group = params["prompts_per_step"], params["group_size"]
    first, count = params["first_step"] * per_step, params["steps"] * per_step
    order = problem_order(seed=params["seed"], first=first, count=count, problems=problems.num_rows)
    shard, shards = params["shard"], params["shards"]
    positions = range(count * shard // shards, count * (shard + 1) // shards)
    problem_ids = order[positions.start : positions.stop].repeat(group).tolist()
    tokenizer = job.reading(policy, lambda path: load_tokenizer(path, chat=params["prompt"] is not None))
    asked = [problems["prompt"][i].as_py() for i in problem_ids[::group]]
    prompts = encode_prompts(tokenizer, asked, params["prompt"], params["prompt_date"])
    requests = [
        Request(
            prompt,
            params["temperature"],
            params["top_p"],
            integer("rollouts", params["seed"], first + position, sample),
        )
        for position, prompt in zip(positions, prompts, strict=True)
        for sample in range(group)
    ]
    print(f"{len(requests)} completions to sample", flush=True)
    size = {"max_new_tokens": params["max_new_tokens"], "dtype": params["dtype"], "device": device}
    try:
        completions = generate(policy, requests, **size, engine_options=engine_options)
    except (ValueError, RuntimeError) as error:
        raise job.InputError(f"{policy}: {error}") from error
    texts = decode_completions(tokenizer, [c.tokens for c in completions], params["prompt"])
    golds = [problems["answer"][i].as_py() for i in problem_ids]
    verdicts, _ = judge(texts, golds, params["verifier"])
    rewards = params["rewards"]
    rollouts = from_lists(
        problem_id=torch.tensor(problem_ids),
        prompts=[request.prompt for request in requests],
        tokens=[c.tokens for c in completions],
        log_probs=[c.log_probs for c in completions],
        reward=torch.tensor([float(rewards["correct" if v == "right" else "wrong"]) for v in verdicts]),
    )
    write_rollouts(
        folder / FILE,
        rollouts,
        group,
        verdicts=verdicts,
        truncated=[c.truncated for c in completions],
        texts=texts,
    )
    print(f"{counts_line(verdicts)}; truncated {sum(c.truncated for c in completions)}")


if __name__ == "__main__":
    job.run(make, options={"device": "cpu"} | ENGINE_OPTIONS)
