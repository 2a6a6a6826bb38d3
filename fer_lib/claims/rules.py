"""The rules by which claims are judged, one for each kind. Pure functions on numbers; each gives a ``Verdict``.

``claims/history.yaml`` says when each was made, what was known then, and which verdicts a change moved.
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
"""Fewer decide nothing about an accuracy or an order."""
WIDTH = 3.0
"""Points each way: runs that spread more support no figure, so that width never buys a "reproduced"."""
RARE = 0.05
"""An outcome that fewer runs than this share have is none that one new run would give; so of 95 % intervals, too."""
ROWS_OFF = 3
"""A reported accuracy this many test rows or fewer beside that of one emotion for all faces is a collapsed network's:
one with saturated weights answers black images from its biases alone."""
WEAK = 0.3
"""A rank correlation between -0.3 and 0.3 counts as none."""
ALIKE = 1.0
"""Points of accuracy that may lie between models which are to be alike."""

RULES = {
    "accuracy": "One question: could one new run give the reported figure? A printed 60.58 stands for all that prints "
    "so, rounded or cut off: 60.575 to 60.59. Of the seeds that learned, the 95 % prediction interval of one new run "
    "holds the figure or does not; where the paper's test rows are unknown, it holds the sampling of as many rows "
    "besides. A collapse to one emotion is no spread but an outcome with a share: a figure which that emotion alone "
    "scores is one that a new run would give when the share of seeds that collapse to it is 5 % or more, by the "
    "exact 95 % interval (Clopper and Pearson). Reproduced when a new run would give it, not reproduced when it would "
    "not. Unstable when the figure lies inside and the runs that learned differ by more than 3 points each way (1.96 "
    "standard deviations, what the interval comes to with ever more seeds): one run of this protocol supports no "
    "figure. Inconclusive when more runs would decide. Of figures that one new run did give, one in twenty or fewer "
    "are called not reproduced; of outcomes rarer than 5 %, one in forty or fewer reproduced.",
    "fillings": "An accuracy of a network that its paper does not fill in is held against all plausible fillings that "
    "were run, and against each reading of the rows: could one new run of any of them give it? The spread of seeds is "
    "pooled over the fillings, and each interval holds the sampling of as many rows as the paper may have had. "
    "Reproduced when one filling's interval holds the figure, and which one is said; not reproduced when none does.",
    "behaviour": "Of N seeds, k show it. Reproduced when the exact 95 % interval of k of N lies above one half, not "
    "reproduced when it lies below, and otherwise inconclusive; so 6 seeds of 6 decide, 5 of 5 do not. A behaviour "
    "that half of all runs show is decided wrongly, one way or the other, in one of twenty tries or fewer.",
    "margin": "Where what a behaviour is about is measured, in points or percent, its size is judged and not how many "
    "seeds are on the right side. Reproduced when the 95 % t interval of its mean over the seeds that learned lies "
    "within the range, not reproduced when it lies outside, or when most seeds collapse; otherwise, or with fewer than "
    "3 seeds that learned, inconclusive.",
    "ordering": "Two models predict the same rows, seed by seed. A comparison holds when the 95 % t interval of the "
    "mean difference over seeds lies above 0. Where a network collapsed, differences are no spread: the comparison is "
    "then a behaviour, and a seed shows it when its difference is above 0. Reproduced when all comparisons hold, not "
    "reproduced when one holds the other way round, at a level that all share (Bonferroni), and otherwise, or with "
    "fewer than 3 seeds, inconclusive. The papers' own rows add no sampling. The smallest difference is given.",
    "no difference": "The first model is compared with each of the others as for an ordering. That they do not differ "
    "is reproduced when every interval lies within 1 point of 0, not reproduced when one lies wholly beyond 1 point, "
    "and otherwise, or with fewer than 3 seeds, inconclusive. The largest difference is given.",
    "count": "Equality, at the digits that the paper prints.",
    "speed": "Reproduced when the slowest run keeps within the stated limit, not reproduced when the fastest does not, "
    "and otherwise inconclusive.",
    "quoted": "A statement about something that is not run here, such as another paper's result or the released "
    "notebooks, is held against what its source is known to say. It is not reproduced where the source says "
    "otherwise, and not testable where it says the same or nothing is known: quoting rightly is no reproduction.",
    "share": "How often something happens, over the faces that one network was shown before a camera: the paper's word "
    "for it is read as a range. Reproduced when the share's exact 95 % interval lies within, not reproduced when it "
    "lies outside, and otherwise inconclusive. It says what that network does, not what training gives.",
    "relation": "That two series have nothing to do with each other is reproduced when the 95 % interval of their rank "
    "correlation lies within -0.3 to 0.3, not reproduced when it leaves out 0, and otherwise not testable, since a "
    "printed table has no further rows.",
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
"""What the 95 % interval of each rule is of. One mean can stand with two: a new run lies further out than a mean."""


class Verdict(NamedTuple):
    verdict: str  # one of VERDICTS
    measured: float | int | str | None
    interval: tuple[float, float] | None  # 95 %, around what was measured
    because: str  # what the rule saw, in words


def last_digit(reported: float) -> float:
    """One unit of the last digit of a printed number: 0.01 for 60.58, 1 for 62."""
    return float(Decimal(1).scaleb(Decimal(str(reported)).as_tuple().exponent))


def printed(reported: float) -> tuple[float, float]:
    """The range of what prints as ``reported``: papers round some figures, and cut some off. (59.5, 61) for 60."""
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
    """Whether a reported accuracy is one that a new run would give; ``values``: each seed's, all in percent.

    ``collapsed_to``: the emotion that a seed collapsed to, "" for one that learned. ``constant``: what each emotion
    alone scores, in percent, on so many ``test_rows``. ``unknown_rows``: where the paper's test rows are unknown, how
    many it had; their binomial noise then widens the interval. Known rows are ours too, and add nothing.

    Measured is the mean of the seeds that learned, or, of a collapse's figure, the number of seeds that have it.
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
        seen = f"answering {' or '.join(of)} alone scores this; {k} of {_seeds(n)} collapse to it ({listed} %)"
        return Verdict(_against(share, RARE), k, share, f"{seen}, and a new run gives it where 5 % or more do")
    learners = statistics.clopper_pearson(len(learned), n)
    seen = "" if len(learned) == n else f"; {n - len(learned)} of {_seeds(n)} collapsed ({listed} %)"
    if len(learned) < SEEDS:
        never = learners[1] < RARE
        because = f"{len(learned)} of {_seeds(n)} learned, {SEEDS} that do are needed{seen}"
        return Verdict(NOT_REPRODUCED if never else INCONCLUSIVE, len(learned), learners, because)
    interval = (start, end)
    if not inside:
        where = "above" if reported > mean else "below"
        return Verdict(NOT_REPRODUCED, mean, interval, f"the reported figure lies {where} what one new run gives{seen}")
    own, least, most = (1.96 * value for value in statistics.deviation(learned))
    if own > WIDTH:
        because = f"runs lie ±{own:.1f} points apart in the long run [{least:.1f}, {most:.1f}]: they support no figure"
        return Verdict(UNSTABLE, mean, interval, f"{because}{seen}")
    if end - mean > WIDTH:
        because = f"inside, but the interval is ±{end - mean:.1f} points, wider than ±{WIDTH:g}{seen}"
        return Verdict(INCONCLUSIVE, mean, interval, because)
    return Verdict(REPRODUCED, mean, interval, f"within what one new run gives{seen}")


