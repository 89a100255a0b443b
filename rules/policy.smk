rule make_problems:
    output:
        directory(f"{RESULTS}/problems/{{id}}"),
    log:
        f"{RESULTS}/logs/problems/{{id}}.log",
    priority: 1
    # NuminaMath: hundreds of thousands of answers to verify, all in memory.
    threads: 8 if CONFIGURATION.data else 1
    resources:
        mem_mb=lambda wildcards, attempt: (8000 if CONFIGURATION.data else 500) * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        spec=RULES.spec_of("problems"),
        script=RULES.script_of("problems"),
    shell:
        "{RUN}/{params.script} - {output} <<< {params.spec:q} > {log} 2>&1"


rule make_base_policy:
    output:
        directory(f"{RESULTS}/base_policy/{{id}}"),
    log:
        f"{RESULTS}/logs/base_policy/{{id}}.log",
    priority: 1
    resources:
        mem_mb=4000 if CONFIGURATION.pretrained else 700,
    params:
        spec=RULES.spec_of("base_policy"),
        script=RULES.script_of("base_policy"),
    shell:
        "{RUN}/{params.script} - {output} <<< {params.spec:q} > {log} 2>&1"
