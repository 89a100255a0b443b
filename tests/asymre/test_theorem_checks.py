"""The checks of the theorems agree with the closed forms, and find what contradicts them."""

import numpy as np
import pytest

from asymre.bandit import simulation, theorem_checks, theory

SETTINGS = {"finite_instances": 40, "arms": 20, "learning_rate": 1.0, "steps": 100, "iterations": 5}


@pytest.fixture(scope="module")
def table():
    return theorem_checks.theorem_sweep(reward_seed=0, instances=40, **SETTINGS)


def values(table, check, regime=None):
    rows = table[table["check"] == check]
    return rows["value"] if regime is None else rows.loc[rows["regime"] == regime, "value"]


def test_all_checks_are_there_for_every_instance(table):
    n = 40
    counts = table.groupby(["check", "regime"]).size().to_dict()
    over = counts.pop(("optimal_over", ""))
    assert 0 < over < 3 * n and over % 3 == 0
    assert counts == {
        ("deviation", "below"): 4 * n,
        ("deviation", "at"): n,
        ("deviation", "tied"): n,
        ("deviation", "above"): 4 * n,
        ("single", "above"): 4 * n,
        ("nested", ""): 2 * 39 * n,
        ("optimal_under", ""): 3 * n,
        ("rises", ""): 3 * n + over,
        ("prompt", ""): 4 * n,
        ("finite_nearest", ""): n,
        ("finite_near", ""): n,
        ("finite_lower", ""): n,
    }
    below = table[table["check"].isin(["nested", "optimal_under", "optimal_over", "rises", "prompt"])]
    assert (below["delta_v"] < 0).all()


def test_the_theorems_hold_on_them(table):
    for regime in ("below", "at", "tied", "above"):
        assert values(table, "deviation", regime).max() < 1e-5
    assert (values(table, "nested") == 0).all() and (values(table, "single") == 1).all()
    assert (values(table, "optimal_under") == 1).all() and (values(table, "optimal_over") == 0).all()
    assert values(table, "prompt").max() < 1e-12
    assert (values(table, "rises").dropna() > 0).all() and values(table, "rises").notna().any()


def test_a_wrong_closed_form_is_found(monkeypatch):
    exact = theory.limit_policy

    def wrong(mu, rewards, baseline, pi_0=None):
        return exact(mu, rewards, np.asarray(baseline) - 0.01, pi_0)

    monkeypatch.setattr(theory, "limit_policy", wrong)
    few = theorem_checks._few_arms(np.random.default_rng(0), 20)
    found = {rows["regime"][0]: rows["value"] for rows in theorem_checks._limits(*few)}
    assert (found["below"] > 1e-4).mean() > 0.5 and found["tied"].max() > 1e-4


def test_arms_that_enter_are_counted(monkeypatch):
    mu, rewards = simulation.instances(0, 3, 6)
    assert (theorem_checks._nested(mu, rewards)["value"] == 0).all()
    # Read from the largest V to the smallest, supports grow.
    monkeypatch.setattr(theorem_checks, "NESTED_GRID", theorem_checks.NESTED_GRID[::-1])
    entered = theorem_checks._nested(mu, rewards).groupby("instance")["value"].sum()
    limits = [theory.limit_policy(mu, rewards, theory.value(mu, rewards) + v) > 0 for v in (-1, -0.001)]
    np.testing.assert_array_equal(entered, (limits[0] & ~limits[1]).sum(-1))
    assert entered.sum() > 0


def test_a_wrong_threshold_is_found(monkeypatch):
    exact = theory.improvement_threshold
    monkeypatch.setattr(theory, "improvement_threshold", lambda mu, r: exact(mu, r) + 0.05)
    rows = list(theorem_checks._improvement(np.random.default_rng(0), 20))
    under = [table for table in rows if table["check"][0] == "optimal_under"]
    assert (under[0]["value"] == 0).any()


def test_a_wrong_pass_rate_after_a_cycle_is_found(monkeypatch):
    exact = theory.pass_rate_after_cycle
    monkeypatch.setattr(theory, "pass_rate_after_cycle", lambda p, v, **r: exact(p, v * 1.01, **r))
    assert (theorem_checks._prompts(0, 40)["value"] > 1e-4).mean() > 0.1


def test_finite_steps_are_those_of_figure_2(table):
    mu, rewards = simulation.instances(0, 40, 20)
    baseline = theory.value(mu, rewards) + theorem_checks.FINITE["finite_near"]
    policies = simulation.improve_expected(mu, rewards, baseline, learning_rate=1.0, steps=100, iterations=5)
    np.testing.assert_allclose(values(table, "finite_near"), theory.value(policies[-1], rewards))
    assert (values(table, "finite_lower") != values(table, "finite_near").to_numpy()).all()


def test_the_offsets_are_those_of_figure_2():
    mu, rewards = simulation.demo_instance(43, 100)
    v_mu = theory.value(mu, rewards)
    assert v_mu + theorem_checks.FINITE["finite_near"] == pytest.approx(0.525, abs=1e-4)
    assert v_mu + theorem_checks.FINITE["finite_lower"] == pytest.approx(0.4, abs=1e-4)
    assert v_mu + theorem_checks.FINITE["finite_nearest"] == pytest.approx(0.54, abs=1e-4)


def test_the_same_seed_gives_the_same_table(table):
    again = theorem_checks.theorem_sweep(reward_seed=0, instances=40, **SETTINGS)
    assert again.equals(table)
