"""Mutated configurations: each is either planned or refused with a message that names the key.

Nothing else may happen: no other exception, no job, no file. A mutation takes place in one of the three
layers, config/paper.yaml, config/scale/*.yaml or the user's overlay, as a mistake in an editor would.
"""

import copy
import datetime
import os
import random
import re
import subprocess
import sys

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from paper.configuration import reading
from paper.configuration.reading import ConfigurationError
from paper.published import stem
from tests.helpers import ROOT, copy_sources
from workflow import plan

PAPER, OWN = "config/paper.yaml", "own.yaml"
SCALES = ("smoke", "cpu", "pretrained", "rehearsal", "one_gpu", "gpu")
SETTINGS = settings(deadline=None, derandomize=True, database=None)
# What one argument of a command may hold on Linux: a rule hands a job its specification in one.
ARGUMENT = 2**17
FILES = {
    name: reading.read(ROOT / name) for name in (PAPER, *(f"config/scale/{scale}.yaml" for scale in SCALES))
}


def overlay(model: str, dataset: str) -> dict:
    """What a user writes of their own, about a model of the scale."""
    sweep = {"model": model, "dataset": dataset, "objective": "asymre", "delta_v": -0.1, "N": 250, "seeds": 0}
    return {
        "results": "mine",
        "smoothing_window": 5,
        "algorithm": {"rewards": {"wrong": 0}, "normalisation": "token_mean"},
        "training": {"steps": 600, "N": {250: 150, 10: 100}, "extra_snapshots": [1, 3]},
        "figures": {
            "figure_mine": {
                "title": "Mine",
                "known": "Ours.",
                "panels": [{"title": "Test", "measure": "test_accuracy", "draw": "runs"}],
                "runs": [sweep, sweep | {"objective": ["asymre", "grpo"], "seeds": [0, 1]}],
                "controls": [sweep | {"N": 300}],
            }
        },
        "leave_out": {"figure_mine": {"seeds": [1], "delta_v": []}},
    }


MODELS = {"one_gpu": ("qwen-0.5b", "math"), "pretrained": ("smollm2", "sums")}
OVERLAYS = {scale: overlay(*MODELS.get(scale, ("llama-8b", "math"))) for scale in SCALES}
# Its steps are few: with so many more, cycles of 6 steps are 10,000 artefacts.
OVERLAYS["rehearsal"]["training"] |= {"steps": 12, "N": {250: 6, 10: 4}}
RESULTS = {"results": "mine"}

# --- mutations ---------------------------------------------------------------------------------

ODD_VALUES = [
    *(None, True, False, 0, -1, 1, 3, 2**31, 2**63, 10**30, -(10**30), 10**400),
    *(-0.0, 0.5, 1e-320, 1e300, float("nan"), float("inf"), -float("inf")),
    *(
        "",
        " ",
        "x",
        "null",
        "1e-4",
        "../x",
        "/etc/passwd",
        "a b",
        "naïve ☃ \U0001f600",
        "a\nb: c",
        "{x}",
        "'",
    ),
    *("\x00", "\x1b[2J", "\ud800", "x" * 300, "x" * 200_000),
    *([], {}, [[]], [[[1]]], [None], [1, "a"], [float("nan")], {"a": 1}, {1: 2}, {None: None}, {"": {}}),
    *(datetime.date(2026, 1, 1), b"bytes", {1, 2}, (1, 2)),
]
ODD_KEYS = [
    *(
        "",
        " ",
        "x",
        "figure_1",
        "figure_01",
        "figure_3 ",
        "figure_../x",
        "all",
        "a.b",
        "a/b",
        "é",
        "N",
        "seed",
    ),
    *("\x00", "a\nb: c", "x" * 300, "figure_" + "x" * 300),
    *(0, 1, -1, 10**30, 0.5, True, None, (1, 2), datetime.date(2026, 1, 1), b"k"),
]


