"""The figures that claims are about: what one run shows (``MEASURES``), and what is counted of the data (``FACTS``).

A measure is a function of a record, a kept epoch ("last", "best", "milestone") and rows ("PublicTest+PrivateTest" ...),
and gives percent, percentage points, epochs or hours. A share is a function of a survey's record. A fact is a function
of the results folder.
"""

from functools import cache
from itertools import combinations
from operator import itemgetter
from pathlib import Path

import numpy as np

from .. import paths
from ..data import fer2013
from ..data.emotions import FER2013
from ..evaluation import records
from ..files import refused, tables

HAPPY, SURPRISE, DISGUST = (FER2013.index(name) for name in ("happy", "surprise", "disgust"))
EKMAN = ("angry", "disgust", "fear", "happy", "sad", "surprise")
"""The six expressions that Ekman and Friesen (1971) found in all cultures, by their names here."""
REST = [code for code in range(len(FER2013)) if code not in (HAPPY, SURPRISE)]
NEGATIVE = [FER2013.index(name) for name in ("angry", "disgust", "fear", "sad")]


def constant_accuracies(record: dict, kept: str, rows: str) -> tuple[dict[str, float], int]:
    """Accuracy in percent of always predicting one emotion, by its name, and the number of rows. For clean rows, that
    of all rows."""
    labels = records.row_predictions(record, kept, rows.removesuffix(" clean"))["labels"]
    names = records.emotions(record)
    return dict(zip(names, 100 * np.bincount(labels, minlength=len(names)) / len(labels))), len(labels)


def accuracy(record, kept, rows):
    return 100 * records.scores(record, kept, rows)["accuracy"]


def _recalls(function):
    """The measure that is a function of the seven emotions' recall, (7,) in percent."""
    return lambda record, kept, rows: function(100 * np.array(records.scores(record, kept, rows)["recall"], np.float64))


def _predicted(function):
    """The measure that is a function of the share of faces for which each emotion is predicted, (7,) in percent."""

    def measure(record, kept, rows):
        counts = np.array(records.scores(record, kept, rows)["predicted"])
        return function(100 * counts / counts.sum())

    return measure


def confused_pairs(record, kept, rows):
    """How often two emotions are confused: the share of each one's faces predicted as the other, added up, by the pair
    of codes."""
    from sklearn.metrics import confusion_matrix  # slow to import

    arrays = records.row_predictions(record, kept, rows)
    shares = confusion_matrix(arrays["labels"], arrays["classes"], labels=range(len(FER2013)), normalize="true")
    return {pair: shares[pair] + shares[pair[::-1]] for pair in combinations(range(len(FER2013)), 2)}


def anger_fear_rank(record, kept, rows):
    """The rank of angry and fear among the 21 pairs of emotions by how often they are confused; 1 is the most."""
    confused = confused_pairs(record, kept, rows)
    pair = (FER2013.index("angry"), FER2013.index("fear"))
    return 1 + sum(other > confused[pair] for other in confused.values())


def first_and_second(record, kept, rows):
    """Whether each row's label is the most likely emotion, and whether it is the second most likely: two (n,) bool."""
    arrays = records.row_predictions(record, kept, rows)
    p, best = arrays["probabilities"].astype(np.float64), arrays["classes"][:, None].astype(int)
    np.put_along_axis(p, best, -1.0, axis=1)
    return arrays["classes"] == arrays["labels"], p.argmax(axis=1) == arrays["labels"]


def second_right_where_wrong(record, kept, rows):
    first, second = first_and_second(record, kept, rows)
    return 100 * second[~first].mean()


def overfitting(record, kept, rows):
    """Training accuracy of the last epoch, with dropout on, minus accuracy on the rows, in points."""
    return 100 * record["history"][-1]["accuracy"] - accuracy(record, "last", rows)


def all_above_clean(record, kept, rows):
    """Accuracy on the rows minus accuracy on those whose image is in no earlier part (``results/audit``), in points."""
    arrays = records.row_predictions(record, kept, rows)
    right = arrays["classes"] == arrays["labels"]
    return 100 * (right.mean() - right[~records.among(arrays["ids"], _leaked())].mean())


def one_above_several(record, kept, rows):
    """Accuracy on the rows in which FER+'s taggers see one emotion minus that on the rows in which they see several, in
    points; NaN where either kind is missing."""
    arrays = records.row_predictions(record, kept, rows)
    several = records.among(arrays["ids"], _several())
    right = arrays["classes"] == arrays["labels"]
    if several.all() or not several.any():
        return float("nan")
    return 100 * (right[~several].mean() - right[several].mean())


_AGAIN = "make it again: make audit"


@cache
def _several() -> frozenset[int]:
    return _rows("several_emotions")


@cache
def _leaked() -> frozenset[int]:
    return _rows("leaked")


def _rows(name: str) -> frozenset[int]:
    """The rows in one of the audit's lists."""
    listed = tables.read_rows(paths.RESULTS / "audit" / f"{name}.csv", {"row": int}, _AGAIN)
    return frozenset(line["row"] for line in listed)


