"""Real problem sets: read, filtered, kept apart from held-out problems, and refused with a remedy."""

import gzip
import json
import random
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import errors

from asymre.content import files_hash
from asymre.datasets import prepare
from asymre.datasets.numina import COLUMNS, split, verifiable_problems
from asymre.datasets.overlaps import overlaps
from asymre.datasets.readers import (
    SCHEMA,
    choose,
    column,
    eaten_latex,
    read_file,
    read_gsm8k,
    read_math,
    source_files,
)
from asymre.specs import DatasetProblemsSpec, SourceSpec
from scripts import make_problems_dataset
from store.job import InputError

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def local(folder, *files):
    return SourceSpec(None, str(folder), files_hash(folder, list(files)), files)


def problems_spec(format, **given):
    """A specification; sources that are not given are None."""
    sources = dict.fromkeys(("train", "test", "source", "held_out"))
    return DatasetProblemsSpec(format, **sources | {"overlap": "keep", "seed": 0} | given)


@pytest.fixture(scope="module")
def verifier():
    with prepare.Verifier(workers=1) as started:
        yield started


@pytest.fixture(autouse=True)
def one_verifier(request, monkeypatch):
    """Each job starts a verifier, which imports sympy: here they share one."""
    if "own_verifier" not in request.keywords:
        shared = request.getfixturevalue("verifier")
        monkeypatch.setattr(prepare, "Verifier", lambda: nullcontext(shared))


