import copy
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_origin

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from paper.configuration import reading
from paper.configuration.checks import cross_checks
from paper.configuration.reading import ConfigurationError
from paper.configuration.schema import WITH_DELTA_V, Configuration, Section
from tests.helpers import copy_sources

ROOT = Path(__file__).resolve().parents[2]
PAPER, CPU, OWN = "config/paper.yaml", "config/scale/cpu.yaml", "own.yaml"
SETTINGS = settings(deadline=None, derandomize=True, max_examples=100)
SWEEP = {"model": "llama-8b", "dataset": "math", "objective": "asymre", "delta_v": -0.1, "N": 250, "seeds": 0}
STAND_IN = {
    "family": "llama",
    "hidden_size": 16,
    "intermediate_size": 32,
    "layers": 1,
    "heads": 2,
    "key_value_heads": 1,
    "tie_embeddings": True,
    "tasks": ["math"],
}
ARITHMETIC = {"terms": 3, "operators": "+", "slip": 0.6, "error": 0.02}
TASK = {"arithmetic": ARITHMETIC, "max_new_tokens": 8}


def figure_with(**changes):
    """An overlay with one more figure, of one sweep."""
    return {
        "figures": {
            "figure_mine": {
                "title": "Mine",
                "known": "Ours.",
                "panels": [{"title": "Test", "measure": "test_accuracy"}],
                "runs": [{k: v for k, v in (SWEEP | changes).items() if v is not None}],
            }
        }
    }


