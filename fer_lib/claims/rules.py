"""The rules by which claims are judged, one for each kind. Pure functions on numbers; each gives a ``Verdict``.

They were written when the first thirteen runs were there (trees, feed-forward network, simple CNN), before all others.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from ..evaluation import statistics

REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_TESTABLE = VERDICTS = (
    "reproduced", "not reproduced", "inconclusive", "not testable"
)  # fmt: skip
SEEDS = 3
"""Fewer decide nothing about an accuracy or an order."""
WIDTH = 3.0
"""Points each way: a wider prediction interval decides nothing, so that width never buys a "reproduced"."""
LEVEL = 0.05
"""Of a family of tests, after Holm's correction."""
WEAK = 0.3
"""A rank correlation between -0.3 and 0.3 counts as none."""
ALIKE = 1.0
"""Points of accuracy that may lie between models which are to be alike."""

RULES = {
    "accuracy": "The reported figure is reproduced when it lies, to within one unit of its last printed digit, in the "
    "95 % prediction interval of one new run, and not reproduced when it lies outside. Fewer than 3 seeds, or an "
    "interval wider than 3 points each way, are inconclusive. Where the paper's test rows are unknown, the interval "
    "holds the sampling of as many rows besides.",
    "collapsed": "Where a seed collapsed to one answer, accuracies are a mixture of which no interval knows anything. "
    "The figure is then a behaviour: a seed shows it when its accuracy is the reported one, to within one unit of the "
    "last printed digit. A figure that no single answer would give is not reproduced when most seeds collapse (the "
    "Wilson interval of those that do not lies below one half), and otherwise inconclusive. This sentence was added "
    "when runs first were such a mixture: as the rule stood, no seed that learned could have shown such a figure.",
    "behaviour": "Of N seeds, k show it. It is reproduced when the Wilson interval of k of N lies above one half, not "
    "reproduced when it lies below, and otherwise inconclusive; so 4 seeds of 4 decide, 3 of 3 do not.",
    "ordering": "Seed by seed, two models' answers to the same rows are compared by McNemar's exact test; all tests of "
    "a claim are corrected together by Holm's method. It is reproduced when every comparison holds significantly (5 %) "
    "in every seed, not reproduced when one goes significantly the other way in more than half of the seeds, and "
    "otherwise, or with fewer than 3 seeds, inconclusive. The figure given is the smallest difference, with its paired "
    "bootstrap interval.",
    "no difference": "The first model's answers are compared with each of the others' as for an ordering. That they do "
    "not differ is reproduced when no test is significant and no accuracy is more than 1 point from the first's, not "
    "reproduced when one comparison is significant in more than half of the seeds, and otherwise, or with fewer than 3 "
    "seeds, inconclusive. The figure given is the largest difference.",
    "count": "Equality, at the digits that the paper prints.",
    "speed": "Reproduced when the slowest run keeps within the stated limit, not reproduced when the fastest does not, "
    "and otherwise inconclusive.",
    "quoted": "A statement about something that is not run here, such as another paper's result or the released "
    "notebooks, is held against what its source is known to say. It is not reproduced where the source says "
    "otherwise, and not testable where it says the same or nothing is known: quoting rightly is no reproduction.",
    "share": "How often something happens, over the faces that one network was shown before a camera: the paper's word "
    "for it is read as a range. Reproduced when the share's Wilson interval lies within, not reproduced when it lies "
    "outside, and otherwise inconclusive. It says what that network does, not what training gives.",
    "relation": "That two series have nothing to do with each other is reproduced when the 95 % interval of their rank "
    "correlation lies within -0.3 to 0.3, not reproduced when it leaves out 0, and otherwise inconclusive.",
}


class Verdict(NamedTuple):
    verdict: str  # one of VERDICTS
    measured: float | int | str | None
    interval: tuple[float, float] | None  # 95 %, around what was measured
    because: str  # what the rule saw, in words


def last_digit(reported: float) -> float:
    """One unit of the last digit of a printed number: 0.01 for 60.58, 1 for 62. Papers round some, and cut some off."""
    return float(Decimal(1).scaleb(Decimal(str(reported)).as_tuple().exponent))


