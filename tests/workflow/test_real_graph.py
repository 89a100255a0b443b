"""What tests/store proves on the toy workflow holds for the real graph: kinds, reasons, a kill, a move."""

import io
import itertools
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from paper.configuration import reading
from paper.published import published_files
from scripts import publish as publishing
from store import folder, record, stale
from store.graph import UNFINISHED
from tests.store.kills import killed_at_change
from workflow.plan import Plan, build, kinds_of

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ["Snakefile", "rules", "scripts", "tools", "asymre", "paper", "store", "workflow", "config"]
SOURCES += ["envs", "profiles", "docs/report", "requirements.txt"]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--cores", "1"]


def copy_sources(target: Path) -> Path:
    for name in SOURCES:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target / name)
    return target


def plan_of(root: Path = ROOT, **overlay) -> Plan:
    return build(root, reading.load(root, {"scale": "smoke", "results": "mine"} | overlay))


def environment(clone: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return inherited | {"XDG_CACHE_HOME": str(clone / ".cache"), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}


def run(clone: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=clone,
        env=environment(clone),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def planned(clone: Path, *arguments: str) -> dict[str, int]:
    """Return the number of planned jobs by rule, without the one that collects the targets."""
    output = run(clone, *SNAKEMAKE[1:], "--dry-run", *arguments)
    rows = re.findall(r"^ (\w[\w ]*?) {2,}(\d+) *$", output, re.M)
    jobs = {name.replace(" ", "_"): int(number) for name, number in rows}
    assert jobs.pop("total", 0) == sum(jobs.values()) and (jobs or "Nothing to be done" in output), output
    jobs.pop("all", None)
    return jobs


# --- fabricated results: whatever their content, their names and specifications decide -------------


@pytest.fixture(scope="module")
def smoke() -> Plan:
    return build(ROOT, reading.load(ROOT, {"scale": "smoke"}))


@pytest.fixture
def results(tmp_path, monkeypatch, smoke) -> Path:
    """results/smoke with everything that the plan names, made and published; the current folder is above."""
    monkeypatch.chdir(tmp_path)
    place = Path("results/smoke")
    fabricate(place, smoke)
    return place


def fabricate(place: Path, plan: Plan) -> None:
    for path in plan.graph.artefacts:
        write(place / path / "spec.json", plan.graph.spec_json(path))
    for name, target in plan.graph.targets.items():
        stamp(place, target.id, published_files(name))
    stamp(place, plan.configuration_id, ["configuration.yaml", "runs.csv"])


def stamp(place: Path, id: str, files: list[str]) -> None:
    for file in files:
        write(place / file, "x")
    (place / ".stamps").mkdir(exist_ok=True)
    record.write_stamp(place / ".stamps" / id, [place / file for file in files], {})


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def groups_of(plan: Plan, place: Path) -> list[str]:
    """Return the head of each group of the report on what has to be made."""
    there = folder.existing(place, plan.graph.kinds)
    text = stale.report(plan.graph, folder.read_specs(place, there), there, folder.read_stamps(place))
    return [line for line in text.splitlines() if re.match(r"\d+ \w+: ", line)]


def needed(plan: Plan) -> Counter[str]:
    """Return how many artefacts of each kind the default targets rest on."""
    return Counter(artefact.kind for artefact in stale.missing(plan.graph, set(), set()))


def test_the_kinds_are_those_of_the_plan():
    """Of both engines, and of runs in several jobs; upstream first, but for what goes round in a cycle."""
    split = plan_of(training={"cycles_per_job": 1})
    fsdp_vllm = build(ROOT, reading.load(ROOT, {"scale": "rehearsal"}))
    checkpoints = fsdp_vllm.graph.checkpoints
    assert checkpoints.of == "cycles" and set(checkpoints.folders) == {"policies", "snapshots", "state"}
    cycle = {"rollouts", "cycles", *checkpoints.folders}
    for plan in (split, fsdp_vllm):
        graph = plan.graph
        assert graph.kinds == kinds_of(plan.configuration)
        for artefact in graph.artefacts.values():
            for kind in {path.partition("/")[0] for path in graph.inputs(artefact.path)}:
                upstream = graph.kinds.index(kind) < graph.kinds.index(artefact.kind)
                assert upstream or {kind, artefact.kind} <= cycle
    kinds = {artefact.kind for plan in (split, fsdp_vllm) for artefact in plan.graph.artefacts.values()}
    kinds |= {"pass_rates", UNFINISHED}  # of pretrained models in engine local
    assert kinds | set(checkpoints.folders) == set(fsdp_vllm.graph.kinds)
    assert set(split.graph.kinds) == set(fsdp_vllm.graph.kinds) - set(checkpoints.folders)


def test_calibration_is_no_default_target(smoke, results):
    shutil.rmtree(results / "calibration")
    for path in (*results.glob("figure/calibration-*"), *results.glob(".stamps/calibration-*")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert groups_of(smoke, results) == []


def figure_9(**changes):
    run = reading.load(ROOT).figures["figure_9"].model_dump()["runs"][0]
    return {"figures": {"figure_9": {"runs": [run | changes]}}, "leave_out": {"figure_9": {"seeds": [1, 2]}}}


# Overlay, and heads of groups of the report; {kind} stands for the number of artefacts of a kind.
CHANGES = {
    "one delta_v for another": (
        figure_9(delta_v=[-0.05, 0]),
        [
            "1 training: params.settings.delta_v: -0.1 -> -0.05",
            "1 evaluation: input training changed",
            "1 figure: params.caption: changed; params.note: changed; params.panels: changed; "
            "input llama-3b_math_asymre_-0.05_N2_seed0 is new; "
            "input llama-3b_math_asymre_-0.05_N2_seed0/training is new; "
            "input llama-3b_math_asymre_-0.1_N2_seed0 was removed; "
            "input llama-3b_math_asymre_-0.1_N2_seed0/training was removed",
        ],
    ),
    "seeds": (
        figure_9(seeds=[3, 5]) | {"leave_out": {"figure_9": {"seeds": []}}},
        [
            "2 rollouts: params.seed: 0 -> 3, 0 -> 5",
            "4 training: params.seed: 0 -> 3, 0 -> 5; input rollouts changed",
            "4 evaluation: params.evaluation.seed: 0 -> 3, 0 -> 5; input training changed",
        ],
    ),
    "bandit": (
        {"bandit": {"improvement": {"iterations": 5}}},
        [
            "1 bandit: params.settings.iterations: 4 -> 5",
            "1 figure: params.caption: changed; input data changed",
        ],
    ),
    "base policies": (
        {"pretraining": {"seed": 3}},
        [
            "{base_policy} base_policy: params.pretraining.seed: 0 -> 3",
            "{rollouts} rollouts: input policy changed",
            "{training} training: input policy changed; input rollouts changed",
            "{evaluation} evaluation: input base_policy changed; input training changed",
        ],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_reasons_of_a_changed_configuration(name, smoke, results):
    overlay, expected = CHANGES[name]
    changed = plan_of(**overlay)
    heads = groups_of(changed, results)
    expected = [text.format(**needed(smoke)) for text in expected]
    assert [head for head in expected if head not in heads] == [], "\n".join(heads)
    there = folder.existing(results, changed.graph.kinds)
    made = stale.missing(changed.graph, there, folder.read_stamps(results))
    assert sum(int(head.split()[0]) for head in heads) == len(made)


def test_the_reasons_of_changed_code_and_packages(tmp_path, results, smoke):
    tree = copy_sources(tmp_path / "tree")
    with (tree / "asymre/metrics/evaluation.py").open("a", encoding="utf-8") as stream:
        stream.write("\nADDED = 1\n")
    with (tree / "paper/figures/_bandit.py").open("a", encoding="utf-8") as stream:
        stream.write("\nfrom asymre.bandit import theory\n")
    pins = (tree / "requirements.txt").read_text()
    write(tree / "requirements.txt", re.sub(r"(?m)^scipy==.*$", "scipy==0.1", pins))
    scipy = re.search(r"(?m)^scipy==(.*)$", pins)[1]
    heads = groups_of(plan_of(tree), results)
    assert f"4 bandit: packages.scipy: {scipy} -> 0.1" in heads
    assert f"{needed(smoke)['evaluation']} evaluation: module asymre.metrics.evaluation changed" in heads
    drawn = [re.match(r"(\d+) figure: .*module asymre.bandit.theory is new", head) for head in heads]
    assert sum(int(match[1]) for match in drawn if match) == 4, heads
    assert not any(re.match(r"\d+ (training|rollouts|base_policy|problems): ", head) for head in heads)


RULES = {
    "bandit": "simulate_bandit",
    "problems": "make_problems",
    "base_policy": "make_base_policy",
    "rollouts": "sample_rollouts",
    "training": "train_policy",
    "evaluation": "evaluate_policy",
    "figure": "plot_figure",
    "claims": "check_claims",
}


@pytest.mark.slow
def test_why_names_what_snakemake_plans(smoke, tmp_path):
    clone = copy_sources(tmp_path / "clone")
    place, graph = clone / "results/smoke", smoke.graph
    fabricate(place, smoke)
    # A third of everything, and all that rests on it.
    gone = set(sorted(graph.artefacts)[::3])
    while more := {path for path in graph.artefacts if gone & set(graph.inputs(path))} - gone:
        gone |= more
    for path in gone:
        shutil.rmtree(place / path)
    lost = {name for name in graph.default if graph.targets[name].path in gone} | {"figure_2"}
    for name in lost:
        (place / ".stamps" / graph.targets[name].id).unlink()
    jobs = planned(clone, "--config", "scale=smoke")
    told = run(clone, "-m", "tools.why", "--scale", "smoke")
    why = Counter()
    for number, kind in re.findall(r"^(\d+) (\w+): ", told, re.M):
        why[RULES[kind]] += int(number)
    assert why == {name: number for name, number in jobs.items() if name in RULES.values()}, told
    assert why["train_policy"] > 0
    assert lost == {name for name in jobs if name.startswith(("figure_", "claims"))}


# --- a module that moves --------------------------------------------------------------------------


def test_a_module_that_moves_trains_nothing(smoke, tmp_path):
    """Some files import it from its package, and others functions from it."""
    tree = copy_sources(tmp_path / "tree")
    write(tree / "asymre/formulas/__init__.py", '"""Closed forms."""\n')
    (tree / "asymre/bandit/theory.py").rename(tree / "asymre/formulas/theory.py")
    rewritten = 0
    for file in (path for name in ("asymre", "paper", "scripts") for path in (tree / name).rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        new = text.replace("from asymre.bandit.theory import", "from asymre.formulas.theory import")
        new = re.sub(
            r"from asymre\.bandit import (.*), theory$",
            r"from asymre.bandit import \1\nfrom asymre.formulas import theory",
            new,
            flags=re.M,
        )
        rewritten += new != text
        write(file, new)
    assert rewritten >= 5
    moved = build(tree, reading.load(tree, {"scale": "smoke"}))
    assert moved.graph.artefacts.keys() == smoke.graph.artefacts.keys()
    modules = {module for artefact in moved.graph.artefacts.values() for module in artefact.code}
    assert "asymre.formulas.theory" in modules and "asymre.bandit.theory" not in modules


# --- a real run -----------------------------------------------------------------------------------

RUN = {
    "model": "llama-8b",
    "dataset": "math",
    "objective": "asymre",
    "delta_v": [-0.1],
    "N": 250,
    "seeds": [0],
}
OVERLAY = {
    "scale": "smoke",
    "results": "small",
    "figures": {
        "figure_5": {"panels": [{"title": "t", "measure": "train_accuracy", "runs": [RUN]}], "controls": []}
    },
    "leave_out": {"figure_5": {}},
}
TARGET = ("figure_5", "--configfile", "small.yaml")


def run_job(plan: Plan, place: Path, path: str) -> None:
    """Make an artefact with its script, in this process."""
    script = plan.graph.script(path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", [script, "-", str(place / path)])
        patched.setattr(sys, "stdin", io.StringIO(plan.graph.spec_json(path)))
        runpy.run_path(str(ROOT / script), run_name="__main__")


@pytest.fixture(scope="module")
def small() -> Plan:
    return build(ROOT, reading.load(ROOT, OVERLAY))


@pytest.fixture(scope="module")
def made(small, tmp_path_factory) -> Path:
    """The results of a figure of one run, published."""
    place = tmp_path_factory.mktemp("made") / "results/small"
    for artefact in sorted(small.graph.upstream(["figure_5"]), key=lambda a: small.graph.kinds.index(a.kind)):
        run_job(small, place, artefact.path)
    target = small.figures["figure_5"]
    publishing.main(place / target.path, "figure_05", place / ".stamps" / target.id)
    return place


@pytest.fixture
def clone(made, tmp_path) -> Path:
    clone = copy_sources(tmp_path / "clone")
    write(clone / "small.yaml", yaml.safe_dump(OVERLAY))
    shutil.copytree(made, clone / "results/small")
    return clone


def files_of(place: Path) -> dict[str, bytes]:
    files = (path for path in place.rglob("*") if path.is_file() and path.name != ".snakemake_timestamp")
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in files}


@pytest.mark.slow
def test_the_lineage_of_a_figure_reaches_its_base_policy(small, made):
    page = (made / "figures/figure_05.lineage.html").read_text(encoding="utf-8")
    upstream = small.graph.upstream(["figure_5"])
    assert {artefact.kind for artefact in upstream} == set(RULES) - {"bandit", "claims"}
    for artefact in upstream:
        content = record.content(record.read_spec(made / artefact.path))[:12]
        assert f"<td>{artefact.id}</td><td>{content}</td>" in page
    assert "not kept" not in page and "damaged" not in page
    assert folder.verify(made, folder.paths_in(made, small.graph.kinds)).findings == []


@pytest.mark.slow
def test_comments_plan_nothing_and_another_evaluation_trains_nothing(clone):
    for path in clone.rglob("*.py"):
        path.touch()
    with (clone / "asymre/engines/local/decoder.py").open("a", encoding="utf-8") as stream:
        stream.write("# A comment.\n")
    assert planned(clone, *TARGET) == {}
    smoke = (clone / "config/scale/smoke.yaml").read_text(encoding="utf-8")
    write(clone / "config/scale/smoke.yaml", smoke.replace("test_problems: 16", "test_problems: 12"))
    assert planned(clone, *TARGET) == {"evaluate_policy": 1, "plot_figure": 1, "figure_5": 1}


def test_a_training_job_killed_anywhere_leaves_its_result_whole_or_missing(small, made, tmp_path):
    (artefact,) = (a for a in small.graph.upstream(["figure_5"]) if a.kind == "training")
    place = shutil.copytree(made, tmp_path / "small")
    result = place / artefact.path
    shutil.rmtree(result)
    for n in itertools.count(1, step=4):
        killed = killed_at_change(n, place, lambda: run_job(small, place, artefact.path))
        if result.exists():
            assert files_of(result) == files_of(made / artefact.path)
        if not killed:
            break
    assert n > 20, "the kills hit no write"
    assert files_of(result) == files_of(made / artefact.path) and not list(place.rglob("*.partial"))


@pytest.mark.slow
def test_a_run_killed_while_it_trains_goes_on_to_the_same_bytes(small, made, clone):
    (artefact,) = (a for a in small.graph.upstream(["figure_5"]) if a.kind == "training")
    result = f"results/small/{artefact.path}"
    shutil.rmtree(clone / result)
    command = [*SNAKEMAKE, result, "--configfile", "small.yaml"]
    process = subprocess.Popen(
        command, cwd=clone, env=environment(clone), stdout=subprocess.DEVNULL, start_new_session=True
    )
    while not list((clone / "results/small/training").glob(".*.partial")):
        assert process.poll() is None, "it ended too early"
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (clone / result).exists()
    # What `snakemake --unlock` does.
    shutil.rmtree(clone / ".snakemake/locks")
    run(clone, *command[1:])
    assert files_of(clone / result) == files_of(made / artefact.path)
    assert not list((clone / "results").rglob("*.partial"))
