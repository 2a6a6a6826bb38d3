"""What came out, beside what was reported, as Markdown tables: percent, with intervals, for a reader."""

from __future__ import annotations

import numpy as np

from ..claims.rules import VERDICTS
from ..evaluation import metrics, pooled, records
from ..markdown import interval, table

STUDIES = {"saravanan2019": "Saravanan et al. 2019", "vorontsov2018": "Vorontsov & Averkin 2018", "ours": "Ours"}


def _percent(spread: dict) -> str:
    """ "17.37 [17.21, 17.53]": mean and t interval in percent."""
    low, high = 100 * spread["low"], 100 * spread["high"]
    interval = "" if np.isnan(low) else f" [{low:.2f},\u00a0{high:.2f}]"  # breaks before the bracket only
    return f"{100 * spread['mean']:.2f}{interval}"


def _wilson(spread: dict) -> str:
    return interval((spread["wilson_low"], spread["wilson_high"]))


def _epochs(epochs: list) -> str:
    known = sorted({epoch for epoch in epochs if epoch is not None})
    return "\u00a0–\u00a0".join(map(str, dict.fromkeys([known[0], known[-1]]))) if known else "–"


def _how_to_run(name: str, experiment: dict) -> str:
    if other := experiment.get("milestone_of"):
        return f"read off the runs of {other}, which are missing or ended sooner"
    hours = experiment.get("expect", {})
    cost = [f"{hours[f'hours_{kind}']:g} h on a {kind.upper()}" for kind in ("cpu", "gpu") if f"hours_{kind}" in hours]
    parameters = experiment.get("parameters", {})
    data, asked, needs = parameters.get("data", ""), "not run yet: ", ""
    if data.startswith("affectnet"):
        asked, needs = "needs AffectNet, whose licence is given by request: ", "AFFECTNET=PATH "
    elif data.startswith("ferplus"):
        needs = "FERPLUS=PATH "
    elif parameters.get("weights"):
        asked = f"waits for pretrained weights: `make weights ONLY={parameters['model']}`, then "
    return f"{asked}`make reproduce {needs}ONLY={name}`" + (f" (a seed about {', '.join(cost)})" if cost else "")


def results(found: list[dict], experiments: dict[str, dict]) -> str:
    """Reported beside ours: a heading and a Markdown table for each table of the papers.

    Groups that may not be pooled (see ``pooled.groups``) have a line each; a row without a run says how to run it.
    """
    measured = pooled.accuracies(found, experiments).to_dict("records")
    tables: dict[str, list[dict]] = {}
    for name in dict.fromkeys([*experiments, *(row["experiment"] for row in measured)]):
        experiment = experiments.get(name, {})
        if experiment.get("notebook") in pooled.DIAGNOSTIC:
            continue
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
    """The claims with their verdicts (see ``judge.judge_claims``) as a Markdown table; seeds link to their runs."""
    lines = []
    for line in judged:
        name = line["id"].split("/")[1]
        others = f"Not pooled with: {'; '.join(line['others'])}." if line["others"] else ""
        experiments = dict.fromkeys(folder.rpartition("/")[0] for folder in line["runs"])
        seeds = f"[{line['seeds']}]({next(iter(experiments))}/)" if experiments else line["seeds"]
        lines.append({
            "Claim": f"{line['claim']} `{name}`",
            "Where": f"{_paper(line)}, {line['where']}",
            "Reported": _reported(line),
            "Ours [95 % interval]": _measured(line),
            "Seeds": seeds or "–",
            "Verdict": f"**{line['verdict']}**",
            "Why": " ".join(filter(None, [_because(line), line["why"], line["note"], others])),
        })  # fmt: skip
    return table(lines)


def _paper(line: dict) -> str:
    """The first author of a claim's paper."""
    study = line["id"].split("/")[0]
    return STUDIES.get(study, study).split()[0]


def _because(line: dict) -> str:
    """What the rule saw, as a sentence."""
    return f"{line['because'][:1].upper()}{line['because'][1:]}."


def headlines(judged: list[dict]) -> str:
    """The few claims that are shown first, as a Markdown table without links."""
    return table([
        {
            "Claim": line["claim"],
            "Paper": _paper(line),
            "Reported": _reported(line),
            "Ours [95 % interval]": _measured(line),
            "Seeds": line["seeds"] or "–",
            "Verdict": f"**{line['verdict']}**",
            "Why": _because(line),
        }
        for line in judged
        if line["headline"]
    ])  # fmt: skip


