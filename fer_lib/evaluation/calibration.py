"""How far confidence is earned, and one temperature for a network's logits that makes it so (Guo et al. 2017)."""

import numpy as np
from scipy.optimize import minimize_scalar

from . import metrics

BINS = 15
"""How many bins of confidence the calibration error has."""


def bins(confidence: np.ndarray) -> np.ndarray:
    """Which of ``BINS`` equal bins each confidence (n,), 0 to 1, falls into: (n,) int."""
    return np.minimum((confidence * BINS).astype(int), BINS - 1)


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error of predictions of this confidence, (n,) of 0 to 1, of which these were right."""
    return float(np.abs(np.bincount(bins(confidence), right - confidence)).sum() / len(right))


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """What to divide logits by so that the labels are likeliest (Guo et al. 2017); above 1 where it is too sure.

    ``logits`` (n, 7) float32 and ``labels`` (n,) of rows that it was not trained on. No predicted class changes, only
    its confidence. Looked for between 0.05 and 20; raises ValueError where there is no row.
    """
    if not len(labels):
        raise ValueError("labels: found no row, expected some to fit a temperature to; look at the data's PublicTest")

    def loss(logarithm: float) -> float:
        return float(metrics.cross_entropy(logits / np.float32(np.exp(logarithm)), labels, "logits").mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))
