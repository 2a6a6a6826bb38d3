"""The rules by which claims are judged, one for each kind: pure functions of numbers that return a ``Verdict``.

``claims/history/rules.yaml`` says when each was made, what was known then, and which verdicts a change moved.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from ..evaluation import statistics

REPRODUCED, NOT_REPRODUCED, UNSTABLE, INCONCLUSIVE, NOT_TESTABLE = VERDICTS = (
    "reproduced", "not reproduced", "unstable", "inconclusive", "not testable"
)  # fmt: skip
SEEDS = 3
"""Fewer seeds decide nothing about an accuracy or an order."""
WIDTH = 3.0
"""Points each way. Runs that vary more support no figure, so that a wide interval never makes a "reproduced"."""
RARE = 0.05
"""One new run would not give an outcome that fewer than this share of runs have, as with 95 % intervals."""
ROWS_OFF = 3
"""A reported accuracy within this many test rows of always predicting one emotion is a collapsed network's: with
saturated weights, its biases alone decide black images."""
WEAK = 0.3
"""A rank correlation between -0.3 and 0.3 counts as none."""
ALIKE = 1.0
"""Points of accuracy by which models may differ and still count as equal."""

RULES = {
    "accuracy": "One question: could one new run give the reported figure? A printed 60.58 stands for everything that "
    "prints as 60.58, rounded or cut off: 60.575 to 60.59. From the seeds that learned we compute the 95 % prediction "
    "interval of one new run and check whether the figure is inside. Where the paper's test rows are unknown, the "
    "interval also includes the sampling of as many rows. A network that collapsed to one emotion is not part of this "
    "spread: its score is a separate outcome, with a share of the seeds. If always predicting one emotion scores the "
    "reported figure, a new run would give it when 5 % or more of the seeds collapse to that emotion, by the exact "
    "95 % interval (Clopper and Pearson). Reproduced when a new run would give the figure, not reproduced when it "
    "would not. Unstable when the figure is inside the interval but the runs that learned vary by more than 3 points "
    "each way (1.96 standard deviations, the interval's half width with ever more seeds): single runs of this protocol "
    "then support no figure. Inconclusive when more runs would decide. Errors: of figures that one new run did give, "
    "at most one in twenty is called not reproduced; of outcomes rarer than 5 %, at most one in forty is called "
    "reproduced.",
    "fillings": "A filling is one plausible choice of everything that a paper leaves open about its network. Such a "
    "network's accuracy is compared with all fillings that were run, on each set of rows that the paper may have "
    "meant: could one new run of any of them give it? The spread over seeds is pooled over the fillings, and each "
    "interval includes the sampling of as many rows as the paper may have had. Reproduced when the interval of at "
    "least one filling contains the figure (which one is named), not reproduced when none does. Never unstable: "
    "fillings differ because they are different networks, not because runs of one do.",
    "behaviour": "k of N seeds show it. Reproduced when the exact 95 % interval of k of N is above one half, not "
    "reproduced when it is below, otherwise inconclusive. So 6 of 6 seeds decide, 5 of 5 do not. A behaviour that "
    "half of all runs show is decided wrongly, one way or the other, at most once in twenty.",
    "margin": "Where a behaviour is measured in points or percent, its size is judged, not the number of seeds on the "
    "right side. Reproduced when the 95 % t interval of its mean over the seeds that learned is inside the range, not "
    "reproduced when it is outside or when most seeds collapse. Otherwise, or with fewer than 3 seeds that learned, "
    "inconclusive.",
    "ordering": "Two models predict the same rows, seed by seed. A comparison holds when the 95 % t interval of the "
    "mean difference over seeds is above 0. Where a network collapsed, such an interval means nothing: the comparison "
    "is then judged as a behaviour, which a seed shows when its difference is above 0. Reproduced when all comparisons "
    "hold, not reproduced when one is reversed, at a level corrected for all of them (Bonferroni). Otherwise, or with "
    "fewer than 3 seeds, inconclusive. No sampling of rows is added, since we have the papers' own rows. The smallest "
    "difference is shown.",
    "no difference": "The first model is compared with each of the others as for an ordering. Reproduced when every "
    "interval is within 1 point of 0, not reproduced when one is entirely beyond 1 point. Otherwise, or with fewer "
    "than 3 seeds, inconclusive. The largest difference is shown.",
    "count": "Equality, at the digits that the paper prints.",
    "speed": "Reproduced when the slowest run keeps within the stated limit, not reproduced when even the fastest does "
    "not, otherwise inconclusive.",
    "quoted": "A statement about something that is not run here, such as another paper's result or the released "
    "notebooks, is compared with what its source is known to say. Not reproduced where the source says otherwise. Not "
    "testable where it says the same or nothing is known: a correct quotation is no reproduction.",
    "share": "How often something happens, over the faces that one network saw in camera frames. The paper's word for "
    "it is read as a range. Reproduced when the share's exact 95 % interval is inside, not reproduced when it is "
    "outside, otherwise inconclusive. This describes that one network, not what training gives.",
    "relation": "Whether two series are unrelated. Reproduced when the 95 % interval of their rank correlation is "
    "between -0.3 and 0.3, not reproduced when it excludes 0, otherwise not testable, since a printed table has no "
    "further rows.",
}

INTERVALS = {
    "accuracy": "a new run",
    "fillings": "a new run of any filling",
    "behaviour": "share of seeds",
    "margin": "the mean",
    "ordering": "the mean difference",
    "no difference": "the mean difference",
    "share": "share of faces",
    "relation": "the correlation",
}
"""What each rule's 95 % interval is for. One mean can have two: that of a new run is wider than that of the mean."""


