"""What the records say to each of the papers' claims.

Evidence comes from records, and from counts of the data that are committed. ``fer_lib.claims.ledger`` reads the claims,
``fer_lib.claims.rules`` has the rules.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from .. import paths
from ..data.emotions import FER2013
from ..evaluation import metrics, pooled, records, statistics
from ..training.protocol import CHOICES
from . import ledger, measures, rules
from .rules import Verdict


def judged(found: list[dict], experiments: dict[str, dict], results: Path) -> list[dict]:
    """The project's claims, judged (see ``judge``); none where records are not of full runs: drawn faces test none."""
    if any(record["profile"] != "full" for record in found):
        return []
    return judge(ledger.read(paths.CLAIMS, experiments), found, experiments, results)


def judge(entries: list[dict], found: list[dict], experiments: dict[str, dict], results: Path) -> list[dict]:
    """Each claim with what was measured, in which runs, and the verdict, as it stands in ``results/claims.json``.

    Keys: id, where, claim, kind, rule, reported, measured, unit, interval, seeds, verdict, because (what the rule saw),
    why (the cause of a deviation, where one is known), note, computed_by, others (groups that are not pooled with the
    one that was judged), runs (folders below ``results``). Raises ValueError naming the claim whose runs lack the rows
    or the epoch that it asks for.
    """
    groups: dict[str, list[list[dict]]] = {}
    for group in pooled.groups([r for r in found if _counts(r, experiments)], experiments):
        groups.setdefault(group[0]["experiment"], []).append(group)
    for record in found:
        if "conditions" in record and _counts(record, experiments):  # it has no scores, so that it is in no group
            groups.setdefault(record["experiment"], []).append([record])
    lines = []
    for claim in entries:
        seeds, computed_by, others = _together(claim.get("runs", []), groups)
        try:
            verdict, unit, rule = _judged(claim, seeds, results)
        except ValueError as error:
            raise ValueError(f"claim {claim['id']}: {error}") from None
        untested = verdict.verdict == rules.INCONCLUSIVE
        if lacking := [name for name in claim.get("runs", []) if untested and not seeds and name not in groups]:
            verdict = verdict._replace(because=f"no run yet of {', '.join(lacking)}")
        for precision in CHOICES["precision"]:
            if precision != "float32" and f", {precision}," in computed_by:
                verdict = verdict._replace(because=f"{verdict.because}; in {precision}, where the papers had float32")
        interval = verdict.interval and [_rounded(end) for end in verdict.interval]
        folders = [r["folder"].relative_to(results).as_posix() for pair in seeds for r in pair]
        lines.append({
            **{key: claim[key] for key in ("id", "where", "claim", "kind")},
            "rule": rules.RULES[rule],
            "reported": claim["reported"],
            "measured": _rounded(verdict.measured),
            "unit": unit,
            "interval": interval,
            "seeds": len(seeds),
            "verdict": verdict.verdict,
            "because": verdict.because,
            "why": claim.get("why") if verdict.verdict != rules.REPRODUCED else None,
            "note": claim.get("note"),
            "headline": claim.get("headline", False),
            "computed_by": computed_by,
            "others": others,
            "runs": list(dict.fromkeys(folders)),
        })  # fmt: skip
    return lines


def to_json(judged: list[dict]) -> str:
    """The text of ``claims.json``: how many of each verdict, and the claims. The same records give the same bytes."""
    counts = {word: sum(line["verdict"] == word for line in judged) for word in rules.VERDICTS}
    return json.dumps({"schema": 1, "verdicts": counts, "claims": judged}, indent=1, ensure_ascii=False) + "\n"


def _counts(record: dict, experiments: dict[str, dict]) -> bool:
    """Whether a record is evidence: a full run on the official data, of the parameters that its file states today."""
    source = record["data"]["source"]
    official = source.get("md5") is not None and source["md5"] == source.get("official_md5")
    stated = experiments.get(record["experiment"], {}).get("parameters")
    if stated is None or record["profile"] != "full" or not official:
        return False
    return all(record["parameters"].get(name) == value for name, value in stated.items())


def _together(names: list[str], groups: dict[str, list[list[dict]]]) -> tuple[list[tuple[dict, ...]], str, list[str]]:
    """The runs that test a claim: for each seed that all its experiments have, their records, in the order of names.

    Backends, precisions and devices are never mixed, but for the tree, which has one of its own: of the groups that
    computed alike, those with most seeds in common are taken. Also how they computed, and the groups left aside.
    """
    known = [group for name in dict.fromkeys(names) for group in groups.get(name, [])]
    best: list[list[dict]] = []
    seeds: set[int] = set()
    for label in dict.fromkeys(map(pooled.computed_by, known)):
        chosen = []
        for name in names:
            own = groups.get(name, [])
            alike = [g for g in own if pooled.computed_by(g) == label] or [g for g in own if _is_tree(g)]
            chosen += [max(alike, key=len)] if alike else []
        common = set.intersection(*({r["seed"] for r in group} for group in chosen))
        if len(chosen) == len(names) and len(common) > len(seeds):
            best, seeds = chosen, common
    by_seed = [{record["seed"]: record for record in group} for group in best]
    others = [
        f"{group[0]['experiment']}: {pooled.computed_by(group)}, {len(group)} seed{'s' * (len(group) > 1)}"
        for group in known
        if best and not any(group is taken for taken in best)
    ]
    labels = "; ".join(dict.fromkeys(map(pooled.computed_by, best)))
    return [tuple(own[seed] for own in by_seed) for seed in sorted(seeds)], labels, others


def _is_tree(group: list[dict]) -> bool:
    return group[0]["backend"] == "sklearn"


