"""Sample one shard of a cycle's rollouts with vLLM: rollouts.parquet."""

import sys

try:
    from asymre.engines.fsdp_vllm.generation import ENGINE_OPTIONS
except ImportError as error:
    sys.exit(f"error: {error}")

from asymre.engines.fsdp_vllm.prompts import load_tokenizer
from asymre.engines.fsdp_vllm.rollouts import sample_shard
from asymre.io import read_parquet
from asymre.rewards.judge import counts_line
from asymre.specs import ShardSpec
from asymre.training.rollouts import FILE, write_no_rollouts, write_rollouts
from asymre.training.snapshots import divergence_in
from store import job
from workflow.project import PROJECT


def make(spec: ShardSpec, inputs, folder, device, **engine_options):
    policy = inputs["policy"]
    if policy.parent.name == "cycles":
        policy = job.checkpoint(policy, "policies")
    if divergence_in(policy):
        write_no_rollouts(folder / FILE)
        return
    problems = job.reading(inputs["problems"] / "train.parquet", read_parquet)
    chat = spec.generation.prompt is not None
    tokenizer = job.reading(policy, lambda path: load_tokenizer(path, chat=chat))
    try:
        shard = sample_shard(policy, tokenizer, problems, spec, device, engine_options)
    except (ValueError, RuntimeError) as error:
        raise job.InputError(f"{policy}: {error}") from error
    write_rollouts(
        folder / FILE,
        shard.rollouts,
        spec.cycle.rollouts.group_size,
        verdicts=shard.verdicts,
        truncated=shard.truncated,
        texts=shard.texts,
    )
    print(counts_line(shard.verdicts, shard.truncated))


if __name__ == "__main__":
    job.run(make, PROJECT, ShardSpec, options={"device": "cpu"} | ENGINE_OPTIONS)
