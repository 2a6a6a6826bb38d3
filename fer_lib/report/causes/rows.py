"""Causes that lie in the test rows: some leaked, PublicTest harder than PrivateTest, labels in doubt."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...claims import measures
from ...data import ferplus, near_duplicates
from ...evaluation import pooled, records, statistics
from ...files.tables import read_rows
from ...training.protocol import WITHOUT_NEAR, WITHOUT_TWINS
from .networks import HALVES, complete, counterparts, learned, named, paired, pairs, right_rows


def leaked_ids(results: Path) -> np.ndarray:
    """Ids, int32, of the test rows whose image stands in Training, by the audit in ``results``; none without it.

    The audit lists the earliest twin of each leaked row, and Training comes first.
    """
    leaked = _audited(results, "leaked", {"row": int, "twin_split": str})
    return np.array([line["row"] for line in leaked if line["twin_split"] == "Training"], np.int32)


def flat(results: Path) -> list[dict]:
    """The test rows of one grey all over, as the audit lists them: row, split, emotion, grey; none without it."""
    kinds = {"row": int, "split": str, "emotion": str, "grey": int}
    return [line for line in _audited(results, "flat", kinds) if line["split"] != "Training"]


def _audited(results: Path, name: str, kinds: dict[str, type]) -> list[dict]:
    """One of the audit's lists; none where it is missing. Raises ValueError naming file and line if it is damaged."""
    with suppress(FileNotFoundError):
        return read_rows(results / "audit" / f"{name}.csv", kinds, "make it again: make audit")
    return []


def leakage(groups: list[list[dict]], leaked: np.ndarray, near: dict[int, Nearest] | None = None) -> list[dict]:
    """Accuracy on leaked against clean rows of the headline, for each group on the official data with fixed tests.

    learned: whether it did (a collapsed network cannot have learned a row by heart, and is a control). n_leaked, n,
    accuracy, leaked, clean: over all seeds; ``spread`` (without an interval where seeds collapsed, each to its emotion)
    and ``rows``: of leaked - clean; alike: the difference at the leaked rows' mix of emotions, with its interval over
    rows; share: what the headline would lose if leaked rows were recognised as often as clean rows of the same
    emotions, with its interval; lost: accuracy on all rows minus that on clean ones, of the same networks, with its
    interval over rows; near_clean, near_lost: the same of near-clean rows, None without a list of near-duplicates.
    Networks trained without twins or near-duplicates remember none, and are left out.
    """
    lines = []
    for group in groups:
        if group[0]["parameters"].get("train_rows") in (WITHOUT_TWINS, WITHOUT_NEAR):
            continue
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
        near_clean, near_lost = None, None
        if near:
            kept = kinds_of(ids, leaked, near)["near-clean"]
            near_clean = float(mean[kept].mean())
            others = statistics.mean_difference(mean[~kept], mean[kept])
            near_lost = tuple(float((~kept).mean()) * value for value in others)
        lines.append(named(group) | {
            "learned": did_learn, "n_leaked": int(is_leaked.sum()), "n": len(ids), "accuracy": float(mean.mean()),
            "leaked": float(on_leaked.mean()), "clean": float(on_clean.mean()),
            "spread": spread if did_learn else (spread[0], float("nan"), float("nan")),
            "rows": statistics.mean_difference(on_leaked, on_clean), "alike": alike,
            "share": tuple(part * value for value in alike),
            "lost": tuple(part * value for value in statistics.mean_difference(on_leaked, on_clean)),
            "near_clean": near_clean, "near_lost": near_lost,
        })  # fmt: skip
    return lines


def pairs_without(experiments: dict[str, dict], left_out: str) -> list[tuple[str, str]]:
    """Experiments that differ in nothing but that the second leaves these training rows out (``WITHOUT_TWINS``, or
    ``WITHOUT_NEAR``)."""
    return [
        (first, second)
        for first, others in counterparts(experiments, "train_rows")
        for second in others
        if complete(experiments[second])["train_rows"] == left_out
    ]


def kinds_of(ids: np.ndarray, leaked: np.ndarray, near: dict[int, Nearest]) -> dict[str, np.ndarray]:
    """Test rows by what a network may remember of them, masks (n,) bool: leaked, near-duplicate (not leaked, nearly
    equal to a row of an earlier part), near-clean (the rest), clean (all that are not leaked), all."""
    is_leaked = np.isin(ids, leaked)
    is_near = np.array([row in near and near[row].correlation >= near_duplicates.NEAR for row in ids.tolist()], bool)
    return {
        "leaked": is_leaked, "near-duplicate": is_near & ~is_leaked, "near-clean": ~is_near & ~is_leaked,
        "clean": ~is_leaked, "all": np.ones(len(ids), bool),
    }  # fmt: skip


def together(first: str, second: str, groups: list[list[dict]]) -> tuple[list[tuple[dict, dict]], int]:
    """The ``pairs`` of runs in which neither network collapsed, and how many pairs were left out because one did."""
    common = pairs(first, second, groups)
    able = [pair for pair in common if learned(list(pair))]
    return able, len(common) - len(able)


