"""Causes that lie in how networks were trained and chosen: choosing on the test set, overfitting, and what a paper
leaves open."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import numpy as np

from ...evaluation import metrics, pooled, records, statistics

BOTH = "PublicTest+PrivateTest"
HALVES = ("PublicTest", "PrivateTest")
PATIENCE = 4
"""Epochs without a lower loss after which the papers' code stops (Saravanan et al. 2019, released notebooks)."""
REMEDIES = ("augmentation", "class_weights", "sampling", "weight_decay", "model_options")
"""Parameters that may be changed against overfitting; of a model's options those on dropout."""
OPEN = "eleven_layers"
"""The model that a paper (Vorontsov and Averkin 2018) leaves open."""
NO_FILLING = ("augmentation", "class_weights", "sampling", "at_most", "train_rows", "rows", "precision", "test_rows")
"""Parameters that are no matter of how a network is filled in."""


def learned(group: list[dict]) -> bool:
    """Whether no run of a group collapsed."""
    return not any(metrics.collapsed(pooled.headline(record)) for record in group)


def mostly_learned(group: list[dict]) -> list[dict]:
    """The runs of a group that learned, where these are more than half of it; else all, among which some collapsed."""
    able = [record for record in group if not metrics.collapsed(pooled.headline(record))]
    return able if 2 * len(able) > len(group) else group


def networks(groups: list[list[dict]]) -> list[list[dict]]:
    """The groups of networks that learned: all but trees and collapsed ones."""
    return [group for group in groups if group[0]["history"] and learned(group)]


def complete(experiment: dict) -> dict:
    """All parameters of an experiment: its own over its notebook's defaults."""
    return experiment.get("defaults", {}) | experiment.get("parameters", {})


def counterparts(experiments: dict[str, dict], field: str) -> list[tuple[str, list[str]]]:
    """Experiments that differ in this parameter and in nothing else: the first of each family, and its counterparts.

    In the order of ``experiments``, so that a paper's own comes first.
    """
    families: dict[str, list[str]] = {}
    for name, experiment in experiments.items():
        rest = {key: value for key, value in complete(experiment).items() if key not in (field, "seed")}
        if "model" in rest:
            families.setdefault(json.dumps(rest, sort_keys=True), []).append(name)

    values = {name: complete(experiment).get(field) for name, experiment in experiments.items()}
    split = [(first, [name for name in names if values[name] != values[first]]) for first, *names in families.values()]
    return [(first, others) for first, others in split if others]


def pairs(first: str, second: str, groups: list[list[dict]]) -> list[tuple[dict, dict]]:
    """The runs of two experiments that share a seed and were computed alike; of several such groups the largest."""
    common = []
    for one in (group for group in groups if group[0]["experiment"] == first):
        for two in (group for group in groups if group[0]["experiment"] == second):
            if _made(one) == _made(two):
                by_seed = {record["seed"]: record for record in two}
                common.append([(record, by_seed[record["seed"]]) for record in one if record["seed"] in by_seed])
    return max(common, key=len, default=[])


def _made(group: list[dict]) -> tuple[str, str, str]:
    return pooled.computed_by(group), group[0]["profile"], group[0]["data"]["sha256"]


def named(group: list[dict]) -> dict:
    """What a line about a group begins with: experiment, title, model ("" for a tree), computed_by, seeds."""
    return {
        "experiment": group[0]["experiment"],
        "title": group[0]["title"],
        "model": group[0]["parameters"].get("model", ""),
        "computed_by": pooled.computed_by(group),
        "seeds": len(group),
    }


