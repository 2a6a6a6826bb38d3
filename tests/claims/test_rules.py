"""The rules, branch by branch, on made-up numbers; and the statistics that only they use."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_lib.claims import ledger, rules
from fer_lib.claims.rules import INCONCLUSIVE, NOT_REPRODUCED, NOT_TESTABLE, REPRODUCED
from fer_lib.evaluation import statistics

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")
PERCENT = st.lists(st.floats(1, 99), min_size=3, max_size=10)


# ---- statistics


def test_prediction_interval_of_known_values():
    # 1, 2, 3: mean 2, s 1, t(0.975, 2) = 4.302653, times sqrt(1 + 1/3)
    mean, low, high = statistics.prediction_interval([1, 2, 3])
    half = 4.302653 * math.sqrt(4 / 3)
    assert (mean, low, high) == pytest.approx((2, 2 - half, 2 + half), abs=1e-5)
    _, low, high = statistics.prediction_interval([2, 2, 2], noise=0.5)
    assert (low, high) == pytest.approx((2 - 1.959964 * 0.5, 2 + 1.959964 * 0.5), abs=1e-6)
    _, low, _ = statistics.prediction_interval([1, 2, 3], noise=0.5)
    assert 2 - low == pytest.approx(math.hypot(half, 1.959964 * 0.5), abs=1e-5)


def test_prediction_interval_needs_two_values_and_a_noise_that_is_one():
    mean, low, high = statistics.prediction_interval([0.6])
    assert mean == 0.6 and math.isnan(low) and math.isnan(high)
    with pytest.raises(ValueError, match="noise: found -1"):
        statistics.prediction_interval([1, 2], noise=-1)
    with pytest.raises(ValueError, match="values: found"):
        statistics.prediction_interval([])


def test_prediction_interval_holds_the_next_value_as_often_as_it_says():
    random = np.random.default_rng(0)
    draws = random.normal(60, 1, (600, 4))
    held = [low <= new <= high for *old, new in draws for _, low, high in [statistics.prediction_interval(old)]]
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


def test_holm_of_known_values():
    # sorted .01 .03 .04: times 3, 2, 1, then the running maximum
    assert statistics.holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])


@settings(max_examples=10)  # statsmodels calls the garbage collector each time
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values):
    corrected = statistics.holm(p_values)
    assert (corrected >= np.array(p_values) - 1e-12).all() and (corrected <= 1).all()
    assert (np.diff(corrected[np.argsort(p_values, kind="stable")]) >= -1e-12).all()


@pytest.mark.parametrize("p_values", [[], [1.2], [-0.1], [math.nan], [[0.1]]])
def test_holm_refuses_what_is_no_p_value(p_values):
    with pytest.raises(ValueError, match="p_values: found"):
        statistics.holm(p_values)


def test_rank_correlation_of_known_values():
    rho, low, high = statistics.rank_correlation([1, 2, 3, 4, 5], [1, 4, 9, 16, 30])
    assert rho == pytest.approx(1)
    # 10 pairs of rho 0.5: tanh(atanh(0.5) -+ 1.959964 / sqrt(7))
    first = list(range(10))
    second = [2, 0, 5, 1, 3, 8, 4, 9, 6, 7]
    rho, low, high = statistics.rank_correlation(first, second)
    expected = [math.tanh(math.atanh(rho) + sign * 1.959964 / math.sqrt(7)) for sign in (-1, 1)]
    assert rho == pytest.approx(1 - 6 * sum((a - b) ** 2 for a, b in zip(first, second)) / (10 * 99))
    assert (low, high) == pytest.approx(expected, abs=1e-6)
    for bad in ([1, 2, 3], [1, 1, 1, 1]):
        with pytest.raises(ValueError, match="expected two series"):
            statistics.rank_correlation(bad, [1, 2, 3, 4][: len(bad)])


# ---- accuracy


def test_accuracy_within_what_a_new_run_would_give():
    found = rules.accuracy(60.58, [60.1, 60.5, 60.9])
    assert found.verdict == REPRODUCED and found.measured == pytest.approx(60.5)
    assert found.interval == pytest.approx((60.5 - 4.302653 * 0.4 * math.sqrt(4 / 3), 62.487), abs=1e-3)


@pytest.mark.parametrize(("reported", "side"), [(57.0, "below"), (64.0, "above")])
def test_accuracy_outside_of_it(reported, side):
    found = rules.accuracy(reported, [60.1, 60.5, 60.9])
    assert found.verdict == NOT_REPRODUCED and side in found.because


def test_accuracy_of_two_seeds_or_one_decides_nothing():
    assert rules.accuracy(60.0, [60.0, 60.0])[:3] == (INCONCLUSIVE, 60.0, None)
    assert rules.accuracy(20.0, [60.0]).because == "1 seed, 3 are needed"


@pytest.mark.parametrize("reported", [60.0, 10.0])
def test_width_buys_no_verdict(reported):
    found = rules.accuracy(reported, [59.0, 60.0, 61.0])  # +- 4.97
    assert found.verdict == INCONCLUSIVE and "±5.0 points, wider than ±3" in found.because


def test_a_printed_number_stands_for_its_last_digit():
    values = [60.0, 60.0, 60.0]
    assert [rules.last_digit(x) for x in (60.58, 30.9, 62)] == [0.01, 0.1, 1]
    found = rules.accuracy(61, values)
    assert found.verdict == REPRODUCED
    assert found.because == "by its last printed digit only: 1.00 points outside what one new run would give"
    assert rules.accuracy(59.5, values).verdict == NOT_REPRODUCED  # printed with a digit more
    assert "0.10 points outside" in rules.accuracy(59.9, values).because
    assert rules.accuracy(61.1, values).verdict == NOT_REPRODUCED


def test_unknown_rows_widen_the_interval_by_their_sampling():
    values = [60.0, 60.1, 60.2]
    assert rules.accuracy(61.5, values).verdict == NOT_REPRODUCED
    found = rules.accuracy(61.5, values, rows=3589)  # +- hypot(0.497, 1.96 * 0.818)
    assert found.verdict == REPRODUCED
    assert found.interval[1] - found.measured == pytest.approx(1.678, abs=0.01)


@given(PERCENT)
def test_the_mean_is_never_refuted(values):
    assert rules.accuracy(float(np.mean(values)), values).verdict in (REPRODUCED, INCONCLUSIVE)


# ---- collapsed, behaviour


def test_collapsed_seeds_are_counted_not_averaged():
    # Their mean is 17.45, next to the reported 17.38: an interval around it would have held it.
    def judged(reported, *values):
        return rules.collapsed_accuracy(reported, values, [True] * len(values), 24.714)

    found = judged(17.38, 24.728, 13.346, 14.280)
    assert found[:2] == (INCONCLUSIVE, 0)
    assert found.because.startswith("collapsed: 24.73, 13.35, 14.28 %; 0 of 3")
    assert judged(17.38, 24.728, 13.346, 14.280, 24.728).verdict == NOT_REPRODUCED
    assert judged(24.72, *[24.728] * 4).verdict == REPRODUCED
    assert judged(24.72, *[24.714] * 4).verdict == REPRODUCED
    assert judged(24.72, *[24.735] * 4).verdict == NOT_REPRODUCED


@pytest.mark.parametrize(
    ("collapsed", "verdict"), [(1, INCONCLUSIVE), (2, INCONCLUSIVE), (3, INCONCLUSIVE), (4, NOT_REPRODUCED)]
)
def test_what_no_single_answer_scores_is_not_looked_for_among_collapsed_seeds(collapsed, verdict):
    values = [24.73] * collapsed + [55.48] * (4 - collapsed)
    found = rules.collapsed_accuracy(55.61, values, [value < 30 for value in values], 24.714)
    assert found[:2] == (verdict, 4 - collapsed)
    assert found.interval == statistics.wilson(4 - collapsed, 4)
    assert found.because.startswith(f"{collapsed} of 4 seeds collapsed: 24.73")


@pytest.mark.parametrize(
    ("k", "n", "verdict"),
    [
        (3, 3, INCONCLUSIVE), (4, 4, REPRODUCED), (0, 3, INCONCLUSIVE), (0, 4, NOT_REPRODUCED), (1, 1, INCONCLUSIVE),
        (5, 10, INCONCLUSIVE), (9, 10, REPRODUCED), (8, 10, INCONCLUSIVE), (1, 10, NOT_REPRODUCED),
    ],
)  # fmt: skip
def test_behaviour(k, n, verdict):
    found = rules.behaviour([True] * k + [False] * (n - k))
    assert found[:3] == (verdict, k, statistics.wilson(k, n))


@given(st.integers(0, 40), st.integers(0, 40))
def test_behaviour_and_its_opposite_get_opposite_verdicts(yes, no):
    if yes + no:
        opposite = {REPRODUCED: NOT_REPRODUCED, NOT_REPRODUCED: REPRODUCED, INCONCLUSIVE: INCONCLUSIVE}
        found = rules.behaviour([True] * yes + [False] * no).verdict
        assert rules.behaviour([False] * yes + [True] * no).verdict == opposite[found]


# ---- share


@pytest.mark.parametrize(
    ("k", "n", "low", "high", "verdict", "place"),
    [
        (95, 100, 80, 100, REPRODUCED, "within"), (95, 100, 90, 100, INCONCLUSIVE, "across an end of"),
        (95, 100, 0, 80, NOT_REPRODUCED, "outside"), (50, 1000, 40, 60, NOT_REPRODUCED, "outside"),
        (500, 1000, 40, 60, REPRODUCED, "within"), (5, 10, 40, 60, INCONCLUSIVE, "across an end of"),
        (0, 100, 0, 10, REPRODUCED, "within"), (100, 100, 95, 100, REPRODUCED, "within"),
    ],
)  # fmt: skip
def test_share(k, n, low, high, verdict, place):
    found = rules.share(k, n, low, high)
    assert found[:2] == (verdict, 100 * k / n)
    assert found.interval == tuple(100 * end for end in statistics.wilson(k, n))
    assert found.because == f"{k:,} of {n:,} faces: {place} {low} to {high} %"


def test_the_share_of_no_face_is_an_error():
    with pytest.raises(ValueError, match="correct, n: found 0 of 0"):
        rules.share(0, 0, 0, 10)


# ---- ordering


def test_an_order_that_holds_in_every_seed():
    found = rules.ordering([[5.0, 4.0, 3.0], [9.0, 8.0, 7.0]], [[0.001] * 3, [0.001] * 3])
    assert found[:2] == (REPRODUCED, 3.0) and found.because == "6 of 6 paired tests as claimed"


def test_an_order_that_one_seed_does_not_show():
    assert rules.ordering([[5.0, 4.0, 0.1]], [[0.001, 0.001, 0.9]]).verdict == INCONCLUSIVE


def test_an_order_that_goes_the_other_way_in_most_seeds_of_one_comparison():
    p_values = [[1e-6] * 3, [1e-6] * 3]
    found = rules.ordering([[5.0, 4.0, 3.0], [-2.0, -3.0, 1.0]], p_values)
    assert found.verdict == NOT_REPRODUCED and "2 the other way" in found.because
    assert rules.ordering([[5.0, 4.0, 3.0], [-2.0, 3.0, 1.0]], p_values).verdict == INCONCLUSIVE


def test_an_order_is_corrected_as_one_family():
    # 0.02 alone is significant; six times as many tests of a family are not.
    assert rules.ordering([[1.0] * 3], [[0.01] * 3]).verdict == REPRODUCED
    assert rules.ordering([[1.0] * 3] * 2, [[0.01] * 3] * 2).verdict == INCONCLUSIVE


def test_an_order_needs_three_seeds():
    found = rules.ordering([[5.0, 4.0]], [[1e-9, 1e-9]])
    assert found.verdict == INCONCLUSIVE and found.because.endswith("2 seeds, 3 are needed")


# ---- count, speed, quoted, relation


@pytest.mark.parametrize(
    ("reported", "measured", "verdict"),
    [
        (35887, 35887, REPRODUCED), (35887, 35886, NOT_REPRODUCED), (80, 79.998, REPRODUCED),
        (80, 79.4, NOT_REPRODUCED), (25.0, 25.04, REPRODUCED), (25.0, 25.06, NOT_REPRODUCED), (0, 1, NOT_REPRODUCED),
        ("happy", "happy", REPRODUCED), ("happy", "sad", NOT_REPRODUCED), ("7", 7, NOT_REPRODUCED),
    ],
)  # fmt: skip
def test_count(reported, measured, verdict):
    assert rules.count(reported, measured)[:2] == (verdict, measured)


def test_speed():
    assert rules.speed(20, [1.0, 2.0])[:2] == (REPRODUCED, 2.0)
    assert rules.speed(20, [21.0, 22.0]).verdict == NOT_REPRODUCED
    assert rules.speed(20, [19.0, 22.0])[:2] == (INCONCLUSIVE, 22.0)


def test_a_quotation_is_never_reproduced():
    assert rules.quoted(66, 75.2)[:2] == (NOT_REPRODUCED, 75.2)
    assert rules.quoted(66, 66).verdict == NOT_TESTABLE


def test_relation():
    alternating = [k % 2 * 100 + k for k in range(400)]
    assert rules.no_relation(range(400), np.random.default_rng(0).permutation(400).tolist()).verdict == REPRODUCED
    assert rules.no_relation(range(400), alternating).verdict == NOT_REPRODUCED
    assert rules.no_relation([22, 8, 16, 152, 16], [63, 68, 68.2, 69.7, 70.7]).verdict == INCONCLUSIVE


def test_every_rule_is_written_down():
    assert set(ledger.schema()["properties"]["kind"]["enum"]) <= set(rules.RULES)
    assert len(set(rules.VERDICTS)) == 4


# ---- no difference


def test_no_difference_is_no_significant_test_and_less_than_a_point():
    found = rules.no_difference([[0.5, -0.9, 0.2]], [[0.4, 0.2, 0.8]])
    assert (found.verdict, found.measured) == (REPRODUCED, -0.9)
    assert found.because == "0 of 3 paired tests show a difference"
    assert rules.no_difference([[0.5, -1.1, 0.2]], [[0.4, 0.2, 0.8]]).verdict == INCONCLUSIVE  # but what is there?
    assert rules.no_difference([[0.5, -0.9, 0.2]], [[0.4, 0.001, 0.8]]).verdict == INCONCLUSIVE  # one seed of three
    assert rules.no_difference([[0.5, -0.9]], [[0.4, 0.2]]).verdict == INCONCLUSIVE  # two seeds


def test_one_change_that_differs_in_most_seeds_refutes_no_difference():
    p_values = [[0.5, 0.5, 0.5], [1e-4, 1e-4, 0.5]]
    found = rules.no_difference([[0.1, 0.1, 0.1], [-3.0, -2.0, -1.0]], p_values)
    assert (found.verdict, found.measured) == (NOT_REPRODUCED, -3.0)
    assert rules.no_difference([[0.1] * 3, [-3.0, 2.0, 0.5]], [[0.5] * 3, [1e-4, 0.5, 0.5]]).verdict == INCONCLUSIVE