def retrained(
    groups: list[list[dict]], experiments: dict[str, dict], leaked: np.ndarray, near: dict[int, Nearest]
) -> list[dict]:
    """What training without the twins of test rows, or without their near-duplicates too, does to the same rows, for
    each experiment that has such a counterpart.

    Of each: title, without ("twins", "near-duplicates"), seeds (pairs in which both learned), left_out (pairs in which
    one collapsed), and for each of ``kinds_of`` n and ``paired``: the accuracies before and after and their difference,
    over seeds and over rows; share: what the change on these rows does to the accuracy on all, with its interval over
    rows.
    """
    lines = []
    for without, left_out in (("twins", WITHOUT_TWINS), ("near-duplicates", WITHOUT_NEAR)):
        for first, second in pairs_without(experiments, left_out):
            common, collapsed = together(first, second, groups)
            if not common or not records.is_official(common[0][0]):
                continue
            (ids, _, before), (_, _, after) = (right_rows(list(side)) for side in zip(*common))
            kinds = {name: chosen for name, chosen in kinds_of(ids, leaked, near).items() if chosen.sum() > 1}
            if "leaked" not in kinds:
                continue
            line = {"title": common[0][0]["title"], "without": without, "seeds": len(common), "left_out": collapsed}
            for name, chosen in kinds.items():
                own, part = paired(before[:, chosen], after[:, chosen]), float(chosen.mean())
                line[name] = own | {"n": int(chosen.sum()), "share": tuple(part * value for value in own["rows"])}
            lines.append(line)
    return lines


class Nearest(NamedTuple):
    """The row of an earlier part that a test row is most like, by the audit."""

    correlation: float
    split: str  # of the test row
    agrees: bool  # whether both have the same label


def nearest(results: Path) -> dict[int, Nearest]:
    """By a test row's id the nearest row of an earlier part, where the audit lists one; none without its list.

    A PrivateTest row whose very image stands in PublicTest, though not in Training, is there too, so that what is left
    is near-clean.
    """
    pair = {"row": int, "split": str, "emotion": str, "partner_emotion": str, "correlation": float}
    twin = {"row": int, "split": str, "emotion": str, "twin_emotion": str, "twin_split": str}
    pairs, found = _audited(results, near_duplicates.NAME, pair), {}
    for line in _audited(results, "leaked", twin) if pairs else []:
        if line["twin_split"] == "PublicTest":
            found[line["row"]] = Nearest(1.0, line["split"], line["emotion"] == line["twin_emotion"])
    for line in pairs:
        own = Nearest(line["correlation"], line["split"], line["emotion"] == line["partner_emotion"])
        row = line["row"]
        if row not in found or own.correlation > found[row].correlation:
            found[row] = own
    return found


BANDS = (0.85, 0.86, 0.88, 0.90, 0.92, 0.94, 0.96, 0.98, 1.01)
"""Ends of the bands of correlation that are looked at."""


def by_correlation(
    groups: list[list[dict]], experiments: dict[str, dict], leaked: np.ndarray, near: dict[int, Nearest]
) -> list[dict]:
    """The threshold of near-duplicates, looked at: clean test rows by how much they are like a row of an earlier part.

    For each band of ``BANDS``: low, high, n, agree (how many bear that row's label), interval (exact), and, of the
    pair of networks with most seeds of which one was trained without near-duplicates, memory: how much more of these
    rows the other has right than of clean rows without a listed partner, minus the same of the one that cannot remember
    them, with its interval over rows; ease: the latter's difference alone. chance: the agreement of rows paired at
    random.
    """
    able = [together(*names, groups)[0] for names in pairs_without(experiments, WITHOUT_NEAR)]
    common = max(able, key=len, default=[])
    if not common or not near:
        return []
    (ids, labels, before), (_, _, after) = (right_rows(list(side)) for side in zip(*common))
    kinds, correlation = (
        kinds_of(ids, leaked, near),
        np.array([near[k].correlation if k in near else 0 for k in ids.tolist()]),
    )
    agrees = np.array([k in near and near[k].agrees for k in ids.tolist()])
    chance = float(((np.bincount(labels) / len(labels)) ** 2).sum())
    alone = kinds["clean"] & (correlation == 0)
    gain, without = before.mean(axis=0) - after.mean(axis=0), after.mean(axis=0)
    lines = []
    for low, high in zip(BANDS, BANDS[1:]):
        own = kinds["clean"] & (low <= correlation) & (correlation < high)
        if own.sum() < 2:
            continue
        n, agree = int(own.sum()), int(agrees[own].sum())
        lines.append({
            "title": common[0][0]["title"], "seeds": len(common), "low": low, "high": min(high, 1.0), "n": n,
            "agree": agree, "interval": statistics.clopper_pearson(agree, n), "chance": chance,
            "memory": statistics.mean_difference(gain[own], gain[alone]),
            "ease": statistics.mean_difference(without[own], without[alone]),
        })  # fmt: skip
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
    data, whose order FER+ shares; the labels are FER2013's.
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
