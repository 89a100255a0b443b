"""What tests of several rooms share: copies of the repository, commands in them, plans of them."""

import filecmp
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from asymre.architecture import Architecture
from asymre.engines.local.tokenizer import VOCABULARY_SIZE
from paper.configuration import reading
from store import fingerprint, stale
from store import folder as kept
from workflow.plan import Plan, build

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ["Snakefile", "rules", "scripts", "tools", "asymre", "paper", "store", "workflow"]
SOURCES += ["config", "envs", "profiles", "docs", "requirements.txt"]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--cores", "2"]
SMOKE = ("--config", "scale=smoke")
# What Jupyter and Colab set.
NOTEBOOK = "module://matplotlib_inline.backend_inline"

# --- copies of the repository -------------------------------------------------------------------


def copy_sources(target: Path) -> Path:
    """Copy the repository without tests, results and gallery."""
    target.mkdir(parents=True)
    ignore = shutil.ignore_patterns("__pycache__", "gallery")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignore)
        else:
            shutil.copy(source, target / name)
    return target


def edit(path: Path, old: str, new: str) -> None:
    """Replace the first occurrence of a text that must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def assert_same_files(old: Path, new: Path, but: tuple[str, ...] = ()) -> None:
    """Compare two folders byte by byte, apart from the files `but`."""
    names, new_names = (
        {
            str(p.relative_to(folder))
            for p in folder.rglob("*")
            if p.is_file() and p.name != ".snakemake_timestamp"
        }
        - set(but)
        for folder in (old, new)
    )
    assert names == new_names
    _, different, errors = filecmp.cmpfiles(old, new, names, shallow=False)
    assert not different and not errors


# --- commands in them ---------------------------------------------------------------------------


def run(folder: Path, *arguments, command=SNAKEMAKE, **variables) -> subprocess.CompletedProcess:
    """Run a command, by default Snakemake, in a folder; a variable of None is unset."""
    # A cache folder of its own: a test must not depend on the user's.
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / ".cache"), "COLUMNS": "200"} | variables
    return subprocess.run(
        [*command, *map(str, arguments)],
        cwd=folder,
        env={name: value for name, value in environment.items() if value is not None},
        text=True,
        encoding="utf-8",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def snakemake(folder: Path, *arguments: str, check: bool = True) -> str:
    """Run Snakemake in a copy of the repository and return what it prints."""
    done = run(folder, *arguments)
    assert not check or done.returncode == 0, done.stdout
    return done.stdout


def command(clone: Path, *arguments) -> subprocess.CompletedProcess:
    """Run Python on the modules of a copy."""
    return run(clone, *arguments, command=[sys.executable], PYTHONPATH=str(clone))


def by_hand(clone: Path, script: str, *arguments) -> subprocess.CompletedProcess:
    """Run one of the scripts of a copy, without Snakemake."""
    return command(clone, clone / "scripts" / script, *arguments)


def tool(clone: Path, name: str, *arguments) -> subprocess.CompletedProcess:
    """Run one of people's commands, as the Makefile calls it."""
    return command(clone, "-m", f"tools.{name}", *arguments)


def call(main: Callable, folder: Path, *arguments) -> tuple[int, str]:
    """Run the main function of a command in this process; return its exit status and what it prints.

    As good as a process of its own where the folder holds the sources that are imported here.
    """
    output, words = io.StringIO(), list(map(str, arguments))
    with (
        chdir(folder),
        redirect_stdout(output),
        redirect_stderr(output),
        patch.object(sys, "argv", [main.__module__, *words]),
    ):
        try:
            main()
        except SystemExit as end:
            if isinstance(end.code, int | None):
                return end.code or 0, output.getvalue()
            return 1, f"{output.getvalue()}{end.code}\n"
    return 0, output.getvalue()


def finish(folder: Path, chosen: str, *targets: str) -> None:
    """Make the results of a scale or a configuration file in a copy, without Snakemake (tests/finish.py)."""
    command = [sys.executable, "-P", str(ROOT / "tests/finish.py")]
    done = run(folder, chosen, *targets, command=command, PYTHONPATH=str(folder))
    assert done.returncode == 0, done.stdout


def program(path: Path, text: str) -> None:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


