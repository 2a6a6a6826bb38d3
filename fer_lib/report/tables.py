"""Results beside what was reported, costs and data as Markdown tables: percent, with intervals, for a reader."""

from __future__ import annotations

import html
import re

import numpy as np

from ..claims.rules import VERDICTS
from ..data import SPLITS, SUPPLIED, Faces, fer2013, ferplus
from ..evaluation import metrics, pooled, records
from ..live import survey
from ..markdown import SHOWN, capitalised, interval, seed_list, study, table
from ..models import architectures, weights


def names(lines: list[dict]) -> list[str]:
    """The lines' titles, with what computed them (``computed_by``) where two have the same."""
    titles = [line["title"] for line in lines]
    return [
        f"{title} ({line['computed_by']})" if titles.count(title) > 1 else title for title, line in zip(titles, lines)
    ]


def percent(spread: dict) -> str:
    """ "17.37 [17.21, 17.53]": mean and t interval in percent."""
    ends = spread["low"], spread["high"]
    return f"{100 * spread['mean']:.2f}" + ("" if np.isnan(ends[0]) else f" {interval(ends)}")


def _wilson(spread: dict) -> str:
    return interval((spread["wilson_low"], spread["wilson_high"]))


def _epochs(epochs: list) -> str:
    known = sorted({epoch for epoch in epochs if epoch is not None})
    return "\u00a0–\u00a0".join(map(str, dict.fromkeys([known[0], known[-1]]))) if known else "–"


def how_to_run(names: list[str], experiments: dict[str, dict]) -> str:
    """The command that makes the full runs of these experiments, with all that they need beyond FER2013."""
    parameters = [experiments[name].get("parameters", {}) for name in names]
    sets = [of.get("data", "") for of in parameters]
    models = dict.fromkeys(of["model"] for of in parameters if of.get("weights"))
    fetched = [name for name in models if name not in weights.GIVEN]
    fetch = f"`make weights ONLY={','.join(fetched)}`, then " if fetched else ""
    fetch += "".join(f"`data/weights/{weights.GIVEN[name]}`, then " for name in models if name in weights.GIVEN)
    variables = dict.fromkeys(SUPPLIED[name][1] for name in sets if name in SUPPLIED)
    needs = "".join(f"{variable}=PATH " for variable in variables)
    return f"{fetch}`make reproduce PROFILE=full {needs}ONLY={','.join(names)}`"


def _not_run(name: str, experiments: dict[str, dict]) -> str:
    experiment, how = experiments[name], how_to_run([name], experiments)
    if other := experiment.get("milestone_of"):
        return f"read off the runs of {other}, which are missing or ended sooner; missing ones: {how}"
    hours, parameters = experiment.get("expect", {}), experiment.get("parameters", {})
    cost = [f"{hours[f'hours_{kind}']:g} h on a {kind.upper()}" for kind in ("cpu", "gpu") if f"hours_{kind}" in hours]
    why, (needed, _) = "not run yet", SUPPLIED.get(parameters.get("data"), ("", ""))
    if needed not in ("", "FER+"):  # which everybody may have
        why = f"needs {needed}, whose licence is granted on request"
    elif parameters.get("weights"):
        why = "waits for pretrained weights"
    return f"{why}: {how}" + (f" (a seed about {', '.join(cost)})" if cost else "")