def positions(tree, path=()):
    """The path of every value in a tree of mappings and lists, its root apart."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in children:
        yield (*path, key)
        yield from positions(value, (*path, key))


def parent_of(tree, path):
    for key in path[:-1]:
        tree = tree[key]
    return tree


def somewhere(random_, tree):
    """The path of a value; each section is as likely, though figures hold most of the values."""
    section = random_.choice(list(tree))
    return random_.choice([(section,), *positions({section: tree[section]})])


def positions_below(tree, path):
    return [(*path, *below) for below in positions(parent_of(tree, path)[path[-1]])]


def rename(mapping, old, new):
    """Another key at the same place: the order of keys is part of a configuration's reading."""
    items = [(new if key == old else key, value) for key, value in mapping.items()]
    mapping.clear()
    mapping.update(items)


def typo(random_, name):
    at = random_.randrange(len(name) + 1)
    return name[:at] + random_.choice(["", "x", "_", name[:1]]) + name[at + random_.randrange(2) :]


def mutate(random_, tree, others):
    """Change one thing in a tree; the paths that the change is about, those that are gone included."""
    path = somewhere(random_, tree)
    return [*positions_below(tree, path), *mutate_at(random_, tree, path, others)]


def mutate_at(random_, tree, path, others):
    parent, key = parent_of(tree, path), path[-1]
    kind = random_.choice(["delete", "rename", "value", "value", "number", "swap", "twice", "add", "graft"])
    if kind == "delete":
        del parent[key]
    elif kind == "rename" and isinstance(parent, dict):
        new = (
            typo(random_, key)
            if isinstance(key, str) and random_.random() < 0.5
            else random_.choice(ODD_KEYS)
        )
        rename(parent, key, new)
        return [path, (*path[:-1], new)]
    elif kind == "number" and type(parent[key]) in (int, float):
        factor = random_.choice([-1, 0, 0.5, 2, 3, 10, 1.0, 1e6, 10**12])
        parent[key] = parent[key] * factor
    elif kind == "swap":
        other = somewhere(random_, tree)
        shorter, longer = sorted([path, other], key=len)
        below = positions_below(tree, other)
        if longer[: len(shorter)] != shorter:
            there = parent_of(tree, other)
            parent[key], there[other[-1]] = there[other[-1]], parent[key]
        return [path, other, *below]
    elif kind == "twice" and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif kind == "add" and isinstance(parent, dict):
        new = random_.choice(ODD_KEYS)
        parent[new] = copy.deepcopy(random_.choice([*ODD_VALUES, *parent.values()]))
        return [(*path[:-1], new)]
    elif kind == "graft":
        other = random_.choice(others)
        grafted = somewhere(random_, other)
        parent[key] = copy.deepcopy(parent_of(other, grafted)[grafted[-1]])
        return [path]
    else:
        parent[key] = copy.deepcopy(random_.choice(ODD_VALUES))
    return [path]


# Of the scales; one plan of the scale gpu takes as long as a hundred of smoke.
WEIGHTS = {100: [9, 2, 1, 2, 0.5, 0], 1200: [8, 2, 1, 2, 1, 1]}


def mutated(random_, weights):
    """Layers by file name, one to three of their places changed, and the paths of the changes."""
    scale = random_.choices(SCALES, weights=weights)[0]
    file = f"config/scale/{scale}.yaml"
    # An overlay that holds everything, too: then each of its keys decides.
    whole = FILES[PAPER] | FILES[file] | RESULTS
    own = random_.choice([RESULTS, OVERLAYS[scale], OVERLAYS[scale], whole])
    layers = copy.deepcopy({PAPER: FILES[PAPER], file: FILES[file], OWN: own | {"scale": scale}})
    paths = []
    for _ in range(random_.choice([1, 1, 1, 2, 3])):
        layer = random_.choice([name for name in (PAPER, file, OWN, OWN) if layers[name]])
        paths += mutate(random_, layers[layer], [*FILES.values(), OVERLAYS[scale]])
    return layers, paths


