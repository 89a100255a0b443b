"""Every figure of the AsymRE paper. `snakemake` makes all; see README.md and `make help`."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import min_version

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = str(ROOT)
# One thread a job and several jobs at once: two threads on small tensors are many times slower.
os.environ["OMP_NUM_THREADS"] = "1"
# matplotlib's list of fonts: in Snakemake's folder, not in the user's home, which may not be writable.
os.environ.setdefault("MPLCONFIGDIR", str(Path(".snakemake/matplotlib").resolve()))

min_version("9.0")

if os.pathsep in str(ROOT):
    raise WorkflowError(f"{ROOT}: a path with {os.pathsep!r} cannot stand in PYTHONPATH: move the clone")

try:
    # The catalogues are read on import: an objective without a label ends here.
    from asymre.config import reading
    from asymre.figures.catalogue import CHARTS
    from asymre.plan import plan as planning
    from asymre.plan.targets_made import absent
    from asymre.record.lock import Busy, hold
    from asymre.record.progress import ProgressLine
    from asymre.record.published import published_files, stem

    for file in workflow.configfiles:
        # Snakemake's own reading lets the last of two equal keys win in silence.
        reading.read(Path(file))
    source = ", ".join(map(str, workflow.configfiles)) or "--config"
    CONFIGURATION = reading.load(ROOT, dict(config), source)
    PLAN = planning.build(ROOT, CONFIGURATION)
except ValueError as error:
    raise WorkflowError(f"the configuration cannot be used:\n{error}") from None
RESULTS = f"results/{CONFIGURATION.results}"
SCRIPT = f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT))}/scripts"


FIGURES = PLAN.figures_of("all")
BANDIT = [name for name in FIGURES if CHARTS[CONFIGURATION.figures[name].chart].of == "experiment"]


def published(names):
    """What has these stable names, with markers; a target that names ids notices a changed figure."""
    markers = [f"{RESULTS}/figures/.current/{PLAN.published[name].id}" for name in names]
    return markers + [f"{RESULTS}/{file}" for name in names for file in published_files(name)]


SAVED_CONFIGURATION = (
    f"{RESULTS}/figures/.current/{PLAN.configuration_id}",
    f"{RESULTS}/configuration.yaml",
    f"{RESULTS}/runs.csv",
)
# The first page of the report: the claims, where they were checked.
CLAIMS_PAGE = Path(RESULTS, "claims.rst")


report: CLAIMS_PAGE.resolve() if CLAIMS_PAGE.is_file() else "docs/report/workflow.rst"


if not any(isinstance(handler, ProgressLine) for handler in logger.handlers):
    logger.addHandler(ProgressLine())


wildcard_constraints:
    id="[^/]+",


# Further targets in rules/figures.smk: one a figure (figure_1 ... figure_13), calibration, claims, claims_seeds.
rule all:
    input:
        published(PLAN.default),
        SAVED_CONFIGURATION,


rule bandit:
    input:
        published(BANDIT),


rule training:
    input:
        published([name for name in FIGURES if name not in BANDIT]),


# Not the paper's: figures A to C, and claims about them.
rule beyond:
    input:
        published([*PLAN.figures_of("beyond"), *(name for name in PLAN.claims if name == "claims_beyond")]),


onstart:
    try:
        # Held until this process ends.
        hold(Path(RESULTS))
    except (Busy, OSError) as error:
        raise WorkflowError(str(error)) from None
    dag = workflow.persistence.dag
    is_planned = any(job.rule.name == "save_configuration" for job in dag.needrun_jobs())
    if not is_planned and not Path(f"{RESULTS}/figures/.current/{PLAN.configuration_id}").exists():
        # Of a single figure, too, configuration.yaml and runs.csv say how it was made.
        command = [sys.executable, f"{ROOT}/scripts/save_configuration.py", *SAVED_CONFIGURATION]
        if subprocess.run(
            command, input=PLAN.configuration_json(), text=True, encoding="utf-8"
        ).returncode:
            raise WorkflowError(f"{RESULTS}/configuration.yaml cannot be saved: see above")


onsuccess:
    if missing := absent(workflow.persistence.dag, workflow.dag_settings):
        raise WorkflowError(
            f"Snakemake says that all is done, and {len(missing)} targets are not there, such as "
            f"{missing[0]}: run again"
        )


onerror:
    # The jobs' logs lie there too, and may be empty for the same reason.
    if shutil.disk_usage("results").free < 2**16:
        logger.error("results: No space left on device; free some space and run again")


include: "rules/common.smk"
include: "rules/bandit.smk"
include: "rules/policy.smk"
include: f"rules/{CONFIGURATION.engine}.smk"
include: "rules/figures.smk"