def _judged(claim: dict, seeds: list[tuple[dict, ...]], results: Path) -> tuple[Verdict, str, str]:
    """The verdict on a claim, the unit of what was measured, and the name of the rule that was applied."""
    kind, reported = claim["kind"], claim["reported"]
    if "missing" in claim:
        return Verdict(rules.NOT_TESTABLE, None, None, f"missing: {claim['missing']}"), "", kind
    if kind == "count":
        return _count(claim, results), "", kind
    if kind == "quoted":
        return rules.quoted(reported, claim["source"]), "", kind
    if kind == "relation":
        return rules.no_relation(claim["of"], claim["with"]), "rank correlation", kind
    if not seeds and (lacks := next((key for key in ledger.WAITING if key in claim), "")):
        return Verdict(rules.NOT_TESTABLE, None, None, f"{lacks}: {claim[lacks]}"), "", kind
    if not seeds:
        return Verdict(rules.INCONCLUSIVE, None, None, "no seed that all were run with alike"), "", kind
    if kind == "share":
        low, high = (end if end is not None else edge for end, edge in zip(claim["within"], (0, 100)))
        return rules.share(*measures.SHARES[claim["measure"]](seeds[0][0]), low, high), "%", kind
    if kind in ("ordering", "no difference"):
        return _compared(claim, seeds), "points", kind
    measure, unit = measures.MEASURES[claim.get("measure", "accuracy")]
    values = [[float(measure(record, *_reading(claim, record))) for record in pair] for pair in seeds]
    if kind == "behaviour":
        low, high = (end if end is not None else np.inf * sign for end, sign in zip(claim["within"], (-1, 1)))
        found = rules.behaviour([all(low <= value <= high for value in pair) for pair in values])
        listed = ", ".join("/".join(f"{round(value, 2):g}" for value in pair) for pair in values)
        said = f"{found.because} (shown at {_range(*claim['within'])}; {claim['measure']}: {listed})"
        return found._replace(because=said), "seeds", kind
    values = [value for (value,) in values]
    if kind == "speed":
        return rules.speed(claim["within"][1], values), unit, kind
    fallen = [metrics.collapsed(records.scores(record, *_reading(claim, record))) for (record,) in seeds]
    if any(fallen):
        most = measures.best_single_answer(seeds[0][0], *_reading(claim, seeds[0][0]))
        return rules.collapsed_accuracy(reported, values, list(map(bool, fallen)), most), "seeds", "collapsed"
    return rules.accuracy(reported, values, claim.get("unknown_rows", 0)), unit, kind


def _reading(claim: dict, record: dict) -> tuple[str, str]:
    """Kept epoch and rows to read: the run's headline, unless the claim is about others."""
    kept, rows = pooled.reading(record)
    return claim.get("epoch", kept), claim.get("rows", rows)


def _compared(claim: dict, seeds: list[tuple[dict, ...]]) -> Verdict:
    """Pairs of models by their answers to the same rows, seed by seed.

    Each experiment against the next; with ``first``, or where there shall be no difference, the first against each of
    the others; with ``average`` the mean of all seeds' probabilities against each seed.
    """
    alike = claim["kind"] == "no difference"
    places = range(1, len(claim["runs"]))
    pairs = [(0, k) for k in places] if claim.get("first") or alike else [(k - 1, k) for k in places]
    given = [[records.row_predictions(record, *_reading(claim, record)) for record in pair] for pair in seeds]
    if claim.get("average"):
        pairs, mean = [(0, 1)], np.mean([answers["probabilities"] for (answers,) in given], axis=0, dtype=np.float64)
        given = [[answers | {"classes": mean.argmax(axis=1)}, answers] for (answers,) in given]
    found = []
    for better, worse in pairs:
        for answers in given:
            if not np.array_equal(answers[better]["ids"], answers[worse]["ids"]):
                names = f"{claim['runs'][better]} and {claim['runs'][worse]}"
                raise ValueError(f"runs: {names} were scored on different rows; expected the same (rows: would say)")
            right = [_right(answers[k], claim.get("emotion")) for k in (worse, better)]
            found.append((*statistics.accuracy_difference(*right), statistics.mcnemar(*right)))
    differences, lows, highs, p_values = np.array(found).T.reshape(4, len(pairs), len(seeds))
    shown = np.abs(differences).argmax() if alike else differences.argmin()
    interval = (100 * float(lows.flat[shown]), 100 * float(highs.flat[shown]))
    rule = rules.no_difference if alike else rules.ordering
    return rule(100 * differences, p_values)._replace(interval=interval)


def _right(answers: dict[str, np.ndarray], emotion: str | None) -> np.ndarray:
    """Which of the rows are answered rightly, bool; where an emotion is given, of its rows only."""
    right = answers["classes"] == answers["labels"]
    return right[answers["labels"] == FER2013.index(emotion)] if emotion else right


def _count(claim: dict, results: Path) -> Verdict:
    try:
        return rules.count(claim["reported"], measures.FACTS[claim["measure"]](results))
    except FileNotFoundError as error:
        said = f"missing: {Path(error.filename).relative_to(results)}, which `python -m fer_lib audit` writes"
        return Verdict(rules.NOT_TESTABLE, None, None, said)


def _range(low: float | None, high: float | None) -> str:
    return f"{high:g} or less" if low is None else f"{low:g} or more" if high is None else f"{low:g} to {high:g}"


def _rounded(value):
    """Figures as they are kept: four decimals, so that a processor's last bit changes no byte."""
    return round(float(value), 4) if isinstance(value, float | np.floating) else value
