"""Anybody's network scored on FER2013's test sets from the answers it gave: no training, no Keras."""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr

from .. import system
from ..data import SPLITS, Faces, audit, ferplus
from ..data.emotions import FER2013
from . import metrics, statistics
from .prediction_files import read

WORTH = {
    "PublicTest": "the usual set to choose by: too good if the epoch or a setting was chosen on it.",
    "PrivateTest": "the competition's final test: fair if nothing was chosen on it.",
    "PublicTest+PrivateTest": "the 7,178 of some papers: too good if anything was chosen on either half.",
    "PrivateTest clean": "its rows whose image stands in no other part: the fairest, under the same condition.",
    "PrivateTest leaked": "its other rows: a score far above the clean rows' suggests that they were learned by heart.",
    "PrivateTest, 10 of 10 taggers agree": "all of FER+'s taggers chose FER2013's label: clear cases, mostly happy.",
    "PrivateTest, 6 to 9 of 10 taggers agree": "most did.",
    "PrivateTest, 1 to 5 of 10 taggers agree": "some did, no majority: the face or the label is in doubt.",
    "PrivateTest, 0 of 10 taggers agree": "nobody did (half are called fear): what counts as wrong may well be right.",
}
"""The sets, and what a score on each is worth."""

BINS = 15
"""Of confidence, in the calibration error."""