def _one_new_run(values: Sequence[float], unknown_rows: int = 0) -> tuple[float, float, float]:
    """Mean, and the prediction interval of one new run (see ``accuracy``)."""
    mean = float(np.mean(values))
    noise = 100 * np.sqrt(mean / 100 * (1 - mean / 100) / unknown_rows) if unknown_rows else 0.0
    return statistics.prediction_interval(values, noise)


def _collapse(reported: float, constant: Mapping[str, float], test_rows: int) -> list[str]:
    """The emotions that alone score a reported accuracy, within ``ROWS_OFF`` rows and half its last digit."""
    off = 100 * ROWS_OFF / max(test_rows, 1) + last_digit(reported) / 2
    return [name for name, score in constant.items() if abs(score - reported) <= off]


def _against(interval: tuple[float, float], line: float) -> str:
    """The verdict of a share's interval against a line that it has to lie above."""
    return REPRODUCED if interval[0] >= line else NOT_REPRODUCED if interval[1] < line else INCONCLUSIVE


def fillings(reported: float, values: Mapping[str, Sequence[float]], unknown_rows: int = 0) -> Verdict:
    """Whether one new run of some filling gives a reported accuracy. ``values``: each filling's seeds, in percent.

    The same filling on other rows is another entry. Seeds that collapsed are left out before. The deviation of seeds is
    pooled. Measured is the mean of the best filling; the interval goes from the lowest end of all to the highest.
    """
    known = {name: list(own) for name, own in values.items() if own}
    freedom = sum(len(own) - 1 for own in known.values())
    if freedom < SEEDS:
        return Verdict(INCONCLUSIVE, None, None, f"{freedom + len(known)} seeds of {len(known)} fillings are too few")
    squares = sum(len(own) * np.var(own) for own in known.values())
    deviation = float(np.sqrt(squares / freedom))
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
        because = f"{len(holding)} of {len(known)} fillings give it ({', '.join(holding)}); {highest}"
        return Verdict(REPRODUCED, mean, interval, because)
    where = "above" if reported > interval[1] else "below" if reported < interval[0] else "between"
    because = f"the reported figure lies {where} what one new run of any of {len(known)} fillings gives; {highest}"
    return Verdict(NOT_REPRODUCED, mean, interval, because)


def behaviour(shown: Sequence[bool]) -> Verdict:
    """Whether runs typically behave so; ``shown``: whether each seed did. Measured is k, the interval that of k of N.

    The claim of a paper that saw a thing once is read as: this is what training it gives, more often than not. So the
    line is one half, and both sides of the exact interval have to keep to one side of it: 6 of 6 begin at 0.54.
    """
    k, n = sum(map(bool, shown)), len(shown)
    interval = statistics.clopper_pearson(k, n)
    verdict = REPRODUCED if interval[0] > 0.5 else NOT_REPRODUCED if interval[1] < 0.5 else INCONCLUSIVE
    side = {
        REPRODUCED: "more than half",
        NOT_REPRODUCED: "fewer than half",
        INCONCLUSIVE: "the interval spans one half",
    }
    return Verdict(verdict, k, interval, f"{k} of {_seeds(n)}: {side[verdict]}")