def right_rows(group: list[dict], rows: str = "") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids and labels (n,) of the rows of a group's headline, or of ``rows``; and who had them right, (seeds, n) bool.

    Raises ValueError where its seeds were scored on different rows.
    """
    predictions = []
    for record in group:
        kept, usual = pooled.reading(record)
        predictions.append(records.row_predictions(record, kept, rows or usual))
    ids, labels = predictions[0]["ids"], predictions[0]["labels"]
    if any(not np.array_equal(ids, other["ids"]) for other in predictions):
        raise ValueError(f"{group[0]['experiment']}: its seeds were scored on different rows, expected the same")
    return ids, labels, np.array([of_seed["classes"] == of_seed["labels"] for of_seed in predictions])


def choosing(groups: list[list[dict]]) -> list[dict]:
    """What it is worth to choose the epoch on the rows that are scored, for each group of networks that learned.

    Of each run: last (accuracy on both tests after the last epoch), best (of all epochs), honest (PrivateTest at the
    epoch best on PublicTest), own (PrivateTest at the epoch best on PrivateTest), stopped and stopped_own (PrivateTest
    where ``PATIENCE`` would have ended training that watched PublicTest's or PrivateTest's loss; None where the history
    has no losses); each a list over seeds. worth: own - honest, with ``spread``.
    """
    lines = []
    for group in networks(groups):
        line = defaultdict(list)
        for history in (record["history"] for record in group if len(record["history"]) > 1):
            both, public, private = ([entry[f"{rows}_accuracy"] for entry in history] for rows in (BOTH, *HALVES))
            line["last"].append(both[-1])
            line["best"].append(max(both))
            line["honest"].append(private[int(np.argmax(public))])
            line["own"].append(max(private))
            line["worth"].append(line["own"][-1] - line["honest"][-1])
            line["stopped"].append(_stopped(history, "PublicTest"))
            line["stopped_own"].append(_stopped(history, "PrivateTest"))
        if line:
            lines.append(named(group) | dict(line) | {"spread": statistics.t_interval(line["worth"])})
    return lines


def _stopped(history: list[dict], rows: str) -> float | None:
    """PrivateTest after the epoch that early stopping by these rows' loss ends with, the last where it does not; None
    where the history has no losses."""
    losses = [entry.get(f"{rows}_loss") for entry in history]
    if None in losses:
        return None
    ends = (end for end in range(len(losses)) if end - int(np.argmin(losses[: end + 1])) >= PATIENCE)
    return history[next(ends, -1)]["PrivateTest_accuracy"]


def overfitting(groups: list[list[dict]]) -> list[dict]:
    """How far the last epoch's training accuracy (a running mean, dropout on) lies above that on the headline's rows.

    For each group of networks that learned: training and test (mean over seeds), ``spread`` of the gap, and the group.
    """
    lines = []
    for group in networks(groups):
        training = [record["history"][-1]["accuracy"] for record in group]
        test = [record["history"][-1][f"{pooled.reading(record)[1]}_accuracy"] for record in group]
        spread = statistics.t_interval([a - b for a, b in zip(training, test)])
        means = {"training": float(np.mean(training)), "test": float(np.mean(test))}
        lines.append(named(group) | means | {"spread": spread, "group": group})
    return lines


def remedy_pairs(experiments: dict[str, dict]) -> list[tuple[str, str, str]]:
    """Experiments that differ in one of ``REMEDIES`` only: (the parameter, without, with)."""

    def about_dropout(first, second):
        one, two = (complete(experiments[name]).get("model_options", {}) for name in (first, second))
        return all("dropout" in key for key in one.keys() | two.keys() if one.get(key) != two.get(key))

    return [
        (field, first, second)
        for field in REMEDIES
        for first, others in counterparts(experiments, field)
        for second in others
        if field != "model_options" or about_dropout(first, second)
    ]


def remedies(groups: list[list[dict]], experiments: dict[str, dict]) -> list[dict]:
    """What each change against overfitting does, for the ``remedy_pairs`` that have runs of the same seeds.

    Of each: title (of the one without), changed (in words), seeds, before and after, gain in accuracy on the headline's
    rows with ``spread`` over seeds and ``rows`` (paired), and narrowed: by how much the gap to the training accuracy
    shrank, on average over seeds.
    """
    lines = []
    for field, first, second in remedy_pairs(experiments):
        common = pairs(first, second, groups)
        sides = [list(side) for side in zip(*common)]
        if not sides or not all(learned(side) for side in sides):
            continue
        (_, _, before), (_, _, after) = map(right_rows, sides)
        (gap, *_), (narrower, *_) = (overfitting([side])[0]["spread"] for side in sides)
        value = complete(experiments[second])[field]
        changed = in_words(value if isinstance(value, dict) else {field: value}) or "as published"
        line = {"title": common[0][0]["title"], "changed": changed}
        lines.append(line | {"seeds": len(common), **paired(before, after), "narrowed": gap - narrower})
    return lines


def paired(before: np.ndarray, after: np.ndarray) -> dict:
    """Accuracies before and after a change, and the gain: ``spread`` over seeds, and ``rows``, paired.

    ``before`` and ``after``: which rows were right, (seeds, n) bool each, the same seeds and rows.
    """
    return {
        "before": float(before.mean()),
        "after": float(after.mean()),
        "spread": statistics.t_interval(after.mean(axis=1) - before.mean(axis=1)),
        "rows": statistics.t_interval(after.mean(axis=0) - before.mean(axis=0)),
    }


def in_words(changed: dict, between: str = " ") -> str:
    """Changed parameters in words: "augmentation flip and affine, dense [512]"."""
    return ", ".join(f"{name.replace('_', ' ')}{between}{value}" for name, value in changed.items())


def filling_names(experiments: dict[str, dict]) -> list[str]:
    """The experiments that fill in ``OPEN``: they differ from the first in what the paper leaves open only."""
    own = {name: complete(e) for name, e in experiments.items() if complete(e).get("model") == OPEN}
    first = next(iter(own.values()), {})
    return [name for name, values in own.items() if all(values.get(key) == first.get(key) for key in NO_FILLING)]


def fillings(groups: list[list[dict]], experiments: dict[str, dict]) -> list[dict]:
    """The groups of ``filling_names``, computed like most of them.

    Of each: changed (the parameters, options among them, that differ from the first's), PublicTest and PrivateTest at
    the kept epoch (``pooled.spread`` of the seeds).
    """

    def values(group):
        parameters = complete(experiments[group[0]["experiment"]]) | group[0]["parameters"]
        return parameters | parameters["model_options"] | {"model_options": None, "seed": None}

    own = [group for group in networks(groups) if group[0]["experiment"] in filling_names(experiments)]
    usual, lines = Counter(map(_made, own)).most_common(1), []
    for group in (group for group in own if _made(group) == usual[0][0]):
        one, other = values(own[0]), values(group)
        changed = {name: other.get(name) for name in other | one if other.get(name) != one.get(name)}
        scores = [record["metrics"][pooled.reading(record)[0]] for record in group]
        accuracies = {rows: pooled.spread([score[rows] for score in scores]) for rows in HALVES}
        lines.append(named(group) | {"changed": changed} | accuracies)
    return lines