@pytest.fixture
def math(tmp_path):
    """A folder with training problems that have solutions alone, and test problems with answers."""
    solutions = [rf"So \boxed{{1}}, no: \boxed{{\frac{{{n}}}{{7}}}}." for n in range(1, 21)]
    rows = [{"problem": f"Train {n}?", "solution": s} for n, s in enumerate(solutions)]
    write_jsonl(tmp_path / "train.jsonl", rows)
    rows = [{"problem": f"Test {n}?", "answer": f" {n} ", "unique_id": f"t/{n}"} for n in range(5)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test.parquet")
    return tmp_path


def math_spec(folder, **changes):
    train, test = local(folder, "train.jsonl"), local(folder, "test.parquet")
    sizes = {"train_problems": 12, "test_problems": 5}
    return problems_spec("math", **{"train": train, "test": test} | sizes | changes)


def test_math_from_a_folder(math, tmp_path):
    output = tmp_path / "output"
    output.mkdir()
    make_problems_dataset.make(math_spec(math), {}, output)
    train, test = (pq.read_table(output / f"{name}.parquet") for name in ("train", "test"))
    assert train.schema.equals(SCHEMA) and test.schema.equals(SCHEMA)
    assert train["problem_id"].to_pylist() == list(range(12)) and test.num_rows == 5
    for row in train.to_pylist():
        number = int(row["prompt"].removeprefix("Train ").removesuffix("?"))
        assert row["answer"] == rf"\frac{{{number + 1}}}{{7}}"
        assert row["source"] == f"train.jsonl:{number + 1}"
    for row in test.to_pylist():
        number = row["answer"]
        assert (row["prompt"], row["source"]) == (f"Test {number}?", f"t/{number}")
    counts = json.loads((output / "counts.json").read_text())
    assert (counts["train"]["read"], counts["train"]["usable"], counts["train"]["kept"]) == (20, 20, 12)


def test_gsm8k_from_a_folder(tmp_path):
    """The number behind the last ####, whatever a calculator was asked before."""
    first = "2*3=<<2*3=6>>6 and #### is no answer.\n#### 6"
    answers = [first, "#### 1,200", "####-3 ", "#### <<7-2=5>>5", "#### 2.50"]
    rows = [{"question": f"How many, {n}?", "answer": answer} for n, answer in enumerate(answers)]
    write_jsonl(tmp_path / "train.jsonl", rows)
    write_jsonl(tmp_path / "test.jsonl", rows[:2])
    sources = {name: local(tmp_path, f"{name}.jsonl") for name in ("train", "test")}
    spec = problems_spec("gsm8k", **sources, train_problems=5, test_problems=2)
    (tmp_path / "output").mkdir()
    make_problems_dataset.make(spec, {}, tmp_path / "output")
    train = pq.read_table(tmp_path / "output/train.parquet")
    assert train.schema.equals(SCHEMA)
    assert sorted(train["answer"].to_pylist()) == sorted(["6", "1200", "-3", "5", "2.50"])
    write_jsonl(tmp_path / "train.jsonl", [*rows, {"question": "Why?", "answer": "Because."}])
    with pytest.raises(
        ValueError, match="1 of 6 rows have no final answer, the first is row 6.*ends in ####"
    ):
        read_gsm8k([tmp_path / "train.jsonl"])
    write_jsonl(tmp_path / "train.jsonl", [{"problem": "Why?", "answer": "#### 1"}])
    with pytest.raises(ValueError, match="no column 'question'; the nearest is"):
        read_gsm8k([tmp_path / "train.jsonl"])


def test_the_problems_of_the_rehearsal_are_of_gsm8ks_form():
    for name, count in (("train", 32), ("test", 8)):
        table = read_gsm8k([ROOT / f"examples/gsm8k/{name}.jsonl"])
        assert table.num_rows == count == len(set(table["prompt"].to_pylist()))
        assert all(answer.isdigit() for answer in table["answer"].to_pylist())


def test_overlaps_duplicates_and_what_cannot_be_used_are_counted(math, tmp_path, capsys):
    held = long_text(0)
    write_jsonl(math / "test.jsonl", [{"problem": p, "answer": "1"} for p in (held, SHORT)])
    rows = [{"problem": f"Train {n}?", "answer": "1"} for n in range(10)]
    rows += [{"problem": "Train  3?\n", "answer": "2"}]
    rows += [{"problem": f"something before {' '.join(held.split()[5:18])}", "answer": "1"}]
    rows += [{"problem": f"Problem 4. {SHORT} Explain.", "answer": "1"}]
    rows += [{"problem": "What is the area of the triangle in the figure?", "answer": "1"}]
    rows += [{"problem": "How many digits?", "answer": "10^{10^6}"}]
    write_jsonl(math / "train.jsonl", rows)
    own = {"test": local(math, "test.jsonl"), "test_problems": 2}
    dropped = {"duplicate": 1, "enormous number": 1, "picture missing": 1}
    for overlap, count, out in (("keep", 12, 0), ("drop", 10, 2)):
        spec = math_spec(math, **own, overlap=overlap, train_problems=count)
        make_problems_dataset.make(spec, {}, tmp_path)
        counts = json.loads((tmp_path / "counts.json").read_text())["train"]
        assert counts["dropped"] == dropped | {"overlaps the test": out}
        assert (counts["overlaps the test, kept"], counts["kept"]) == (2 - out, count)
        prompts = pq.read_table(tmp_path / "train.parquet")["prompt"].to_pylist()
        assert len(prompts) == count and sum("before" in p or "Explain" in p for p in prompts) == 2 - out
        assert '"overlaps the test": ' in capsys.readouterr().out, "the log says it, too"


def test_a_test_problem_is_dropped_for_its_answer_alone(math, tmp_path):
    answers = {"How many?": "(10^6)!", "What is shaded in the figure?": "2", "Which?": "3"}
    write_jsonl(math / "test.jsonl", [{"problem": p, "answer": a} for p, a in answers.items()])
    spec = math_spec(math, test=local(math, "test.jsonl"), test_problems=2)
    make_problems_dataset.make(spec, {}, tmp_path)
    assert set(pq.read_table(tmp_path / "test.parquet")["answer"].to_pylist()) == {"2", "3"}
    counts = json.loads((tmp_path / "counts.json").read_text())["test"]
    assert counts["dropped"] == {"enormous number": 1} and counts["picture missing, kept"] == 1


def test_the_choice_follows_from_the_seed():
    table = pa.table({"prompt": [f"p{n}" for n in range(50)], "answer": ["1"] * 50, "source": ["s"] * 50})

    def chosen(seed, count=20):
        return choose(table, count, np.random.default_rng(seed), "train")["prompt"].to_pylist()

    assert chosen(0) == chosen(0) != chosen(1)
    assert chosen(0) != sorted(chosen(0), key=lambda prompt: int(prompt[1:])) and len(set(chosen(0))) == 20
    # The first ones are a sample of all, not the head of the file.
    assert max(int(prompt[1:]) for prompt in chosen(0)[:5]) > 20
    assert sorted(chosen(0, 50)) == sorted(table["prompt"].to_pylist())
    with pytest.raises(ValueError, match="51 train problems are asked for, there are 50"):
        chosen(0, 51)


def test_bad_files_are_named_with_the_remedy(tmp_path):
    table = pa.table({"Problem": ["a"], "solutions": ["b"]})
    with pytest.raises(ValueError, match=r"x\.parquet: no column 'solution'; the nearest is 'solutions'"):
        column(table, "solution", tmp_path / "x.parquet")
    path = write_jsonl(tmp_path / "a.jsonl", [{"problem": "p"}])
    with pytest.raises(ValueError, match=r"a\.jsonl: no column 'solution'"):
        read_math([path])
    solutions = [r"\boxed{1}", "none", r"\boxed{", r"\boxed{}"]
    path = write_jsonl(tmp_path / "b.jsonl", [{"problem": "p", "solution": s} for s in solutions])
    with pytest.raises(ValueError, match=r"b\.jsonl: 3 of 4 rows .* the first is row 2"):
        read_math([path])
    path = write_jsonl(tmp_path / "c.jsonl", [{"problem": "p", "answer": a} for a in ("1", None, " ")])
    with pytest.raises(ValueError, match=r"c\.jsonl: 2 of 3 rows .* the first is row 2"):
        read_math([path])
    path.write_text('{"problem": "p"}\nno json\n')
    with pytest.raises(ValueError, match=r"c\.jsonl: line 2 "):
        read_file(path)
    path.write_text('{"problem": "p"}\n[1]\n')
    with pytest.raises(ValueError, match=r"c\.jsonl: line 2 "):
        read_file(path)
    path.write_text('{"problem": "p"}\n{"problem": ["p"]}\n')
    with pytest.raises(ValueError, match=r"c\.jsonl: .* differ in type"):
        read_file(path)
    path = tmp_path / "d.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"d\.parquet: not a Parquet file"):
        read_file(path)


# --- golds that nothing could equal --------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([["1"], ["2"]], "2 of 2 rows have a list as answer, the first is row 1"),
        ([None, {"value": 1}], "1 of 2 rows have an object as answer, the first is row 2"),
        ([True, False], "2 of 2 rows have true or false as answer"),
        ([1.0, float("nan")], "1 of 2 rows have NaN as answer, the first is row 2"),
        ([b"1", b"2"], "2 of 2 rows have a value of type bytes as answer"),
    ],
)
@pytest.mark.parametrize("read", [read_math, read_gsm8k])
def test_an_answer_is_text_or_a_number(tmp_path, read, values, words):
    """Its Python text as gold would be equal to itself alone."""
    prompts = ["p"] * len(values)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"problem": prompts, "question": prompts, "answer": values}), path)
    with pytest.raises(ValueError, match=rf"a\.parquet: {words}.*: give text or a number"):
        read([path])


