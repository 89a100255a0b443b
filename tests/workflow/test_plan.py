import ast
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from hypothesis import settings

from paper.configuration import reading
from store import fingerprint
from store.artefact import canonical, identify
from workflow import plan

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = settings(deadline=None, derandomize=True, max_examples=200)


# The tasks of the scale cpu, which the scale smoke has not.
CPU_ALONE = {"slips of a corpus", "bounds of a task", "asymre/tasks/arithmetic.py", "asymre/tasks/uneven.py"}


def on_scales(names):
    """Each name with a scale: smoke has what cpu has, apart from CPU_ALONE, in a tenth of the artefacts."""
    for name in names:
        if name not in CPU_ALONE:
            yield pytest.param(name, "smoke")
        yield pytest.param(name, "cpu", marks=[] if name in CPU_ALONE else pytest.mark.slow)


def plan_of(root=ROOT, **overlay):
    return plan.build(root, reading.load(root, {"results": "mine"} | overlay))


@cache
def plan_with(name, scale="smoke"):
    """The plan with one of OVERLAYS."""
    return plan_of(**{"scale": scale} | OVERLAYS[name][0])


@pytest.fixture(scope="module")
def cpu():
    return plan_of()


@pytest.fixture(scope="module")
def plans(cpu):
    """By scale."""
    return {"smoke": plan_of(scale="smoke"), "cpu": cpu}


_BY_CONTENT: dict[tuple, object] = {}


def _once_for_a_content(function, key):
    """The function, called once for files of one content, wherever they lie."""

    def cached(*arguments):
        found = key(*arguments)
        if found not in _BY_CONTENT:
            _BY_CONTENT[found] = function(*arguments)
        return _BY_CONTENT[found]

    return cached


@pytest.fixture(autouse=True)
def parsed_once(monkeypatch):
    """A tree differs from the next in one file: the hundred others are not parsed and hashed again."""

    def of_path(path):
        return "tree", path.read_bytes()

    def of_module(project, module):
        return "hash", module, fingerprint._file(project.root, module).read_bytes()

    monkeypatch.setattr(fingerprint, "_parse", _once_for_a_content(fingerprint._parse, of_path))
    monkeypatch.setattr(fingerprint, "tree_hash", _once_for_a_content(fingerprint.tree_hash, of_module))


