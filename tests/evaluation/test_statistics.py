import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fer_lib.evaluation import statistics

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")
FRACTIONS = st.lists(st.floats(0, 1), min_size=2, max_size=30)


def test_t_interval_of_known_values():
    # 1, 2, 3: mean 2, standard error 1 / sqrt(3), t(0.975, 2) = 4.302653
    mean, low, high = statistics.t_interval([1, 2, 3])
    assert mean == 2
    assert low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)
    assert high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)


def test_t_interval_of_equal_values_has_no_width():
    assert statistics.t_interval([0.25, 0.25, 0.25]) == (0.25, 0.25, 0.25)


def test_one_value_has_a_mean_and_no_interval():
    mean, low, high = statistics.t_interval([0.6])
    assert mean == 0.6 and math.isnan(low) and math.isnan(high)


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], [1.0, math.nan], [math.inf]])
def test_t_interval_refuses_what_has_no_mean(values):
    with pytest.raises(ValueError, match="values: found"):
        statistics.t_interval(values)


@given(FRACTIONS)
def test_t_interval_contains_the_mean(values):
    mean, low, high = statistics.t_interval(values)
    assert low <= mean <= high
    assert mean == pytest.approx(np.mean(values))


def test_t_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(0)
    intervals = [statistics.t_interval(random.normal(0.6, 0.01, 5)) for _ in range(1000)]
    assert np.mean([low <= 0.6 <= high for _, low, high in intervals]) == pytest.approx(0.95, abs=0.02)


def test_the_interval_of_a_standard_deviation_is_that_of_the_chi_squared_tables():
    assert statistics.deviation_interval(2.0, 9) == pytest.approx((2 * 0.68784, 2 * 1.82562), abs=1e-4)


def test_wilson_of_known_values():
    # 50 of 100: centre 0.5, half width z sqrt(n/4 + z^2/4) / (n + z^2) with z = 1.959964
    assert statistics.wilson(50, 100) == pytest.approx((0.403832, 0.596168), abs=1e-6)
    # 0 of 10: (0, z^2 / (n + z^2))
    assert statistics.wilson(0, 10) == pytest.approx((0, 0.277533), abs=1e-6)


def test_wilson_at_the_size_of_a_test_set():
    low, high = statistics.wilson(0.7 * 3589, 3589)
    assert (high - low) / 2 == pytest.approx(0.015, abs=0.0005)  # the field's rule of thumb: +- 1.5 points


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_wilson_lies_in_the_unit_interval_and_contains_the_share(n, share):
    correct = share * n
    low, high = statistics.wilson(correct, n)
    assert 0 <= low <= correct / n <= high <= 1


@given(st.integers(1, 1000), st.floats(0, 1))
def test_wilson_narrows_with_more_rows(n, share):
    low, high = statistics.wilson(share * n, n)
    narrow = statistics.wilson(share * 4 * n, 4 * n)
    assert narrow[1] - narrow[0] < high - low


@pytest.mark.parametrize(("correct", "n"), [(1, 0), (-1, 5), (6, 5), (math.nan, 5)])
def test_wilson_refuses_impossible_counts(correct, n):
    with pytest.raises(ValueError, match="correct, n: found"):
        statistics.wilson(correct, n)


RIGHT = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60).map(lambda rows: np.array(rows).T)


def test_mcnemar_of_known_values():
    # of 6 rows on which they differ 1 went to the first: 2 x (1 + 6) / 2^6
    first, second = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0], bool), np.array([1, 1, 0, 1, 1, 1, 1, 1, 0], bool)
    assert statistics.mcnemar(first, second) == pytest.approx(2 * 7 / 64)
    assert statistics.mcnemar(first, first) == 1


@given(RIGHT)
def test_mcnemar_is_the_sign_test_of_the_rows_that_differ(right):
    first, second = right
    won, lost = int((second & ~first).sum()), int((first & ~second).sum())
    expected = stats.binomtest(won, won + lost).pvalue if won + lost else 1
    assert statistics.mcnemar(first, second) == pytest.approx(expected)
    assert statistics.mcnemar(second, first) == statistics.mcnemar(first, second)