# --- what has to hold --------------------------------------------------------------------------


def load(monkeypatch, layers):
    """The plan of a configuration in three layers. Raises ConfigurationError or ValueError."""
    read = {ROOT / name: content for name, content in (FILES | layers).items()}
    monkeypatch.setattr(reading, "read", lambda path: read[path])
    return plan.build(ROOT, reading.load(ROOT, layers[OWN], OWN))


def named(line):
    """The path of the key that a line of a message names."""
    found = re.fullmatch(r"(?:[\w./-]+\.yaml|, )+: (.+?): .+", line, flags=re.DOTALL)
    assert found, f"not of the form FILE: KEY: WHAT: {line[:300]!r}"
    return found[1]


def shown(path):
    return reading._dotted(path)


def names_one_of(line, paths):
    """Whether a line is about one of the paths: the key, what holds it, what it holds, or its name."""
    key = named(line)
    for path in paths:
        if path == ("scale",):
            return True  # any key of an overlay that was written for another scale may not fit
        dotted, parent = shown(path), shown(path[:-1])
        if key == dotted or key.startswith((f"{dotted}.", f"{parent}.")) or dotted.startswith(f"{key}."):
            return True
        if key == parent or len(path) > 1 and parent in line:
            return True
        # What another section says of this key, such as the model of a figure's runs.
        words = [part for part in path if type(part) is not int][-1:]
        if any(re.search(rf"(?<![\w-]){re.escape(shown((word,)))}(?![\w-])", line) for word in words):
            return True
    return False


def check_message(message, layers, paths):
    message.encode()
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", message), "control characters reach the terminal"
    assert len(message) < 100_000 and max(map(len, message.splitlines())) < 1000
    if layers[OWN].get("results") != "mine" and message.startswith(f"{OWN}: results: name a results folder"):
        return  # what else the overlay changes needs a folder of its own
    assert any(names_one_of(line, paths) for line in message.splitlines()), message


def check_plan(made):
    ids = [artefact.id for artefact in made.graph.artefacts.values()]
    for id in ids:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", id) and len(id) < 200, id
    stems = [stem(name) for name in made.figures]
    assert len(set(stems)) == len(stems)
    for run in made.runs():
        assert run["training"] in made.graph.artefacts and run["evaluation"] in made.graph.artefacts
    longest = max([made.configuration_json(), *map(made.graph.spec_json, made.graph.artefacts)], key=len)
    assert len(longest) < ARGUMENT - 4000, "no command can hold this"
    made.configuration_json().encode()


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture
def nothing_happens(tmp_path, monkeypatch):
    """An empty working folder that stays empty, and no process that may start."""
    monkeypatch.chdir(tmp_path)

    def refuse(*_, **__):
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "fork", refuse)
    before = snapshot(ROOT / "config")
    yield
    assert not list(tmp_path.iterdir()) and snapshot(ROOT / "config") == before


def outcome(monkeypatch, random_, weights):
    """`planned` or `refused`; anything else fails."""
    layers, paths = mutated(random_, weights)
    try:
        made = load(monkeypatch, layers)
    except (ConfigurationError, ValueError) as error:
        assert type(error) in (ConfigurationError, ValueError)
        check_message(str(error), layers, paths)
        return "refused"
    check_plan(made)
    return "planned"


# With few figures of its own, an overlay changes a scale little.
@pytest.mark.parametrize(
    "own",
    [dict.fromkeys(SCALES, RESULTS), pytest.param(OVERLAYS, marks=pytest.mark.slow)],
    ids=["files", "overlay"],
)
@pytest.mark.parametrize("scale", [*SCALES[:-1], pytest.param("gpu", marks=pytest.mark.slow)])
def test_what_is_mutated_is_valid(own, scale, nothing_happens, monkeypatch):
    check_plan(load(monkeypatch, {OWN: own[scale] | {"scale": scale}}))


