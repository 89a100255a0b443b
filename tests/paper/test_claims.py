"""Each claim says each of the three words where it should; the pages can be read."""

import json
import re
from dataclasses import asdict, replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from docutils.core import publish_doctree

from asymre.bandit import experiments, theorem_checks
from asymre.metrics.statistics import Estimate
from asymre.specs import Rewards
from paper.claims import table, training
from paper.claims.bandit import bandit_rows
from paper.claims.beyond import beyond_rows
from paper.claims.own_policies import cycle_summaries, own_policy_rows
from paper.claims.runs import measures, summaries
from paper.claims.verdict import EQUAL, FAILS, HOLDS, OPEN, Row, corrected, verdict
from paper.configuration.schema import OBJECTIVES
from paper.specs import ClaimedRun, ClaimsSpec, Compared
from scripts import check_claims
from store import job
from store.typed import build

PAPER_DELTA_V = (-0.5, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3)
STEPS = [0, 5, 10, 15, 20, *range(25, 401, 25)]
BESIDE = {"accuracy_math_verify": 0.45, "share_math_verify_alone": 0.06, "share_verifier_alone": 0.01}
SPEC = ClaimsSpec(
    table="claims",
    scale="cpu",
    models={"llama-8b": "Llama 8B", "qwen-3b": "Qwen 3B", "llama-3b": "Llama 3B"},
    datasets={"math": "MATH", "numinamath": "NuminaMath"},
    rewards=Rewards(1.0, -1.0),
    main_models=("llama-8b", "qwen-3b"),
    main_dataset="math",
    stand_ins=True,
    runs=(),
    first_cycle=(),
    objectives={name: Compared(entry.label, entry.takes_delta_v) for name, entry in OBJECTIVES.items()},
    note="",
)


def described(delta_v=-0.1, seed=0, **other):
    run = {
        "model": "llama-8b",
        "dataset": "math",
        "objective": "asymre",
        "delta_v": delta_v,
        "N": 100,
        "refreshed": True,
        "seed": seed,
        "base_seed": 0,
        "learning_rate": 2e-4,
        "swept": True,
        "best": True,
    } | other
    return ClaimedRun(input="_".join(str(value) for value in run.values()), **run)


def evaluation(test, train=None, entropy=None, steps=STEPS):
    """Accuracies and entropy by step, one number or one a step."""
    tables = []
    for split, temperature, accuracy in (
        ("test", 0.1, test),
        ("test", 1.0, test),
        ("train", 1.0, test if train is None else train),
    ):
        columns = {"split": split, "temperature": temperature, "top_p": 1.0, "accuracy": accuracy}
        tables.append(
            pd.DataFrame({"step": steps, "entropy": 0.5 if entropy is None else entropy, **columns})
        )
    return pd.concat(tables, ignore_index=True)


def falling(step_of_collapse, steps=STEPS):
    """0.4 up to a step, then 0."""
    return np.where(np.array(steps) < step_of_collapse, 0.4, 0.0)


def summarised(*runs):
    """runs: pairs of a description and an evaluation."""
    return summaries([run for run, _ in runs], {run.input: table for run, table in runs})


def rows_of(claim, runs, rows=training.training_rows):
    """The rows of a claim that have runs."""
    found = corrected(rows(runs, SPEC))
    return [row for row in found if row.number == claim and row.runs != training.NO_RUNS]


def verdicts(claim, *runs, **arguments):
    found = {row.verdict for row in rows_of(claim, summarised(*runs), **arguments)}
    assert len(found) == 1
    return found.pop()


# The verdict itself


TESTED = training.NO_COLLAPSE


@pytest.mark.parametrize(
    "effect, p, direction, word",
    [
        (0.3, 0.049, 1, HOLDS),
        (0.3, 0.049, -1, FAILS),
        (-0.3, 0.049, 1, FAILS),
        (-0.3, 0.049, -1, HOLDS),
        (0.3, 0.05, 1, OPEN),
        (0.3, np.nan, 1, OPEN),
        (np.nan, 0.001, 1, OPEN),
        (0.0, 0.001, 1, OPEN),
    ],
)
def test_a_test_decides_by_its_corrected_p_and_the_side_of_the_effect(effect, p, direction, word):
    estimate = Estimate(effect, p=0.001, smallest_p=0.001)
    assert verdict(estimate, p, replace(TESTED, direction=direction)) == word


