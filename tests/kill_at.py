"""Run a script that kills itself before its n-th change of a file below a folder.

python tests/kill_at.py N FOLDER SCRIPT [ARGUMENT ...]
"""

import os
import runpy
import signal
import sys

# What Python says of itself before it opens, renames, removes or makes something: the path comes first.
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.utime", "shutil.copyfile"}


def watch(n: int, folder: str) -> None:
    left = n

    def hook(event: str, arguments: tuple) -> None:
        nonlocal left
        writes = event == "open" and arguments[2] is not None and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not (writes or event in CHANGES):
            return
        if os.path.abspath(os.fsdecode(arguments[0])).startswith(folder):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


if __name__ == "__main__":
    number, below, script, *rest = sys.argv[1:]
    sys.argv = [script, *rest]
    watch(int(number), below)
    runpy.run_path(script, run_name="__main__")
