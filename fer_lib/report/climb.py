"""The climb: from the proposed CNN to the best network from scratch, one change at a time. What each change gives on
PublicTest, which chooses; what it costs; what several views and several networks give; how fast it can be had.

All is computed from records. Rungs are compared on PublicTest alone. PrivateTest is in each record, as in all of this
study; here it is scored for what was declared final before it was run, and for the runs against the clock.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from IPython.display import Markdown, display

from ..data import near_duplicates
from ..evaluation import ensembles, pooled, records, statistics
from ..markdown import interval, joined, table
from ..models import architectures
from . import figures, tables

SMALL, FULL, SPEED = "ours/rung_", "ours/record_", "ours/speedrun_"
"""What the names of the climb's experiments begin with: in small, at full size, and against the clock."""
CHOOSING, FINAL = "PublicTest", "PrivateTest"
AFTER = "after training"
"""The outcome of what needs no training: no rule keeps or drops it."""
SHORT = {"bfloat16": 2.0, "tensorfloat32": 1.0}
"""How fast a GPU multiplies at a precision, against tensorfloat32: as the makers of the H100 and H200 rate them."""
BUDGET = 25 * 60
"""Seconds of a GPU that the whole climb may take: what half an hour leaves after its start and its copies."""


def members(all_records: list[dict], experiments: dict[str, dict], prefix: str) -> dict[str, list[dict]]:
    """The runs of the climb's experiments by name, in their order; of several groups that may not be pooled the one
    with most seeds. An experiment without a run is left out."""
    found: dict[str, list[dict]] = {}
    for group in pooled.groups(all_records, experiments):
        name = group[0]["experiment"]
        if name.startswith(prefix) and name in experiments and len(group) > len(found.get(name, [])):
            found[name] = group
    return {name: found[name] for name in experiments if name in found}


def gain(before: list[dict], after: list[dict], kept: str = "last") -> dict | None:
    """What ``after`` has over ``before`` on PublicTest, over the seeds that both have: difference, low and high (over
    rows, see ``statistics.paired_difference``), each seed's, and ends, the two means, fractions.

    None without a seed in common, and where the two were computed in different ways (backend, precision, kind of
    device). ``kept``: the reading of ``after``, while ``before`` is read after its last epoch.
    """
    if pooled.computed_by(before) != pooled.computed_by(after):
        return None
    one, two = ({record["seed"]: record for record in group} for group in (before, after))
    seeds = sorted(one.keys() & two.keys())
    if not seeds:
        return None
    first, second = (np.stack([_right(of[seed], name) for seed in seeds]) for of, name in ((one, "last"), (two, kept)))
    return _difference(first, second, seeds)


def _difference(first: np.ndarray, second: np.ndarray, seeds: list[int]) -> dict:
    difference, low, high = statistics.paired_difference(first, second)
    each = (second.mean(axis=1) - first.mean(axis=1)).tolist()
    ends = (float(first.mean()), float(second.mean()))
    return {"difference": difference, "low": low, "high": high, "each": each, "ends": ends, "seeds": seeds}


def _right(record: dict, kept: str) -> np.ndarray:
    arrays = records.row_predictions(record, kept, CHOOSING)
    return arrays["classes"] == arrays["labels"]


