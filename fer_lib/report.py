"""From records to tables and a page. Every number here is computed from records; all text is Markdown, so that the
report's notebook and ``results/README.md`` say the same."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from . import paths, records, statistics
from .datasets import SPLITS
from .emotions import FER2013

STUDIES = {"saravanan2019": "Saravanan et al. 2019", "vorontsov2018": "Vorontsov & Averkin 2018", "ours": "Ours"}
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "sklearn": "scikit-learn"}
COLLAPSED = 0.99
"""A network that gives one class to this share of the rows, or to more, is called collapsed."""


def folder(results: str, profile: str) -> Path:
    """Where to read records: ``results`` where given, else the profile's folder, or, if that is empty, the full one."""
    if results:
        return Path(results)
    own, full = paths.results_folder(profile), paths.results_folder("full")
    return full if any(full.glob("runs/*/*/*/metrics.json")) and not any(own.glob("runs/*/*/*/metrics.json")) else own


# ---- what was measured


def headline(record: dict) -> dict:
    """The score that a record's own parameters name: that of its kept epoch on its evaluation rows."""
    return record["metrics"][record["parameters"]["kept_epoch"]][record["parameters"]["evaluation_rows"]]


def groups(found: list[dict], experiments: dict[str, dict]) -> list[list[dict]]:
    """Records that may be pooled: they differ in nothing but the seed.

    Another backend, precision, profile, data set or parameter makes another group. In the order of ``experiments``.
    """
    order = {name: place for place, name in enumerate(experiments)}

    def key(record):
        parameters = {name: value for name, value in record["parameters"].items() if name != "seed"}
        identity = [record[name] for name in ("experiment", "backend", "precision", "profile")]
        place = order.get(record["experiment"], len(order))
        return place, *identity, record["data"]["sha256"], json.dumps(parameters, sort_keys=True)

    return [
        sorted(group, key=lambda record: record["seed"]) for _, group in groupby(sorted(found, key=key), key=key)
    ]


def collapse(group: list[dict]) -> list[str]:
    """The one emotion that each collapsed run answers with, such as ["sad", "sad"]; empty where none collapsed."""
    answers = [headline(record)["predicted"] for record in group]
    return [FER2013[int(np.argmax(counts))] for counts in answers if max(counts) >= COLLAPSED * sum(counts)]


def computed_by(group: list[dict]) -> str:
    """Backend, precision and kind of device of a group, in words."""
    devices = " and ".join(sorted({record["device"]["kind"].upper() for record in group}))
    backend = group[0]["backend"]
    return f"{BACKENDS.get(backend.split('-')[0], backend)}, {group[0]['precision']}, {devices}"


def _spread(scores: list[dict]) -> dict:
    """Mean of the accuracies, t interval over the runs, Wilson interval of the mean on one test set; fractions."""
    accuracies, n = [score["accuracy"] for score in scores], scores[0]["n"]
    mean, low, high = statistics.t_interval(accuracies)
    wilson_low, wilson_high = statistics.wilson(min(mean, 1.0) * n, n)
    return {
        "accuracies": accuracies, "seeds": len(scores), "n": n, "mean": mean, "low": low, "high": high,
        "wilson_low": wilson_low, "wilson_high": wilson_high,
    }  # fmt: skip


