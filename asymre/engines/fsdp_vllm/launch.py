"""Training processes on one machine, started and supervised by torch's elastic launcher."""

import json
import logging
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from asymre.engines.fsdp_vllm.parent import die_with

_LOOPBACK = "127.0.0.1"
_SECONDS_TO_NOTICE = 1.0


def run_processes(count: int, function: Callable, *arguments: Any) -> Any:
    """Call `function(*arguments)` in `count` processes of one group and return the result of rank 0.

    function, arguments: importable and picklable; the calling script needs its `__main__` guard. With CUDA
    each rank has its own GPU, otherwise one CPU thread. An error in one rank ends all: a ValueError is raised
    here with its message, any other error or a killed process as RuntimeError. Whatever ends this
    process ends them, too, SIGKILL included. Raises ValueError if there are fewer GPUs than processes.
    """
    if torch.cuda.is_available() and torch.cuda.device_count() < count:
        raise ValueError(
            f"{count} training processes, but {torch.cuda.device_count()} GPUs are visible: "
            "ask for more GPUs or set fewer training processes"
        )
    configuration = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        # Port 0 is any free port: jobs on the same machine do not collide.
        rdzv_endpoint=f"{_LOOPBACK}:0",
        local_addr=_LOOPBACK,
        max_restarts=0,
        start_method="forkserver",
        shutdown_timeout=10,
    )
    # Imported once and then forked, before anything uses a GPU: importing transformers takes seconds.
    multiprocessing.set_forkserver_preload(["__main__", function.__module__])
    for name in ("torch.distributed.elastic.multiprocessing.api", "torch.multiprocessing.spawn"):
        # They log every process that ends; the error is raised once, below.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        try:
            return elastic_launch(configuration, _process)(Path(folder), os.getpid(), function, arguments)[0]
        except ChildFailedError as error:
            failure = error.get_first_failure()[1]
            reports = [json.loads(file.read_text(encoding="utf-8")) for file in Path(folder).glob("*.json")]
    if failure.exitcode < 0 or not reports:
        raise RuntimeError(
            f"a training process ended without reporting an error (exit code {failure.exitcode}; -9 means "
            "killed: by a user, or because the machine ran out of memory)"
        )
    # Later reports only say that the connection to another rank was lost.
    first = min(reports, key=lambda report: report["time"])
    if first["is_value_error"]:
        raise ValueError(first["message"])
    print(first["traceback"], file=sys.stderr)
    raise RuntimeError(first["message"])


def _process(folder: Path, launcher: int, function: Callable, arguments: tuple) -> Any:
    die_with(launcher)
    try:
        _initialise()
        result = function(*arguments)
        dist.destroy_process_group()
        return result if os.environ["RANK"] == "0" else None
    except Exception as error:
        _report(folder, error)
        # If another rank was killed and caused this error, let the launcher notice that one first.
        time.sleep(_SECONDS_TO_NOTICE)
        sys.stdout.flush()
        sys.stderr.flush()
        # A regular exit could deadlock with ranks that wait for this one.
        os._exit(1)


def _initialise() -> None:
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", device_id=device)
    else:
        torch.set_num_threads(1)
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        dist.init_process_group("gloo")


def _report(folder: Path, error: Exception) -> None:
    rank, is_value_error = os.environ["RANK"], isinstance(error, ValueError)
    content = {
        "time": time.time(),
        "is_value_error": is_value_error,
        "message": str(error)
        if is_value_error
        else f"training process {rank}: {type(error).__name__}: {error}",
        "traceback": traceback.format_exc(),
    }
    partial = folder / f"{rank}.partial"
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.rename(folder / f"{rank}.json")