def rungs(all_records: list[dict], experiments: dict[str, dict], prefix: str, networks: dict) -> list[dict]:
    """The climb's experiments, a dict each: name, title, before (the experiment that it changes, or None), group, mean
    and each (accuracies on PublicTest), gain (see ``gain`` and ``_with_seeds``), views (what the mean over its views
    adds), seconds and pflop of a run, other_runs (how many may not be pooled with the group), and outcome: "start",
    "kept", "dropped", "not compared" (see ``gain``), or "not run", without a group.

    A change is kept where its difference on PublicTest is above 0: the rule stood before the runs. ``networks``:
    ``architectures.load``'s.
    """
    there, lines = members(all_records, experiments, prefix), []
    for name in [name for name in experiments if name.startswith(prefix)]:
        group, before = there.get(name, []), experiments[name].get("compared_with")
        line = {"name": name, "title": experiments[name]["title"].partition(": ")[2], "before": before, "group": group}
        if not group:
            lines.append(line | {"outcome": "not run"})
            continue
        each = [float(_right(record, "last").mean()) for record in group]
        over = gain(there[before], group) if before in there else None
        kept = "kept" if over and over["difference"] > 0 else "dropped"
        outcome = "start" if not before else kept if over else "not compared"
        views = gain(group, group, kept="views") if all("views" in record["metrics"] for record in group) else None
        lines.append(line | {
            "mean": float(np.mean(each)), "each": each, "gain": over, "views": views, "outcome": outcome,
            "seconds": float(np.mean([record["seconds"] for record in group])),
            "pflop": pflop(group[0]["parameters"], group[0]["data"]["rows"], networks),
            "other_runs": sum(record["experiment"] == name for record in all_records) - len(group),
        })  # fmt: skip
    deviation, freedom = statistics.pooled_deviation(line["each"] for line in lines if line["group"])
    for line in lines:
        if over := line.get("gain"):
            line["gain"] = _with_seeds(over, deviation * np.sqrt(2 / len(over["seeds"])), freedom)
    return lines


def after_training(lines: list[dict]) -> list[dict]:
    """What can be had of the best of the ``rungs`` without another training, as two more of them: the mean over its
    views, and its seeds voting together (the mean of their probabilities over views) against one seed with its views.

    The best is that of the highest mean among those with views. How far other seeds would move what views add, that of
    all the rungs says; of the vote nothing does. Empty where no rung has views.
    """
    viewed = [line for line in lines if line.get("views")]
    if not viewed:
        return []
    best = max(viewed, key=lambda line: line["mean"])
    group, views, how = best["group"], best["views"], best["group"][0]["parameters"]["views"]
    deviation, freedom = statistics.pooled_deviation(line["views"]["each"] for line in viewed)
    views = _with_seeds(views, deviation / np.sqrt(len(group)), freedom)
    each = [float(_right(record, "views").mean()) for record in group]
    found = [{"name": "views", "title": f"views: {how}", "before": best["name"], "each": each, "gain": views}]
    if len(group) > 1:
        vote = _with_seeds(_gain_of_a_vote(group), float("nan"), 0)  # one vote: other seeds' is not known
        found.append({"name": "vote", "title": f"vote of {len(group)} seeds", "before": "views", "gain": vote,
                      "each": [vote["ends"][1]]})  # fmt: skip
    return [line | {"mean": float(np.mean(line["each"])), "group": group, "outcome": AFTER} for line in found]


def _gain_of_a_vote(group: list[dict]) -> dict:
    arrays = [records.row_predictions(record, "views", CHOOSING) for record in group]
    labels = arrays[0]["labels"]
    alone = np.stack([one["classes"] == labels for one in arrays])
    together = ensembles.soft_vote(np.stack([one["probabilities"] for one in arrays])).argmax(axis=-1) == labels
    return _difference(alone, np.tile(together, (len(group), 1)), [record["seed"] for record in group])


def _with_seeds(over: dict, error: float, freedom: int) -> dict:
    """A ``gain`` with ``other_seeds``, its interval over rows and seeds: how far other test faces and other seeds would
    move it; and with ``judged_by``, this interval where it is known, else the one over rows.

    ``error``, ``freedom``: the standard error that the seeds leave in the gain, and its degrees of freedom. Both
    spreads add up as squares; some of the seeds' is in the rows' too, so the interval is rather too wide. NaN without
    freedom.
    """
    half = float("nan")
    if freedom:
        half = float(np.hypot((over["high"] - over["low"]) / 2, statistics.half_width(error, freedom)))
    ends = (over["difference"] - half, over["difference"] + half)
    return over | {"other_seeds": ends, "judged_by": ends if freedom else (over["low"], over["high"])}


