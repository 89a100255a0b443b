rule simulate_bandit:
    output:
        directory(f"{RESULTS}/bandit/{{id}}"),
    log:
        f"{RESULTS}/logs/bandit/{{id}}.log",
    params:
        spec=spec_of("bandit"),
    priority: 2
    shell:
        "{SCRIPT}/simulate_bandit.py {params.spec:q} {output} > {log} 2>&1"
