# Engine fsdp_vllm: a job on GPUs for each shard of rollouts, each cycle of training, each evaluation of a snapshot.

from workflow import cluster

SETTINGS, JOBS = CONFIGURATION.fsdp_vllm, CONFIGURATION.fsdp_vllm.jobs
ON_GPU = SETTINGS.device == "cuda"
# vLLM has its own environment; all other jobs use this interpreter.
CONDA = snakemake_private.uses_conda(workflow)
PYTHON = {
    "train": "python" if CONDA else shlex.quote(sys.executable),
    "vllm": "python" if CONDA else shlex.quote(str(ROOT / ".venv-vllm/bin/python")),
}
# Flags as 0 and 1.
ENGINE_OPTIONS = " ".join(f"{name}={+value}" for name, value in SETTINGS.vllm)
SCRIPTS = f"{shlex.quote(str(ROOT))}/scripts"


def checkpoint(path, temporary):
    return temp(directory(path)) if temporary else directory(path)


def on_gpus(job):
    """Return the prefix of a command that gives a job its own GPUs."""
    count = SETTINGS.processes if job == "train" else 1
    if not ON_GPU:
        return "env CUDA_VISIBLE_DEVICES= "
    return f"{shlex.quote(sys.executable)} {SCRIPTS}/with_gpus.py {count} -- "


def resources_of(job):
    """Return the resources of a kind of job; memory and time double with each attempt."""
    asked = getattr(JOBS, job)
    return {
        "gpu": (SETTINGS.processes if job == "train" else 1) if ON_GPU else 0,
        "nodes": 1,  # Slurm may otherwise give GPUs of several
        "mem_mb": lambda wildcards, attempt: 1000 * asked.memory_gb * 2 ** (attempt - 1),
        "runtime": lambda wildcards, attempt: asked.minutes * 2 ** (attempt - 1),
    }


ASKED = {
    name: {
        "gpu": resources_of(job)["gpu"],
        "threads": getattr(JOBS, job).cpus,
        "mem_mb": 1000 * getattr(JOBS, job).memory_gb,
    }
    for name, job in (
        ("sample_rollouts", "sample"),
        ("train_cycle", "train"),
        ("evaluate_snapshot", "evaluate"),
    )
}
WRONG = cluster.check(workflow, ASKED)
if not (CONDA or snakemake_private.is_dry_run(workflow) or Path(ROOT / ".venv-vllm/.complete").is_file()):
    WRONG.append("vLLM has an environment of its own, .venv-vllm, which is missing: run make setup-vllm")
if WRONG:
    raise WorkflowError("no job can start:\n" + "\n".join(WRONG))


rule sample_rollouts:
    input:
        RULES.inputs_of("rollouts"),
    output:
        directory(f"{RESULTS}/rollouts/{{id}}"),
    log:
        f"{RESULTS}/logs/rollouts/{{id}}.log",
    priority: 1
    conda:
        "../envs/vllm.yaml"
    threads: JOBS.sample.cpus
    resources:
        **resources_of("sample"),
    params:
        spec=RULES.spec_of("rollouts"),
        run=on_gpus("sample") + PYTHON["vllm"],
    shell:
        "{params.run} {SCRIPTS}/sample_rollouts_vllm.py - {output} device={SETTINGS.device} {ENGINE_OPTIONS}"
        " <<< {params.spec:q} > {log} 2>&1"


# Checkpoints are large, so temporary, except the policy and state of a run's last cycle, from which it can
# continue.
for last in (True, False) if PLAN.last_cycles else (False,):

    rule:
        name:
            "train_last_cycle" if last else "train_cycle"
        input:
            RULES.inputs_of("cycles"),
        output:
            cycle=directory(f"{RESULTS}/cycles/{{id}}"),
            policy=checkpoint(f"{RESULTS}/policies/{{id}}", temporary=not last),
            state=checkpoint(f"{RESULTS}/state/{{id}}", temporary=not last),
            snapshots=checkpoint(f"{RESULTS}/snapshots/{{id}}", temporary=True),
        log:
            f"{RESULTS}/logs/cycles/{{id}}.log",
        wildcard_constraints:
            id=(
                f"[^/]+-({'|'.join(sorted(id.rpartition('-')[2] for id in PLAN.last_cycles))})"
                if last
                else "[^/]+"
            ),
        priority: 2
        conda:
            "../envs/train.yaml"
        threads: JOBS.train.cpus
        resources:
            **resources_of("train"),
        params:
            spec=RULES.spec_of("cycles"),
            run=on_gpus("train") + PYTHON["train"],
        shell:
            "{params.run} {SCRIPTS}/train_cycle_fsdp.py - {output.cycle} device={SETTINGS.device} processes={SETTINGS.processes}"
            " tokens_per_micro_batch={SETTINGS.tokens_per_micro_batch} tokens_per_chunk={SETTINGS.tokens_per_chunk}"
            f" checkpointing={int(SETTINGS.activation_checkpointing)}"
            " <<< {params.spec:q} > {log} 2>&1"


if PLAN.last_cycles:

    ruleorder: train_last_cycle > train_cycle


rule evaluate_snapshot:
    input:
        RULES.inputs_of("snapshot_evaluation"),
    output:
        directory(f"{RESULTS}/snapshot_evaluation/{{id}}"),
    log:
        f"{RESULTS}/logs/snapshot_evaluation/{{id}}.log",
    priority: 3
    conda:
        "../envs/vllm.yaml"
    threads: JOBS.evaluate.cpus
    resources:
        **resources_of("evaluate"),
    params:
        spec=RULES.spec_of("snapshot_evaluation"),
        run=on_gpus("evaluate") + PYTHON["vllm"],
    shell:
        "{params.run} {SCRIPTS}/evaluate_snapshot_vllm.py - {output} device={SETTINGS.device} {ENGINE_OPTIONS}"
        " tokens_per_micro_batch={SETTINGS.tokens_per_micro_batch} tokens_per_chunk={SETTINGS.tokens_per_chunk}"
        " <<< {params.spec:q} > {log} 2>&1"


rule join_cycles:
    input:
        RULES.inputs_of("training"),
    output:
        directory(f"{RESULTS}/training/{{id}}"),
    log:
        f"{RESULTS}/logs/training/{{id}}.log",
    localrule: True
    resources:
        mem_mb=500,
    params:
        spec=RULES.spec_of("training"),
    shell:
        "{SCRIPT}/join_cycles.py - {output} <<< {params.spec:q} > {log} 2>&1"


rule join_evaluations:
    input:
        RULES.inputs_of("evaluation"),
    output:
        directory(f"{RESULTS}/evaluation/{{id}}"),
    log:
        f"{RESULTS}/logs/evaluation/{{id}}.log",
    localrule: True
    resources:
        mem_mb=500,
    params:
        spec=RULES.spec_of("evaluation"),
    shell:
        "{SCRIPT}/join_cycles.py - {output} <<< {params.spec:q} > {log} 2>&1"


# Report, from a node, everything that a training job would lack there. No other target depends on it.
rule preflight:
    log:
        f"{RESULTS}/logs/preflight.log",
    # Overrides profiles: a retry would find the same.
    retries: 0
    conda:
        "../envs/train.yaml"
    threads: JOBS.train.cpus
    resources:
        **resources_of("train"),
    params:
        configuration=lambda wildcards: PLAN.configuration_json(),
        run=PYTHON["train"],
    shell:
        "{params.run} {SCRIPTS}/../tools/preflight.py - <<< {params.configuration:q} > {log} 2>&1"
