"""One version of each package in every environment, and the conda files those of the pins."""

import re
from pathlib import Path

import pytest

from tools.generate import ROLES, environment

ROOT = Path(__file__).resolve().parents[2]
FILES = ["requirements.txt", "envs/train.txt", "envs/vllm.txt", "envs/vllm-cpu.txt"]
# Versions that a GPU's packages need otherwise.
DIFFERENT = {"setuptools", "apache-tvm-ffi", "triton"}
# What torch 2.13.0 says of itself in its CUDA wheel for Linux; the wheel for CPUs asks for none of it.
TORCH_CUDA = {
    "torch": "2.13.0",
    "triton": "3.7.1",
    "nvidia-cudnn-cu13": "9.20.0.48",
    "nvidia-cusparselt-cu13": "0.8.1",
    "nvidia-nccl-cu13": "2.29.7",
    "nvidia-nvshmem-cu13": "3.4.5",
    "cuda-toolkit": "13.0.3.0",
}
# Of its extras cublas, cudart, cufft, cufile, cupti, curand, cusolver, cusparse, nvjitlink, nvrtc, nvtx.
CUDA_TOOLKIT = (
    *("nvidia-cublas", "nvidia-cuda-runtime", "nvidia-cufft", "nvidia-cufile", "nvidia-cuda-cupti"),
    *(
        "nvidia-curand",
        "nvidia-cusolver",
        "nvidia-cusparse",
        "nvidia-nvjitlink",
        "nvidia-cuda-nvrtc",
        "nvidia-nvtx",
    ),
)


def pins(file: str) -> dict[str, str]:
    lines = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", line) for line in lines), file
    return {re.sub(r"[-_.]+", "-", name).lower(): v for name, v in (line.split("==") for line in lines)}


@pytest.mark.parametrize("role", ROLES)
def test_conda_files_are_those_of_the_pins(role):
    stale = "run `make reference`"
    expected = environment((ROOT / ROLES[role]).read_text())
    assert (ROOT / f"envs/{role}.yaml").read_text() == expected, stale


@pytest.mark.parametrize("file", FILES[1:])
def test_environments_share_their_versions(file):
    main, other = pins("requirements.txt"), pins(file)
    shared = set(main) & set(other)
    assert {name: other[name] for name in shared} == {name: main[name] for name in shared}
    assert {"torch", "transformers", "numpy", "pyarrow", "math-verify"} <= shared


def test_vllm_on_a_cpu_is_that_of_a_gpu():
    gpu, cpu = pins("envs/vllm.txt"), pins("envs/vllm-cpu.txt")
    assert gpu["vllm"] == cpu["vllm-cpu"] == "0.32.0"
    shared = set(gpu) & set(cpu) - DIFFERENT
    assert {name: gpu[name] for name in shared} == {name: cpu[name] for name in shared}
    # They do not import beside the CPU's torch.
    assert not {"torchvision", "torchaudio", "torchcodec"} & set(cpu)


def test_vllm_s_pins_are_those_that_torch_s_cuda_wheel_asks_for():
    gpu = pins("envs/vllm.txt")
    assert {name: gpu.get(name) for name in TORCH_CUDA} == TORCH_CUDA
    assert set(CUDA_TOOLKIT) <= set(gpu)
    # Of CUDA 13.0, as the driver of a node needs them.
    assert gpu["nvidia-cuda-runtime"].startswith("13.0.") and gpu["nvidia-cuda-nvrtc"].startswith("13.0.")


def test_peers_stand_on_top_of_the_first_environment():
    """One torch for both sides of a comparison; what vLLM's environment has too, in the same version."""
    main, peers, vllm = (pins(f) for f in ("requirements.txt", "envs/peers.txt", "envs/vllm-cpu.txt"))
    assert peers["trl"] == "1.16.0" and not set(main) & set(peers)
    assert {name: vllm[name] for name in peers if name in vllm} == {
        name: version for name, version in peers.items() if name in vllm
    }


def test_nothing_of_one_build_or_one_registry_is_pinned():
    for file in [*FILES, "envs/slurm.txt", "envs/peers.txt"]:
        text = (ROOT / file).read_text()
        assert "+cpu" not in text and "://" not in text and "--index" not in text, file