def results(all_records: list[dict], experiments: dict[str, dict]) -> str:
    """Reported beside ours: a heading and a Markdown table for each table of the papers.

    Groups that may not be pooled (see ``pooled.groups``) have a line each; a row without a run says how to run it.
    """
    measured = pooled.accuracies(all_records, experiments).to_dict("records")
    sections: dict[str, list[dict]] = {}
    for name in dict.fromkeys([*experiments, *(row["experiment"] for row in measured)]):
        experiment = experiments.get(name, {})
        if experiment.get("notebook") in pooled.DIAGNOSTIC:
            continue
        paper, _, place = experiment.get("where", "").partition(", ")
        heading = ", ".join(filter(None, [study(name), paper]))
        reported = experiment.get("reported", {}).get("accuracy")
        for row in [row for row in measured if row["experiment"] == name] or [None]:
            sections.setdefault(heading, []).append({
                "Row": place.removeprefix("row ") or "–",
                "Model": experiment.get("title", name),
                "Reported, %": "–" if reported is None else f"{reported:.2f}",
                "Ours, %: mean [t interval]": percent(row) if row else "–",
                "Wilson interval": _wilson(row) if row else "–",
                "Seeds": row["seeds"] if row else "–",
                "Epochs": _epochs(row["epochs"]) if row else "–",
                "Computed by": row["computed_by"] if row else "–",
                "Remarks": "; ".join(row["remarks"]) if row else _not_run(name, experiments),
            })  # fmt: skip
    return "\n".join(f"### {heading}\n\n{table(lines)}" for heading, lines in sections.items())


def claims(judged: list[dict]) -> str:
    """The claims with their verdicts (see ``judge.judge_claims``), a line each, as a Markdown table."""
    return table([
        {"Claim": short(line), "Where": line["where"], **_outcome(line), "Verdict": f"**{line['verdict']}**"}
        for line in judged
    ])  # fmt: skip


def headlines(judged: list[dict]) -> str:
    """The few claims that are shown first, each with what was found in a sentence, as a Markdown table."""
    return table([
        {"The paper says": f"{short(line).rstrip('.')} ({study(line['id']).split()[0]})",
         "We found": line["headline"]["found"], "Verdict": f"**{line['verdict']}**"}
        for line in first(judged)
    ])  # fmt: skip


def first(judged: list[dict]) -> list[dict]:
    """The claims that are shown first, in their order."""
    return sorted((line for line in judged if line["headline"]), key=lambda line: line["headline"]["place"])


def short(line: dict) -> str:
    """A claim without the brackets at its end, which say how it is tested here."""
    return re.sub(r" \((?:[^()]|\([^()]*\))*\)\.?$", ".", line["claim"])


ABOUT = {"own": "own findings", "data": "the data set", "others": "others' work and code"}
"""What claims are about, as a reader knows it; in this order they stand in the table."""


def claims_in_html(judged: list[dict]) -> str:
    """The claims as an HTML table of one line each, whose last cell unfolds to the reasons: it needs no script.

    ``data-about`` of a row (of ``ABOUT``) and its verdict are what the page filters by; the own findings come first.
    Links are relative to the folder of ``results``.
    """
    from nbconvert.filters import markdown2html  # here, so that tables can be made where there is no Jupyter

    heads = "".join(f"<th>{head}</th>" for head in ("Claim", "Where", "Reported", "Ours", "Verdict", "Why"))
    rows = []
    for line in sorted(judged, key=lambda line: list(ABOUT).index(line["about"])):
        cells = [short(line), f"{study(line['id']).split()[0]}, {line['where']}", *_outcome(line).values()]
        columns = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        reasons = "".join(f"<dt>{name}</dt><dd>{markdown2html(text)}</dd>" for name, text in _reasons(line).items())
        details = f"<details><summary>why</summary><dl>{reasons}</dl></details>"
        columns += f"<td><strong>{line['verdict']}</strong></td><td>{details}</td>"
        rows.append(f'<tr id="{line["id"]}" data-about="{ABOUT[line["about"]]}">{columns}</tr>')
    body = "\n".join(rows)
    return f'<table class="claims">\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table>'


def _outcome(line: dict) -> dict[str, str]:
    percent = " %" if line["kind"] in ("accuracy", "fillings") else ""
    where = line["computed_by"] if line["kind"] == "speed" else line["interval_of"]
    ours = " ".join(filter(None, [measured(line), where]))
    return {"Reported": _figure(line["reported"]) + percent, "Ours [95 % interval]": ours}