def test_numbers_are_answers_and_nan_of_json_is_none(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"problem": ["p", "q"], "answer": [2, 30]}), path)
    assert read_math([path])["answer"].to_pylist() == ["2", "30"]
    path = tmp_path / "a.jsonl"
    path.write_text('{"problem": "p", "answer": 1}\n{"problem": "q", "answer": NaN}\n')
    with pytest.raises(ValueError, match="1 of 2 rows have no final answer, the first is row 2"):
        read_math([path])


def test_a_problem_is_no_list_of_messages(tmp_path):
    messages = [{"role": "user", "content": "How many?"}]
    path = write_jsonl(tmp_path / "a.jsonl", [{"problem": messages, "answer": "1"}])
    with pytest.raises(ValueError, match=r"a\.jsonl: 1 of 1 rows have a list of chat messages as problem"):
        read_math([path])
    path = write_jsonl(tmp_path / "a.jsonl", [{"problem": "p", "answer": {"content": "1"}}])
    with pytest.raises(ValueError, match="an object as answer"):
        read_math([path])


@pytest.mark.parametrize(
    "text", [r"\frac{1}{4}", r"5\text{ cm}", r"2\times 3", r"\boxed{1}", r"a \rightarrow b"]
)
@pytest.mark.parametrize("name", ["problem", "answer"])
def test_latex_that_json_ate_is_refused(tmp_path, text, name):
    row = {"problem": "How many?", "answer": "1"} | {name: text}
    good = write_jsonl(tmp_path / "good.jsonl", [row])
    assert read_math([good])[{"problem": "prompt"}.get(name, name)].to_pylist() == [text]
    path = tmp_path / "a.jsonl"
    path.write_text(good.read_text().replace("\\\\", "\\"))
    words = (
        rf"1 of 1 rows have a control character in {name} .*write LaTeX's backslashes twice in JSON, \\\\frac"
    )
    with pytest.raises(ValueError, match=words):
        read_math([path])