MEASURES = {
    "accuracy": (accuracy, "%"),
    "share of the most frequent prediction": (_predicted(np.max), "% of predictions"),
    "recall of happy minus the best other recall": (_recalls(lambda r: r[HAPPY] - np.delete(r, HAPPY).max()), "points"),
    "recall of happy minus that of surprise": (_recalls(lambda r: r[HAPPY] - r[SURPRISE]), "points"),
    "recall of surprise minus the best of the other five": (_recalls(lambda r: r[SURPRISE] - r[REST].max()), "points"),
    "range of recall over the other five": (_recalls(lambda r: np.ptp(r[REST])), "points"),
    "recall of happy minus the mean of angry, disgust, fear and sad": (
        _recalls(lambda r: r[HAPPY] - r[NEGATIVE].mean()), "points"
    ),
    "recall of disgust minus the worst other recall": (
        _recalls(lambda r: r[DISGUST] - np.delete(r, DISGUST).min()), "points"
    ),
    "accuracy on all rows minus that on clean rows": (all_above_clean, "points"),
    "accuracy on faces of one emotion minus that on faces of several": (one_above_several, "points"),
    "rank of angry and fear among the 21 confused pairs": (anger_fear_rank, ""),
    "second prediction right where the first is wrong": (second_right_where_wrong, "%"),
    "top-2 accuracy minus accuracy": (lambda *of: 100 * first_and_second(*of)[1].mean(), "points"),
    "PublicTest minus PrivateTest accuracy": (
        lambda record, kept, rows: accuracy(record, kept, "PublicTest") - accuracy(record, kept, "PrivateTest"),
        "points",
    ),
    "training accuracy minus test accuracy": (overfitting, "points"),
    "epochs": (lambda record, kept, rows: len(record["history"]), "epochs"),
    "hours": (lambda record, kept, rows: record["seconds"] / 3600, "hours"),
}  # fmt: skip
"""Each measure by its name in the claims, with its unit."""
for _code, _emotion in enumerate(FER2013):
    MEASURES[f"recall of {_emotion}"] = (_recalls(itemgetter(_code)), "%")
    MEASURES[f"share predicted {_emotion}"] = (_predicted(itemgetter(_code)), "% of predictions")


def _share(function, detector: str | None = None):
    """The share of a survey's faces at its usual level, where no condition is changed: (k, n).

    ``function`` takes the arrays of that level, (n,) each: labels, first, second and seconds (``survey.predictions``),
    found, and right_of_found (``records.recognised``). It returns two masks: the faces looked at (n of them), and those
    that count (k of these). The detector is the survey's first unless one is named. The first is ours and finds nearly
    all faces, so the share is about the network.
    """

    def share(record):
        usual, arrays = records.usual_level(record["conditions"]), records.predictions(record)
        names = record["parameters"]["detectors"]
        asked = names.index(detector) if detector in names else 0
        here = {name: arrays[name][usual] for name in ("first", "second")}
        here |= {"labels": arrays["labels"], "seconds": arrays["seconds"][asked]}
        among, counted = function(here | records.recognised(arrays, usual, asked))
        return int((among & counted).sum()), int(among.sum())

    return share


def _recognised(*emotions):
    """Of all faces of these emotions, those that the detector found and whose emotion is predicted from the detector's
    crop. A missed face counts as not recognised."""
    codes = [FER2013.index(name) for name in emotions]
    return _share(lambda here: (np.isin(here["labels"], codes), here["right_of_found"]))


def _second_right(here):
    """Of the faces that were found and whose first prediction is wrong, those whose second is right.

    A missed face has no prediction, neither a first nor a second. Counting it would count the detector's misses again,
    as errors of a ranking that was never made. Both predictions are for the crop at the face's true place: a survey
    keeps no second prediction for the detector's own crop, and the second of one crop says nothing about the first of
    another.
    """
    return here["found"] & (here["first"] != here["labels"]), here["second"] == here["labels"]


def _within(seconds):
    """Of the frames whose face was found, those classified within this many seconds. Finding nothing does not count,
    however fast. With the paper's detector: ours searches every frame of a survey as a whole, but
    a video only once."""
    return _share(lambda here: (here["found"], here["seconds"] <= seconds), "paper")


SHARES = {
    "second prediction right where the first is wrong": _share(_second_right),
    "frames classified within 0.1 s": _within(0.1),
    "angry and fear recognised": _recognised("angry", "fear"),
    **{f"{emotion} recognised": _recognised(emotion) for emotion in FER2013},
}
"""Shares of faces in camera frames (``fer_lib.live.survey``), from the frame to the prediction, by their name in the
claims: functions of a record that give (k, n)."""


TRAINING = sum(fer2013.OFFICIAL_COUNTS["Training"])
OFFICIAL = {name: sum(counts) for name, *counts in zip(FER2013, *fer2013.OFFICIAL_COUNTS.values())}
"""Faces of each emotion in the official file; the tests count them there."""
IMAGES = sum(OFFICIAL.values())


def _audited(results: Path, finding: str) -> int:
    path = results / "audit" / "summary.csv"
    for line in tables.read_rows(path, {"finding": str, "all": int}, _AGAIN):
        if line["finding"] == finding:
            return line["all"]
    raise refused(path, f"no line {finding!r}", "one for each finding", _AGAIN)


FACTS = {
    "images": lambda _: IMAGES,
    "thousands of images": lambda _: IMAGES // 1000,
    "training images": lambda _: TRAINING,
    "test images": lambda _: IMAGES - TRAINING,
    "share of training images": lambda _: 100 * TRAINING / IMAGES,
    "disgust images": lambda _: OFFICIAL["disgust"],
    "share of happy images": lambda _: 100 * OFFICIAL["happy"] / IMAGES,
    "rarest emotion": lambda _: min(OFFICIAL, key=OFFICIAL.get),
    "most frequent emotion": lambda _: max(OFFICIAL, key=OFFICIAL.get),
    "class besides Ekman's six": lambda _: ", ".join(sorted(set(FER2013) - set(EKMAN))),
    "test images also in training": lambda r: _audited(r, "test rows whose image stands in Training"),
    "uniform images": lambda r: _audited(r, "flat images, one grey all over"),
}
"""Counts of the data by their name in the claims."""
