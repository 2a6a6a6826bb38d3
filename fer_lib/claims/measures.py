"""The figures that claims are about: what one run shows (``MEASURES``), and what is counted of the data (``FACTS``).

A measure is a function of a record, a kept epoch ("last", "best", "milestone") and rows ("PublicTest+PrivateTest" ...),
in percent, points of percent, epochs or hours. A share is one of a survey's record. A fact is a function of the results
folder.
"""

from __future__ import annotations

import csv
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np

from ..data import fer2013
from ..data.emotions import FER2013
from ..evaluation import records

HAPPY, SURPRISE, NEUTRAL = (FER2013.index(name) for name in ("happy", "surprise", "neutral"))
EKMAN = ("angry", "disgust", "fear", "happy", "sad", "surprise")
"""The six expressions that Ekman and Friesen (1971) found everywhere, by their names here."""
REST = [code for code in range(len(FER2013)) if code not in (HAPPY, SURPRISE)]


def best_single_answer(record: dict, kept: str, rows: str) -> float:
    """Accuracy in percent of the best network that answers alike to every face; for clean rows that on all of them."""
    labels = records.row_predictions(record, kept, rows.removesuffix(" clean"))["labels"]
    return float(100 * np.bincount(labels).max() / len(labels))


def accuracy(record, kept, rows):
    return 100 * records.scores(record, kept, rows)["accuracy"]


def _recalls(record, kept, rows):
    return 100 * np.array(records.scores(record, kept, rows)["recall"], np.float64)


def _recall(emotion, record, kept, rows):
    return _recalls(record, kept, rows)[emotion]


def _share(emotion, record, kept, rows):
    predicted = records.scores(record, kept, rows)["predicted"]
    return 100 * predicted[emotion] / sum(predicted)


def most_given_answer(record, kept, rows):
    return max(_share(code, record, kept, rows) for code in range(len(FER2013)))


def happy_above_the_rest(record, kept, rows):
    recalls = _recalls(record, kept, rows)
    return recalls[HAPPY] - np.delete(recalls, HAPPY).max()


def surprise_below_happy(record, kept, rows):
    recalls = _recalls(record, kept, rows)
    return recalls[HAPPY] - recalls[SURPRISE]


def rest_below_surprise(record, kept, rows):
    recalls = _recalls(record, kept, rows)
    return recalls[SURPRISE] - recalls[REST].max()


def rest_apart(record, kept, rows):
    return np.ptp(_recalls(record, kept, rows)[REST])


def positive_above_negative(record, kept, rows):
    recalls = _recalls(record, kept, rows)
    return recalls[HAPPY] - np.mean([recalls[code] for code in REST if code != NEUTRAL])