RUN = "figures.figure_mine.runs.0"
# Overlay, and what its message must hold beside the overlay's file name: path, what is wrong, remedy.
RUN_5 = {"model": "llama-8b", "dataset": "math", "objective": "asymre", "N": 1, "seeds": 0}
OVERLAYS = {
    "unknown section": ({"trainings": {}}, "trainings: unknown key; did you mean 'training'?"),
    "misspelt key": ({"training": {"step": 9}}, "training.step: unknown key; did you mean 'steps'?"),
    "misspelt key, deeper": (
        {"algorithm": {"train_sampling": {"temprature": 1}}},
        "algorithm.train_sampling.temprature: unknown key; did you mean 'temperature'?",
    ),
    "misspelt key of a named thing": (
        {"figures": {"figure_3": {"titel": "x"}}},
        "figures.figure_3.titel: unknown key; did you mean 'title'?",
    ),
    "misspelt key in a list": (
        figure_with(modle="llama-8b"),
        f"{RUN}.modle: unknown key; did you mean 'model'?",
    ),
    "a key like no other": (
        {"evaluation": {"zzz": 1}},
        "evaluation.zzz: unknown key; valid: test_problems, train_problems, samples",
    ),
    "misspelt named thing": (
        {"stand_ins": {"llama-8B": {"layers": 3}}},
        "stand_ins.llama-8B.heads: this key is missing; did you mean 'llama-8b'?",
    ),
    "section is no mapping": ({"training": 5}, "training: must be a mapping of keys to values, not 5"),
    "figure is no mapping": (
        {"figures": {"figure_3": []}},
        "figures.figure_3: must be a mapping of keys to values, not []",
    ),
    "named things are no mapping": (
        {"models": ["llama-8b"]},
        "models: must be a mapping of keys to values, not ['llama-8b']",
    ),
    "word for a number": (
        {"training": {"steps": "many"}},
        "training.steps: must be a valid integer, not 'many'",
    ),
    "fraction for a count": ({"smoothing_window": 2.5}, "smoothing_window: must be a valid integer, not 2.5"),
    "delta_v is no number": (figure_with(delta_v="low"), f"{RUN}.delta_v: must be a valid number, not 'low'"),
    "delta_v is NaN": (
        figure_with(delta_v=[-0.1, float("nan")]),
        f"{RUN}.delta_v.1: must be a finite number, not nan",
    ),
    "delta_v is infinite": (
        figure_with(delta_v=float("inf")),
        f"{RUN}.delta_v: must be a finite number, not inf",
    ),
    "unknown model": (
        figure_with(model="llama-9b"),
        f"{RUN}.model: there is no model 'llama-9b'; did you mean 'llama-8b'?",
    ),
    "unknown data set": (
        figure_with(dataset="mth"),
        f"{RUN}.dataset: there is no dataset 'mth'; did you mean 'math'?",
    ),
    "unknown objective": (
        figure_with(objective="asymmre"),
        f"{RUN}.objective: must be 'asymre', ",
    ),
    "empty sweep": (
        figure_with(model=[]),
        f"{RUN}.model: an empty list makes an empty sweep; give at least one value",
    ),
    "seed given twice": (
        figure_with(seeds=[0, 1, 0]),
        f"{RUN}.seeds: 0 given twice; give each value once",
    ),
    "negative seed": (
        figure_with(seeds=[0, -1]),
        f"{RUN}.seeds.1: must be greater than or equal to 0, not -1",
    ),
    "N is zero": (figure_with(N=0), f"{RUN}.N: must be greater than 0 or must be 'never', not 0"),
    "N is negative": (
        figure_with(N=[250, -5]),
        f"{RUN}.N.1: must be greater than 0 or must be 'never', not -5",
    ),
    "N of the scale is zero": (
        {"training": {"N": {250: 0}}},
        "training.N.250: must be greater than 0, not 0",
    ),
    "N of the scale is a word": (
        {"training": {"N": {"paper": 9}}},
        "training.N.paper: must be a valid integer, not 'paper'",
    ),
    "asymre without delta_v": (
        figure_with(delta_v=None),
        f"{RUN}: objective asymre needs at least one delta_v, for example [-0.1]",
    ),
    "delta_v for grpo alone": (
        figure_with(objective="grpo"),
        f"{RUN}: delta_v is a setting of {', '.join(WITH_DELTA_V)}; remove it or add one of them",
    ),
    "two missing keys": (figure_with(N=None, seeds=None), f"{RUN}.seeds: this key is missing"),
    "measure": (
        {
            "figures": {
                "figure_mine": figure_with()["figures"]["figure_mine"]
                | {"panels": [{"title": "", "measure": "acc"}]}
            }
        },
        "figures.figure_mine.panels.0.measure: must be 'train_accuracy'",
    ),
    "figure of both kinds": (
        {"figures": {"figure_3": {"chart": "bandit_limit"}}},
        "figures.figure_3: chart bandit_limit has no panels and no controls: remove them",
    ),
    "figure without anything to draw": (
        {"figures": {"figure_mine": {"title": "Mine", "known": "Ours."}}},
        "figures.figure_mine: chart curves needs panels (measure and title of each pair of axes)",
    ),
    "task of no kind": (
        {"tasks": {"math": {"uneven": None}}},
        "tasks.math: give the settings of one of arithmetic, few_shot, uneven",
    ),
    "a chart that would average over learning rates": (
        figure_with(learning_rate=[0.001, 0.002]),
        "figures.figure_mine.runs: chart curves would average over learning_rate (0.001, 0.002)",
    ),
    "panel without runs": (
        {"figures": {"figure_3": {"runs": []}}},
        "figures.figure_3: panels.0 has no runs, and the figure has none either",
    ),
    "figure with a slash": (
        {"figures": {"a/b": {"title": "", "known": "", "chart": "bandit_limit"}}},
        "figures.a/b: becomes part of file names: letters, digits",
    ),
    "figure named as a target": (
        {"figures": {"calibration": {"title": "", "known": "", "chart": "bandit_limit"}}},
        "figures.calibration: names of figures begin with figure_: figure_calibration",
    ),
    "two figures with one file name": (
        {"figures": {"figure_03": {"title": "", "known": "", "chart": "bandit_limit"}}},
        "figures.figure_03: is published as figure_03, and so is figure_3",
    ),
    "a control that no panel shows": (
        {"figures": {"figure_5": {"controls": [RUN_5 | {"delta_v": -0.3}]}}},
        "figures.figure_5.controls.0: no panel shows this",
    ),
    "rewards the wrong way round": (
        {"algorithm": {"rewards": {"correct": 0, "wrong": 0}}},
        "algorithm.rewards: the reward of a right answer must be the larger one",
    ),
    "test sampling at temperature 1": (
        {"algorithm": {"test_sampling": {"temperature": 1}}},
        "algorithm.test_sampling.temperature: temperature 1 is a measure of its own",
    ),
    "a last step that is never evaluated": (
        {"training": {"steps": 410}},
        "training.steps: must be a multiple of training.snapshot_every, 25",
    ),
    "calibration on seeds of the figures": (
        {"calibration": {"seeds": [100, 1]}},
        "calibration.seeds: a figure or claim uses 1; give seeds of its own",
    ),
    "calibration whose cycles end between snapshots": (
        {"calibration": {"N": 30}},
        "calibration.N: the end of each cycle of 30 steps needs a snapshot",
    ),
    "completions too short for any solution": (
        {"tasks": {"math": {"max_new_tokens": 5}}},
        "tasks.math.max_new_tokens: cuts off every solution: at least 6",
    ),
    "a batch of the corpus without a solution of each task": (
        {"pretraining": {"batch_size": 1}},
        "pretraining.batch_size: at least one solution of each of the 2 tasks",
    ),
    "results of another scale": (
        {"results": "smoke"},
        "results: name a results folder of your own",
    ),
    "stand-in for nothing": (
        {"stand_ins": {"gpt": STAND_IN}},
        "stand_ins.gpt: there is no such name in models; valid: llama-8b",
    ),
    "task for nothing": (
        {"tasks": {"mathe": TASK}},
        "tasks.mathe: there is no such name in datasets; did you mean 'math'?",
    ),
    "leave_out of an unknown figure": (
        {"leave_out": {"figure_99": {"seeds": [2]}}},
        "leave_out.figure_99: there is no figure 'figure_99'; did you mean 'figure_9'?",
    ),
    "leave_out of all seeds": (
        {"leave_out": {"figure_3": {"seeds": list(range(10))}}},
        "leave_out.figure_3.seeds: leaves nothing of figures.figure_3.runs.0.seeds",
    ),
    "leave_out of all delta_v": (
        figure_with() | {"leave_out": {"figure_mine": {"delta_v": [-0.1]}}},
        f"leave_out.figure_mine.delta_v: leaves nothing of {RUN}.delta_v",
    ),
    "group of one": (
        {"algorithm": {"group_size": 1}},
        "algorithm.group_size: must be greater than 1, not 1",
    ),
    "clip above 1": (
        {"objectives": {"grpo": {"clip": 1.5}}},
        "objectives.grpo.clip: must be less than 1, not 1.5",
    ),
    "more test problems than there are": (
        {"evaluation": {"test_problems": 100_000}},
        "evaluation.test_problems: there are ",
    ),
    "more training problems than there are": (
        {"evaluation": {"train_problems": 100_000}},
        "evaluation.train_problems: there are ",
    ),
    "more problems than the task has": (
        {"problems": {"train": 10_000_000}},
        "problems.train: task 'math' has enough problems for at most ",
    ),
    "samples no power of two": (
        {"evaluation": {"samples": 6}},
        "evaluation.samples: pass@k is reported for k = 1, 2, 4, ...: 6 is no power of 2",
    ),
    "no snapshot in a run": (
        {"training": {"steps": 10, "snapshot_every": 11}},
        "training.steps: must be a multiple of training.snapshot_every, 11",
    ),
    "no cycle in a job": (
        {"training": {"cycles_per_job": 0}},
        "training.cycles_per_job: must be greater than 0 or must be 'all', not 0",
    ),
    "width not divisible": (
        {"stand_ins": {"llama-8b": {"hidden_size": 60, "heads": 4}}},
        "stand_ins.llama-8b: hidden_size must be a multiple of 2 * heads",
    ),
    "heads not divisible": (
        {"stand_ins": {"llama-8b": {"heads": 4, "key_value_heads": 3}}},
        "stand_ins.llama-8b: heads must be a multiple of key_value_heads",
    ),
    "probability above 1": (
        {"tasks": {"math": {"uneven": {"always": 1.2}}}},
        "tasks.math.uneven.always: must be less than or equal to 1",
    ),
    "range in the wrong order": (
        {"pretraining": {"accuracy": [0.6, 0.4]}},
        "pretraining.accuracy: give the lower end first",
    ),
    "range of a task in the wrong order": (
        {"tasks": {"math": {"never_solved": [0.6, 0.4]}}},
        "tasks.math.never_solved: give the lower end first",
    ),
    "range of one end": ({"pretraining": {"accuracy": [0.6]}}, "pretraining.accuracy.1: this key is missing"),
    "a seed of the calibration twice": (
        {"calibration": {"seeds": [100, 100]}},
        "calibration.seeds: 100 given twice; give each value once",
    ),
    "a seed that numpy does not take": (
        {"bandit": {"reward_seed": 2**32}},
        "bandit.reward_seed: must be less than 4294967296, not 4294967296",
    ),
    "a name too long for files": (
        {"models": {"x" * 41: "X"}},
        f"models.{'x' * 41}: becomes part of file names: letters, digits",
    ),
    "a name that would move the cursor": (
        {"models": {"a\x1b\nb": "X"}},
        "models.a\\x1b\\nb: becomes part of file names",
    ),
    "a title that no command can carry": (
        {"figures": {"figure_1": {"title": "x" * 200_000}}},
        "figures.figure_1.title: String should have at most 2000 characters",
    ),
    "a run of too many jobs": (
        figure_with(N=1) | {"training": {"steps": 250_000, "cycles_per_job": 2}},
        f"{RUN}.N: 1 makes 125000 jobs of one run (training.steps, training.N): at most 10000",
    ),
    "unsorted learning rates": (
        {"calibration": {"learning_rates": [2e-4, 1e-4, 4e-4]}},
        "calibration.learning_rates: give increasing values",
    ),
    "learning rates that are all edges": (
        {"calibration": {"learning_rates": [1e-4, 2e-4]}},
        "calibration.learning_rates: List should have at least 3 items",
    ),
    "calibration of an unknown model": (
        {"calibration": {"model": "qwen-3"}},
        "calibration.model: there is no model 'qwen-3'; did you mean 'qwen-3b'?",
    ),
}