def test_tabs_and_page_breaks_are_no_latex():
    texts = ("a\tan apple", "a\text", "\tto", "page\f1", "line\r\nline", r"\frac", None)
    assert not any(map(eaten_latex, texts))


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("so\n#### 6\nGood luck!", "6"),
        ("#### 6 ####", "6"),
        ("#### 5\n#### 1,200\n####\nThe end", "1200"),
        ("#### 6\n\n#### Note", "6"),
        ("#### 18 dollars", "18 dollars"),
    ],
)
def test_text_after_the_answer_is_none_of_it(tmp_path, solution, answer):
    path = write_jsonl(tmp_path / "a.jsonl", [{"question": "q", "answer": solution}])
    assert read_gsm8k([path])["answer"].to_pylist() == [answer]


# --- forms of files -------------------------------------------------------------------------------


def test_a_byte_order_mark_blank_lines_and_capitals_change_nothing(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"problem": "p", "answer": "1"}\n\n{"problem": "q", "answer": "2"}\n \n')
    assert read_math([path])["answer"].to_pylist() == ["1", "2"]
    for name in ("A.PARQUET", "no_suffix"):
        pq.write_table(pa.table({"problem": ["p"], "answer": ["1"]}), tmp_path / name)
        assert read_math([tmp_path / name])["answer"].to_pylist() == ["1"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'[{"problem": "p"}]', r"a JSON array; write one object per line: jq -c '\.\[\]' FILE"),
        (b'[\n {"problem": "p"}\n]', "a JSON array"),
        (b'{"problem": "p"}\n[1]\n', "line 2 is no JSON object but a list: write one object per line"),
        (
            b'\n{"problem":\n"p"}\n',
            r"line 2 is no JSON object \(Expecting value.*: write one object per line",
        ),
        (
            b'{"problem": "\\sqrt 2"}',
            r"line 1 .*escape, character 14\): write LaTeX's backslashes twice, \\\\sqrt",
        ),
        (b'{"problem": "\xe9"}', r"not UTF-8 \(.*; convert it"),
        (
            gzip.compress(b"{}", mtime=0),
            r"a compressed file; unpack it \(gunzip\) into a local folder, and name",
        ),
        (
            b'{"a": true, "problem": "p"}\n{"a": "x"}',
            r"differ in type \(a: true or false in row 1, text in row 2\): write",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_told_why_and_the_way_out(tmp_path, content, words):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.json: .*{words}"):
        read_file(tmp_path / "a.json")


def test_ids_may_be_numbers_in_one_file_and_text_in_another(tmp_path):
    for name, ids in (("a", [1, 2]), ("b", ["x", "y"])):
        pq.write_table(
            pa.table({"problem": ["p", "q"], "answer": ["1", "2"], "unique_id": ids}), tmp_path / name
        )
    assert read_math([tmp_path / "a", tmp_path / "b"])["source"].to_pylist() == ["1", "2", "x", "y"]


@pytest.mark.parametrize("answer", [str(10**30), "9" * 5000, "1" + "0" * 4400])
def test_numbers_of_json_have_no_largest(tmp_path, answer):
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"problem": "p", "answer": {answer}}}\n{{"problem": "q", "answer": 2.50}}\n')
    assert read_math([path])["answer"].to_pylist() == [answer, "2.50"]