@pytest.mark.parametrize(
    "low, high, margin, word",
    [
        (0.01, 0.05, None, HOLDS),
        (-0.01, 0.05, None, OPEN),  # a small p alone does not decide
        (0.0, 0.05, None, OPEN),
        (0.01, 0.05, 0.03, HOLDS),
        (0.01, 0.029, 0.03, EQUAL),
        (-0.029, 0.029, 0.03, EQUAL),
        (-0.03, 0.02, 0.03, OPEN),
    ],
)
def test_the_interval_decides_too_and_small_effects_do_not_matter(low, high, margin, word):
    estimate = Estimate((low + high) / 2 + 1e-9, low, high, 0.0, 0.001, 0.001)
    assert verdict(estimate, 0.001, replace(TESTED, direction=1, margin=margin)) == word


@pytest.mark.parametrize(
    "effect, direction, bound, word",
    [
        (1.0, 1, 1.0, HOLDS),
        (0.999, 1, 1.0, FAILS),
        (1e-7, -1, 1e-6, HOLDS),
        (1e-5, -1, 1e-6, FAILS),
        (np.nan, 1, 1.0, OPEN),
    ],
)
def test_a_theorem_is_decided_by_its_bound(effect, direction, bound, word):
    assert verdict(Estimate(effect), np.nan, replace(TESTED, direction=direction, bound=bound)) == word


def test_all_tests_of_a_table_are_corrected_for_and_nothing_else():
    def row(p, smallest=0.001, claim=TESTED):
        return Row("4a", claim, "A", Estimate(0.1, null=0.5, p=p, smallest_p=smallest), "runs")

    theorem = replace(TESTED, bound=1.0)
    rows = corrected([row(0.02), row(0.04, smallest=0.05), row(0.01), row(0.001, claim=theorem), row(np.nan)])
    np.testing.assert_equal([r.p_corrected for r in rows], [0.02, np.nan, 0.02, np.nan, np.nan])
    assert [r.verdict for r in corrected([row(0.03), row(0.03)])] == [OPEN, OPEN]
    assert [r.verdict for r in corrected([row(0.03)])] == [HOLDS]


# Training


def three_words(claim, make, **arguments):
    """The words for a true effect, a reversed one and too few seeds. make(seed, sign) gives a seed's runs."""
    for seeds, sign, word in ((10, 1, HOLDS), (10, -1, FAILS), (1, 1, OPEN)):
        runs = [run for seed in range(seeds) for run in make(seed, sign)]
        assert verdicts(claim, *runs, **arguments) == word


@pytest.mark.parametrize(
    "claim, delta_v, collapses_if",
    [("4a", -0.1, -1), ("4e", 0.1, 1), ("4f", 0.0, 1), ("4g", 0.1, 1), ("4h", 0.0, 1)],
)
def test_stable_and_collapsing(claim, delta_v, collapses_if):
    def make(seed, sign):
        collapses = sign == collapses_if
        curve = falling(100) if collapses else falling(1000)
        # The other accuracy says the opposite: each claim reads its own.
        opposite = falling(1000) if collapses else falling(100)
        train = curve if claim in ("4g", "4h") else opposite
        test = curve if claim not in ("4g", "4h") else opposite
        return [(described(delta_v, seed), evaluation(test, train))]

    three_words(claim, make)
    mixed = [
        (described(delta_v, s), evaluation(falling(100 if s % 2 else 1000), falling(100 if s % 2 else 1000)))
        for s in range(10)
    ]
    assert verdicts(claim, *mixed) == OPEN


def test_a_run_is_settled_if_it_ends_near_its_best():
    def make(seed, sign):
        peak = 0.42 if sign == 1 else 0.45
        return [(described(-0.1, seed), evaluation(np.where(np.array(STEPS) == 100, peak, 0.4)))]

    three_words("4b", make)


@pytest.mark.parametrize("claim, measure", [("4c", "train"), ("4d", "test")])
def test_faster_at_first(claim, measure):
    def make(seed, sign):
        for delta_v in (-0.5, -0.3, -0.2, -0.1):
            # After the first cycle the order is reversed, which must not matter.
            early = 0.4 + 0.1 * sign * delta_v + 0.01 * np.sin(seed + 10 * delta_v)
            values = np.where(np.array(STEPS) <= 100, early, 0.4 - 0.1 * sign * delta_v)
            other = np.full(len(STEPS), 0.4)
            train, test = (values, other) if measure == "train" else (other, values)
            yield described(delta_v, seed), evaluation(test, train)

    three_words(claim, make)