@pytest.fixture(scope="module")
def cpu():
    return reading.load(ROOT)


@pytest.fixture
def root(tmp_path):
    """A root whose configuration files a test may break."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path


def message_of(root, overlay, source=OWN):
    with pytest.raises(ConfigurationError) as error:
        reading.load(root, overlay, source)
    return str(error.value)


@pytest.mark.parametrize("name", OVERLAYS)
def test_broken_overlay(name):
    overlay, expected = OVERLAYS[name]
    message = message_of(ROOT, {"results": "mine"} | overlay)
    assert any(line.startswith(f"{OWN}: {expected}") for line in message.splitlines()), message


def test_the_overlays_of_these_tests_are_broken_in_one_place_only(cpu):
    loaded = reading.load(ROOT, figure_with() | {"results": "mine"}, OWN)
    assert loaded.figures["figure_mine"].runs[0].delta_v == [-0.1]
    assert loaded.model_copy(update={"results": "cpu", "figures": cpu.figures}) == cpu


def test_a_misspelt_objective_is_told_the_nearest():
    message = message_of(ROOT, {"results": "mine"} | figure_with(objective="asymmre"))
    assert message.endswith("not 'asymmre'; did you mean 'asymre'?")


@pytest.mark.parametrize("results", ["a/b", "../cpu", "", ".hidden", "a b"])
def test_results_must_be_a_plain_name(results):
    message = message_of(ROOT, {"results": results})
    assert message == f"{OWN}: results: must be {reading.NAME_RULE}, not {results!r}"


@pytest.mark.parametrize("own", [{}, {"results": "cpu"}])
def test_overlay_needs_its_own_results(own):
    message = message_of(ROOT, own | {"smoothing_window": 5})
    assert message.startswith(f"{OWN}: results: name a results folder of your own (results: my_trial)")


def test_unknown_scale():
    assert (
        message_of(ROOT, {"scale": "cpuu"}) == f"{OWN}: scale: there is no scale 'cpuu'; did you mean 'cpu'?"
    )
    assert "; valid: cpu, " in message_of(ROOT, {"scale": "zzz"})
    assert message_of(ROOT, {"scale": "cpuu"}, "--config").startswith("--config: scale: ")


# Edits of the repository's own files: file, text, replacement, and a pattern of the message.
BAD = "not valid YAML: "
EDITS = {
    "no YAML": (PAPER, "algorithm:\n", "algorithm: [\n", f'{PAPER}: {BAD}.*{PAPER}", line '),
    "tabs": (CPU, "problems: {", "problems:\t\n\t{", f"{CPU}: {BAD}"),
    "key twice": (
        CPU,
        "results: cpu\n",
        "results: cpu\nresults: a\n",
        f"{CPU}: {BAD}key 'results' appears twice",
    ),
    "figure twice": (PAPER, "  figure_9:\n", "  figure_8:\n", f"{PAPER}: {BAD}key 'figure_8' appears twice"),
    "template left in": (CPU, "results: cpu\n", "{{results}}: cpu\n", f"{CPU}: {BAD}"),
    "no mapping": (CPU, None, "- results\n- cpu\n", f"{CPU}: must hold a mapping of keys to values"),
    "empty": (PAPER, None, "# nothing\n", f"{PAPER}: must hold a mapping of keys to values"),
    "no stand-in": (
        CPU,
        "  qwen-3b:\n",
        "  llama-9b:\n",
        f"{PAPER}: figures.figure_4.runs.0.model: "
        "scale 'cpu' has no stand-in for 'qwen-3b': add stand_ins.qwen-3b",
    ),
    "section missing": (
        PAPER,
        "smoothing_window: ",
        "# ",
        f"{PAPER}, {CPU}, {OWN}: smoothing_window: this key is missing",
    ),
    "key missing": (
        CPU,
        "  snapshot_every: ",
        "  # ",
        f"{CPU}: training.snapshot_every: this key is missing",
    ),
    "results missing": (CPU, "results: cpu\n", "", f"{PAPER}, {CPU}, {OWN}: results: this key is missing"),
}


@pytest.mark.parametrize("name", EDITS)
def test_broken_file(name, root):
    file, old, new, expected = EDITS[name]
    text = (root / file).read_text()
    if old is not None:
        assert text.count(old) == 1, f"{old!r} is no longer in {file}: change the test"
        new = text.replace(old, new)
    (root / file).write_text(new)
    message = message_of(root, {"scale": "cpu"})
    assert re.search(expected, message, flags=re.DOTALL), message


def test_missing_and_unreadable_file(root):
    (root / PAPER).unlink()
    assert message_of(root, {}) == f"{root / PAPER}: cannot be read: No such file or directory"
    (root / PAPER).write_bytes(b"\xff\xfe\xfa")
    assert message_of(root, {}).startswith(f"{root / PAPER}: not valid YAML: ")


def test_file_named_is_the_one_that_decides(root):
    text = (root / PAPER).read_text()
    (root / PAPER).write_text(text.replace("group_size: 8", "group_size: 0"))
    assert message_of(root, {"scale": "cpu"}).startswith(f"{PAPER}: algorithm.group_size: ")
    # A list is replaced whole, so an error within it is the overlay's, also where the paper has that index.
    overlay = {"results": "mine", "algorithm": {"group_size": 8}}
    sweep = {key: value for key, value in SWEEP.items() if key != "model"}
    message = message_of(root, overlay | {"figures": {"figure_3": {"runs": [sweep]}}})
    assert message == f"{OWN}: figures.figure_3.runs.0.model: this key is missing"


def test_all_errors_at_once():
    overlay = {"results": "mine", "training": {"stepz": 1}, "evaluation": {"samples": 3}}
    assert len(message_of(ROOT, overlay).splitlines()) == 2


MISREAD = {
    "[yes]": "true",
    "off": "false",
    "[012]": "10",
    "{0x10: 1}": "16",
    "1_000": "1000",
    "1:30": "90",
    "1_0.5": "10.5",
    "190:20:30.15": "685230.15",
}


@pytest.mark.parametrize("value", MISREAD)
def test_what_yaml_reads_otherwise_than_it_looks_is_refused(tmp_path, value):
    (tmp_path / OWN).write_text(f"results: mine\nkey: {value}\n")
    with pytest.raises(ConfigurationError) as error:
        reading.read(tmp_path / OWN)
    written = re.sub("[][{}]|: 1}", "", value)
    assert str(error.value) == (
        f"{tmp_path / OWN}: line 2: YAML reads {written} as {MISREAD[value]}: write {MISREAD[value]} if you "
        f'mean that, or "{written}" for text'
    )


@pytest.mark.parametrize("value", ["2026-10-10", "2026-13-10", "2001-12-14 21:59:43.10"])
def test_a_date_is_refused(tmp_path, value):
    (tmp_path / OWN).write_text(f"results: {value}\n")
    with pytest.raises(ConfigurationError, match=f'line 1: YAML reads {value} as a date: write "{value}"'):
        reading.read(tmp_path / OWN)


def test_what_looks_as_it_is_read_is_read(tmp_path):
    text = "[true, FALSE, 0, -12, +3, 0.50, 1.0e-5, 012.5, .inf, null, ~, a_b, -.5, 1e-5, 09, 'on', \"012\"]"
    (tmp_path / OWN).write_text(f"key: {text}\n")
    expected = [True, False, 0, -12, 3, 0.5, 1e-5, 12.5, float("inf"), None, None]
    assert reading.read(tmp_path / OWN)["key"] == [*expected, "a_b", "-.5", "1e-5", "09", "on", "012"]


@pytest.mark.parametrize(
    ("overlay", "key"),
    [
        (figure_with(delta_v=[True]), f"{RUN}.delta_v"),
        (figure_with(seeds=False), f"{RUN}.seeds"),
        (figure_with(N=[True, "never"]), f"{RUN}.N"),
        ({"training": {"steps": True}}, "training.steps"),
        ({"training": {"N": {250: True}}}, "training.N"),
        ({"training": {"learning_rate": {"asymre": True}}}, "training.learning_rate"),
        ({"pretraining": {"accuracy": [False, 1]}}, "pretraining.accuracy"),
        ({"objectives": {"grpo": {"clip": True}}}, "objectives.grpo.clip"),
    ],
)
def test_a_boolean_is_no_number(overlay, key):
    message = message_of(ROOT, {"results": "mine"} | overlay)
    assert re.search(rf"^{OWN}: {re.escape(key)}: must be a number, not (true|false)$", message, re.M), (
        message
    )


def test_a_number_that_yaml_reads_as_text_is_a_number():
    overlay = yaml.safe_load("{results: mine, training: {learning_rate: {asymre: 1e-5}}}")
    assert reading.load(ROOT, overlay, OWN).training.learning_rate["asymre"] == 1e-5


def test_a_name_of_digits_is_told_the_way_out():
    """As Snakemake reads --config results=2026_10_10."""
    message = message_of(ROOT, {"results": 20261010})
    assert message.startswith(f"{OWN}: results: must be text, not 20261010, as which YAML and --config read")
    assert message.endswith("""quote it, for --config as in results='"2026_10_10"'""")


def test_yaml_aliases_may_overwrite(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("a: &one {x: 1, y: 2}\nb:\n  <<: *one\n  y: 3\n")
    assert reading.read(file)["b"] == {"x": 1, "y": 3}


# --- merging ----------------------------------------------------------------------------------

# The first letter says whether a key holds a mapping: nobody merges a mapping with a number.
LEAVES = st.one_of(st.integers(), st.lists(st.integers(), max_size=2), st.none())
NESTED = st.recursive(
    st.dictionaries(st.sampled_from(["v1", "v2", "v3"]), LEAVES),
    lambda children: st.builds(
        lambda values, mappings: values | mappings,
        st.dictionaries(st.sampled_from(["v1", "v2", "v3"]), LEAVES),
        st.dictionaries(st.sampled_from(["m1", "m2"]), children),
    ),
    max_leaves=8,
)


@given(NESTED, NESTED, NESTED)
@SETTINGS
def test_merging_is_associative(a, b, c):
    kept = copy.deepcopy((a, b, c))
    merge = reading._merge
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, {}) == merge({}, a) == merge(a, a) == a
    assert (a, b, c) == kept


@given(NESTED, NESTED)
@SETTINGS
def test_upper_layer_wins(a, b):
    def leaves(tree, path=()):
        if isinstance(tree, dict):
            return {k: v for key, sub in tree.items() for k, v in leaves(sub, (*path, key)).items()}
        return {path: tree}

    assert leaves(reading._merge(a, b)) == leaves(a) | leaves(b)


# --- misspelt keys -----------------------------------------------------------------------------


def key_paths(section, path=()):
    """Paths of all keys that the schema names, in a configuration."""
    for name in type(section).model_fields:
        yield (*path, name)
        value = getattr(section, name)
        items = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, item in items:
            if isinstance(item, Section):
                yield from key_paths(item, (*path, name, key))
        if isinstance(value, Section):
            yield from key_paths(value, (*path, name))


WHOLE = {scale: reading.load(ROOT, {"scale": scale}) for scale in ("cpu", "pretrained", "gpu")}
# Of a name of three letters or fewer, one wrong letter leaves too little to go by.
KEYS = [
    (scale, path)
    for scale, whole in WHOLE.items()
    for path in key_paths(whole)
    if len(path[-1]) > 3 and path[0] not in ("scale", "results")
]


@given(st.sampled_from(KEYS), st.integers(0, 100), st.sampled_from("qxzjk"), st.booleans())
@settings(SETTINGS, max_examples=60)
def test_one_wrong_letter_is_refused_with_the_right_name(scale_path, position, letter, insert):
    scale, path = scale_path
    overlay = WHOLE[scale].model_dump() | {"results": "mine"}
    node = overlay
    for part in path[:-1]:
        node = node[part]
    key, position = path[-1], position % len(path[-1])
    typo = key[:position] + letter + key[position + (not insert) :]
    assume(typo != key)
    node[typo] = node.pop(key)
    message = message_of(ROOT, overlay)
    dotted = ".".join(map(str, (*path[:-1], typo)))
    assert f"{OWN}: {dotted}: unknown key; did you mean {key!r}?" in message.splitlines()


def test_every_part_of_the_schema_has_typos_tried():
    def sections(annotation):
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield annotation
            for field in annotation.model_fields.values():
                yield from sections(field.annotation)
        elif get_origin(annotation):
            for part in get_args(annotation):
                yield from sections(part)

    tried = {path[-1] for _, path in KEYS}
    for section in sections(Configuration):
        assert tried & set(section.model_fields), section


# --- the command line --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return copy_sources(tmp_path_factory.mktemp("workflow") / "repository")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config", "scale=smok"], "--config: scale: there is no scale 'smok'; did you mean 'smoke'?"),
        (["--configfile", OWN], f"{OWN}: training.step: unknown key; did you mean 'steps'?"),
    ],
    ids=["scale", "configfile"],
)
def test_command_line_refuses_before_any_job(arguments, expected, repository):
    (repository / OWN).write_text(yaml.safe_dump({"results": "mine", "training": {"step": 3}}))
    snakemake = [sys.executable, "-m", "snakemake", "-n", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(repository / ".cache")}
    done = subprocess.run(snakemake, cwd=repository, env=environment, capture_output=True, text=True)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert expected in output
    assert "Traceback" not in output
    assert not (repository / "results").exists()


# --- charts refuse what they would average ------------------------------------------------------


def chart_with(chart, **changes):
    """An overlay with one figure of a chart without panels."""
    runs = [{k: v for k, v in (SWEEP | changes).items() if v is not None}]
    return {"figures": {"figure_mine": {"title": "Mine", "known": "Ours.", "chart": chart, "runs": runs}}}


MINE = "figures.figure_mine.runs"
AVERAGES = {
    "models in A": (
        chart_with("phase_diagram", model=["llama-8b", "qwen-3b"]),
        f"{MINE}: chart phase_diagram would average over model (llama-8b, qwen-3b): one figure each",
    ),
    "data sets in A": (
        chart_with("phase_diagram", dataset=["math", "numinamath"]),
        f"{MINE}: chart phase_diagram would average over dataset (math, numinamath): one figure each",
    ),
    "objectives in A": (
        chart_with("phase_diagram", objective=["asymre", "asymre_kl"], learning_rate=0.1),
        f"{MINE}: chart phase_diagram would average over objective (asymre, asymre_kl): one figure each",
    ),
    "an objective without delta_v in A": (
        chart_with("phase_diagram", objective="grpo", delta_v=None),
        f"{MINE}: chart phase_diagram is drawn over delta_v, and grpo takes none: leave it out, or draw",
    ),
    "models in C": (
        chart_with("diversity", model=["llama-8b", "qwen-3b"]),
        f"{MINE}: chart diversity would average over model (llama-8b, qwen-3b): one figure each",
    ),
    "objectives in C": (
        chart_with("diversity", objective=["asymre", "asymre_tis"], learning_rate=0.1),
        f"{MINE}: chart diversity would average over objective (asymre, asymre_tis): one figure each",
    ),
    "N in C": (
        chart_with("diversity", N=[1, 250, "never"]),
        f"{MINE}: chart diversity would average over N (1, 100, never): one figure each",
    ),
    "base policies in A": (
        {
            "figures": {
                "figure_mine": chart_with("phase_diagram")["figures"]["figure_mine"]
                | {"runs": [SWEEP | {"seeds": [1]}, SWEEP | {"seeds": [1], "base_policy": "own"}]}
            }
        },
        f"{MINE}: chart phase_diagram would average runs of one seed with a base policy of its own and",
    ),
    "base policies in a panel": (
        {
            "figures": {
                "figure_mine": figure_with()["figures"]["figure_mine"]
                | {"runs": [SWEEP | {"seeds": [1]}, SWEEP | {"seeds": [1], "base_policy": "own"}]}
            }
        },
        f"{MINE}: chart curves would average runs of one seed with a base policy of its own and",
    ),
}


@pytest.mark.parametrize("name", AVERAGES)
def test_a_chart_refuses_what_it_would_average(name):
    overlay, expected = AVERAGES[name]
    message = message_of(ROOT, {"results": "mine"} | overlay)
    assert any(line.startswith(f"{OWN}: {expected}") for line in message.splitlines()), message


@pytest.mark.parametrize(
    "overlay",
    [
        chart_with("phase_diagram", N=[1, 250, "never"], delta_v=[-0.1, 0], seeds=[0, 1]),
        chart_with("phase_diagram", seeds=[0, 1], base_policy="own"),
        chart_with("diversity", delta_v=[-0.1, 0], seeds=[0, 1]),
        # The scale leaves out what would be averaged.
        chart_with("diversity", delta_v=[-0.1, 0]) | {"leave_out": {"figure_mine": {"delta_v": [0]}}},
        figure_with(model=["llama-8b", "qwen-3b"], objective=["asymre", "grpo"], N=[1, 250], seeds=[0, 1]),
    ],
)
def test_a_chart_takes_what_it_is_drawn_over(overlay):
    assert "figure_mine" in reading.load(ROOT, {"results": "mine"} | overlay, OWN).figures


def test_charts_say_what_they_need():
    for changes, expected in (
        ({"chart": "phase_diagram", "runs": []}, "figures.figure_mine: chart phase_diagram needs runs"),
        (
            {"chart": "bandit_limit"},
            "figures.figure_mine: chart bandit_limit draws a bandit experiment and no",
        ),
        ({"chart": "phase_diagramm"}, "figures.figure_mine.chart: must be 'curves', 'phase_diagram'"),
    ):
        figure = chart_with("phase_diagram")["figures"]["figure_mine"] | changes
        message = message_of(ROOT, {"results": "mine", "figures": {"figure_mine": figure}})
        assert message.startswith(f"{OWN}: {expected}"), message


def test_a_missing_experiment_is_named(root):
    cpu = root / CPU
    text = re.sub(r"(?m)^  threshold: .*\n", "", cpu.read_text())
    assert text != cpu.read_text()
    cpu.write_text(text)
    message = message_of(root, {"scale": "cpu"})
    assert "bandit.threshold: is missing: figures.figure_6 draws it (chart bandit_threshold)" in message
    assert "bandit.threshold: is missing: the claims need it" in message


def test_a_stand_in_runs_on_what_it_is_pretrained_on():
    message = message_of(ROOT, {"results": "mine", "stand_ins": {"llama-8b": {"tasks": ["math"]}}})
    expected = "stand-in 'llama-8b' is not pretrained on 'numinamath': add it to stand_ins.llama-8b.tasks"
    assert f"figures.figure_10.runs.0.dataset: {expected}" in message
    message = message_of(
        ROOT, {"results": "mine", "stand_ins": {"llama-8b": {"tasks": ["mth", "numinamath"]}}}
    )
    assert "stand_ins.llama-8b.tasks: there is no task 'mth'; did you mean 'math'?" in message


@pytest.mark.parametrize("key", [{"temperature": 0.7}, {"top_p": 0.95}, {"temperature": 1.2, "top_p": 0.9}])
def test_rollouts_of_other_samplings_are_for_objectives_without_a_ratio(cpu, key):
    with pytest.raises(ConfigurationError) as error:
        reading.load(ROOT, {"results": "mine", "algorithm": {"train_sampling": key}})
    for field, value in key.items():
        assert f"algorithm.train_sampling.{field}: is {value}" in str(error.value)
    made = (
        "asymre_kl, asymre_tapered, asymre_tapered_positives, asymre_tis, grpo, topr are made of them: give 1"
    )
    assert made in str(error.value)
    # Of asymre alone nothing is refused.
    assert list(cross_checks(of_asymre(cpu, key))) == []


def of_asymre(cpu, sampling, **changes):
    """Figure 3 alone, with this sampling of rollouts."""
    sampling = cpu.algorithm.train_sampling.model_copy(update=sampling)
    own = {
        "algorithm": cpu.algorithm.model_copy(update={"train_sampling": sampling}),
        "figures": {"figure_3": cpu.figures["figure_3"]},
        "claims": cpu.claims.model_copy(update={"seeds": []}),
        "leave_out": {},
        "calibration": None,
    }
    return cpu.model_copy(update=own | changes)


@pytest.mark.parametrize("where", ["figures", "claims", "calibration"])
def test_wherever_an_objective_with_a_ratio_stands_its_rollouts_are_plain(cpu, where):
    figure = cpu.figures["figure_3"]
    sweep = figure.runs[0].model_copy(update={"objective": ["topr"], "delta_v": []})
    changes = {
        "figures": {"figure_3": figure.model_copy(update={"runs": [sweep]})},
        "claims": cpu.claims.model_copy(update={"seeds": [sweep]}),
        "calibration": cpu.calibration.model_copy(update={"objectives": {"asymre": [-0.5], "topr": []}}),
    }
    wrong = cross_checks(of_asymre(cpu, {"temperature": 0.7}, **{where: changes[where]}))
    paths = [path for path, text in wrong if "losses of topr are" in text]
    assert paths == [("algorithm", "train_sampling", "temperature")]


def test_an_objective_without_its_settings_is_named():
    message = message_of(ROOT, {"results": "mine", "objectives": {"grpo": None}})
    assert "figures.figure_5.panels.1.runs.1.objective: grpo has settings: add objectives.grpo" in message


def test_figures_and_folders_that_differ_in_case_alone_are_refused():
    """On a Mac they are one file."""
    one = {"title": "t", "known": "Ours.", "chart": "bandit_limit"}
    with pytest.raises(ConfigurationError, match="figure_a: is published as figure_a, and so is figure_A"):
        reading.load(ROOT, {"scale": "smoke", "results": "mine", "figures": {"figure_a": one}}, "my.yaml")
    with pytest.raises(ConfigurationError, match="name a results folder of your own"):
        reading.load(ROOT, {"scale": "smoke", "results": "Smoke", "smoothing_window": 1}, "my.yaml")
