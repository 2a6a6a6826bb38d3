"""The rules, branch by branch, on made-up numbers; and the statistics that only they use."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_lib.claims import ledger, measures, power, rules
from fer_lib.claims.rules import INCONCLUSIVE, NOT_REPRODUCED, NOT_TESTABLE, REPRODUCED, UNSTABLE
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
    _, low, _ = statistics.prediction_interval([1, 2, 3], noise=0.5, level=0.99)  # t(0.995, 2) = 9.924843
    assert 2 - low == pytest.approx(math.hypot(9.924843 * math.sqrt(4 / 3), 2.575829 * 0.5), abs=1e-5)


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


@pytest.mark.parametrize(("k", "n", "low"), [(4, 4, 0.398), (5, 5, 0.478), (6, 6, 0.541), (0, 10, 0.0)])
def test_clopper_pearson_of_known_values(k, n, low):
    assert statistics.clopper_pearson(k, n)[0] == pytest.approx(low, abs=1e-3)
    assert statistics.clopper_pearson(n - k, n)[1] == pytest.approx(1 - low, abs=1e-3)
    with pytest.raises(ValueError, match="k, n: found 3 of 2"):
        statistics.clopper_pearson(3, 2)


def test_a_deviation_has_the_interval_of_chi_squared():
    own, low, high = statistics.deviation([1, 2, 3])
    assert (own, low, high) == pytest.approx((1, math.sqrt(2 / 7.377759), math.sqrt(2 / 0.050636)), rel=1e-4)
    with pytest.raises(ValueError, match="values: found 1, expected two at least"):
        statistics.deviation([1])


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

CONSTANT = {
    "angry": 13.346, "disgust": 1.546, "fear": 14.266, "happy": 24.714, "sad": 17.372, "surprise": 11.577,
    "neutral": 17.178,
}  # fmt: skip
"""What each emotion alone scores on FER2013's 7,178 test rows, in percent."""


def judged(reported, *outcomes):
    """``rules.accuracy`` of outcomes: an accuracy, or the emotion that a seed collapsed to."""
    collapsed_to = [outcome if isinstance(outcome, str) else "" for outcome in outcomes]
    values = [CONSTANT.get(outcome, outcome) for outcome in outcomes]
    return rules.accuracy(reported, values, collapsed_to, CONSTANT, test_rows=7178)


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


def test_width_buys_no_verdict_but_what_is_outside_is_outside():
    values = [59.0, 60.0, 61.0]  # +- 4.97; in the long run +- 1.96
    found = rules.accuracy(60.0, values)
    assert (
        found.verdict == INCONCLUSIVE
        and "inside a new run's interval, but that is ±5.0 points, wider than ±3" in found.because
    )
    assert rules.accuracy(10.0, values).verdict == NOT_REPRODUCED


def test_runs_that_differ_support_no_figure():
    found = rules.accuracy(60.0, [57.0, 60.0, 63.0, 59.0])  # s 2.5: +- 4.9 in the long run
    assert found.verdict == UNSTABLE and found.measured == 59.75
    assert found.because.startswith("runs vary by ±4.9 points [2.8, 18.3]")
    assert rules.accuracy(10.0, [57.0, 60.0, 63.0, 59.0]).verdict == NOT_REPRODUCED


def test_a_printed_number_stands_for_what_prints_so():
    assert [rules.last_digit(x) for x in (60.58, 30.9, 62)] == [0.01, 0.1, 1]
    assert rules.printed(60) == (59.5, 61) and rules.printed(60.58) == pytest.approx((60.575, 60.59))
    values = [60.0, 60.0, 60.0]
    assert rules.accuracy(60.5, values).verdict == NOT_REPRODUCED
    assert [rules.accuracy(x, values).verdict for x in (59, 60, 61)] == [REPRODUCED, REPRODUCED, NOT_REPRODUCED]
    # an interval that ends at 59.43 and one that ends at 59.6, against a printed 60
    ends = [rules.accuracy(60, [58 + shift, 58.2 + shift, 58.4 + shift]) for shift in (0.23, 0.5)]
    assert [found.interval[1] for found in ends] == pytest.approx([59.42, 59.69], abs=0.01)
    assert [found.verdict for found in ends] == [NOT_REPRODUCED, REPRODUCED]