def accuracy(reported: float, values: Sequence[float], rows: int = 0) -> Verdict:
    """Whether a reported accuracy is one that a new run would give; ``values``: each seed's, all in percent.

    ``rows``: where the paper's test rows are unknown, how many it had; their binomial noise then widens the interval.
    Where the rows are known, they are ours too, and add nothing. Seeds that collapsed are not judged here, but by
    ``collapsed_accuracy``.
    """
    mean = float(np.mean(values))
    noise = 100 * np.sqrt(mean / 100 * (1 - mean / 100) / rows) if rows else 0.0
    _, low, high = statistics.prediction_interval(values, noise)
    if len(values) < SEEDS:
        return Verdict(INCONCLUSIVE, mean, None, f"{_seeds(len(values))}, {SEEDS} are needed")
    if high - mean > WIDTH:
        because = f"the interval is ±{high - mean:.1f} points, wider than ±{WIDTH:g}"
        return Verdict(INCONCLUSIVE, mean, (low, high), because)
    unit = last_digit(reported)
    if low <= reported <= high:
        return Verdict(REPRODUCED, mean, (low, high), "within what one new run would give")
    if low - unit <= reported <= high + unit:
        outside = max(low - reported, reported - high)
        because = f"by its last printed digit only: {outside:.2f} points outside what one new run would give"
        return Verdict(REPRODUCED, mean, (low, high), because)
    where = "above" if reported > mean else "below"
    return Verdict(NOT_REPRODUCED, mean, (low, high), f"the reported figure lies {where} what one new run would give")


def collapsed_accuracy(reported: float, values: Sequence[float], collapsed: Sequence[bool], most: float) -> Verdict:
    """The same where a seed has collapsed: how many seeds have the reported accuracy itself (see ``behaviour``).

    ``collapsed``: which of the seeds; ``most``: what predicting the commonest emotion alone scores, in percent. A
    reported accuracy beyond that (by more than a point) is of a network that learned: then it counts how many seeds do.
    """
    listed = ", ".join(f"{value:.2f}" for value in values)
    if reported <= most + 1:
        verdict = behaviour([abs(value - reported) <= last_digit(reported) + 1e-9 for value in values])
        return verdict._replace(because=f"collapsed: {listed} %; {verdict.because}")
    verdict = behaviour([not one for one in collapsed])
    seen = f"{sum(collapsed)} of {_seeds(len(collapsed))} collapsed: {listed} %"
    if verdict.verdict == NOT_REPRODUCED:
        return verdict._replace(because=f"{seen}; fewer than half learn")
    return verdict._replace(verdict=INCONCLUSIVE, because=f"{seen}; no interval holds such a mixture")


def behaviour(shown: Sequence[bool]) -> Verdict:
    """Whether runs typically behave so; ``shown``: whether each seed did. Measured is k, the interval that of k of N.

    The claim of a paper that saw a thing once is read as: this is what training it gives, more often than not. So the
    line is one half, and both sides of the Wilson interval have to keep to one side of it. 3 of 3 begin at 0.44: as
    many would come up in one of eight tries with a coin, and a line drawn lower to let them pass would have been drawn
    to suit the seeds at hand. 4 of 4 begin at 0.51.
    """
    k, n = sum(map(bool, shown)), len(shown)
    low, high = statistics.wilson(k, n)
    verdict = REPRODUCED if low > 0.5 else NOT_REPRODUCED if high < 0.5 else INCONCLUSIVE
    side = {
        REPRODUCED: "more than half",
        NOT_REPRODUCED: "fewer than half",
        INCONCLUSIVE: "the interval spans one half",
    }
    return Verdict(verdict, k, (low, high), f"{k} of {_seeds(n)}: {side[verdict]}")


def ordering(differences: Sequence[Sequence[float]], p_values: Sequence[Sequence[float]]) -> Verdict:
    """Whether models stand in the claimed order, by paired tests: (comparisons, seeds) of each.

    ``differences``: points of accuracy, positive where a seed's pair stands as claimed. ``p_values``: of its two-sided
    test, not corrected; all are one family. Measured is the smallest difference; its interval is the caller's to give.
    """
    differences = np.asarray(differences, np.float64)
    corrected = statistics.holm(np.ravel(p_values)).reshape(differences.shape)
    significant = corrected < LEVEL
    holds, fails = significant & (differences > 0), significant & (differences < 0)
    because = f"{holds.sum()} of {holds.size} paired tests as claimed"
    because += f", {fails.sum()} the other way" if fails.any() else ""
    return _paired(holds.all(), fails, float(differences.min()), because)


