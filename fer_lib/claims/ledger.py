"""Reads and checks the ledger of the papers' claims, ``claims/<study>.yaml``.

The head of ``claims/saravanan2019.yaml`` explains the keys; ``claims/schema.json`` says which ones each kind has.
"""

from datetime import date
from functools import cache
from pathlib import Path

from jsonschema import Draft202012Validator, ValidationError

from .. import paths
from ..files import documents, refused, visible
from . import measures

HISTORY = "history"
"""The folder beside the ledgers: how rules and verdicts changed."""
CHANGE = {"date": date, "rules": str, "what": str, "moved": str, "known": str}
"""What an entry of ``history/rules.yaml`` has, by type."""
HOW = "the head of claims/saravanan2019.yaml explains it"

WAITING = ("licence", "weights")
"""Keys for what not everybody has for a claim's runs; the claim is not testable as long as there are none."""


@cache
def schema() -> dict:
    """The JSON schema of a claim."""
    return documents.read_json(paths.CLAIMS / "schema.json", then="restore it from git")


def read(folder: Path, experiments: dict[str, dict]) -> list[dict]:
    """The claims of all ledgers in a folder, in order; the ledger's name is put before each ``id``.

    Raises ValueError naming file and claim: for a missing or unknown key, an unknown kind or measure, an id that occurs
    twice, and an experiment that has no file; and for a file that is no list in YAML.
    """
    claims, seen, validator = [], set(), Draft202012Validator(schema())
    for path in visible(folder, "*.yaml"):
        ledger = f"{folder.name}/{path.name}"
        for place, claim in enumerate(_list(documents.read_yaml(path, ledger), ledger, "claims", HOW), 1):
            claim = claim if isinstance(claim, dict) else {"id": f"{claim!r:.60}"}
            name = f"{path.stem}/{claim.get('id')}"
            if name in seen:
                problem = "has the id of an earlier one; give it another"
            elif error := next(validator.iter_errors(claim), None):
                problem = _message(error, claim)
            else:
                problem = _unknown(claim, experiments)
            if problem:
                problem += "" if "; " in problem else "; correct it"
                raise ValueError(f"{ledger}, claim {place} ({claim.get('id', 'no id')}): {problem}")
            seen.add(name)
            claims.append(claim | {"id": name})
    return claims


def _list(content: object, place: str, of: str, then: str) -> list:
    if content is not None and not isinstance(content, list):
        raise refused(place, f"{content!r:.60}", f"a list of {of}, each after a dash", then)
    return content or []


def changes(folder: Path) -> list[dict]:
    """The history of the rules (see ``claims/history/rules.yaml``), oldest first.

    Raises ValueError naming file and entry where one lacks a key, or has one that is unknown or of another type.
    """
    place, then = f"{folder.name}/{HISTORY}/rules.yaml", "write it as the entry before"
    entries = _list(documents.read_yaml(folder / HISTORY / "rules.yaml", place), place, "changes", then)
    if not entries:
        raise refused(place, "no change", "each change of the rules, oldest first", "restore it from git")
    for number, entry in enumerate(entries, 1):
        documents.check_keys(entry, f"{place}, change {number}", CHANGE, tuple(CHANGE), then)
    return entries


def moves(folder: Path) -> list[dict]:
    """What the last change of the rules did: the claims whose verdict changed, and those added or removed.

    For each: id, before, by_old_rules (the old rules on the runs of that day), after ("–": no such claim), reason.
    Raises ValueError naming the claims that have no reason in the history, and what ``changes`` raises.
    """
    day = changes(folder)[-1]["date"].isoformat()
    of_verdicts, of_reasons = (f"{folder.name}/{HISTORY}/{day}{ending}" for ending in (".json", ".yaml"))
    verdicts = documents.read_json(folder / HISTORY / f"{day}.json", of_verdicts)
    reasons = documents.read_yaml(folder / HISTORY / f"{day}.yaml", of_reasons) or {}
    three = dict.fromkeys(verdicts, list) if isinstance(verdicts, dict) else {"a claim": list}
    documents.check_keys(verdicts, of_verdicts, three, (), "restore it from git")
    if wrong := [name for name, of in verdicts.items() if [type(verdict) for verdict in of] != 3 * [str]]:
        expected = "the verdicts before, by the old rules, and after"
        raise refused(f"{of_verdicts}, {wrong[0]}", f"{verdicts[wrong[0]]!r:.60}", expected, "restore it from git")
    known = dict.fromkeys([*verdicts, *(reasons if isinstance(reasons, dict) else ())], str)
    documents.check_keys(reasons, of_reasons, known, (), "write id: reason")
    lines = []
    for name, (before, by_old_rules, after) in verdicts.items():
        if before == by_old_rules == after:
            continue
        usual = "A new claim." if before == "–" else "New runs." * (by_old_rules == after)
        reason = reasons.get(name, usual)
        lines.append({"id": name, "before": before, "by_old_rules": by_old_rules, "after": after, "reason": reason})
    if lacking := [line["id"] for line in lines if not line["reason"]]:
        raise ValueError(f"{of_reasons}: found no reason for {', '.join(lacking)}; expected one for each; add it")
    return lines


def _message(error: ValidationError, claim: dict) -> str:
    """What is wrong with a claim, from the schema's first error."""
    kind = claim.get("kind")
    if error.validator == "required":
        absent = ", ".join(key for key in error.validator_value if key not in claim)
        is_of_kind = error.validator_value != schema()["required"]
        needs = f", which kind {kind} needs (or give missing: what it would take to test it)"
        return f"lacks {absent}{needs if is_of_kind else ''}; add it"
    if error.validator == "unevaluatedProperties":
        own = schema()["$defs"][{"share": "speed"}.get(kind, kind).replace(" ", "_")]["properties"]
        extra = [str(key) for key in claim if key not in schema()["properties"] and key not in own]
        if extra:
            return f"found {', '.join(extra)}, which kind {kind} does not have"
        beside = ", ".join(key for key in claim if key in own and key != "reported")
        return f"found missing beside {beside}; expected one or the other"
    key = error.absolute_path[0]
    found = f"{claim[key]!r:.100}"
    if key == "runs" and error.validator in ("minItems", "maxItems"):
        found = "1 experiment" if len(claim[key]) == 1 else f"{len(claim[key])} experiments"
    expected = error.schema.get("description") or f"one of {', '.join(error.validator_value)}"
    return f"{key}: found {found}, expected {expected}"


def _unknown(claim: dict, experiments: dict[str, dict]) -> str:
    """An unknown measure or experiment that a claim names, or a range in the wrong order; "" where nothing is wrong."""
    known = {"count": measures.FACTS, "share": measures.SHARES}.get(claim["kind"], measures.MEASURES)
    if "measure" in claim and claim["measure"] not in known:
        return f"measure: found {claim['measure']!r}, expected one of {', '.join(known)}"
    for name in claim.get("runs", []):
        if name not in experiments:
            return f"runs: no experiment is called {name!r}; expected one of {', '.join(experiments)}"
    ends = [end for end in claim.get("within", []) if end is not None]
    return "" if ends == sorted(ends) else f"within: found {ends}, expected [from, to], from the lower end"