def load_networks(all_records: list[dict], experiments: dict[str, dict]) -> dict[str, list[dict]]:
    """``architectures.load``, with the networks of the climb at full size."""
    also = [experiment["parameters"] for name, experiment in experiments.items() if name.startswith(FULL)]
    return architectures.load(all_records, also)


def pflop(parameters: dict, rows: dict[str, int], networks: dict[str, list[dict]]) -> float:
    """Operations of a training, in 1e15: forward and back through every training row in each epoch.

    The predictions of the test rows, loss, optimiser and augmentation are not counted. NaN for a network that is not
    among ``networks``.
    """
    layers = networks.get(architectures.key(parameters["model"], parameters.get("model_options")))
    if layers is None:
        return float("nan")
    return architectures.training_flop(layers) * _faces(parameters, rows) / 1e15


def _faces(parameters: dict, rows: dict[str, int]) -> int:
    return (parameters.get("rows") or rows["Training"]) * parameters["epochs"]


def rung_table(lines: list[dict]) -> str:
    """The ``rungs`` as a Markdown table, gains in points with their 95 % intervals over rows, and over both."""
    numbers = {line["name"]: place for place, line in enumerate(lines, 1)}
    return table([
        {
            "Rung": numbers[line["name"]],
            "Change": line["title"],
            "Changes rung": numbers.get(line["before"], "–"),
            "PublicTest, %": _percent(line["mean"]) if line["group"] else "–",
            "Gain, points": _points(line.get("gain")),
            "With other seeds too": _other_seeds(line.get("gain")),
            "Each seed": ", ".join(f"{100 * d:+.2f}" for d in line["gain"]["each"]) if line.get("gain") else "–",
            "Outcome": line["outcome"],
            "Views add": _points(line.get("views")),
            "Minutes": f"{line['seconds'] / 60:.0f}" if "seconds" in line else "–",
            "PFLOP": f"{line['pflop']:.2f}" if "pflop" in line else "–",
        }
        for line in lines
    ])  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _with_wilson(share: float, n: int) -> str:
    return f"{_percent(share)} {interval(statistics.wilson(share * n, n))}"


def _points(over: dict | None) -> str:
    return f"{100 * over['difference']:+.2f} {interval((over['low'], over['high']), '+')}" if over else "–"


def _other_seeds(over: dict | None) -> str:
    return interval(over["other_seeds"], "+") if over and np.isfinite(over["other_seeds"][0]) else "–"


def rungs_in_words(lines: list[dict]) -> str:
    """What the ``rungs`` say, in sentences."""
    trained = [line for line in lines if "seconds" in line]
    if not trained:
        return "No rung was run yet.\n"
    compared = [line for line in lines if line.get("gain")]
    whole = sum(line["name"].startswith("ours/") for line in lines)
    sentences = [
        f"**Rungs that were run: {len(trained)} of {whole}**, with {joined(_seeds(trained))} each. So many "
        "configurations were tried, and all are in the table."
    ]
    for outcome in ("kept", "dropped", AFTER):
        some = [line for line in compared if line["outcome"] == outcome]
        told = [f"{_change(line)} ({100 * line['gain']['difference']:+.1f})" for line in some]
        sentences += [f"{outcome.capitalize()}: {joined(told)}."] if told else []
    if other := sum(line["other_runs"] for line in trained):
        runs = f"{other} run{'s' * (other > 1)}"
        sentences.append(f"Left out: {runs} computed in another way (backend, precision, kind of device).")
    deviation, freedom = statistics.pooled_deviation(line["each"] for line in trained)
    if freedom:
        sentences.append(
            f"Two seeds of the same rung differ, too: their standard deviation is {100 * deviation:.2f} points (from "
            f"all rungs, {freedom} degrees of freedom)."
        )
    if unsure := [_change(line) for line in compared if not _sure(line["gain"])]:
        sentences.append(
            f"The interval holds 0 for {joined(unsure)}: other seeds or other test faces might say otherwise."
        )
    return " ".join(sentences) + "\n"


