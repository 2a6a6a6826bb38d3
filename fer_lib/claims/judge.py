"""The verdicts on the papers' claims, by the records.

Evidence comes from records, and from counts of the data that are committed. ``fer_lib.claims.ledger`` reads the claims,
``fer_lib.claims.rules`` has the rules.
"""

import json
from pathlib import Path

import numpy as np

from .. import paths
from ..data.emotions import FER2013
from ..evaluation import metrics, pooled, records, statistics
from ..training.protocol import CHOICES
from . import ledger, measures, rules
from .rules import Verdict


def judge_ledger(all_records: list[dict], experiments: dict[str, dict], results: Path) -> list[dict]:
    """The project's claims, judged (see ``judge_claims``); none where a record is not of a full run."""
    if any(record["profile"] != "full" for record in all_records):
        return []
    return judge_claims(ledger.read(paths.CLAIMS, experiments), all_records, experiments, results)


def judge_claims(
    claims: list[dict], all_records: list[dict], experiments: dict[str, dict], results: Path
) -> list[dict]:
    """Each claim with what was measured, in which runs, and the verdict, as it stands in ``results/claims.json``.

    Keys: id, where, claim, kind, rule, reported, measured, unit, interval, seeds, verdict, because (what the rule saw),
    why (the cause of a deviation, where one is known), note, computed_by, others (groups that are not pooled with the
    one that was judged), runs (folders below ``results``). Raises ValueError naming the claim whose runs lack the rows
    or the epoch that it asks for.
    """
    evidence = [record for record in all_records if _is_evidence(record, experiments)]
    surveys = [[record] for record in evidence if "conditions" in record]  # they have no scores and are in no group
    groups: dict[str, list[list[dict]]] = {}
    for group in pooled.groups(evidence, experiments) + surveys:
        groups.setdefault(group[0]["experiment"], []).append(group)
    lines = []
    for claim in claims:
        seeds, computed_by, others = _together(claim.get("runs", []), groups)
        try:
            verdict, unit, rule = _verdict(claim, seeds, results)
        except ValueError as error:
            raise ValueError(f"claim {claim['id']}: {error}") from None
        untested = verdict.verdict == rules.INCONCLUSIVE
        if lacking := [name for name in claim.get("runs", []) if untested and not seeds and name not in groups]:
            verdict = verdict._replace(because=f"no run yet of {', '.join(lacking)}")
        for precision in CHOICES["precision"]:
            if precision != "float32" and f", {precision}," in computed_by:
                verdict = verdict._replace(because=f"{verdict.because}; in {precision}, where the papers had float32")
        folders = [r["folder"].relative_to(results).as_posix() for pair in seeds for r in pair]
        lines.append({
            **{key: claim[key] for key in ("id", "where", "claim", "kind")},
            "rule": rules.RULES[rule],
            "reported": claim["reported"],
            "measured": _rounded(verdict.measured),
            "unit": unit,
            "interval": verdict.interval and [_rounded(end) for end in verdict.interval],
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


def to_json(lines: list[dict]) -> str:
    """The text of ``claims.json``: how many of each verdict, and the claims. The same records give the same bytes."""
    counts = {name: sum(line["verdict"] == name for line in lines) for name in rules.VERDICTS}
    return json.dumps({"schema": 1, "verdicts": counts, "claims": lines}, indent=1, ensure_ascii=False) + "\n"


def _is_evidence(record: dict, experiments: dict[str, dict]) -> bool:
    """Whether a record is evidence: a full run on the official data, of the parameters that its file states today."""
    stated = experiments.get(record["experiment"], {}).get("parameters")
    if stated is None or record["profile"] != "full" or not records.is_official(record):
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
            alike = [group for group in own if pooled.computed_by(group) == label]
            alike = alike or [group for group in own if group[0]["backend"] == "sklearn"]
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


def _verdict(claim: dict, seeds: list[tuple[dict, ...]], results: Path) -> tuple[Verdict, str, str]:
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
        return rules.share(*measures.SHARES[claim["measure"]](seeds[0][0]), *_ends(claim, 0, 100)), "%", kind
    if kind in ("ordering", "no difference"):
        return _compared(claim, seeds), "points", kind
    measure, unit = measures.MEASURES[claim.get("measure", "accuracy")]
    values = [[float(measure(record, *_reading(claim, record))) for record in pair] for pair in seeds]
    if kind == "behaviour":
        low, high = _ends(claim, -np.inf, np.inf)
        verdict = rules.behaviour([all(low <= value <= high for value in pair) for pair in values])
        listed = ", ".join("/".join(f"{round(value, 2):g}" for value in pair) for pair in values)
        because = f"{verdict.because} (shown at {_range(*claim['within'])}; {claim['measure']}: {listed})"
        return verdict._replace(because=because), "seeds", kind
    values = [value for (value,) in values]
    if kind == "speed":
        return rules.speed(claim["within"][1], values), unit, kind
    collapsed = [bool(metrics.collapsed(records.scores(record, *_reading(claim, record)))) for (record,) in seeds]
    if any(collapsed):
        most = measures.majority_accuracy(seeds[0][0], *_reading(claim, seeds[0][0]))
        return rules.collapsed_accuracy(reported, values, collapsed, most), "seeds", "collapsed"
    return rules.accuracy(reported, values, claim.get("unknown_rows", 0)), unit, kind


def _reading(claim: dict, record: dict) -> tuple[str, str]:
    """Kept epoch and rows to read: the run's headline, unless the claim is about others."""
    kept, rows = pooled.reading(record)
    return claim.get("epoch", kept), claim.get("rows", rows)


def _ends(claim: dict, lowest: float, highest: float) -> tuple[float, float]:
    """The range that a claim is about; its open side ends here."""
    low, high = claim["within"]
    return lowest if low is None else low, highest if high is None else high


def _compared(claim: dict, seeds: list[tuple[dict, ...]]) -> Verdict:
    """Pairs of models by their predictions of the same rows, seed by seed.

    Each experiment against the next; with ``first``, or where there shall be no difference, the first against each of
    the others; with ``average`` the mean of all seeds' probabilities against each seed.
    """
    alike = claim["kind"] == "no difference"
    places = range(1, len(claim["runs"]))
    pairs = [(0, k) for k in places] if claim.get("first") or alike else [(k - 1, k) for k in places]
    predictions = [[records.row_predictions(record, *_reading(claim, record)) for record in pair] for pair in seeds]
    if claim.get("average"):
        pairs, mean = [(0, 1)], np.mean([own["probabilities"] for (own,) in predictions], axis=0, dtype=np.float64)
        predictions = [[own | {"classes": mean.argmax(axis=1)}, own] for (own,) in predictions]
    tests = []
    for better, worse in pairs:
        for arrays in predictions:
            if not np.array_equal(arrays[better]["ids"], arrays[worse]["ids"]):
                names = f"{claim['runs'][better]} and {claim['runs'][worse]}"
                raise ValueError(f"runs: {names} were scored on different rows; expected the same (rows: would say)")
            right = [_recognised(arrays[k], claim.get("emotion")) for k in (worse, better)]
            tests.append((*statistics.accuracy_difference(*right), statistics.mcnemar(*right)))
    differences, lows, highs, p_values = np.array(tests).T.reshape(4, len(pairs), len(seeds))
    shown = np.abs(differences).argmax() if alike else differences.argmin()
    interval = (100 * float(lows.flat[shown]), 100 * float(highs.flat[shown]))
    rule = rules.no_difference if alike else rules.ordering
    return rule(100 * differences, p_values)._replace(interval=interval)


def _recognised(predictions: dict[str, np.ndarray], emotion: str | None) -> np.ndarray:
    """Which of the rows are recognised, bool; where an emotion is named, of its rows only."""
    right = predictions["classes"] == predictions["labels"]
    return right[predictions["labels"] == FER2013.index(emotion)] if emotion else right


def _count(claim: dict, results: Path) -> Verdict:
    try:
        return rules.count(claim["reported"], measures.FACTS[claim["measure"]](results))
    except FileNotFoundError as error:
        because = f"missing: {Path(error.filename).relative_to(results)}, which `python -m fer_lib audit` writes"
        return Verdict(rules.NOT_TESTABLE, None, None, because)


def _range(low: float | None, high: float | None) -> str:
    return f"{high:g} or less" if low is None else f"{low:g} or more" if high is None else f"{low:g} to {high:g}"


def _rounded(value):
    """Figures as they are kept: four decimals, so that a processor's last bit changes no byte."""
    return round(float(value), 4) if isinstance(value, float | np.floating) else value
