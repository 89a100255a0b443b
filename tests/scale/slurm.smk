"""The small workflow of test_slurm.py."""

import os

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from workflow import cluster
from store.progress import ProgressLine

os.environ["EXPORTED"] = "kept"
logger.addHandler(ProgressLine())
if found := cluster.check(workflow, {"fails_once": {"gpu": 2, "threads": 2}}):
    raise WorkflowError("\n".join(found))


rule sleep:
    output:
        "sleep_{n}",
    shell:
        "sleep 300; touch {output}"


rule fails_once:
    output:
        "done",
    threads: 2
    resources:
        gpu=2,
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        spec="""{"a": "$HOME `b` it's"}""",
    shell:
        """
        asked=$(squeue -h -j $SLURM_JOB_ID -o '%m %l %C')
        echo "$SLURM_JOB_ID $CUDA_VISIBLE_DEVICES {resources.mem_mb} $asked $EXPORTED" >>attempts
        [ $(wc -l <attempts) = 2 ]
        cat >{output} <<<{params.spec:q}
        """


rule without_gpu:
    output:
        "without_gpu",
    resources:
        gpu=0,
    shell:
        "echo GPUs: ${{CUDA_VISIBLE_DEVICES-none}} > {output}"
