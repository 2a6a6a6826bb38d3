"""Scores any network on FER2013's test sets from its predictions, and writes the result as Markdown: no training, no
Keras."""

import numpy as np
from scipy.special import rel_entr

from .. import system
from ..data import SPLITS, Faces, audit, ferplus, near_duplicates
from ..data.emotions import FER2013
from ..markdown import interval, table
from . import calibration, metrics, statistics
from .prediction_files import read

WORTH = {
    "PublicTest": "the usual validation set: too good if the epoch or a setting was chosen on it.",
    "PrivateTest": "the competition's final test: fair if nothing was chosen on it.",
    "PublicTest+PrivateTest": "the 7,178 of some papers: too good if anything was chosen on either half.",
    "PrivateTest clean": "its rows whose image is in no other part: the fairest, under the same condition.",
    "PrivateTest near-clean": "of these, the rows whose picture is in no other part in cropped or marked form.",
    "PrivateTest leaked": "its other rows: a score far above the clean rows' suggests memorisation.",
    "PrivateTest, 10 of 10 taggers agree": "all of FER+'s taggers chose FER2013's label: clear cases, mostly happy.",
    "PrivateTest, 6 to 9 of 10 taggers agree": "most did.",
    "PrivateTest, 1 to 5 of 10 taggers agree": "some did, no majority: the face or the label is in doubt.",
    "PrivateTest, 0 of 10 taggers agree": "nobody did (half are labelled fear): a wrong prediction may well be right.",
}
"""The sets, and how far a score on each can be trusted."""


