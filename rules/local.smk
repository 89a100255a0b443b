# Engine local: a run is one job, or several jobs of some cycles each.


rule sample_rollouts:
    input:
        RULES.inputs_of("rollouts"),
    output:
        directory(f"{RESULTS}/rollouts/{{id}}"),
    log:
        f"{RESULTS}/logs/rollouts/{{id}}.log",
    resources:
        mem_mb=600,
    params:
        spec=RULES.spec_of("rollouts"),
    shell:
        "{SCRIPT}/sample_rollouts_local.py - {output} <<< {params.spec:q} > {log} 2>&1"


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
        mem_mb=700,
    params:
        spec=RULES.spec_of("training"),
        joined=RULES.joined_of("training"),
    shell:
        "{SCRIPT}/train_policy_local.py - {output} {params.joined} <<< {params.spec:q} > {log} 2>&1"


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