def _change(line: dict) -> str:
    return line["title"].removeprefix("and ").removeprefix("with ").removeprefix("at ")


def _sure(over: dict) -> bool:
    """Whether the interval by which a gain is judged leaves out 0."""
    low, high = over["judged_by"]
    return low > 0 or high < 0


def _seeds(lines: list[dict]) -> list[str]:
    counts = sorted({len(line["group"]) for line in lines})
    return [f"{count} seed{'s' * (count > 1)}" for count in counts]


def finals(all_records: list[dict], experiments: dict[str, dict]) -> list[dict]:
    """The climb's runs that were declared final: they are scored on PrivateTest. Lines of a table, for the last epoch
    and for its views, all rows and those without an image of an earlier part, exactly or nearly."""
    lines = []
    for prefix in (SMALL, FULL):
        for name, group in members(all_records, experiments, prefix).items():
            if pooled.reading(group[0])[1] != FINAL:
                continue
            for kept in [kept for kept in ("last", "views") if all(kept in record["metrics"] for record in group)]:
                line = {"Network": experiments[name]["title"], "Looks": "once" if kept == "last" else
                        group[0]["parameters"]["views"], "Seeds": len(group)}  # fmt: skip
                for rows in (FINAL, f"{FINAL} clean", pooled.NEAR_CLEAN):
                    if rows != pooled.NEAR_CLEAN or all(map(records.is_official, group)):
                        scores = [records.scores(record, kept, rows) for record in group]
                        line[f"{rows}, %"] = tables.percent(pooled.spread(scores))
                lines.append(line)
    return lines


def voters(all_records: list[dict], experiments: dict[str, dict], prefix: str) -> list[dict]:
    """The runs whose networks vote together: every run of the climb at one size."""
    return [record for group in members(all_records, experiments, prefix).values() for record in group]


def votes(group: list[dict]) -> dict | None:
    """What networks that vote together reach; None for fewer than two.

    Each network counts with its views where it has them. Temperatures and the learned vote are fitted on PublicTest,
    and nothing is chosen: both votes of all networks were declared before. single: the mean accuracy of one network;
    "averaged" and "learned": the vote's accuracy, each by rows (PublicTest, PrivateTest, clean, near-clean); weights
    (m,); by_size: ``ensembles.by_size`` on PublicTest.
    """
    if len(group) < 2:
        return None
    kept = ["views" if "views" in record["metrics"] else "last" for record in group]
    every = f"{CHOOSING}+{FINAL}"
    arrays = [records.row_predictions(record, name, every) for record, name in zip(group, kept)]
    labels, ids = arrays[0]["labels"], arrays[0]["ids"]
    public = np.isin(ids, records.row_predictions(group[0], kept[0], CHOOSING)["ids"])
    p = ensembles.calibrated(np.stack([one["probabilities"] for one in arrays]), public, labels)
    weights = ensembles.learned_weights(p[:, public], labels[public])
    sets = {CHOOSING: public, FINAL: ~public}
    if records.is_official(group[0]):
        sets[f"{FINAL} clean"] = ~public & ~np.isin(ids, list(near_duplicates.unclean_ids()))
        sets[pooled.NEAR_CLEAN] = ~public & ~np.isin(ids, list(near_duplicates.listed_ids()))

    def by_rows(right: np.ndarray) -> dict[str, float]:
        return {name: float(right[..., rows].mean()) for name, rows in sets.items() if rows.any()}

    return {
        "single": by_rows(p.argmax(axis=-1) == labels),
        "averaged": by_rows(ensembles.soft_vote(p).argmax(axis=-1) == labels),
        "learned": by_rows(ensembles.soft_vote(p, weights).argmax(axis=-1) == labels),
        "weights": weights,
        "by_size": ensembles.by_size(p[:, public], labels[public]),
        "n": int((~public).sum()),
    }


