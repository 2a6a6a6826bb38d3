"""The verdicts on the papers' claims, computed from the records.

The evidence is the records, and committed counts of the data. ``fer_lib.claims.ledger`` reads the claims,
``fer_lib.claims.rules`` has the rules.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import paths
from ..data.emotions import FER2013
from ..evaluation import metrics, pooled, records
from ..files import reason, refused
from ..markdown import capitalised
from ..training.protocol import CHOICES
from . import ledger, measures, power, rules
from .rules import Verdict


def judge_ledger(all_records: list[dict], experiments: dict[str, dict], results: Path) -> list[dict]:
    """The project's claims, judged (see ``judge_claims``); none if any record is not of a full run."""
    if any(record["profile"] != "full" for record in all_records):
        return []
    return judge_claims(ledger.read(paths.CLAIMS, experiments), all_records, experiments, results)


def judge_claims(
    claims: list[dict], all_records: list[dict], experiments: dict[str, dict], results: Path
) -> list[dict]:
    """Each claim with what was measured, in which runs, and the verdict: the content of ``results/claims.json``.

    Keys: id, where, claim, kind, about ("own": what the paper ran itself; "data"; "others"), rule, reported, measured,
    unit, interval, interval_of (one of ``rules.INTERVALS``), values (for an accuracy: each seed's, in percent), seeds,
    verdict, because (what the rule saw), decides (for an inconclusive claim: what would decide it), threshold ("ours"
    where we chose it), flips (how another threshold would change the verdict), why (the cause of a deviation, where one
    is known), note, label (its name in the forest plot), headline (its place among the first claims, and what was found
    in a sentence; None for most), computed_by, others (groups not pooled with the one that was judged), runs (folders
    below ``results``). Raises ValueError naming the claim if its runs lack the rows or the epoch that it asks for.
    """
    evidence = [record for record in all_records if _is_evidence(record, experiments)]
    surveys = [[record] for record in evidence if "conditions" in record]  # without scores, so in no group
    groups: dict[str, list[list[dict]]] = {}
    for group in pooled.groups(evidence, experiments) + surveys:
        groups.setdefault(group[0]["experiment"], []).append(group)
    lines = []
    for claim in claims:
        seeds, computed_by, others = _together(claim, groups)
        try:
            verdict, unit, rule, decides, flips, collapsed, values = _judged(claim, seeds, results)
        except ValueError as error:
            raise ValueError(f"claim {claim['id']}: {error}") from None
        untested = verdict.verdict == rules.INCONCLUSIVE
        if lacking := [name for name in claim.get("runs", []) if untested and not seeds and name not in groups]:
            verdict = verdict._replace(because=f"no run of {', '.join(lacking)} yet")
        for precision in CHOICES["precision"]:
            if precision != "float32" and f", {precision}," in computed_by:
                engine = computed_by.split(",")[0]
                seen = f"computed in {precision} on {engine}; the papers used float32 on TensorFlow"
                verdict = verdict._replace(because=f"{verdict.because}; {seen}")
        folders = [r["folder"].relative_to(results).as_posix() for pair in seeds for r in pair]
        lines.append({
            **{key: claim[key] for key in ("id", "where", "claim", "kind")},
            "about": claim.get("about") or {"count": "data", "quoted": "others"}.get(claim["kind"], "own"),
            "rule": rules.RULES[rule],
            "reported": claim["reported"],
            "measured": _rounded(verdict.measured),
            "unit": unit,
            "interval": verdict.interval and [_rounded(end) for end in verdict.interval],
            "interval_of": rules.INTERVALS.get("behaviour" if unit == "seeds" else rule) if verdict.interval else None,
            "values": [_rounded(value) for value in values],
            "seeds": len(seeds),
            "verdict": verdict.verdict,
            "because": verdict.because,
            "decides": decides if verdict.verdict == rules.INCONCLUSIVE else None,
            "threshold": claim.get("threshold"),
            "flips": flips or None,
            "why": claim.get("why") if verdict.verdict != rules.REPRODUCED else None,
            "note": claim.get("note"),
            "label": claim.get("label"),
            "headline": _headline(claim, verdict, values, collapsed, len(seeds)),
            "computed_by": computed_by,
            "others": others,
            "runs": list(dict.fromkeys(folders)),
        })  # fmt: skip
    return lines


