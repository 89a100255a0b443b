"""Growth of cost: steps with width and layers, runs with steps and N, memory with width, planning with jobs.

OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.growth       (docs/benchmarks.png, and the table of steps)
"""

import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure

from asymre.architecture import Architecture
from asymre.datasets.problems import generate_problems
from asymre.engines.local.engine import LocalEngine
from asymre.engines.local.rollouts import sampler
from asymre.engines.local.tokenizer import VOCABULARY_SIZE
from asymre.specs import Rewards, RolloutSpec, Sampling, TrainingSpec
from asymre.tasks.arithmetic import Arithmetic
from asymre.training.loop import train
from benchmarks import decoder
from benchmarks.timing import medians
from paper.configuration.reading import load
from paper.figures.style import styled
from workflow.plan import build

ROOT = Path(__file__).parent.parent
FIGURE = ROOT / "docs/benchmarks.png"
WIDTHS, LAYERS = (32, 48, 64, 96, 128), (1, 2, 3)
# Prompt and new tokens of tasks with three, four and five terms.
LENGTHS = ((7, 6), (9, 9), (11, 12))
STEPS, CYCLES = (40, 80, 160), (10, 40)


def architecture(width: int, layers: int) -> Architecture:
    """Return a Llama with the stand-ins' proportions."""
    return Architecture("llama", width, 5 * width // 2, layers, 4, 2, VOCABULARY_SIZE, False)


def steps_by_size() -> pd.DataFrame:
    """Return milliseconds per step and for sampling its completions, by width, layers and tokens."""
    rows = []
    for prompt, new in LENGTHS:
        prompts, tokens, rewards = decoder.batch(prompt, new)
        for layers in LAYERS:
            for width in WIDTHS:
                engine = decoder.engine_of(architecture(width, layers))
                spent = medians(
                    {
                        "step": partial(decoder.step, engine, prompts, tokens, rewards),
                        "sampling": partial(decoder.draw, engine, prompts, new),
                    },
                    repeats=7,
                )
                size = {"width": width, "layers": layers, "tokens": f"{prompt} + {new}"}
                milliseconds = {name: 1e3 * seconds for name, seconds in spent.items()}
                rows.append(size | {"parameters": engine.architecture.parameter_count()} | milliseconds)
    return pd.DataFrame(rows)


def run(steps: int, N: int, width: int = 64) -> float:
    """Return the seconds of a run of engine local, without imports and evaluation."""
    task = Arithmetic(terms=3, operators="+")
    problems = generate_problems(task, count=512, split="train", seed=0)
    engine: LocalEngine = decoder.engine_of(architecture(width, 2))
    spec = TrainingSpec(
        objective="asymre",
        settings=decoder.SETTINGS,
        normalisation="token_sum",
        learning_rate=0.0,  # the engine has its own
        gradient_clip=1.0,
        N=N,
        refreshed=True,
        snapshot_every=steps,
        extra_snapshots=(),
        rollouts=RolloutSpec(
            prompts_per_step=decoder.PROMPTS,
            group_size=decoder.GROUP,
            max_new_tokens=8,
            sampling=Sampling(1.0, 1.0),
            rewards=Rewards(1, -1),
            verifier="arithmetic",
        ),
        seed=0,
        first_step=0,
        until=steps,
    )
    sample = sampler(engine.policy, engine.architecture, problems, spec)
    start = time.perf_counter()
    for _ in train(engine, spec, sample(0, min(N, steps)), sample):
        pass
    return time.perf_counter() - start


def runs_by_length() -> pd.DataFrame:
    """Return the seconds of a run, by steps and N."""
    run(10, 10)
    return pd.DataFrame([{"steps": s, "N": N, "seconds": run(s, N)} for N in CYCLES for s in STEPS])


def memory_by_width() -> pd.DataFrame:
    """Return the peak memory in MB of a process that takes 40 steps, by width."""
    rows = []
    for width in WIDTHS:
        command = [sys.executable, "-m", "benchmarks.growth", str(width)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        rows.append({"width": width, "memory": float(done.stdout)})
    return pd.DataFrame(rows)


def plans_by_jobs() -> pd.DataFrame:
    """Return the seconds to plan a scale, by number of jobs."""
    rows = []
    for scale in ("smoke", "cpu", "gpu"):
        start = time.perf_counter()
        plan = build(ROOT, load(ROOT, {"scale": scale}))
        rows.append({"jobs": len(plan.graph.artefacts), "seconds": time.perf_counter() - start})
    return pd.DataFrame(rows)


def draw(steps: pd.DataFrame, runs: pd.DataFrame, memory: pd.DataFrame, plans: pd.DataFrame) -> Figure:
    """Draw a panel for each of the four tables."""
    with styled():
        fig = Figure(figsize=(12, 3.2), dpi=120, layout="constrained")
        axes = fig.subplots(1, 4)
        shown = steps[steps["tokens"] == steps["tokens"].iloc[0]]
        lines = {"marker": "o", "palette": "viridis"}
        sns.lineplot(shown, x="parameters", y="step", hue="layers", ax=axes[0], **lines)
        axes[0].set(xscale="log", yscale="log", ylabel="ms per training step")
        sns.lineplot(runs, x="steps", y="seconds", hue="N", ax=axes[1], **lines)
        axes[1].set(ylabel="seconds per run", ylim=(0, None))
        sns.lineplot(memory, x="width", y="memory", marker="o", ax=axes[2])
        axes[2].set(ylabel="MB, peak of a training job", ylim=(0, None))
        sns.lineplot(plans, x="jobs", y="seconds", marker="o", ax=axes[3])
        axes[3].set(xscale="log", yscale="log", ylabel="seconds to plan")
    return fig


def main() -> None:
    """Measure, print and draw everything."""
    torch.set_num_threads(1)
    steps, runs, memory, plans = steps_by_size(), runs_by_length(), memory_by_width(), plans_by_jobs()
    table = steps.assign(
        ms=[f"{a:.1f} + {b:.1f}" for a, b in zip(steps["step"], steps["sampling"], strict=True)]
    )
    print("\nms per step + sampling its 16 x 8 completions, by tokens, layers and width\n")
    print(table.pivot(index=["tokens", "layers"], columns="width", values="ms").to_string())
    for name, rows in (("one run", runs), ("memory, MB", memory), ("planning", plans)):
        print(f"\n{name}\n\n{rows.round(2).to_string(index=False)}")
    draw(steps, runs, memory, plans).savefig(FIGURE)
    print(f"\n{FIGURE.relative_to(ROOT)}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        torch.set_num_threads(1)
        run(40, 40, int(sys.argv[1]))
        # Not getrusage: its peak includes the process that started this one.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        print(int(re.search(r"VmHWM:\s*(\d+)", status)[1]) / 1024)
    else:
        main()