def no_difference(differences: Sequence[Sequence[float]], p_values: Sequence[Sequence[float]]) -> Verdict:
    """Whether changes of a model change its accuracy, by paired tests: (comparisons, seeds) of each.

    ``differences``: points of accuracy. ``p_values``: not corrected; all are one family. Measured is the largest
    difference, with its sign; its interval is the caller's to give.
    """
    differences = np.asarray(differences, np.float64)
    significant = statistics.holm(np.ravel(p_values)).reshape(differences.shape) < LEVEL
    because = f"{significant.sum()} of {significant.size} paired tests show a difference"
    largest = float(differences.flat[np.abs(differences).argmax()])
    return _paired(not significant.any() and abs(largest) <= ALIKE, significant, largest, because)


def _paired(holds: bool, against: np.ndarray, measured: float, because: str) -> Verdict:
    """The verdict on a claim that ``holds``, or does not, by which tests (comparisons, seeds) go ``against`` it."""
    seeds = against.shape[1]
    if seeds < SEEDS:
        return Verdict(INCONCLUSIVE, measured, None, f"{because}; {_seeds(seeds)}, {SEEDS} are needed")
    fails = (2 * against.sum(axis=1) > seeds).any()
    return Verdict(REPRODUCED if holds else NOT_REPRODUCED if fails else INCONCLUSIVE, measured, None, because)


def count(reported: float | str, measured: float | str) -> Verdict:
    """Whether a count (or a name) is the reported one, at the digits that the paper prints."""
    if isinstance(reported, str) or isinstance(measured, str):
        equal = reported == measured
    else:
        rounding = 0.0 if float(measured).is_integer() else last_digit(reported) / 2
        equal = abs(measured - reported) <= rounding
    return Verdict(REPRODUCED if equal else NOT_REPRODUCED, measured, None, "equal" if equal else "not equal")


def speed(limit: float, values: Sequence[float]) -> Verdict:
    """Whether runs keep within a limit, in its unit. Measured is the slowest."""
    slowest, fastest = max(values), min(values)
    verdict = REPRODUCED if slowest <= limit else NOT_REPRODUCED if fastest > limit else INCONCLUSIVE
    kept = sum(value <= limit for value in values)
    return Verdict(verdict, slowest, None, f"{kept} of {_seeds(len(values))} within the limit; the slowest is given")


def share(k: int, n: int, low: float, high: float) -> Verdict:
    """Whether k of n keep to a range, in percent. Measured is the share."""
    start, end = (100 * side for side in statistics.wilson(k, n))
    verdict, place = INCONCLUSIVE, "across an end of"
    if low <= start and end <= high:
        verdict, place = REPRODUCED, "within"
    elif end < low or start > high:
        verdict, place = NOT_REPRODUCED, "outside"
    return Verdict(verdict, 100 * k / n, (start, end), f"{k:,} of {n:,} faces: {place} {low:g} to {high:g} %")


def quoted(reported: float | str, source: float | str) -> Verdict:
    """Whether a statement about another source is what that source says. It is never "reproduced"."""
    if reported == source:
        return Verdict(NOT_TESTABLE, source, None, "quoted as the source has it; not run here")
    return Verdict(NOT_REPRODUCED, source, None, "the source says otherwise")


def no_relation(first: Sequence[float], second: Sequence[float]) -> Verdict:
    """Whether two series have nothing to do with each other. Measured is their rank correlation."""
    rho, low, high = statistics.rank_correlation(first, second)
    if -WEAK < low and high < WEAK:
        verdict, because = REPRODUCED, "no correlation worth the name"
    elif low > 0 or high < 0:
        verdict, because = NOT_REPRODUCED, "they are correlated"
    else:
        verdict, because = INCONCLUSIVE, f"{len(first)} pairs cannot tell"
    return Verdict(verdict, rho, (low, high), because)


def _seeds(n: int) -> str:
    return "1 seed" if n == 1 else f"{n} seeds"
