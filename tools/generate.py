"""Write the generated files: config/schema.json, config/reference*.yaml, envs/*.yaml.

python -m tools.generate [--check]

--check writes nothing, and names files that differ from what the code and the pins generate. A reference is
up to date if the code generates it from its own values, so editing an experiment makes none stale.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from paper.configuration import reading
from paper.configuration.reference import reference_text, schema_text
from paper.configuration.schema import Configuration
from store.files import write_text
from tools.options import ROOT, or_exit

PYTHON = "3.11"
# The file of pins, by role of an environment.
ROLES = {"analysis": "requirements.txt", "train": "envs/train.txt", "vllm": "envs/vllm.txt"}
# The scale whose configuration a file shows.
REFERENCES = {
    "config/reference.yaml": "cpu",
    "config/reference_pretrained.yaml": "pretrained",
    "config/reference_gpu.yaml": "gpu",
}


def environment(pins: str) -> str:
    """Return a conda environment with the pins of a pip requirements file."""
    packages = [line for line in pins.splitlines() if line and not line.startswith("#")]
    lines = ["channels:", "  - conda-forge", "dependencies:", f"  - python={PYTHON}", "  - pip", "  - pip:"]
    return "\n".join([*lines, *(f"      - {package}" for package in packages)]) + "\n"


def generated(root: Path) -> dict[str, str]:
    """Return every generated file by its path below `root`. Raises ConfigurationError."""
    return fixed(root) | {
        file: reference_text(reading.load(root, {"scale": scale})) for file, scale in REFERENCES.items()
    }


def fixed(root: Path) -> dict[str, str]:
    """Return the generated files that depend on no value of a configuration."""
    environments = {
        f"envs/{role}.yaml": environment((root / pins).read_text(encoding="utf-8"))
        for role, pins in ROLES.items()
    }
    return {"config/schema.json": schema_text()} | environments


def stale(root: Path) -> Iterator[str]:
    """Yield the paths of generated files that are stale."""
    for file, text in fixed(root).items():
        if (root / file).read_text(encoding="utf-8") != text:
            yield file
    for file in REFERENCES:
        text = (root / file).read_text(encoding="utf-8")
        try:
            is_right = reference_text(Configuration.model_validate(yaml.safe_load(text))) == text
        except (ValueError, yaml.YAMLError):
            is_right = False
        if not is_right:
            yield file


def main() -> None:
    if sys.flags.optimize > 1:
        sys.exit("error: the generated files hold docstrings, and PYTHONOPTIMIZE=2 takes them away: unset it")
    if sys.argv[1:] == ["--check"]:
        if wrong := list(stale(ROOT)):
            sys.exit(f"error: {', '.join(wrong)}: not as generated; run make reference")
        return
    for file, text in or_exit(generated, ROOT).items():
        write_text(ROOT / file, text)


if __name__ == "__main__":
    main()
