"""The systems that both papers measure themselves against: what they report, of what, and what came out here."""

from __future__ import annotations

import numpy as np

from ..evaluation import ensembles, pooled, records, statistics
from ..markdown import interval, table
from . import tables

OF = {
    "related/mollahosseini2016_inception": "FER2013; which rows is not known",
    "related/mollahosseini2016_alexnet": "what they compare theirs with",
    "related/yu2015": "no figure on FER2013",
    "related/tang2013": "PrivateTest, which nobody had seen then; several networks",
    "related/sang2017": "FER2013, about 71 to 72 by their own account",
    "related/sang2017_short": "the same, for a tenth of the epochs",
    "related/kahou2015_frames": "no figure on FER2013",
    "related/li2018_ferplus": "no figure that we know",
    "related/li2018_ferplus_identity": "no figure that we know",
    "related/li2018_fer2013": "“FER2013”, two sentences after FER+",
    "related/li2018_ckplus": "CK+; which folds is not known",
    "related/yu2015_sfew": "SFEW's test films",
    "related/kahou2015_clips": "AFEW's test clips, with sound",
    "related/tan2017_groups": "GAF's validation pictures, networks that had learned before",
}
"""What the figure of each system is of, by the experiment that runs the system."""
TANG, PAPER = "related/tang2013", "saravanan2019/table5_adam_128"
ROWS = "PrivateTest"


def systems(all_records: list[dict], experiments: dict[str, dict]) -> str:
    """Each system's figure beside ours from scratch, a Markdown table; without a run it says how to make one."""
    groups = {group[0]["experiment"]: group for group in pooled.groups(all_records, experiments)}
    lines = []
    for name in OF:
        experiment, group = experiments[name], groups.get(name, [])
        reported = experiment["reported"].get("accuracy")
        lines.append({
            "System": experiment["title"],
            "They report, %": "–" if reported is None else f"{reported:g}",
            "That is of": OF[name],
            "Ours, %": _accuracy(group, "last", ROWS),
            "Ours with views": _accuracy(group, "views", ROWS),
            "All seeds vote": _vote(group),
            "Ours, clean rows": _accuracy(group, "last", f"{ROWS} clean"),
            "Run": _run(group) or tables.how_to_run([name], experiments),
        })  # fmt: skip
    return table(lines)


def _accuracy(group: list[dict], kept: str, rows: str) -> str:
    """The mean over seeds with the Wilson interval of as many rows: "62.61 [61.01, 64.18]"; "–" where there is none."""
    scored = [records.scores(record, kept, rows) for record in group if kept in record["metrics"]]
    if not scored:
        return "–"
    mean, n = float(np.mean([score["accuracy"] for score in scored])), scored[0]["n"]
    return f"{100 * mean:.2f} {interval(statistics.wilson(mean * n, n))}"


def _vote(group: list[dict]) -> str:
    """The accuracy of all seeds' vote, with weights learned on PublicTest as Yu and Zhang 2015 do; "–" for one seed."""
    if len(group) < 2:
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
    return f"{epochs} epochs, {called}, {pooled.computed_by(group)}"


def near_the_state_of_the_art(all_records: list[dict], experiments: dict[str, dict]) -> str:
    """Whether 60 % was near the state of the art of its day, by our own runs: a sentence, or what is missing for it."""
    by_seed: dict[str, dict] = {TANG: {}, PAPER: {}}
    for group in pooled.groups(all_records, experiments):
        if group[0]["experiment"] in by_seed and group[0]["backend"] == "tensorflow":
            by_seed[group[0]["experiment"]] |= {record["seed"]: record for record in group}
    seeds = sorted(by_seed[TANG].keys() & by_seed[PAPER].keys())
    if not seeds:
        return f"Not run yet: {tables.how_to_run([TANG], experiments)}.\n"
    right = []
    for name in (PAPER, TANG):
        rows = [records.row_predictions(by_seed[name][seed], "last", ROWS) for seed in seeds]
        right.append(np.stack([each["classes"] == each["labels"] for each in rows]))
    if len(seeds) > 1:
        difference, low, high = statistics.paired_difference(*right)
    else:
        difference, low, high = statistics.accuracy_difference(right[0][0], right[1][0])
    of = "one seed of each: the interval is over faces alone" if len(seeds) == 1 else f"{len(seeds)} seeds of each"
    which = "No" if low > 0.01 else "Not decided"
    more = f"{100 * difference:+.2f} points {interval((low, high), '+')}"
    return (
        f"**{which}.** Tang's network of 2013 recognises {more} more of {ROWS}'s faces than the best network of "
        f"Saravanan et al. ({of}). Both were trained from scratch on Training alone: {100 * right[1].mean():.2f} % and "
        f"{100 * right[0].mean():.2f} %. Within a point would be near.\n"
    )
