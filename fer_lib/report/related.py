"""The systems that both papers measure themselves against: what they report, of what, and what came out here."""

from __future__ import annotations

import numpy as np

from ..evaluation import ensembles, metrics, pooled, records, statistics
from ..markdown import capitalised, interval, joined, table
from . import tables

OF = {
    "related/mollahosseini2016_inception": "FER2013; which rows is not known",
    "related/mollahosseini2016_alexnet": "what they compare theirs with",
    "related/mollahosseini2016_alexnet_short": "what they compare theirs with",
    "related/yu2015": "no figure on FER2013 known to us",
    "related/yu2015_short": "no figure on FER2013 known to us",
    "related/tang2013": "PrivateTest, hidden during the competition; several networks together",
    "related/sang2017": "FER2013, about 71 to 72 by their own account",
    "related/sang2017_short": "FER2013, about 71 to 72 by their own account",
    "related/kahou2015_frames": "no figure on FER2013 known to us",
    "related/li2018_ferplus": "FER+, by their own abstract",
    "related/li2018_ferplus_identity": "FER+, by their own abstract",
    "related/li2018_fer2013": "said to be FER2013; their abstract has FER+ alone",
    "related/li2018_ckplus": "CK+; which folds is not known",
    "related/yu2015_sfew": "SFEW's test films",
    "related/kahou2015_clips": "AFEW's test clips, with sound",
    "related/tan2017_groups": "GAF's validation pictures (80.9 of the test pictures), pretrained networks",
}
"""What the figure of each system is of, by the experiment that runs the system."""
TANG, PAPER = "related/tang2013", "saravanan2019/table5_adam_128"
CLAIM = "saravanan2019/near-state-of-the-art"
ROWS = "PrivateTest"


def systems(all_records: list[dict], experiments: dict[str, dict]) -> str:
    """What came out in two sentences, each system's figure beside ours from scratch as a Markdown table; then those
    without a run, and how to make it."""
    groups = _largest(all_records, experiments)
    ran, missing = [], []
    for name in OF:
        experiment, group = experiments[name], groups.get(name, [])
        reported = experiment["reported"].get("accuracy")
        line = {
            "System": experiment["title"],
            "They report, %": "–" if reported is None else f"{reported:g}",
            "That is of": OF[name] + _shortened(name, experiments),
        }
        if group:
            ran.append(line | {
                "Ours, %": _accuracy(group, "last", ROWS),
                "with views": _accuracy(group, "views", ROWS),
                "All seeds vote": _vote(group),
                "Clean rows": "–" if _has_folds(group) else _accuracy(group, "last", f"{ROWS} clean"),
                "Run": _run(group),
            })  # fmt: skip
        else:
            missing.append(line | {"To run it": tables.how_to_run([name], experiments)})
    parts = [table(ran)] if ran else []
    if said := _in_short(groups, experiments):
        parts.insert(0, f"{said}\n")
    return "\n".join([*parts, f"Not run yet:\n\n{table(missing)}"] if missing else parts)


def _shortened(name: str, experiments: dict[str, dict]) -> str:
    """What a diagnostic run leaves of the epochs: "; ours for 10 of 20 epochs"; "" for the whole protocol."""
    full = name.removesuffix("_short")
    if full == name:
        return ""
    done, planned = (experiments[each]["parameters"]["epochs"] for each in (name, full))
    return f"; ours for {done} of {planned} epochs"


def _in_short(groups: dict[str, list[dict]], experiments: dict[str, dict]) -> str:
    """How the runs on FER2013's own labels lie beside what is reported of the same system; "" where there is none."""
    reached, above = [], []
    for name in OF:
        group = groups.get(name, [])
        mean, _ = _mean(group, "last", ROWS)
        if mean is not None and group[0]["parameters"]["data"] == "fer2013":
            reached.append(100 * mean)
            if reported := experiments[name]["reported"].get("accuracy"):
                above.append(reported - 100 * mean)
    if not reached:
        return ""
    text = f"On FER2013's own labels, from scratch, one network of each reaches {_range(reached)} % of {ROWS}."
    if above:
        below = [gap for gap in above if gap > 0]
        count = f"all {len(above)}" if len(below) == len(above) else f"{len(below)} of {len(above)}"
        text += f" Of those with one figure to be held against, {count} stay below it"
        text += f", by {_range(below)} points." if below else "."
    return text