def test_unknown_rows_widen_the_interval_by_their_sampling():
    values = [60.0, 60.1, 60.2]
    assert rules.accuracy(61.5, values).verdict == NOT_REPRODUCED
    found = rules.accuracy(61.5, values, unknown_rows=3589)  # +- hypot(0.497, 1.96 * 0.818)
    assert found.verdict == REPRODUCED
    assert found.interval[1] - found.measured == pytest.approx(1.678, abs=0.01)


@given(PERCENT)
def test_the_mean_is_never_refuted(values):
    assert rules.accuracy(float(np.mean(values)), values).verdict in (REPRODUCED, UNSTABLE, INCONCLUSIVE)


# ---- accuracy of collapsed networks


def test_a_collapse_is_an_outcome_with_a_share():
    found = judged(24.72, *["happy"] * 6, *["neutral"] * 3, "sad")  # the paper's simple CNN
    assert found[:3] == (REPRODUCED, 6, statistics.clopper_pearson(6, 10))
    assert found.because.startswith("always predicting happy scores this; 6 of 10 seeds collapsed to it")
    assert judged(17.38, "sad", "neutral", "sad", "fear").verdict == REPRODUCED  # 2 of 4 begin at 6.8 %
    found = judged(17.38, *["happy", "angry", "neutral", "fear", "angry"] * 2)  # none of ten, which allows 31 %
    assert found[:2] == (INCONCLUSIVE, 0) and found.interval[1] == pytest.approx(0.308, abs=1e-3)
    assert judged(17.38, *["happy"] * 75).verdict == NOT_REPRODUCED  # none of 75 allows 4.8 %
    assert judged(17.38, "sad", *["happy"] * 9).verdict == INCONCLUSIVE


def test_a_collapse_is_no_spread():
    # Their mean is 17.45, next to the reported 17.4: an interval around it would have held it.
    assert judged(17.4, "happy", "angry", "fear")[:2] == (INCONCLUSIVE, 0)
    found = judged(60.58, 60.9, 60.2, 61.0, 61.3, 61.4, "angry", 60.9, 61.3, 60.7)
    assert found.verdict == REPRODUCED and found.measured == pytest.approx(487.7 / 8)
    assert "1 of 9 seeds collapsed" in found.because
    assert judged(55.0, 60.9, 60.2, 61.0, "angry").verdict == NOT_REPRODUCED  # neither gives it


def test_where_nearly_all_collapse_a_learned_figure_is_rare():
    assert judged(55.0, "happy", "happy", "sad", 55.0)[:2] == (INCONCLUSIVE, 1)
    assert judged(55.0, *["happy"] * 80).verdict == NOT_REPRODUCED  # 0 of 80 learn: fewer than 4.6 %
    assert judged(55.0, *["happy"] * 20)[:2] == (INCONCLUSIVE, 0)


def test_a_learned_figure_beside_that_of_one_emotion_is_looked_for_among_both():
    assert judged(24.72, 24.5, 24.7, 24.9, 24.8).verdict == REPRODUCED
    assert judged(24.72, 60.0, 60.1, 60.2, 60.0)[:2] == (INCONCLUSIVE, 0)


# ---- fillings


def test_fillings_are_judged_together():
    values = {"narrow": [56.0, 56.4], "wide": [57.0, 57.4], "sgd": [58.0, 58.4]}  # s 0.283, t(3) 3.182: +- 1.10
    found = rules.fillings(60, values)
    assert found.verdict == NOT_REPRODUCED and found.measured == pytest.approx(58.2)
    half = 3.182446 * math.sqrt(0.08) * math.sqrt(1.5)
    assert found.interval == pytest.approx((56.2 - half, 58.2 + half), abs=1e-4)
    assert "above the intervals of a new run of all 3 fillings; the highest mean is 58.20 % (sgd)" in found.because
    found = rules.fillings(60, values, unknown_rows=3589)  # +- hypot(1.10, 1.61)
    assert found.verdict == REPRODUCED and "1 of 3 fillings would give it (sgd)" in found.because
    assert rules.fillings(50, values).because.startswith("the reported figure is below")
    assert rules.fillings(57.2, {"a": [56.0, 56.01, 56.0], "b": [58.0, 58.01, 58.0]}).verdict == NOT_REPRODUCED
    assert rules.fillings(60, {"a": [60.0], "b": [61.0, 60.0]}).verdict == INCONCLUSIVE


# ---- behaviour and margin