def mixed_up(record, kept, rows):
    """How often two emotions are taken for each other: the shares of either's faces, added up, by the pair of codes."""
    given = records.row_predictions(record, kept, rows)
    counts = np.zeros((len(FER2013), len(FER2013)))
    np.add.at(counts, (given["labels"], given["classes"]), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    return {pair: shares[pair] + shares[pair[::-1]] for pair in combinations(range(len(FER2013)), 2)}


def anger_fear_rank(record, kept, rows):
    """How often angry is taken for fear and fear for angry: its place among the 21 pairs of emotions, 1 the most."""
    mixed = mixed_up(record, kept, rows)
    pair = (FER2013.index("angry"), FER2013.index("fear"))
    return 1 + sum(other > mixed[pair] for other in mixed.values())


def first_and_second(record, kept, rows):
    """Which rows the first answer has right, and which the second, (n,) bool each."""
    given = records.row_predictions(record, kept, rows)
    p, best = given["probabilities"].astype(np.float64), given["classes"][:, None].astype(int)
    np.put_along_axis(p, best, -1.0, axis=1)
    return given["classes"] == given["labels"], p.argmax(axis=1) == given["labels"]


def second_right_where_wrong(record, kept, rows):
    right, second = first_and_second(record, kept, rows)
    return 100 * second[~right].mean()


def top_2_gain(record, kept, rows):
    return 100 * first_and_second(record, kept, rows)[1].mean()


def public_above_private(record, kept, rows):
    return accuracy(record, kept, "PublicTest") - accuracy(record, kept, "PrivateTest")


def overfitting(record, kept, rows):
    """Training accuracy of the last epoch, dropout on, above that on the rows."""
    return 100 * record["history"][-1]["accuracy"] - accuracy(record, "last", rows)


def epochs(record, kept, rows):
    return len(record["history"])


def hours(record, kept, rows):
    return record["seconds"] / 3600


MEASURES = {
    "accuracy": (accuracy, "%"),
    "share of the most given answer": (most_given_answer, "%"),
    "recall of happy above the best of the rest": (happy_above_the_rest, "points"),
    "recall of happy above surprise": (surprise_below_happy, "points"),
    "recall of surprise above the best of the other five": (rest_below_surprise, "points"),
    "spread of recall over the other five": (rest_apart, "points"),
    "recall of happy above the mean of angry, disgust, fear and sad": (positive_above_negative, "points"),
    "rank of angry and fear among the 21 pairs mixed up": (anger_fear_rank, ""),
    "second answer right where the first is wrong": (second_right_where_wrong, "%"),
    "top-2 accuracy above accuracy": (top_2_gain, "points"),
    "PublicTest above PrivateTest": (public_above_private, "points"),
    "training accuracy above test accuracy": (overfitting, "points"),
    "epochs": (epochs, "epochs"),
    "hours": (hours, "hours"),
}
"""Measures by the name that claims give them, with their unit."""
for _code, _emotion in enumerate(FER2013):
    MEASURES[f"recall of {_emotion}"] = (partial(_recall, _code), "%")
    MEASURES[f"answers {_emotion}"] = (partial(_share, _code), "%")


def _before_a_camera(told, record):
    """(k, n) of a survey's faces as nothing is changed: ``told`` takes labels, first and second answers, seconds."""
    usual, arrays = records.usual_level(record["conditions"]), records.predictions(record)
    of_whom, which = told(arrays["labels"], *(arrays[name][usual] for name in ("first", "second", "seconds")))
    return int((of_whom & which).sum()), int(of_whom.sum())


def _is_told(emotions, labels, first, second, seconds):
    return np.isin(labels, [FER2013.index(name) for name in emotions]), first == labels


SHARES = {
    "second answer right where the first is wrong": partial(
        _before_a_camera, lambda labels, first, second, seconds: (first != labels, second == labels)
    ),
    "frames answered within 0.1 s": partial(
        _before_a_camera, lambda labels, first, second, seconds: (np.isfinite(seconds), seconds <= 0.1)
    ),
    "angry and fear told rightly": partial(_before_a_camera, partial(_is_told, ("angry", "fear"))),
}
"""Of faces before a camera (``fer_lib.live.survey``), by the name that claims give them: (k, n) of a record."""
for _emotion in FER2013:
    SHARES[f"{_emotion} told rightly"] = partial(_before_a_camera, partial(_is_told, (_emotion,)))


def _official(emotion: int | None = None) -> int:
    """Faces in the official file, of one emotion or in all; the tests count them there."""
    return sum(sum(c) if emotion is None else c[emotion] for c in fer2013.OFFICIAL_COUNTS.values())


def _audited(results: Path, finding: str) -> int:
    with open(results / "audit" / "summary.csv", newline="") as file:
        return next(int(line["all"]) for line in csv.DictReader(file) if line["finding"] == finding)


FACTS = {
    "images": lambda _: _official(),
    "thousands of images": lambda _: _official() // 1000,
    "training images": lambda _: sum(fer2013.OFFICIAL_COUNTS["Training"]),
    "test images": lambda _: _official() - sum(fer2013.OFFICIAL_COUNTS["Training"]),
    "share of training images": lambda _: 100 * sum(fer2013.OFFICIAL_COUNTS["Training"]) / _official(),
    "disgust images": lambda _: _official(FER2013.index("disgust")),
    "share of happy images": lambda _: 100 * _official(FER2013.index("happy")) / _official(),
    "rarest emotion": lambda _: min(FER2013, key=lambda name: _official(FER2013.index(name))),
    "most frequent emotion": lambda _: max(FER2013, key=lambda name: _official(FER2013.index(name))),
    "class beside the six": lambda _: ", ".join(sorted(set(FER2013) - set(EKMAN))),
    "test images that stand in training": lambda r: _audited(r, "test rows whose image stands in Training"),
    "flat images": lambda r: _audited(r, "flat images, one grey all over"),
}
"""Counts of the data by the name that claims give them."""
