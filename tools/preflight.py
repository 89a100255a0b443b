"""Report everything that this machine lacks for the jobs on GPUs, each with its remedy.

python -m tools.preflight [--scale NAME] [--configfile FILE] [-]

-: the resolved configuration is JSON on standard input. The exit status is 1 if anything is missing. Nothing
here waits for ever: other programs, the GPUs and the network are queried in processes with a time limit.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from paper.captions import architecture_of
from paper.configuration.schema import Configuration
from store.artefact import SPEC, Artefact
from tools.options import ROOT, chosen, parser
from workflow import plan as planning
from workflow import preflight as check
from workflow.plan import Plan
from workflow.preflight import Gpu, Installed, Line, Source

VLLM = ROOT / ".venv-vllm"
# Seconds. torch may be on a slow disk, and an unreachable hub is tried several times.
SMI_S, ENVIRONMENT_S, COMPILER_S, CONNECTION_S, HUB_S, PORT_S = 60, 180, 60, 20, 90, 5
SMI = ["nvidia-smi", "--query-gpu=index,uuid,driver_version,name,memory.total"]
SMI += ["--format=csv,noheader,nounits"]
PUBLISHED_BYTES = 2  # per parameter, in the files of the hub


class NoAnswer(Exception):
    """A program gave no answer; the message says why."""


def ask(command: list[str], seconds: float, environment: Mapping[str, str] | None = None) -> str:
    """Return the standard output of a program. NoAnswer if it cannot be started, fails, or takes longer."""
    try:
        process = subprocess.Popen(
            command,
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise NoAnswer(f"{command[0]} cannot be started ({error.strerror})") from None
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # Not waited for: a process stuck in a driver does not end even when it is killed.
        os.killpg(process.pid, signal.SIGKILL)
        raise NoAnswer(f"{Path(command[0]).name} does not answer within {seconds:g} s") from None
    if process.returncode:
        said = (errors.strip() or output.strip()).splitlines()
        raise NoAnswer(f"{Path(command[0]).name} fails: {said[-1] if said else process.returncode}")
    return output


# --- GPUs, environments --------------------------------------------------------------------------


def find_gpus() -> list[Gpu] | str:
    """Return all GPUs of the machine, or why there are none."""
    if not shutil.which("nvidia-smi"):
        return "no nvidia-smi on PATH"
    try:
        return check.parse_gpus(ask(SMI, SMI_S))
    except NoAnswer as error:
        return str(error)


def find_installed(python: str | Path, *, gpus: bool = False) -> Installed:
    """Return what an interpreter has installed and, with `gpus`, how many GPUs its torch sees."""
    command = [
        str(python),
        "-P",
        str(ROOT / "asymre/engines/fsdp_vllm/installed.py"),
        *(["gpus"] if gpus else []),
    ]
    try:
        return Installed(**json.loads(ask(command, ENVIRONMENT_S)))
    except (NoAnswer, ValueError) as error:
        return Installed(error=str(error))


def find_compiler() -> str | None:
    """Return the C compiler that Triton would choose, None if there is none."""
    return os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")


def try_compiler(compiler: str, include: str) -> str | None:
    """Return why the compiler cannot build a module for Python; None if it can."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <Python.h>\nint probe(void) { return PY_MAJOR_VERSION; }\n", "utf-8")
        options = ["-O3", "-shared", "-fPIC", f"-I{include}", "-o", f"{folder}/probe.so"]
        try:
            ask([compiler, str(source), *options], COMPILER_S)
        except NoAnswer as error:
            return str(error)
    return None


# --- memory, disk, ports -------------------------------------------------------------------------


def find_memory(
    environment: Mapping[str, str], proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")
) -> tuple[float, str]:
    """Return the main memory in bytes that this process can have, and its limit: machine, cgroup or Slurm."""
    meminfo = (proc / "meminfo").read_text(encoding="utf-8")
    total = next(line.split()[1] for line in meminfo.splitlines() if line.startswith("MemTotal:"))
    limits = [(1024.0 * int(total), "the machine")]
    limits += [(limit, "its cgroup") for limit in _cgroup_limits(proc, groups)]
    if (asked := environment.get("SLURM_MEM_PER_NODE", "")).isdigit() and int(asked):
        limits.append((2.0**20 * int(asked), "the Slurm job"))
    return min(limits)