@pytest.mark.parametrize(
    ("k", "n", "verdict"),
    [
        (3, 3, INCONCLUSIVE), (4, 4, INCONCLUSIVE), (5, 5, INCONCLUSIVE), (6, 6, REPRODUCED), (0, 5, INCONCLUSIVE),
        (0, 6, NOT_REPRODUCED), (1, 1, INCONCLUSIVE), (5, 10, INCONCLUSIVE), (9, 10, REPRODUCED), (8, 10, INCONCLUSIVE),
        (8, 9, REPRODUCED), (1, 10, NOT_REPRODUCED),
    ],
)  # fmt: skip
def test_behaviour(k, n, verdict):
    found = rules.behaviour([True] * k + [False] * (n - k))
    assert found[:3] == (verdict, k, statistics.clopper_pearson(k, n))


@given(st.integers(0, 40), st.integers(0, 40))
def test_behaviour_and_its_opposite_get_opposite_verdicts(yes, no):
    if yes + no:
        opposite = {REPRODUCED: NOT_REPRODUCED, NOT_REPRODUCED: REPRODUCED, INCONCLUSIVE: INCONCLUSIVE}
        found = rules.behaviour([True] * yes + [False] * no).verdict
        assert rules.behaviour([False] * yes + [True] * no).verdict == opposite[found]


def test_a_margin_is_judged_by_its_size():
    learned = [True] * 4
    found = rules.margin([33.4, 33.8, 33.5, 33.7], learned, 10, np.inf)  # 4 of 4 alone would decide nothing
    assert found.verdict == REPRODUCED and found.interval == statistics.t_interval([33.4, 33.8, 33.5, 33.7])[1:]
    assert rules.margin([9.0, 11.0, 12.0, 13.0], learned, 10, np.inf).verdict == INCONCLUSIVE
    assert rules.margin([1.0, 1.1, 1.2, 0.9], learned, 10, np.inf).verdict == NOT_REPRODUCED
    assert rules.margin([1.0, 1.1], learned[:2], 0, 9).verdict == INCONCLUSIVE


def test_a_margin_is_that_of_the_seeds_that_learned():
    found = rules.margin([3.0, 3.1, 3.2, -100.0], [True, True, True, False], 0, np.inf)
    assert found.verdict == REPRODUCED and found.measured == pytest.approx(3.1)
    assert found.because == "the interval of the mean is inside the range; left out, because collapsed: 1 of 4 seeds"
    assert rules.margin([3.0] + [0.0] * 9, [True] + [False] * 9, 0, np.inf).verdict == NOT_REPRODUCED  # most collapse
    assert rules.margin([3.0, 3.1, 0.0], [True, True, False], 0, np.inf).verdict == INCONCLUSIVE


# ---- how often the rules err, as the page says


def test_a_figure_that_a_new_run_gave_is_rarely_refuted():
    rng = np.random.default_rng(0)
    for n in (3, 5, 10):
        refuted = [
            rules.accuracy(round(new, 2), old).verdict == NOT_REPRODUCED
            for *old, new in rng.normal(60, 0.8, (600, n + 1))
        ]
        assert np.mean(refuted) <= 0.05 + 0.02


def test_rare_outcomes_are_rarely_reproduced_and_common_ones_rarely_refuted():
    rng = np.random.default_rng(0)
    for share, wrong in ((0.049, REPRODUCED), (0.051, NOT_REPRODUCED)):
        for n in (10, 40, 100):
            counts = rng.binomial(n, share, 600)
            by_count = {k: judged(24.72, *["happy"] * k, *["sad"] * (n - k)).verdict for k in set(counts.tolist())}
            assert np.mean([by_count[k] == wrong for k in counts.tolist()]) <= 0.025 + 0.015


def test_a_behaviour_of_half_of_all_runs_is_decided_in_one_of_twenty_tries_or_fewer():
    rng = np.random.default_rng(0)
    for n in (6, 10, 25):
        found = [rules.behaviour([True] * k + [False] * (n - k)).verdict for k in rng.binomial(n, 0.5, 600)]
        assert np.mean([verdict != INCONCLUSIVE for verdict in found]) <= 0.05 + 0.02


def test_a_margin_or_an_order_at_its_line_is_decided_in_one_of_twenty_tries_or_fewer():
    rng = np.random.default_rng(0)
    for n in (3, 5, 9):
        drawn = rng.normal(0, 1, (600, n))
        found = [rules.margin(values, [True] * n, 0, np.inf).verdict for values in drawn]
        assert np.mean([verdict != INCONCLUSIVE for verdict in found]) <= 0.05 + 0.02
        found = [rules.ordering([values], [[False] * n]).verdict for values in drawn]
        assert np.mean([verdict != INCONCLUSIVE for verdict in found]) <= 0.05 + 0.02