def test_one_end_alone_makes_no_order():
    def make(level):
        return [
            (described(v, seed), evaluation(level[v] + 0.001 * np.sin(seed + 10 * v)))
            for v in level
            for seed in range(10)
        ]

    assert verdicts("4d", *make({-0.5: 0.3, -0.3: 0.4, -0.2: 0.5, -0.1: 0.6})) == HOLDS
    assert verdicts("4d", *make({-0.5: 0.3, -0.3: 0.6, -0.2: 0.6, -0.1: 0.6})) == OPEN
    assert verdicts("4d", *make({-0.5: 0.3, -0.3: 0.6, -0.2: 0.58, -0.1: 0.8})) == OPEN


def test_falls_are_earlier_for_larger_delta_v():
    def make(seed, sign):
        # The slowest never falls at all. The interval needs some spread.
        steps = [1000, 300, 200, 100 - 25 * (seed % 2)][::sign]
        return [
            (described(v, seed), evaluation(falling(s)))
            for v, s in zip((0, 0.1, 0.2, 0.3), steps, strict=True)
        ]

    three_words("4i", make)
    (row,) = rows_of("4i", summarised(*(run for seed in range(4) for run in make(seed, 1))))
    assert row.detail == "mean by delta_v: 0: >= 400, 0.1: 300, 0.2: 200, 0.3: 87.5"


def test_paired_collapses():
    def make(seed, sign):
        early, late = (100, 1000)[::sign]
        # Not all alike, so that differences have a spread.
        early, late = (early - 25 * (seed % 2)), late
        return [
            (described(0, seed), evaluation(falling(early) + 0.01 * (seed % 3))),
            (described(-0.1, seed), evaluation(falling(late))),
        ]

    three_words("5a", make)
    three_words("5b", make)
    # The one that falls ends farther below its best.
    three_words("5c", make)
    equal = [(described(v, seed), evaluation(falling(100))) for v in (0, -0.1) for seed in range(10)]
    (row,) = rows_of("5a", summarised(*equal))
    assert row.verdict == OPEN and "10 of 10 against 10 of 10" in row.runs and row.estimate.effect == 0


def test_a_dip_recovers_and_a_collapse_does_not():
    dip = np.where((np.array(STEPS) >= 50) & (np.array(STEPS) <= 100), 0.0, 0.4)
    runs = [(described(0, seed), evaluation(dip)) for seed in range(10)]
    runs += [(described(-0.1, seed), evaluation(0.4)) for seed in range(10)]
    found = summarised(*runs)
    (collapse,), (fall,) = rows_of("5a", found), rows_of("5b", found)
    assert collapse.estimate.effect == 0 and collapse.verdict == OPEN
    assert fall.estimate.effect == 1 and fall.verdict == HOLDS


@pytest.mark.parametrize("claim", ["6a", "6b"])
def test_against_grpo(claim):
    def make(seed, sign):
        noise = 0.01 * np.cos(7 * seed)
        gain = np.full(len(STEPS), 0.1 * sign)
        if claim == "6a":
            # Only the end counts: before it is the other way round.
            gain[:-3] *= -1
        else:
            gain[-3:] *= -1
        # At the learning rate of the sweeps AsymRE is as good as GRPO: the claim reads the best of its rates.
        return [
            (described(-0.1, seed, learning_rate=1e-4, swept=False), evaluation(0.5 + gain + noise)),
            (described(-0.1, seed, best=False), evaluation(0.5 + noise)),
            (described(None, seed, objective="grpo"), evaluation(0.5)),
        ]

    three_words(claim, make)
    # Three seeds decide nothing, however large the effect.
    three = [run for seed in range(3) for run in make(seed, 1)]
    (row,) = rows_of(claim, summarised(*three))
    assert row.verdict == OPEN and row.estimate.smallest_p == 0.25 and not row.tested


def test_a_small_difference_from_grpo_does_not_matter():
    def make(seed):
        gain = 0.01 + 0.005 * np.cos(7 * seed)
        yield described(-0.1, seed), evaluation(0.5 + gain)
        yield described(None, seed, objective="grpo"), evaluation(0.5)

    assert verdicts("6b", *(run for seed in range(10) for run in make(seed))) == EQUAL


def test_noise_between_asymre_and_grpo_is_not_decided():
    rng = np.random.default_rng(0)
    runs = []
    for seed in range(10):
        runs.append((described(-0.1, seed), evaluation(0.5 + 0.1 * rng.normal())))
        runs.append((described(None, seed, objective="grpo"), evaluation(0.5 + 0.1 * rng.normal())))
    assert verdicts("6a", *runs) == OPEN


