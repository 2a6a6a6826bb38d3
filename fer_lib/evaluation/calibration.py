"""How well confidence matches accuracy, and a temperature for a network's logits that calibrates it (Guo et al.
2017)."""

import numpy as np
from scipy.optimize import minimize_scalar

from . import metrics

BINS = 15
"""Number of confidence bins of the calibration error."""


def bins(confidence: np.ndarray) -> np.ndarray:
    """The number of the bin, of ``BINS`` equal ones, of each confidence (n,), 0 to 1: (n,) int."""
    return np.minimum((confidence * BINS).astype(int), BINS - 1)


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error, 0 to 1, of predictions with this ``confidence``, (n,) of 0 to 1; ``right``: (n,)
    bool."""
    return float(np.abs(np.bincount(bins(confidence), right - confidence)).sum() / len(right))


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """What to divide logits by so that the labels are most likely (Guo et al. 2017); above 1 for an overconfident
    network.

    ``logits`` (n, 7) float32 and ``labels`` (n,) of rows that it was not trained on. Predicted classes stay the same,
    only confidences change. Searched between 0.05 and 20. Raises ValueError if there is no row.
    """
    if not len(labels):
        raise ValueError("labels: found no row, expected some to fit a temperature to; check the data's PublicTest")

    def loss(logarithm: float) -> float:
        return float(metrics.cross_entropy(logits / np.float32(np.exp(logarithm)), labels, "logits").mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))