def summary(found: list[dict], experiments: dict[str, dict]) -> pd.DataFrame:
    """One row for each group of records, as the experiment's own protocol reads them; accuracies are fractions.

    Columns: experiment, title, label (the title, and what computed it where that differs), where, reported (percent or
    None), rows, epochs (of each seed), accuracies, seeds, n, mean, low, high (t interval over seeds, NaN for one seed),
    wilson_low, wilson_high, computed_by, remarks.
    """
    pooled = groups(found, experiments)
    lines = []
    for group in pooled:
        first, experiment = group[0], experiments.get(group[0]["experiment"], {})
        kept, rows = first["parameters"]["kept_epoch"], first["parameters"]["evaluation_rows"]
        alone = sum(other[0]["experiment"] == first["experiment"] for other in pooled) == 1
        lines.append({
            "experiment": first["experiment"],
            "title": first["title"],
            "label": first["title"] if alone else f"{first['title']} ({computed_by(group)})",
            "where": experiment.get("where", ""),
            "reported": experiment.get("reported", {}).get("accuracy"),
            "rows": rows,
            "epochs": [record["metrics"][kept]["epoch"] if record["history"] else None for record in group],
            **_spread([headline(record) for record in group]),
            "computed_by": computed_by(group),
            "remarks": remarks(group, experiment),
        })  # fmt: skip
    return pd.DataFrame(lines)


def remarks(group: list[dict], experiment: dict) -> list[str]:
    """What a reader of a group's mean must know: collapsed runs, a missing interval, other rows, stale records."""
    found, collapsed, score = [], collapse(group), headline(group[0])
    rows, reported = group[0]["parameters"]["evaluation_rows"], experiment.get("reported", {}).get("rows")
    if collapsed:
        what = ", ".join(f"*{emotion}*" for emotion in dict.fromkeys(collapsed))
        share = "" if len(group) > 1 else f" ({max(score['predicted']):,} of {score['n']:,} rows)"
        found.append(f"{len(collapsed)} of {len(group)} collapsed to {what}{share}")
        if len(collapsed) < len(group):
            found.append("the mean mixes two behaviours: read the seeds")
    if len(group) == 1:
        found.append("one seed, so no interval over seeds")
    if reported and rows != reported:
        found.append(f"scored on {rows}, the paper's on {reported}")
    if not experiment:
        found.append("no experiment file of this name any more")
    stale = sorted({reason for record in group for reason in records.stale(record)})
    return found + [f"stale: {reason}" for reason in stale]


def honest(found: list[dict], experiments: dict[str, dict]) -> pd.DataFrame:
    """The honest reading of the same runs: the epoch chosen on PublicTest, scored on PrivateTest and its clean rows.

    A model without epochs has nothing to choose and is read as it is; records without such a reading are left out.
    Columns: experiment, title, computed_by, epochs, seeds, and for each of PublicTest, PrivateTest and
    "PrivateTest clean" the dict that ``_spread`` gives.
    """
    lines = []
    for group in groups(found, experiments):
        readings = [r["metrics"].get("best") or ({} if r["history"] else r["metrics"]["last"]) for r in group]
        sets = ("PublicTest", "PrivateTest", "PrivateTest clean")
        if not all(name in reading for reading in readings for name in sets):
            continue
        lines.append({
            "experiment": group[0]["experiment"],
            "title": group[0]["title"],
            "computed_by": computed_by(group),
            "epochs": [r["epoch"] if record["history"] else None for r, record in zip(readings, group, strict=True)],
            "seeds": len(group),
            **{name: _spread([reading[name] for reading in readings]) for name in sets},
        })  # fmt: skip
    return pd.DataFrame(lines)


def confusion(group: list[dict]) -> np.ndarray:
    """Counts (7, 7) int64 of the headline's rows, true emotion down, predicted across, the seeds of a group added up."""
    counts = np.zeros((len(FER2013), len(FER2013)), np.int64)
    for record in group:
        arrays, parameters = records.predictions(record), record["parameters"]
        codes = [SPLITS.index(name) for name in parameters["evaluation_rows"].split("+") if name in SPLITS]
        rows = np.isin(arrays["split"], codes) if codes else np.full(len(arrays["split"]), True)
        np.add.at(counts, (arrays["labels"][rows], arrays[f"classes_{parameters['kept_epoch']}"][rows]), 1)
    return counts


# ---- what a reader sees


