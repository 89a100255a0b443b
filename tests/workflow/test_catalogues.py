"""One place for a new thing: each catalogue is complete, and what it lacks is reported when it is read."""

import inspect
import re
import runpy
import shutil
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest
import torch
import yaml

from asymre.bandit import experiments
from asymre.bandit.catalogue import EXPERIMENTS
from asymre.metrics.measures import MEASURES
from asymre.objectives._entry import Objective
from asymre.tasks import Task, TaughtTask
from paper.configuration import reading
from paper.configuration.schema import OBJECTIVES, TASKS
from paper.figures.charts import CHARTS, VARYING
from tests.helpers import ROOT, SMOKE, command, copy_sources, finish, snakemake
from workflow import plan
from workflow.engines import ENGINES, Engine

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(heading: str) -> dict[str, str]:
    """The code of a recipe of CONTRIBUTING.md, by the file that its first line names."""
    section = re.search(rf"^### {heading}$(.*?)(?=^### |\Z)", CONTRIBUTING, re.S | re.M)[1]
    return {m[2]: m[0] for m in re.finditer(r"(?<=```)(python|yaml)\n# (\S+).*?(?=```)", section, re.S)}


def code(text: str) -> str:
    return text.partition("\n")[2]


# --- objectives ---------------------------------------------------------------------------------


def test_every_file_is_an_objective():
    files = {file.stem for file in (ROOT / "asymre/objectives").glob("*.py") if not file.stem.startswith("_")}
    assert set(OBJECTIVES) == files
    labels = [entry.label for entry in OBJECTIVES.values()]
    colours = [entry.colour for entry in OBJECTIVES.values() if entry.colour]
    assert len(set(labels)) == len(labels) and len(set(colours)) == len(colours)
    # Without a colour it is drawn in that of its delta_v.
    assert all(entry.takes_delta_v for entry in OBJECTIVES.values() if entry.colour is None)


@pytest.mark.parametrize("label", ["", "  "])
def test_an_objective_without_a_label_is_refused(label):
    with pytest.raises(ValueError, match="needs a label"):
        Objective(label=label, colour="#000000")