class Verdict(NamedTuple):
    verdict: str  # one of VERDICTS
    measured: float | int | str | None
    interval: tuple[float, float] | None  # 95 %, of what was measured
    because: str  # what the rule saw, in words


def last_digit(reported: float) -> float:
    """One unit of the last digit of a printed number: 0.01 for 60.58, 1 for 62."""
    return float(Decimal(1).scaleb(Decimal(str(reported)).as_tuple().exponent))


def printed(reported: float) -> tuple[float, float]:
    """The range of values that print as ``reported``, rounded or cut off as papers do: (59.5, 61) for 60."""
    unit = last_digit(reported)
    return reported - unit / 2, reported + unit


def accuracy(
    reported: float,
    values: Sequence[float],
    collapsed_to: Sequence[str] = (),
    constant: Mapping[str, float] | None = None,
    unknown_rows: int = 0,
    test_rows: int = 0,
) -> Verdict:
    """Whether a new run would give a reported accuracy; ``values``: each seed's, all in percent.

    ``collapsed_to``: the emotion that each seed collapsed to, "" if it learned. ``constant``: what always predicting
    each emotion scores, in percent, on this many ``test_rows``. ``unknown_rows``: the number of the paper's test rows
    where it is unknown which they are; their binomial noise then widens the interval. Known rows add nothing.

    Measured is the mean of the seeds that learned, or, if the reported figure is a collapsed network's, the number of
    seeds that collapsed so.
    """
    collapsed_to = list(collapsed_to) or [""] * len(values)
    learned = [value for value, to in zip(values, collapsed_to, strict=True) if not to]
    n, listed = len(values), ", ".join(f"{value:.2f}" for value in values)
    if n < SEEDS:
        return Verdict(INCONCLUSIVE, float(np.mean(values)), None, f"{_seeds(n)}, {SEEDS} are needed")
    low, high = printed(reported)
    mean, start, end = _one_new_run(learned, unknown_rows) if len(learned) >= SEEDS else (np.nan,) * 3
    inside = start <= high and low <= end
    of = _collapse(reported, constant or {}, test_rows)
    if of and not inside:
        k = sum(to in of for to in collapsed_to)
        share = statistics.clopper_pearson(k, n)
        seen = f"always predicting {' or '.join(of)} scores this; {k} of {_seeds(n)} collapsed to it ({listed} %)"
        return Verdict(_against(share, RARE), k, share, f"{seen}; a new run would give it if 5 % or more do")
    learners = statistics.clopper_pearson(len(learned), n)
    seen = "" if len(learned) == n else f"; {n - len(learned)} of {_seeds(n)} collapsed ({listed} %)"
    if len(learned) < SEEDS:
        never = learners[1] < RARE
        because = f"{len(learned)} of {_seeds(n)} learned, {SEEDS} are needed{seen}"
        return Verdict(NOT_REPRODUCED if never else INCONCLUSIVE, len(learned), learners, because)
    interval = (start, end)
    if not inside:
        where = "above" if reported > mean else "below"
        return Verdict(NOT_REPRODUCED, mean, interval, f"the reported figure is {where} a new run's interval{seen}")
    own, least, most = (1.96 * value for value in statistics.deviation(learned))
    if own > WIDTH:
        because = f"runs vary by ±{own:.1f} points [{least:.1f}, {most:.1f}], too much to support a figure"
        return Verdict(UNSTABLE, mean, interval, f"{because}{seen}")
    if end - mean > WIDTH:
        because = f"inside a new run's interval, but that is ±{end - mean:.1f} points, wider than ±{WIDTH:g}{seen}"
        return Verdict(INCONCLUSIVE, mean, interval, because)
    return Verdict(REPRODUCED, mean, interval, f"the reported figure is inside a new run's interval{seen}")


