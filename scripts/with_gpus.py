"""Run a command with exclusive GPUs: python scripts/with_gpus.py COUNT -- COMMAND...

On one machine, jobs share the GPUs through locks in .snakemake/gpus/: the command waits for COUNT GPUs that
no other job of this folder uses, and gets them in CUDA_VISIBLE_DEVICES. They are chosen from the current
CUDA_VISIBLE_DEVICES or, if it is unset, from all that nvidia-smi lists. In a Slurm job with exactly COUNT
GPUs, and for COUNT 0, the command runs as it is.
"""

import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

LOCKS = Path(".snakemake/gpus")
POLL_S = 1.0


def gpus() -> list[str]:
    """Return the names of the GPUs to choose from, as in CUDA_VISIBLE_DEVICES."""
    own = os.environ.get("CUDA_VISIBLE_DEVICES")
    if own is not None:
        return [name.strip() for name in own.split(",") if name.strip() and name.strip() != "-1"]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.split(":")[0].split()[1] for line in listed.stdout.splitlines() if line.startswith("GPU ")]


def lock(name: str) -> int | None:
    """Return a file descriptor that holds the lock of a GPU; None if another job has it."""
    # Machines that share this folder have GPUs with equal names.
    folder = LOCKS / socket.gethostname()
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / name.replace("/", "_"), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    # The command inherits the descriptor, so the lock ends with it, however it ends.
    os.set_inheritable(descriptor, True)
    return descriptor


def take(count: int, names: list[str]) -> list[str]:
    """Lock `count` of the GPUs. Holds none while it waits, lest two jobs wait for each other."""
    told = False
    while True:
        held = {}
        for name in names:
            if len(held) < count and (descriptor := lock(name)) is not None:
                held[name] = descriptor
        if len(held) == count:
            return list(held)
        for descriptor in held.values():
            os.close(descriptor)
        if not told:
            print(f"waiting for {count} GPUs: {len(held)} of {len(names)} free", file=sys.stderr, flush=True)
            told = True
        time.sleep(POLL_S)


def main(arguments: list[str]) -> None:
    if len(arguments) < 3 or not arguments[0].isdigit() or arguments[1] != "--":
        sys.exit("usage: python scripts/with_gpus.py COUNT -- COMMAND...")
    count, command = int(arguments[0]), arguments[2:]
    names = gpus() if count else []
    if count > len(names):
        known = "CUDA_VISIBLE_DEVICES" if "CUDA_VISIBLE_DEVICES" in os.environ else "nvidia-smi -L"
        sys.exit(
            f"error: the job asks for {count} GPUs, this machine has {len(names)} ({known}): "
            "ask for fewer in the configuration, or use a larger machine"
        )
    if count and not ("SLURM_JOB_ID" in os.environ and count == len(names)):
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(take(count, names))
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"error: {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
