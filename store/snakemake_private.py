"""What the workflow needs of Snakemake beyond its documented interface: the only place that touches it.

tests/store/test_snakemake_private.py has a test for each attribute, which says what an upgrade broke.
"""

import sys
from pathlib import Path
from typing import Any


def is_job_process(workflow: Any) -> bool:
    """Whether this is a process that Snakemake started for a single job, and not the user's own command."""
    return workflow.remote_exec or workflow.subprocess_exec


def is_dry_run(workflow: Any) -> bool:
    """Whether nothing will be executed."""
    return workflow.output_settings.dryrun


def uses_conda(workflow: Any) -> bool:
    """Whether jobs run in conda environments (--software-deployment-method conda)."""
    return any(str(method) == "conda" for method in workflow.deployment_settings.deployment_method)


def default_resources(workflow: Any) -> dict[str, Any]:
    """Return --default-resources as they were written."""
    return {name: entry.raw for name, entry in (workflow.resource_settings.default_resources or {}).items()}


def resource_limits(workflow: Any) -> dict[str, int | None]:
    """Return --resources, and --cores as `_cores`."""
    return {name: entry.value for name, entry in workflow.global_resources.items()}


def is_planned(workflow: Any, rule: str) -> bool:
    """Whether a job of a rule will run, once the jobs are known."""
    return any(job.rule.name == rule for job in workflow.persistence.dag.needrun_jobs())


def settle_options(workflow: Any, results: str) -> None:
    """Refuse or override options under which results named by their ids would not be right.

    Called by input functions, the first code that runs when Snakemake knows its options. Exits with a
    message for options that re-run jobs whose results exist.
    """
    if is_job_process(workflow):
        return  # Snakemake itself gives these processes such options
    # What exists is complete, whatever a profile says about runs that were killed.
    workflow.dag_settings.force_incomplete = False
    # Under its default limit of 100 jobs a second, Snakemake looks for jobs to start once more per second for
    # each job that has ended: hundreds of times a second in the end. A limit that a user gives is kept.
    # None for commands that run no job, such as --dag and --summary.
    scheduling = workflow.scheduling_settings
    limit = scheduling and scheduling.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        scheduling.max_jobs_per_timespan = None
    if given := forced(workflow.dag_settings):
        # An exception in an input function would be shown with a traceback.
        sys.exit(
            f"error: {given} would rebuild existing results, but nothing downstream of them: delete "
            f"their folders in {results}/ instead, and run again"
        )


def forced(settings: Any) -> str:
    """Return the options that re-run jobs whose results exist, as Snakemake names them; empty if none.

    settings: Snakemake's `dag_settings`. Inputs are `ancient`, so what is downstream would not be rebuilt.
    """
    given = {
        "--force": settings.forcetargets,
        "--forceall": settings.forceall,
        f"--forcerun {' '.join(sorted(settings.forcerun))}": settings.forcerun,
    }
    return " and ".join(option for option, is_given in given.items() if is_given)


def absent(workflow: Any) -> list[str]:
    """Return the files of Snakemake's targets that do not exist after a run that ended well."""
    settings = workflow.dag_settings
    if settings.until or settings.omit_from or settings.batch:
        return []  # less than the targets was asked for
    jobs = workflow.persistence.dag.targetjobs
    files = [str(file) for job in jobs for file in (*job.input, *job.output) if not _is_temp(file)]
    return sorted(file for file in set(files) if not Path(file).exists())


def _is_temp(file: Any) -> bool:
    return "temp" in getattr(file, "flags", {})
