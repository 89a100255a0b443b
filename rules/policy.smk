rule generate_problems:
    output:
        directory(f"{RESULTS}/problems/{{id}}"),
    log:
        f"{RESULTS}/logs/problems/{{id}}.log",
    params:
        spec=spec_of("problems"),
    priority: 1
    shell:
        "{SCRIPT}/generate_problems.py {params.spec:q} {output} > {log} 2>&1"


rule train_base_policy:
    output:
        directory(f"{RESULTS}/base_policy/{{id}}"),
    log:
        f"{RESULTS}/logs/base_policy/{{id}}.log",
    params:
        spec=spec_of("base_policy"),
    priority: 1
    shell:
        "{SCRIPT}/train_base_policy.py {params.spec:q} {output} > {log} 2>&1"