def _range(values: list[float]) -> str:
    """The smallest and the largest: "5.3 to 6.7"; one number where they are the same."""
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return low if low == high else f"{low} to {high}"


def _largest(all_records: list[dict], experiments: dict[str, dict]) -> dict[str, list[dict]]:
    """Of each experiment the group with most seeds."""
    return {group[0]["experiment"]: group for group in sorted(pooled.groups(all_records, experiments), key=len)}


def _has_folds(group: list[dict]) -> bool:
    return bool(group and group[0]["parameters"].get("folds"))


def _accuracy(group: list[dict], kept: str, rows: str) -> str:
    """The mean over the seeds that learned with the Wilson interval of as many rows: "62.61 [61.01, 64.18]"; "–" where
    there is none.

    With folds it is that of as many people: neighbouring frames of one person are no independent rows.
    """
    mean, n = _mean(group, kept, rows)
    if mean is None:
        return "collapsed" if n else "–"
    return f"{100 * mean:.2f} {interval(statistics.wilson(mean * n, n))}"


def _mean(group: list[dict], kept: str, rows: str) -> tuple[float | None, int]:
    """The mean accuracy of the seeds that learned, None where none did, and of how many rows or people it is."""
    scored = [records.scores(record, kept, rows) for record in group if kept in record["metrics"]]
    if not scored:
        return None, 0
    n = group[0]["data"]["source"].get("persons", scored[0]["n"]) if _has_folds(group) else scored[0]["n"]
    learned = [score["accuracy"] for score in scored if not metrics.collapsed(score)]
    return (float(np.mean(learned)) if learned else None), n


def _vote(group: list[dict]) -> str:
    """The accuracy of all seeds' vote, with weights learned on PublicTest as Yu and Zhang 2015 do; "–" for one seed."""
    if len(group) < 2 or _has_folds(group):  # no rows to learn weights from
        return "–"
    kept = "views" if all("views" in record["metrics"] for record in group) else "last"
    public, private = (
        [records.row_predictions(record, kept, rows) for record in group] for rows in ("PublicTest", ROWS)
    )
    weights = ensembles.learned_weights(np.stack([each["probabilities"] for each in public]), public[0]["labels"])
    voted = ensembles.soft_vote(np.stack([each["probabilities"] for each in private]).astype(np.float32), weights)
    right = voted.argmax(axis=1) == private[0]["labels"]
    return f"{100 * right.mean():.2f} {interval(statistics.wilson(right.sum(), len(right)))}"


def _run(group: list[dict]) -> str:
    if not group:
        return ""
    epochs, seeds = group[0]["parameters"]["epochs"], len(group)
    called = "1 seed" if seeds == 1 else f"{seeds} seeds"
    if lost := sum(bool(metrics.collapsed(records.scores(record, "last", ROWS))) for record in group):
        called += f", of which {lost} collapsed"
    return f"{epochs} epochs, {called}, {pooled.computed_by(group)}"


def near_the_state_of_the_art(judged: list[dict], all_records: list[dict], experiments: dict[str, dict]) -> str:
    """The verdict on the claim that 60 % is near the state of the art of its day, and what both networks reach here."""
    groups = _largest(all_records, experiments)
    reached = [
        f"{called} {_accuracy(groups[name], 'last', ROWS)} ({_run(groups[name])})"
        for name, called in ((TANG, "Tang's network"), (PAPER, "the best network of Saravanan et al."))
        if name in groups
    ]
    said = f"So far, in percent of {ROWS}: {joined(reached)}." if reached else "Neither has a run yet."
    line = next((line for line in judged if line["id"] == CLAIM), None)
    if line is None:
        return f"{said}\n"
    measured = "" if line["measured"] is None else f", {tables.measured(line)}"
    verdict = f"**{capitalised(line['verdict'])}**{measured}: {line['because']}."
    more = f" {capitalised(line['decides'])} would decide, computed alike." if line["decides"] else ""
    return f"{verdict}{more} {said}\n"