def vote_table(voted: dict, final: bool = True) -> str:
    """The ``votes`` as a Markdown table: accuracies in percent, those of PrivateTest with Wilson's interval. Unless
    they are ``final``, because networks are still to come, PublicTest's alone."""
    names = {"single": "one network, the mean", "averaged": "averaged", "learned": "weights learned on PublicTest"}
    lines = []
    for name, title in names.items():
        line = {"Vote": title, f"{CHOOSING} (fitted here), %": _percent(voted[name][CHOOSING])}
        if final:
            line |= {f"{rows}, %": _percent(share) for rows, share in voted[name].items() if rows != CHOOSING}
            line[f"{FINAL}, %"] = _with_wilson(voted[name][FINAL], voted["n"])
        lines.append(line)
    return table(lines)


def speeds(all_records: list[dict], experiments: dict[str, dict], networks: dict) -> list[dict]:
    """The runs against the clock, a line of a table for each of ``SPEED`` and each group of its runs.

    Seconds are those of training alone, from the first batch to the last (see ``training_seconds``); those of the whole
    run stand beside them. PrivateTest has Wilson's interval.
    """
    lines = []
    for group in pooled.groups(all_records, experiments):
        if not group[0]["experiment"].startswith(SPEED) or len(group[0]["history"]) < 2:
            continue
        took = [training_seconds(record) for record in group]
        device, first = group[0]["device"], group[0]
        where = f"{device['threads']} threads, {device['name']}" if device["kind"] == "cpu" else device["name"]
        epochs = [entry["training_seconds"] for record in group for entry in record["history"][1:]]
        operations = pflop(first["parameters"], first["data"]["rows"], networks)
        faces = _faces(first["parameters"], first["data"]["rows"])
        lines.append({
            "Run": experiments.get(first["experiment"], {}).get("title", first["experiment"]),
            f"{FINAL}, %": _each(group, "last", FINAL, _with_wilson),
            "clean, %": _each(group, "last", f"{FINAL} clean"),
            "with views, %": _each(group, "views", FINAL),
            "Minutes of training": ", ".join(f"{seconds / 60:.1f}" for seconds in took),
            "of the whole run": ", ".join(f"{record['seconds'] / 60:.1f}" for record in group),
            "Seconds an epoch": f"{min(epochs):.1f} to {max(epochs):.1f}",
            "Faces a second": f"{faces / np.mean(took):,.0f}",
            "PFLOP": f"{operations:.2f}",
            "TFLOP a second": f"{1e3 * operations / np.mean(took):.2f}",
            "Seeds": len(group),
            "Computed by": f"{pooled.computed_by(group)}; {where}",
        })  # fmt: skip
    return lines


def _each(group: list[dict], kept: str, rows: str, text: Callable = lambda share, n: _percent(share)) -> str:
    scores = [records.scores(record, kept, rows) for record in group if kept in record["metrics"]]
    return ", ".join(text(score["accuracy"], score["n"]) for score in scores) or "–"


def training_seconds(record: dict) -> float:
    """Seconds of a run's training alone: the predictions of the test rows, between epochs and at the end, are left out,
    and so is the compilation, which only the first epoch has (it counts as the median of the others). A run that was
    killed and went on compiles twice; the second time counts."""
    seconds = [entry["training_seconds"] for entry in record["history"]]
    return float(np.sum(seconds[1:]) + np.median(seconds[1:]))