def _reasons(line: dict) -> dict[str, str]:
    """What a verdict rests on, by name, in Markdown: how the claim is tested, what the rule saw, causes, runs."""
    tested = line["claim"].removeprefix(short(line).rstrip(".")).strip(" .")
    flips = f"; another would change the verdict: {line['flips']}" if line["flips"] else ""
    threshold = f" The threshold is ours{flips}." if line["threshold"] else ""
    others = f"Not pooled with: {'; '.join(line['others'])}." if line["others"] else ""
    seeds = f"{line['seeds']} seed{'s' * (line['seeds'] != 1)}, {line['computed_by']}" if line["runs"] else ""
    runs = f"{seeds}: [records]({line['runs'][0].rpartition('/')[0]}/). {others}" if line["runs"] else ""
    named = {
        "Tested here": tested and f"{capitalised(tested[1:-1])}.",
        "Seen": f"{capitalised(line['because'])}.{threshold}",
        "Would decide": line["decides"] and f"{capitalised(line['decides'])}.",
        "Cause": line["why"],
        "Note": line["note"],
        "Interval": line["interval_of"] and f"At 95 %, of {line['interval_of']}.",
        "Runs": runs,
        "Rule": f"That of its kind, [{line['kind']}](#Rules). In `claims.json` the claim is `{line['id']}`.",
    }
    return {name: text for name, text in named.items() if text}


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


def coverage(all_records: list[dict], experiments: dict[str, dict]) -> dict[str, tuple[int, int]]:
    """Of each study, by its title: how many of its experiments were run, and how many there are."""
    recorded = [record["experiment"] for record in all_records]
    run = {*recorded, *(group[0]["experiment"] for group in pooled.groups(all_records, experiments))}
    known: dict[str, list[bool]] = {}
    for name in dict.fromkeys([*experiments, *recorded]):
        known.setdefault(study(name), []).extend([name in run] if name in experiments else [])
    return {title: (sum(ran), len(ran)) for title, ran in known.items()}


def scope(all_records: list[dict], experiments: dict[str, dict], judged: list[dict]) -> str:
    """How much of each study was run and judged, as a Markdown table."""
    lines = []
    for title, (ran, known) in coverage(all_records, experiments).items():
        own = [line for line in judged if study(line["id"]) == title]
        lines.append({
            "Study": title,
            "Claims": len(own) or "–",
            "of them decided": sum(line["verdict"] in VERDICTS[:3] for line in own) if own else "–",
            "Experiments": known,
            "of them run": ran,
            "Runs": sum(study(record["experiment"]) == title for record in all_records),
        })  # fmt: skip
    return table(lines)


def _figure(value) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def measured(line: dict) -> str:
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


def honest_results(all_records: list[dict], experiments: dict[str, dict]) -> str:
    """The honest reading as a Markdown table, or a sentence where no record has one."""
    rows = pooled.honest(all_records, experiments).to_dict("records")
    lines = [
        {
            "Model": row["title"] + (" †" if row["stopped_on"] else ""),
            "Epoch chosen": _epochs(row["epochs"]),
            "PublicTest, % (chosen on it)": percent(row["PublicTest"]),
            "PrivateTest, %: mean [t interval]": percent(row["PrivateTest"]),
            "Wilson interval": _wilson(row["PrivateTest"]),
            "Clean PrivateTest, %": percent(row["PrivateTest clean"]),
            "Near-clean, %": percent(row[pooled.NEAR_CLEAN]) if row[pooled.NEAR_CLEAN] else "–",
            "Seeds": row["PrivateTest"]["seeds"],
            "Computed by": row["computed_by"],
        }
        for row in rows
    ]
    if not lines:
        return "No run has this reading yet.\n"
    n = max(tuple(row[name]["n"] if row[name] else 0 for name in (*pooled.HONEST, pooled.NEAR_CLEAN)) for row in rows)
    counted = (
        "\n" + "; ".join(f"{name}: {k:,} rows" for name, k in zip((*pooled.HONEST, pooled.NEAR_CLEAN), n) if k) + ".\n"
    )
    dagger = "\n† Training stopped when the loss on rows that include PrivateTest stood still: not fully honest.\n"
    return table(lines) + counted + (dagger if any("†" in line["Model"] for line in lines) else "")


