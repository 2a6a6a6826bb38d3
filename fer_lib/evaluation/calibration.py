"""Confidence that means what it says: one temperature for all of a network's logits (Guo et al. 2017)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from . import metrics


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """What to divide logits by so that the labels are likeliest; above 1 where the network is too sure of itself.

    ``logits`` (n, 7) float32 and ``labels`` (n,) of rows that it was not trained on. No answer changes, only how sure
    it is. Looked for between 0.05 and 20; raises ValueError where there is no row.
    """
    if not len(labels):
        raise ValueError("labels: found no row, expected some to fit a temperature to; look at the data's PublicTest")

    def loss(logarithm: float) -> float:
        return float(metrics.cross_entropy(logits / np.float32(np.exp(logarithm)), labels, "logits").mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))