def test_pairs_are_of_one_seed_and_one_base_policy():
    runs = []
    for seed in range(10):
        # By seed alone, AsymRE of one base policy would meet GRPO of another.
        for base_seed, level in ((seed, 0.3), (seed + 100, 0.6)):
            own = {"seed": seed, "base_seed": base_seed}
            if level == 0.3 or seed < 5:
                runs.append((described(-0.1, **own), evaluation(level + 0.1)))
            runs.append((described(None, objective="grpo", **own), evaluation(level)))
    (row,) = rows_of("6a", summarised(*runs))
    assert row.estimate.effect == pytest.approx(0.1) and row.runs.startswith("15 pairs")
    assert "base policies of their own" in row.seeds


def test_entropy_falls_faster():
    def make(seed, sign):
        for delta_v in (-0.3, -0.1, 0.1):
            rate = 0.0005 * (1 + sign * delta_v + 0.01 * np.sin(seed + 10 * delta_v))
            yield (
                described(delta_v, seed),
                evaluation(0.4, entropy=0.5 - rate * np.array(STEPS) + 0.01 * seed),
            )

    three_words("7b", make)
    three_words("7c", make)


def test_other_models_and_data_sets_are_claim_8_and_rows_without_runs_stay():
    runs = [(described(-0.1, seed, model="llama-3b", dataset="math"), evaluation(0.4)) for seed in range(10)]
    rows = corrected(training.training_rows(summarised(*runs), SPEC))
    by_number = {}
    for row in rows:
        by_number.setdefault(row.number, []).append(row)
    (stable,) = (row for row in by_number["8.4a"] if row.verdict != OPEN)
    assert stable.subject == "Llama 3B on MATH" and stable.verdict == HOLDS
    assert stable.claim.source == "appendix C" != by_number["4a"][0].claim.source
    assert len(by_number["8.4a"]) == len(by_number["4a"]) == 1
    for row in by_number["4a"] + by_number["8.6a"]:
        assert (row.verdict, row.runs) == (OPEN, "no such runs")
    assert by_number["4a"][0].subject == "Llama 8B, Qwen 3B on MATH"


def test_claim_8_has_no_rows_where_no_other_model_or_data_set_is_shown():
    runs = [(described(-0.1, seed), evaluation(0.4)) for seed in range(2)]
    numbers = {row.number for row in training.training_rows(summarised(*runs), SPEC)}
    assert {"4a", "6a"} <= numbers and not {number for number in numbers if number.startswith("8")}


def test_a_row_pools_the_models_of_its_claim_block_by_block_and_says_what_each_gives():
    def pair(model, dataset, seed, gain):
        own = {"model": model, "dataset": dataset}
        # Models differ by more than the objectives do: only pairs within a block can tell.
        level = 0.3 if model == "llama-8b" else 0.6
        yield described(-0.1, seed, **own), evaluation(level + gain)
        yield described(None, seed, objective="grpo", **own), evaluation(level)

    subjects = (("llama-8b", "math", 0.1), ("qwen-3b", "math", 0.02), ("llama-8b", "numinamath", -0.05))
    runs = [run for *own, gain in subjects for seed in range(5) for run in pair(*own, seed, gain)]
    (main,) = rows_of("6a", summarised(*runs))
    assert main.runs.startswith("10 pairs") and main.verdict == HOLDS
    assert main.subject == "Llama 8B, Qwen 3B on MATH" and main.parts == "llama-8b 0.1, qwen-3b 0.02"
    assert main.estimate.effect == pytest.approx(0.06)
    assert "(llama-8b 0.1, qwen-3b 0.02)" in table.cells(main)[4]
    (other,) = rows_of("8.6a", summarised(*runs))
    assert other.subject == "Llama 8B on NuminaMath" and other.runs.startswith("5 pairs") and not other.parts

    # Shares and orders pool blocks, too.
    runs = [
        (described(v, seed, model=model), evaluation(0.4 + slope * v))
        for model, slope in (("llama-8b", 0.1), ("qwen-3b", 0.3))
        for v in (-0.3, -0.2, -0.1)
        for seed in range(3)
    ]
    (stable,), (faster,) = (rows_of(claim, summarised(*runs)) for claim in ("4a", "4d"))
    assert stable.runs.startswith("18 runs") and stable.parts == "llama-8b 0, qwen-3b 0"
    assert faster.estimate.effect == pytest.approx(0.02) and faster.parts == "llama-8b 0.01, qwen-3b 0.03"