def margin(values: Sequence[float], learned: Sequence[bool], low: float, high: float) -> Verdict:
    """Whether a measured quantity typically lies from ``low`` to ``high``; ``values``: each seed's, in its unit.

    ``learned``: which of the seeds; the others have no such quantity. Measured is the mean of those that learned.
    """
    own = [value for value, did in zip(values, learned, strict=True) if did]
    n = len(values)
    seen = "" if len(own) == n else f"; {n - len(own)} of {_seeds(n)} collapsed and have none"
    if statistics.clopper_pearson(len(own), n)[1] < 0.5:
        because = f"{len(own)} of {_seeds(n)} learned: fewer than half"
        return Verdict(NOT_REPRODUCED, float(np.mean(own)) if own else None, None, because)
    if len(own) < SEEDS:
        mean = float(np.mean(own)) if own else None
        return Verdict(INCONCLUSIVE, mean, None, f"{_seeds(len(own))}, {SEEDS} are needed{seen}")
    mean, start, end = statistics.t_interval(own)
    verdict, place = INCONCLUSIVE, "across an end of"
    if low <= start and end <= high:
        verdict, place = REPRODUCED, "within"
    elif end < low or start > high:
        verdict, place = NOT_REPRODUCED, "outside"
    return Verdict(verdict, mean, (start, end), f"the mean is {place} the range{seen}")


def ordering(differences: Sequence[Sequence[float]], collapsed: Sequence[Sequence[bool]]) -> Verdict:
    """Whether models stand in the claimed order. ``differences``: (comparisons, seeds) points of accuracy on the same
    rows, positive where a seed's pair stands as claimed.

    ``collapsed``: (comparisons, seeds), whether one of the pair did. Measured is the smallest mean difference.
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
        words.append(f"{against} the other way round" if len(compared) > 1 else "the other way round")
    elif verdict == INCONCLUSIVE:
        words.append("an interval spans the line")
    return Verdict(verdict, least.mean, interval, "; ".join(words) or "the interval lies above 0")


def no_difference(differences: Sequence[Sequence[float]], collapsed: Sequence[Sequence[bool]]) -> Verdict:
    """Whether changes of a model change its accuracy, arguments as for ``ordering``. Measured is the largest one."""
    compared, seeds = _comparisons(differences, collapsed), np.shape(differences)[1]
    if np.any(collapsed):
        return Verdict(INCONCLUSIVE, None, None, "a seed collapsed, and differences are no spread then")
    largest = max(compared, key=lambda one: abs(one.mean))
    if seeds < SEEDS:
        return Verdict(INCONCLUSIVE, largest.mean, None, f"{_seeds(seeds)}, {SEEDS} are needed")
    alike = [-ALIKE <= one.interval[0] and one.interval[1] <= ALIKE for one in compared]
    beyond = [one.strict[0] > ALIKE or one.strict[1] < -ALIKE for one in compared]
    because = f"{sum(alike)} of {len(compared)} lie within {ALIKE:g} point of 0, {sum(beyond)} wholly beyond"
    verdict = REPRODUCED if all(alike) else NOT_REPRODUCED if any(beyond) else INCONCLUSIVE
    return Verdict(verdict, largest.mean, largest.interval, because)


class _Comparison(NamedTuple):
    mean: float  # points
    interval: tuple[float, float]  # 95 %, of the mean, or of the share of seeds that show it
    strict: tuple[float, float]  # the same at a level that all comparisons of the claim share
    line: float  # what lies above it holds
    counted: str  # in words, where seeds are counted


def _comparisons(differences: Sequence[Sequence[float]], collapsed: Sequence[Sequence[bool]]) -> list[_Comparison]:
    levels = statistics.LEVEL, 1 - (1 - statistics.LEVEL) / len(differences)
    compared = []
    for own, fell in zip(np.asarray(differences, np.float64), np.asarray(collapsed, bool), strict=True):
        n, mean, line, words = len(own), float(own.mean()), 0.0, ""
        if fell.any():
            k, line = int((own > 0).sum()), 0.5
            words = f"in {fell.sum()} of {_seeds(n)} a network collapsed; counted, {k} are as claimed"
            intervals = [statistics.clopper_pearson(k, n, level) for level in levels]
        else:
            intervals = [statistics.t_interval(own, level)[1:] for level in levels]
        compared.append(_Comparison(mean, *intervals, line, words))
    return compared


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
    start, end = (100 * side for side in statistics.clopper_pearson(k, n))
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
        verdict, because = NOT_TESTABLE, f"{len(first)} pairs cannot tell, and there are no more"
    return Verdict(verdict, rho, (low, high), because)


def _seeds(n: int) -> str:
    return "1 seed" if n == 1 else f"{n} seeds"
