"""Checks, before any job starts, that a cluster or machine has the resources that jobs request."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paper.configuration.checks import nearest
from store import snakemake_private

SLURM = "profiles/slurm/config.yaml"
MULTI_GPU = "profiles/multi_gpu/config.yaml"
TO_FILL_IN = "FILL_IN"


class ClusterError(Exception):
    """Slurm cannot be queried; the message says why."""


@dataclass(frozen=True)
class Nodes:
    """A kind of node in a partition, with the resources available to a job."""

    partition: str
    gpu: int
    threads: int
    mem_mb: int


def uses_slurm(workflow: Any) -> bool:
    """Whether a profile hands jobs to Slurm."""
    return "slurm_partition" in snakemake_private.default_resources(workflow)


def check(workflow: Any, asked: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the `problems` of a Snakemake workflow; none in the processes of its jobs."""
    if snakemake_private.is_job_process(workflow):
        return []
    defaults = snakemake_private.default_resources(workflow)
    limits = snakemake_private.resource_limits(workflow)
    nodes = None
    if "slurm_partition" in defaults:
        try:
            nodes = partitions()
        except ClusterError as error:
            # A dry run may plan for a cluster from elsewhere.
            if not snakemake_private.is_dry_run(workflow):
                return [str(error)]
    return problems(defaults, limits, asked, nodes)


def partitions() -> list[Nodes]:
    """Return the nodes of all partitions, from sinfo. Raises ClusterError."""
    if not shutil.which("sinfo"):
        raise ClusterError("there is no sinfo here: start from a login node of the cluster")
    command = ["sinfo", "--noheader", "--all", "--exact", "--format=%R|%G|%c|%m"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        raise ClusterError("sinfo does not answer: try again later, or ask the administrators") from None
    if done.returncode != 0:
        raise ClusterError(f"sinfo fails: {done.stderr.strip()}")
    return parse(done.stdout)


def parse(text: str) -> list[Nodes]:
    """Return the nodes in lines `partition|gres|cpus|memory`, as sinfo prints them."""
    rows = [line.split("|") for line in text.splitlines() if line.count("|") == 3]
    return [
        Nodes(name.strip(), gpus(gres), number(cpus), number(memory)) for name, gres, cpus, memory in rows
    ]


def gpus(gres: str) -> int:
    """Return the number of GPUs in generic resources such as `gpu:a100:4(S:0-1),gpu:v100:2,shard:8`."""
    counts = re.findall(r"(?:^|,)gpu(?::[^:,()]+)*?(?::(\d+))?(?=[,(]|$)", gres.strip())
    return sum(int(count or 1) for count in counts)


def number(text: str) -> int:
    """Return a number of sinfo, which writes a minimum as `64+`."""
    return int(text.strip().rstrip("+"))


def problems(
    defaults: Mapping[str, Any],
    limits: Mapping[str, int | None],
    asked: Mapping[str, Mapping[str, int]],
    nodes: Sequence[Nodes] | None,
) -> list[str]:
    """Return every reason why jobs would wait for ever, fail, or run with less than they request.

    defaults, limits: Snakemake's default-resources and resources, the latter with `_cores`. asked: what a job
    of each rule requests: gpu, threads, mem_mb. nodes: Slurm's; None if it cannot be queried. A profile that
    sets slurm_partition uses Slurm.
    """
    found = list(_limits(limits, asked, slurm="slurm_partition" in defaults))
    if "slurm_partition" in defaults:
        given = {key: str(value).strip("'\"") for key, value in defaults.items()}
        open_keys = [key for key in ("slurm_partition", "slurm_account") if given.get(key) == TO_FILL_IN]
        found += [f"{SLURM}: default-resources.{key} is not filled in yet" for key in open_keys]
        if nodes is not None and "slurm_partition" not in open_keys:
            found += _partition(given["slurm_partition"], asked, nodes)
    return found


def _limits(
    limits: Mapping[str, int | None], asked: Mapping[str, Mapping[str, int]], slurm: bool
) -> Iterator[str]:
    for rule, wants in asked.items():
        for key in ("gpu", "mem_mb"):
            limit = limits.get(key)
            if limit is not None and wants.get(key, 0) > limit:
                yield (
                    f"{rule} requests {key} {wants[key]}, but {MULTI_GPU} (or --resources) sets "
                    f"resources.{key} to {limit}: raise it if the machine has more, or ask for less"
                )
        cores = limits.get("_cores")
        # On one machine fewer threads only slow a job down; on a cluster this number does not describe nodes.
        if slurm and cores is not None and wants.get("threads", 1) > cores:
            yield (
                f"{rule} requests {wants['threads']} threads, but cores: {cores} would cut them: "
                "use --workflow-profile profiles/slurm, so that profiles/default is not read, or give --cores"
            )


def _partition(
    partition: str, asked: Mapping[str, Mapping[str, int]], nodes: Sequence[Nodes]
) -> Iterator[str]:
    known = {kind.partition for kind in nodes}
    names = partition.split(",")  # Slurm takes the first that can run the job
    missing = [name for name in names if name not in known]
    for name in missing:
        yield (
            f"{SLURM}: default-resources.slurm_partition: the cluster has no partition {name!r}"
            f"{nearest(name, sorted(known))}"
        )
    usable = [kind for kind in nodes if kind.partition in names]
    if missing or not usable:
        return
    for rule, wants in asked.items():
        if any(all(getattr(kind, key) >= n for key, n in wants.items()) for kind in usable):
            continue
        most = {key: max(getattr(kind, key) for kind in usable) for key in wants}
        lacking = [key for key in wants if wants[key] > most[key]] or list(wants)
        yield (
            f"{rule} requests {_listing(wants, lacking)}, and a node of partition {partition!r} has at most "
            f"{_listing(most, lacking)}: ask for less, or name another partition in {SLURM} "
            "(default-resources.slurm_partition)"
        )


def _listing(amounts: Mapping[str, int], keys: Sequence[str]) -> str:
    return ", ".join(f"{key} {amounts[key]}" for key in keys)