def test_a_folder_is_what_was_planned(math):
    source = local(math, "train.jsonl")
    assert source_files(source) == [math / "train.jsonl"]
    with open(math / "train.jsonl", "a", encoding="utf-8") as file:
        file.write("{}\n")
    assert local(math, "train.jsonl").revision != source.revision
    with pytest.raises(ValueError, match="changed since"):
        source_files(source)
    (math / "train.jsonl").unlink()
    with pytest.raises(ValueError, match=r"train\.jsonl: No such file.*; check"):
        source_files(source)


def test_answers_that_are_no_mathematics_are_left_out_and_refused_if_many(math, tmp_path):
    rows = [{"problem": f"{n}?", "answer": "??" if n in (3, 4) else str(n)} for n in range(100)]
    write_jsonl(math / "train.jsonl", rows)
    with pytest.raises(
        InputError, match=r"train\.jsonl: 2 of 100 .*'\?\?' of train\.jsonl:4, cannot be parsed"
    ):
        make_problems_dataset.make(math_spec(math), {}, tmp_path)
    rows += [{"problem": f"more {n}?", "answer": "1"} for n in range(10)]
    write_jsonl(math / "train.jsonl", rows[4:])
    make_problems_dataset.make(math_spec(math), {}, tmp_path)
    counts = json.loads((tmp_path / "counts.json").read_text())["train"]
    assert (counts["not verifiable"], counts["usable"]) == (1, len(rows) - 5)
    assert "??" not in pq.read_table(tmp_path / "train.parquet")["answer"].to_pylist()


HUB = SourceSpec("owner/data", None, COMMIT, ("data/train.parquet",))


@pytest.mark.parametrize(
    "kind,message",
    [
        (
            errors.GatedRepoError,
            "accept its conditions at .*datasets/owner/data, then log in with hf auth login",
        ),
        (errors.RepositoryNotFoundError, "not found .* check the id, or log in with hf auth login"),
        (errors.RevisionNotFoundError, f"no revision {COMMIT}"),
        (errors.RemoteEntryNotFoundError, "no file data/train.parquet in revision"),
        (errors.LocalEntryNotFoundError, "cannot be downloaded .* fetch it elsewhere .* give a folder"),
        (errors.OfflineModeIsEnabled, "cannot be downloaded .* fetch it elsewhere"),
        (ConnectionError, "cannot be downloaded .* check the connection"),
    ],
)
def test_the_hub_refuses(monkeypatch, kind, message):
    error = kind.__new__(kind)
    error.args = ("first line\nsecond line",)

    def download(repo, name, *, repo_type, revision):
        assert (repo, name, repo_type, revision) == ("owner/data", HUB.files[0], "dataset", COMMIT)
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(ValueError, match=message) as caught:
        source_files(HUB)
    assert "owner/data" in str(caught.value) and "second line" not in str(caught.value)


