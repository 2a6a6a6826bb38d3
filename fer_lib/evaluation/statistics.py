"""Intervals: over seeds, and over the rows of a test set. The two kinds of spread are kept apart. Two models that
predicted the same rows are compared row by row."""

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import special, stats
from statsmodels.stats.contingency_tables import mcnemar as _mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint
from statsmodels.stats.weightstats import CompareMeans

LEVEL = 0.95
"""The level of all intervals here."""


def t_interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float, float]:
    """Mean of the values and its Student t interval: (mean, low, high), in the values' unit.

    It says how far another set of seeds would move the mean. For one value, low and high are NaN. Raises ValueError for
    no value, and for one that is not finite.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"values: found shape {values.shape}, expected at least one number; check that there is a run")
    if not np.isfinite(values).all():
        raise ValueError(f"values: found {values.tolist()}, expected finite numbers")
    mean = float(values.mean())
    if len(values) == 1:
        return mean, float("nan"), float("nan")
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    half = float(special.stdtrit(len(values) - 1, 0.5 + level / 2) * error)  # stats.t.ppf, stats.sem take 1 ms
    return mean, mean - half, mean + half


def wilson(correct: float, n: int) -> tuple[float, float]:
    """Wilson's interval (low, high), fractions of 0 to 1, for ``correct`` of ``n`` test rows.

    It says how far another test set of the same size would move the accuracy of the same network. ``correct`` may be a
    mean over seeds; the seeds share their test rows, so ``n`` stays the number of rows, not of rows x seeds. Raises
    ValueError unless 0 <= correct <= n and n >= 1.
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"correct, n: found {correct} of {n}, expected 0 <= correct <= n and n >= 1")
    low, high = proportion_confint(correct, n, alpha=1 - LEVEL, method="wilson")
    share = correct / n  # at 0 and n the formula's end is the share itself, but for rounding
    return float(max(0.0, min(low, share))), float(min(1.0, max(high, share)))


def clopper_pearson(k: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """The exact interval (low, high), fractions of 0 to 1, of a share when k of n were seen.

    It contains the true share at least as often as ``level`` says, even for small n, where Wilson's may not. Raises
    ValueError unless 0 <= k <= n and n >= 1.
    """
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"k, n: found {k} of {n}, expected 0 <= k <= n and n >= 1")
    low, high = proportion_confint(k, n, alpha=1 - level, method="beta")
    return float(low), float(high)


def deviation(values: Sequence[float]) -> tuple[float, float, float]:
    """Standard deviation of normal values, and its interval by the chi-squared distribution: (deviation, low, high).

    Raises ValueError for fewer than two values.
    """
    if len(values) < 2:
        raise ValueError(f"values: found {len(values)}, expected two at least")
    freedom, own = len(values) - 1, float(np.std(values, ddof=1))
    low, high = (own * np.sqrt(freedom / stats.chi2.ppf(0.5 + side * LEVEL / 2, freedom)) for side in (1, -1))
    return own, float(low), float(high)


def pooled_deviation(groups: Iterable[Sequence[float]]) -> tuple[float, int]:
    """How much the values of a group differ: their standard deviation about each group's own mean, from all groups
    together, and its degrees of freedom. NaN and 0 where no group has two values."""
    groups = list(groups)
    freedom = sum(len(values) - 1 for values in groups)
    squares = sum(len(values) * np.var(values) for values in groups)
    return (float(np.sqrt(squares / freedom)) if freedom else float("nan")), freedom


def deviation_interval(deviation: float, freedom: int) -> tuple[float, float]:
    """The chi-squared interval of a standard deviation of so many degrees of freedom, at least 1."""
    return tuple(deviation * np.sqrt(freedom / stats.chi2.ppf((1 + LEVEL * np.array([1, -1])) / 2, freedom)))


def half_width(error: float, freedom: int, other: float = 0.0) -> float:
    """Half an interval whose error has two parts: Student's t with this many degrees of freedom, and a normal one.

    ``error``, ``other``: standard errors, in the unit that is returned; the two half widths add up as squares.
    """
    side = 0.5 + LEVEL / 2
    return float(np.hypot(stats.t.ppf(side, freedom) * error, stats.norm.ppf(side) * other))


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Exact two-sided p of McNemar's test that two models are right equally often.

    ``first`` and ``second``, (n,) bool: whether each model was right on the same n rows. Only the rows on which exactly
    one of them was right count; without any, p is 1. Raises ValueError unless both have the same rows, one at least.
    """
    only_first, only_second = _discordant(first, second)
    return float(_mcnemar([[0, only_first], [only_second, 0]], exact=True).pvalue)


def accuracy_difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Accuracy of the second model minus the first's on the same rows: (difference, low, high), fractions.

    The interval is the paired percentile bootstrap's. Sampling n rows with replacement and adding up their differences,
    each -1, 0 or 1, is sampling the numbers of the three from a multinomial distribution: that is done here, 10,000
    times. Arguments and errors as for ``mcnemar``.
    """
    only_first, only_second = _discordant(first, second)
    n = len(first)
    counts = [only_first, only_second, n - only_first - only_second]
    sampled = np.random.default_rng(0).multinomial(n, np.array(counts) / n, 10_000)
    low, high = np.quantile((sampled[:, 1] - sampled[:, 0]) / n, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return (only_second - only_first) / n, float(low), float(high)


def paired_difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Mean accuracy of a second group of networks minus a first's, on the same rows, seed by seed: (difference, low,
    high), fractions.

    ``first`` and ``second``, (seeds, n) bool: whether each was right on each row. A row's value is the difference of
    the shares of seeds that had it right; the t interval is over rows, so it says how far other rows would move the
    difference between these very networks, and nothing of other seeds. Raises ValueError unless both have the same
    shape, with two rows at least.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.ndim != 2 or first.shape != second.shape or not first.shape[0] or first.shape[1] < 2:
        found = f"found shapes {first.shape} and {second.shape}"
        raise ValueError(f"first, second: {found}, expected the same seeds and rows, two rows at least")
    return t_interval((second - first).mean(axis=0))


