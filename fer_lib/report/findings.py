"""What a notebook found, in sentences that are computed from it; of drawn faces too, which say nothing about people."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ..data import Faces, audit, ferplus
from ..data.emotions import FER2013
from ..evaluation import metrics, records


def this_run(experiment: dict | None) -> str:
    """What an executed notebook is of: the experiment's title, what the paper has, what differs from it, Markdown.

    ``experiment``: None for a trial with parameters of one's own.
    """
    if experiment is None:
        return "A trial with the parameters above: no row of a table."
    reported = experiment["reported"]
    figure = f"The paper has {reported['accuracy']:g} %" if "accuracy" in reported else "The paper has no figure for it"
    figure += f", of {reported['rows']}" if "accuracy" in reported and "rows" in reported else ""
    lines = [f"**{experiment['title']}** ({experiment['where']}). {figure}."]
    if folds := experiment.get("parameters", {}).get("folds"):
        lines.append(
            f"{folds} networks, each trained without the people of one fold, whom it then predicts: every face counts "
            "once, as PrivateTest, and nobody is in two parts."
        )
    if deviations := experiment.get("deviations"):
        lines.append("What differs from the paper:\n\n" + "\n".join(f"- {text}" for text in deviations))
    return "\n\n".join(lines)


def frequencies(faces: Faces) -> str:
    """Which emotions are frequent and which are rare, and what the most frequent one alone would score."""
    counts = np.bincount(faces.labels, minlength=len(faces.emotions))
    most, least = int(counts.argmax()), int(counts.argmin())
    tests = faces.labels[np.isin(faces.split, (1, 2))]
    alone = (
        f"A model that predicts *{faces.emotions[most]}* for every test row is right for {_percent(tests == most)} of "
        "them and has learned nothing."
    )
    if counts[most] < 1.1 * counts[least]:
        return f"All emotions are about equally frequent here. {alone}"
    return (
        f"*{faces.emotions[most].capitalize()}* is the most frequent emotion ({counts[most]:,} rows), "
        f"{counts[most] / max(counts[least], 1):.1f} times as frequent as the rarest, *{faces.emotions[least]}* "
        f"({counts[least]:,}). {alone}"
    )


def leaks(faces: Faces) -> str:
    """How many test rows leak, and in which emotions most and least; see ``audit``."""
    tests, leaked = np.isin(faces.split, (1, 2)), ~audit.clean_rows(faces)
    if not leaked.any():
        return "No test row shows an image of an earlier part, so nothing can be remembered."
    shares = {name: leaked[tests & (faces.labels == code)] for code, name in enumerate(faces.emotions)}
    ranked = sorted((name for name in shares if len(shares[name])), key=lambda name: shares[name].mean())
    return (
        f"{leaked.sum():,} of {tests.sum():,} test rows ({_percent(leaked[tests])}) are leaked: most among "
        f"*{ranked[-1]}* ({_percent(shares[ranked[-1]])}), fewest among *{ranked[0]}* ({_percent(shares[ranked[0]])}). "
        "A score on all test rows is partly a score on rows that were learned from."
    )


def agreement(faces: Faces, counts: np.ndarray) -> str:
    """On how many rows of PrivateTest most of FER+'s taggers chose the label; ``counts`` (n, 10) of the same faces."""
    rows = faces.rows("PrivateTest")
    agree, labels = ferplus.agreement(counts, faces.labels)[rows], faces.labels[rows]
    shares = {name: agree[labels == code] == 0 for code, name in enumerate(faces.emotions) if (labels == code).any()}
    worst = max(shares, key=lambda name: shares[name].mean())
    return (
        "The emotion that most taggers chose is FER2013's label on "
        f"{_percent(ferplus.plurality(counts)[rows] == labels)} of the rows of PrivateTest; on {_percent(agree == 0)} "
        f"no tagger chose the label. It is most doubtful where it is *{worst}*: {_percent(shares[worst])} of these "
        "rows have no tagger who chose it."
    )