def test_the_hub_gives_pinned_files_alone(monkeypatch, math, tmp_path):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repo, name, **options: math / name)
    test = replace(HUB, files=("test.parquet",))
    assert source_files(test) == [math / "test.parquet"]
    make_problems_dataset.make(math_spec(math, test=test), {}, tmp_path)
    assert pq.read_table(tmp_path / "test.parquet").num_rows == 5
    with pytest.raises(ValueError, match="revision is 'main'; write the 40 digits"):
        source_files(replace(HUB, revision="main"))


# Fewer words than a run.
SHORT = "How many positive primes are there below $10$ and $\\dfrac34$?"
WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho".split()


def long_text(seed, length=30):
    """Random words, so that two seeds have no long run in common."""
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def numina_row(problem, answer="1", **changes):
    row = {"problem": problem, "answer": answer, "source": "olympiads", "synthetic": False}
    row |= {"problem_is_valid": "Yes", "solution_is_valid": "Yes", "question_type": "math-word-problem"}
    return row | changes


def no_errors(answers):
    return [None] * len(answers)


def keep(rows, held_out=(), gold_errors=no_errors):
    schema = pa.schema([(n, pa.bool_() if n == "synthetic" else pa.string()) for n in COLUMNS])
    table, dropped = verifiable_problems(pa.Table.from_pylist(rows, schema), held_out, gold_errors)
    assert table.num_rows + sum(dropped.values()) == len(rows)
    return table["prompt"].to_pylist(), {reason: n for reason, n in dropped.items() if n}


@pytest.mark.parametrize(
    "changes,reason",
    [
        ({"synthetic": True}, "synthetic"),
        ({"problem_is_valid": "Incomplete"}, "not valid"),
        ({"solution_is_valid": None}, "not valid"),
        ({"question_type": "proof"}, "question type"),
        ({"question_type": "MCQ"}, "question type"),
        ({"answer": "proof"}, "no final answer"),
        ({"answer": "notfound"}, "no final answer"),
        ({"answer": " "}, "no final answer"),
        ({"answer": None}, "no final answer"),
        ({"problem": None}, "no final answer"),
        ({"answer": "B"}, "no final answer"),
        ({"answer": r"\textbf{(C)}"}, "no final answer"),
        ({"problem": "What is 5\text{ cm}?"}, "damaged LaTeX"),
        ({"answer": "\frac{1}{4}"}, "damaged LaTeX"),
        ({"answer": "There are no such integers."}, "sentence"),
        ({"answer": r"\text{the number } n \text{ is always odd}"}, "sentence"),
        ({"answer": "(1) 5; (2) 6"}, "several parts"),
        ({"answer": r"$(1)$ $x \le 2$ $(2)$ $[3, 4]$"}, "several parts"),
        ({"answer": "a) 5, b) no"}, "several parts"),
    ],
)
def test_a_row_is_dropped_for_its_reason(changes, reason):
    rows = [numina_row("first"), numina_row("second") | changes, numina_row("third", "x+1")]
    assert keep(rows) == (["first", "third"], {reason: 1})


@pytest.mark.parametrize(
    "answer",
    [
        r"\text{all real numbers except } 2",
        r"\begin{cases} 1 & \text{if } n \text{ is even} \\ 0 & \text{if } n \text{ is odd} \end{cases}",
        "(1, 2), (2, 1)",
        "(1)(2 3)",
        "(1), (2)",
    ],
)
def test_long_answers_and_tuples_are_kept(answer):
    assert keep([numina_row("a", answer)]) == (["a"], {})


def test_text_may_say_what_is_synthetic():
    """The text "false" is no made-up row."""
    rows = [numina_row(f"{n}", synthetic=text) for n, text in enumerate(("false", "False", None, "", "True"))]
    table = pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in COLUMNS]))
    kept, dropped = verifiable_problems(table, [], no_errors)
    assert kept["prompt"].to_pylist() == ["0", "1", "2", "3"] and dropped["synthetic"] == 1