def _headline(claim: dict, verdict: Verdict, values: Sequence[float], collapsed: int, seeds: int) -> dict | None:
    """A headline's place and its sentence with the figures filled in; without figures, what the rule saw."""
    if "headline" not in claim:
        return None
    found = f"{capitalised(verdict.because)}."
    needs_interval = any(end in claim["headline"]["found"] for end in ("{low", "{high"))
    if verdict.measured is not None and (verdict.interval or not needs_interval):
        low, high = verdict.interval or (None, None)
        figures = {"measured": verdict.measured, "low": low, "high": high, "seeds": seeds}
        figures |= {"collapsed": collapsed, "best": max(values, default=None)}
        try:
            found = claim["headline"]["found"].format(**figures)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            expected = f"text with some of {', '.join(f'{{{name}}}' for name in figures)}"
            wrong = f"{claim['headline']['found']!r} ({reason(error)})"
            raise refused(f"claim {claim['id']}, headline", wrong, expected, "correct its braces") from None
    return {"place": claim["headline"]["place"], "found": found}


def to_json(lines: list[dict]) -> str:
    """The text of ``claims.json``: the number of each verdict, and the claims. The same records give the same bytes."""
    counts = {name: sum(line["verdict"] == name for line in lines) for name in rules.VERDICTS}
    return json.dumps({"schema": 1, "verdicts": counts, "claims": lines}, indent=1, ensure_ascii=False) + "\n"


def _is_evidence(record: dict, experiments: dict[str, dict]) -> bool:
    """Whether a record is evidence: a full run on the official data, with the parameters in its experiment's file.

    Data that is given out on request has no public checksum: its ``source`` says whether it has as many files as its
    owners say.
    """
    stated = experiments.get(record["experiment"], {}).get("parameters")
    official = records.is_official(record) or record["data"]["source"].get("official") is True
    if stated is None or record["profile"] != "full" or not official:
        return False
    return all(record["parameters"].get(name) == value for name, value in stated.items())


def _together(claim: dict, groups: dict[str, list[list[dict]]]) -> tuple[list[tuple[dict, ...]], str, list[str]]:
    """The runs that test a claim: for each seed that all its experiments have, their records, in the order of names.

    Backends, precisions and devices are never mixed, except for the tree, which has its own. Of the groups computed the
    same way, those with the most common seeds are taken. Fillings need no common seeds: all are taken, each record by
    itself. Also returns how they were computed, and the groups left out.
    """
    names, apart = claim.get("runs", []), claim["kind"] == "fillings"
    known = [group for name in dict.fromkeys(names) for group in groups.get(name, [])]
    best: list[list[dict]] = []
    most = 0
    for label in dict.fromkeys(map(pooled.computed_by, known)):
        chosen = []
        for name in names:
            own = groups.get(name, [])
            alike = [group for group in own if pooled.computed_by(group) == label]
            alike = alike or [group for group in own if group[0]["backend"] == "sklearn"]
            chosen += [max(alike, key=len)] if alike else []
        common = set.intersection(*({r["seed"] for r in group} for group in chosen))
        count = sum(map(len, chosen)) if apart else len(common)
        if (apart or len(chosen) == len(names)) and count > most:
            best, most = chosen, count
    others = [
        f"{group[0]['experiment']}: {pooled.computed_by(group)}, {len(group)} seed{'s' * (len(group) > 1)}"
        for group in known
        if best and not any(group is taken for taken in best)
    ]
    labels = "; ".join(dict.fromkeys(map(pooled.computed_by, best)))
    if apart:
        return [(record,) for group in best for record in group], labels, others
    by_seed = [{record["seed"]: record for record in group} for group in best]
    seeds = set.intersection(*map(set, by_seed)) if by_seed else set()
    return [tuple(own[seed] for own in by_seed) for seed in sorted(seeds)], labels, others


class _Judged(NamedTuple):
    verdict: Verdict
    unit: str  # of what was measured
    rule: str  # the name of the one that was applied
    decides: str = ""  # what would decide an inconclusive claim
    flips: str = ""  # how another threshold would change the verdict
    collapsed: int = 0  # of the seeds
    values: Sequence[float] = ()  # for an accuracy: each seed's


