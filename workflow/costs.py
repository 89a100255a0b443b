"""What a plan will cost in GPU hours, memory and disk, from the configuration and its stated assumptions.

Estimates for a decision before any job starts; nothing here was measured on a GPU. Memory is in bytes.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from asymre.architecture import POLICY_BYTES, STATE_BYTES, Architecture
from asymre.specs import EvaluationSpec
from paper.captions import architecture_of
from paper.configuration.schema import Configuration
from store.artefact import Artefact
from store.typed import build
from workflow.plan import Plan

GB = 1e9
# The rules whose jobs have GPUs, by kind of artefact.
RULES = {"rollouts": "sample_rollouts", "cycles": "train_cycle", "snapshot_evaluation": "evaluate_snapshot"}
VLLM_OVERHEAD = 4 * GB  # graphs, workspace
# Main memory of a training process: 0.3 GB measured on a CPU; CUDA's share was never measured.
PROCESS_BYTES = {"cpu": 0.5 * GB, "cuda": 3 * GB}
ROLLOUT_BYTES = 56  # per token of full-length rollouts while they are read: measured
POLICY_FILE = 5 * GB  # MAX_FILE_SIZE of asymre.engines.fsdp_vllm.state
SLACK = 0.1  # share of temporary memory: blocks that the allocator holds but cannot use
SAFETY = 0.92  # usable share of a GPU's memory


@dataclass(frozen=True)
class Memory:
    """Memory of a GPU in one kind of job, by purpose."""

    parts: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.parts.values())


def training_memory(c: Configuration, a: Architecture) -> Memory:
    """Return the memory of one of the `fsdp_vllm.processes` GPUs in a training job.

    Activations, with checkpointing: the input of every layer and all activations of one; without: per layer
    about 16 values of the hidden size and 4 of the intermediate size. Logits: float32, three copies. The
    fused optimiser step needs no extra memory. A test compares the sum with processes on a CPU.
    """
    parameters, tokens, width = (
        a.parameter_count(),
        c.fsdp_vllm.tokens_per_micro_batch,
        POLICY_BYTES[c.fsdp_vllm.dtype],
    )
    layer = (16 * a.hidden_size + 4 * a.intermediate_size) * tokens * width
    inputs = a.layers * a.hidden_size * tokens * width
    activations = inputs + layer if c.fsdp_vllm.activation_checkpointing else inputs + a.layers * layer
    logits = 3 * 4 * c.fsdp_vllm.tokens_per_chunk * a.vocabulary_size
    gathered = _gathered(a, width, c.fsdp_vllm.processes)
    return Memory(
        {
            "weights": 4 * parameters / c.fsdp_vllm.processes,
            "gradients": 4 * parameters / c.fsdp_vllm.processes,
            "moments": 8 * parameters / c.fsdp_vllm.processes,
            "gathered": gathered,
            "activations": activations,
            "logits": logits,
            "slack": SLACK * (gathered + activations + logits),
        }
    )


def _gathered(a: Architecture, width: int, processes: int) -> float:
    """Return the memory of unsharded weights and gradients in a backward pass, at the larger of two peaks.

    The root group, embedding and head, stays gathered throughout. A layer is held with its gradient while the
    next one is gathered and copied. A gradient is converted to float32 as a whole, then summed and sharded.
    """
    embedding = a.vocabulary_size * a.hidden_size
    root = embedding if a.tie_embeddings else 2 * embedding
    layer = (a.parameter_count() - root) / a.layers
    cut = 4 + 4 / processes
    return max((2 * width + cut) * root, width * (root + embedding) + (3 * width + cut) * layer)


def sampling_memory(c: Configuration, a: Architecture, tokens: int) -> Memory:
    """Return the memory of a vLLM job's GPU: the weights, and at least 32 sequences of `tokens` tokens."""
    width = POLICY_BYTES[c.fsdp_vllm.dtype]
    keys_values = 2 * a.layers * a.key_value_heads * a.head_size * width
    return Memory(
        {
            "weights": width * a.parameter_count(),
            "keys and values": 32 * tokens * keys_values,
            "vLLM itself": VLLM_OVERHEAD,
        }
    )


def cycle_disk(c: Configuration, a: Architecture, snapshots: int) -> dict[str, float]:
    """Return the disk space that one cycle of a run takes, most of it temporarily."""
    policy = POLICY_BYTES[c.fsdp_vllm.dtype] * a.parameter_count()
    return {"state": STATE_BYTES * a.parameter_count(), "policy": policy, "snapshots": snapshots * policy}


def sampling_hours(c: Configuration, a: Architecture, completions: int) -> float:
    """Return the GPU hours to sample completions of the assumed length."""
    speed = c.fsdp_vllm.costs.generation_speed * 1e9 / a.parameter_count()  # tokens/s
    return completions * c.fsdp_vllm.costs.tokens_per_completion / speed / 3600


