"""How sure we are: intervals over seeds, and over the rows of a test set. The two kinds of spread stand apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_confint


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean of the values and its Student t interval: (mean, low, high), in the values' unit.

    It tells how far another set of seeds would move the mean. One value has a mean and no spread: low and high are
    NaN. Raises ValueError for no value, for one that is not finite, and for a level outside (0, 1).
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"values: found shape {values.shape}, expected one number at least; is there a run to read?")
    if not np.isfinite(values).all():
        raise ValueError(f"values: found {values.tolist()}, expected finite numbers")
    _check(level)
    mean = float(values.mean())
    if len(values) == 1:
        return mean, float("nan"), float("nan")
    half = float(stats.t.ppf(0.5 + level / 2, len(values) - 1) * stats.sem(values))
    return mean, mean - half, mean + half


def wilson(correct: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval (low, high), fractions of 0 to 1, for ``correct`` right answers on ``n`` test rows.

    It tells how far another test set of the same size would move the accuracy of the same network. ``correct`` may be
    a mean over seeds; the seeds share their test rows, so ``n`` stays the number of rows, not of rows x seeds.
    Raises ValueError unless 0 <= correct <= n and n >= 1.
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"correct, n: found {correct} of {n}, expected 0 <= correct <= n and n >= 1")
    _check(level)
    low, high = proportion_confint(correct, n, alpha=1 - level, method="wilson")
    share = correct / n  # at 0 and n the formula's end is the share itself, but for rounding
    return float(max(0.0, min(low, share))), float(min(1.0, max(high, share)))


def _check(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level: found {level}, expected a fraction between 0 and 1, such as 0.95")
