"""Measures of a snapshot on known answers, curves and the calibration rule on handmade cases."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch

from asymre.engines.local import evaluation
from asymre.engines.local.evaluation import evaluate, evaluate_snapshot
from asymre.engines.local.sampling import Completions
from asymre.engines.local.tokenizer import END_ID, VOCABULARY_SIZE, encode
from asymre.metrics.calibration import at_cycle_ends, is_at_the_edge, largest_of_the_best
from asymre.metrics.curves import (
    curve,
    late_in_cycles,
    read_evaluation,
    read_metrics,
    smooth,
    step_of_collapse,
    step_of_fall,
)
from asymre.metrics.evaluation import as_table, pass_at_k
from asymre.tasks.arithmetic import Arithmetic
from tests.specs import EVALUATION

SETTINGS = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 6}


@pytest.mark.parametrize("samples", [1, 4, 6])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(samples):
    """Against every subset of k of the samples, without a formula."""
    rng = np.random.default_rng(0)
    correct_PS = rng.random((12, samples)) < np.linspace(0, 1, 12)[:, None]
    for k in range(1, samples + 1):
        hits = [any(subset) for row in correct_PS.tolist() for subset in combinations(row, k)]
        assert pass_at_k(correct_PS, k) == pytest.approx(np.mean(hits), abs=1e-12)


def test_measures_of_known_completions(problems, monkeypatch):
    """Two problems with four samples each, of which three are right, and every measure by hand."""
    two = problems.slice(0, 2)
    first, second = (str(answer) for answer in two["answer"].to_pylist())
    texts = [f"1,{first}.", f"{first}.", f"9,{first}", "1,2."]  # right, right, cut off, wrong
    texts += [f"7,{second}.", "1,2,3.", "5.", "5."]  # right, wrong, wrong, wrong
    tokens_RT = torch.from_numpy(encode(texts, 6))
    tokens_RT[2, len(texts[2]) :] = 0  # cut off: digits up to the width, no end
    asked = {}

    def known(weights, architecture, prompts_PL, **settings):
        asked.update(settings, prompts=len(prompts_PL))
        entropy_RT = torch.arange(8.0)[:, None].repeat(1, 6)
        return Completions(tokens_RT, torch.zeros(8, 6), entropy_RT)

    monkeypatch.setattr(evaluation, "sample", known)
    settings = {"temperature": 0.3, "top_p": 0.8, "max_new_tokens": 6}
    measured = evaluate({}, None, two, Arithmetic, samples=4, stream=("a", 1), **settings)
    assert {name: asked[name] for name in settings} == settings
    assert (asked["group_size"], asked["prompts"]) == (4, 2)

    lengths = [len(text) for text in texts]
    lengths[2] = 6
    entropy = sum(row * length for row, length in enumerate(lengths)) / sum(lengths)
    wrong = [int(first.ljust(4, "0")) - int(first), 2 - int(first), *(n - int(second) for n in (3, 5, 5))]
    assert measured.pop("differences") == [0, 0, *wrong[:2], 0, *wrong[2:]]
    assert measured == {
        "accuracy": 3 / 8,
        "distinct_correct": (2 + 1) / 2,
        "pass_at_1": pytest.approx(3 / 8),
        # Of the 6 pairs, 5 hold one of two right samples, and 3 one right sample.
        "pass_at_2": pytest.approx((5 / 6 + 3 / 6) / 2),
        "pass_at_4": 1.0,
        "pass_rates": [0.5, 0.25],
        "entropy": pytest.approx(entropy),
        "distinct_answers": 3.0,  # answers, the one cut off, "2"; then the answer, "3", "5"
        "length": pytest.approx(np.mean(lengths)),
        "truncated": 1 / 8,
    }


def test_a_policy_that_always_says_one_thing(constant_policy, problems):
    logits_V = torch.zeros(VOCABULARY_SIZE)
    logits_V[END_ID] = 100.0
    architecture, weights = constant_policy(logits_V)
    measured = evaluate(weights, architecture, problems, Arithmetic, samples=2, stream=("a",), **SETTINGS)
    expected = {"accuracy": 0, "pass_at_1": 0, "pass_at_2": 0, "entropy": 0}
    expected |= {"distinct_answers": 1, "distinct_correct": 0, "length": 1, "truncated": 0}
    assert measured.pop("pass_rates") == [0] * problems.num_rows
    assert np.isnan(measured.pop("differences")).all()
    assert measured == pytest.approx(expected, abs=1e-6)
    architecture, uniform = constant_policy(torch.zeros(VOCABULARY_SIZE))
    measured = evaluate(uniform, architecture, problems, Arithmetic, samples=2, stream=("a",), **SETTINGS)
    assert measured["entropy"] == pytest.approx(np.log(VOCABULARY_SIZE), rel=1e-5)


def test_evaluation_follows_from_its_stream(weights, architecture, problems):
    def measure(*stream):
        measured = evaluate(weights, architecture, problems, Arithmetic, samples=4, stream=stream, **SETTINGS)
        return measured | {"differences": str(measured["differences"])}

    assert measure(0, 100, "test") == measure(0, 100, "test")
    others = [measure(0, 100, "test"), measure(1, 100, "test"), measure(0, 125, "test")]
    assert len({row["entropy"] for row in others}) == 3


def test_snapshot_is_measured_as_the_paper_does(weights, architecture, problems, monkeypatch):
    calls = []
    monkeypatch.setattr(
        evaluation,
        "evaluate",
        lambda w, a, table, task, **settings: calls.append((table, settings)) or {},
    )
    test = problems.slice(0, 8)
    rows = evaluate_snapshot(weights, architecture, problems, test, EVALUATION, step=50)
    columns = ("step", "split", "temperature", "top_p")
    assert [tuple(row[c] for c in columns) for row in rows] == [
        (50, "test", 0.1, 0.95),
        (50, "test", 1.0, 1.0),
        (50, "train", 1.0, 1.0),
    ]
    assert [(t.num_rows, s["samples"]) for t, s in calls] == [(5, 1), (5, 4), (3, 4)]
    assert [(s["temperature"], s["top_p"]) for _, s in calls] == [(0.1, 0.95), (1, 1), (1, 1)]
    assert calls[0][0].equals(test.slice(0, 5)) and calls[2][0].equals(problems.slice(0, 3))
    few = evaluate_snapshot(
        weights, architecture, problems, test, replace(EVALUATION, samplings=(("train", 1.0),)), 50
    )
    assert [row["split"] for row in few] == ["train"] and calls.pop() == calls[2]
    evaluate_snapshot(weights, architecture, problems, test, EVALUATION, step=75)
    evaluate_snapshot(weights, architecture, problems, test, replace(EVALUATION, seed=1), step=50)
    assert len({s["stream"] for _, s in calls}) == 9


def test_evaluation_table_reads_as_curves(weights, architecture, problems):
    rows = [
        row
        for step in (50, 0)
        for row in evaluate_snapshot(weights, architecture, problems, problems, EVALUATION, step)
    ]
    table = as_table(rows).to_pandas()
    assert table["pass_at_4"].isna().tolist() == [True, False, False] * 2
    assert table["pass_at_1"].notna().all()
    for measure, row, column in (
        ("test_accuracy", 0, "accuracy"),
        ("test_accuracy_temperature_1", 1, "accuracy"),
        ("train_accuracy", 2, "accuracy"),
        ("entropy", 2, "entropy"),
    ):
        values = curve(table.assign(accuracy=np.arange(6)), measure)
        assert values.index.tolist() == [0, 50]
        source = range(6) if column == "accuracy" else table["entropy"]
        assert values.tolist() == [source[3 + row], source[row]]
    with pytest.raises(ValueError, match="train_accuracy"):
        curve(table[table["split"] == "test"], "train_accuracy")


def steps(*values):
    """A curve with an evaluation every 10 steps."""
    return pd.Series(values, index=range(0, 10 * len(values), 10), dtype=float)


@pytest.mark.parametrize(
    "values,expected",
    [
        ((0.3, 0.6, 0.8, 0.2, 0.1, 0.0), 30),  # collapses
        ((0.3, 0.6, 0.8, 0.2, 0.1, 0.7, 0.8), 30),  # collapses and recovers
        ((0.3, 0.6, 0.2, 0.6, 0.2, 0.6), None),  # dips for one point, twice
        ((0.3, 0.6, 0.2, 0.6, 0.2, 0.1), 40),  # dips, then collapses
        ((0.3, 0.5, 0.6, 0.7), None),  # never
        ((0.3, 0.9, 0.4, 0.35), None),  # below half of the maximum, above the base policy
        ((0.6, 0.4, 0.35, 0.31), None),  # below the base policy, above half of the maximum
        ((0.6, 0.3, 0.3), None),  # exactly half is not below
        ((0.2, 0.8, 0.2, 0.2), None),  # exactly the base policy is not below
        ((0.6, 0.2, 0.1), 10),  # at the first evaluation
        ((0.3, 0.8, 0.4, 0.1), None),  # a single last point is not two in a row
        ((0.0, 0.0, 0.0), None),  # a base policy that is never right
        ((0.5,), None),
    ],
)
def test_step_of_fall(values, expected):
    found = step_of_fall(steps(*values), steps(*[0.1] * len(values)))
    assert np.isnan(found) if expected is None else found == expected


@pytest.mark.parametrize(
    "values,expected",
    [
        ((0.3, 0.8, 0.2, 0.1, 0.1, 0.0, 0.0), 20),  # falls and stays low
        ((0.3, 0.8, 0.2, 0.1, 0.5, 0.6, 0.5), None),  # recovers to more than half of its maximum
        ((0.3, 0.8, 0.2, 0.1, 0.3, 0.3, 0.3), None),  # recovers to the base policy
        ((0.3, 0.8, 0.2, 0.1, 0.6, 0.1, 0.1), 20),  # recovers in between alone
        ((0.3, 0.8, 0.7, 0.7, 0.2, 0.1, 0.7), None),  # its mean over the last three is what counts
    ],
)
def test_a_dip_recovers_and_is_no_collapse(values, expected):
    found = step_of_collapse(steps(*values), steps(*[0.1] * len(values)))
    assert np.isnan(found) if expected is None else found == expected


@pytest.mark.parametrize(
    "values,entropy,expected",
    [
        ((0.3, 0.6, 0.8, 0.0), (0.2, 0.2, 0.2, None), 30),  # one last point is enough
        ((0.0, 0.0, 0.0), (0.2, None, None), 10),  # of a base policy that is never right, too
        ((0.3, 0.8, 0.1, 0.1, 0.0), (0.2, 0.2, 0.2, 0.2, None), 20),  # collapsed before it diverged
    ],
)
def test_a_run_that_diverges_has_collapsed(values, entropy, expected):
    assert step_of_fall(steps(*values), steps(*entropy)) == expected
    assert step_of_collapse(steps(*values), steps(*entropy)) == expected


def test_smooth_is_centred_and_leaves_the_ends():
    values = steps(0, 3, 6, 0, 9)
    assert smooth(values, 3).tolist() == pytest.approx([0, 3, 3, 5, 9])
    assert smooth(values, 3).index.equals(values.index)
    assert smooth(values, 1).tolist() == values.tolist()
    assert smooth(steps(2), 3).tolist() == [2]


def test_unevenly_spaced_points_are_not_smoothed():
    values = pd.Series([0, 3, 6, 0], index=[0, 5, 10, 20])
    assert smooth(values, 3).tolist() == values.tolist()


def test_accuracy_at_the_ends_of_cycles():
    run = steps(0.1, 0.9, 0.3, 0.9, 0.5, 0.7)
    ends = at_cycle_ends(run, N=20)
    assert ends.index.tolist() == [0, 20, 40, 50]  # the last cycle is shorter
    assert ends.tolist() == pytest.approx([0.1, 0.3, 0.5, 0.7])
    assert at_cycle_ends(steps(1, 2, 3, 4, 5), N=20).tolist() == [1, 3, 5]
    with pytest.raises(ValueError, match="15"):
        at_cycle_ends(run, N=15)


def test_metrics_late_in_cycles():
    metrics = pd.Series(np.arange(1.0, 51), index=range(1, 51))
    # The last tenth of 20 steps is two; the last cycle has only ten steps.
    assert late_in_cycles(metrics, N=20).to_dict() == {20: 19.5, 40: 39.5, 50: 49.5}
    assert late_in_cycles(metrics.iloc[:7], N=5).to_dict() == {5: 5, 7: 7}


@pytest.mark.parametrize(
    "accuracy,chosen",
    [
        ({1e-4: 0.9, 2e-4: 0.95, 4e-4: 0.5}, 2e-4),
        ({4e-4: 0.94, 1e-4: 0.9, 2e-4: 0.95}, 4e-4),  # in any order, and within the tolerance of the best
        ({1e-4: 0.95, 2e-4: 0.5, 4e-4: 0.94}, 4e-4),
        ({1e-4: 0.95, 2e-4: 0.92}, 1e-4),
    ],
)
def test_the_largest_learning_rate_near_the_best(accuracy, chosen):
    assert largest_of_the_best(accuracy, tolerance=0.02) == chosen


@pytest.mark.parametrize(
    "accuracy,edge",
    [
        ({1e-4: 0.9, 2e-4: 0.95, 4e-4: 0.5}, False),
        ({1e-4: 0.95, 2e-4: 0.9, 4e-4: 0.5}, True),  # a smaller one may be better
        ({1e-4: 0.9, 2e-4: 0.92, 4e-4: 0.95}, True),
        ({1e-4: 0.9, 2e-4: 0.95, 4e-4: 0.94}, True),  # a larger one may do as well
        ({1e-4: 0.95, 2e-4: 0.94, 4e-4: 0.5}, True),
    ],
)
def test_a_choice_at_the_edge_of_the_grid_is_seen(accuracy, edge):
    assert is_at_the_edge(accuracy, tolerance=0.02) == edge


def an_evaluation():
    keys = {"split": ["test", "test", "train"], "temperature": [0.1, 1.0, 1.0], "top_p": [0.95, 1.0, 1.0]}
    tables = [pd.DataFrame(keys).assign(step=step, accuracy=0.5, entropy=0.1) for step in (0, 5, 10)]
    return pd.concat(tables, ignore_index=True)


def metrics():
    return pd.DataFrame({"step": [1, 2, 3], "cycle": 0, "loss": [0.5, 0.4, 0.3], "rollout_reward": 0.1})


def with_value(table, row, column, value):
    table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("read", "table", "said"),
    [
        (read_evaluation, an_evaluation().drop(index=4), "one row per step"),
        (read_evaluation, pd.concat([an_evaluation(), an_evaluation()[:1]]), "one row per step"),
        (read_evaluation, an_evaluation().drop(columns="entropy"), "no column entropy"),
        (read_evaluation, with_value(an_evaluation(), 4, "accuracy", math.nan), "between 0 and 1"),
        (read_evaluation, with_value(an_evaluation(), 4, "accuracy", 1.5), "between 0 and 1"),
        (read_evaluation, with_value(an_evaluation(), 4, "entropy", math.inf), "finite"),
        (
            read_evaluation,
            with_value(an_evaluation(), 4, "entropy", math.nan),
            "only a run that has diverged",
        ),
        (read_metrics, metrics().drop(index=1), "one row for each step"),
        (read_metrics, metrics()[::-1], "one row for each step"),
        (read_metrics, metrics()[:0], "one row for each step"),
        (read_metrics, metrics().drop(columns="loss"), "no column loss"),
        (read_metrics, with_value(metrics(), 1, "loss", math.nan), "must be finite"),
        (read_metrics, with_value(metrics(), 1, "rollout_reward", math.inf), "must be finite"),
    ],
)
def test_tables_with_a_hole_or_nonsense_are_refused(tmp_path, read, table, said):
    table.to_parquet(tmp_path / "table.parquet", index=False)
    with pytest.raises(ValueError, match=said):
        read(tmp_path / "table.parquet")


def test_whole_tables_and_those_of_a_diverged_run_are_read(tmp_path):
    diverged = with_value(with_value(an_evaluation(), 8, "accuracy", 0.0), 8, "entropy", math.nan)
    for read, table in (
        (read_evaluation, an_evaluation()),
        (read_evaluation, diverged),
        (read_metrics, metrics()),
        (read_metrics, with_value(metrics(), 2, "loss", math.nan)),
    ):
        table.to_parquet(tmp_path / "table.parquet", index=False)
        assert read(tmp_path / "table.parquet").equals(table)
