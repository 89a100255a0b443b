"""Run Snakemake in forks of one process that has imported it: the import takes longer than the toy's jobs.

python tests/store/forks.py reads a request a line, {"start": {...}} or {"wait": pid}, and answers each with a
number: the process, which leads a session of its own, or its exit status.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path


class Forks:
    """The process that forks."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, folder: Path, arguments: list[str], environment: dict[str, str], output: Path) -> int:
        """Return the process of a `snakemake` in `folder`, which appends to the file `output`."""
        request = {"folder": folder, "arguments": arguments, "environment": environment, "output": output}
        return self._ask({"start": request})

    def wait(self, pid: int) -> int:
        """Return the exit status of a process when it has ended, as subprocess does."""
        return self._ask({"wait": pid})

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, request: dict) -> int:
        self._process.stdin.write(json.dumps(request, default=str) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def main() -> None:
    # sys.path[0] is the folder of this file, whose names are no packages of the toy.
    del sys.path[0]
    from snakemake import cli

    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        else:
            answer = os.fork() or _become(cli, **request["start"])
            while os.getsid(answer) != answer:
                time.sleep(0.001)
        print(answer, flush=True)


def _become(cli, folder: str, arguments: list[str], environment: dict[str, str], output: str) -> None:
    status = 1
    try:
        os.setsid()
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (descriptor, 1), (descriptor, 2)):
            os.dup2(source, target)
        sys.argv = ["snakemake", *arguments]
        cli.main(arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