def independent_difference(correct: int, n: int, other: int, m: int) -> tuple[float, float, float]:
    """Accuracy ``correct`` / ``n`` minus ``other`` / ``m`` on other rows: (difference, low, high), fractions.

    Newcombe's interval, made of the two Wilson intervals. Raises what ``wilson`` raises.
    """
    for right, rows in ((correct, n), (other, m)):
        wilson(right, rows)
    low, high = confint_proportions_2indep(correct, n, other, m, method="newcomb", compare="diff", alpha=1 - LEVEL)
    return correct / n - other / m, float(low), float(high)


def _discordant(first: np.ndarray, second: np.ndarray) -> tuple[int, int]:
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.ndim != 1 or first.shape != second.shape or len(first) == 0:
        raise ValueError(
            f"first, second: found shapes {first.shape} and {second.shape}, expected the same rows, one at least"
        )
    return int((first & ~second).sum()), int((second & ~first).sum())


def prediction_interval(
    values: Sequence[float], noise: float = 0.0, level: float = LEVEL
) -> tuple[float, float, float]:
    """Mean of the values, and the range for one new value of the same kind: (mean, low, high), in the values' unit.

    Student's prediction interval, mean -+ t s sqrt(1 + 1/N): wider than ``t_interval``, which is of the mean. ``noise``
    is the standard deviation of a further normal spread that the new value has and these do not, such as from sampling
    the test rows; the two half widths add up as squares. ``level``: how often it holds the new value. One value has no
    spread: low and high are NaN. Raises what
    ``t_interval`` raises, and ValueError for a negative noise.
    """
    mean, _, high = t_interval(values, level)
    if not noise >= 0:
        raise ValueError(f"noise: found {noise}, expected a standard deviation, 0 or more")
    # The half width of the mean's interval is t s / sqrt(N); that of a new value's sqrt(N + 1) times as much.
    half = float(np.hypot((high - mean) * np.sqrt(len(values) + 1), stats.norm.ppf(0.5 + level / 2) * noise))
    return mean, mean - half, mean + half


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """Spearman's correlation of two series and its interval by Fisher's transformation: (rho, low, high).

    Raises ValueError unless both have the same length, 4 at least, and neither is constant.
    """
    if len(first) != len(second) or len(first) < 4 or len(set(first)) == 1 or len(set(second)) == 1:
        raise ValueError(f"found {list(first)} and {list(second)}, expected two series of 4 values or more that vary")
    correlation = stats.pearsonr(stats.rankdata(first), stats.rankdata(second))
    return float(correlation.statistic), *map(float, correlation.confidence_interval(LEVEL))


def mean_difference(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """Mean of some rows' values minus that of other rows': (difference, low, high), in the values' unit.

    Welch's interval: the rows are the sample, so it says how far other rows would move the difference. A value may be
    the share of seeds that had the row right. Raises ValueError unless both have 2 finite values or more.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    for values in (first, second):
        if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
            raise ValueError(f"found {values.shape} values, expected a series of 2 finite numbers or more")
    difference = float(first.mean() - second.mean())
    if np.ptp(first) == np.ptp(second) == 0:
        return difference, difference, difference
    low, high = CompareMeans.from_data(first, second).tconfint_diff(1 - LEVEL, usevar="unequal")
    return difference, float(low), float(high)


def standardised_difference(
    first: np.ndarray, first_kinds: np.ndarray, second: np.ndarray, second_kinds: np.ndarray
) -> tuple[float, float, float]:
    """``mean_difference`` at equal mix of kinds: the second rows are weighted so that their kinds are as frequent as
    among the first (direct standardisation; normal interval).

    Kinds are (n,) and (m,) integers, for example emotions. First rows of a kind that the second lack are left out.
    Raises ValueError if nothing is left to compare.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    common = np.intersect1d(first_kinds, second_kinds)
    kept = np.isin(first_kinds, common)
    if not kept.any():
        raise ValueError("first, second: found no kind in common, expected one at least")
    n, difference, variance = int(kept.sum()), 0.0, 0.0
    for kind in common:
        one, two = first[first_kinds == kind], second[second_kinds == kind]
        weight = len(one) / n
        difference += weight * (one.mean() - two.mean())
        variance += weight**2 * (one.var() / len(one) + two.var() / len(two))
    half = float(stats.norm.ppf(0.5 + LEVEL / 2) * np.sqrt(variance))
    return float(difference), float(difference - half), float(difference + half)