@pytest.fixture
def tree(tmp_path):
    """A copy of what ids follow from. Hashes are kept by path: build a plan of it after the edits only."""
    for name in ("asymre", "paper", "store", "workflow", "scripts", "config", "envs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    return tmp_path


def names(artefacts):
    return {(a.kind, a.slug) for a in artefacts}


def difference(before, after):
    """Kind and slug of what only the one plan has, and of what only the other has."""
    only = [set(x.graph.artefacts) - set(y.graph.artefacts) for x, y in ((before, after), (after, before))]
    return names(before.graph.artefacts[path] for path in only[0]), names(
        after.graph.artefacts[path] for path in only[1]
    )


def downstream(p, is_root):
    """Kind and slug of the artefacts for which `is_root` holds, and of all that is made from them."""
    hit = {}

    def follows(artefact):
        if artefact.path not in hit:
            hit[artefact.path] = is_root(artefact) or any(map(follows, artefact.inputs.values()))
        return hit[artefact.path]

    return names(a for a in p.graph.artefacts.values() if follows(a))


def kind(*kinds):
    return lambda a: a.kind in kinds


def figure(*numbers):
    return lambda a: a.kind == "figure" and a.slug in {f"figure_{n}" for n in numbers}


def training_figure(a):
    return a.kind == "figure" and bool(a.params.get("panels"))


def is_nothing(a):
    return False


# --- what changes no id -------------------------------------------------------------------------


class _NewDocstrings(ast.NodeTransformer):
    """Gives every module, class and function another docstring."""

    def generic_visit(self, node):
        super().generic_visit(node)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            if ast.get_docstring(node) is not None:
                del node.body[0]
            node.body.insert(0, ast.Expr(ast.Constant("Another docstring.")))
        return node


@pytest.mark.slow
def test_comments_docstrings_and_formatting_change_no_id(cpu, tree):
    for file in tree.glob("**/*.py"):
        rewritten = _NewDocstrings().visit(ast.parse(file.read_text()))
        text = ast.unparse(ast.fix_missing_locations(rewritten))
        assert text != file.read_text()
        file.write_text(f"# A comment.\n\n\n{text}  # another\n")
    assert set(plan_of(tree).graph.artefacts) == set(cpu.graph.artefacts)


def test_order_of_keys_and_comments_in_yaml_change_no_id(cpu, tree):
    def turned(node):
        if isinstance(node, dict):
            return {key: turned(value) for key, value in reversed(node.items())}
        return [turned(value) for value in node] if isinstance(node, list) else node

    for file in tree.glob("config/**/*.yaml"):
        content = yaml.safe_load(file.read_text())
        file.write_text("# Turned round.\n" + yaml.safe_dump(turned(content), sort_keys=False))
    again = plan_of(tree)
    assert next(iter(again.figures)) != next(iter(cpu.figures))
    assert set(again.graph.artefacts) == set(cpu.graph.artefacts)


def test_ids_are_the_same_in_another_process_and_folder(cpu, tree):
    program = (
        "from pathlib import Path; from paper.configuration import reading; from workflow import plan\n"
        "print(*plan.build(Path('.'), reading.load(Path('.'))).graph.artefacts, sep='\\n')"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tree, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == list(cpu.graph.artefacts)


# --- what changes ids, and of what --------------------------------------------------------------

# Overlay, and the artefacts in whose making the changed value is used; what follows from them changes too.
OVERLAYS = {
    "name of the results": ({"results": "other"}, is_nothing),
    "cycles per job": ({"training": {"cycles_per_job": 100_000}}, is_nothing),
    "title of a figure": ({"figures": {"figure_9": {"title": "Another"}}}, figure(9)),
    "size of a bandit figure": ({"figures": {"figure_6": {"height": 9}}}, figure(6)),
    "moving average": ({"smoothing_window": 7}, training_figure),
    "evaluated problems": ({"evaluation": {"test_problems": 32}}, kind("evaluation")),
    "sampling of the evaluation": (
        {"algorithm": {"test_sampling": {"temperature": 0.7}}},
        kind("evaluation"),
    ),
    "rewards": (
        {"algorithm": {"rewards": {"wrong": -0.5}}},
        lambda a: a.kind in ("rollouts", "training", "claims") or training_figure(a) or figure("G")(a),
    ),
    "normalisation": (
        {"algorithm": {"normalisation": "token_mean"}},
        # GRPO has its own.
        lambda a: a.kind == "training" and a.params["objective"] != "grpo",
    ),
    "clip of grpo": (
        {"objectives": {"grpo": {"clip": 0.3}}},
        lambda a: a.kind == "training" and a.params["objective"] == "grpo",
    ),
    "gradient clip": ({"training": {"gradient_clip": 0.5}}, kind("training")),
    "snapshots": ({"training": {"snapshot_every": 2}}, kind("training")),
    "pre-training": ({"pretraining": {"learning_rate": 0.001}}, kind("base_policy")),
    "slips of a corpus": (
        {"tasks": {"math": {"uneven": {"error": 0.123}}}},
        lambda a: a.kind == "base_policy" and "even" not in a.slug,
    ),
    "bounds of a task": (
        {"tasks": {"even": {"never_solved": [0.0, 0.5]}}},
        lambda a: a.kind == "base_policy" and "even" in a.slug,
    ),
    "problems": ({"problems": {"seed": 9}}, kind("problems")),
    "length of one task's completions": (
        {"tasks": {"math": {"max_new_tokens": 30}}},
        lambda a: a.kind in ("rollouts", "training", "evaluation") and "_math_" in a.slug,
    ),
    "one stand-in": (
        {"stand_ins": {"qwen-3b": {"layers": 3}}},
        lambda a: a.kind == "base_policy" and a.slug.startswith("qwen-3b"),
    ),
    "bandit, limit": (
        {"bandit": {"limit": {"sampled_batch": 5}}},
        lambda a: (a.kind, a.slug) == ("bandit", "limit"),
    ),
    "bandit, improvement": (
        {"bandit": {"improvement": {"iterations": 5}}},
        lambda a: (a.kind, a.slug) == ("bandit", "improvement"),
    ),
    "bandit, threshold": (
        {"bandit": {"threshold": {"instances": 5}}},
        lambda a: (a.kind, a.slug) == ("bandit", "threshold"),
    ),
    "rule of the calibration": ({"calibration": {"tolerance": 0.5}}, kind("calibration")),
}


@pytest.mark.parametrize(("name", "scale"), [*on_scales(OVERLAYS)])
def test_a_changed_value_changes_what_uses_it(name, scale, plans):
    is_root, before = OVERLAYS[name][1], plans[scale]
    expected = downstream(before, is_root)
    assert difference(before, plan_with(name, scale)) == (expected, expected)
    assert bool(expected) == (is_root is not is_nothing)


OF_TASKS = ("problems", "base_policy", "rollouts", "training", "evaluation")
# File, and the artefacts in whose making its code is used.
FILES = {
    "store/job.py": is_nothing,
    "workflow/plan.py": is_nothing,
    "paper/configuration/reading.py": is_nothing,
    "paper/configuration/schema.py": is_nothing,
    "paper/captions.py": is_nothing,
    "scripts/publish.py": is_nothing,
    "asymre/objectives/asymre.py": lambda a: (
        a.kind == "training" and a.params["objective"].startswith(("asymre", "positives_only"))
    ),
    "asymre/objectives/_importance.py": lambda a: (
        a.kind == "training"
        and a.params["objective"] in ("asymre_tapered", "asymre_tapered_positives", "asymre_tis", "topr")
    ),
    "asymre/bandit/theorem_checks.py": kind("bandit"),
    "paper/figures/mechanism.py": figure("H"),
    "paper/figures/phase_diagram.py": figure("A"),
    "paper/figures/diversity.py": figure("C"),
    "asymre/objectives/grpo.py": lambda a: a.kind == "training" and a.params["objective"] == "grpo",
    "asymre/engines/local/pretraining.py": kind("base_policy"),
    "asymre/engines/local/sampling.py": kind("base_policy", "rollouts", "training", "evaluation"),
    "asymre/metrics/evaluation.py": kind("evaluation"),
    "asymre/bandit/experiments.py": kind("bandit"),
    "asymre/metrics/calibration.py": kind("calibration"),
    "paper/figures/curves.py": training_figure,
    "paper/figures/_bandit.py": figure(1, 2, 6, 7, "D"),
    "paper/figures/bandit_improvement.py": figure(2),
    "paper/figures/charts.py": is_nothing,
    "asymre/metrics/measures.py": lambda a: (
        a.kind in ("calibration", "claims") or training_figure(a) or figure("A", "C", "E", "G", "H")(a)
    ),
    "asymre/objectives/_entry.py": is_nothing,
    "asymre/fields.py": is_nothing,
    "asymre/bandit/catalogue.py": is_nothing,
    "asymre/tasks/_sums.py": kind(*OF_TASKS),
    "asymre/tasks/arithmetic.py": lambda a: a.kind in OF_TASKS and "even" in a.slug,
    "asymre/tasks/uneven.py": lambda a: a.kind in OF_TASKS and "even" not in a.slug,
    "workflow/engines.py": is_nothing,
    "paper/figures/style.py": kind("figure"),
    "scripts/plot_figure.py": kind("figure"),
    "scripts/sample_rollouts_local.py": kind("rollouts"),
}


def test_labels_colours_and_bounds_of_an_objective_train_nothing(cpu, tree):
    file = tree / "asymre/objectives/grpo.py"
    text = file.read_text()
    for old, new in (
        ('colour="#1a7f5a"', 'colour="#123456"'),
        ("Lt(1)", "Lt(2)"),
        ('label="GRPO"', 'label="G"'),
    ):
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    expected = downstream(cpu, is_nothing)
    assert difference(cpu, plan_of(tree)) == (expected, expected)


def test_another_size_of_task_makes_stale_only_what_uses_it(cpu):
    """A task that no stand-in is pretrained on, and then one that a single stand-in is."""
    task = {"arithmetic": {"terms": 3, "operators": "+-", "slip": 0.5, "error": 0.0}, "max_new_tokens": 8}
    more = {"datasets": {"short": "Another size"}, "tasks": {"short": task}}
    expected = downstream(cpu, is_nothing)
    assert difference(cpu, plan_of(**more)) == (expected, expected)
    own = {"stand_ins": {"llama-3b": {"tasks": ["math", "numinamath", "short"]}}}
    expected |= downstream(cpu, lambda a: a.kind == "base_policy" and a.slug.startswith("llama-3b"))
    assert difference(cpu, plan_of(**more, **own)) == (expected, expected)


@pytest.mark.parametrize(("file", "scale"), [*on_scales(FILES)])
def test_changed_code_changes_what_uses_it(file, scale, plans, tree):
    with (tree / file).open("a") as stream:
        stream.write("\n\nADDED = 1\n")
    before = plans[scale]
    expected = downstream(before, FILES[file])
    assert difference(before, plan_of(tree, scale=scale)) == (expected, expected)
    assert bool(expected) == (FILES[file] is not is_nothing)


def test_a_changed_objective_leaves_what_it_does_not_make(cpu, tree):
    with (tree / "asymre/objectives/grpo.py").open("a") as stream:
        stream.write("\n\nADDED = 1\n")
    gone, new = difference(cpu, plan_of(tree))
    assert gone == new
    assert {kind for kind, _ in new} == {"training", "evaluation", "figure", "calibration", "claims"}
    assert all("grpo" in slug for kind, slug in new if kind in ("training", "evaluation"))


@pytest.mark.parametrize(
    ("package", "is_root"),
    [
        ("torch", lambda a: a.kind not in ("bandit", "calibration", "figure", "claims")),
        ("matplotlib", kind("figure")),
        ("snakemake", is_nothing),
    ],
)
def test_a_changed_pin_changes_what_imports_it(package, is_root, cpu, tree):
    pins = (tree / "requirements.txt").read_text()
    changed, count = re.subn(rf"^{package}==.*$", f"{package}==0.0.1", pins, flags=re.M)
    assert count == 1
    (tree / "requirements.txt").write_text(changed)
    expected = downstream(cpu, is_root)
    assert difference(cpu, plan_of(tree)) == (expected, expected)


def sweeps_of(name, **changes):
    """An overlay in which the runs of a figure take other values."""
    runs = reading.load(ROOT).figures[name].model_dump()["runs"]
    return {"figures": {name: {"runs": [run | changes for run in runs]}}}


def test_one_more_delta_v_adds_its_own_runs(cpu):
    values = reading.load(ROOT).figures["figure_4"].runs[0].delta_v
    gone, new = difference(cpu, plan_of(**sweeps_of("figure_4", delta_v=[*values, -0.05])))
    N = cpu.configuration.training.N[250]
    runs = {f"qwen-3b_math_asymre_-0.05_N{N}_seed{seed}" for seed in (0, 1, 2)}
    assert gone == {("figure", "figure_4"), ("claims", "claims")}
    assert new == gone | {(kind, run) for kind in ("training", "evaluation") for run in runs}


def test_one_more_seed_adds_its_own_runs(cpu):
    sweep = reading.load(ROOT).figures["figure_4"].runs[0]
    gone, new = difference(cpu, plan_of(**sweeps_of("figure_4", seeds=[*sweep.seeds, 77])))
    N = cpu.configuration.training.N[250]
    runs = {f"qwen-3b_math_asymre_{delta_v:g}_N{N}_seed77" for delta_v in sweep.delta_v}
    rollouts = {("rollouts", "qwen-3b_math_seed77_step0")}
    assert gone == {("figure", "figure_4"), ("claims", "claims")}
    assert new == gone | rollouts | {(kind, run) for kind in ("training", "evaluation") for run in runs}


def test_a_rate_of_a_sweep_is_that_of_its_runs_alone(cpu):
    """At the objective's own rate it is the run that other figures show; no claim rests on another rate."""
    own = cpu.configuration.training.learning_rate["asymre"]
    run = {"model": "llama-8b", "dataset": "math", "objective": "asymre", "delta_v": -0.1, "N": 250}
    run |= {"seeds": [0], "learning_rate": [own, own / 3]}
    more = plan_of(figures={"figure_E": {"runs": [run]}})
    N = cpu.configuration.training.N[250]
    slug = f"llama-8b_math_asymre_-0.1_lr{own / 3:.12g}_N{N}_seed0"
    (other,) = [r for r in more.figure_runs["figure_E"] if r.own_rate]
    assert other.slug == slug and more.trainings[other].params["learning_rate"] == own / 3
    assert {r.slug for r in more.figure_runs["figure_E"]} == {slug, f"llama-8b_math_asymre_-0.1_N{N}_seed0"}
    assert all(slug not in table.inputs for table in more.claims.values())
    assert "llama-8b-even" not in cpu.claims["claims"].params["models"]


def test_a_run_less_changes_its_figure_alone(cpu):
    gone, new = difference(cpu, plan_of(leave_out={"figure_4": {"seeds": [2]}}))
    assert new == {("figure", "figure_4"), ("claims", "claims")}
    N, values = cpu.configuration.training.N[250], cpu.configuration.figures["figure_4"].runs[0].delta_v
    runs = {
        (kind, f"qwen-3b_math_asymre_{v:g}_N{N}_seed2") for kind in ("training", "evaluation") for v in values
    }
    # The rollouts stay: figure 5 shows runs of this seed at another learning rate.
    assert gone == new | runs


def test_a_panel_evaluates_what_it_draws_of_its_own_runs(cpu):
    """No default figure shows the test problems at temperature 1: only the runs of one that does pay."""
    run = {"model": "llama-8b", "dataset": "math", "objective": "asymre", "delta_v": -0.1, "N": 250}
    panel = {"title": "one", "measure": "test_accuracy_temperature_1", "runs": [run | {"seeds": [0]}]}
    more = plan_of(figures={"figure_5": {"panels": [panel], "runs": [], "controls": []}})
    N = cpu.configuration.training.N[250]
    assert {new for new in difference(cpu, more)[1] if new[0] not in ("figure", "claims")} == {
        ("evaluation", f"llama-8b_math_asymre_-0.1_N{N}_seed0")
    }
    asked = {e.params["evaluation"]["samplings"] for e in cpu.evaluations.values()}
    assert asked == {(("test", None), ("train", 1.0))}


# --- shared work --------------------------------------------------------------------------------


def test_runs_that_figures_share_appear_once(cpu):
    shared = set(cpu.figure_runs["figure_3"])
    assert shared == set(cpu.figure_runs["figure_8"])
    paths = [
        {a.path for a in cpu.figures[name].inputs.values() if a.kind == "training"}
        for name in ("figure_3", "figure_8")
    ]
    assert paths[0] == paths[1]
    assert len(paths[0]) == len(shared)
    described = [
        canonical([a.params, a.inputs["policy"].path])
        for a in cpu.graph.artefacts.values()
        if a.kind == "training"
    ]
    assert len(described) == len(set(described))


def test_first_rollouts_are_shared(cpu):
    first = {}
    for run, training in cpu.trainings.items():
        place = run.model, run.dataset, run.base_seed, run.seed, run.N
        first.setdefault(place, set()).add(training.inputs["rollouts"].path)
    assert all(len(paths) == 1 for paths in first.values())
    assert len({paths.pop() for paths in first.values()}) == len(first)
    assert len(first) < len(cpu.trainings) / 3


def test_every_artefact_is_named_by_its_specification(cpu):
    for path, artefact in cpu.graph.artefacts.items():
        spec = json.loads(cpu.graph.spec_json(path))
        assert path == f"{artefact.kind}/{artefact.id}" == f"{spec['kind']}/{identify(spec)}"
        # As job.py writes it.
        assert identify(json.loads(json.dumps(spec, indent=1, sort_keys=True))) == artefact.id
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*-[0-9a-f]{10}", artefact.id)
        assert set(cpu.graph.inputs(path)) <= set(cpu.graph.artefacts)
        assert (ROOT / cpu.graph.script(path)).is_file()


def test_order_of_figures_models_and_tasks_changes_no_id():
    c = reading.load(ROOT, {"scale": "smoke"})
    sections = ("figures", "models", "datasets", "stand_ins", "tasks")
    turned = {name: dict(reversed(getattr(c, name).items())) for name in sections}
    first, second = (plan.build(ROOT, x) for x in (c, c.model_copy(update=turned)))
    assert list(first.figures) != list(second.figures)
    assert set(first.graph.artefacts) == set(second.graph.artefacts)
    assert first.configuration_id == second.configuration_id


def test_different_specifications_have_different_ids(cpu):
    specs = {}
    changed = (plan_with(name, "cpu" if name in CPU_ALONE else "smoke") for name in OVERLAYS)
    for p in [cpu, plan_of(scale="smoke"), *changed]:
        for path, artefact in p.graph.artefacts.items():
            text = canonical(artefact.spec())
            assert specs.setdefault(path, text) == text
    assert len(set(specs.values())) == len(specs) > 1.2 * len(cpu.graph.artefacts)


def test_the_calibrations_figure_is_as_wide_as_its_panels(cpu):
    many = cpu.figures["calibration"].params
    assert (many["columns"], many["width"], many["height"]) == (4, 12.0, pytest.approx(8.4))
    few = plan_of(scale="pretrained").figures["calibration"].params
    assert few["columns"] == 2 and few["width"] < 7


def test_runs_table_names_figures_runs_and_places(cpu):
    rows = cpu.runs()
    assert {row["figure"] for row in rows} == {n for n in cpu.figures if n != "calibration"} - {
        f"figure_{n}" for n in (1, 2, 6, 7, "D")
    }
    for row in rows:
        assert {row["training"], row["evaluation"]} <= set(cpu.graph.artefacts)
        inputs = [a.path for a in cpu.figures[row["figure"]].inputs.values()]
        if cpu.configuration.figures[row["figure"]].chart == "curves":
            assert row["training"] in inputs and row["evaluation"] in inputs
    assert plan_of().configuration_id == cpu.configuration_id
    assert plan_of(smoothing_window=5).configuration_id != cpu.configuration_id


# --- runs in several jobs -----------------------------------------------------------------------


@pytest.mark.parametrize("cycles_per_job", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_runs_in_several_jobs_keep_their_ids(cycles_per_job, cpu):
    split = plan_of(training={"cycles_per_job": cycles_per_job})
    gone, new = difference(cpu, split)
    assert gone == set()
    assert {kind for kind, _ in new} == {"cycles", "rollouts"}
    steps = split.configuration.training.steps
    for run, training in split.trainings.items():
        parts = split.graph.joined[training.path]
        length = run.N * cycles_per_job
        spans = [(part.params["first_step"], part.params["until"]) for part in parts]
        assert spans == [(first, min(first + length, steps)) for first in range(0, steps, length)]
        assert split.graph.inputs(training.path) == [part.path for part in parts]
        assert parts[0].inputs["policy"].kind == "base_policy"
        for before, part in zip(parts, parts[1:], strict=False):
            assert part.inputs["policy"] is before
            rollouts = part.inputs["rollouts"]
            if run.refreshed:
                assert rollouts.inputs["policy"] is before
                assert rollouts.params["first_step"] == part.params["first_step"]
            else:
                assert rollouts is parts[0].inputs["rollouts"]


def test_more_cycles_continue_the_old_ones():
    short, long = (plan_of(training={"steps": n, "cycles_per_job": 1}) for n in (50, 100))
    assert {path for path in short.graph.artefacts if path.startswith("cycles/")} < set(long.graph.artefacts)


# --- limits -------------------------------------------------------------------------------------


def test_a_figure_of_too_many_runs_is_refused_before_any_job():
    """Its specification would not fit into a command."""
    with pytest.raises(ValueError, match=r"^figure_4: too many inputs \(\d+\)"):
        plan_of(**sweeps_of("figure_4", seeds=list(range(60))))
