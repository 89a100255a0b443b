"""Each attribute of Snakemake that store/snakemake_private.py touches: failures say what an upgrade broke."""

import ast
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import snakemake

from store import snakemake_private
from tests.store.toy import ROOT, elsewhere, forks

SNAKEFILE = """
import json, sys
sys.path.insert(0, {root!r})
from store import snakemake_private as private

NAMES = dict(workflow=workflow, private=private)

def note(file):
    found = {{}}
    for expression in json.load(open("expressions.json")):
        try:
            found[expression] = eval(expression, NAMES)
        except Exception as error:
            found[expression] = f"{{type(error).__name__}}: {{error}}"
    json.dump(found, open(file, "w"), default=str)

def inputs(wildcards):
    note("asked.json" if not workflow.remote_exec and not workflow.subprocess_exec else "job.json")
    return []

rule all:
    input: "b", "c"

rule a:
    output: temp("a"), "d"
    input: inputs
    run:
        for file in output: open(file, "w").close()

rule b:
    input: "a"
    output: "b"
    shell: "touch {{output}}"

rule c:
    output: "c"
    shell: "touch {{output}}"

onstart: note("started.json")
onsuccess: note("ended.json")
"""
# Options, and what an input function, the first code that runs when they are known, has to see of them.
FORCED = ["-n", "-f", "-F", "-R", "a", "b", "--rerun-incomplete", "--until", "b", "--omit-from", "c"]
FORCED += ["--max-jobs-per-timespan", "7/3s", "--cores", "3", "--resources", "gpu=2"]
FORCED += ["--default-resources", "mem_mb=100", "slurm_extra='x'", "--software-deployment-method", "conda"]
PLAIN = ["--cores", "1"]
BATCH = ["-n", "--batch", "all=1/2"]

ASKED = [
    # where, expression, with FORCED, with PLAIN
    ("is_job_process", "workflow.remote_exec", False, False),
    ("is_job_process", "workflow.subprocess_exec", False, False),
    ("is_job_process", "private.is_job_process(workflow)", False, False),
    ("is_dry_run", "workflow.output_settings.dryrun", True, False),
    ("is_dry_run", "private.is_dry_run(workflow)", True, False),
    ("uses_conda", "[str(m) for m in workflow.deployment_settings.deployment_method]", ["conda"], []),
    ("uses_conda", "private.uses_conda(workflow)", True, False),
    (
        "default_resources",
        "sorted(str(e.raw) for e in (workflow.resource_settings.default_resources or {}).values())",
        ["'x'", "100", "None", "system_tmpdir"],
        [],
    ),
    (
        "default_resources",
        "sorted(private.default_resources(workflow))",
        ["disk_mb", "mem_mb", "slurm_extra", "tmpdir"],
        [],
    ),
    ("resource_limits", "workflow.global_resources['_cores'].value", 3, 1),
    (
        "resource_limits",
        "{k: v for k, v in private.resource_limits(workflow).items() if k[0] != '_'}",
        {"gpu": 2},
        {},
    ),
    ("settle_options", "workflow.dag_settings.force_incomplete", True, False),
    (
        "settle_options",
        "[workflow.scheduling_settings.max_jobs_per_timespan.max_jobs,"
        " workflow.scheduling_settings.max_jobs_per_timespan.timespan]",
        [7, 3],
        [100, 1],  # Snakemake's default, which settle_options takes away
    ),
    ("forced", "workflow.dag_settings.forcetargets", True, False),
    ("forced", "workflow.dag_settings.forceall", True, False),
    ("forced", "sorted(workflow.dag_settings.forcerun)", ["a", "b"], []),
    ("absent", "sorted(workflow.dag_settings.until)", ["b"], []),
    ("absent", "sorted(workflow.dag_settings.omit_from)", ["c"], []),
    ("absent", "bool(workflow.dag_settings.batch)", False, False),
]
DAG = "workflow.persistence.dag"
RUNNING = [
    # where, expression, when jobs are known, when all have ended well
    ("is_planned", f"sorted(j.rule.name for j in {DAG}.needrun_jobs())", ["a", "all", "b", "c"], []),
    ("is_planned", "[private.is_planned(workflow, rule) for rule in 'ax']", [True, False], [False] * 2),
    ("absent", f"[j.rule.name for j in {DAG}.targetjobs]", ["all"], ["all"]),
    ("absent", f"sorted(str(f) for j in {DAG}.targetjobs for f in j.input)", ["b", "c"], ["b", "c"]),
    ("absent", f"[str(f) for j in {DAG}.targetjobs for f in j.output]", [], []),
    ("absent", "private.absent(workflow)", ["b", "c"], []),
    (
        "_is_temp",
        f"sorted(str(f) for j in {DAG}.jobs for f in j.output if 'temp' in f.flags)",
        ["a"],
        ["a"],
    ),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, dict]:
    """What runs of Snakemake with these options saw, by run and moment."""
    seen = {}
    for name, arguments in (("forced", FORCED), ("plain", PLAIN), ("batch", BATCH)):
        folder = tmp_path_factory.mktemp(name)
        (folder / "Snakefile").write_text(SNAKEFILE.format(root=str(ROOT)), encoding="utf-8")
        expressions = [expression for _, expression, *_ in ASKED + RUNNING]
        (folder / "expressions.json").write_text(json.dumps(expressions), encoding="utf-8")
        environment, output = os.environ | {"XDG_CACHE_HOME": str(elsewhere())}, folder / "output.txt"
        status = forks().wait(forks().start(folder, arguments, environment, output))
        assert status == 0, output.read_text(encoding="utf-8")
        for file in folder.glob("*.json"):
            seen[f"{name} {file.stem}"] = json.loads(file.read_text(encoding="utf-8"))
    return seen