def test_an_order_of_several_is_refuted_by_chance_in_one_of_twenty_tries_or_fewer():
    rng = np.random.default_rng(0)
    found = [rules.ordering(values, np.zeros((4, 5), bool)).verdict for values in rng.normal(0, 1, (400, 4, 5))]
    assert np.mean([verdict == NOT_REPRODUCED for verdict in found]) <= 0.05 + 0.02
    assert np.mean([verdict == REPRODUCED for verdict in found]) <= 0.01


@pytest.mark.parametrize(("deviation", "verdict"), [(0.5, REPRODUCED), (4.0, UNSTABLE)])
def test_spread_is_distinguished_from_too_few_seeds(deviation, verdict):
    rng = np.random.default_rng(0)
    found = [rules.accuracy(60.0, 60 + deviation * own).verdict for own in rng.normal(0, 1, (500, 8))]
    assert np.mean([one == verdict for one in found]) > 0.9


# ---- what would decide


def test_seeds_needed_are_those_that_the_rule_needs():
    n, share = power.seeds_needed(4, power.behaviour([True] * 4))
    assert n in (6, 8, 10, 12) and share >= 0.8
    n, share = power.seeds_needed(10, power.behaviour([True, False] * 5))
    assert n == 100 and share < 0.8
    n, share = power.seeds_needed(3, power.margin([9.0, 12.0, 13.0], [True] * 3, 10, np.inf))
    assert 4 <= n <= 100
    values = [59.4, 60.0, 60.6]
    draw = power.accuracy(values, [""] * 3, lambda values, to: rules.accuracy(60.0, values, to))
    assert power.seeds_needed(3, draw)[0] <= 20


def test_no_seeds_are_needed_where_the_next_one_decides():
    differences = np.array([[1.0, 1.1, 0.9, 1.0]])
    draw = power.paired(rules.ordering, differences, np.zeros((1, 4), bool))
    assert power.seeds_needed(4, draw) == (5, 1.0)


def test_a_collapse_that_was_never_seen_is_refuted_by_75_seeds():
    collapsed_to = ["happy", "angry", "neutral", "fear", "angry"] * 2
    values = [CONSTANT[name] for name in collapsed_to]

    def judge(values, collapsed_to):
        return rules.accuracy(17.38, values, collapsed_to, CONSTANT, test_rows=7178)

    n, share = power.seeds_needed(10, power.accuracy(values, collapsed_to, judge))
    assert (n, share) == (75, 1.0)


def test_faces_needed():
    assert power.faces_needed(49, 100, 0, 50) is None or power.faces_needed(49, 100, 0, 50) >= 5000
    assert power.faces_needed(45, 100, 0, 50) == 500
    assert power.faces_needed(50, 100, 0, 50) is None


# ---- share


@pytest.mark.parametrize(
    ("k", "n", "low", "high", "verdict", "place"),
    [
        (95, 100, 80, 100, REPRODUCED, "inside"), (95, 100, 90, 100, INCONCLUSIVE, "partly outside"),
        (95, 100, 0, 80, NOT_REPRODUCED, "outside"), (50, 1000, 40, 60, NOT_REPRODUCED, "outside"),
        (500, 1000, 40, 60, REPRODUCED, "inside"), (5, 10, 40, 60, INCONCLUSIVE, "partly outside"),
        (0, 100, 0, 10, REPRODUCED, "inside"), (100, 100, 95, 100, REPRODUCED, "inside"),
    ],
)  # fmt: skip
def test_share(k, n, low, high, verdict, place):
    found = rules.share(k, n, low, high)
    assert found[:2] == (verdict, 100 * k / n)
    assert found.interval == tuple(100 * end for end in statistics.clopper_pearson(k, n))
    assert found.because == f"{k:,} of {n:,} faces: interval {place} {low} to {high} %"


def test_the_share_of_no_face_is_an_error():
    with pytest.raises(ValueError, match="k, n: found 0 of 0"):
        rules.share(0, 0, 0, 10)


# ---- ordering

LEARNED = [[False] * 3] * 2