@given(RIGHT)
def test_the_accuracy_difference_lies_in_its_interval_and_turns_its_sign(right):
    difference, low, high = statistics.accuracy_difference(*right)
    assert difference == pytest.approx(right[1].mean() - right[0].mean())
    assert -1 <= low <= difference + 1e-12 and difference - 1e-12 <= high <= 1
    assert statistics.accuracy_difference(*right) == (difference, low, high)
    assert statistics.accuracy_difference(right[1], right[0])[0] == pytest.approx(-difference)


def test_the_accuracy_difference_has_the_interval_of_scipy_s_paired_bootstrap():
    random = np.random.default_rng(0)
    first, second = random.random(500) < 0.6, random.random(500) < 0.66
    ours = statistics.accuracy_difference(first, second)
    theirs = stats.bootstrap(
        (first.astype(float), second.astype(float)),
        lambda one, two, axis: two.mean(axis=axis) - one.mean(axis=axis),
        paired=True, vectorized=True, method="percentile", n_resamples=5000, rng=1,
    ).confidence_interval  # fmt: skip
    assert ours[1:] == pytest.approx((theirs.low, theirs.high), abs=0.005)


def test_independent_difference_of_a_published_example():
    # Newcombe 1998 (Statistics in Medicine 17, 873-890), table II, example a, method 10
    difference, low, high = statistics.independent_difference(56, 70, 48, 80)
    assert difference == pytest.approx(0.2)
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize("compare", [statistics.mcnemar, statistics.accuracy_difference])
@pytest.mark.parametrize("rows", [([], []), ([True], [True, False]), ([[True]], [[True]])])
def test_only_the_same_rows_can_be_compared(compare, rows):
    with pytest.raises(ValueError, match="first, second: found shapes"):
        compare(*map(np.array, rows))


def test_impossible_counts_have_no_difference():
    with pytest.raises(ValueError, match="correct, n: found 3 of 2"):
        statistics.independent_difference(1, 2, 3, 2)


def test_mean_difference_is_welch_s():
    first, second = [3.0, 4.0, 5.0, 8.0], [1.0, 2.0, 2.5]
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    found = statistics.mean_difference(first, second)
    assert found == pytest.approx((5 - 5.5 / 3, expected.low, expected.high))
    assert statistics.mean_difference([1, 1], [0, 0]) == (1, 1, 1)


@pytest.mark.parametrize("values", [[], [1.0], [[1.0, 2.0]], [1.0, math.nan]])
def test_mean_difference_needs_two_values_on_either_side(values):
    with pytest.raises(ValueError, match="expected a series of 2 finite"):
        statistics.mean_difference(values, [1, 2])
    with pytest.raises(ValueError, match="expected a series of 2 finite"):
        statistics.mean_difference([1, 2], values)


def test_a_difference_that_is_all_mix_of_kinds_vanishes_at_equal_mix():
    kinds, others = np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1, 1, 2])
    right = (kinds == 0).astype(float), (others == 0).astype(float)
    assert statistics.mean_difference(*right)[0] == pytest.approx(3 / 4 - 1 / 6)
    assert statistics.standardised_difference(right[0], kinds, right[1], others) == (0, 0, 0)
    with pytest.raises(ValueError, match="no kind in common"):
        statistics.standardised_difference(right[0], kinds + 5, right[1], others)


@given(RIGHT, RIGHT)
def test_of_one_kind_only_the_two_differences_are_the_same(first, second):
    one, two = first[0].astype(float), second[0].astype(float)
    kinds = [np.zeros(len(values), int) for values in (one, two)]
    difference, low, high = statistics.standardised_difference(one, kinds[0], two, kinds[1])
    assert difference == pytest.approx(one.mean() - two.mean()) and low <= difference <= high