# --- what would run -----------------------------------------------------------------------------

RULES = {
    "bandit": "simulate_bandit",
    "problems": "make_problems",
    "base_policy": "make_base_policy",
    "rollouts": "sample_rollouts",
    "calibration": "choose_learning_rates",
    "figure": "plot_figure",
    "claims": "check_claims",
}
OF_ENGINE = {
    "local": {"cycles": "train_cycles", "training": "train_policy", "evaluation": "evaluate_policy"},
    "fsdp_vllm": {
        "cycles": "train_cycle",
        "snapshot_evaluation": "evaluate_snapshot",
        "training": "join_cycles",
        "evaluation": "join_evaluations",
    },
}


def plan_of(folder: Path, configfile: str | None = None, scale: str | None = "smoke") -> Plan:
    """Return the plan of a copy as its files are now."""
    for function in vars(fingerprint).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()
    overlay = reading.read(folder / configfile) if configfile else {"scale": scale}
    return build(folder, reading.load(folder, overlay, configfile or "--config"))


def planned(folder: Path, *targets: str, configfile: str | None = None) -> dict[str, int]:
    """Count by rule the jobs that Snakemake would run in a copy, without starting it.

    targets: figures and tables of claims, by default what `snakemake` makes. configfile: an overlay in the
    folder; without one, scale smoke. tests/workflow/test_planned.py compares this with Snakemake.
    """
    plan = plan_of(folder, configfile)
    graph, results = plan.graph, folder / "results" / plan.configuration.results
    stamps = kept.read_stamps(results)
    unpublished = [name for name in targets or graph.default if graph.targets[name].id not in stamps]
    graph = replace(graph, default=tuple(unpublished))
    existing = kept.existing(results, graph.kinds)
    rules = RULES | OF_ENGINE[plan.configuration.engine]
    jobs = Counter(
        "train_last_cycle" if artefact.id in plan.last_cycles else rules[artefact.kind]
        for artefact in stale.missing(graph, existing, set())
    )
    # The rules that publish are named by what they publish.
    jobs.update(unpublished)
    if not targets and plan.configuration_id not in stamps:
        jobs["save_configuration"] += 1
    return dict(jobs)


def planned_by_snakemake(folder: Path, *arguments: str) -> dict[str, int]:
    """Count by rule the jobs of a dry run, without the collecting target."""
    output = snakemake(folder, "-n", *(arguments or SMOKE))
    jobs = counts(output)
    assert jobs or "Nothing to be done" in output, output
    jobs.pop("all", None)
    return jobs


def counts(output: str) -> dict[str, int]:
    """Read the number of jobs by rule from Snakemake's table of them."""
    jobs = {
        name.replace(" ", "_"): int(n) for name, n in re.findall(r"^ (\w[\w ]*?) {2,}(\d+) *$", output, re.M)
    }
    assert jobs.pop("total", 0) == sum(jobs.values())
    return jobs


# --- configurations -----------------------------------------------------------------------------

GPU_RUN = {"model": "llama-8b", "dataset": "math", "objective": "grpo", "N": 250, "seeds": 0}
_PANELS = [{"title": "t", "measure": "test_accuracy", "runs": [GPU_RUN]}]
# The gpu scale, all of whose figures show one run: planned in a fiftieth of the time.
ONE_GPU_RUN = {
    "scale": "gpu",
    "results": "mine",
    "figures": {f"figure_{n}": {"panels": _PANELS, "runs": []} for n in (3, 4, 5, 8, 9, 10, 11, 12, 13)},
}

# --- policies -----------------------------------------------------------------------------------


def tiny(family="llama", key_value_heads=2, tie_embeddings=True) -> Architecture:
    """Return an architecture of about 4,000 parameters, with no field at its default."""
    return Architecture(
        family=family,
        hidden_size=16,
        intermediate_size=24,
        layers=2,
        heads=4,
        key_value_heads=key_value_heads,
        vocabulary_size=VOCABULARY_SIZE,
        tie_embeddings=tie_embeddings,
        rope_theta=500.0,
        norm_epsilon=1e-3,
    )


def module_of(file: str):
    """Return a program, such as a script, as a module."""
    spec = importlib.util.spec_from_file_location(Path(file).stem, ROOT / file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