@pytest.mark.limit(1800)
@pytest.mark.parametrize("examples", [100, pytest.param(1200, marks=pytest.mark.slow)])
def test_each_mutated_configuration_is_planned_or_refused(examples, nothing_happens, monkeypatch):
    outcomes = []

    @given(st.integers(0, 2**32))
    @settings(SETTINGS, max_examples=examples)
    def every(seed):
        outcomes.append(outcome(monkeypatch, random.Random(seed), WEIGHTS[examples]))

    every()
    assert len(outcomes) >= examples / 1.2
    assert outcomes.count("planned") > examples / 12 and outcomes.count("refused") > examples / 2.4


# --- text --------------------------------------------------------------------------------------


@given(st.integers(0, 2**32))
@settings(SETTINGS, max_examples=200)
def test_damaged_text_is_read_or_refused(tmp_path_factory, seed):
    random_ = random.Random(seed)
    file = tmp_path_factory.getbasetemp() / OWN
    text = bytearray((ROOT / random_.choice([PAPER, "config/scale/smoke.yaml"])).read_bytes())
    for _ in range(random_.randrange(1, 4)):
        at = random_.randrange(len(text))
        text[at : at + random_.choice([0, 1, 1, 20])] = random_.choice(
            [
                b"",
                b"\x00",
                b"\xff",
                b"\t",
                b"\n",
                b":",
                b": ",
                b"- ",
                b"{",
                b"}",
                b"[",
                b"&a ",
                b"*a",
                b"<<: ",
                b"!!",
            ]
            + [
                b"!!python/object:os.system ",
                b"? ",
                b"'",
                b'"',
                b"%",
                b"|",
                b"2026-13-45",
                b"0x",
                b"1e",
                b"#",
            ]
        )
    file.write_bytes(text)
    try:
        content = reading.read(file)
    except ConfigurationError as error:
        assert str(error).startswith(f"{file}: ")
    else:
        assert isinstance(content, dict)


# --- the command line --------------------------------------------------------------------------


def commands(monkeypatch, count):
    """Overlays for the command line: name, text, and the message (None where a plan is to come)."""
    made, random_ = [], random.Random(0)
    while len(made) < count:
        own = copy.deepcopy(OVERLAYS["smoke"] | {"scale": "smoke"})
        mutate(random_, own, [OVERLAYS["smoke"], FILES[PAPER]])
        text = yaml.dump(own, allow_unicode=True, sort_keys=False)
        message = None
        try:
            if yaml.safe_load(text.encode()) != own:
                continue  # a value that YAML has no form for
            load(monkeypatch, {OWN: own})
        except (yaml.YAMLError, UnicodeEncodeError):
            continue
        except (ConfigurationError, ValueError) as error:
            message = str(error)
        # One in five is a plan, and the last.
        if (message is None) == (len(made) % 5 == 4 or len(made) == count - 1):
            made.append((text, message))
    return made


@pytest.mark.slow
def test_the_command_line_refuses_what_load_refuses(tmp_path, monkeypatch):
    folder = copy_sources(tmp_path / "repository")
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--configfile", OWN]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / ".cache")}
    for text, message in commands(monkeypatch, 20):
        (folder / OWN).write_bytes(text.encode())
        before = snapshot(folder / "config")
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        output = done.stdout + done.stderr
        assert done.returncode == (0 if message is None else 1), (text, output)
        assert "Traceback" not in output, (text, output)
        if message:
            shown = "".join(output.split())
            # Snakemake orders the keys, and so the lines, and makes the overlay's path absolute.
            lines = [line.partition(": ")[2] for line in message.splitlines()]
            assert all("".join(line.split()) in shown for line in lines), (message, output)
        assert not (folder / "results").exists() and snapshot(folder / "config") == before