def _cgroup_limits(proc: Path, groups: Path) -> Iterable[float]:
    """Yield the limits of the process's own control group and of all above it, version 1 or 2."""
    try:
        entries = (proc / "self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for entry in entries:
        _, controllers, path = entry.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root, file = groups, "memory.max"
        if controllers:
            root, file = groups / "memory", "memory.limit_in_bytes"
        own = root / path.lstrip("/")
        # In a container the path may be the host's; the limit is then at the root.
        for folder in (own, *own.parents):
            try:
                text = (folder / file).read_text(encoding="utf-8").strip()
            except OSError:
                text = ""
            if text.isdigit():
                yield float(text)
            if folder == root:
                break


def free_disk(folder: Path) -> float:
    """Return the free bytes where a folder is, or would be."""
    there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    return float(shutil.disk_usage(there).free)


def try_writing(folder: Path) -> str | None:
    """Return why no file can be made in a folder, creating it if necessary; None if one can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
    except OSError as error:
        return f"cannot be written to ({error.strerror})"
    return None


def try_port(host: str = "127.0.0.1") -> str | None:
    """Return why a process cannot listen, and be reached, on a port of this machine; None if it can."""
    try:
        with socket.create_server((host, 0)) as server:
            server.settimeout(PORT_S)
            with socket.create_connection(server.getsockname(), timeout=PORT_S):
                server.accept()[0].close()
    except OSError as error:
        return f"{type(error).__name__} ({error})"
    return None


# --- weights and data ----------------------------------------------------------------------------


def needed_sources(plan: Plan) -> dict[str, tuple[Artefact, list[str]]]:
    """Return base policies and problems from outside the workflow, by path, and the targets that need them.

    Considers the default targets.
    """
    found: dict[str, tuple[Artefact, list[str]]] = {}
    for name in plan.graph.default:
        for artefact in plan.graph.upstream([name]):
            if artefact.kind in ("base_policy", "problems") and parts_of(artefact):
                found.setdefault(artefact.path, (artefact, []))[1].append(name)
    return found


def parts_of(artefact: Artefact) -> dict[str, dict]:
    """Return the parts of an artefact on the hub or in a folder, by key of the configuration."""
    if artefact.kind == "base_policy":
        outside = "architecture" in artefact.params
        return {f"pretrained.{artefact.slug}": artefact.params} if outside else {}
    parts = {key: value for key, value in artefact.params.items() if isinstance(value, dict)}
    return {f"data.{artefact.slug}.{key}": value for key, value in parts.items() if "files" in value}


def find_sources(plan: Plan, results: Path) -> list[Source]:
    """Return for each model and each part of a data set whether it is here, or available."""
    asked = [
        (name, part, tuple(targets), artefact)
        for artefact, targets in needed_sources(plan).values()
        for name, part in parts_of(artefact).items()
    ]
    with ThreadPoolExecutor(max(len(asked), 1)) as threads:
        return list(threads.map(lambda one: _find_source(plan, results, *one), asked))


def _find_source(
    plan: Plan, results: Path, name: str, part: dict, targets: tuple[str, ...], artefact: Artefact
) -> Source:
    if (results / artefact.path / SPEC).is_file():
        return Source(name, targets, "made")
    command = [sys.executable, str(Path(__file__).resolve()), "--source", json.dumps(part)]
    try:
        state, _, message = ask(command, HUB_S, {"PYTHONPATH": str(ROOT)}).strip().partition(" ")
    except NoAnswer as error:
        state, message = "missing", f"the hub: {error}: check the connection, or give a local folder"
    size = 0.0
    if artefact.kind == "base_policy" and state == "reachable":
        shape = architecture_of(plan.configuration, artefact.slug)
        size = float(PUBLISHED_BYTES * shape.parameter_count())
    return Source(name, targets, state, message, size)


def source_state(part: dict) -> str:
    """Return the state of a model or of a part of a data set (`Source`), with a message if it is missing.

    The jobs' own code looks, so that the messages are theirs. At most it downloads a config.json.
    """
    import huggingface_hub

    from asymre.datasets.readers import source_files
    from asymre.engines.fsdp_vllm.source import check_policy, download

    try:
        if "files" in part:
            found, get = [], huggingface_hub.hf_hub_download

            def look_at(repo: str, name: str, **options) -> str:
                cached = huggingface_hub.try_to_load_from_cache(repo, name, **options)
                found.append("cached" if isinstance(cached, str) else "reachable")
                if found[-1] == "reachable":
                    reach_hub()
                return get(repo, name, **options, dry_run=True).local_path

            huggingface_hub.hf_hub_download = look_at
            source_files(part)
            return "folder" if "folder" in part else "reachable" if "reachable" in found else "cached"
        if part["folder"]:
            check_policy(Path(part["folder"]), part["architecture"])
            return "folder"
        hub, revision = part["hub"], part["revision"]
        try:
            patterns = ["*.safetensors", "*.json"]
            cached = huggingface_hub.snapshot_download(
                hub, revision=revision, allow_patterns=patterns, local_files_only=True
            )
            check_policy(Path(cached), part["architecture"])
            return "cached"
        except (OSError, ValueError):
            reach_hub()
            download(hub, revision, ["config.json"])
            return "reachable"
    except ValueError as error:
        return f"missing {error}"
    except ConnectionError as error:
        elsewhere = "fetch it where there is a connection, with the same HF_HOME"
        return f"missing {hub} is not in the hub's cache: {error}: {elsewhere}, or give a local folder"


def reach_hub() -> None:
    """Raise ConnectionError unless the hub gives any answer. One attempt: its own client makes many."""
    from huggingface_hub.constants import ENDPOINT
    from huggingface_hub.utils import get_session

    try:
        get_session().head(ENDPOINT, timeout=CONNECTION_S)
    except Exception as error:  # httpx's own, or that of HF_HUB_OFFLINE
        raise ConnectionError(f"no connection to {ENDPOINT} ({type(error).__name__}: {error})") from None


def find_cache() -> Path:
    """Return where the hub's files are kept."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


# --- all of it -----------------------------------------------------------------------------------


def look(plan: Plan, results: Path) -> list[Line]:
    """Return everything that jobs on GPUs need from this machine."""
    c = plan.configuration
    on_gpu, processes = c.fsdp_vllm.device == "cuda", c.fsdp_vllm.processes
    conda = (Path(sys.prefix) / "conda-meta").is_dir()
    models = list(dict.fromkeys(run.model for run in plan.trainings))
    vllm_python = VLLM / "bin/python"
    with ThreadPoolExecutor() as threads:
        asked_sources = threads.submit(find_sources, plan, results)
        asked_torch = threads.submit(find_installed, sys.executable, gpus=on_gpu)
        asked_vllm = threads.submit(find_installed, vllm_python) if vllm_python.exists() else None
        gpus = find_gpus() if on_gpu else []
        torch = asked_torch.result()
        vllm = asked_vllm.result() if asked_vllm else None
        sources = asked_sources.result()
    lines = []
    if on_gpu:
        listed = [] if isinstance(gpus, str) else gpus
        seen, unknown = check.visible(listed, os.environ.get("CUDA_VISIBLE_DEVICES"))
        lines += check.check_driver(gpus, [torch.cuda, vllm.cuda if vllm else None])
        lines += check.check_gpus(seen, unknown, processes)
        if seen:
            lines += check.check_gpu_memory(plan, seen)
    else:
        lines.append(Line("note", "fsdp_vllm.device is cpu: no check of driver, GPUs, CUDA and C compiler"))
    lines += check.check_torch(torch, processes, on_gpu)
    lines += check.check_vllm(vllm, (VLLM / ".complete").is_file(), on_gpu, conda)
    if on_gpu:
        compiler, include = find_compiler(), vllm.include if vllm else None
        header = include is not None and Path(include, "Python.h").is_file()
        error = try_compiler(compiler, include) if compiler and header else None
        lines += check.check_compiler(compiler, include, header, error)
    lines += check.check_main_memory(c, models, *find_memory(os.environ), on_gpu)
    lines += check.check_disk(plan, free_disk(results), f"{results}/")
    cache = find_cache()
    lines += check.check_sources(sources)
    lines += check.check_cache(str(cache), try_writing(cache), free_disk(cache), sources)
    lines += check.check_port(try_port())
    if on_gpu and shutil.which("sinfo") and "SLURM_JOB_ID" not in os.environ:
        text = "this is no job of Slurm: to look at a node, run the target preflight with profiles/slurm"
        lines.append(Line("note", text))
    return lines


def main() -> None:
    options = parser(__doc__)
    options.add_argument("configuration", nargs="?", choices=["-"], help="JSON on standard input")
    options.add_argument("--source", type=json.loads, help="for this script's own processes")
    given = options.parse_args()
    if given.source:
        print(source_state(given.source))
        return
    try:
        if given.configuration:
            configuration = Configuration.model_validate_json(sys.stdin.read())
        else:
            scale = given.scale or (None if given.configfile else "gpu")
            configuration, _ = chosen(ROOT, scale, given.configfile)
        plan = planning.build(ROOT, configuration)
    except ValueError as error:
        sys.exit(f"error: {error}")
    results = Path("results") / configuration.results
    if configuration.fsdp_vllm is None:
        sys.exit(f"error: {results} belongs to engine local, which needs no GPU: try --scale gpu")
    lines = look(plan, results)
    print(*lines, sep="\n")
    missing = sum(line.what == "MISSING" for line in lines)
    print(f"{missing} things are missing" if missing else "nothing is missing", flush=True)
    # A normal exit would wait for processes that do not end.
    os._exit(bool(missing))


if __name__ == "__main__":
    main()