def test_rows_are_dropped_for_pictures_and_enormous_answers():
    rows = [
        numina_row("first", "10^{10^{6}}"),
        numina_row("As shown in the figure, find $x$."),
        numina_row("c"),
    ]
    assert keep(rows) == (["c"], {"enormous number": 1, "picture missing": 1})
    assert keep([numina_row("d", "9" * 5000)])[1] == {"enormous number": 1}


def test_duplicates_differ_in_form_alone():
    rows = [numina_row(p) for p in ("Find $x^{2}$.", "find   x^2!", "Find $x^3$.", "Trouve é", "trouve É")]
    assert keep(rows) == (["Find $x^{2}$.", "Find $x^3$.", "Trouve é"], {"duplicate": 2})


def test_held_out_problems_are_not_trained_on():
    held = [long_text(0), "How many primes are below $10$?"]
    middle = " ".join(held[0].split()[5:18])
    rows = [
        numina_row(held[0].upper().replace(" ", ",  ")),
        numina_row(f"something before {middle} and after"),
        numina_row(f"something before {middle.rpartition(' ')[0]} and after"),  # 12 words alone
        numina_row("how many primes are below 10"),
        numina_row("How many primes are below 100?"),
        numina_row(long_text(1)),
    ]
    kept = [rows[i]["problem"] for i in (2, 4, 5)]
    assert keep(rows, held) == (kept, {"held out": 3})


@pytest.mark.parametrize(
    "text",
    [
        r"How many positive primes are there below 10 and \frac{3}{4}",
        r"Problem 3. how many positive primes are there below $10$ and $\tfrac 34$? Prove it.",
        SHORT.upper().replace("\\DFRAC34", r"\frac{3}{4}"),
    ],
)
def test_short_held_out_problems_are_found(text):
    assert overlaps([SHORT])(text)


def test_what_shares_less_with_a_short_held_out_problem_is_none_of_it():
    overlap = overlaps([SHORT, "Find $x$.", r"Compute $\sin 60^\circ$."])
    assert not overlap("How many positive primes are there below $100$ and $3/4$?")
    assert not overlap("Solve the system and find x, then y.")
    assert overlap(r"compute \(\sin\left(60°\right)\)") and overlap("find X")
    assert not overlap(r"Compute $\cos 60^\circ$.")


def test_answers_that_cannot_be_verified_are_dropped():
    asked = []

    def gold_errors(answers):
        asked.extend(answers)
        return ["cannot be parsed" if "?" in answer else None for answer in answers]

    rows = [numina_row("a", "12"), numina_row("b", "?"), numina_row("c", "x"), numina_row("d", r"\frac12")]
    assert keep(rows, gold_errors=gold_errors) == (["a", "c", "d"], {"not verifiable": 1})
    assert asked == ["?", "x"]  # numbers need no parser
    assert keep([numina_row("b", "?")], gold_errors=gold_errors)[0] == []


def test_no_training_problem_overlaps_a_test_problem():
    families = [long_text(seed) for seed in range(30)]
    prompts = [text for family in families for text in (family + " one", "two " + family)]
    pool = pa.table({"prompt": prompts, "answer": ["1"] * 60, "source": ["s"] * 60})
    train, test = split(pool, train=20, test=10, seed=0)
    assert (train.num_rows, test.num_rows) == (20, 10)
    assert train.schema.equals(SCHEMA) and test.schema.equals(SCHEMA)
    in_test = overlaps(test["prompt"].to_pylist())
    assert not any(in_test(prompt) for prompt in train["prompt"].to_pylist())
    again = split(pool, train=20, test=10, seed=0)
    assert again[0].equals(train) and not split(pool, train=20, test=10, seed=1)[1].equals(test)
    with pytest.raises(ValueError, match="train problems are asked for, there are 4"):
        split(pool, train=50, test=10, seed=0)


