"""Make results with the project's own scripts, in a few processes and without Snakemake.

PYTHONPATH=COPY python -P tests/finish.py SCALE-OR-CONFIGFILE [TARGET ...], in a copy of the repository

A start of Python and torch for each job would take five times as long. tests/workflow/test_smoke.py compares
the results with Snakemake's, byte by byte.
"""

import io
import multiprocessing
import runpy
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import redirect_stdout
from pathlib import Path

from paper.published import stem
from scripts import publish, save_configuration
from store.graph import Graph
from store.publish import STAMPS
from tools.options import chosen_plan
from workflow.plan import Plan


def run_job(script: str, spec: str, results: Path, path: str, joined: list[str]) -> None:
    """Run the job of an artefact in this process, with the log that its rule writes."""
    log = results / f"logs/{path}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.argv = [script, "-", str(results / path), *(str(results / folder) for folder in joined)]
    sys.stdin = io.StringIO(spec)
    with log.open("w", encoding="utf-8") as stream, redirect_stdout(stream):
        runpy.run_path(script, run_name="__main__")


def missing(graph: Graph, results: Path, targets: tuple[str, ...]) -> dict[str, set[str]]:
    """Return what the targets need and what does not exist, each with its missing inputs."""
    waiting, found = [graph.targets[name].path for name in targets], {}
    while waiting:
        path = waiting.pop()
        if path not in found and not (results / path).exists():
            gone = (own for own in graph.inputs(path) if not (results / own).exists())
            found[path] = {graph.owner(own) for own in gone}
            waiting += found[path]
    return found


def run_jobs(graph: Graph, results: Path, targets: tuple[str, ...]) -> None:
    """Run the jobs of targets, each as soon as its inputs exist."""
    todo, running = missing(graph, results, targets), dict[Future, str]()
    fork = multiprocessing.get_context("fork")
    processes = 2 if len(todo) > 20 else 1
    # A record names torch's capability if torch was loaded, so other jobs have processes of their own.
    with ProcessPoolExecutor(processes, fork) as with_torch, ProcessPoolExecutor(processes, fork) as others:
        while todo or running:
            for path in [path for path, inputs in todo.items() if not inputs]:
                del todo[path]
                pool = with_torch if "torch" in graph.artefacts[path].packages else others
                joined = [artefact.path for artefact in graph.joined.get(path, [])]
                arguments = (graph.script(path), graph.spec_json(path), results, path, joined)
                running[pool.submit(run_job, *arguments)] = path
            for job in wait(running, return_when=FIRST_COMPLETED).done:
                job.result()
                made = running.pop(job)
                for inputs in todo.values():
                    inputs.discard(made)


def publish_all(plan: Plan, results: Path, targets: tuple[str, ...]) -> None:
    for name in targets:
        target = plan.graph.targets[name]
        publish.main(results / target.path, stem(name), results / STAMPS / target.id)
    stamp = results / STAMPS / plan.configuration_id
    content = plan.configuration.model_dump(mode="json")
    save_configuration.save(content, plan.runs(), stamp, results / "configuration.yaml", results / "runs.csv")


def main(chosen: str, *targets: str) -> None:
    file = Path(chosen) if chosen.endswith(".yaml") else None
    plan, results = chosen_plan(Path.cwd(), None if file else chosen, file)
    run_jobs(plan.graph, results, targets or plan.graph.default)
    publish_all(plan, results, targets or plan.graph.default)


if __name__ == "__main__":
    main(*sys.argv[1:])
