"""Summaries and counts as Markdown tables: percent, with intervals, for a reader."""

from __future__ import annotations

import re

import numpy as np

from . import summaries
from .datasets import SPLITS, Faces, fer2013, ferplus
from .emotions import FER2013

STUDIES = {"saravanan2019": "Saravanan et al. 2019", "vorontsov2018": "Vorontsov & Averkin 2018", "ours": "Ours"}


def table(lines: list[dict], padded: bool = False) -> str:
    """A Markdown table of dicts with equal keys; columns of numbers, dashes and bracketed intervals stand right.

    ``padded`` columns stand straight in a terminal too.
    """
    if not lines:
        return ""
    rows = [[str(cell).replace("|", "\\|") for cell in line.values()] for line in lines]
    columns = [_column(column, padded) for column in zip(lines[0], *rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in zip(*columns)) + "\n"


def _column(cells: tuple[str, ...], padded: bool) -> list[str]:
    width = max(4, *map(len, cells)) if padded else 0
    rule = "-" * max(width - 1, 3)
    if all(re.match(r"[-+]?\d|[–[]|$", cell) for cell in cells[1:]):
        return [cells[0].rjust(width), f"{rule}:", *(cell.rjust(width) for cell in cells[1:])]
    return [cells[0].ljust(width), f":{rule}", *(cell.ljust(width) for cell in cells[1:])]


def _percent(spread: dict) -> str:
    """ "17.37 [17.21, 17.53]": mean and t interval in percent."""
    low, high = 100 * spread["low"], 100 * spread["high"]
    interval = "" if np.isnan(low) else f" [{low:.2f},\u00a0{high:.2f}]"  # breaks before the bracket only
    return f"{100 * spread['mean']:.2f}{interval}"


def _wilson(spread: dict) -> str:
    return _interval((spread["wilson_low"], spread["wilson_high"]))


def _epochs(epochs: list) -> str:
    known = sorted({epoch for epoch in epochs if epoch is not None})
    return "\u00a0–\u00a0".join(map(str, dict.fromkeys([known[0], known[-1]]))) if known else "–"


def _how_to_run(name: str, experiment: dict) -> str:
    if other := experiment.get("milestone_of"):
        return f"read off the runs of {other}, which are missing or ended sooner"
    hours = experiment.get("expect", {})
    cost = [f"{hours[f'hours_{kind}']:g} h on a {kind.upper()}" for kind in ("cpu", "gpu") if f"hours_{kind}" in hours]
    licence = experiment.get("parameters", {}).get("data", "").startswith("affectnet")
    needs = "AFFECTNET=PATH " * licence
    asked = "needs AffectNet, whose licence is given by request: " if licence else "not run yet: "
    return f"{asked}`make reproduce {needs}ONLY={name}`" + (f" (a seed about {', '.join(cost)})" if cost else "")


def results(found: list[dict], experiments: dict[str, dict]) -> str:
    """Reported beside ours: a heading and a Markdown table for each table of the papers.

    Groups that may not be pooled (see ``summaries.groups``) have a line each; a row without a run says how to run it.
    """
    measured = summaries.accuracies(found, experiments).to_dict("records")
    tables: dict[str, list[dict]] = {}
    for name in dict.fromkeys([*experiments, *(row["experiment"] for row in measured)]):
        experiment = experiments.get(name, {})
        paper, _, place = experiment.get("where", "").partition(", ")
        study = name.split("/")[0]
        heading = ", ".join(filter(None, [STUDIES.get(study, study), paper]))
        reported = experiment.get("reported", {}).get("accuracy")
        for row in [row for row in measured if row["experiment"] == name] or [None]:
            tables.setdefault(heading, []).append({
                "Row": place.removeprefix("row ") or "–",
                "Model": experiment.get("title", name),
                "Reported, %": "–" if reported is None else f"{reported:.2f}",
                "Ours, %: mean [t interval]": _percent(row) if row else "–",
                "Wilson interval": _wilson(row) if row else "–",
                "Seeds": row["seeds"] if row else "–",
                "Epochs": _epochs(row["epochs"]) if row else "–",
                "Computed by": row["computed_by"] if row else "–",
                "Remarks": "; ".join(row["remarks"]) if row else _how_to_run(name, experiment),
            })  # fmt: skip
    return "\n".join(f"### {heading}\n\n{table(lines)}" for heading, lines in tables.items())


def verdicts(judged: list[dict]) -> str:
    """The claims with their verdicts (see ``claims.judge``): a heading and a Markdown table for each paper."""
    tables: dict[str, list[dict]] = {}
    for line in judged:
        study, name = line["id"].split("/")
        because = line["because"][:1].upper() + line["because"][1:]
        others = f"Not pooled with: {'; '.join(line['others'])}." if line["others"] else ""
        tables.setdefault(STUDIES.get(study, study), []).append({
            "Claim": f"{line['claim']} `{name}`",
            "Where": line["where"],
            "Reported": _figure(line["reported"]) + (" %" if line["kind"] == "accuracy" else ""),
            "Ours [95 % interval]": _measured(line),
            "Seeds": line["seeds"] or "–",
            "Verdict": f"**{line['verdict']}**",
            "Why": " ".join(filter(None, [f"{because}.", line["why"], line["note"], others])),
        })  # fmt: skip
    return "\n".join(f"### Claims of {heading}\n\n{table(lines)}" for heading, lines in tables.items())


def _figure(value) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _measured(line: dict) -> str:
    """A claim's figure: "60.12 % [59.40, 60.84]", "3 of 3 [0.44, 1.00]", "+2.31 points [1.20, 3.40]", "35,887"."""
    value, unit = line["measured"], line["unit"]
    if value is None:
        return "–"
    low, high = line["interval"] or (None, None)
    interval = "" if low is None else f" [{low:.2f},\u00a0{high:.2f}]"
    if unit == "seeds":
        return f"{value} of {line['seeds']}{interval}"
    if not isinstance(value, float):
        return _figure(value)
    return f"{value:+.2f} points{interval}" if unit == "points" else f"{value:.2f} {unit}".rstrip() + interval


def honest_results(found: list[dict], experiments: dict[str, dict]) -> str:
    """The honest reading as a Markdown table, or a sentence where no record has one."""
    lines = [
        {
            "Model": row["title"] + (" †" if row["stopped_on"] else ""),
            "Epoch chosen": _epochs(row["epochs"]),
            "PublicTest, % (chosen on it)": _percent(row["PublicTest"]),
            "PrivateTest, %: mean [t interval]": _percent(row["PrivateTest"]),
            "Wilson interval": _wilson(row["PrivateTest"]),
            "Clean PrivateTest, %": _percent(row["PrivateTest clean"]),
            "Clean rows": f"{row['PrivateTest clean']['n']:,}\u00a0of\u00a0{row['PrivateTest']['n']:,}",
            "Seeds": row["PrivateTest"]["seeds"],
            "Computed by": row["computed_by"],
        }
        for row in summaries.honest(found, experiments).to_dict("records")
    ]
    if not lines:
        return "No run has this reading yet.\n"
    dagger = "\n† Training stopped when the loss on rows that include PrivateTest stood still: not fully honest.\n"
    return table(lines) + (dagger if any("†" in line["Model"] for line in lines) else "")


def predicted(group: list[dict]) -> str:
    """How often each emotion is the truth, and how often each run of a group answers with it, as a Markdown table."""
    lines = []
    for record in group:
        score = summaries.headline(record)
        answer = f"seed {record['seed']}" + (f" (collapsed to {word})" if (word := summaries.collapsed(score)) else "")
        lines.append({"Rows": f"predicted, {answer}"} | {e: f"{c:,}" for e, c in zip(FER2013, score["predicted"])})
    truths = [tuple(summaries.confusion([record]).sum(axis=1)) for record in group]
    first = "true" if len(set(truths)) == 1 else f"true, seed {group[0]['seed']}"
    return table([{"Rows": first} | {e: f"{c:,}" for e, c in zip(FER2013, truths[0])}, *lines])


def class_counts(faces: Faces) -> str:
    """Faces per emotion and split as a Markdown table, and whether FER2013's are those of the official file.

    The last column is the accuracy, on PublicTest and PrivateTest, of always giving that answer.
    """
    counts = np.zeros((len(SPLITS), len(faces.emotions)), int)
    np.add.at(counts, (faces.split, faces.labels), 1)
    test = counts[1:].sum(axis=0)
    lines = [
        {"Emotion": emotion}
        | {split: f"{counts[code, label]:,}" for code, split in enumerate(SPLITS)}
        | {
            "All": f"{counts[:, label].sum():,}",
            "Share of both tests, %": f"{100 * test[label] / max(test.sum(), 1):.2f}",
        }
        for label, emotion in enumerate(faces.emotions)
    ]
    if faces.name != "fer2013":
        return table(lines)
    same = np.array_equal(counts, [fer2013.OFFICIAL_COUNTS[split] for split in SPLITS])
    said = (
        "All counts are those of the official file." if same else "**These are not the counts of the official file.**"
    )
    return f"{table(lines)}\n{said}\n"


def audit(findings: list[dict], padded: bool = False) -> str:
    """The findings of ``audit.summary`` as a Markdown table."""
    names = {"finding": "Finding", "all": "All"}
    lines = [{names.get(key, key): _count(value) for key, value in finding.items()} for finding in findings]
    return table(lines, padded)


def _count(value: int | str | None) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else value


def taggers(faces: Faces, counts: np.ndarray) -> str:
    """How often the choice of most of FER+'s ten taggers is FER2013's label on PrivateTest, as a Markdown table.

    ``counts`` (n, 10) of the same faces (``ferplus.counts_for``).
    """
    rows = faces.rows("PrivateTest")
    labels = faces.labels[rows]
    same = {
        "Most chose it, among 8 emotions, %": ferplus.plurality(counts[rows]) == labels,
        "Most chose it, among 8 emotions, unknown and no face, %": ferplus.plurality(counts[rows], 10) == labels,
    }
    chosen = {emotion: labels == code for code, emotion in enumerate(faces.emotions)} | {"all": labels >= 0}
    lines = [
        {"FER2013's label": name, "Rows": f"{of.sum():,}"}
        | {title: f"{100 * hit[of].mean():.2f}" for title, hit in same.items()}
        for name, of in chosen.items()
    ]
    return table(lines)


def scores(report: dict) -> str:
    """What ``scoring.report`` found, as Markdown that reads well in a terminal: each network, then both compared."""
    parts, source = [], report["data"]["source"]
    if not source.get("official"):
        parts.append(
            f"**Not the official FER2013**: a row is one of {source.get('file', 'this data')}, in its order, and may "
            "show another face than that row of fer2013.csv.\n"
        )
    parts += [_network(scored) for scored in report["files"]]
    if report["comparison"]:
        parts.append(_comparison(*(scored["file"] for scored in report["files"]), report["comparison"]))
    parts.append(
        "What each set is worth:\n\n" + "".join(f"- {name}: {text}\n" for name, text in report["worth"].items())
    )
    if "left_out" in report["ferplus"]:
        parts.append(f"Rows by how many of ten taggers agree are left out. {report['ferplus']['left_out']}\n")
    return "\n".join(parts)


def _network(scored: dict) -> str:
    lines = [
        {
            "Set": name,
            "Rows": f"{score['n']:,}",
            "Accuracy, %": f"{100 * score['accuracy']:.2f}",
            "Wilson interval": _interval(score["interval"]),
            "Balanced accuracy, %": f"{100 * score['balanced_accuracy']:.2f}",
            "Macro F1, %": f"{100 * score['macro_f1']:.2f}",
            "Log-loss": f"{score['log_loss']:.4f}" if "log_loss" in score else "–",
            "Calibration error, %": f"{100 * score['calibration_error']:.2f}" if "log_loss" in score else "–",
        }
        for name, score in scored["sets"].items()
    ]
    few = {name: score for name, score in scored["sets"].items() if "agree" not in name and "leaked" not in name}
    recalls = [{"Recall, %": e} | {name: _recall(few[name]["recall"].get(e)) for name in few} for e in FER2013]
    remarks = []
    if lacking := scored["not_covered"].items():
        there = (f"{name} ({rows['present']:,} of {rows['n']:,} rows are there)" for name, rows in lacking)
        remarks.append(f"Not covered: {', '.join(there)}.")
    if scored["training_rows"]:
        remarks.append(f"{scored['training_rows']:,} Training rows are there too; no set scores them.")
    if gap := scored.get("leaked_minus_clean"):
        points = f"{100 * gap['difference']:+.2f} points {_interval(gap['interval'], '+')}"
        remarks.append(f"Leaked minus clean rows of PrivateTest: {points}.")
    largest = max(scored["sets"], key=lambda name: scored["sets"][name]["n"])
    answers = ", ".join(f"{emotion} {count:,}" for emotion, count in scored["sets"][largest]["predicted"].items())
    remarks.append(f"Answers on {largest}: {answers}.")
    return "\n".join([f"## {scored['file']}\n", table(lines, True), *remarks, "", table(recalls, True)])


def _interval(interval: tuple[float, float], sign: str = "") -> str:
    low, high = (format(100 * end, f"{sign}.2f") for end in interval)
    return f"[{low},\u00a0{high}]"


def _recall(found: dict | None) -> str:
    return f"{100 * found['recall']:.2f} {_interval(found['interval'])}" if found else "–"


def _comparison(first: str, second: str, comparison: dict) -> str:
    lines = [
        {
            "Set": name,
            "Rows": f"{found['n']:,}",
            "Only first right": f"{found['only_first']:,}",
            "Only second right": f"{found['only_second']:,}",
            "Second minus first, points": f"{100 * found['difference']:+.2f}",
            "Paired bootstrap interval": _interval(found["interval"], "+"),
            "McNemar's exact p": f"{found['mcnemar_p']:.3g}",
        }
        for name, found in comparison.items()
    ]
    return (
        f"## Second against first\n\n- first: {first}\n- second: {second}\n\n{table(lines, True)}\n"
        "Each line is a test of its own: decide before looking which set counts.\n"
    )
