"""Child processes that do not outlive their parent: nothing may keep the GPU of a killed job."""

import ctypes
import os
import signal
import time
from threading import Thread

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SECONDS_BETWEEN_LOOKS = 1.0


def die_with_parent() -> None:
    """Have the kernel kill the calling process when its parent ends, in whatever way."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def die_with(process: int) -> None:
    """Kill the calling process when another one is gone, in whatever way it ended, parent or not.

    For a process of a fork server: its parent is the server, which lives on while it has children.
    """

    def watch() -> None:
        try:
            while True:
                os.kill(process, 0)
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        except ProcessLookupError:
            os.kill(os.getpid(), signal.SIGKILL)

    Thread(target=watch, daemon=True).start()