def check(found: dict[str, dict], file: str, where: str, expression: str, expected: object) -> None:
    seen = found[file][expression]
    assert seen == expected, (
        f"Snakemake {snakemake.__version__} broke {where} in store/snakemake_private.py: "
        f"{expression} is {seen!r} and not {expected!r}"
    )


@pytest.mark.parametrize(("where", "expression", "forced", "plain"), ASKED, ids=[row[1] for row in ASKED])
def test_an_input_function_sees_the_options(found, where, expression, forced, plain):
    check(found, "forced asked", where, expression, forced)
    check(found, "plain asked", where, expression, plain)


@pytest.mark.parametrize(("where", "expression", "start", "end"), RUNNING, ids=[row[1] for row in RUNNING])
def test_a_run_knows_its_jobs(found, where, expression, start, end):
    check(found, "plain started", where, expression, start)
    check(found, "plain ended", where, expression, end)


def test_a_process_of_a_single_job_is_told_from_the_command_of_a_user(found):
    """Snakemake starts one for a rule with `run`, and one on another machine for each job of a cluster."""
    for expression, expected in (
        ("workflow.subprocess_exec", True),
        ("workflow.remote_exec", False),
        ("private.is_job_process(workflow)", True),
    ):
        check(found, "plain job", "is_job_process", expression, expected)


def test_a_batch_is_less_than_the_targets(found):
    check(found, "batch asked", "absent", "bool(workflow.dag_settings.batch)", True)


def test_every_attribute_that_is_touched_has_a_test():
    """By name: an attribute of Snakemake that is new in the module needs a row above."""
    tree = ast.parse(Path(snakemake_private.__file__).read_text(encoding="utf-8"))
    touched = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    own = {"exit", "items", "exists", "join"}
    tested = " ".join(expression for _, expression, *_ in ASKED + RUNNING)
    assert {name for name in touched - own if name not in tested} == set()


# --- what is made of them -------------------------------------------------------------------------


def workflow(**options) -> SimpleNamespace:
    """A workflow with what settle_options reads."""
    dag = {"force_incomplete": True, "forcetargets": False, "forceall": False, "forcerun": set()}
    limit = SimpleNamespace(max_jobs=options.pop("max_jobs", 100), timespan=1)
    job = options.pop("job", False)
    return SimpleNamespace(
        remote_exec=job,
        subprocess_exec=False,
        dag_settings=SimpleNamespace(**dag | options),
        scheduling_settings=SimpleNamespace(max_jobs_per_timespan=limit),
    )


def test_what_a_profile_says_of_killed_runs_and_the_default_limit_of_jobs_are_overridden():
    settled = workflow()
    snakemake_private.settle_options(settled, "results/a")
    assert settled.dag_settings.force_incomplete is False
    assert settled.scheduling_settings.max_jobs_per_timespan is None
    limited = workflow(max_jobs=5)
    snakemake_private.settle_options(limited, "results/a")
    assert limited.scheduling_settings.max_jobs_per_timespan.max_jobs == 5, "a limit that was given"


def test_options_that_force_jobs_are_refused_but_for_snakemakes_own_processes():
    given = workflow(forcetargets=True, forcerun={"b", "a"})
    with pytest.raises(SystemExit, match="--force and --forcerun a b would rebuild .* in results/a/ instead"):
        snakemake_private.settle_options(given, "results/a")
    snakemake_private.settle_options(workflow(job=True, forceall=True), "results/a")
