"""Scores of predictions: accuracy, loss, and which classes a model predicts."""

import numpy as np
from scipy.special import log_softmax, softmax

from ..data.emotions import EIGHT, FER2013

EPSILON = 1e-7
"""Where old Keras clipped probabilities (``K.epsilon()``)."""

COLLAPSED = 0.99
"""A network that predicts one class for this share of the rows or more is called collapsed."""

SEVEN = len(FER2013)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis: (n, k) float32 logits to (n, k) float32 probabilities."""
    return softmax(np.asarray(logits, np.float32), axis=-1)


def cross_entropy(logits: np.ndarray, labels: np.ndarray, loss: str) -> np.ndarray:
    """Cross-entropy of each row in nats, (n,) float32, in a form of the loss (see ``losses.loss_function``).

    Each row has one label here, for which the loss "any of" is the same as "logits".
    """
    logits = np.asarray(logits, np.float32)
    rows = np.arange(len(labels))
    if loss != "clipped":
        return -log_softmax(logits, axis=-1)[rows, labels]
    one = np.float32(1)
    return -np.log(np.clip(probabilities(logits)[rows, labels], np.float32(EPSILON), one - np.float32(EPSILON)))


def score(classes: np.ndarray, labels: np.ndarray, losses: np.ndarray | None = None, count: int = SEVEN) -> dict:
    """Score predicted ``classes`` (n,) against ``labels`` (n,), integers from 0 to ``count`` - 1.

    Returns n, correct, accuracy (a fraction), predicted (how often each class was predicted, ``count`` numbers), recall
    (per class, None where the class has no row) and, where each row's ``losses`` are given, their mean as loss.
    Raises ValueError if there is no row to score.
    """
    classes, labels = np.asarray(classes), np.asarray(labels)
    if len(labels) == 0:
        raise ValueError("no row to score: expected one at least; look at evaluation_rows and the data set's splits")
    hit = classes == labels
    recall = [float(hit[labels == k].mean()) if (labels == k).any() else None for k in range(count)]
    result = {
        "n": len(labels),
        "correct": int(hit.sum()),
        "accuracy": float(hit.mean()),
        "predicted": np.bincount(classes, minlength=count).tolist(),
        "recall": recall,
    }
    if losses is not None:
        result["loss"] = float(np.mean(losses))
    return result


def score_splits(
    classes: np.ndarray, labels: np.ndarray, split: np.ndarray, clean: np.ndarray, losses=None, count: int = SEVEN
) -> dict:
    """Scores on PublicTest, PrivateTest, both together, and the PrivateTest rows marked ``clean``.

    All arrays (m,): ``split`` codes 1 and 2 as in ``data.SPLITS``, ``clean`` bool (see ``audit.clean_rows``).
    ``count``: how many emotions there are. Sets without a row are left out.
    """
    sets = {
        "PublicTest": split == 1,
        "PrivateTest": split == 2,
        "PublicTest+PrivateTest": split > 0,
        "PrivateTest clean": (split == 2) & clean,
    }
    return {
        name: score(classes[rows], labels[rows], None if losses is None else losses[rows], count)
        for name, rows in sets.items()
        if rows.any()
    }


def collapsed(score: dict, emotions: tuple[str, ...] = EIGHT) -> str | None:
    """The one emotion that a collapsed network predicts ("sad"), from its score; None if it has not collapsed.

    ``emotions``: what the codes mean, where they are neither FER2013's nor FER+'s.
    """
    counts = score["predicted"]
    return emotions[int(np.argmax(counts))] if max(counts) >= COLLAPSED * sum(counts) else None
