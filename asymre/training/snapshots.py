"""The policies along a run: which steps leave one, where it lies, and what lies there after a divergence.

A run that diverges is a result: after the step whose loss or gradient is not finite it has no policy. In the
folder of a policy, a snapshot or a state that would follow stands a file that says so, alone.
"""

import math
from pathlib import Path

from asymre.specs import TrainingSpec

_DIVERGED = "diverged.txt"
SNAPSHOTS = "snapshots"  # the folder of a run's, or a cycle's
_PREFIX = "step_"


def snapshot_folder(snapshots: Path, step: int) -> Path:
    """Where the snapshot of a step lies among others."""
    return snapshots / f"{_PREFIX}{step:06d}"


def snapshots_in(snapshots: Path) -> dict[int, Path]:
    """The snapshots in such a folder, by step."""
    return {int(path.name.removeprefix(_PREFIX)): path for path in sorted(snapshots.glob(f"{_PREFIX}*"))}


def is_finite(row: dict[str, float]) -> bool:
    """Whether the run goes on after the step with these metrics; it diverged otherwise."""
    return math.isfinite(row["loss"]) and math.isfinite(row["gradient_norm"])


def divergence_of(row: dict[str, float]) -> str:
    """What to say of the step, with these metrics, at which a run diverged."""
    return f"step {row['step']}: loss {row['loss']:g}, gradient norm {row['gradient_norm']:g}"


def divergence_in(folder: Path) -> str | None:
    """Why there is no policy in this folder; None if there should be one."""
    return (
        (folder / _DIVERGED).read_text(encoding="utf-8").strip() if (folder / _DIVERGED).is_file() else None
    )


def mark(place: Path, reason: str) -> None:
    """Leave the reason in the place of a policy."""
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
    """Mark the place of each snapshot that would follow, and the folders `also`.

    metrics: of the steps that this job made, the last one the one that diverged; none if the run had diverged
    before. before: the first step that is not this job's to mark.
    """
    first = int(metrics[-1]["step"]) if metrics else spec.first_step + 1
    for step in filter(spec.is_snapshot, range(first, before)):
        mark(snapshot_folder(folder / SNAPSHOTS, step), reason)
    for name in also:
        mark(folder / name, reason)
