"""What the documents say is true: the examples of docs/using.md, the calibration, the links."""

import re
from pathlib import Path

import pytest
import yaml

from paper.configuration import reading
from tests.helpers import ROOT
from tools import write_gallery
from workflow import plan

USING = (ROOT / "docs/using.md").read_text()


@pytest.fixture(scope="module")
def paper():
    return plan.build(ROOT, reading.load(ROOT))


def added(before, after, kind):
    old, new = ({a.path for a in p.graph.artefacts.values() if a.kind == kind} for p in (before, after))
    return len(new - old)


def test_example_of_one_more_figure(paper):
    overlay = yaml.safe_load(re.search(r"```yaml\n(# my.yaml.*?)```", USING, re.S)[1])
    mine = plan.build(ROOT, reading.load(ROOT, overlay, "my.yaml"))
    assert set(mine.figures) - set(paper.figures) == {"figure_14"}
    assert added(paper, mine, "training") == added(paper, mine, "evaluation") == 6


def test_example_of_another_delta_v(paper):
    written = re.search(r"under `figure_4`, write `delta_v: (\[.*?\])`", USING)[1]
    figure = reading.load(ROOT).figures["figure_4"].model_dump()
    figure["runs"][0]["delta_v"] = yaml.safe_load(written)
    overlay = {"results": "mine", "figures": {"figure_4": figure}}
    mine = plan.build(ROOT, reading.load(ROOT, overlay, "my.yaml"))
    assert added(paper, mine, "training") == 3
    assert added(paper, mine, "figure") == 1


def test_example_of_another_N(paper):
    assert "`N: {250: 100}`" in USING and "`N: {250: 50}`" in USING
    overlay = {"results": "mine", "training": {"N": {250: 50}}}
    mine = plan.build(ROOT, reading.load(ROOT, overlay, "my.yaml"))
    changed = added(paper, mine, "training")
    paths = [a.path for a in paper.graph.artefacts.values() if a.kind == "training"]
    # Figure A has some of them already.
    assert changed == sum("_N100_" in path for path in paths) - sum("_N50_" in path for path in paths)
    assert added(paper, mine, "base_policy") == added(paper, mine, "bandit") == 0


def test_learning_rates_are_those_that_the_calibration_chose():
    table = (ROOT / "docs/calibration.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if "|" in line]
    chosen = {(row[0], row[1]): float(row[2]) for row in rows if row[-1] == "yes"}
    c = reading.load(ROOT)
    swept = {(name, ""): rate for name, rate in c.training.learning_rate.items() if name != "asymre"}
    swept["asymre", f"{c.calibration.delta_v:g}"] = c.training.learning_rate["asymre"]
    best = {(o, f"{v:g}"): r for o, rates in c.training.best_learning_rate.items() for v, r in rates.items()}
    assert chosen == swept | best


def test_a_caption_of_the_gallery_is_shown_as_it_is(tmp_path):
    (tmp_path / "figure_1.txt").write_text("kinds 1*1, 2*1, V_mu", encoding="utf-8")
    text = write_gallery.section("Figure 1", tmp_path / "figure_1.png")
    assert text.endswith("kinds 1\\*1, 2\\*1, V\\_mu\n")


def test_pins_name_every_version_and_no_host():
    def names(file):
        lines = [line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]
        return [re.fullmatch(r"([A-Za-z0-9_.-]+)(==[0-9][A-Za-z0-9.]*)?", line) for line in lines]

    pins, direct = names("requirements.txt"), names("requirements.in")
    assert all(pin and pin[2] for pin in pins) and all(direct)
    assert {d[1].lower() for d in direct} <= {pin[1].lower() for pin in pins}


def anchors(document: Path) -> set[str]:
    """The fragments under which a page shows its headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", prose, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_documents_exist():
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks/README.md"]
    found = 0
    for document in documents:
        for target, fragment in re.findall(
            r"\]\((?![a-z]+:)([^)#\s]*)#?([^)\s]*)\)", document.read_text(encoding="utf-8")
        ):
            page = document.parent / target if target else document
            assert page.exists(), f"{document.name}: {target}"
            assert not fragment or fragment in anchors(page), f"{document.name}: {target}#{fragment}"
            found += bool(fragment)
    assert found > 10