def predicted(group: list[dict]) -> str:
    """How often each emotion is the truth, and how often each run of a group predicts it, as a Markdown table. Of more
    than ``SHOWN`` runs the first have a line each, and the others one: the least and the most."""
    lines, emotions = [], records.emotions(group[0])
    for record in group[:SHOWN]:
        score = pooled.headline(record)
        run = f"seed {record['seed']}" + (f" (collapsed to {emotion})" if (emotion := metrics.collapsed(score)) else "")
        lines.append({"Rows": f"predicted, {run}"} | {e: f"{c:,}" for e, c in zip(emotions, score["predicted"])})
    if rest := group[SHOWN:]:
        counts = np.array([pooled.headline(record)["predicted"] for record in rest])
        lost = sum(bool(metrics.collapsed(pooled.headline(record))) for record in rest)
        ends = [f"{low:,} to {high:,}" for low, high in zip(counts.min(axis=0), counts.max(axis=0))]
        run = f"seeds {seed_list([record['seed'] for record in rest])}" + (f" ({lost} collapsed)" if lost else "")
        lines.append({"Rows": f"predicted, {run}"} | dict(zip(emotions, ends)))
    truths = [tuple(pooled.confusion([record]).sum(axis=1)) for record in group]
    first = "true" if len(set(truths)) == 1 else f"true, seed {group[0]['seed']}"
    together = "" if len(group) == 1 else ", seeds added up"
    for name, shares in zip(("precision", "recall", "F1"), pooled.per_class(pooled.confusion(group))):
        percents = ["–" if np.isnan(share) else f"{100 * share:.1f}" for share in shares]
        lines.append({"Rows": f"{name}, %{together}"} | dict(zip(emotions, percents)))
    return table([{"Rows": first} | {e: f"{c:,}" for e, c in zip(emotions, truths[0])}, *lines])


def costs(all_records: list[dict], experiments: dict[str, dict], networks: dict[str, list[dict]]) -> str:
    """What each group of runs cost, and all of them together, as a Markdown table.

    Sweeps and surveys are among them; rows that are read off other runs are left out. Epochs, hours and PFLOP (see
    ``training_flop``) are added up over a group's runs; memory is the peak of its hungriest run. ``networks``:
    ``architectures.load``'s.
    """
    groups = pooled.groups(all_records, {n: e for n, e in experiments.items() if "milestone_of" not in e})
    groups += [[record] for record in all_records if not record["metrics"]]
    if not groups:
        return "No run, no cost.\n"
    lines = [
        {
            "Model": group[0]["title"],
            "Computed by": pooled.computed_by(group),
            "Device": ", ".join(dict.fromkeys(record["device"]["name"] for record in group)),
            **_cost(group, networks),
            "Memory, GB": f"{max(record['peak_memory_bytes'] for record in group) / 1e9:.1f}",
        }
        for group in groups
    ]
    total = {"Model": "All"} | _cost(sum(groups, []), networks)
    return table([*lines, dict.fromkeys(lines[0], "–") | total])


def _cost(group: list[dict], networks: dict[str, list[dict]]) -> dict[str, str]:
    flop = [flop for record in group if (flop := training_flop(record, networks)) is not None]
    return {
        "Runs": f"{len(group)}",
        "Epochs": f"{sum(len(record['history']) for record in group) or '–'}",
        "Hours": f"{sum(record['seconds'] for record in group) / 3600:.2f}",
        "PFLOP": f"{sum(flop) / 1e15:,.3f}" if flop else "–",
    }


def training_flop(record: dict, networks: dict[str, list[dict]]) -> int | None:
    """Floating-point operations of a network's training: its layers', for each training row in each epoch.

    Predicting the test rows after each epoch is left out. Rows that a run leaves out of Training for their image or
    their emotion are counted as if they were there. None for a network whose layers are not known, a tree, a sweep and
    a survey.
    """
    parameters = record["parameters"]
    layers = networks.get(architectures.key(parameters.get("model", ""), parameters.get("model_options")))
    if not record["metrics"] or not layers:
        return None
    names = parameters.get("train_rows", "Training").split("+")
    rows = sum(count for split, count in record["data"]["rows"].items() if any(n.startswith(split) for n in names))
    return architectures.training_flop(layers) * min(rows, parameters.get("rows") or rows) * len(record["history"])


