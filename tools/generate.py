"""Write the files that follow from others: config/schema.json, config/reference*.yaml, envs/*.yaml.

python -m tools.generate [--check]

--check writes nothing, and names what does not follow from the code and the pins as they are. A reference is
right if it is what the code makes of the values in it: editing an experiment makes none wrong.
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
# By role of an environment: the file of its pins.
ROLES = {"analysis": "requirements.txt", "train": "envs/train.txt", "vllm": "envs/vllm.txt"}
# By file: the scale whose configuration it shows.
REFERENCES = {"config/reference.yaml": "cpu", "config/reference_gpu.yaml": "gpu"}


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
    """Of these, those that no value of a configuration decides."""
    environments = {
        f"envs/{role}.yaml": environment((root / pins).read_text(encoding="utf-8"))
        for role, pins in ROLES.items()
    }
    return {"config/schema.json": schema_text()} | environments


def stale(root: Path) -> Iterator[str]:
    """Yield paths of the files that do not follow from what they are generated from."""
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
