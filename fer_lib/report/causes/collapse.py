"""Why networks collapsed to one emotion (``metrics.collapsed``): what losses, histories and printed accuracies show.

A network whose softmax is exactly 0 and 1 pays -ln(1e-7) for each wrong prediction where probabilities are clipped as
in old Keras, and nothing for a right one; the clip passes no gradient on. Numbers only, all from records; accuracies
are fractions.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pandas as pd

from ...data import fer2013
from ...data.emotions import FER2013
from ...evaluation import metrics, pooled, records, statistics
from .networks import BOTH

WRONG = -math.log(metrics.EPSILON)
"""Nats that a wrong prediction costs where the loss is clipped and the network is certain: 16.118."""
CERTAIN = 1e-3
"""A clipped loss within this share of ``certain_loss`` is that of a network certain of nearly all predictions."""

RELEASED = (("Feed-forward network", 13.346, 13.9670), ("Simple CNN", 24.728, 12.1324))
"""Accuracy in percent and validation loss that the released notebooks of Saravanan et al. 2019 have stored."""
PRINTED = (
    ("Table I, feed-forward network", 17.38),
    ("Table I, simple CNN", 24.72),
    ("Table V, Adam, batch 64", 17.38),
    ("released notebook, feed-forward network", 13.346),
    ("released notebook, simple CNN", 24.728),
    ("released notebook, default Adam", 17.386),
)
"""Accuracies in percent that look like those of a network which predicts one emotion, and where they are printed."""

FACTORS = ("model", "optimizer", "learning_rate", "input_scale", "loss", "batch_size")
"""What a sweep of first steps varies."""
TRACES = {
    "loss": "Loss of the\nbatch (nats)",
    "saturated": "Rows so sure that\nthe clip is reached",
    "gradient_norm": "Norm of the gradient",
    "dead": "ReLU units dead\non the batch",
    "most_given_share": "Share of the emotion\npredicted most",
}
"""Quantities of ``fer_lib.training.first_steps`` that are shown of a sweep, and what they are called at an axis."""


def certain_loss(accuracy: float) -> float:
    """The clipped loss of a network that is certain of every prediction and right in this share of them, in nats."""
    return WRONG * (1 - accuracy)


def as_published(record: dict) -> bool:
    """Whether a network had the loss and the input of the papers' code: the clipped loss, and pixels of 0 to 255."""
    parameters = record["parameters"]
    return parameters.get("loss") == "clipped" and parameters.get("input_scale", "0..255") == "0..255"


def outcomes(group: list[dict]) -> dict:
    """How many runs of a group collapsed: title, seeds, collapsed, emotions (those that they collapsed to: runs)."""
    emotions = Counter(filter(None, (metrics.collapsed(pooled.headline(record)) for record in group)))
    return {"title": group[0]["title"], "seeds": len(group), "collapsed": emotions.total(), "emotions": emotions}


def course(record: dict) -> dict | None:
    """When a network with the clipped loss became certain, by its history; None where the history has no losses.

    certain_from: the epoch from which on the loss on both tests stays that of certain predictions, None where it does
    not; changed: the last epoch that ended with an accuracy other, by more than a row, than the one before (1: none).
    """
    history, key = record["history"], f"{BOTH}_loss"
    if not history or key not in history[0] or record["parameters"].get("loss") != "clipped":
        return None
    accuracy = np.array([entry[f"{BOTH}_accuracy"] for entry in history])
    expected = certain_loss(accuracy)
    off = np.abs([entry[key] for entry in history] - expected) > CERTAIN * expected
    rows = record["metrics"]["last"][BOTH]["n"]
    changes = np.flatnonzero(np.abs(np.diff(accuracy)) * rows > 1.5)
    return {
        "certain_from": None if off[-1] else 1 + (int(np.flatnonzero(off)[-1]) + 1 if off.any() else 0),
        "changed": int(changes[-1]) + 2 if len(changes) else 1,
    }


def losses(runs: list[dict], flat: list[dict]) -> pd.DataFrame:
    """Accuracy and loss on both tests of each run with the clipped loss, at its last epoch, and what certainty costs.

    Columns: title, seed, emotion (the one that a collapsed network predicts, or None), accuracy, loss, expected
    (``certain_loss``), excess (nats in all that the loss is above it), flat (those that the flat rows, as ``rows.flat``
    lists them, cost: the kept probabilities give it to three digits), and those of ``course``, missing where there is
    none.
    """
    lines = []
    for record in runs:
        score = record["metrics"].get("last", {}).get(BOTH, {})
        if record["parameters"].get("loss") != "clipped" or "loss" not in score:
            continue
        arrays, expected = records.predictions(record), certain_loss(score["accuracy"])
        is_flat = np.isin(arrays["ids"], [int(line["row"]) for line in flat])
        labels, p = arrays["labels"][is_flat], arrays["probabilities_last"][is_flat].astype(np.float64)
        costs = -np.log(np.clip(p[np.arange(len(labels)), labels], metrics.EPSILON, 1))
        costs -= WRONG * (arrays["classes_last"][is_flat] != labels)
        lines.append({
            "title": record["title"], "seed": record["seed"], "emotion": metrics.collapsed(score),
            "accuracy": score["accuracy"], "loss": score["loss"], "expected": expected,
            "excess": (score["loss"] - expected) * score["n"], "flat": float(costs.sum()),
            **(course(record) or {"certain_from": None, "changed": None}),
        })  # fmt: skip
    return pd.DataFrame(lines)


