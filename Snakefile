"""All figures of the AsymRE paper: run `snakemake`; see README.md and `make help`."""

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
# One thread per job, and several jobs at once: on small tensors, two threads are many times slower.
os.environ["OMP_NUM_THREADS"] = "1"
# matplotlib's font cache belongs in Snakemake's folder: the user's home may not be writable.
os.environ.setdefault("MPLCONFIGDIR", str(Path(".snakemake/matplotlib").resolve()))
# A notebook's backend is in its own environment, and matplotlib refuses to start without it.
os.environ["MPLBACKEND"] = "agg"

min_version("9.0")

if os.pathsep in str(ROOT):
    raise WorkflowError(f"{ROOT}: a path with {os.pathsep!r} does not work in PYTHONPATH: move the clone")

for place in (Path(".snakemake"), Path("results")):
    if place.is_symlink() and not place.exists():
        raise WorkflowError(f"{place} is a link to {place.readlink()}, which does not exist: make it")
    if place.exists() and not place.is_dir():
        raise WorkflowError(f"{place} is a file: remove it")
try:
    # Snakemake keeps its records there, in a dry run too; without this, its words are a traceback.
    Path(".snakemake").mkdir(exist_ok=True)
    os.utime(".snakemake")
except OSError as error:
    raise WorkflowError(
        f"{Path.cwd()} cannot be written to ({error.strerror}): copy it to a folder where you can"
    ) from None

try:
    # Importing reads the catalogues: an objective without a label fails here.
    from paper.configuration import reading
    from paper.figures.charts import CHARTS
    from paper.published import published_files, stem
    from store import folder, snakemake_private
    from store.lock import Busy, hold
    from store.progress import ProgressLine
    from store.publish import STAMPS
    from store.rules import Rules
    from workflow import plan as planning

    for file in workflow.configfiles:
        # Snakemake's own reader silently lets the last of two equal keys win.
        reading.read(Path(file))
    source = ", ".join(map(str, workflow.configfiles)) or "--config"
    CONFIGURATION = reading.load(ROOT, dict(config), source)
    PLAN = planning.build(ROOT, CONFIGURATION)
except ValueError as error:
    raise WorkflowError(f"the configuration cannot be used:\n{error}") from None
RESULTS = f"results/{CONFIGURATION.results}"
RUN = f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT))}"
SCRIPT = f"{RUN}/scripts"
RULES = Rules(workflow, PLAN.graph, RESULTS, ancient)

FIGURES = PLAN.figures_of("all")
BANDIT = [name for name in FIGURES if CHARTS[CONFIGURATION.figures[name].chart].of == "experiment"]


def published(names):
    """Return published files and their stamps: stamps contain ids, so a target notices a changed figure."""
    stamps = [f"{RESULTS}/{STAMPS}/{PLAN.graph.targets[name].id}" for name in names]
    return stamps + [f"{RESULTS}/{file}" for name in names for file in published_files(name)]


SAVED_CONFIGURATION = (
    f"{RESULTS}/{STAMPS}/{PLAN.configuration_id}",
    f"{RESULTS}/configuration.yaml",
    f"{RESULTS}/runs.csv",
)
# The first page of the report: the claims, if they were checked.
CLAIMS_PAGE = Path(RESULTS, "claims.rst")


report: CLAIMS_PAGE.resolve() if CLAIMS_PAGE.is_file() else "docs/report/workflow.rst"


if not any(isinstance(handler, ProgressLine) for handler in logger.handlers):
    logger.addHandler(ProgressLine())


wildcard_constraints:
    id="[^/]+",


# Further targets in rules/figures.smk: one per figure (figure_1 ... figure_13), calibration, claims, claims_seeds.
rule all:
    input:
        published(PLAN.graph.default),
        SAVED_CONFIGURATION,


rule bandit:
    input:
        published(BANDIT),


rule training:
    input:
        published([name for name in FIGURES if name not in BANDIT]),


# Beyond the paper: figures A to G, and claims about them.
rule beyond:
    input:
        published([*PLAN.figures_of("beyond"), *(PLAN.claims.keys() & {"claims_beyond"})]),


# The name of a figure's files is a target, too: figure_03 makes figure_3.
for figure in (name for name in PLAN.figures if stem(name) != name):

    rule:
        name:
            stem(figure)
        input:
            published([figure]),


onstart:
    try:
        # Held until this process ends.
        hold(Path(RESULTS))
        folder.settle_times(Path(RESULTS), PLAN.graph.kinds)
    except (Busy, OSError) as error:
        raise WorkflowError(str(error)) from None
    is_planned = snakemake_private.is_planned(workflow, "save_configuration")
    if not is_planned and not Path(f"{RESULTS}/{STAMPS}/{PLAN.configuration_id}").exists():
        # Even a single figure gets its configuration.yaml and runs.csv.
        command = [sys.executable, f"{ROOT}/scripts/save_configuration.py", *SAVED_CONFIGURATION]
        if subprocess.run(
            command, input=PLAN.configuration_json(), text=True, encoding="utf-8"
        ).returncode:
            raise WorkflowError(f"{RESULTS}/configuration.yaml cannot be saved: see above")


onsuccess:
    if missing := snakemake_private.absent(workflow):
        raise WorkflowError(
            f"Snakemake reports success, but {len(missing)} targets do not exist, such as "
            f"{missing[0]}: run again"
        )


onerror:
    # The jobs' logs are there, too, and may be empty for the same reason.
    if shutil.disk_usage("results").free < 2**16:
        logger.error("results: No space left on device; free some space and run again")


include: "rules/bandit.smk"
include: "rules/policy.smk"
include: f"rules/{CONFIGURATION.engine}.smk"
include: "rules/figures.smk"
