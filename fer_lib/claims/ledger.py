"""The ledger of the papers' claims, ``claims/<study>.yaml``: read, and refused where something is wrong with it.

The head of ``claims/saravanan2019.yaml`` explains its keys.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from ..data.emotions import FER2013
from . import measures

ALWAYS = ("id", "where", "claim", "kind", "reported")
ANY = ("missing", "why", "note", "headline")
WAITING = ("licence", "weights")
"""Why not everybody can make a claim's runs, and with what: its verdict as long as there are none."""
KEYS = {
    "accuracy": (("runs",), ("measure", "rows", "epoch", "unknown_rows", *WAITING)),
    "behaviour": (("runs", "measure", "within"), ("rows", "epoch")),
    "ordering": (("runs",), ("first", "average", "emotion", "rows", "epoch", *WAITING)),
    "no difference": (("runs",), ("rows", "epoch")),
    "speed": (("runs", "measure", "within"), ()),
    "share": (("runs", "measure", "within"), ()),
    "count": (("measure",), ()),
    "quoted": (("source",), ()),
    "relation": (("of", "with"), ()),
}
"""What each kind of claim needs beside ``ALWAYS``, or ``missing`` in its place, and what it may have beside ``ANY``."""


def read(folder: Path, experiments: dict[str, dict]) -> list[dict]:
    """The claims of all ledgers in a folder, in their order; each ``id`` with its ledger's name before it.

    Raises ValueError naming file and claim where one lacks a key or has one too many, where its kind or measure is
    unknown, where two have the same id, and where it names an experiment that has no file.
    """
    found, seen = [], set()
    for path in sorted(folder.glob("*.yaml")):
        for place, claim in enumerate(yaml.safe_load(path.read_text()) or [], 1):
            claim = claim if isinstance(claim, dict) else {"id": repr(claim)}
            name = f"{path.stem}/{claim.get('id')}"
            problem = "has the id of an earlier one; give it another" if name in seen else _problem(claim, experiments)
            if problem:
                raise ValueError(f"{folder.name}/{path.name}, claim {place} ({claim.get('id', 'no id')}): {problem}")
            seen.add(name)
            found.append(claim | {"id": name})
    return found


def _problem(claim: dict, experiments: dict[str, dict]) -> str:
    """What is wrong with a claim, empty where nothing is."""
    if absent := [key for key in ALWAYS if key not in claim]:
        return f"lacks {', '.join(absent)}"
    kind = claim["kind"]
    if kind not in KEYS:
        return f"kind: found {kind!r}, expected one of {', '.join(KEYS)}"
    needed, allowed = KEYS[kind]
    if extra := [key for key in claim if key not in (*ALWAYS, *needed, *allowed, *ANY)]:
        return f"found {', '.join(extra)}, which kind {kind} does not have"
    if "missing" in claim:
        evidence = [key for key in (*needed, *allowed) if key in claim]
        return f"found missing beside {', '.join(evidence)}; expected one or the other" if evidence else ""
    if absent := [key for key in needed if key not in claim]:
        return f"lacks {', '.join(absent)}, which kind {kind} needs (or missing: what it would take to test it)"
    if kind == "accuracy" and isinstance(claim["reported"], str):
        return f"reported: found {claim['reported']!r}, expected a number, in percent"
    known = {"count": measures.FACTS, "share": measures.SHARES}.get(kind, measures.MEASURES)
    if "measure" in claim and claim["measure"] not in known:
        return f"measure: found {claim['measure']!r}, expected one of {', '.join(known)}"
    return _problem_with_runs(claim, experiments) or _problem_with_range(claim)


def _problem_with_runs(claim: dict, experiments: dict[str, dict]) -> str:
    if "runs" not in claim:
        return ""
    names, kind = claim["runs"], claim["kind"]
    if not isinstance(names, list) or not names:
        return f"runs: found {names!r}, expected a list of experiments"
    for name in names:
        if name not in experiments:
            return f"runs: no experiment is called {name!r}; expected one of {', '.join(experiments)}"
    if kind in ("accuracy", "speed", "share") and len(names) > 1:
        return f"runs: found {len(names)} experiments, expected one"
    if kind in ("ordering", "no difference") and len(names) < 2 and not claim.get("average"):
        return "runs: found one experiment, expected two or more, the best first"
    if claim.get("average") and len(names) > 1:
        return f"runs: found {len(names)} experiments, expected the one whose seeds are averaged"
    if claim.get("emotion", FER2013[0]) not in FER2013:
        return f"emotion: found {claim['emotion']!r}, expected one of {', '.join(FER2013)}"
    return ""


def _problem_with_range(claim: dict) -> str:
    within = claim.get("within", [0, 0])
    numbers = [end for end in within if end is not None] if isinstance(within, list) and len(within) == 2 else []
    if not numbers or not all(isinstance(end, int | float) for end in numbers) or numbers != sorted(numbers):
        return f"within: found {within!r}, expected [from, to], either of them null where that side is open"
    return ""
