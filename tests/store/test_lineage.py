"""The lineage of a result: every folder upstream of it, and the page that shows them."""

import re
import shutil

from store import lineage, record
from tests.store.toy import folders, of_kind, publish

# Path: what it was made from, as content by path.
READ = {
    "figure/f-1": {"evaluation/a-1": "e1", "evaluation/b-1": "e2", "training/a-1": "t1"},
    "evaluation/a-1": {"problems/p-1": "p1", "training/a-1": "t1"},
    "evaluation/b-1": {"problems/p-1": "p1", "training/b-1": "t2"},
    "training/a-1": {"base_policy/m-1": "m1", "rollouts/r-1": "r1"},
    "training/b-1": {"base_policy/m-1": "m1", "rollouts/r-1": "other"},
    "rollouts/r-1": {"base_policy/m-1": "m1", "problems/p-1": "p1"},
    "base_policy/m-1": {},
}
MADE = {"machine": {"processor": "x & y"}, "python": "3.11", "packages": {"torch": "2"}}


def links_of(read=READ):
    def look_up(path):
        return ({"made": MADE | {"inputs": read[path]}}, "") if path in read else ({}, "not kept")

    return lineage.follow("figure/f-1", look_up)


def test_every_folder_stands_once_from_the_result_down():
    links = {link.path: link for link in links_of()}
    assert list(links) == [
        "figure/f-1",
        "evaluation/a-1",
        "evaluation/b-1",
        "training/a-1",
        "training/b-1",
        "rollouts/r-1",
        "base_policy/m-1",
        "problems/p-1",
    ]
    for path, read in READ.items():
        assert links[path].inputs == sorted(read) and links[path].state == ""
    assert links["problems/p-1"].state == "not kept" and links["problems/p-1"].inputs == []
    assert links["problems/p-1"].contents == ["p1"], "what its readers recorded is known"
    assert sorted(links["rollouts/r-1"].contents) == ["other", "r1"], "its readers read different ones"


def test_many_folders_in_a_row_are_followed():
    read = {f"cycles/c-{i}": {f"cycles/c-{i + 1}": f"{i}"} for i in range(3000)}
    links = links_of({"figure/f-1": {"cycles/c-0": "c"}} | read)
    assert len(links) == 3002


def test_the_page_numbers_and_links():
    page = lineage.page("figure_<3>", "0123456789abcdef", links_of())
    assert page.startswith("<!DOCTYPE html>") and "figure_&lt;3&gt;" in page and "x &amp; y" in page
    rows = dict(re.findall(r'<tr id="n(\d+)"><td>\d+</td><td>(.*?)</td>', page))
    assert rows == {
        "1": "f-1", "2": "a-1", "3": "b-1", "4": "a-1", "5": "b-1", "6": "r-1", "7": "m-1", "8": "p-1"
    }  # fmt: skip
    assert set(re.findall(r'href="#n(\d+)"', page)) <= set(rows)
    assert re.search(r'id="n3">.*?<a href="#n5">5</a> <a href="#n8">8</a>', page)
    assert "<td>0123456789ab</td>" in page and "not kept" in page
    assert "7 folders: x &amp; y; Python 3.11; torch 2" in page


def test_the_page_of_a_report_reaches_the_numbers(graph, results):
    page = (results / "reports/first.lineage.html").read_text()
    upstream = [path for path in folders(graph) if "seed0" in path or "/first" in path]
    # The state after the last piece goes into nothing.
    upstream = [path for path in upstream if not path.startswith("state/seed0_until12")]
    assert len(upstream) == 8
    for path in upstream:
        content = record.content(record.read_spec(results / path))[: lineage.DIGITS]
        assert f"<td>{path.partition('/')[2]}</td><td>{content}</td>" in page
    assert len(re.findall("<tr id=", page)) == len(upstream), "and nothing else"
    assert "not kept" not in page and "damaged" not in page


def test_the_page_says_what_is_gone_or_cannot_be_read(graph, results):
    numbers, first, last = of_kind(graph, "numbers")[0], *of_kind(graph, "piece")[:2]
    shutil.rmtree(results / numbers.path)
    shutil.rmtree(results / "steps" / first.id)
    (results / "piece" / last.id / "spec.json").write_text("{")
    (results / "steps" / last.id / "spec.json").write_text("{")
    publish(graph, results, "first")
    page = (results / "reports/first.lineage.html").read_text()
    states = re.findall(r"<td>([^<]*)</td><td>[0-9a-f]{12}</td><td>.*\((.*)\)</td>", page)
    assert sorted(states) == [
        (numbers.id, "not kept"),
        (last.id, "damaged"),
        (last.id, "damaged"),
        (first.id, "not kept"),
    ]


def test_a_checkpoint_that_is_gone_is_followed_by_the_record_of_its_artefact(graph, results):
    """What the job read, it read for all that it wrote."""
    for piece in of_kind(graph, "piece")[:2]:
        for folder in ("state", "steps"):
            shutil.rmtree(results / folder / piece.id)
    publish(graph, results, "first")
    page = (results / "reports/first.lineage.html").read_text()
    assert of_kind(graph, "numbers")[0].id in page and page.count("(not kept)") == 3
