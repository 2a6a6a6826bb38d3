"""Several networks that predict together: averaged, or each with a weight that is learned.

Probabilities are (m, n, k), m networks for n rows; whatever is fitted is fitted on rows of its own, PublicTest here.
"""

from itertools import combinations
from math import comb

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp, softmax

from . import calibration

LEAST = 6e-8
"""The least probability above 0 that a record can keep (float16)."""


def calibrated(probabilities: np.ndarray, fitted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Each network's probabilities (m, n, k) as float32, at the temperature that suits it on the rows that are
    ``fitted``, (n,) bool, with their ``labels``, (n,): an overconfident network does not outvote the others."""
    logits = np.log(np.maximum(probabilities.astype(np.float32), LEAST))
    warm = [one / np.float32(calibration.temperature(one[fitted], labels[fitted])) for one in logits]
    return softmax(np.stack(warm), axis=-1)


def soft_vote(probabilities: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The mean of the networks' probabilities, (n, k): what "averaging several networks" means in Vorontsov and Averkin
    2018. ``weights`` (m,), which add up to 1: of each network; None: all alike."""
    return np.average(probabilities, axis=0, weights=weights)


def learned_weights(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The weights (m,), none negative, adding up to 1, with which the vote makes the labels (n,) most likely.

    So Yu and Zhang 2015 (ICMI, doi 10.1145/2818346.2830595) learn the vote of their networks (the first of their two
    losses). Raises ValueError without a row.
    """
    if not len(labels):
        raise ValueError("labels: found no row, expected some to learn the weights from; check the data's PublicTest")
    of_label = np.log(np.maximum(probabilities[:, np.arange(len(labels)), labels].astype(np.float64), LEAST))

    def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
        joint = log_softmax(free)[:, None] + of_label
        total = logsumexp(joint, axis=0)
        return -float(total.mean()), softmax(free) - np.exp(joint - total).mean(axis=1)

    return softmax(minimize(loss, np.zeros(len(probabilities)), jac=True, method="L-BFGS-B").x)


def by_size(probabilities: np.ndarray, labels: np.ndarray, most: int = 200) -> list[dict]:
    """What another network gives: for each size from 1 to m, over the ensembles of that size, at most ``most`` of them
    sampled once, of the soft vote's accuracy on these rows: size, mean, least, best (fractions)."""
    lines, rng = [], np.random.default_rng(0)
    for size in range(1, len(probabilities) + 1):
        if comb(len(probabilities), size) <= most:
            sets = set(combinations(range(len(probabilities)), size))
        else:  # of 24 networks there are millions: none is listed that is not sampled
            sets = set()
            while len(sets) < most:
                sets.add(tuple(sorted(rng.choice(len(probabilities), size, replace=False).tolist())))
        right = [(soft_vote(probabilities[list(some)]).argmax(axis=-1) == labels).mean() for some in sets]
        lines.append({"size": size, "mean": float(np.mean(right)), "least": min(right), "best": max(right)})
    return lines