def predictions(labels: np.ndarray, classes: np.ndarray, emotions: tuple[str, ...] = FER2013) -> str:
    """How a model did on the rows with these labels (n,): whether it collapsed, its accuracy beside that of always
    predicting the most frequent emotion, and which emotions it recognises best and worst."""
    score = metrics.score(classes, labels, count=len(emotions))
    if emotion := metrics.collapsed(score, emotions):
        share = max(score["predicted"]) / score["n"]
        return (
            f"**Collapsed.** The model predicts *{emotion}* for {100 * share:.2f} % of the {score['n']:,} rows. Its "
            f"accuracy, {100 * score['accuracy']:.2f} %, is that emotion's share of them and shows no skill. "
            "The accuracy alone does not tell this; the predictions do."
        )
    truths = np.bincount(labels, minlength=len(emotions))
    most, alone = emotions[int(truths.argmax())], float(truths.max() / len(labels))
    beside = "more than" if score["accuracy"] > alone else "no more than"
    recall = {name: value for name, value in zip(emotions, score["recall"]) if value is not None}
    best, worst = max(recall, key=recall.get), min(recall, key=recall.get)
    return (
        f"**Not collapsed.** The model predicts {sum(count > 0 for count in score['predicted'])} of {len(emotions)} "
        f"emotions and recognises {100 * score['accuracy']:.2f} % of the {score['n']:,} rows, {beside} the "
        f"{100 * alone:.2f} % of predicting *{most}* for every one. It recognises *{best}* best "
        f"({100 * recall[best]:.1f} %) and *{worst}* worst ({100 * recall[worst]:.1f} %)."
    )


def memory(fitted: float, scored: float) -> str:
    """How far the accuracy on the rows that a model was fitted on lies above that on the scored rows (fractions)."""
    gap = 100 * (fitted - scored)
    verdict = "most of what it learned is about these rows only" if scored < fitted / 2 else "part of it is memory"
    return (
        f"On the rows that it was fitted on it recognises {100 * fitted:.2f} %, on the scored rows "
        f"{100 * scored:.2f} %, a gap of {gap:.2f} points" + (f": {verdict}." if gap > 1 else ".")
    )


def importance(importances: np.ndarray) -> str:
    """On how few pixels half of a tree's importances (2304,), which add up to 1, lie."""
    ranked = np.sort(importances)[::-1]
    half = int(np.searchsorted(ranked.cumsum(), ranked.sum() / 2)) + 1
    return (
        f"Half of the importance lies on {half:,} of {len(ranked):,} pixels, {100 * half / len(ranked):.1f} % of them; "
        f"{(ranked == 0).sum():,} are not asked about at all."
    )


def frames(results: list, predicted: Counter) -> str:
    """What ``live.watch`` made of the frames of a video: faces, numbers, predictions, and how long a frame took.

    ``predicted``: in how many frames each emotion was.
    """
    parts = ("read", "detect", "crop", "classify")
    took = np.median([[1000 * each.seconds[part] for part in parts] for each in results], axis=0)
    tracks = len({face.track for each in results for face in each.faces})
    return (
        f"{sum(bool(each.faces) for each in results)} of {len(results)} frames have a face; they are taken for "
        f"{'one person' if tracks == 1 else f'{tracks} persons'}. Predicted: "
        f"{', '.join(f'{name} in {count}' for name, count in predicted.most_common()) or 'nothing'}. A frame takes "
        f"{took.sum():.1f} ms (median): {', '.join(f'{part} {each:.1f}' for part, each in zip(parts, took))}."
    )


def conditions(lines: list[dict]) -> str:
    """What a survey (see ``survey.survey``) finds and recognises with its first detector where nothing is changed, and
    which level of which condition costs most."""
    name = next(iter(lines[0]["found"]))
    usual = lines[records.usual_level(lines)]

    def share(line):
        return line["right_of_found"][name] / line["n"]

    changed = [line for line in lines if not line["usual"] and line["n"]]
    worst = min(changed, key=share)
    return (
        f"With nothing changed `{name}` finds {100 * usual['found'][name] / usual['n']:.1f} % of {usual['n']:,} faces, "
        f"and the network recognises {100 * share(usual):.1f} %. What costs most is {worst['condition']} "
        f"{worst['level']:g}: {100 * share(worst):.1f} % found and recognised."
    )


def _percent(chosen: np.ndarray) -> str:
    return f"{100 * float(np.mean(chosen)):.2f}\u00a0%"