def test_claim_8_and_the_papers_main_claims_are_corrected_apart():
    def row(number):
        return Row(number, TESTED, "A", Estimate(0.1, null=0.5, p=0.03, smallest_p=0.001), "runs")

    rows = corrected([row(number) for number in ("4a", "8.4a", "8.5", "A", "B")])
    np.testing.assert_allclose([r.p_corrected for r in rows], [0.03, 0.06, 0.06, 0.03, 0.03])


def test_on_policy_and_never_refreshed_runs_are_no_evidence_for_the_papers_claims():
    runs = [
        (described(0.0, seed, **other), evaluation(falling(100)))
        for seed in range(10)
        for other in ({"N": 1}, {"refreshed": False})
    ]
    assert {row.runs for row in training.training_rows(summarised(*runs), SPEC)} == {"no such runs"}


def test_a_diverged_run_has_collapsed_and_has_no_entropy():
    accuracy, entropy = np.full(len(STEPS), 0.4), np.full(len(STEPS), 0.5)
    # At the last point alone: two points in a row would never come.
    accuracy[-1], entropy[-1] = 0.0, np.nan
    (run,) = summarised((described(0.3), evaluation(accuracy, entropy=entropy))).to_dict("records")
    assert run["collapse"] == run["collapse_train"] == 400
    assert run["entropy_drop"] == pytest.approx(0)

    early = np.where(np.array(STEPS) < 20, 0.5, np.nan)
    runs = [
        (described(v, seed), evaluation(0.4, entropy=early if v == 0.3 else 0.5 - v * np.array(STEPS) / 400))
        for v in (0.1, 0.2, 0.3)
        for seed in range(10)
    ]
    row, *_ = rows_of("7b", summarised(*runs))
    assert "left out, diverged: 0.3" in row.detail and row.estimate.effect > 0
    row, *_ = rows_of("7c", summarised(*runs))
    assert "left out, diverged: 0.3" in row.detail and row.estimate.effect < 0


def test_measures_of_a_run_by_hand():
    steps = [0, 5, 10, 30]
    test = pd.Series([0.4, 0.6, 0.8, 0.4], index=steps)
    train = pd.Series([0.4, 0.4, 0.1, 0.1], index=steps)
    entropy = pd.Series([1.0, 0.5, 0.5, 0.0], index=steps)
    found = measures({"train_accuracy": train, "test_accuracy": test, "entropy": entropy}, 10)
    assert found["final_test"] == pytest.approx(0.6) and found["lost"] == pytest.approx(0.2)
    assert found["end_entropy"] == pytest.approx(1 / 3) and np.isnan(found["fall"])
    assert found["mean_test"] == pytest.approx((2.5 + 3.5 + 12) / 30)
    assert found["early_test"] == pytest.approx(0.6)
    assert found["entropy_drop"] == pytest.approx(1 - (3.75 + 2.5) / 10)
    assert np.isnan(found["collapse"]) and found["collapse_train"] == 10


def test_runs_are_compared_at_equal_steps():
    longer = evaluation(np.linspace(0, 1, 41), steps=np.arange(41) * 25)
    found = summarised((described(-0.1), longer), (described(None, objective="grpo"), evaluation(0.5)))
    assert set(found["last_step"]) == {400}
    assert found["final_test"].iloc[0] == pytest.approx(15 / 40)


# The bandit


@pytest.fixture(scope="module")
def bandit_tables():
    theorems = theorem_checks.theorem_sweep(
        reward_seed=43,
        instances=20,
        finite_instances=20,
        arms=20,
        learning_rate=1.0,
        steps=50,
        iterations=10,
    )
    threshold = experiments.threshold(arms=20, reward_seed=43, instances=10)
    limit = pd.DataFrame(
        {
            "curve": "simulated",
            "instance": np.repeat(np.arange(12), 4),
            "baseline": np.tile([0.0, 0.2, 0.4, 0.6], 12),
            "entropy": np.tile([2.0, 1.5, 1.6, 0.0], 12),
        }
    )
    return theorems, threshold, limit


def bandit_verdicts(theorems, threshold, limit):
    first, last = bandit_rows(theorems, threshold, limit)
    found = {}
    for row in corrected([*first, *last]):
        found.setdefault(row.number, []).append(row.verdict)
    return found


