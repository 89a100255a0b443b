rule generate_problems:
    output:
        directory(f"{RESULTS}/problems/{{id}}"),
    log:
        f"{RESULTS}/logs/problems/{{id}}.log",
    priority: 1
    params:
        spec=spec_of("problems"),
    shell:
        "{SCRIPT}/generate_problems.py - {output} <<< {params.spec:q} > {log} 2>&1"


rule train_base_policy:
    output:
        directory(f"{RESULTS}/base_policy/{{id}}"),
    log:
        f"{RESULTS}/logs/base_policy/{{id}}.log",
    priority: 1
    params:
        spec=spec_of("base_policy"),
    shell:
        "{SCRIPT}/train_base_policy.py - {output} <<< {params.spec:q} > {log} 2>&1"