def scoring_hours(c: Configuration, a: Architecture, rows: int) -> float:
    """Return the GPU hours to score `rows` completions: 2 operations per parameter and token."""
    tokens = rows * (c.fsdp_vllm.costs.tokens_per_completion + c.fsdp_vllm.costs.tokens_per_prompt)
    return 2 * a.parameter_count() * tokens / (c.fsdp_vllm.costs.training_tflops * 1e12) / 3600


def training_hours(c: Configuration, a: Architecture, rows: int) -> float:
    """Return the GPU hours of a cycle on `rows` completions.

    6 operations per parameter and token; 8 if activations are recomputed.
    """
    operations = (8 if c.fsdp_vllm.activation_checkpointing else 6) * a.parameter_count()
    tokens = rows * (c.fsdp_vllm.costs.tokens_per_completion + c.fsdp_vllm.costs.tokens_per_prompt)
    return operations * tokens / (c.fsdp_vllm.costs.training_tflops * 1e12) / 3600


def with_costs(plan: Plan, **values: float) -> Plan:
    """Return the plan with other values of fsdp_vllm.costs."""
    c = plan.configuration
    costs = c.fsdp_vllm.costs.model_copy(update=values)
    section = c.fsdp_vllm.model_copy(update={"costs": costs})
    return replace(plan, configuration=c.model_copy(update={"fsdp_vllm": section}))


def costs_text(plan: Plan) -> str:
    """Return the whole estimate as text."""
    c, costs = plan.configuration, plan.configuration.fsdp_vllm.costs
    runs = list(plan.trainings)
    models = list(dict.fromkeys(run.model for run in runs))
    lines = [
        f"{len(runs)} runs of {c.training.steps} steps; artefacts: {len(plan.graph.artefacts)}, one job each",
        "",
        f"GPU hours, assuming {costs.generation_speed:g} sampled tokens/s of 1e9 parameters, "
        f"{costs.training_tflops:g} TFLOP/s in training, "
        f"{costs.tokens_per_completion} tokens per completion, {costs.start_minutes:g} min to start a job:",
    ]
    targets = targets_of(plan)
    for target, names in targets.items():
        hours, jobs = gpu_hours(plan, plan.graph.upstream(names))
        lines += [f" {target}:"] if len(targets) > 1 else []
        lines += [f"  {rule:<18}{jobs[rule]:6} jobs {hours[rule]:10.1f} h" for rule in hours]
        lines.append(f"  {'together':<18}{jobs.total():6} jobs {hours.total():10.1f} h")
    lines += [
        "",
        "Disk for one run, in GB:",
    ]
    for model in models:
        run = next(run for run in runs if run.model == model)
        a = architecture_of(c, model)
        disk = cycle_disk(c, a, _snapshots(c, run.N))
        parts = ", ".join(f"{name} {size / GB:.3g}" for name, size in disk.items())
        kept = disk["state"] + disk["policy"] if c.fsdp_vllm.keep_state else 0.0
        lines.append(
            f"  {model}: {parts} per cycle; "
            f"at the peak {run_peak(c, a, run.N) / GB:.3g}, kept {kept / GB:.3g}"
        )
    peak = sum(run_peak(c, architecture_of(c, r.model), r.N) for r in runs)
    lines.append(
        f"  all runs at once: {peak / GB:.3g}; fewer at once take proportionally less (one figure at a time)"
    )
    lines += ["", f"Memory of a GPU, in GB, of {costs.gpu_memory_gb:g}:"]
    for model in models:
        lines += _memory_lines(c, model)
    return "\n".join(lines)


def targets_of(plan: Plan) -> dict[str, list[str]]:
    """Return the figures and tables of each target of `make plan`, without empty targets."""
    found = {
        "make figures": plan.graph.default,
        "beyond": plan.figures_of("beyond"),
        "calibration": ["calibration"],
    }
    names = {target: [n for n in published if n in plan.graph.targets] for target, published in found.items()}
    return {target: own for target, own in names.items() if own}


def model_of(c: Configuration, artefact: Artefact) -> str:
    """Return the name of the model that an artefact of a run is about: its slug begins with it."""
    return max((model for model in c.models if artefact.slug.startswith(f"{model}_")), key=len)