def _one_new_run(values: Sequence[float], unknown_rows: int = 0) -> tuple[float, float, float]:
    """Mean, and the prediction interval of one new run (see ``accuracy``)."""
    mean = float(np.mean(values))
    noise = 100 * np.sqrt(mean / 100 * (1 - mean / 100) / unknown_rows) if unknown_rows else 0.0
    return statistics.prediction_interval(values, noise)


def _collapse(reported: float, constant: Mapping[str, float], test_rows: int) -> list[str]:
    """The emotions whose constant prediction scores a reported accuracy, to within ``ROWS_OFF`` rows and half
    its last digit."""
    off = 100 * ROWS_OFF / max(test_rows, 1) + last_digit(reported) / 2
    return [name for name, score in constant.items() if abs(score - reported) <= off]


def _against(interval: tuple[float, float], line: float) -> str:
    """The verdict on a share by its interval: reproduced above the line, not reproduced below it."""
    return REPRODUCED if interval[0] >= line else NOT_REPRODUCED if interval[1] < line else INCONCLUSIVE


def fillings(reported: float, values: Mapping[str, Sequence[float]], unknown_rows: int = 0) -> Verdict:
    """Whether a new run of at least one filling would give a reported accuracy.

    ``values``: each filling's seeds, in percent, without those that collapsed; the same filling on other rows is
    another entry. The deviation over seeds is pooled. Measured is the mean of the best filling; the interval goes from
    the lowest end of all intervals to the highest.
    """
    known = {name: list(own) for name, own in values.items() if own}
    deviation, freedom = statistics.pooled_deviation(known.values())
    if freedom < SEEDS:
        return Verdict(INCONCLUSIVE, None, None, f"{freedom + len(known)} seeds of {len(known)} fillings are too few")
    low, high = printed(reported)
    ends, holding = [], []
    for name, own in known.items():
        mean = float(np.mean(own))
        noise = mean / 100 * (1 - mean / 100) / unknown_rows * 1e4 if unknown_rows else 0.0
        half = statistics.half_width(deviation * np.sqrt(1 + 1 / len(own)), freedom, np.sqrt(noise))
        ends.append((mean - half, mean + half))
        if mean - half <= high and low <= mean + half:
            holding.append(name)
    best = max(known, key=lambda name: np.mean(known[name]))
    mean, interval = float(np.mean(known[best])), (min(low for low, _ in ends), max(high for _, high in ends))
    highest = f"the highest mean is {mean:.2f} % ({best})"
    if holding:
        because = f"{len(holding)} of {len(known)} fillings would give it ({', '.join(holding)}); {highest}"
        return Verdict(REPRODUCED, mean, interval, because)
    where = "above" if reported > interval[1] else "below" if reported < interval[0] else "between"
    because = f"the reported figure is {where} the intervals of a new run of all {len(known)} fillings; {highest}"
    return Verdict(NOT_REPRODUCED, mean, interval, because)