def speed_of_gpu(all_records: list[dict], networks: dict) -> dict | None:
    """What the runs that were made on a GPU show of its speed; None without one in ``SHORT``'s precisions.

    Of the fastest epoch of any run ("fastest"), and of the run whose median epoch is fastest ("usual"): operations a
    second at tensorfloat32, and the seconds that an epoch takes at least, in any precision. devices: their names.
    """
    found, devices = {"fastest": ([], []), "usual": ([], [])}, set()
    for record in all_records:
        if record["device"]["kind"] != "gpu" or len(record["history"]) < 2 or "model" not in record["parameters"]:
            continue
        took = [entry["seconds"] for entry in record["history"][1:]]
        epoch = 1e15 * pflop(record["parameters"] | {"epochs": 1}, record["data"]["rows"], networks)
        for name, seconds in (("fastest", min(took)), ("usual", float(np.median(took)))):
            if record["precision"] in SHORT and np.isfinite(epoch):
                found[name][0].append(epoch / seconds / SHORT[record["precision"]])
            found[name][1].append(seconds)
        devices.add(record["device"]["name"])
    if not found["fastest"][0]:
        return None
    return {name: (max(rates), min(least)) for name, (rates, least) in found.items()} | {"devices": sorted(devices)}


def plan_of_gpu(speed: dict | None, experiments: dict[str, dict], networks: dict) -> list[dict]:
    """What the climb at full size would take on a GPU of this ``speed_of_gpu``, one run after the other: name, title,
    seeds, pflop of a run, and seconds of all its seeds at the fastest and at the usual speed. Empty where the speed is
    not known."""
    lines = []
    for name, experiment in experiments.items() if speed else []:
        if name.startswith(FULL):
            parameters = experiment["defaults"] | experiment["parameters"]
            each = pflop(parameters, {"Training": 28_709}, networks)
            line = {"name": name, "title": experiment["title"].partition(": ")[2], "seeds": experiment["seeds"],
                    "value": experiment.get("value", 0), "pflop": each}  # fmt: skip
            for kind in ("fastest", "usual"):
                rate, least = speed[kind]
                seconds = 1e15 * each / (rate * SHORT[parameters["precision"]]) + parameters["epochs"] * least
                line[kind] = experiment["seeds"] * seconds
            lines.append(line)
    return sorted(lines, key=lambda line: -line["value"])


def plan_table(lines: list[dict]) -> str:
    """``plan_of_gpu`` as a Markdown table, in the order in which the runs are made."""
    return table([
        {"Rung": line["title"], "Seeds": line["seeds"], "PFLOP a seed": f"{line['pflop']:.1f}",
         "Seconds, all seeds": f"{line['fastest']:.0f} to {line['usual']:.0f}"}
        for line in lines
    ])  # fmt: skip


def plan_in_words(lines: list[dict], speed: dict | None) -> str:
    """How long the climb at full size would take on the GPU, in sentences."""
    if not speed or not lines:
        return "No run of this study was made on a GPU yet, so its speed is not known.\n"
    fastest, usual = (sum(line[kind] for line in lines) for kind in ("fastest", "usual"))
    fits = "both fit" if usual <= BUDGET else "only the lower end fits" if fastest <= BUDGET else "neither fits"
    (rate, least), devices = speed["fastest"], joined(speed["devices"])
    return (
        f"By operations, all of it takes **{fastest / 60:.0f} to {usual / 60:.0f} minutes** of a GPU, one run after "
        f"the other: {fits} into {BUDGET // 60}. This is an estimate, from this study's runs on {devices}. The lower "
        f"end takes the fastest epoch of any of them ({rate / 1e12:.0f} TFLOP a second in tensorfloat32, and at least "
        f"{least:.2f} seconds an epoch), the upper end the run that is fastest in its median epoch; many of these runs "
        "shared the GPU. It assumes that bfloat16 is twice as fast as tensorfloat32, and leaves out start and "
        "compilation.\n"
    )


def speed_table(lines: list[dict]) -> str:
    """The ``speeds`` as a Markdown table, or a sentence where there is none."""
    return table(lines) or "No run against the clock was made yet.\n"


def finals_table(all_records: list[dict], experiments: dict[str, dict]) -> str:
    """The ``finals`` as a Markdown table, or a sentence where there is none."""
    return table(finals(all_records, experiments)) or (
        "None was made yet: they take a GPU, or many hours of two cores.\n"
    )


