"""Causes that lie in the test rows: some leaked, PublicTest harder than PrivateTest, labels in doubt."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ...claims import measures
from ...data import ferplus
from ...evaluation import pooled, records, statistics
from ...training.protocol import WITHOUT_TWINS
from .networks import HALVES, complete, counterparts, learned, named, paired, pairs, right_rows


def leaked_ids(results: Path) -> np.ndarray:
    """Ids, int32, of the test rows whose image stands in Training, by the audit in ``results``; none without it.

    The audit lists the earliest twin of each leaked row, and Training comes first.
    """
    leaked = _audited(results, "leaked")
    return np.array([int(line["row"]) for line in leaked if line["twin_split"] == "Training"], np.int32)


def flat(results: Path) -> list[dict]:
    """The test rows of one grey all over, as the audit lists them: row, split, emotion, grey; none without it."""
    return [line for line in _audited(results, "flat") if line["split"] != "Training"]


def _audited(results: Path, name: str) -> list[dict]:
    try:
        with open(results / "audit" / f"{name}.csv", newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


def leakage(groups: list[list[dict]], leaked: np.ndarray) -> list[dict]:
    """Accuracy on leaked against clean rows of the headline, for each group on the official data with fixed tests.

    learned: whether it did (a collapsed network cannot have learned a row by heart, and is a control). n_leaked, n,
    accuracy, leaked, clean: over all seeds; ``spread`` (without an interval where seeds collapsed, each to its emotion)
    and ``rows``: of leaked - clean; alike: the difference at the leaked rows' mix of emotions, with its interval over
    rows; share: what the headline would lose if leaked rows were recognised as often as clean rows of the same
    emotions, with its interval.
    """
    lines = []
    for group in groups:
        if not len(leaked) or not records.is_official(group[0]) or pooled.reading(group[0])[1] == "held out":
            continue
        ids, labels, right = right_rows(group)
        is_leaked = np.isin(ids, leaked)
        if min(is_leaked.sum(), (~is_leaked).sum()) < 2:
            continue
        mean, did_learn, part = right.mean(axis=0), learned(group), float(is_leaked.mean())
        on_leaked, on_clean = mean[is_leaked], mean[~is_leaked]
        spread = statistics.t_interval(right[:, is_leaked].mean(axis=1) - right[:, ~is_leaked].mean(axis=1))
        alike = statistics.standardised_difference(on_leaked, labels[is_leaked], on_clean, labels[~is_leaked])
        lines.append(named(group) | {
            "learned": did_learn, "n_leaked": int(is_leaked.sum()), "n": len(ids), "accuracy": float(mean.mean()),
            "leaked": float(on_leaked.mean()), "clean": float(on_clean.mean()),
            "spread": spread if did_learn else (spread[0], float("nan"), float("nan")),
            "rows": statistics.mean_difference(on_leaked, on_clean), "alike": alike,
            "share": tuple(part * value for value in alike),
        })  # fmt: skip
    return lines


def pairs_without_twins(experiments: dict[str, dict]) -> list[tuple[str, str]]:
    """Experiments that differ in nothing but that the second trains without the twins of test rows."""
    return [
        (first, second)
        for first, others in counterparts(experiments, "train_rows")
        for second in others
        if complete(experiments[second])["train_rows"] == WITHOUT_TWINS
    ]


def retrained(groups: list[list[dict]], experiments: dict[str, dict], leaked: np.ndarray) -> list[dict]:
    """What training without the twins of test rows does to the same rows, for each experiment that has a counterpart.

    Of each: title, seeds, and for "leaked", "clean" and "all" rows the accuracies before and after, and
    their difference (after - before) with ``spread`` over seeds and ``rows``, the paired interval over rows.
    """
    lines = []
    for first, second in pairs_without_twins(experiments):
        common = pairs(first, second, groups)
        if not common or not records.is_official(common[0][0]):
            continue
        (ids, _, before), (_, _, after) = (right_rows(list(side)) for side in zip(*common))
        is_leaked = np.isin(ids, leaked)
        if not 0 < is_leaked.sum() < len(ids):
            continue
        line = {"title": common[0][0]["title"], "seeds": len(common)}
        for name, chosen in (("leaked", is_leaked), ("clean", ~is_leaked), ("all", is_leaked | ~is_leaked)):
            line[name] = paired(before[:, chosen], after[:, chosen])
        lines.append(line)
    return lines


def halves(groups: list[list[dict]]) -> list[dict]:
    """Accuracy of the last epoch on PublicTest and on PrivateTest, for each group that learned and was scored on both.

    public, private: mean over seeds; difference: private - public, with its interval over rows (Newcombe's, at the mean
    accuracies). The last epoch, because the best was chosen on PublicTest.
    """
    lines = []
    for group in filter(learned, groups):
        scores = [record["metrics"].get("last", {}) for record in group]
        if not all(set(HALVES) <= score.keys() for score in scores):
            continue
        public, private = (float(np.mean([score[half]["accuracy"] for score in scores])) for half in HALVES)
        n, m = (scores[0][half]["n"] for half in HALVES)
        rows = statistics.independent_difference(private * m, m, public * n, n)
        lines.append(named(group) | {"public": public, "private": private, "difference": rows[0], "rows": rows})
    return lines


def label_noise(groups: list[list[dict]], counts: np.ndarray) -> list[dict]:
    """Accuracy on PrivateTest by how many of FER+'s ten taggers chose its label, for groups that learned.

    levels: for each of ``ferplus.LEVELS`` n, accuracy (mean over seeds), interval (Wilson's). agreed, other: the same
    where most taggers chose the label, and where they chose another emotion; ``rows``: the difference of the two;
    taggers: on the other rows, accuracy by the taggers' choice instead of the label. second: of networks, how often the
    second prediction is right where the first is wrong, on either rows (see ``_second_predictions``). Only official
    data, whose order FER+ shares.
    """
    lines = []
    for group in filter(learned, groups):
        scored = group[0]["metrics"][pooled.reading(group[0])[0]]
        if not records.is_official(group[0]) or "PrivateTest" not in scored:
            continue
        ids, labels, right = right_rows(group, "PrivateTest")
        if ids.max() >= len(counts):
            continue
        mean, own = right.mean(axis=0), counts[ids]
        agree, most = ferplus.agreement(own, labels), ferplus.plurality(own)
        levels = {level: (low <= agree) & (agree <= high) for level, (low, high) in ferplus.LEVELS.items()}
        agreed, other = most == labels, (most != labels) & (most >= 0)
        if agreed.sum() < 2 or other.sum() < 2:
            continue
        predicted = [records.row_predictions(r, pooled.reading(r)[0], "PrivateTest")["classes"] for r in group]
        theirs = np.mean([classes == most for classes in predicted], axis=0)
        lines.append(named(group) | {
            "levels": {level: _part(mean, chosen) for level, chosen in levels.items() if chosen.any()},
            "agreed": _part(mean, agreed), "other": _part(mean, other), "taggers": _part(theirs, other),
            "rows": statistics.mean_difference(mean[agreed], mean[other]),
            "second": _second_predictions(group, agreed, other) if group[0]["history"] else None,
        })  # fmt: skip
    return lines


def _second_predictions(group: list[dict], agreed: np.ndarray, other: np.ndarray) -> dict | None:
    """How often the second prediction is right where the first is wrong, on some rows of PrivateTest and on others.

    agreed, other: as a fraction; difference: of the two, with Newcombe's interval over rows, at the mean counts of the
    seeds. None where on some or on others no prediction is wrong.
    """
    both = [measures.first_and_second(record, pooled.reading(record)[0], "PrivateTest") for record in group]
    counts = [
        np.mean([[(second & ~first & rows).sum(), (~first & rows).sum()] for first, second in both], axis=0)
        for rows in (agreed, other)
    ]
    (right, wrong), (others_right, others_wrong) = (count.round().astype(int).tolist() for count in counts)
    if not wrong or not others_wrong:
        return None
    difference = statistics.independent_difference(right, wrong, others_right, others_wrong)
    return {"agreed": right / wrong, "other": others_right / others_wrong, "difference": difference}


def _part(right: np.ndarray, rows: np.ndarray) -> dict:
    n, accuracy = int(rows.sum()), float(right[rows].mean())
    return {"n": n, "accuracy": accuracy, "interval": statistics.wilson(min(accuracy, 1.0) * n, n)}
