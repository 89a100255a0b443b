import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from paper.configuration import reading
from paper.published import published_files
from tests.test_workflow import copy_sources
from tools import options, prune, why
from workflow import plan, stale
from workflow.fsdp_vllm_graph import BESIDE
from workflow.plan import build

ROOT = Path(__file__).resolve().parents[1]


def plan_of(root=ROOT, **overlay):
    return plan.build(root, reading.load(root, {"scale": "smoke", "results": "mine"} | overlay))


@pytest.fixture(scope="module")
def smoke():
    return plan.build(ROOT, reading.load(ROOT, {"scale": "smoke"}))


@pytest.fixture
def results(tmp_path, monkeypatch, smoke):
    """results/smoke with everything that the plan names, made and published; the current folder is above."""
    monkeypatch.chdir(tmp_path)
    folder = Path("results/smoke")
    make(folder, smoke)
    return folder


def make(folder, p, paths=None):
    """Fabricate artefacts of a plan, all if no paths are given, and their logs."""
    for path in p.graph.artefacts if paths is None else paths:
        (folder / path).mkdir(parents=True)
        (folder / path / "spec.json").write_text(json.dumps(json.loads(p.graph.spec_json(path)), indent=1))
        (folder / path / "data.bin").write_bytes(bytes(1000))
        write(folder / f"logs/{path}.log")
    for name, target in p.graph.targets.items() if paths is None else ():
        write(folder / f".stamps/{target.id}")
        for file in published_files(name):
            write(folder / file)
        write(folder / f"logs/publish/{target.id}.log")
    if paths is None:
        write(folder / f".stamps/{p.configuration_id}")
        write(folder / "configuration.yaml")
        write(folder / "runs.csv")


def write(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_deleted_published_file_is_published_again(smoke, results):
    (results / "figures/figure_03.png").unlink()
    assert "Made already, but not published: figure_3" in report_of(smoke, results)


def unpublish(folder, name):
    for marker in (folder / ".stamps").glob(f"{name}-*"):
        marker.unlink()


def everything(folder):
    # The lock of a run, or of prune, stays and is no result.
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != ".lock"}


# --- why: what has to be made -------------------------------------------------------------------


def report_of(p, folder):
    existing = options.existing_paths(folder)
    return stale.report(p, options.read_specs(folder, existing), existing, why.read_stamps(folder))


def groups_of(p, folder):
    """Head of each group of the report."""
    return [line for line in report_of(p, folder).splitlines() if re.match(r"\d+ \w+: ", line)]


def test_nothing_exists(smoke, tmp_path):
    made = stale.missing(smoke, set(), set())
    needed, todo = set(), [smoke.graph.targets[name] for name in smoke.graph.default]
    while todo:
        artefact = todo.pop()
        needed.add(artefact.path)
        todo.extend(artefact.inputs.values())
    assert {a.path for a in made} == needed < set(smoke.graph.artefacts)
    kinds = [a.kind for a in made]
    assert kinds == sorted(kinds, key=stale.KINDS.index)
    heads = groups_of(smoke, tmp_path / "nowhere")
    assert heads == [
        f"{kinds.count(kind)} {kind}: nothing comparable exists" for kind in stale.KINDS if kind in kinds
    ]
    report = report_of(smoke, tmp_path)
    assert report.startswith(f"{len(made)} of {len(smoke.graph.artefacts)} artefacts have to be made.\n")
    assert f"    and {kinds.count('training') - 3} more\n" in report
    assert report.endswith("configuration.yaml and runs.csv have to be saved.")


def test_everything_exists(smoke, results):
    assert report_of(smoke, results) == "Nothing has to be made: all figures are up to date."


def test_the_kinds_are_those_of_the_plan(smoke):
    split = plan_of(training={"cycles_per_job": 1})
    hub = build(ROOT, reading.load(ROOT, {"scale": "rehearsal"}))
    kinds = {a.kind for p in (split, hub) for a in p.graph.artefacts.values()}
    assert kinds | set(BESIDE) == set(stale.KINDS)