def sets(faces: Faces, counts: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The rows of each set of ``WORTH`` as masks, (n,) bool, sets without a row left out.

    Unlabelled rows make a set unusable: a split with one is left out. Clean and leaked rows need all three splits,
    the levels of agreement FER+'s ``counts`` (n, 10) of the same faces.
    """
    labelled = faces.labels < len(FER2013)
    split = {name: faces.split == code for code, name in enumerate(SPLITS)}
    usable = {name: rows.any() and labelled[rows].all() for name, rows in split.items()}
    public, private = split["PublicTest"], split["PrivateTest"]
    found = {name: split[name] for name in SPLITS[1:] if usable[name]}
    if len(found) == 2:
        found["PublicTest+PrivateTest"] = public | private
    if "PrivateTest" in found and public.any() and split["Training"].any():
        clean = audit.clean_rows(faces)
        found |= {"PrivateTest clean": private & clean, "PrivateTest leaked": private & ~clean}
    if "PrivateTest" in found and counts is not None:
        agree = ferplus.agreement(counts, np.where(labelled, faces.labels, 0))
        for level, (low, high) in ferplus.LEVELS.items():
            found[f"PrivateTest, {level} of 10 taggers agree"] = private & (low <= agree) & (agree <= high)
    return {name: rows for name, rows in found.items() if rows.any()}


def report(files: list[str], faces: Faces) -> dict:
    """Score one file of answers, or two and compare them; made of what JSON knows.

    Returns data (name, sha256 and source of ``faces``), ferplus (file and md5, or left_out: why), worth (a sentence of
    ``WORTH`` on each set that is scored), files (a ``score`` each; with FER+ also taggers, what ``against_taggers``
    gives on PublicTest and PrivateTest) and comparison (``compare``, or None). Raises what ``read``, ``score``,
    ``compare`` and ``ferplus.counts_for`` raise.
    """
    reason = ferplus.missing(faces)
    counts = None if reason else ferplus.counts_for(faces)
    about = {"left_out": reason} if reason else {"file": ferplus.NAME, "md5": system.file_hash(ferplus.find(), "md5")}
    masks = sets(faces, counts)
    given = [read(file, faces) for file in files]
    scored = [score(answers, faces, masks) for answers in given]
    for found, answers in zip(scored, given):
        if counts is not None:
            some = {name: masks[name] for name in SPLITS[1:] if name in found["sets"]}
            found["taggers"] = {name: against_taggers(answers, faces.labels, counts, some[name]) for name in some}
    covered = {name for each in scored for name in each["sets"]}
    return {
        "data": {"name": faces.name, "sha256": faces.sha256, "source": faces.source},
        "ferplus": about,
        "worth": {name: text for name, text in WORTH.items() if name in covered},
        "files": scored,
        "comparison": compare(*given, faces, masks) if len(given) == 2 else None,
    }


def score(answers: dict, faces: Faces, masks: dict[str, np.ndarray]) -> dict:
    """Score what ``prediction_files.read`` read on each set of which it has every row.

    ``masks`` are the ``sets`` of ``faces``.

    Returns file, rows and training_rows (how many it holds, and how many of Training, which no set scores), sets (see
    ``score_set``), not_covered (of the other sets, present and n rows) and, where PrivateTest's leaked and clean rows
    are both covered, leaked_minus_clean: difference of the accuracies and its interval (Newcombe's). Raises ValueError
    where no set is covered.
    """
    there = answers["classes"] >= 0
    covered = {name: rows for name, rows in masks.items() if there[rows].all()}
    left = {
        name: {"present": int(there[rows].sum()), "n": int(rows.sum())}
        for name, rows in masks.items()
        if name not in covered
    }
    if not covered:
        there = {name: f"{left[name]['present']:,} of {left[name]['n']:,}" for name in SPLITS[1:] if name in left}
        found = ", ".join(f"{rows} rows of {name}" for name, rows in there.items())
        raise ValueError(
            f"{answers['file']}: found {found or 'no labelled test rows in this data'}, expected all rows of a set; "
            "answer PublicTest or PrivateTest in full"
        )
    result = {
        "file": answers["file"],
        "rows": int(there.sum()),
        "training_rows": int((there & (faces.split == 0)).sum()),
        "sets": {name: score_set(answers, faces.labels, rows) for name, rows in covered.items()},
        "not_covered": left,
    }
    if {"PrivateTest leaked", "PrivateTest clean"} <= covered.keys():
        leaked, clean = (result["sets"][f"PrivateTest {rows}"] for rows in ("leaked", "clean"))
        counts = leaked["correct"], leaked["n"], clean["correct"], clean["n"]
        difference, low, high = statistics.independent_difference(*counts)
        result["leaked_minus_clean"] = {"difference": difference, "interval": (low, high)}
    return result


def score_set(answers: dict, labels: np.ndarray, rows: np.ndarray) -> dict:
    """One set's scores, all fractions of 0 to 1: those of ``metrics.score`` with Wilson intervals, and others.

    recall maps an emotion to n, correct, recall and interval. balanced_accuracy is the mean recall of the emotions that
    the set holds, macro_f1 the mean F1 of those that it holds or that were answered. Given probabilities also log_loss,
    in nats, clipped at ``metrics.EPSILON``, and calibration_error: the mean gap, over ``BINS`` equal bins of
    confidence, between confidence and accuracy (Guo et al. 2017).
    """
    labels, classes = labels[rows], answers["classes"][rows]
    p = None if answers["probabilities"] is None else answers["probabilities"][rows]
    scored = metrics.score(classes, labels)
    true = np.bincount(labels, minlength=len(FER2013))
    right = np.bincount(labels[classes == labels], minlength=len(FER2013))
    either = true + scored["predicted"]
    result = {
        "n": scored["n"],
        "correct": scored["correct"],
        "accuracy": scored["accuracy"],
        "interval": statistics.wilson(scored["correct"], scored["n"]),
        "balanced_accuracy": float((right[true > 0] / true[true > 0]).mean()),
        "macro_f1": float((2 * right[either > 0] / either[either > 0]).mean()),
        "predicted": dict(zip(FER2013, scored["predicted"])),
        "recall": {
            emotion: {"n": int(n), "correct": int(k), "recall": float(k / n), "interval": statistics.wilson(k, n)}
            for emotion, n, k in zip(FER2013, true, right)
            if n
        },
    }
    if p is not None:
        losses = -np.log(np.clip(p[np.arange(len(labels)), labels], metrics.EPSILON, 1))
        result |= {
            "log_loss": float(losses.mean()),
            "calibration_error": calibration_error(p.max(axis=1), classes == labels),
        }
    return result


def against_taggers(answers: dict, labels: np.ndarray, counts: np.ndarray, rows: np.ndarray) -> dict:
    """How far one set's answers are what FER+'s taggers chose; ``counts`` (n, 10) are theirs, ``rows`` a mask (n,).

    Of the rows where some tagger chose one of FER2013's seven emotions (n of them): agreement, the chance that one of
    those taggers gave the network's answer, with its interval (t, over the rows); agreement_of_label, that he gave
    FER2013's label; agreement_at_most, that he gave the commonest choice: no answers agree more. Given probabilities
    also divergence: Kullback-Leibler's, in nats, from the taggers' shares to the probabilities, which are clipped at
    ``metrics.EPSILON``; 0 where they are the same.
    """
    votes = ferplus.votes(counts[rows])
    seen = votes.sum(axis=1) > 0
    shares = votes[seen] / votes[seen].sum(axis=1, keepdims=True)
    place = np.arange(len(shares))
    mean, low, high = statistics.t_interval(shares[place, answers["classes"][rows][seen]])
    found = {
        "n": len(shares),
        "agreement": mean,
        "interval": (low, high),
        "agreement_of_label": float(shares[place, labels[rows][seen]].mean()),
        "agreement_at_most": float(shares.max(axis=1).mean()),
    }
    if answers["probabilities"] is not None:
        p = np.clip(answers["probabilities"][rows][seen], metrics.EPSILON, 1)
        found["divergence"] = float(rel_entr(shares, p).sum(axis=1).mean())
    return found


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error of answers given with this confidence, (n,) of 0 to 1, of which these were right."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return float(np.abs(np.bincount(place, right - confidence)).sum() / len(right))


def compare(first: dict, second: dict, faces: Faces, masks: dict[str, np.ndarray]) -> dict[str, dict]:
    """Two networks' answers compared row by row, on each set of which both have every row.

    Of each: n, both_right, only_first, only_second, both_wrong, difference (second minus first) with its paired
    bootstrap interval, and McNemar's exact p. Raises ValueError where they have no set in common.
    """
    result = {}
    for name, rows in masks.items():
        classes = [answers["classes"][rows] for answers in (first, second)]
        if min(each.min() for each in classes) < 0:
            continue
        one, two = (each == faces.labels[rows] for each in classes)
        difference, low, high = statistics.accuracy_difference(one, two)
        result[name] = {
            "n": len(one),
            "both_right": int((one & two).sum()),
            "only_first": int((one & ~two).sum()),
            "only_second": int((two & ~one).sum()),
            "both_wrong": int((~one & ~two).sum()),
            "difference": difference,
            "interval": (low, high),
            "mcnemar_p": statistics.mcnemar(one, two),
        }
    if not result:
        raise ValueError(
            f"{first['file']} and {second['file']}: found no set that both answer in full, expected one; "
            "score each alone, or answer the same rows"
        )
    return result
