"""What this machine has, as far as a plan depends on it."""

from collections.abc import Mapping
from pathlib import Path

import psutil


def memory_limit(
    environment: Mapping[str, str],
    own: Path = Path("/proc/self/cgroup"),
    groups: Path = Path("/sys/fs/cgroup"),
) -> tuple[float, str]:
    """Return the main memory in bytes that jobs can have here, and what sets it."""
    limits = [(float(psutil.virtual_memory().total), "the machine")]
    lines = own.read_text(encoding="utf-8").splitlines() if own.exists() else []
    paths = [Path(line.split(":", 2)[2].lstrip("/")) for line in lines]
    # In a container the path may be the one outside; the limit then is at the root, which is a parent too.
    for folder in dict.fromkeys(parent for path in paths for parent in (path, *path.parents)):
        for file in (groups / folder / "memory.max", groups / "memory" / folder / "memory.limit_in_bytes"):
            text = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
            limits += [(float(text), "its cgroup")] if text.isdigit() else []
    if (asked := environment.get("SLURM_MEM_PER_NODE", "")).isdigit() and int(asked):
        limits.append((2.0**20 * int(asked), "the Slurm job"))
    return min(limits)