def test_the_walk_stops_at_what_exists(smoke, results):
    figure = smoke.figures["figure_1"]
    shutil.rmtree(results / figure.inputs["data"].path)
    assert report_of(smoke, results).startswith("Nothing has to be made")
    unpublish(results, "figure_1")
    assert report_of(smoke, results) == "Made already, but not published: figure_1"
    shutil.rmtree(results / figure.path)
    made = stale.missing(smoke, options.existing_paths(results), why.read_stamps(results))
    assert [a.path for a in made] == [figure.inputs["data"].path, figure.path]


def test_calibration_is_no_default_target(smoke, results):
    for kind in ("calibration", "figure"):
        for folder in (results / kind).glob("*calibration*" if kind == "figure" else "*"):
            shutil.rmtree(folder)
    unpublish(results, "calibration")
    assert report_of(smoke, results).startswith("Nothing has to be made")


def figure_9(**changes):
    run = reading.load(ROOT).figures["figure_9"].model_dump()["runs"][0]
    return {"figures": {"figure_9": {"runs": [run | changes]}}, "leave_out": {"figure_9": {"seeds": [1, 2]}}}


def counts(p):
    """How many artefacts of each kind the default targets need."""
    return Counter(a.kind for a in stale.missing(p, set(), set()))


# Overlay, and heads of groups of the report; {kind} stands for the number of artefacts of a kind.
CHANGES = {
    "one delta_v for another": (
        figure_9(delta_v=[-0.05, 0]),
        [
            "1 training: params.settings.delta_v: -0.1 -> -0.05",
            "1 evaluation: input training changed",
            "1 figure: params.caption: changed; params.panels: changed; "
            "input llama-3b_math_asymre_-0.05_N2_seed0 is new; "
            "input llama-3b_math_asymre_-0.05_N2_seed0/training is new; "
            "input llama-3b_math_asymre_-0.1_N2_seed0 is gone; "
            "input llama-3b_math_asymre_-0.1_N2_seed0/training is gone",
        ],
    ),
    "seeds": (
        figure_9(seeds=[3, 5]) | {"leave_out": {"figure_9": {"seeds": []}}},
        [
            "2 rollouts: params.seed: 0 -> 3, 0 -> 5",
            "4 training: params.seed: 0 -> 3, 0 -> 5; input rollouts changed",
            "4 evaluation: params.seed: 0 -> 3, 0 -> 5; input training changed",
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
def test_reasons_of_a_changed_configuration(name, smoke, results):
    overlay, expected = CHANGES[name]
    expected = [text.format(**counts(smoke)) for text in expected]
    changed = plan_of(**overlay)
    heads = groups_of(changed, results)
    # A line that ends in a head's words, and goes on, would be another reason: compare whole lines.
    assert [head for head in expected if head not in heads] == [], "\n".join(heads)
    assert sum(int(head.split()[0]) for head in heads) == len(
        stale.missing(
            changed, options.existing_paths(results), set(smoke.graph.artefacts) | why.read_stamps(results)
        )
    )


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    for name in ("asymre", "scripts", "config"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.txt", root)
    return root


def test_reasons_of_changed_code_and_packages(tree, results, smoke):
    with (tree / "asymre/metrics/evaluation.py").open("a") as stream:
        stream.write("\nADDED = 1\n")
    with (tree / "paper/figures/_bandit.py").open("a") as stream:
        stream.write("\nfrom asymre.bandit import theory\n")
    pins = (tree / "requirements.txt").read_text()
    (tree / "requirements.txt").write_text(re.sub(r"(?m)^scipy==.*$", "scipy==0.1", pins))
    scipy = re.search(r"(?m)^scipy==(.*)$", pins)[1]
    heads = groups_of(plan_of(tree), results)
    assert f"4 bandit: packages.scipy: {scipy} -> 0.1" in heads
    assert f"{counts(smoke)['evaluation']} evaluation: code asymre/metrics/evaluation.py changed" in heads
    drawn = [re.match(r"(\d+) figure: .*code asymre/bandit/theory.py is new", head) for head in heads]
    assert sum(int(match[1]) for match in drawn if match) == 4, heads
    assert not any(re.match(r"\d+ (training|rollouts|base_policy|problems): ", head) for head in heads)


def test_unreadable_specifications_are_left_out(smoke, results):
    changed = plan_of(bandit={"improvement": {"iterations": 5}})
    old = next(a for a in smoke.graph.artefacts.values() if (a.kind, a.slug) == ("bandit", "improvement"))
    spec = results / old.path / "spec.json"
    good = spec.read_text()
    for damaged in ("{", "[]", "3", good.replace('"iterations": 4', '"iterations": 6')):
        assert damaged != good
        spec.write_text(damaged)
        assert "1 bandit: params.settings.iterations: 4 -> 5" not in groups_of(changed, results)
    spec.unlink()
    write(results / "bandit/notes.txt")
    (results / "bandit/empty-0123456789").mkdir()
    assert groups_of(changed, results)[0].startswith("1 bandit: params.")
    spec.write_text(good)
    assert groups_of(changed, results)[0] == "1 bandit: params.settings.iterations: 4 -> 5"


def test_differences_by_hand():
    old = {("slug",): "a", ("params", "x"): 1, ("params", "gone"): True, ("params", "text"): "t" * 70}
    new = {("slug",): "b", ("params", "x"): 2.5, ("params", "new"): [1, 2], ("params", "text"): "u"}
    assert stale.differences(old, new) == {
        "params.x": "1 -> 2.5",
        "params.new": "(none) -> [1,2]",
        "params.text": "changed",
        "params.gone": "true -> (none)",
    }
    assert stale.differences({("slug",): "a"}, {("slug",): "b"}) == {"name": "a -> b"}
    code = {("code", name): "1" for name in "abcd"}
    assert stale.differences(code, code | {("code", "a"): "2"}) == {"code a changed": ""}
    assert stale.differences({}, code) == {"code files are new": "4"}
    inputs = {("inputs", name): "1" for name in "abc"}
    assert list(stale.differences(inputs, {})) == ["input a is gone", "input b is gone", "input c is gone"]


@given(st.data())
@settings(deadline=None, derandomize=True, max_examples=50)
def test_missing_is_closed(data):
    p = CLOSED
    existing = data.draw(st.sets(st.sampled_from(sorted(p.graph.artefacts))))
    markers = data.draw(st.sets(st.sampled_from([target.id for target in p.graph.targets.values()])))
    made = {a.path for a in stale.missing(p, existing, markers)}
    assert not made & existing
    asked = {
        p.graph.targets[name].path for name in p.graph.default if p.graph.targets[name].id not in markers
    }
    assert asked <= made | existing
    read = {path for a in made for path in p.graph.inputs(a)}
    assert read <= made | existing
    assert made <= read | asked


CLOSED = plan_of(training={"cycles_per_job": 1})


def test_why_refuses_a_broken_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("own.yaml"), yaml.safe_dump({"results": "mine", "bandit": {"armz": 3}}))
    with pytest.raises(reading.ConfigurationError, match="own.yaml: bandit.armz: unknown key"):
        why.why(ROOT, "smoke", Path("own.yaml"))
    with pytest.raises(reading.ConfigurationError, match="none.yaml: cannot be read"):
        why.why(ROOT, None, Path("none.yaml"))


# --- prune: what no target names ----------------------------------------------------------------

OWN = [
    "training/notes.txt",
    "training/my_run/policy.bin",
    "training/.hidden-0123456789/x",
    "figure/figure_3/figure.pdf",
    "own/thing-0123456789/x",
    "logs/own/thing-0123456789.log",
    "logs/training/notes.log",
    ".stamps/figure_3-0123456789",
    "figures/.figure_03.pdf.77.partial",
    "figures/old-0123456789",
    "notes-0123456789/x",
]
LEFTOVERS = [
    "training/.llama-8b_math_asymre_-0.1_N2_seed0-0123456789.4711.partial",
    "problems/math-0123456789",
    "logs/problems/math-0123456789.log",
    "logs/publish/figure_3-0123456789.log",
]


@pytest.fixture
def cluttered(results):
    """Current results, somebody's own things, and what no target names; the last as expected of prune."""
    for path in OWN:
        write(results / path)
    expected = set(LEFTOVERS)
    for path in LEFTOVERS:
        write(results / path if path.endswith(".log") else results / path / "policy/x", "1234")
    old = plan_of(evaluation={"samples": 4})
    current = set(stale_paths(results))
    replaced = sorted(set(old.graph.artefacts) - current)
    make(results, old, replaced)
    expected |= {*replaced, *(f"logs/{path}.log" for path in replaced)}
    return results, expected


def stale_paths(results):
    return options.existing_paths(results)


def test_prune_lists_and_removes_nothing_else(cluttered, capsys):
    results, expected = cluttered
    before = everything(results)
    prune.main(["--scale", "smoke"])
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in listed[:-1]] == sorted(expected)
    assert listed[-1].startswith(f"{results}: {len(expected)} entries, ")
    assert listed[-1].endswith("named by no target; --yes removes them")
    assert everything(results) == before

    prune.main(["--scale", "smoke", "--yes"])
    assert capsys.readouterr().out.splitlines()[-1].endswith("removed")
    gone = {path for path in before if any(path == e or path.startswith(f"{e}/") for e in expected)}
    assert everything(results) == before - gone

    prune.main(["--scale", "smoke", "--yes"])
    assert capsys.readouterr().out == f"{results}: 0 entries, 0.000 MB, removed\n"


def test_prune_keeps_all_that_targets_name(results, smoke):
    before = everything(results)
    assert any("seed100" in path for path in before), "the calibration's runs"
    prune.main(["--scale", "smoke", "--yes"])
    assert everything(results) == before


def test_prune_of_another_configuration(results, smoke):
    write(Path("own.yaml"), yaml.safe_dump({"results": "mine", "scale": "smoke"}))
    make(Path("results/mine"), smoke, [smoke.figures["figure_1"].path])
    write(Path("results/mine/problems/math-0123456789/x"))
    before = everything(results)
    prune.main(["--configfile", "own.yaml", "--yes"])
    assert everything(results) == before
    left = {str(path) for path in Path("results/mine").glob("[!l]*/*")}
    assert left == {f"results/mine/{smoke.figures['figure_1'].path}"}


def test_prune_without_results(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    prune.main(["--scale", "smoke", "--yes"])
    assert capsys.readouterr().out == "results/smoke: 0 entries, 0.000 MB, removed\n"
    assert everything(tmp_path) == set()


def test_prune_waits_for_snakemake(cluttered, capsys):
    results, expected = cluttered
    write(Path(".snakemake/locks/0.input.lock"))
    before = everything(results)
    with pytest.raises(SystemExit, match="snakemake runs here"):
        prune.main(["--scale", "smoke", "--yes"])
    assert everything(results) == before
    prune.main(["--scale", "smoke"])
    assert f"{len(expected)} entries" in capsys.readouterr().out


def test_prune_removes_links_and_not_what_they_lead_to(results, tmp_path):
    write(tmp_path / "elsewhere/x")
    (results / "training/moved-0123456789").symlink_to(tmp_path / "elsewhere")
    (results / "training/broken-0123456789").symlink_to(tmp_path / "nothing")
    prune.main(["--scale", "smoke", "--yes"])
    assert not any((results / f"training/{name}-0123456789").is_symlink() for name in ("moved", "broken"))
    assert (tmp_path / "elsewhere/x").is_file()


def test_an_interrupted_prune_leaves_no_half_artefact(cluttered, monkeypatch, smoke):
    results, expected = cluttered

    def interrupted(path):
        (path / "data.bin").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(prune.shutil, "rmtree", interrupted)
        prune.main(["--scale", "smoke", "--yes"])
    folders = [path for path in results.glob("*/*-*") if path.is_dir() and path.parent.name in stale.KINDS]
    half = [path for path in folders if (path / "spec.json").exists() and not (path / "data.bin").exists()]
    assert len(half) == 1
    assert stale.superfluous(smoke, [str(half[0].relative_to(results))])
    assert half[0].name.endswith(".partial")


def test_size_counts_files(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/x").write_bytes(bytes(1500))
    (tmp_path / "a/b/y").write_bytes(bytes(20))
    assert prune.size(tmp_path / "a") == 1520
    assert prune.size(tmp_path / "a/x") == 1500


@pytest.mark.parametrize(
    "path",
    [
        "training",
        "training/",
        "training/x-0123456789/policy",
        "training/../figures/x-0123456789",
        "figures/figure_03.pdf",
        ".stamps/figure_3-0123456789",
        "configuration.yaml",
        "runs.csv",
        "logs/configuration.log",
        "training/x-01234567",
        "training/x-012345678Z",
        "training/x-0123456789.log",
        "logs/training/x-0123456789",
        "trainings/x-0123456789",
    ],
)
def test_superfluous_takes_no_other_name(path, smoke):
    assert stale.superfluous(smoke, [path]) == []
    assert stale.superfluous(smoke, ["training/x-0123456789"]) == ["training/x-0123456789"]


# --- the command line ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return copy_sources(tmp_path_factory.mktemp("workflow") / "repository")


def run(folder, *command):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"COLUMNS": "200", "XDG_CACHE_HOME": str(folder / ".cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )


RULES = {
    "bandit": "simulate_bandit",
    "problems": "make_problems",
    "base_policy": "make_base_policy",
    "rollouts": "sample_rollouts",
    "cycles": "train_cycles",
    "training": "train_policy",
    "evaluation": "evaluate_policy",
    "figure": "plot_figure",
    "claims": "check_claims",
}


def some(p):
    return set(sorted(p.graph.artefacts)[::3])


def some_and_all_that_follows(p):
    gone = some(p)
    while more := {path for path in p.graph.artefacts if gone & set(p.graph.inputs(path))} - gone:
        gone |= more
    return gone


@pytest.mark.parametrize("gone", [some_and_all_that_follows, some])
def test_why_names_what_snakemake_plans(gone, repository, smoke):
    results = repository / "results/smoke"
    shutil.rmtree(results, ignore_errors=True)
    make(results, smoke)
    for path in gone(smoke):
        shutil.rmtree(results / path)
    lost = {name for name in smoke.graph.default if smoke.graph.targets[name].path in gone(smoke)}
    unpublished = lost | {"figure_2", "figure_6"}
    for name in unpublished:
        unpublish(results, name)
    planned = run(repository, "-m", "snakemake", "-n", "--config", "scale=smoke")
    counts = {
        name.replace(" ", "_"): int(n)
        for name, n in re.findall(r"^ (\w[\w ]*?) {2,}(\d+) *$", planned.stdout + planned.stderr, re.M)
    }
    told = run(repository, "-m", "tools.why", "--scale", "smoke")
    assert told.returncode == 0, told.stderr
    ours = {}
    for n, kind in re.findall(r"^(\d+) (\w+): ", told.stdout, re.M):
        ours[RULES[kind]] = ours.get(RULES[kind], 0) + int(n)
    assert ours == {name: n for name, n in counts.items() if name in RULES.values()}, planned.stdout
    assert ours["train_policy"] > 0
    assert unpublished == {name for name in counts if name.startswith(("figure_", "claims"))}


@pytest.mark.parametrize("tool", ["why", "prune", "verify", "archive", "plan_costs"])
def test_commands_say_what_is_wrong_and_no_more(tool, repository):
    done = run(repository, "-m", f"tools.{tool}", "--scale", "smok")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "error: --scale: scale: there is no scale 'smok'; did you mean 'smoke'?\n"