def test_theorems_hold_and_every_exception_is_seen(bandit_tables):
    theorems, threshold, limit = bandit_tables
    sound = bandit_verdicts(*bandit_tables)
    assert {key: set(sound[key]) for key in ("1a", "1b", "1c", "1d", "2a", "2b", "2c")} == dict.fromkeys(
        ("1a", "1b", "1c", "1d", "2a", "2b", "2c"), {HOLDS}
    )
    assert len(sound["1a"]) == 4 and sound["7a"] == [HOLDS]
    for number, check, wrong in (
        ("1a", "deviation", 0.1),
        ("1b", "nested", 1),
        ("1c", "single", 2),
        ("1d", "prompt", 1e-6),
        ("2a", "rises", -1e-6),
        ("2b", "optimal_under", 0),
        ("2c", "optimal_over", 1),
    ):
        broken = theorems.copy()
        broken.loc[broken.index[broken["check"] == check][0], "value"] = wrong
        assert FAILS in bandit_verdicts(broken, threshold, limit)[number]
        assert OPEN in bandit_verdicts(theorems[theorems["check"] != check], threshold[:0], limit)[number]


def test_figure_6_counts_for_the_threshold(bandit_tables):
    theorems, threshold, limit = bandit_tables
    for number, side in (("2b", threshold["from_threshold"] < 0), ("2c", threshold["from_threshold"] > 0)):
        ends = threshold.index[side & np.isinf(threshold["iteration"])]
        broken = threshold.copy()
        broken.loc[ends[0], "reward"] = broken["best_reward"][ends[0]] - (0.1 if number == "2b" else 0)
        assert bandit_verdicts(theorems, broken, limit)[number] == [FAILS]


@pytest.mark.parametrize("worse, word", [(20, HOLDS), (0, FAILS), (10, OPEN)])
def test_near_the_critical_value_and_bandit_entropy(bandit_tables, worse, word):
    theorems, threshold, limit = bandit_tables
    theorems = theorems.copy()
    theorems.loc[theorems["check"] == "finite_lower", "value"] = 0.5
    for check in ("finite_near", "finite_nearest"):
        theorems.loc[theorems["check"] == check, "value"] = np.where(np.arange(20) < worse, 0.4, 0.6)
    limit = pd.DataFrame(
        {
            "curve": "simulated",
            "instance": np.repeat(np.arange(20), 2),
            "baseline": np.tile([0.0, 0.5], 20),
            "entropy": [e for i in range(20) for e in ((2, 1) if i < worse else (1, 2))],
        }
    )
    found = bandit_verdicts(theorems, threshold, limit)
    assert found["3a"] == found["3b"] == found["7a"] == [word]


# A base policy for each pair


def first_cycle(rare):
    """Pass rates of five problems before and after: never, rarely (twice), often, always solved."""
    rates = [[0.0, 0.1, 0.2, 0.6, 1.0], rare if rare is None else [0.9, rare - 0.1, rare + 0.1, 0.9, 1.0]]
    accuracy = [0.5, 0.0 if rare is None else 0.5]
    columns = {"step": [0, 100], "split": "test", "temperature": 1.0, "top_p": 1.0, "accuracy": accuracy}
    return pd.DataFrame(columns | {"entropy": [0.5, np.nan if rare is None else 0.5], "pass_rates": rates})


def own_policies(seeds, sign, tapered_sign=None):
    """Runs and first cycles in which every statement is true (sign 1) or false (-1)."""
    tapered_sign = sign if tapered_sign is None else tapered_sign
    runs, cycles = [], []
    for seed in range(seeds):
        own = {"base_seed": seed}
        noise = 0.01 * np.cos(7 * seed)
        slow = {"swept": False, "learning_rate": 5e-5} | own
        good, bad = falling(1000) + noise, falling(100 - 25 * (seed % 2)) + noise * (np.array(STEPS) < 50)
        stable, collapsing = (good, bad)[::sign]
        swept = {-0.5: stable, -0.1: stable, 0: collapsing, 0.1: collapsing}
        runs += [(described(v, seed, best=False, **own), evaluation(a)) for v, a in swept.items()]
        runs.append((described(0, seed, N=1, best=False, **own), evaluation(stable)))
        level = 0.4 + 0.1 * sign + noise
        runs.append((described(-0.1, seed, **slow), evaluation(level)))
        runs.append((described(0, seed, **slow), evaluation(level)))
        runs.append((described(None, seed, objective="grpo", **own), evaluation(0.4)))
        taper = {"objective": "asymre_tapered"}
        for v in (-0.1, 0):
            gain = 0.2 * tapered_sign + noise * v
            runs.append((described(v, seed, **slow | taper), evaluation(level + gain)))
        runs.append((described(0, seed, swept=False, best=False, **own, **taper), evaluation(stable)))
        rare = {-0.5: 0.4 - 0.1 * sign + noise, -0.1: 0.4}
        cycles += [(described(v, seed, best=False, **own), first_cycle(r)) for v, r in rare.items()]
        cycles.append((described(-0.1, seed, **slow), first_cycle(0.4)))
        cycles.append((described(-0.1, seed, **slow | taper), first_cycle(0.4 - 0.1 * tapered_sign + noise)))
    return runs, cycles


