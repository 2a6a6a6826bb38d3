"""Reads and checks the ledger of the papers' claims, ``claims/<study>.yaml``.

The head of ``claims/saravanan2019.yaml`` explains the keys; ``claims/schema.json`` says which ones each kind has.
"""

import json
from functools import cache
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator, ValidationError

from .. import paths
from . import measures

HISTORY = "history"
"""The folder beside the ledgers: how rules and verdicts changed."""

WAITING = ("licence", "weights")
"""Keys for what not everybody has for a claim's runs; the claim is not testable as long as there are none."""


@cache
def schema() -> dict:
    """The JSON schema of a claim."""
    return json.loads((paths.CLAIMS / "schema.json").read_text())


def read(folder: Path, experiments: dict[str, dict]) -> list[dict]:
    """The claims of all ledgers in a folder, in order; the ledger's name is put before each ``id``.

    Raises ValueError naming file and claim: for a missing or unknown key, an unknown kind or measure, an id that occurs
    twice, and an experiment that has no file.
    """
    claims, seen, validator = [], set(), Draft202012Validator(schema())
    for path in sorted(folder.glob("*.yaml")):
        for place, claim in enumerate(yaml.safe_load(path.read_text()) or [], 1):
            claim = claim if isinstance(claim, dict) else {"id": repr(claim)}
            name = f"{path.stem}/{claim.get('id')}"
            if name in seen:
                problem = "has the id of an earlier one; give it another"
            elif error := next(validator.iter_errors(claim), None):
                problem = _message(error, claim)
            else:
                problem = _unknown(claim, experiments)
            if problem:
                raise ValueError(f"{folder.name}/{path.name}, claim {place} ({claim.get('id', 'no id')}): {problem}")
            seen.add(name)
            claims.append(claim | {"id": name})
    return claims


def changes(folder: Path) -> list[dict]:
    """The history of the rules (see ``claims/history/rules.yaml``), oldest first."""
    return yaml.safe_load((folder / HISTORY / "rules.yaml").read_text())


def moves(folder: Path) -> list[dict]:
    """What the last change of the rules did: the claims whose verdict changed, and those added or removed.

    For each: id, before, by_old_rules (the old rules on the runs of that day), after ("–": no such claim), reason.
    Raises ValueError naming the claims that have no reason in the history.
    """
    date = changes(folder)[-1]["date"].isoformat()
    verdicts = json.loads((folder / HISTORY / f"{date}.json").read_text())
    reasons = yaml.safe_load((folder / HISTORY / f"{date}.yaml").read_text())
    lines = []
    for name, (before, by_old_rules, after) in verdicts.items():
        if before == by_old_rules == after:
            continue
        usual = "A new claim." if before == "–" else "New runs." * (by_old_rules == after)
        reason = reasons.get(name, usual)
        lines.append({"id": name, "before": before, "by_old_rules": by_old_rules, "after": after, "reason": reason})
    if lacking := [line["id"] for line in lines if not line["reason"]]:
        place = f"{folder.name}/{HISTORY}/{date}.yaml"
        raise ValueError(f"{place}: found no reason for {', '.join(lacking)}; expected one for each; add it")
    return lines


def _message(error: ValidationError, claim: dict) -> str:
    """What is wrong with a claim, from the schema's first error."""
    kind = claim.get("kind")
    if error.validator == "required":
        absent = ", ".join(key for key in error.validator_value if key not in claim)
        is_of_kind = error.validator_value != schema()["required"]
        needs = f", which kind {kind} needs (or give missing: what it would take to test it)"
        return f"lacks {absent}{needs if is_of_kind else ''}"
    if error.validator == "unevaluatedProperties":
        own = schema()["$defs"][{"share": "speed"}.get(kind, kind).replace(" ", "_")]["properties"]
        extra = [str(key) for key in claim if key not in schema()["properties"] and key not in own]
        if extra:
            return f"found {', '.join(extra)}, which kind {kind} does not have"
        beside = ", ".join(key for key in claim if key in own and key != "reported")
        return f"found missing beside {beside}; expected one or the other"
    key = error.absolute_path[0]
    found = repr(claim[key])
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
