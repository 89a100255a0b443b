rule simulate_bandit:
    output:
        directory(f"{RESULTS}/bandit/{{id}}"),
    log:
        f"{RESULTS}/logs/bandit/{{id}}.log",
    priority: 2
    resources:
        mem_mb=1500,
    params:
        spec=RULES.spec_of("bandit"),
    shell:
        "{SCRIPT}/simulate_bandit.py - {output} <<< {params.spec:q} > {log} 2>&1"
