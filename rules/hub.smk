# Engine hub: a job on GPUs for each shard of rollouts, each cycle of training, each evaluation of a snapshot.

from asymre.plan import cluster

HUB, JOBS = CONFIGURATION.hub, CONFIGURATION.hub.jobs
ON_GPU = HUB.device == "cuda"
# The same interpreter for all jobs but vLLM's, which has an environment of its own.
CONDA = any(str(method) == "conda" for method in workflow.deployment_settings.deployment_method)
PYTHON = {
    "train": "python" if CONDA else shlex.quote(sys.executable),
    "vllm": "python" if CONDA else shlex.quote(str(ROOT / ".venv-vllm/bin/python")),
}
# Flags as 0 and 1.
ENGINE_OPTIONS = " ".join(f"{name}={+value}" for name, value in HUB.vllm)
SCRIPTS = f"{shlex.quote(str(ROOT))}/scripts"


def on_gpus(job):
    """What gives a job its own GPUs, before its command."""
    count = HUB.processes if job == "train" else 1
    if not ON_GPU:
        return "env CUDA_VISIBLE_DEVICES= "
    return f"{shlex.quote(sys.executable)} {SCRIPTS}/with_gpus.py {count} -- "


def resources_of(job):
    """Resources of a kind of job; memory and time double with each attempt."""
    asked = getattr(JOBS, job)
    return {
        "gpu": (HUB.processes if job == "train" else 1) if ON_GPU else 0,
        "nodes": 1,  # Slurm may give GPUs of several
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
if not (CONDA or workflow.output_settings.dryrun or Path(ROOT / ".venv-vllm/.complete").is_file()):
    WRONG.append("vLLM has an environment of its own, .venv-vllm, which is missing: run make setup-vllm")
if WRONG:
    raise WorkflowError("no job can start:\n" + "\n".join(WRONG))


rule sample_rollouts:
    input:
        inputs_of("rollouts"),
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
        spec=spec_of("rollouts"),
        run=on_gpus("sample") + PYTHON["vllm"],
    shell:
        "{params.run} {SCRIPTS}/sample_rollouts_hub.py - {output} device={HUB.device} {ENGINE_OPTIONS}"
        " <<< {params.spec:q} > {log} 2>&1"


# Policy, snapshots and state are large: they go when nothing more will read them, but for the policy and
# the state of a run's last cycle, from which it can go on.
for last in (True, False) if PLAN.kept else (False,):

    rule:
        name:
            "train_last_cycle" if last else "train_cycle"
        input:
            inputs_of("cycles"),
        output:
            cycle=directory(f"{RESULTS}/cycles/{{id}}"),
            policy=(directory if last else temp_directory)(f"{RESULTS}/policies/{{id}}"),
            state=(directory if last else temp_directory)(f"{RESULTS}/state/{{id}}"),
            snapshots=temp_directory(f"{RESULTS}/snapshots/{{id}}"),
        log:
            f"{RESULTS}/logs/cycles/{{id}}.log",
        wildcard_constraints:
            id=f"[^/]+-({'|'.join(sorted(id.rpartition('-')[2] for id in PLAN.kept))})" if last else "[^/]+",
        priority: 2
        conda:
            "../envs/train.yaml"
        threads: JOBS.train.cpus
        resources:
            **resources_of("train"),
        params:
            spec=spec_of("cycles"),
            run=on_gpus("train") + PYTHON["train"],
        shell:
            "{params.run} {SCRIPTS}/train_cycle_hub.py - {output.cycle} device={HUB.device} processes={HUB.processes}"
            " tokens_per_micro_batch={HUB.tokens_per_micro_batch} tokens_per_chunk={HUB.tokens_per_chunk}"
            f" checkpointing={int(HUB.activation_checkpointing)}"
            " <<< {params.spec:q} > {log} 2>&1"


if PLAN.kept:

    ruleorder: train_last_cycle > train_cycle


rule evaluate_snapshot:
    input:
        inputs_of("snapshot_evaluation"),
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
        spec=spec_of("snapshot_evaluation"),
        run=on_gpus("evaluate") + PYTHON["vllm"],
    shell:
        "{params.run} {SCRIPTS}/evaluate_snapshot_hub.py - {output} device={HUB.device} {ENGINE_OPTIONS}"
        " tokens_per_micro_batch={HUB.tokens_per_micro_batch} tokens_per_chunk={HUB.tokens_per_chunk}"
        " <<< {params.spec:q} > {log} 2>&1"


rule join_cycles:
    input:
        inputs_of("training"),
    output:
        directory(f"{RESULTS}/training/{{id}}"),
    log:
        f"{RESULTS}/logs/training/{{id}}.log",
    localrule: True
    resources:
        mem_mb=500,
    params:
        spec=spec_of("training"),
    shell:
        "{SCRIPT}/join_cycles_hub.py - {output} <<< {params.spec:q} > {log} 2>&1"


rule join_evaluations:
    input:
        inputs_of("evaluation"),
    output:
        directory(f"{RESULTS}/evaluation/{{id}}"),
    log:
        f"{RESULTS}/logs/evaluation/{{id}}.log",
    localrule: True
    resources:
        mem_mb=500,
    params:
        spec=spec_of("evaluation"),
    shell:
        "{SCRIPT}/join_cycles_hub.py - {output} <<< {params.spec:q} > {log} 2>&1"


# On a node what a training job would find there: what is missing, all at once. Of no other target.
rule preflight:
    log:
        f"{RESULTS}/logs/preflight.log",
    # Whatever a profile says: what is missing is still missing.
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