BROKEN = {
    "no OBJECTIVE": ("def advantages(): ...\n", "must define OBJECTIVE as Objective"),
    "no label": (
        "from asymre.objectives._entry import Objective\nOBJECTIVE = Objective(colour='#123456')\n",
        "missing 1 required .* 'label'",
    ),
    "an empty label": (
        "from asymre.objectives._entry import Objective\nOBJECTIVE = Objective(label='')\n",
        "an objective needs a label",
    ),
    "no Python": ("def advantages(:\n", "SyntaxError"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_objective_is_refused_when_the_configuration_is_read(name, tmp_path):
    text, expected = BROKEN[name]
    repository = copy_sources(tmp_path / "repository")
    (repository / "asymre/objectives/mine.py").write_text(text)
    done = command(repository, "-c", "import paper.configuration.reading")
    *_, last = done.stdout.splitlines()
    assert re.fullmatch(rf"ValueError: asymre/objectives/mine\.py: .*{expected}.*", last), done.stdout
    if name == "no label":
        output = snakemake(repository, "-n", *SMOKE, check=False)
        assert re.search(rf"asymre/objectives/mine\.py: .*{expected}", output), output
        assert "Traceback" not in output and "total" not in output


def follow(repository: Path) -> dict:
    """Write what the recipe says into a copy, and choose the scale smoke; the overlay."""
    recipe = blocks("An objective")
    for file, text in recipe.items():
        assert not (repository / file).exists()
        (repository / file).write_text(code(text))
    overlay = yaml.safe_load(code(recipe["mine.yaml"]))
    (repository / "mine.yaml").write_text(yaml.safe_dump(overlay | {"scale": "smoke"}))
    return overlay


def test_recipe_of_an_objective(tmp_path):
    """CONTRIBUTING's own text, literally: one file, a learning rate and a figure; nothing else is stale."""
    repository = copy_sources(tmp_path / "repository")
    follow(repository)
    before = plan.build(ROOT, reading.load(ROOT, {"scale": "smoke"}))
    program = (
        "from pathlib import Path; from paper.configuration import reading; from workflow import plan\n"
        "c = reading.load(Path('.'), reading.read(Path('mine.yaml')), 'mine.yaml')\n"
        "print(*plan.build(Path('.'), c).graph.artefacts)"
    )
    done = command(repository, "-c", program)
    assert done.returncode == 0, done.stdout
    new = set(done.stdout.split()) - set(before.graph.artefacts)
    assert {path.split("/")[0] for path in new} == {"training", "evaluation", "figure", "claims"}
    assert all("leave_one_out" in path for path in new if path.startswith(("training", "evaluation")))
    objective = runpy.run_path(str(repository / "asymre/objectives/leave_one_out.py"))
    advantages = objective["advantages"](torch.tensor([[1.0, 1.0, -1.0], [0.0, 0.0, 0.0]]), {})
    assert advantages.tolist() == [[1, 1, -2], [0, 0, 0]]
    assert objective["token_loss"] is import_module("asymre.objectives.asymre").token_loss


@pytest.mark.slow
@pytest.mark.parametrize("how", ["scripts", "snakemake"])
def test_recipe_of_an_objective_trains_it(how, clone):
    overlay = follow(clone)
    shutil.move(clone / "results/smoke", clone / f"results/{overlay['results']}")
    (figure,) = overlay["figures"]
    if how == "scripts":
        finish(clone, "mine.yaml", figure)
    else:
        snakemake(clone, figure, "--configfile", "mine.yaml")
    published = clone / f"results/{overlay['results']}/figures/{figure}"
    assert "leave_one_out" in published.with_suffix(".csv").read_text()
    assert published.with_suffix(".png").stat().st_size > 1000


def test_only_the_recipes_of_files_are_listed():
    headings = re.findall(r"^### (.*)$", CONTRIBUTING, re.M)
    assert headings == ["An objective", "A measure", "A chart", "A task", "A bandit experiment", "An engine"]


# --- tasks --------------------------------------------------------------------------------------


def test_every_file_is_a_task_that_answers_the_questions():
    files = {file.stem for file in (ROOT / "asymre/tasks").glob("*.py") if not file.stem.startswith("_")}
    assert set(TASKS) == files
    for task in TASKS.values():
        asked = {name for name in {*vars(Task), *Task.__annotations__} if not name.startswith("_")}
        assert {"draw", "final_answer", "is_correct"} < asked
        assert all(hasattr(task, name) for name in asked)
        taught = {
            name for name in {*vars(TaughtTask), *TaughtTask.__annotations__} if not name.startswith("_")
        }
        assert taught >= {"worked_solutions", "prompt_length"}
        assert all(hasattr(task, name) == hasattr(task, "worked_solutions") for name in taught - asked)
        assert set(task.corpus_settings) <= {field.name for field in fields(task)}


# --- bandit experiments, charts, measures, engines ----------------------------------------------


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_a_function_that_takes_its_settings(name):
    parameters = set(inspect.signature(getattr(experiments, name)).parameters)
    assert parameters == {field.name for field in fields(EXPERIMENTS[name])} | {"arms", "reward_seed"}


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_has_a_module_that_draws_it(name):
    module, chart = import_module(f"paper.figures.{name}"), CHARTS[name]
    assert list(inspect.signature(module.table).parameters) == ["spec", "read"]
    assert list(inspect.signature(module.draw).parameters) == ["data", "spec"]
    assert set(chart.over) <= set(VARYING) and (chart.of == "runs" or not chart.over)
    assert (chart.of == "experiment") == (chart.experiment in EXPERIMENTS)


def test_every_module_of_figures_is_a_chart():
    files = {file.stem for file in (ROOT / "paper/figures").glob("*.py") if not file.stem.startswith("_")}
    assert files - {"charts", "style"} == set(CHARTS)


def test_measures_say_what_they_are():
    for measure in MEASURES.values():
        assert measure.label and measure.caption.endswith(".") and measure.limits[0] == 0
    assert MEASURES["entropy"].axis_label == "entropy (nats per token)"
    assert MEASURES["test_accuracy"].axis_label == "test accuracy"


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_answers_the_questions(name):
    questions = {q for q in {*vars(Engine), *Engine.__annotations__} if not q.startswith("_")}
    assert questions == {"CHECKPOINTS", "training", "evaluation", "diversity", "first_cycle", "last_cycles"}
    assert all(hasattr(ENGINES[name], question) for question in questions)