def own_policy_verdicts(runs, cycles):
    summed = cycle_summaries([run for run, _ in cycles], {run.input: table for run, table in cycles})
    rows = corrected(own_policy_rows(summarised(*runs), summed, SPEC))
    return {(row.number, row.claim.statement): row for row in rows}


def test_the_primary_table_says_each_word():
    for seeds, sign, word in ((12, 1, HOLDS), (12, -1, FAILS), (2, 1, OPEN)):
        found = own_policy_verdicts(*own_policies(seeds, sign))
        assert [key[0] for key in found] == (
            ["4a", "4a", "4b", "4b", "4e", "4f", "5a", "5b", "5c", "6a", "6b", "A", "D"]
            + ["T1", "T1", "T2", "T3", "T4"]
        )
        assert {key: row.verdict for key, row in found.items()} == dict.fromkeys(found, word)
    # The unit is a base policy: one run of each in every share and pair.
    for row in found.values():
        assert re.match("2 (runs, delta_v|pairs)", row.runs) and "base policies of their own" in row.seeds


def test_tapered_rows_read_tapered_runs():
    """What AsymRE does decides nothing about them."""
    found = own_policy_verdicts(*own_policies(12, 1, tapered_sign=-1))
    words = {key[0]: row.verdict for key, row in found.items()}
    assert words["T1"] == words["T4"] == FAILS and words["D"] == words["6a"] == HOLDS


def test_rare_problems_of_a_run_by_hand():
    run = described(-0.5)
    (summary,) = cycle_summaries([run], {run.input: first_cycle(0.25)}).to_dict("records")
    assert summary["rare"] == pytest.approx(0.25)
    (summary,) = cycle_summaries([run], {run.input: first_cycle(None)}).to_dict("records")
    assert summary["rare"] == 0


# Beyond the paper


def test_objectives_say_each_word():
    others = {"asymre_tis": (-0.1, 0.0), "asymre_tapered": (-0.1, 0.0), "topr": [None], "grpo": [None]}

    def runs(seeds, sign):
        for seed in range(seeds):
            noise = 0.01 * np.cos(3 * seed)
            for delta_v in (-0.1, 0.0):
                yield described(delta_v, seed), evaluation(0.5 + 0.1 * sign + noise)
                # At another learning rate than its best it counts for nothing.
                yield described(delta_v, seed, best=False, learning_rate=1e-3), evaluation(0.9)
            for objective, values in others.items():
                for delta_v in values:
                    yield described(delta_v, seed, objective=objective, swept=False), evaluation(0.5)

    for seeds, sign, word in ((10, 1, HOLDS), (10, -1, FAILS), (1, 1, OPEN)):
        rows = corrected(beyond_rows(summarised(*runs(seeds, sign)), SPEC))
        assert len(rows) == 6 and {row.verdict for row in rows} == {word}
        assert sum("delta_v = -0.1" in row.claim.statement for row in rows) == 4


# The pages


def written(folder, bandit_tables, runs=(), cycles=(), **fields):
    inputs = {}
    names = check_claims.BANDIT_INPUTS
    for name, data in [
        *zip(names, bandit_tables, strict=True),
        *((r.input, t) for r, t in (*runs, *cycles)),
    ]:
        inputs[name] = folder / "inputs" / name
        inputs[name].mkdir(parents=True)
        file = "data.parquet" if name in names else "evaluation.parquet"
        data.to_parquet(inputs[name] / file)
    out = folder / "out"
    out.mkdir()
    shown = {"runs": tuple(run for run, _ in runs), "first_cycle": tuple(run for run, _ in cycles)}
    spec = asdict(replace(SPEC, **shown, **fields))
    check_claims.make(build(ClaimsSpec, json.loads(json.dumps(spec))), inputs, out)
    return pd.read_csv(out / "claims.csv"), (out / "claims.md").read_text(), (out / "claims.html").read_text()