def test_an_order_that_holds():
    found = rules.ordering([[5.0, 4.0, 3.0], [9.0, 8.0, 7.0]], LEARNED)
    assert found[:2] == (REPRODUCED, 4.0) and found.because == "2 of 2 comparisons hold"
    assert found.interval == statistics.t_interval([5.0, 4.0, 3.0])[1:]
    assert rules.ordering([[5.0, 4.0, 3.0]], LEARNED[:1]).because == "the interval is above 0"


def test_an_order_that_the_seeds_cannot_tell():
    assert rules.ordering([[5.0, 4.0, -4.0]], LEARNED[:1]).verdict == INCONCLUSIVE


def test_an_order_that_one_comparison_turns_round():
    found = rules.ordering([[5.0, 4.0, 3.0], [-2.0, -2.2, -1.8]], LEARNED)
    assert found.verdict == NOT_REPRODUCED and found.because.endswith("1 reversed")
    assert rules.ordering([[5.0, 4.0, 3.0], [-2.0, 3.0, 1.0]], LEARNED).verdict == INCONCLUSIVE


def test_what_refutes_an_order_is_corrected_for_all_its_comparisons():
    below = [-1.0, -1.4, -0.6]  # t -4.33: p 0.049 alone
    assert rules.ordering([below], LEARNED[:1]).verdict == NOT_REPRODUCED
    assert rules.ordering([below, [5.0, 4.0, 3.0]], LEARNED).verdict == INCONCLUSIVE


def test_seeds_are_counted_where_a_network_collapsed():
    differences = [[15.7, 9.9, 6.1, 6.5, 10.4, -39.9, 4.8, 6.0, 10.3]]
    collapsed = [[False] * 5 + [True] + [False] * 3]
    found = rules.ordering(differences, collapsed)  # the interval of the mean spans 0; 8 of 9 is more than half
    assert found[:3] == (REPRODUCED, pytest.approx(3.31, abs=0.01), None)
    assert found.because == "a network collapsed in 1 of 9 seeds; counted by seed, 8 have the claimed order"
    assert rules.ordering([[5.0, 5.0, 5.0]], [[True] * 3]).verdict == INCONCLUSIVE
    assert rules.ordering([[-5.0] * 6], [[True] * 6]).verdict == NOT_REPRODUCED


def test_an_order_needs_three_seeds():
    found = rules.ordering([[5.0, 4.0]], [[False] * 2])
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
    assert rules.no_relation([22, 8, 16, 152, 16], [63, 68, 68.2, 69.7, 70.7]).verdict == NOT_TESTABLE


def test_every_rule_is_written_down():
    assert set(ledger.schema()["properties"]["kind"]["enum"]) <= set(rules.RULES)
    assert len(set(rules.VERDICTS)) == 5


# ---- no difference


def test_no_difference_is_less_than_a_point_by_its_interval():
    found = rules.no_difference([[0.3, 0.2, 0.4], [-0.4, -0.5, -0.4]], LEARNED)
    assert (found.verdict, found.measured) == (REPRODUCED, pytest.approx(-13 / 30))
    assert found.because == "2 of 2 are within 1 point of 0, 0 entirely beyond"
    assert rules.no_difference([[0.5, -1.1, 0.2]], LEARNED[:1]).verdict == INCONCLUSIVE  # it may be more
    assert rules.no_difference([[0.5, -0.9]], [[False] * 2]).verdict == INCONCLUSIVE  # two seeds
    assert rules.no_difference([[0.1, 0.1, 0.1]], [[False, True, False]]).verdict == INCONCLUSIVE


def test_one_change_that_makes_more_than_a_point_refutes_no_difference():
    found = rules.no_difference([[0.1, 0.2, 0.1], [-3.0, -3.1, -2.9]], LEARNED)
    assert (found.verdict, found.measured) == (NOT_REPRODUCED, pytest.approx(-3.0))
    assert rules.no_difference([[0.1] * 3, [-3.0, 2.0, 0.5]], LEARNED).verdict == INCONCLUSIVE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("finding,all\nrows,35887\n", "summary.csv: found no line 'flat images, one grey all over', expected one for"),
        ("finding,all\nrows,many\n", "summary.csv, line 2, all: found 'many', expected a whole number; make it again"),
        ("finding,Training\n", "summary.csv, line 1: found the columns 'finding,Training', expected one all; make it"),
    ],
)
def test_a_damaged_summary_of_the_audit_is_named(tmp_path, text, message):
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "summary.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        measures.FACTS["uniform images"](tmp_path)
