"""A damaged, swapped or foreign file is named by the job that would read it and by `make verify`; no figure
is drawn from it, and none published."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from paper.configuration import reading
from paper.published import PUBLISHED
from scripts import publish as publisher
from store import record as record
from tests.test_workflow import ROOT, copy_sources, snakemake
from tools import options, verify
from workflow.plan import Plan, build

RUN = {"dataset": "math", "objective": "asymre", "delta_v": [-0.1], "N": 250}
RUNS = [RUN | {"model": "llama-8b", "seeds": [0, 1]}, RUN | {"model": "qwen-3b", "seeds": [0]}]
OVERLAY = {
    "scale": "smoke",
    "results": "small",
    "figures": {
        "figure_5": {"panels": [{"title": "t", "measure": "train_accuracy", "runs": RUNS}], "controls": []}
    },
    "leave_out": {"figure_5": {}},
}
FIGURES = ("figure_5", "figure_2")
# The kind whose job reads a kind; a figure is read by the script that publishes it.
READERS = {
    "problems": "rollouts",
    "base_policy": "rollouts",
    "rollouts": "training",
    "training": "evaluation",
    "evaluation": "figure",
    "bandit": "figure",
}


def needed(plan: Plan) -> list[str]:
    """Paths of what the figures need, inputs first."""
    todo, found = [plan.figures[name].path for name in FIGURES], set()
    while todo:
        path = todo.pop()
        found.add(path)
        todo += plan.graph.inputs(path)
    return [path for path in plan.graph.artefacts if path in found]


def run_job(plan: Plan, results: Path, path: str) -> None:
    """Make an artefact with its script, in this process."""
    wanted = results.parent / "wanted.json"
    wanted.write_text(plan.graph.spec_json(path))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", [plan.script(path), str(wanted), str(results / path)])
        runpy.run_path(str(ROOT / plan.graph.scripts[path]), run_name="__main__")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return build(ROOT, reading.load(ROOT, OVERLAY))


@pytest.fixture(scope="module")
def made(plan, tmp_path_factory) -> Path:
    """The results of two figures at smoke scale, published."""
    results = tmp_path_factory.mktemp("corruption") / "results/small"
    results.mkdir(parents=True)
    for path in needed(plan):
        run_job(plan, results, path)
    for name in FIGURES:
        publish(plan, results, name)
    return results


@pytest.fixture
def results(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "results/small")


def publish(plan: Plan, results: Path, name: str) -> None:
    marker = results / ".stamps" / plan.figures[name].id
    marker.parent.mkdir(parents=True, exist_ok=True)
    publisher.publish(results / plan.figures[name].path, name, marker)


def of_kind(plan: Plan, kind: str, **params) -> list[str]:
    return [path for path in needed(plan) if plan.graph.artefacts[path].kind == kind]


def reader_of(plan: Plan, path: str) -> str:
    """The first artefact of the reading kind whose job reads a folder."""
    readers = of_kind(plan, READERS[path.partition("/")[0]])
    return next(reader for reader in readers if path in plan.graph.inputs(reader))


def findings(results: Path) -> list[str]:
    return verify.verify(results, verify.paths_in(results)).findings


def refused(plan: Plan, results: Path, path: str) -> str:
    """The message of the job that reads a damaged folder; it made nothing."""
    reader = reader_of(plan, path)
    shutil.rmtree(results / reader)
    with pytest.raises(SystemExit) as exit:
        run_job(plan, results, reader)
    assert not (results / reader).exists() and not list(results.glob("*/.*.partial"))
    return str(exit.value)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def drop_a_row(path: Path) -> None:
    """A file that is valid, with one row in the middle missing."""
    table = pq.read_table(path)
    middle = table.num_rows // 2
    pq.write_table(pa.concat_tables([table[:middle], table[middle + 1 :]]), path)


def test_intact_results_pass(results):
    assert findings(results) == []
    found = verify.verify(results, verify.paths_in(results))
    assert verify.unmarked(results, found.marked) == []
    kinds = {path.partition("/")[0] for path in found.records}
    assert kinds == {*READERS, "figure", "figures"}


FILES = [
    ("problems", "train.parquet"),
    ("base_policy", "model.safetensors"),
    ("base_policy", "config.json"),
    ("base_policy", "tokenizer.json"),
    ("rollouts", "rollouts.parquet"),
    ("training", "metrics.parquet"),
    ("training", "policy/model.safetensors"),
    ("training", "snapshots/step_000002/model.safetensors"),
    ("evaluation", "evaluation.parquet"),
    ("bandit", "data.parquet"),
]
TABLES = [(kind, file) for kind, file in FILES if file.endswith(".parquet")]


@pytest.mark.parametrize(
    ("kind", "file", "damage", "words"),
    [
        *((*file, truncate, "truncated, ") for file in FILES),
        *((*file, flip_a_bit, "altered, ") for file in FILES),
        *((*file, drop_a_row, ("altered, ", "truncated, ")) for file in TABLES),
        *((*file, Path.unlink, "missing") for file in FILES),
        *((kind, "spec.json", flip_a_bit, ("damaged", "altered, ", "belongs to ")) for kind in READERS),
        *((kind, "spec.json", truncate, "damaged") for kind in READERS),
        *((kind, "spec.json", Path.unlink, "missing") for kind in READERS),
        *((kind, "notes.txt", Path.touch, "foreign, no job wrote it") for kind in READERS),
    ],
)
def test_a_damaged_file_is_named(plan, results, kind, file, damage, words):
    path = of_kind(plan, kind)[0]
    damage(results / path / file)
    words = (words,) if isinstance(words, str) else words
    (finding,) = findings(results)
    assert finding.startswith(tuple(f"{path}/{file}: {word}" for word in words))
    message = refused(plan, results, path)
    assert message.startswith(f"error: {results}/{finding}")
    assert f"delete the folder {path.partition('/')[2]} and run again" in message


@pytest.mark.parametrize("other", ["seed", "policy"])
@pytest.mark.parametrize("with_spec", [True, False])
def test_rollouts_of_another_policy_or_seed(plan, results, other, with_spec):
    by_run = {p: plan.graph.artefacts[p] for p in of_kind(plan, "rollouts")}
    right = next(p for p, a in by_run.items() if a.slug == "llama-8b_math_seed0_step0")
    slug = {"seed": "llama-8b_math_seed1_step0", "policy": "qwen-3b_math_seed0_step0"}[other]
    wrong = next(p for p, a in by_run.items() if a.slug == slug)
    shutil.copyfile(results / wrong / "rollouts.parquet", results / right / "rollouts.parquet")
    if with_spec:
        shutil.copyfile(results / wrong / "spec.json", results / right / "spec.json")
    (finding,) = findings(results)
    expected = f"spec.json: belongs to {by_run[wrong].id}" if with_spec else "rollouts.parquet: "
    assert finding.startswith(f"{right}/{expected}")
    assert f"{results}/{finding}" in refused(plan, results, right)


def test_an_input_of_another_content_is_named(plan, results):
    """The folder is whole and its record true, but it is not what the others were made from."""
    path = of_kind(plan, "rollouts")[0]
    drop_a_row(results / path / "rollouts.parquet")
    spec = json.loads((results / path / "spec.json").read_text())
    made = spec.pop("made")
    rest = {key: made[key] for key in ("kind", "inputs", "packages", "machine")}
    (results / path / "spec.json").write_text(json.dumps(record.describe(spec, results / path, **rest)))
    reader = reader_of(plan, path)
    assert findings(results) == [f"{reader}: made from another {path} than the one that is there now"]


def test_what_is_gone_is_no_finding(plan, results):
    shutil.rmtree(results / "rollouts")
    assert findings(results) == []


@pytest.mark.parametrize("suffix", PUBLISHED)
def test_a_published_figure_is_compared(plan, results, suffix):
    flip_a_bit(results / f"figures/figure_2.{suffix}")
    assert findings(results) == [f"figures/figure_2.{suffix}: altered, its hash is another"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"made": {"files": []}}'])
def test_a_damaged_marker_is_named(plan, results, text):
    marker = results / ".stamps" / plan.figures["figure_2"].id
    marker.write_text(text)
    assert findings(results) == [f".stamps/{marker.name}: damaged"]


def test_a_figure_of_another_content_than_the_published_is_named(plan, results):
    figure = plan.figures["figure_2"]
    spec = json.loads((results / figure.path / "spec.json").read_text())
    made = spec.pop("made")
    (results / figure.path / "data.csv").write_text("other")
    rest = {key: made[key] for key in ("kind", "inputs", "packages", "machine")}
    recorded = record.describe(spec, results / figure.path, **rest)
    (results / figure.path / "spec.json").write_text(json.dumps(recorded))
    marker = f".stamps/{figure.id}"
    assert findings(results) == [f"{marker}: made from another {figure.path} than the one that is there now"]


def test_a_damaged_figure_is_not_published(plan, results):
    shutil.rmtree(results / "figures")
    flip_a_bit(results / plan.figures["figure_2"].path / "data.csv")
    with pytest.raises(record.Damaged, match="data.csv: altered"):
        publish(plan, results, "figure_2")
    assert not [path for path in (results / "figures").rglob("*") if path.is_file()]


def test_why_compares_specifications_without_records(plan, results):
    specs = options.read_specs(results, options.existing_paths(results))
    assert specs == {path: json.loads(plan.graph.spec_json(path)) for path in needed(plan)}


def test_verify_lists_and_counts(plan, results, monkeypatch, capsys):
    monkeypatch.chdir(results.parents[1])
    Path("small.yaml").write_text("scale: smoke\nresults: nothing\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="there is no results/nothing"):
        verify.main(["--configfile", "small.yaml"])
    Path("small.yaml").write_text("scale: smoke\nresults: small\n", encoding="utf-8")
    verify.main(["--configfile", "small.yaml"])
    files = len([p for p in results.rglob("*") if p.is_file() and p.name != "spec.json"]) - len(FIGURES)
    count = len(needed(plan)) + len(FIGURES)
    assert f"{count} artefacts and published figures, {files} files, " in capsys.readouterr().out
    left = results / f"training/.{plan.figures['figure_2'].id}.12.partial"
    left.mkdir()
    verify.main(["--configfile", "small.yaml"])
    assert f"{left.name}: left behind by a job that was killed" in capsys.readouterr().out
    (results / "figures/mine.pdf").touch()
    (results / "bandit/notes.txt").touch()
    (results / "figures/figure_2.pdf").unlink()
    with pytest.raises(SystemExit, match="^3 findings. Delete"):
        verify.main(["--configfile", "small.yaml"])
    lines = capsys.readouterr().out
    assert "results/small/figures/mine.pdf: foreign, no marker stands for it" in lines
    assert "results/small/bandit/notes.txt: foreign, no job made it" in lines
    assert "results/small/figures/figure_2.pdf: missing" in lines


def test_snakemake_draws_no_figure_from_a_damaged_file(plan, made, tmp_path):
    clone = copy_sources(tmp_path / "clone")
    results = shutil.copytree(made, clone / "results/small")
    (clone / "small.yaml").write_text(json.dumps(OVERLAY))
    path = of_kind(plan, "evaluation")[0]
    flip_a_bit(results / path / "evaluation.parquet")
    shutil.rmtree(results / "figures")
    shutil.rmtree(results / "figure")
    output = snakemake(clone, "figure_5", "--configfile", "small.yaml", check=False)
    named = f"results/small/{path}/evaluation.parquet: altered, its hash is another"
    assert named in output or named in next((results / "logs/figure").glob("figure_5-*")).read_text()
    assert not list((results / "figures").glob("figure_*")) and not list((results / "figure").glob("*"))
    shutil.rmtree(results / path)
    snakemake(clone, "figure_5", "--configfile", "small.yaml")
    assert (results / "figures/figure_05.pdf").is_file()


def test_the_chain_of_a_figure_reaches_its_base_policies(plan, results):
    page = (results / "figures/figure_5.lineage.html").read_text()
    behind = [path for path in needed(plan) if "bandit" not in path and "figure_2" not in path]
    assert len(behind) == 13
    for path in behind:
        content = record.content(record.read_spec(results / path))[:12]
        assert f"<td>{path.partition('/')[2]}</td><td>{content}</td>" in page
    assert "not kept" not in page and "damaged" not in page
    # What is gone, or cannot be read, says so.
    shutil.rmtree(results / of_kind(plan, "rollouts")[0])
    truncate(results / of_kind(plan, "problems")[0] / "spec.json")
    publish(plan, results, "figure_5")
    page = (results / "figures/figure_5.lineage.html").read_text()
    assert page.count("(not kept)") == page.count("(damaged)") == 1