def behaviour(shown: Sequence[bool]) -> Verdict:
    """Whether runs typically show a behaviour; ``shown``: whether each seed does. Measured is k, the interval that of
    k of N.

    A paper saw it once and claims it. We read this as: training gives it more often than not. So the line is one half,
    and the whole exact interval has to be on one side of it: that of 6 of 6 begins at 0.54.
    """
    k, n = sum(map(bool, shown)), len(shown)
    interval = statistics.clopper_pearson(k, n)
    verdict = REPRODUCED if interval[0] > 0.5 else NOT_REPRODUCED if interval[1] < 0.5 else INCONCLUSIVE
    side = {
        REPRODUCED: "more than half",
        NOT_REPRODUCED: "fewer than half",
        INCONCLUSIVE: "the interval includes one half",
    }
    return Verdict(verdict, k, interval, f"{k} of {_seeds(n)} show it: {side[verdict]}")


def margin(values: Sequence[float], learned: Sequence[bool], low: float, high: float) -> Verdict:
    """Whether a measured quantity is typically from ``low`` to ``high``; ``values``: each seed's, in its unit.

    ``learned``: whether each seed learned; the others are left out. Measured is the mean of those that learned.
    """
    own = [value for value, did in zip(values, learned, strict=True) if did]
    n = len(values)
    seen = "" if len(own) == n else f"; left out, because collapsed: {n - len(own)} of {_seeds(n)}"
    if statistics.clopper_pearson(len(own), n)[1] < 0.5:
        because = f"{len(own)} of {_seeds(n)} learned: fewer than half"
        return Verdict(NOT_REPRODUCED, float(np.mean(own)) if own else None, None, because)
    if len(own) < SEEDS:
        mean = float(np.mean(own)) if own else None
        return Verdict(INCONCLUSIVE, mean, None, f"{_seeds(len(own))}, {SEEDS} are needed{seen}")
    mean, start, end = statistics.t_interval(own)
    verdict, place = INCONCLUSIVE, "partly outside"
    if low <= start and end <= high:
        verdict, place = REPRODUCED, "inside"
    elif end < low or start > high:
        verdict, place = NOT_REPRODUCED, "outside"
    return Verdict(verdict, mean, (start, end), f"the interval of the mean is {place} the range{seen}")


def ordering(differences: Sequence[Sequence[float]], collapsed: Sequence[Sequence[bool]]) -> Verdict:
    """Whether models have the claimed order. ``differences``: (comparisons, seeds) in points of accuracy on the same
    rows, positive where a seed's pair has the claimed order.

    ``collapsed``: (comparisons, seeds) bool, whether one of the pair collapsed. Measured is the smallest mean
    difference.
    """
    compared, seeds = _comparisons(differences, collapsed), np.shape(differences)[1]
    held = sum(one.interval[0] > one.line for one in compared)
    against = sum(one.strict[1] < one.line for one in compared)
    least = min(compared, key=lambda one: one.mean)
    interval = None if least.counted else least.interval
    words = [f"{held} of {len(compared)} comparisons hold"] if len(compared) > 1 else []
    words += dict.fromkeys(one.counted for one in compared if one.counted)
    if seeds < SEEDS:
        return Verdict(INCONCLUSIVE, least.mean, None, "; ".join([*words, f"{_seeds(seeds)}, {SEEDS} are needed"]))
    verdict = REPRODUCED if held == len(compared) else NOT_REPRODUCED if against else INCONCLUSIVE
    if against:
        words.append(f"{against} reversed" if len(compared) > 1 else "the order is reversed")
    elif verdict == INCONCLUSIVE:
        words.append("an interval includes no difference")
    return Verdict(verdict, least.mean, interval, "; ".join(words) or "the interval is above 0")


def no_difference(differences: Sequence[Sequence[float]], collapsed: Sequence[Sequence[bool]]) -> Verdict:
    """Whether variants of a model have the same accuracy; arguments as for ``ordering``. Measured is the largest mean
    difference."""
    compared, seeds = _comparisons(differences, collapsed), np.shape(differences)[1]
    if np.any(collapsed):
        return Verdict(INCONCLUSIVE, None, None, "a seed collapsed, so an interval of the differences means nothing")
    largest = max(compared, key=lambda one: abs(one.mean))
    if seeds < SEEDS:
        return Verdict(INCONCLUSIVE, largest.mean, None, f"{_seeds(seeds)}, {SEEDS} are needed")
    alike = [-ALIKE <= one.interval[0] and one.interval[1] <= ALIKE for one in compared]
    beyond = [one.strict[0] > ALIKE or one.strict[1] < -ALIKE for one in compared]
    because = f"{sum(alike)} of {len(compared)} are within {ALIKE:g} point of 0, {sum(beyond)} entirely beyond"
    verdict = REPRODUCED if all(alike) else NOT_REPRODUCED if any(beyond) else INCONCLUSIVE
    return Verdict(verdict, largest.mean, largest.interval, because)