def test_counts() -> np.ndarray:
    """Rows of each emotion on both tests of the official FER2013, (7,)."""
    return np.sum([fer2013.OFFICIAL_COUNTS[name] for name in BOTH.split("+")], axis=0)


def constant_classifiers(printed: float, digits: int, counts: np.ndarray, flat: list[str]) -> list[dict]:
    """Those whose accuracy, rounded or cut off, is printed so: emotion, extra, correct, accuracy.

    ``counts`` (7,) rows of each emotion; ``flat``: the labels of the flat rows. ``extra`` 0: the emotion is predicted
    for every row; else for all but so many flat rows of another label, which are right: what a network predicts for a
    black picture comes from its biases alone.
    """
    fitting, unit = [], 10.0**-digits
    for code, emotion in enumerate(FER2013):
        for extra in range(1 + sum(label != emotion for label in flat)):
            correct = int(counts[code]) + extra
            share = 100 * correct / int(counts.sum())
            if abs(share - printed) <= unit / 2 + 1e-9 or 0 <= share - printed < unit - 1e-9:
                fitting.append({"emotion": emotion, "extra": extra, "correct": correct, "accuracy": share / 100})
    return fitting


def flat_predictions(all_runs: list[dict], flat: list[dict]) -> dict:
    """What collapsed runs predict for the flat test rows: runs (that were scored on some), right (on all of them),
    other (than the one emotion that they predict for the rest)."""
    labels, counts = {int(line["row"]): line["emotion"] for line in flat}, Counter(runs=0, right=0, other=0)
    for record in all_runs:
        if not (emotion := metrics.collapsed(pooled.headline(record))):
            continue
        arrays, kept = records.predictions(record), pooled.reading(record)[0]
        codes = zip(arrays["ids"].tolist(), arrays[f"classes_{kept}"])
        if predicted := {row: FER2013[code] for row, code in codes if row in labels}:
            right = all(labels[row] == one for row, one in predicted.items())
            counts.update(runs=1, right=right, other=set(predicted.values()) != {emotion})
    return dict(counts)


def settings(sweep: dict) -> pd.DataFrame:
    """One row for each setting of a sweep, as it was recorded; ``collapsed``: whether it did.

    stuck_since: the step from which on its gradient was exactly 0, missing where it was not.
    """
    frame = pd.DataFrame(sweep["sweep"])
    return frame.assign(collapsed=frame["collapsed_to"].notna())


def traces(sweep: dict) -> dict[str, np.ndarray]:
    """What was watched step by step, (settings, steps) float each, by the names of ``TRACES``. Raises ValueError where
    one lacks; the shape is the one that ``records.check`` demands."""
    traced = records.traces(sweep)
    if lacking := [name for name in TRACES if name not in traced]:
        expected = f"({len(sweep['sweep'])}, steps)"
        raise ValueError(f"{sweep['folder']}: trace_{lacking[0]}: found none, expected {expected}; make it again")
    return {name: traced[name] for name in TRACES}


def factors(frame: pd.DataFrame) -> list[dict]:
    """How often each level of each factor collapsed: factor, level, settings, collapsed, share, interval (Wilson's).

    Factor by factor, its levels by their share. Only settings that have a counterpart, which differs in that factor
    and nothing else, are counted, so that a factor's levels are compared at the same levels of all others.
    """
    lines, known = [], [name for name in FACTORS if frame[name].nunique() > 1]
    for factor in known:
        others = [name for name in (*known, "seed") if name != factor]
        counterparts = frame[frame.groupby(others, dropna=False)[factor].transform("nunique") > 1]
        for level, collapsed in sorted(counterparts.groupby(factor)["collapsed"], key=lambda part: part[1].mean()):
            k, n = int(collapsed.sum()), len(collapsed)
            counts = {"settings": n, "collapsed": k, "share": k / n, "interval": statistics.wilson(k, n)}
            lines.append({"factor": factor, "level": level} | counts)
    return lines
