"""A run that diverges is a result: after the step whose loss or gradient is not finite it has no policy.

In the folder of a policy, a snapshot or a state that would follow stands a file that says so, alone.
"""

from pathlib import Path

_FILE = "diverged.txt"


def mark(folder: Path, reason: str) -> None:
    """Leave the reason in the place of a policy."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _FILE).write_text(reason + "\n")


def reason_in(folder: Path) -> str | None:
    """Why there is no policy in this folder; None if there should be one."""
    return (folder / _FILE).read_text().strip() if (folder / _FILE).is_file() else None


def reason_of(row: dict[str, float]) -> str:
    """What to say of the step, with these metrics, at which a run diverged."""
    return f"step {row['step']}: loss {row['loss']:g}, gradient norm {row['gradient_norm']:g}"