def survey_emotions(
    lines: list[dict], arrays: dict[str, np.ndarray], labels: np.ndarray, emotions: tuple[str, ...]
) -> str:
    """Which emotions a survey recognises where nothing is changed, at first and at second guess, as a Markdown table.

    ``lines`` and ``arrays`` of ``survey.survey``, ``labels`` (n,) of its faces.
    """
    usual = records.usual_level(lines)
    shares = survey.by_emotion(labels, arrays["first"][usual], arrays["second"][usual], emotions)
    return table([
        {"Emotion": line["emotion"], "Faces": line["n"],
         "First, %": _share(line["first"]), "First or second, %": _share(line["either"])}
        for line in shares
    ])  # fmt: skip


def survey_detectors(lines: list[dict], arrays: dict[str, np.ndarray], emotions: tuple[str, ...]) -> str:
    """Of all faces of each emotion in a survey, nothing changed about them, the share that each detector finds and
    whose emotion is then recognised, as a Markdown table. ``arrays``: its record's, labels among them."""
    usual, detectors = records.usual_level(lines), list(lines[0]["found"])
    told = {name: records.recognised(arrays, usual, k)["right_of_found"] for k, name in enumerate(detectors)}
    rows = []
    for code, emotion in [*enumerate(emotions), (None, "all")]:
        here = np.full(len(arrays["labels"]), True) if code is None else arrays["labels"] == code
        n = int(here.sum())
        shares = {name: records.share({"n": n, "k": int(of[here].sum())}, "k") for name, of in told.items()}
        rows.append({"Emotion": emotion, "Faces": f"{n:,}"} | {f"{name}, %": _share(s) for name, s in shares.items()})
    return table(rows)


def survey_conditions(lines: list[dict]) -> str:
    """What every level of every condition of ``survey.survey`` does, as a Markdown table: the faces that each detector
    finds, those found and recognised with the first one, and those recognised at their true place, of all faces."""
    detectors = list(lines[0]["found"])
    return table([
        {"Condition": line["condition"], "Level": f"{line['level']:g}"}
        | {f"Found by {name}, %": _share(records.share(line, "found", name)) for name in detectors}
        | {f"Found and right by {detectors[0]}, %": _share(records.share(line, "right_of_found", detectors[0])),
           "Right at the true place, %": _share(records.share(line, "right"))}
        for line in lines
    ])  # fmt: skip


def _share(share: tuple[float, float, float]) -> str:
    return "–" if np.isnan(share[0]) else f"{100 * share[0]:.1f} {interval(share[1:])}"


def class_counts(faces: Faces) -> str:
    """Faces per emotion and split as a Markdown table, and whether FER2013's are those of the official file.

    The last column is the accuracy, on PublicTest and PrivateTest, of always predicting that emotion.
    """
    counts = np.zeros((len(SPLITS), len(faces.emotions)), int)
    np.add.at(counts, (faces.split, faces.labels), 1)
    totals, test = counts.sum(axis=0), counts[1:].sum(axis=0)
    lines = [
        {"Emotion": emotion}
        | {split: f"{count:,}" for split, count in zip(SPLITS, counts[:, label])}
        | {"All": f"{totals[label]:,}", "Share of both tests, %": f"{100 * test[label] / max(test.sum(), 1):.2f}"}
        for label, emotion in enumerate(faces.emotions)
    ]
    if faces.name != "fer2013":
        return table(lines)
    if np.array_equal(counts, [fer2013.OFFICIAL_COUNTS[split] for split in SPLITS]):
        return f"{table(lines)}\nAll counts are those of the official file.\n"
    return f"{table(lines)}\n**These are not the counts of the official file.**\n"


def audit(findings: list[dict], padded: bool = False) -> str:
    """The findings of ``audit.summary`` as a Markdown table."""
    return table([
        {capitalised(key): "–" if value is None else _figure(value) for key, value in finding.items()}
        for finding in findings
    ], padded)  # fmt: skip


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