def _judged(claim: dict, seeds: list[tuple[dict, ...]], results: Path) -> _Judged:
    kind, reported = claim["kind"], claim["reported"]
    if "missing" in claim:
        return _Judged(Verdict(rules.NOT_TESTABLE, None, None, f"missing: {claim['missing']}"), "", kind)
    if kind == "count":
        return _Judged(_count(claim, results), "", kind)
    if kind == "quoted":
        return _Judged(rules.quoted(reported, claim["source"]), "", kind)
    if kind == "relation":
        return _Judged(rules.no_relation(claim["of"], claim["with"]), "rank correlation", kind)
    if not seeds and (lacks := next((key for key in ledger.WAITING if key in claim), "")):
        return _Judged(Verdict(rules.NOT_TESTABLE, None, None, f"{lacks}: {claim[lacks]}"), "", kind)
    if not seeds:
        because = "its experiments have no common seed on the same backend, precision and device"
        verdict = Verdict(rules.INCONCLUSIVE, None, None, because)
        return _Judged(verdict, "", kind, f"runs of at least {rules.SEEDS} seeds")
    if kind == "share":
        return _share(claim, seeds[0][0])
    if kind in ("ordering", "no difference"):
        return _compared(claim, seeds)
    measure, unit = measures.MEASURES[claim.get("measure", "accuracy")]
    values = [[float(measure(record, *_reading(claim, record))) for record in pair] for pair in seeds]
    collapsed = [[_collapsed_to(claim, record) for record in pair] for pair in seeds]
    if kind == "behaviour":
        return _behaviour(claim, values, collapsed, unit)
    if kind == "fillings":
        return _fillings(claim, seeds)
    values, collapsed_to = [value for (value,) in values], [to for (to,) in collapsed]
    if kind == "speed":
        return _Judged(rules.speed(claim["within"][1], values), unit, kind, "runs on other machines")
    constant, test_rows = {}, 0
    if unit == "%" and claim.get("measure", "accuracy") == "accuracy":
        constant, test_rows = measures.constant_accuracies(seeds[0][0], *_reading(claim, seeds[0][0]))

    def judge(values, collapsed_to):
        return rules.accuracy(reported, values, collapsed_to, constant, claim.get("unknown_rows", 0), test_rows)

    verdict = judge(values, collapsed_to)
    counted = isinstance(verdict.measured, int)
    decides = _more_seeds(verdict, len(seeds), power.accuracy(values, collapsed_to, judge))
    return _Judged(
        verdict, "seeds" if counted else unit, kind, decides, values=values, collapsed=sum(map(bool, collapsed_to))
    )


def _collapsed_to(claim: dict, record: dict) -> str:
    """The emotion that a run collapsed to, "" if it learned; judged on all its rows, clean or not."""
    return metrics.collapsed(records.scores(record, *_reading(claim, record))) or ""


def _share(claim: dict, record: dict) -> _Judged:
    k, n = measures.SHARES[claim["measure"]](record)

    def judge(low, high):
        return rules.share(k, n, low, high)

    ends = _ends(claim, 0, 100)
    faces = power.faces_needed(k, n, *ends)
    decides = f"about {faces:,} faces" if faces else "no realistic number of faces"
    return _Judged(judge(*ends), "%", "share", decides, _flips(claim, judge, 0, 100))


def _behaviour(claim: dict, values: list[list[float]], collapsed: list[list[str]], unit: str) -> _Judged:
    """A behaviour: by its size where that is measured, otherwise by how many seeds show it."""
    by_size = unit in ("%", "points") and len(values[0]) == 1
    sizes, learned = [value for value, *_ in values], [not any(pair) for pair in collapsed]

    def shown(low, high):
        return [all(low <= value <= high for value in pair) for pair in values]

    def judge(low, high):
        return rules.margin(sizes, learned, low, high) if by_size else rules.behaviour(shown(low, high))

    ends = _ends(claim, -np.inf, np.inf)
    verdict = judge(*ends)
    listed = ", ".join("/".join(f"{round(value, 2):g}" for value in pair) for pair in values)
    because = f"{verdict.because} ({claim['measure']}, {_range(*claim['within'])} needed; by seed: {listed})"
    can_draw = sum(learned) > 1
    draw = power.margin(sizes, learned, *ends) if by_size and can_draw else power.behaviour(shown(*ends))
    decides = _more_seeds(verdict, len(values), draw) if can_draw or not by_size else "more seeds that learn"
    flips = _flips(claim, judge, -np.inf, 100.0 if unit.startswith("%") else np.inf)
    verdict = verdict._replace(because=because)
    return _Judged(verdict, unit if by_size else "seeds", "margin" if by_size else "behaviour", decides, flips)


def _fillings(claim: dict, seeds: list[tuple[dict, ...]]) -> _Judged:
    """An accuracy against every filling, on each set of rows that the paper may have meant."""
    values: dict[str, list[float]] = {}
    for (record,) in seeds:
        for rows in claim["readings"]:
            scores = records.scores(record, claim.get("epoch", pooled.reading(record)[0]), rows)
            if not metrics.collapsed(scores):
                name = f"{record['experiment'].split('/')[1].replace('_', ' ')} on {rows}"
                values.setdefault(name, []).append(100 * scores["accuracy"])
    verdict = rules.fillings(claim["reported"], values, claim.get("unknown_rows", 0))
    decides = f"{rules.SEEDS} seeds of each filling"
    return _Judged(verdict, "%", "fillings", decides, values=sum(values.values(), []))