def test_numina_from_files(math, tmp_path):
    rows = [numina_row(long_text(seed), str(seed)) for seed in range(30)]
    rows += [numina_row("bad", "??"), numina_row("Test 3?"), numina_row("made up", synthetic=True)]
    for name, part in (("a", rows[:20]), ("b", rows[20:])):
        if name == "a":
            part = [row | {"synthetic": "false"} for row in part]
        columns = pa.Table.from_pylist([row | {"solution": "long"} for row in part])
        pq.write_table(columns, math / f"{name}.parquet")
    sources = {"source": local(math, "a.parquet", "b.parquet"), "held_out": local(math, "test.parquet")}
    spec = problems_spec("numina", **sources, overlap=None, train_problems=20, test_problems=4)
    output = tmp_path / "output"
    output.mkdir()
    make_problems_dataset.make(spec, {}, output)
    train, test = (pq.read_table(output / f"{name}.parquet") for name in ("train", "test"))
    assert (train.num_rows, test.num_rows) == (20, 4)
    assert not set(train["prompt"].to_pylist()) & set(test["prompt"].to_pylist())
    assert train["source"][0].as_py().startswith("olympiads:")
    counts = json.loads((output / "counts.json").read_text())
    assert (counts["read"], counts["usable"]) == (33, 30)
    assert {r: n for r, n in counts["dropped"].items() if n} == {
        "synthetic": 1,
        "held out": 1,
        "not verifiable": 1,
    }
    with pytest.raises(InputError, match="30 train problems are asked for, there are 26"):
        make_problems_dataset.make(replace(spec, train_problems=30), {}, output)
    pq.write_table(pa.table({"problem": ["p"], "answers": ["1"]}), math / "c.parquet")
    with pytest.raises(InputError, match=r"c\.parquet: no column 'answer'; the nearest is 'answers'"):
        make_problems_dataset.make(replace(spec, source=local(math, "c.parquet")), {}, output)


# --- as files lie on people's disks ---


def test_all_rows_name_the_columns(tmp_path):
    rows = [
        {"problem": "p", "solution": r"\boxed{0}"},
        {"problem": "q", "solution": r"not \boxed{3}", "answer": "7"},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_file(tmp_path / "a.jsonl")["answer"].to_pylist() == [None, "7"]
    with pytest.raises(ValueError, match="1 of 2 rows have no final answer, the first is row 1"):
        read_math([tmp_path / "a.jsonl"])


def test_a_float32_is_read_as_it_was_written(tmp_path):
    pq.write_table(
        pa.table({"problem": ["p", "q"], "answer": pa.array([0.1, 18.0], pa.float32())}),
        tmp_path / "a.parquet",
    )
    assert read_math([tmp_path / "a.parquet"])["answer"].to_pylist() == ["0.1", "18.0"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"problem": "p", "answer": "1", "answer": "2"}', "line 1 .*'answer' is given twice"),
        (b'{"problem": "p \\ud835", "answer": "1"}', "half a surrogate pair"),
        (b"", "an empty file"),
        (b"\n\n", "an empty file"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, content, words):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.json: .*{words}"):
        read_math([tmp_path / "a.json"])


def test_two_columns_of_one_name_and_text_that_is_no_utf_8(tmp_path):
    path = tmp_path / "a.parquet"
    arrays = [pa.array(["p"]), pa.array(["1"]), pa.array(["2"])]
    pq.write_table(pa.Table.from_arrays(arrays, names=["problem", "answer", "answer"]), path)
    with pytest.raises(ValueError, match=r"a\.parquet: 2 columns 'answer'"):
        read_math([path])
    buffers = [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    pq.write_table(
        pa.table({"problem": pa.Array.from_buffers(pa.string(), 1, buffers), "answer": ["1"]}), path
    )
    with pytest.raises(ValueError, match=r"a\.parquet: column 'problem' is not UTF-8"):
        read_math([path])
