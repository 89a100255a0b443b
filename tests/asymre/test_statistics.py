"""Intervals and p-values against hand values; tests that keep their level and cannot be talked into more."""

from itertools import permutations, product

import numpy as np
import pytest

from asymre.metrics.statistics import holm, mean_interval, order, paired_difference, risk_difference, share


def test_share_by_hand():
    none = share(0, 7, 0.5)
    # Clopper and Pearson with no success: 1 - (alpha / 2)^(1 / n).
    assert (none.effect, none.low) == (0, 0) and none.high == pytest.approx(1 - 0.025 ** (1 / 7))
    assert none.p == none.smallest_p == pytest.approx(2 / 2**7)
    three = share(3, 4, 0.5)
    assert three.effect == 0.75 and three.p == pytest.approx(10 / 16) and three.smallest_p == 2 / 16
    assert share(1, 2, 0.25).smallest_p == pytest.approx(1 / 16)
    assert np.isnan(share(0, 0, 0.5).effect) and share(0, 0, 0.5).smallest_p == 1


def test_risk_difference_by_hand():
    first = [True, True, True, True, True, True, False, True]
    second = [False, False, False, False, False, False, True, True]
    estimate = risk_difference(first, second)
    assert estimate.effect == pytest.approx(5 / 8) and estimate.p == pytest.approx(2 * (1 + 7) / 2**7)
    # With half a pair in each of the four cells: 6.5 and 1.5 of 10 differ.
    half = 1.959964 * ((8 - 5**2 / 10) / 100) ** 0.5
    assert (estimate.low, estimate.high) == pytest.approx((0.5 - half, 0.5 + half))
    # What eight pairs could reach does not depend on how many of them differ.
    assert estimate.smallest_p == 2 / 2**8
    same = risk_difference([True] * 8, [True] * 8)
    assert same.effect == 0 and same.p == 1 and same.smallest_p == 2 / 2**8 and same.low < 0 < same.high
    assert np.isnan(risk_difference([], []).effect) and risk_difference([], []).smallest_p == 1
    assert risk_difference([True] * 9, [False] * 9).high == 1


def test_students_interval_by_hand():
    # t(0.975, 2) = 4.302653; the standard deviation of 1, 2, 3 is 1.
    assert mean_interval([1, 2, 3]) == pytest.approx((2, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))
    assert mean_interval([5])[0] == 5 and np.isnan(mean_interval([5])[1:]).all()
    assert np.isnan(mean_interval([])).all()


def test_sign_flips_against_all_flips():
    differences = np.array([0.3, -0.1, 0.2, 0.25, 0.4, -0.05])
    flipped = [(differences * signs).mean() for signs in product((1, -1), repeat=6)]
    above = np.mean([value >= differences.mean() - 1e-12 for value in flipped])
    estimate = paired_difference(differences)
    assert estimate.p == pytest.approx(2 * above) and estimate.effect == pytest.approx(differences.mean())
    assert estimate.smallest_p == 2 / 2**6


@pytest.mark.parametrize("pairs, smallest", [(0, 1), (1, 1), (2, 0.5), (3, 0.25), (10, 2 / 1024)])
def test_what_a_number_of_pairs_can_reach(pairs, smallest):
    estimate = paired_difference(np.arange(1.0, pairs + 1))
    assert estimate.smallest_p == pytest.approx(smallest)
    if pairs > 1:
        assert estimate.p == pytest.approx(smallest)


def test_order_against_all_permutations():
    values = np.array([[0.1, 0.2, 0.5], [0.4, 0.45, 0.9]])
    ranks = np.array([-1, 0, 1])

    def slope(table):
        return np.mean([np.polyfit(ranks, row, 1)[0] for row in table])

    every = [slope(table) for table in product(*(list(permutations(row)) for row in values))]
    estimate = order(values, 1)
    assert estimate.p == pytest.approx(2 * np.mean(np.array(every) >= slope(values) - 1e-12))
    assert estimate.smallest_p == pytest.approx(2 / 36)
    # The pair that supports the order least.
    assert estimate[:3] == pytest.approx(mean_interval([0.1, 0.05]))
    # Against it, the pair that contradicts it most.
    assert order(values, -1)[:3] == pytest.approx(mean_interval([0.3, 0.45]))
    assert order(values, -1).p == estimate.p


def test_an_order_with_one_pair_reversed_is_not_decided():
    values = np.array([[0.1, 0.9, 0.8]]) + 0.001 * np.arange(8)[:, None]
    assert order(values, 1).p == 1 and order(values, 1).effect == pytest.approx(-0.1)
    # The reverse order is refuted by the first pair.
    assert order(values, -1).p < 0.01 and order(values, -1).effect == pytest.approx(0.8)


def test_order_needs_two_seeds_and_two_settings():
    for values in (np.empty((0, 3)), np.empty((3, 0)), np.ones((3, 1))):
        assert np.isnan(order(values, 1).effect) and order(values, 1).smallest_p == 1
    one = order([[0.0, 1.0, 2.0]], 1)
    assert one.effect == 1 and np.isnan(one.p) and one.smallest_p == 1
    assert order(np.ones((3, 4)), 1).p == 1


def test_many_permutations_are_sampled_the_same_way_each_time():
    values = np.random.default_rng(0).random((5, 8))
    np.testing.assert_equal(order(values, 1), order(values, 1))
    assert order(values + np.arange(8), 1).p == order(values - np.arange(8), -1).p == pytest.approx(1e-4)


def test_tests_keep_their_level_without_an_effect():
    rng = np.random.default_rng(1)
    orders = [order(rng.random((3, 3)), 1).p for _ in range(200)]
    signs = [paired_difference(rng.normal(size=8)).p for _ in range(200)]
    # 5 % of 200 is 10; 20 or more would happen once in some 500 times.
    assert sum(p < 0.05 for p in orders) < 20 and sum(p < 0.05 for p in signs) < 20


def test_holm_by_hand():
    # Sorted .01, .02, .03, .04 times 4, 3, 2, 1: .04, .06, .06, .04, of which the last must not fall.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6]) == pytest.approx([1, 1])
    assert len(holm([])) == 0