def sets(faces: Faces, counts: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The rows of each set of ``WORTH`` as masks, (n,) bool, sets without a row left out.

    Unlabelled rows make a set unusable: a split with such a row is left out. Clean, near-clean and leaked rows need all
    three splits; the levels of agreement need FER+'s ``counts`` (n, 10) of the same faces.
    """
    labelled = faces.labels < len(FER2013)
    split = {name: faces.split == code for code, name in enumerate(SPLITS)}
    usable = {name: rows.any() and labelled[rows].all() for name, rows in split.items()}
    public, private = split["PublicTest"], split["PrivateTest"]
    masks = {name: split[name] for name in SPLITS[1:] if usable[name]}
    if len(masks) == 2:
        masks["PublicTest+PrivateTest"] = public | private
    if "PrivateTest" in masks and public.any() and split["Training"].any():
        clean = audit.clean_rows(faces)
        near_clean = near_duplicates.near_clean_rows(faces)
        masks |= {"PrivateTest clean": private & clean, "PrivateTest near-clean": private & near_clean}
        masks["PrivateTest leaked"] = private & ~clean
    if "PrivateTest" in masks and counts is not None:
        agree = ferplus.agreement(counts, np.where(labelled, faces.labels, 0))
        for level, (low, high) in ferplus.LEVELS.items():
            masks[f"PrivateTest, {level} of 10 taggers agree"] = private & (low <= agree) & (agree <= high)
    return {name: rows for name, rows in masks.items() if rows.any()}


def score_files(files: list[str], faces: Faces) -> dict:
    """Score one file of predictions, or two and compare them; the result can be written as JSON.

    Returns data (name, sha256 and source of ``faces``), ferplus (file and md5, or left_out: why), worth (a sentence of
    ``WORTH`` on each set that is scored), files (a ``score`` each) and comparison (``compare``, or None). Raises what
    ``read``, ``score``, ``compare`` and ``ferplus.counts_for`` raise.
    """
    reason = ferplus.missing(faces)
    counts = None if reason else ferplus.counts_for(faces)
    about = {"left_out": reason} if reason else {"file": ferplus.NAME, "md5": system.file_hash(ferplus.find(), "md5")}
    masks = sets(faces, counts)
    all_predictions = [read(file, faces) for file in files]
    scores = [score(predictions, faces, masks, counts) for predictions in all_predictions]
    covered = {name for result in scores for name in result["sets"]}
    return {
        "data": {"name": faces.name, "sha256": faces.sha256, "source": faces.source},
        "ferplus": about,
        "worth": {name: text for name, text in WORTH.items() if name in covered},
        "files": scores,
        "comparison": compare(*all_predictions, faces, masks) if len(files) == 2 else None,
    }


def score(predictions: dict, faces: Faces, masks: dict[str, np.ndarray], counts: np.ndarray | None = None) -> dict:
    """Score what ``prediction_files.read`` returned on each set of which it has every row.

    ``masks`` are the ``sets`` of ``faces``, ``counts`` (n, 10) the votes of FER+'s taggers.

    Returns file, rows and training_rows (its number of rows, and of Training rows, which no set scores), sets (see
    ``score_set``), not_covered (for the other sets, present and n rows) and, if PrivateTest's leaked and clean rows are
    both covered, leaked_minus_clean: the difference of the accuracies and its interval (Newcombe's). With ``counts``
    also taggers: ``against_taggers`` on PublicTest and PrivateTest. Raises ValueError if no set is covered.
    """
    present = predictions["classes"] >= 0
    covered = {name: rows for name, rows in masks.items() if present[rows].all()}
    partial = {name: rows for name, rows in masks.items() if name not in covered}
    lacking = {name: {"present": int(present[rows].sum()), "n": int(rows.sum())} for name, rows in partial.items()}
    if not covered:
        few = [f"{of['present']:,} of {of['n']:,} rows of {name}" for name, of in lacking.items() if name in SPLITS]
        given = faces.ids[present]
        raise ValueError(
            f"{predictions['file']}: found {', '.join(few) or 'no labelled test rows in this data'} among rows "
            f"{given.min()} to {given.max()}, expected all rows of a set; add predictions of all of PublicTest or "
            "PrivateTest, with rows counted from 0 as `.venv/bin/fer score --help` says"
        )
    result = {
        "file": predictions["file"],
        "rows": int(present.sum()),
        "training_rows": int((present & (faces.split == 0)).sum()),
        "sets": {name: score_set(predictions, faces.labels, rows) for name, rows in covered.items()},
        "not_covered": lacking,
    }
    if {"PrivateTest leaked", "PrivateTest clean"} <= covered.keys():
        leaked, clean = (result["sets"][f"PrivateTest {rows}"] for rows in ("leaked", "clean"))
        difference, low, high = statistics.independent_difference(
            leaked["correct"], leaked["n"], clean["correct"], clean["n"]
        )
        result["leaked_minus_clean"] = {"difference": difference, "interval": (low, high)}
    if counts is not None:
        some = [name for name in SPLITS[1:] if name in covered]
        result["taggers"] = {name: against_taggers(predictions, faces.labels, counts, masks[name]) for name in some}
    return result


def score_set(predictions: dict, labels: np.ndarray, rows: np.ndarray, emotions: tuple[str, ...] = FER2013) -> dict:
    """One set's scores, all fractions of 0 to 1: those of ``metrics.score`` with Wilson intervals, and others.

    ``labels`` (n,) are codes of ``emotions``; so are the predicted classes, or ``len(emotions)`` for any other emotion.
    ``rows`` is a mask (n,), or positions.

    recall maps an emotion to n, correct, recall and interval. balanced_accuracy is the mean recall of the emotions in
    the set, macro_f1 the mean F1 of those in the set or predicted. With probabilities also log_loss, in nats, clipped
    at ``metrics.EPSILON``, and calibration_error: the mean gap between confidence and accuracy, over
    ``calibration.BINS`` equal bins of confidence (Guo et al. 2017).
    """
    from sklearn.metrics import confusion_matrix, f1_score, recall_score  # slow to import

    labels, classes = labels[rows], predictions["classes"][rows]
    scores = metrics.score(classes, labels, count=len(emotions))
    counts = confusion_matrix(labels, classes, labels=range(len(emotions) + 1))
    result = {
        **{key: scores[key] for key in ("n", "correct", "accuracy")},
        "interval": statistics.wilson(scores["correct"], scores["n"]),
        "balanced_accuracy": float(recall_score(labels, classes, labels=np.unique(labels), average="macro")),
        "macro_f1": float(f1_score(labels, classes, average="macro")),
        "predicted": dict(zip(emotions, scores["predicted"])),
        "recall": {
            emotion: {"n": int(n), "correct": int(k), "recall": float(k / n), "interval": statistics.wilson(k, n)}
            for emotion, n, k in zip(emotions, counts.sum(axis=1), counts.diagonal())
            if n
        },
    }
    if predictions["probabilities"] is not None:
        p = predictions["probabilities"][rows]
        losses = -np.log(np.clip(p[np.arange(len(labels)), labels], metrics.EPSILON, 1))
        result |= {
            "log_loss": float(losses.mean()),
            "calibration_error": calibration.calibration_error(p.max(axis=1), classes == labels),
        }
    return result


def against_taggers(predictions: dict, labels: np.ndarray, counts: np.ndarray, rows: np.ndarray) -> dict:
    """How far one set's predictions agree with FER+'s taggers; ``counts`` (n, 10) are their votes, ``rows`` a mask
    (n,).

    Over the rows where some tagger chose one of FER2013's seven emotions (n of them): agreement, the chance that one of
    these taggers chose the predicted emotion, with its interval (t, over the rows); agreement_of_label, that they chose
    FER2013's label; agreement_at_most, that they made the most common choice: no predictions can agree more. With
    probabilities also divergence: the Kullback-Leibler divergence, in nats, from the taggers' shares to the
    probabilities, which are clipped at ``metrics.EPSILON``; 0 if they are the same.
    """
    votes = ferplus.votes(counts[rows])
    seen = votes.sum(axis=1) > 0
    shares = votes[seen] / votes[seen].sum(axis=1, keepdims=True)
    place = np.arange(len(shares))
    mean, low, high = statistics.t_interval(shares[place, predictions["classes"][rows][seen]])
    result = {
        "n": len(shares),
        "agreement": mean,
        "interval": (low, high),
        "agreement_of_label": float(shares[place, labels[rows][seen]].mean()),
        "agreement_at_most": float(shares.max(axis=1).mean()),
    }
    if predictions["probabilities"] is not None:
        p = np.clip(predictions["probabilities"][rows][seen], metrics.EPSILON, 1)
        result["divergence"] = float(rel_entr(shares, p).sum(axis=1).mean())
    return result


def compare(first: dict, second: dict, faces: Faces, masks: dict[str, np.ndarray]) -> dict[str, dict]:
    """Two networks' predictions compared row by row, on each set of which both have every row.

    For each set: n, both_right, only_first, only_second, both_wrong, difference (second minus first) with its paired
    bootstrap interval, and McNemar's exact p. Raises ValueError if they have no set in common.
    """
    from sklearn.metrics import confusion_matrix  # slow to import

    result = {}
    for name, rows in masks.items():
        classes = [predictions["classes"][rows] for predictions in (first, second)]
        if min(each.min() for each in classes) < 0:
            continue
        one, two = (each == faces.labels[rows] for each in classes)
        counts = confusion_matrix(one, two, labels=[True, False])
        difference, low, high = statistics.accuracy_difference(one, two)
        result[name] = {
            "n": len(one),
            **dict(zip(("both_right", "only_first", "only_second", "both_wrong"), counts.ravel().tolist())),
            "difference": difference,
            "interval": (low, high),
            "mcnemar_p": statistics.mcnemar(one, two),
        }
    if not result:
        raise ValueError(
            f"{first['file']} and {second['file']}: found no set that both predict in full, expected one; "
            "score each alone, or predict the same rows"
        )
    return result


# ---- Markdown


def markdown(result: dict) -> str:
    """The result of ``score_files`` as Markdown that is readable in a terminal: each network, then the comparison."""
    parts, source = [], result["data"]["source"]
    if not source.get("official"):
        parts.append(
            f"**Not the official FER2013**: a row is one of {source.get('file', 'this data')}, in its order, and may "
            "show another face than that row of fer2013.csv.\n"
        )
    parts += [_network(scored) for scored in result["files"]]
    if result["comparison"]:
        parts.append(_comparison(*(scored["file"] for scored in result["files"]), result["comparison"]))
    parts.append(
        "What each set is worth:\n\n" + "".join(f"- {name}: {text}\n" for name, text in result["worth"].items())
    )
    if "left_out" in result["ferplus"]:
        parts.append(f"Rows by the number of agreeing taggers are left out. {result['ferplus']['left_out']}\n")
    return "\n".join(parts)


def accuracy_columns(score: dict) -> dict[str, str]:
    """Cells of a table: accuracy, its interval and balanced accuracy, all in percent."""
    return {
        "Accuracy, %": f"{100 * score['accuracy']:.2f}",
        "Wilson interval": interval(score["interval"]),
        "Balanced accuracy, %": f"{100 * score['balanced_accuracy']:.2f}",
    }


def _network(scored: dict) -> str:
    lines = [
        {
            "Set": name,
            "Rows": f"{score['n']:,}",
            **accuracy_columns(score),
            "Macro F1, %": f"{100 * score['macro_f1']:.2f}",
            "Log-loss": f"{score['log_loss']:.4f}" if "log_loss" in score else "–",
            "Calibration error, %": f"{100 * score['calibration_error']:.2f}" if "log_loss" in score else "–",
        }
        for name, score in scored["sets"].items()
    ]
    few = {name: score for name, score in scored["sets"].items() if "agree" not in name and "leaked" not in name}
    recalls = [{"Recall, %": e} | {name: _recall(few[name]["recall"].get(e)) for name in few} for e in FER2013]
    remarks = []
    if lacking := scored["not_covered"].items():
        there = (f"{name} ({rows['present']:,} of {rows['n']:,} rows are there)" for name, rows in lacking)
        remarks.append(f"Not covered: {', '.join(there)}.")
    if scored["training_rows"]:
        remarks.append(f"{scored['training_rows']:,} Training rows are there too; they are not scored.")
    if gap := scored.get("leaked_minus_clean"):
        points = f"{100 * gap['difference']:+.2f} points {interval(gap['interval'], '+')}"
        remarks.append(f"Leaked minus clean rows of PrivateTest: {points}.")
    largest = max(scored["sets"], key=lambda name: scored["sets"][name]["n"])
    counts = ", ".join(f"{emotion} {count:,}" for emotion, count in scored["sets"][largest]["predicted"].items())
    remarks.append(f"Predicted on {largest}: {counts}.")
    parts = [f"## {scored['file']}\n", table(lines, True), *remarks, "", table(recalls, True)]
    return "\n".join([*parts, *([_taggers(scored["taggers"])] if scored.get("taggers") else [])])


def _taggers(agreements: dict[str, dict]) -> str:
    lines = [
        {
            "Against FER+'s taggers": name,
            "Rows": f"{of['n']:,}",
            "A tagger agrees, %": f"{100 * of['agreement']:.2f} {interval(of['interval'])}",
            "with the label, %": f"{100 * of['agreement_of_label']:.2f}",
            "with another tagger at best, %": f"{100 * of['agreement_at_most']:.2f}",
            "Divergence": f"{of['divergence']:.4f}" if "divergence" in of else "–",
        }
        for name, of in agreements.items()
    ]
    text = (
        "How often a tagger who saw one of the seven emotions chose the predicted emotion, FER2013's label, and the "
        "most common choice.\nDivergence: Kullback-Leibler, from the taggers' shares to the probabilities, in nats.\n"
    )
    return f"{table(lines, True)}\n{text}"


def _recall(score: dict | None) -> str:
    return f"{100 * score['recall']:.2f} {interval(score['interval'])}" if score else "–"


def _comparison(first: str, second: str, comparison: dict) -> str:
    lines = [
        {
            "Set": name,
            "Rows": f"{score['n']:,}",
            "Only first right": f"{score['only_first']:,}",
            "Only second right": f"{score['only_second']:,}",
            "Second minus first, points": f"{100 * score['difference']:+.2f}",
            "Paired bootstrap interval": interval(score["interval"], "+"),
            "McNemar's exact p": f"{score['mcnemar_p']:.3g}",
        }
        for name, score in comparison.items()
    ]
    return (
        f"## Second against first\n\n- first: {first}\n- second: {second}\n\n{table(lines, True)}\n"
        "Each line is a separate test: decide before looking which set counts.\n"
    )
