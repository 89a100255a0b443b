"""Every figure of the AsymRE paper. `snakemake` makes all; see README.md and `make help`."""

import os
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = str(ROOT)
# One thread a job and several jobs at once: two threads on small tensors are many times slower.
os.environ["OMP_NUM_THREADS"] = "1"

from asymre import config as configuration_files
from asymre import plan as planning

min_version("9.0")

try:
    CONFIGURATION = configuration_files.load(
        ROOT, dict(config), ", ".join(map(str, workflow.configfiles)) or "--config"
    )
except configuration_files.ConfigurationError as error:
    raise WorkflowError(f"the configuration cannot be used:\n{error}") from None

PLAN = planning.build(ROOT, CONFIGURATION)
RESULTS = f"results/{CONFIGURATION.results}"
SCRIPT = f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT))}/scripts"


wildcard_constraints:
    id="[^/]+",


include: "rules/common.smk"
include: "rules/figures.smk"
include: "rules/bandit.smk"
include: "rules/policy.smk"
include: "rules/training.smk"