def gpu_hours(plan: Plan, artefacts: Iterable[Artefact] | None = None) -> tuple[Counter, Counter]:
    """Return GPU hours and number of jobs by rule, for some artefacts or all."""
    c, a = plan.configuration, plan.configuration.algorithm
    start = c.fsdp_vllm.costs.start_minutes / 60
    hours: Counter[str] = Counter()
    jobs: Counter[str] = Counter()
    for artefact in plan.graph.artefacts.values() if artefacts is None else artefacts:
        if artefact.kind not in RULES:
            continue
        model, p = architecture_of(c, model_of(c, artefact)), artefact.params
        if artefact.kind == "rollouts":
            completions = p["cycle"]["steps"] * a.prompts_per_step * a.group_size / p["shards"]
            spent = start + sampling_hours(c, model, completions)
        elif artefact.kind == "cycles":
            span = p["training"]["until"] - p["training"]["first_step"]
            rows = span * a.prompts_per_step * a.group_size
            spent = start * c.fsdp_vllm.processes + training_hours(c, model, rows)
            spent += scoring_hours(c, model, rows) if p["recompute_log_probs"] else 0
        else:
            own = build(EvaluationSpec, p["evaluation"])
            problems = {"train": own.train_problems, "test": own.test_problems}
            drawn = sum(problems[split] * n for split, n, *_ in own.drawings())
            spent = start + sampling_hours(c, model, drawn) + scoring_hours(c, model, drawn)
        hours[RULES[artefact.kind]] += spent
        jobs[RULES[artefact.kind]] += 1
    return hours, jobs


def problems(plan: Plan) -> list[str]:
    """Return what does not fit: models into the stated GPUs, training jobs into the memory they request."""
    c, found = plan.configuration, []
    limit, asked = SAFETY * c.fsdp_vllm.costs.gpu_memory_gb * GB, c.fsdp_vllm.jobs.train.memory_gb
    for model in dict.fromkeys(run.model for run in plan.trainings):
        a = architecture_of(c, model)
        for job, memory, remedy in (
            (
                "training",
                training_memory(c, a),
                "raise fsdp_vllm.processes, or lower fsdp_vllm.tokens_per_micro_batch",
            ),
            ("sampling", sampling_memory(c, a, _row(c)), "take larger GPUs"),
        ):
            if memory.total > limit:
                size = f"{memory.total / GB:.3g} GB"
                gpu = f"a GPU of {c.fsdp_vllm.costs.gpu_memory_gb:g} GB"
                found.append(f"{model} does not fit {gpu} in {job}: {size}; {remedy}")
        if host_memory(c, a) > asked * GB:
            found.append(
                f"{model}: a training job needs {host_memory(c, a) / GB:.3g} GB of main memory and requests "
                f"{asked}; raise fsdp_vllm.jobs.train.memory_gb"
            )
    return found


def _memory_lines(c: Configuration, model: str) -> list[str]:
    a = architecture_of(c, model)
    lines = [f"  {model}, {a.parameter_count() / 1e9:.3g}e9 parameters"]
    for job, memory in (("training", training_memory(c, a)), ("sampling", sampling_memory(c, a, _row(c)))):
        parts = ", ".join(f"{name} {size / GB:.3g}" for name, size in memory.parts.items())
        lines.append(f"    {job}: {memory.total / GB:.3g} ({parts})")
    host = host_memory(c, a)
    lines.append(
        f"    main memory of a training job: {host / GB:.3g}, of {c.fsdp_vllm.jobs.train.memory_gb} requested"
    )
    return lines


def host_memory(c: Configuration, a: Architecture) -> float:
    """Return the main memory of a training job.

    Every process reads the rollouts, and loads its share of the weights directly to its device; rank 0
    gathers the policy one file at a time. Without GPUs the device's memory is main memory, too.
    """
    rollouts = max(c.training.N.values(), default=1) * c.algorithm.prompts_per_step * c.algorithm.group_size
    process = PROCESS_BYTES[c.fsdp_vllm.device] + ROLLOUT_BYTES * rollouts * _row(c)
    process += training_memory(c, a).total if c.fsdp_vllm.device == "cpu" else 0
    return c.fsdp_vllm.processes * process + min(
        POLICY_BYTES[c.fsdp_vllm.dtype] * a.parameter_count(), POLICY_FILE
    )


def _row(c: Configuration) -> int:
    """Return the maximal number of tokens in a row."""
    longest = [d.max_new_tokens for d in (*c.data.values(), *c.tasks.values())]
    return c.fsdp_vllm.costs.tokens_per_prompt + max(longest)


def _snapshots(c: Configuration, steps: int) -> int:
    """Return the number of snapshots within a cycle of `steps` steps, not counting its end."""
    return max(-(-steps // c.training.snapshot_every) - 1, 0)


def run_peak(c: Configuration, a: Architecture, N: int) -> float:
    """Return the peak disk space of a run: a cycle trains while its predecessor still exists."""
    disk = cycle_disk(c, a, _snapshots(c, N))
    return 2 * (disk["state"] + disk["policy"]) + disk["snapshots"]
