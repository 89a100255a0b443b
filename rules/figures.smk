rule choose_learning_rates:
    input:
        RULES.inputs_of("calibration"),
    output:
        directory(f"{RESULTS}/calibration/{{id}}"),
    log:
        f"{RESULTS}/logs/calibration/{{id}}.log",
    resources:
        mem_mb=600,
    params:
        spec=RULES.spec_of("calibration"),
    shell:
        "{SCRIPT}/choose_learning_rates.py - {output} <<< {params.spec:q} > {log} 2>&1"


rule plot_figure:
    input:
        RULES.inputs_of("figure"),
    output:
        directory(f"{RESULTS}/figure/{{id}}"),
    log:
        f"{RESULTS}/logs/figure/{{id}}.log",
    priority: 3
    localrule: True
    resources:
        mem_mb=700,
    params:
        spec=RULES.spec_of("figure"),
    shell:
        "{SCRIPT}/plot_figure.py - {output} <<< {params.spec:q} > {log} 2>&1"


rule check_claims:
    input:
        RULES.inputs_of("claims"),
    output:
        directory(f"{RESULTS}/claims/{{id}}"),
    log:
        f"{RESULTS}/logs/claims/{{id}}.log",
    priority: 3
    localrule: True
    resources:
        mem_mb=600,
    params:
        spec=RULES.spec_of("claims"),
    shell:
        "{SCRIPT}/check_claims.py - {output} <<< {params.spec:q} > {log} 2>&1"


# A stable name such as figures/figure_03.pdf does not show what made it; its stamp, named by the id, does.
# Publishing a figure removes the stamp of the one that it replaces, so returning to an old value publishes again.
for name, figure in PLAN.figures.items():

    rule:
        name:
            name
        input:
            ancient(f"{RESULTS}/{figure.path}"),
        output:
            stamp=f"{RESULTS}/{STAMPS}/{figure.id}",
            png=report(
                f"{RESULTS}/figures/{stem(name)}.png",
                caption="../docs/report/figure.rst",
                category=(
                    "Calibration" if name == "calibration" else "Bandit" if name in BANDIT else "Training"
                ),
                labels={"figure": name},
            ),
            pdf=f"{RESULTS}/figures/{stem(name)}.pdf",
            csv=f"{RESULTS}/figures/{stem(name)}.csv",
            txt=f"{RESULTS}/figures/{stem(name)}.txt",
            lineage=report(
                f"{RESULTS}/figures/{stem(name)}.lineage.html",
                caption="../docs/report/lineage.rst",
                category="Provenance",
                labels={"figure": name},
            ),
        log:
            f"{RESULTS}/logs/publish/{figure.id}.log",
        priority: 3
        localrule: True
        resources:
            mem_mb=300,
        params:
            caption=figure.params["caption"],
            stem=stem(name),
        shell:
            "{SCRIPT}/publish.py {input} {params.stem} {output.stamp} > {log} 2>&1"


for name, table in PLAN.claims.items():

    rule:
        name:
            name
        input:
            ancient(f"{RESULTS}/{table.path}"),
        output:
            stamp=f"{RESULTS}/{STAMPS}/{table.id}",
            csv=f"{RESULTS}/{name}.csv",
            md=f"{RESULTS}/{name}.md",
            html=report(
                f"{RESULTS}/{name}.html",
                caption="../docs/report/claims.rst",
                category="Claims",
                labels={"table": name},
            ),
            rst=f"{RESULTS}/{name}.rst",
        log:
            f"{RESULTS}/logs/publish/{table.id}.log",
        priority: 3
        localrule: True
        resources:
            mem_mb=300,
        params:
            stem=name,
        shell:
            "{SCRIPT}/publish.py {input} {params.stem} {output.stamp} > {log} 2>&1"


rule save_configuration:
    output:
        stamp=f"{RESULTS}/{STAMPS}/{PLAN.configuration_id}",
        yaml=report(
            f"{RESULTS}/configuration.yaml",
            caption="../docs/report/configuration.rst",
            category="Configuration",
        ),
        runs=report(
            f"{RESULTS}/runs.csv",
            caption="../docs/report/runs.rst",
            category="Configuration",
        ),
    log:
        f"{RESULTS}/logs/configuration.log",
    localrule: True
    resources:
        mem_mb=400,
    params:
        saved=lambda wildcards: PLAN.configuration_json(),
    shell:
        "{SCRIPT}/save_configuration.py {output} <<< {params.saved:q} > {log} 2>&1"