def show(lines: list[dict]) -> None:
    """Display, in a notebook, some ``rungs``: what they say in sentences, as a figure, and as a table."""
    lines = [*lines, *after_training(lines)]
    display(Markdown(rungs_in_words(lines)))
    if any(line["group"] for line in lines):
        caption = (
            "Each bar leads from the rung that is changed to the one with the change; blue is kept, orange dropped. "
            "Rings are seeds, dots their means. The thin line is the interval of the change, over test faces and "
            "seeds (of the vote, over test faces): where it reaches the bar's beginning, there may be none. All on "
            "PublicTest, after the last epoch."
        )
        display(figures.captioned(figures.climb(lines), caption, rungs_in_words(lines)))
    display(Markdown(rung_table(lines)))


def show_votes(all_records: list[dict], experiments: dict[str, dict]) -> None:
    """Display, in a notebook, what the networks of each size of the climb reach together."""
    for prefix, size in ((SMALL, "in small"), (FULL, "at full size")):
        group = voters(all_records, experiments, prefix)
        if not (voted := votes(group)):
            display(Markdown(f"The climb {size} has {len(group)} runs yet: a vote takes two."))
            continue
        first, last = voted["by_size"][0], voted["by_size"][-1]
        words = (
            f"**The climb {size}, {len(group)} networks.** One alone has {_percent(first['mean'])} % on PublicTest, "
            f"all together {_percent(last['mean'])} %."
        )
        wanted = sum(experiment.get("seeds", 1) for name, experiment in experiments.items() if name.startswith(prefix))
        whole = len(group) >= wanted
        words += "" if whole else f" PrivateTest is scored when all {wanted} runs are made."
        display(Markdown(words + "\n\n" + vote_table(voted, whole)))
        caption = "What one more network gives: accuracy of the averaged vote on PublicTest, by how many vote."
        display(figures.captioned(figures.gain_by_size(voted["by_size"]), caption, words.replace("*", "")))


def in_short(small: list[dict], full: list[dict], fast: list[dict]) -> str:
    """The climb in a few sentences: how far it got, at which size, by what."""
    sentences = []
    for lines, size in ((full, "At full size"), (small, "In small")):
        run = [line for line in lines if line["group"]]
        if not run:
            sentences.append(f"{size} no rung was run yet.")
            continue
        best = max(run, key=lambda line: line["mean"])
        start = run[0] if run[0]["outcome"] == "start" and run[0] is not best else None
        begun = f", from {_percent(start['mean'])} of {start['title']}" if start else ""
        sentences.append(
            f"{size}, of {len(run)} that were run, the best is *{_change(best)}*: **{_percent(best['mean'])} %** on "
            f"PublicTest{begun}. The same rows chose it, so it is rather too high."
        )
        if later := [f"{line['title']} {_percent(line['mean'])}" for line in after_training(lines)]:
            sentences.append(f"Without another training: {joined(later)}.")
    for line in fast:
        reached = line[f"{FINAL}, %"].partition(" ")[0]
        sentences.append(f"{line['Run']}: {reached} % on {FINAL} after {line['Minutes of training']} minutes.")
    return " ".join(sentences) + "\n"


def so_what(lines: list[dict]) -> str:
    """How large a gain has to be before such ``rungs`` can tell it from none, in sentences."""
    gains = [line["gain"] for line in lines if line.get("gain") and np.isfinite(line["gain"]["other_seeds"][0])]
    if not gains:
        return "No two rungs with two seeds could be compared yet.\n"
    half = float(np.mean([(over["other_seeds"][1] - over["other_seeds"][0]) / 2 for over in gains]))
    sure = sum(map(_sure, gains))
    seeds = joined(_seeds([line for line in lines if line["group"]]))
    return (
        f"Of {len(gains)} changes, {sure} can be told from none. With {seeds} and the rows of PublicTest, the interval "
        f"reaches {100 * half:.1f} points to either side on average: a smaller gain is not shown by such runs, even "
        "when they are paired seed by seed and row by row. Published gains of half a point, from one seed and chosen "
        "on the test rows, show less.\n"
    )
