# What the rules share: an artefact's job follows from the plan.

from asymre.plan.targets_made import forced


def settle_options():
    """Called by input functions: the first code that runs when Snakemake knows its options."""
    if workflow.remote_exec or workflow.subprocess_exec:
        return  # Snakemake's own processes for single jobs give such options themselves
    # What exists is complete, whatever a profile says of runs that were killed.
    workflow.dag_settings.force_incomplete = False
    # Snakemake's default, 100 jobs a second, looks for jobs to start once a second more for each job that has
    # ended: hundreds of times a second in the end. A limit of yours is kept.
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduling_settings.max_jobs_per_timespan = None
    if given := forced(workflow.dag_settings):
        # An error in an input function would be shown with a traceback.
        sys.exit(
            f"error: {given} would make results again that exist, and then nothing that rests on them: delete "
            f"their folders in {RESULTS}/ instead, and run again"
        )


def inputs_of(kind):
    """Input function of a rule: the folders that the artefact's job reads."""

    def inputs(wildcards):
        settle_options()
        paths = [f"{RESULTS}/{path}" for path in PLAN.inputs(f"{kind}/{wildcards.id}")]
        # An artefact that exists is valid. It asks for no input that is gone: Snakemake would make that
        # again for another artefact's sake, and then, ancient or not, all that was made from it.
        # A cycle without what stood beside it may have to be made again after all, and then needs all.
        folders = [kind, *PLAN.engine.BESIDE] if kind == "cycles" else [kind]
        if all(Path(f"{RESULTS}/{folder}/{wildcards.id}").exists() for folder in folders):
            paths = [path for path in paths if Path(path).exists()]
        # ancient: file times say nothing.
        return [ancient(path) for path in paths]

    return inputs


def temp_directory(path):
    return temp(directory(path))


def spec_of(kind):
    """Parameter function of a rule: the artefact's specification as JSON."""
    return lambda wildcards: PLAN.spec_json(f"{kind}/{wildcards.id}")