def table(lines: list[dict]) -> str:
    """A Markdown table of equal-keyed dicts of text; numbers, and text that starts with a digit or a dash, stand right."""
    if not lines:
        return ""
    cells = [[str(cell).replace("|", "\\|") for cell in line.values()] for line in lines]
    right = [all(row[k][:1].isdigit() or row[k][:1] in ("–", "") for row in cells) for k in range(len(cells[0]))]
    rule = ["---:" if r else ":---" for r in right]
    return "\n".join("| " + " | ".join(row) + " |" for row in (list(lines[0]), rule, *cells)) + "\n"


def _percent(spread: dict) -> str:
    """"17.37 [17.21, 17.53]": mean and t interval in percent."""
    interval = "" if np.isnan(spread["low"]) else f" [{100 * spread['low']:.2f}, {100 * spread['high']:.2f}]"
    return f"{100 * spread['mean']:.2f}{interval}"


def _wilson(spread: dict) -> str:
    return f"{100 * spread['wilson_low']:.2f} – {100 * spread['wilson_high']:.2f}"


def _epochs(epochs: list) -> str:
    known = sorted({epoch for epoch in epochs if epoch is not None})
    return "–" if not known else f"{known[0]}" if len(known) == 1 else f"{known[0]} – {known[-1]}"


def _missing(name: str, experiment: dict) -> str:
    hours = experiment.get("expect", {})
    cost = [f"{hours[f'hours_{kind}']:g} h on a {kind.upper()}" for kind in ("cpu", "gpu") if hours.get(f"hours_{kind}")]
    return f"not run yet: `make reproduce ONLY={name}`" + (f" (a seed: {', '.join(cost)})" if cost else "")


def results(found: list[dict], experiments: dict[str, dict]) -> str:
    """The papers' tables, reported beside ours, one heading and Markdown table each; rows without a run say how to run."""
    measured = summary(found, experiments).to_dict("records")
    lines: dict[str, list[dict]] = {}
    for name in dict.fromkeys([*experiments, *(row["experiment"] for row in measured)]):
        experiment = experiments.get(name, {})
        heading, _, place = experiment.get("where", "").partition(", ")
        heading = ", ".join(filter(None, [STUDIES.get(name.split("/")[0], name.split("/")[0]), heading]))
        reported = experiment.get("reported", {}).get("accuracy")
        start = {"Row": place.removeprefix("row "), "Model": experiment.get("title", name)}
        start["Reported %"] = "–" if reported is None else f"{reported:.2f}"
        own = [row for row in measured if row["experiment"] == name] or [None]
        for row in own:
            lines.setdefault(heading, []).append(start | {
                "Ours %: mean [95 % t interval over seeds]": _percent(row) if row else "–",
                "95 % Wilson interval, test rows": _wilson(row) if row else "–",
                "Seeds": row["seeds"] if row else "–",
                "Epochs": _epochs(row["epochs"]) if row else "–",
                "Computed by": row["computed_by"] if row else "–",
                "Remarks": "; ".join(row["remarks"]) if row else _missing(name, experiment),
            })  # fmt: skip
    return "\n".join(f"### {heading}\n\n{table(rows)}" for heading, rows in lines.items())


def honest_results(found: list[dict], experiments: dict[str, dict]) -> str:
    """The honest reading as a Markdown table, or a sentence where no record has one."""
    return table([
        {
            "Model": row["title"],
            "Epoch chosen": _epochs(row["epochs"]),
            "PublicTest % (chosen on it)": _percent(row["PublicTest"]),
            "PrivateTest % [95 % t]": _percent(row["PrivateTest"]),
            "95 % Wilson": _wilson(row["PrivateTest"]),
            "Clean PrivateTest % [95 % t]": _percent(row["PrivateTest clean"]),
            "Clean rows": f"{row['PrivateTest clean']['n']:,} of {row['PrivateTest']['n']:,}",
            "Seeds": row["seeds"],
            "Computed by": row["computed_by"],
        }
        for row in honest(found, experiments).to_dict("records")
    ]) or "No run has an epoch chosen on PublicTest yet.\n"  # fmt: skip
