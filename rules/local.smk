# Engine local: a run is one job, or several jobs of some cycles each.

LOCAL = CONFIGURATION.local
ON_DEVICE = f"device={LOCAL.device}" if LOCAL else ""
if LOCAL:
    from workflow import cluster, local_costs, machine

    # On a cluster a node's memory counts, not that of the machine from which jobs start.
    HERE = machine.memory_limit(os.environ) if not cluster.uses_slurm(workflow) else (float("inf"), "")
    if WRONG := local_costs.problems(CONFIGURATION, *HERE):
        raise WorkflowError("no job can start:\n" + "\n".join(WRONG))
    # Memory in large pages: a step is a quarter faster. torch reads this in every job.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def memory(stand_in):
    """Return the megabytes of a job that loads a policy."""
    return 1000 * LOCAL.memory_gb if LOCAL else stand_in


def device_of_run(wildcards):
    """Return the option of a pretrained model's run; a stand-in is trained on the CPU."""
    return ON_DEVICE if "pretrained" in RULES.script_of("training")(wildcards) else ""


rule rate_base_policy:
    input:
        RULES.inputs_of("pass_rates"),
    output:
        directory(f"{RESULTS}/pass_rates/{{id}}"),
    log:
        f"{RESULTS}/logs/pass_rates/{{id}}.log",
    resources:
        mem_mb=memory(700),
    params:
        spec=RULES.spec_of("pass_rates"),
    shell:
        "{SCRIPT}/rate_base_policy.py - {output} {ON_DEVICE} <<< {params.spec:q} > {log} 2>&1"


rule sample_rollouts:
    input:
        RULES.inputs_of("rollouts"),
    output:
        directory(f"{RESULTS}/rollouts/{{id}}"),
    log:
        f"{RESULTS}/logs/rollouts/{{id}}.log",
    resources:
        mem_mb=memory(600),
    params:
        spec=RULES.spec_of("rollouts"),
    shell:
        "{SCRIPT}/sample_rollouts_local.py - {output} {ON_DEVICE} <<< {params.spec:q} > {log} 2>&1"


rule train_cycles:
    input:
        RULES.inputs_of("cycles"),
    output:
        directory(f"{RESULTS}/cycles/{{id}}"),
    log:
        f"{RESULTS}/logs/cycles/{{id}}.log",
    resources:
        mem_mb=700,
    params:
        spec=RULES.spec_of("cycles"),
    shell:
        "{SCRIPT}/train_policy_local.py - {output} <<< {params.spec:q} > {log} 2>&1"


# The whole run in one job, or, with a smaller training.cycles_per_job, the pieces from train_cycles joined.
rule train_policy:
    input:
        RULES.inputs_of("training"),
    output:
        directory(f"{RESULTS}/training/{{id}}"),
    log:
        f"{RESULTS}/logs/training/{{id}}.log",
    resources:
        mem_mb=memory(700),
    params:
        spec=RULES.spec_of("training"),
        script=RULES.script_of("training"),
        joined=RULES.joined_of("training"),
        device=device_of_run,
    shell:
        "{RUN}/{params.script} - {output} {params.joined} {params.device} <<< {params.spec:q} > {log} 2>&1"


rule evaluate_policy:
    input:
        RULES.inputs_of("evaluation"),
    output:
        directory(f"{RESULTS}/evaluation/{{id}}"),
    log:
        f"{RESULTS}/logs/evaluation/{{id}}.log",
    resources:
        mem_mb=700,
    params:
        spec=RULES.spec_of("evaluation"),
    shell:
        "{SCRIPT}/evaluate_policy_local.py - {output} <<< {params.spec:q} > {log} 2>&1"
