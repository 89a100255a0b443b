"""Snapshots of the policy along a run: where they are stored, and what replaces them after a divergence.

A diverged run is a result: it has no policy after the step with the non-finite loss or gradient. The folder
of every later policy, snapshot or state then holds a single file that gives the reason.
"""

import math
from pathlib import Path

from asymre.specs import TrainingSpec

_DIVERGED = "diverged.txt"
SNAPSHOTS = "snapshots"  # the folder of a run's or cycle's snapshots
_PREFIX = "step_"


def snapshot_folder(snapshots: Path, step: int) -> Path:
    """Return the folder of a step's snapshot."""
    return snapshots / f"{_PREFIX}{step:06d}"


def snapshots_in(snapshots: Path) -> dict[int, Path]:
    """Return the snapshots in a folder, by step."""
    return {int(path.name.removeprefix(_PREFIX)): path for path in sorted(snapshots.glob(f"{_PREFIX}*"))}


def is_finite(row: dict[str, float]) -> bool:
    """Return whether the metrics of a step are finite; otherwise the run has diverged."""
    return math.isfinite(row["loss"]) and math.isfinite(row["gradient_norm"])


def divergence_of(row: dict[str, float]) -> str:
    """Return a description of the step at which a run diverged, from its metrics."""
    return f"step {row['step']}: loss {row['loss']:g}, gradient norm {row['gradient_norm']:g}"


def divergence_in(folder: Path) -> str | None:
    """Return why there is no policy in this folder; None if there should be one."""
    return (
        (folder / _DIVERGED).read_text(encoding="utf-8").strip() if (folder / _DIVERGED).is_file() else None
    )


def mark(place: Path, reason: str) -> None:
    """Write the reason why there is no policy."""
    place.mkdir(parents=True, exist_ok=True)
    (place / _DIVERGED).write_text(reason + "\n", encoding="utf-8")


def mark_diverged(
    folder: Path,
    reason: str,
    spec: TrainingSpec,
    metrics: list[dict[str, float]],
    *,
    before: int,
    also: tuple[str, ...],
) -> None:
    """Mark the folder of every later snapshot, and the folders `also`.

    metrics: of this job's steps, the last of which diverged; empty if the run diverged in an earlier job.
    before: the first step that this job does not mark.
    """
    first = int(metrics[-1]["step"]) if metrics else spec.first_step + 1
    for step in filter(spec.is_snapshot, range(first, before)):
        mark(snapshot_folder(folder / SNAPSHOTS, step), reason)
    for name in also:
        mark(folder / name, reason)
