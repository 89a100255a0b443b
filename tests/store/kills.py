"""Kill something at its n-th change of a file below a folder."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

# What Python says of itself before it opens, renames, removes or makes something: the path comes first.
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.utime", "shutil.copyfile"}


def killed_at_change(n: int, below: Path, run: Callable[[], object]) -> bool:
    """Call `run` in a fork that is killed at its n-th change; return False if it makes fewer.

    It is killed before it renames, removes or makes something, and after it has opened a file to write.
    """
    process = os.fork()
    if not process:
        try:
            with open(os.devnull, "w", encoding="utf-8") as null:
                os.dup2(null.fileno(), 1)
            sys.addaudithook(_hook(n, str(below)))
            run()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert code in (0, -signal.SIGKILL), "it failed by itself: see above"
    return code != 0


def _hook(n: int, below: str) -> Callable[[str, tuple], None]:
    left = n

    def hook(event: str, arguments: tuple) -> None:
        nonlocal left
        writes = event == "open" and arguments[2] is not None and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in CHANGES) and _path(event, arguments).startswith(below):
            left -= 1
            if left == 0:
                if writes:
                    # Nothing is written yet, and what was there is gone.
                    os.open(arguments[0], arguments[2])
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def _path(event: str, arguments: tuple) -> str:
    """Return the absolute path of what changes; nothing if it is known by a descriptor alone."""
    if not isinstance(arguments[0], str | bytes | os.PathLike):
        return ""
    path = os.fsdecode(arguments[0])
    if event in ("os.remove", "os.rmdir") and arguments[1] >= 0:
        # shutil.rmtree works within open folders.
        path = os.path.join(os.readlink(f"/proc/self/fd/{arguments[1]}"), path)
    return os.path.abspath(path)