def verdict_counts(judged: list[dict]) -> str:
    """How many claims of each kind got which verdict, as a Markdown table."""
    kinds = dict.fromkeys(line["kind"] for line in judged)
    groups = {kind.capitalize(): [line for line in judged if line["kind"] == kind] for kind in kinds} | {"All": judged}
    return table([
        {"Kind of claim": kind}
        | {word.capitalize(): sum(line["verdict"] == word for line in lines) for word in VERDICTS}
        | {"Claims": len(lines)}
        for kind, lines in groups.items()
    ])  # fmt: skip


def scope(found: list[dict], experiments: dict[str, dict], judged: list[dict]) -> str:
    """How much of each study was run and judged, as a Markdown table."""
    lines = []
    for study in dict.fromkeys(name.split("/")[0] for name in [*experiments, *(r["experiment"] for r in found)]):
        known = [name for name in experiments if name.split("/")[0] == study]
        run = {group[0]["experiment"] for group in pooled.groups(found, experiments)}
        own = [record for record in found if record["experiment"].split("/")[0] == study]
        claims = [line for line in judged if line["id"].split("/")[0] == study]
        lines.append({
            "Study": STUDIES.get(study, study),
            "Claims": len(claims) or "–",
            "of them decided": sum(line["verdict"] in VERDICTS[:2] for line in claims) if claims else "–",
            "Experiments": len(known),
            "of them run": len((run | {record["experiment"] for record in own}) & set(known)),
            "Runs": len(own),
        })  # fmt: skip
    return table(lines)


def _figure(value) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _reported(line: dict) -> str:
    """What the paper reports: "60.58 %", "35,887", "always"."""
    return _figure(line["reported"]) + (" %" if line["kind"] == "accuracy" else "")


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
        for row in pooled.honest(found, experiments).to_dict("records")
    ]
    if not lines:
        return "No run has this reading yet.\n"
    dagger = "\n† Training stopped when the loss on rows that include PrivateTest stood still: not fully honest.\n"
    return table(lines) + (dagger if any("†" in line["Model"] for line in lines) else "")


def predicted(group: list[dict]) -> str:
    """How often each emotion is the truth, and how often each run of a group answers with it, as a Markdown table."""
    lines, emotions = [], records.emotions(group[0])
    for record in group:
        score = pooled.headline(record)
        answer = f"seed {record['seed']}" + (f" (collapsed to {word})" if (word := metrics.collapsed(score)) else "")
        lines.append({"Rows": f"predicted, {answer}"} | {e: f"{c:,}" for e, c in zip(emotions, score["predicted"])})
    truths = [tuple(pooled.confusion([record]).sum(axis=1)) for record in group]
    first = "true" if len(set(truths)) == 1 else f"true, seed {group[0]['seed']}"
    shares = dict(zip(("precision", "recall", "F1"), pooled.per_class(pooled.confusion(group))))
    together = "" if len(group) == 1 else ", seeds added up"
    for name, values in shares.items():
        said = ["–" if np.isnan(value) else f"{100 * value:.1f}" for value in values]
        lines.append({"Rows": f"{name}, %{together}"} | dict(zip(emotions, said)))
    return table([{"Rows": first} | {e: f"{c:,}" for e, c in zip(emotions, truths[0])}, *lines])


def costs(lines: list[dict]) -> str:
    """What the runs cost (see ``costs.of_groups``), and all of them together, as a Markdown table."""
    if not lines:
        return "No run, no cost.\n"
    cells = [
        {
            "Model": line["title"],
            "Computed by": line["computed_by"],
            "Device": line["device"],
            "Runs": line["runs"],
            "Epochs": line["epochs"] or "–",
            "Hours": f"{line['seconds'] / 3600:.2f}",
            "PFLOP": "–" if line["flop"] is None else f"{line['flop'] / 1e15:,.3f}",
            "Memory, GB": f"{line['memory'] / 1e9:.1f}",
        }
        for line in lines
    ]
    total = {
        "Model": "All",
        "Runs": sum(line["runs"] for line in lines),
        "Epochs": sum(line["epochs"] for line in lines),
        "Hours": f"{sum(line['seconds'] for line in lines) / 3600:.2f}",
        "PFLOP": f"{sum(line['flop'] or 0 for line in lines) / 1e15:,.3f}",
    }
    return table([*cells, {name: total.get(name, "–") for name in cells[0]}])