class _Comparison(NamedTuple):
    mean: float  # points
    interval: tuple[float, float]  # 95 %, of the mean, or of the share of seeds that show it
    strict: tuple[float, float]  # the same, at a level corrected for all comparisons of the claim
    line: float  # the comparison holds if the interval is above it
    counted: str  # in words, where seeds are counted


def _comparisons(differences: Sequence[Sequence[float]], collapsed: Sequence[Sequence[bool]]) -> list[_Comparison]:
    levels = statistics.LEVEL, 1 - (1 - statistics.LEVEL) / len(differences)
    compared = []
    for own, failed in zip(np.asarray(differences, np.float64), np.asarray(collapsed, bool), strict=True):
        n, mean, line, words = len(own), float(own.mean()), 0.0, ""
        if failed.any():
            k, line = int((own > 0).sum()), 0.5
            words = f"a network collapsed in {failed.sum()} of {_seeds(n)}; counted by seed, {k} have the claimed order"
            intervals = [statistics.clopper_pearson(k, n, level) for level in levels]
        else:
            intervals = [statistics.t_interval(own, level)[1:] for level in levels]
        compared.append(_Comparison(mean, *intervals, line, words))
    return compared


def count(reported: float | str, measured: float | str) -> Verdict:
    """Whether a count (or a name) equals the reported one, at the digits that the paper prints."""
    if isinstance(reported, str) or isinstance(measured, str):
        equal = reported == measured
    else:
        rounding = 0.0 if float(measured).is_integer() else last_digit(reported) / 2
        equal = abs(measured - reported) <= rounding
    return Verdict(REPRODUCED if equal else NOT_REPRODUCED, measured, None, "equal" if equal else "not equal")


def speed(limit: float, values: Sequence[float]) -> Verdict:
    """Whether runs keep within a limit, both in the same unit. Measured is the slowest."""
    slowest, fastest = max(values), min(values)
    verdict = REPRODUCED if slowest <= limit else NOT_REPRODUCED if fastest > limit else INCONCLUSIVE
    kept = sum(value <= limit for value in values)
    return Verdict(verdict, slowest, None, f"{kept} of {_seeds(len(values))} within the limit; the slowest is shown")


def share(k: int, n: int, low: float, high: float) -> Verdict:
    """Whether the share k of n is from ``low`` to ``high`` percent. Measured is the share in percent.

    Raises ValueError unless 0 <= k <= n and n >= 1.
    """
    start, end = (100 * side for side in statistics.clopper_pearson(k, n))
    verdict, place = INCONCLUSIVE, "partly outside"
    if low <= start and end <= high:
        verdict, place = REPRODUCED, "inside"
    elif end < low or start > high:
        verdict, place = NOT_REPRODUCED, "outside"
    return Verdict(verdict, 100 * k / n, (start, end), f"{k:,} of {n:,} faces: interval {place} {low:g} to {high:g} %")


def quoted(reported: float | str, source: float | str) -> Verdict:
    """Whether a statement about another source is what that source says; never "reproduced"."""
    if reported == source:
        return Verdict(NOT_TESTABLE, source, None, "the source says the same; not run here")
    return Verdict(NOT_REPRODUCED, source, None, "the source says otherwise")


def no_relation(first: Sequence[float], second: Sequence[float]) -> Verdict:
    """Whether two series are unrelated. Measured is their rank correlation."""
    rho, low, high = statistics.rank_correlation(first, second)
    if -WEAK < low and high < WEAK:
        verdict, because = REPRODUCED, "the correlation is weak"
    elif low > 0 or high < 0:
        verdict, because = NOT_REPRODUCED, "they are correlated"
    else:
        verdict, because = NOT_TESTABLE, f"{len(first)} pairs are too few to tell, and there are no more"
    return Verdict(verdict, rho, (low, high), because)


def _seeds(n: int) -> str:
    return "1 seed" if n == 1 else f"{n} seeds"