def _more_seeds(verdict: Verdict, have: int, draw: power.Draw) -> str:
    """What would decide an inconclusive verdict, in words."""
    if verdict.verdict != rules.INCONCLUSIVE:
        return ""
    needed, share = power.seeds_needed(have, draw)
    return f"{needed} seeds: enough in {100 * share:.0f} % of simulations"


def _flips(claim: dict, judge, lowest: float, highest: float) -> str:
    """How a threshold a fifth lower or higher would change the verdict, in words; "" where it would not."""
    if claim.get("threshold") != "ours":
        return ""
    ends, words = _ends(claim, lowest, highest), []
    now = judge(*ends).verdict
    for place, end in enumerate(claim["within"]):
        for factor in (0.8, 1.2) if end else ():
            moved = list(ends)
            moved[place] = end * factor
            if lowest <= moved[0] <= moved[1] <= highest and (other := judge(*moved).verdict) != now:
                words.append(f"{other} at {moved[place]:g} instead of {end:g}")
    return "; ".join(words)


def _reading(claim: dict, record: dict) -> tuple[str, str]:
    """Kept epoch and rows to read: the run's headline, unless the claim names others."""
    kept, rows = pooled.reading(record)
    return claim.get("epoch", kept), claim.get("rows", rows)


def _ends(claim: dict, lowest: float, highest: float) -> tuple[float, float]:
    """The range that a claim is about; an open side ends at ``lowest`` or ``highest``."""
    low, high = claim["within"]
    return lowest if low is None else low, highest if high is None else high


def _compared(claim: dict, seeds: list[tuple[dict, ...]]) -> _Judged:
    """Compares models pairwise by their predictions of the same rows, seed by seed.

    Each experiment against the next; with ``first`` or for "no difference", the first against each of the others; with
    ``average``, the mean of all seeds' probabilities against each seed.
    """
    alike = claim["kind"] == "no difference"
    places = range(1, len(claim["runs"]))
    pairs = [(0, k) for k in places] if claim.get("first") or alike else [(k - 1, k) for k in places]
    predictions = [[records.row_predictions(record, *_reading(claim, record)) for record in pair] for pair in seeds]
    is_collapsed = [[bool(_collapsed_to(claim, record)) for record in pair] for pair in seeds]
    if claim.get("average"):
        pairs, mean = [(0, 1)], np.mean([own["probabilities"] for (own,) in predictions], axis=0, dtype=np.float64)
        predictions = [[own | {"classes": mean.argmax(axis=1)}, own] for (own,) in predictions]
        is_collapsed = [[False, own] for (own,) in is_collapsed]
    differences = []
    for better, worse in pairs:
        own = []
        for arrays in predictions:
            if not np.array_equal(arrays[better]["ids"], arrays[worse]["ids"]):
                names = f"{claim['runs'][better]} and {claim['runs'][worse]}"
                raise ValueError(
                    f"runs: {names} were scored on different rows, expected the same; give the claim rows:"
                )
            of_better, of_worse = (_recognised(arrays[k], claim.get("emotion")).mean() for k in (better, worse))
            own.append(100 * (of_better - of_worse))
        differences.append(own)
    differences = np.array(differences)
    collapsed = np.array([[pair[better] or pair[worse] for pair in is_collapsed] for better, worse in pairs])
    rule = rules.no_difference if alike else rules.ordering
    verdict = rule(differences, collapsed)
    draw = power.paired(rule, differences, collapsed)
    decides = _more_seeds(verdict, len(seeds), draw) if len(seeds) > 1 else f"at least {rules.SEEDS} seeds"
    return _Judged(verdict, "points", claim["kind"], decides)


def _recognised(predictions: dict[str, np.ndarray], emotion: str | None) -> np.ndarray:
    """Which rows are recognised, (n,) bool; if an emotion is named, only its rows."""
    right = predictions["classes"] == predictions["labels"]
    return right[predictions["labels"] == FER2013.index(emotion)] if emotion else right


def _count(claim: dict, results: Path) -> Verdict:
    try:
        return rules.count(claim["reported"], measures.FACTS[claim["measure"]](results))
    except FileNotFoundError as error:
        because = f"missing: {Path(error.filename).relative_to(results)}, which `make audit` writes"
        return Verdict(rules.NOT_TESTABLE, None, None, because)


def _range(low: float | None, high: float | None) -> str:
    return f"{high:g} or less" if low is None else f"{low:g} or more" if high is None else f"{low:g} to {high:g}"


def _rounded(value):
    """A figure rounded to four decimals, so that a processor's last bit changes no byte."""
    return round(float(value), 4) if isinstance(value, float | np.floating) else value