def readable(csv, md, page):
    """Every row stands in all three files, whole, and nothing is marked up that should not be."""
    lines = [line for line in md.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {len(table.COLUMNS) + 1}
    assert len(lines) == len(csv) + 2
    body = ElementTree.fromstring(page[page.index("<body") : page.index("</html>")])
    rows = [["".join(cell.itertext()).strip() for cell in row] for row in body.iter("tr")]
    assert len(rows) == len(csv) + 1
    assert not [node for tag in ("a", "ol") for node in body.iter(tag)]
    for texts, record in zip(rows[1:], csv.itertuples(), strict=True):
        assert texts[1] == record.statement and texts[-1] == record.verdict
        assert texts[0].split()[0] == str(record.claim) and "\\" not in "".join(texts)


def test_the_pages_say_what_another_grader_finds(tmp_path, bandit_tables):
    """Of real data alone, whose evaluations have its verdicts."""
    runs = [(described(v, seed), evaluation(0.4)) for v in PAPER_DELTA_V for seed in range(2)]
    assert "Graders" not in written(tmp_path / "stand-ins", bandit_tables, runs)[1]
    real = [(run, table.assign(**BESIDE)) for run, table in runs]
    _, md, page = written(tmp_path / "real", bandit_tables, real)
    for text in (md, page):
        assert "accuracy is 0.400 by the verifier that rewards and 0.450 by math-verify" in text
        assert "alone accepts 6.0% of the answers, the verifier alone 1.0%" in text
        assert "test problems of MATH, mean over the ends of 16 runs" in text


def test_the_first_page_of_the_report_counts_all_rows_and_is_short():
    estimate = Estimate(1.0, 0.5, 1.5, 0.001, 0.001)
    rows = [Row(number, TESTED, "bandit", estimate, "runs") for number in ("1a", "4b", "8.4a")]
    page = table.first_page(rows, SPEC)
    tree = publish_doctree(page, settings_overrides={"report_level": 1, "halt_level": 2})
    found = [[cell.astext() for cell in row.children] for row in tree.findall(lambda n: n.tagname == "row")]
    assert [row[0][0] for row in found[1:]] == ["1", "4", "8"]
    assert sum(int(cell or 0) for row in found[1:] for cell in row[1:]) == 3
    assert len(page.splitlines()) < 70


def test_the_script_writes_three_readable_files(tmp_path, bandit_tables):
    runs = [
        (described(v, seed, objective=objective), evaluation(0.4 + 0.01 * seed))
        for objective, values in (("asymre", PAPER_DELTA_V), ("grpo", [None]))
        for v in values
        for seed in range(3)
    ]
    runs.append((described(-0.1, model="llama-3b"), evaluation(0.4)))
    csv, md, page = written(tmp_path, bandit_tables, runs)
    readable(csv, md, page)
    assert csv["claim"].astype(str).str[0].is_monotonic_increasing
    assert set(csv["claim"].astype(str).str[0]) == set("12345678")
    assert all(word in md and word in page for word in (HOLDS, OPEN))


@pytest.mark.filterwarnings("error")
def test_a_smoke_run_decides_nothing_and_breaks_nothing(tmp_path, bandit_tables):
    steps = [0, 1, 2, 3, 4]
    smoke = {"N": 2}
    runs = [
        (described(v, 0, objective=objective, **smoke), evaluation(0.0, steps=steps))
        for v, objective in ((-0.1, "asymre"), (0.0, "asymre"), (None, "grpo"))
    ]
    csv, md, page = written(tmp_path, bandit_tables, runs)
    readable(csv, md, page)
    assert set(csv.loc[csv["subject"] != "bandit", "verdict"]) == {OPEN}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["claims_seeds", "claims_beyond"])
def test_the_other_tables_are_readable_and_may_be_empty_of_runs(tmp_path, bandit_tables, name):
    runs, cycles = own_policies(3, 1)
    cycles = [(replace(run, input=f"{run.input}/first_cycle"), table) for run, table in cycles]
    note = "Three base policies."
    csv, md, page = written(tmp_path / "full", bandit_tables, runs, cycles, table=name, note=note)
    readable(csv, md, page)
    assert f"- {note}" in md and note in page
    empty, md, page = written(tmp_path / "empty", bandit_tables, table=name)
    assert len(empty) == 0 < len(csv)
    assert "0 rows" in md and "0 rows" in page


@pytest.mark.parametrize("column", ["entropy", "pass_rates"])
def test_an_evaluation_that_lacks_a_measure_is_named(tmp_path, bandit_tables, column):
    runs, cycles = [(described(-0.1), evaluation(0.4))], [(described(-0.1, N=50), first_cycle(0.3))]
    broken = runs if column == "entropy" else cycles
    broken[0] = (broken[0][0], broken[0][1].drop(columns=column))
    with pytest.raises(
        job.InputError, match=f"{broken[0][0].input}.*evaluation.parquet.*no (column )?{column}"
    ):
        written(tmp_path, bandit_tables, runs, cycles, table="claims_seeds")
