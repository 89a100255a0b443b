"""Make all results of a scale with the project's own scripts, in a few processes and without Snakemake.

PYTHONPATH=COPY python -P tests/finish.py SCALE, in a copy of the repository. A start of Python and torch per job
would take five times as long; tests/workflow/test_smoke.py compares the results with Snakemake's, byte by byte.
"""

import io
import multiprocessing
import runpy
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import redirect_stdout
from pathlib import Path

from paper.configuration import reading
from paper.published import stem
from scripts import publish, save_configuration
from store.graph import Graph
from store.publish import STAMPS
from workflow.plan import Plan, build

PROCESSES = 2


def run_job(script: str, spec: str, results: Path, path: str) -> None:
    """Run the job of an artefact in this process, with the log that its rule writes."""
    log = results / f"logs/{path}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.argv, sys.stdin = [script, "-", str(results / path)], io.StringIO(spec)
    with log.open("w", encoding="utf-8") as stream, redirect_stdout(stream):
        runpy.run_path(script, run_name="__main__")


def run_jobs(graph: Graph, results: Path) -> None:
    """Run the jobs of all default targets, each as soon as its inputs exist."""
    todo = {artefact.path: set(graph.inputs(artefact.path)) for artefact in graph.upstream(graph.default)}
    running: dict[Future, str] = {}
    fork = multiprocessing.get_context("fork")
    # A record names torch's capability if torch was loaded, so other jobs have processes of their own.
    with ProcessPoolExecutor(PROCESSES, fork) as with_torch, ProcessPoolExecutor(PROCESSES, fork) as others:
        while todo or running:
            for path in [path for path, missing in todo.items() if not missing]:
                del todo[path]
                pool = with_torch if "torch" in graph.artefacts[path].packages else others
                job = pool.submit(run_job, graph.script(path), graph.spec_json(path), results, path)
                running[job] = path
            for job in wait(running, return_when=FIRST_COMPLETED).done:
                job.result()
                made = running.pop(job)
                for missing in todo.values():
                    missing.discard(made)


def publish_all(plan: Plan, results: Path) -> None:
    for name in plan.graph.default:
        target = plan.graph.targets[name]
        publish.main(results / target.path, stem(name), results / STAMPS / target.id)
    stamp = results / STAMPS / plan.configuration_id
    content = plan.configuration.model_dump(mode="json")
    save_configuration.save(content, plan.runs(), stamp, results / "configuration.yaml", results / "runs.csv")


def main(scale: str) -> None:
    plan = build(Path.cwd(), reading.load(Path.cwd(), {"scale": scale}))
    results = Path("results") / plan.configuration.results
    run_jobs(plan.graph, results)
    publish_all(plan, results)


if __name__ == "__main__":
    main(sys.argv[1])
