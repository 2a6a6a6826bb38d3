"""The climb: from the proposed CNN to the best network from scratch, one change at a time. What each change gives on
PublicTest, which chooses; what it costs; what several views and several networks give; how fast it can be had.

All is computed from records. Rungs are compared on PublicTest alone. PrivateTest is in each record, as in all of this
study; here it is scored for what was declared final before it was run, and for the runs against the clock.
"""

from __future__ import annotations

import re

import numpy as np
from IPython.display import Markdown, display

from ..data import near_duplicates
from ..evaluation import ensembles, pooled, records, statistics
from ..markdown import interval, joined, table
from ..models import architectures
from . import figures

SMALL, FULL, SPEED = "ours/rung_", "ours/record_", "ours/speedrun_"
"""What the names of the climb's experiments begin with: in small, at full size, and against the clock."""
CHOOSING, FINAL = "PublicTest", "PrivateTest"
CLEAN = f"{FINAL} clean"
LETTERS = {SMALL: "S", FULL: "F"}
"""What the numbers of the rungs begin with: S6 is the sixth in small, F6 the sixth at full size."""
OUTCOMES = {"better": "Better", "worse": "Worse", "undecided": "Undecided"}
"""What a change can turn out to be: its interval is above 0, below 0, or holds it."""
SHORT = {"bfloat16": 2.0, "tensorfloat32": 1.0}
"""How fast a GPU multiplies at a precision, against tensorfloat32: as the makers of the H100 and H200 rate them."""
FOUND = (1.96 + 0.84) / 1.96
"""How many half widths of its 95 % interval a true gain has to have to be found in four of five trials."""
BUDGET = 25 * 60
"""Seconds of a GPU that the whole climb may take: what half an hour leaves after its start and its copies."""


def members(all_records: list[dict], experiments: dict[str, dict], prefix: str) -> dict[str, list[dict]]:
    """The runs of the climb's experiments by name, in their order; of several groups that may not be pooled the one
    with most seeds. An experiment without a run is left out."""
    found: dict[str, list[dict]] = {}
    own = [record for record in all_records if record["experiment"].startswith(prefix)]
    for group in pooled.groups(own, experiments):
        name = group[0]["experiment"]
        if name.startswith(prefix) and name in experiments and len(group) > len(found.get(name, [])):
            found[name] = group
    return {name: found[name] for name in experiments if name in found}


def gain(before: list[dict], after: list[dict], kept=("last", "last"), rows: str = CHOOSING) -> dict | None:
    """What ``after`` has over ``before`` on some rows, over the seeds that both have: difference, low and high (over
    rows, see ``statistics.paired_difference``), each seed's, and ends, the two means, fractions.

    None without a seed in common, and where the two were computed in different ways (backend, precision, kind of
    device). ``kept``: the readings of ``before`` and of ``after``.
    """
    if pooled.computed_by(before) != pooled.computed_by(after):
        return None
    one, two = ({record["seed"]: record for record in group} for group in (before, after))
    seeds = sorted(one.keys() & two.keys())
    if not seeds:
        return None
    first, second = (np.stack([_right(of[seed], name, rows) for seed in seeds]) for of, name in zip((one, two), kept))
    return _difference(first, second, seeds)


def _difference(first: np.ndarray, second: np.ndarray, seeds: list[int]) -> dict:
    difference, low, high = statistics.paired_difference(first, second)
    each = (second.mean(axis=1) - first.mean(axis=1)).tolist()
    ends = (float(first.mean()), float(second.mean()))
    return {"difference": difference, "low": low, "high": high, "each": each, "ends": ends, "seeds": seeds}


def _right(record: dict, kept: str, rows: str = CHOOSING) -> np.ndarray:
    arrays = records.row_predictions(record, kept, rows.split()[0])
    return (arrays["classes"] == arrays["labels"])[_chosen(arrays["ids"], rows)]


def _each(group: list[dict], kept: str, rows: str = CHOOSING) -> list[float]:
    """The accuracy of each run of a group."""
    return [records.scores(record, kept, rows)["accuracy"] for record in group]


def _chosen(ids: np.ndarray, rows: str) -> np.ndarray:
    """Which of some rows are in a set of them: a split, or of PrivateTest the clean or near-clean ones."""
    left_out = {CLEAN: near_duplicates.unclean_ids, pooled.NEAR_CLEAN: near_duplicates.listed_ids}.get(rows)
    return ~records.among(ids, left_out()) if left_out else np.full(len(ids), True)


def rungs(all_records: list[dict], experiments: dict[str, dict], prefix: str, networks: dict) -> list[dict]:
    """The climb's experiments, a dict each.

    name, number ("S6"), title, what (the change in a sentence), before (the experiment that it changes, or None),
    leads_on (whether others change it), group (its runs, empty where there are none), outcome: "start", one of
    ``OUTCOMES``, "not compared" (see ``gain``) or "not run"; kept (see below). With a group also mean and each
    (accuracies on PublicTest), gain (see ``gain`` and ``_with_seeds``), views (what the mean over its views adds),
    seconds and pflop of a run, other_runs (how many may not be pooled with the group).

    kept: in small a change is kept where its difference on PublicTest is above 0, by a rule written before they ended.
    None where the rule decides nothing: at full size, where it was declared in advance what the record takes; for
    rungs on which others build; for final runs. ``networks``: ``architectures.load``'s.
    """
    there, lines = members(all_records, experiments, prefix), []
    numbers = _numbers(experiments, prefix)
    changed = {experiments[name].get("compared_with") for name in numbers}
    for name, number in numbers.items():
        experiment = experiments[name]
        group, before = there.get(name, []), experiment.get("compared_with")
        line = {
            "name": name, "number": number, "title": _short_title(experiment),
            "what": re.sub(r"^Like \S+\. ", "", experiment.get("deviations", [""])[0]), "before": before,
            "leads_on": name in changed, "group": group, "outcome": "not run", "kept": None,
        }  # fmt: skip
        if group:
            line |= {
                "mean": float(np.mean(each := _each(group, "last"))),
                "each": each,
                "gain": gain(there[before], group) if before in there else None,
                "views": gain(group, group, ("last", "views")) if "views" in _shared_readings(group) else None,
                "seconds": float(np.mean([record["seconds"] for record in group])),
                "pflop": pflop(group[0]["parameters"], group[0]["data"]["rows"], networks),
                "other_runs": sum(record["experiment"] == name for record in all_records) - len(group),
            }
        lines.append(line)
    run = [line for line in lines if line["group"]]
    for line in run:
        if over := line["gain"]:
            line["gain"] = over = _with_seeds_of([line["each"] for line in run], over)
            if prefix == SMALL and not line["leads_on"] and pooled.reading(line["group"][0])[1] != FINAL:
                line["kept"] = over["difference"] > 0
        line["outcome"] = "start" if not line["before"] else _outcome(over) if over else "not compared"
    return lines


def _numbers(experiments: dict[str, dict], prefix: str) -> dict[str, str]:
    """ "S6" and the like of the climb's experiments at one size, by name."""
    names = [name for name in experiments if name.startswith(prefix)]
    return {name: f"{LETTERS[prefix]}{place}" for place, name in enumerate(names, 1)}


def _short_title(experiment: dict) -> str:
    """The title without what all of the climb's begin with: "Climb: " or "Climb, in small: "."""
    return experiment["title"].rpartition(": ")[2]


def _outcome(over: dict) -> str:
    low, high = over["judged_by"]
    return "better" if low > 0 else "worse" if high < 0 else "undecided"


def after_training(lines: list[dict]) -> list[dict]:
    """What can be had of the best of the ``rungs`` without another training, as two more of them: the mean over its
    views, and its seeds voting together (the mean of their probabilities over views) against the mean of the seeds.

    The best is that of the highest mean over its views. How far other seeds would move what views add, that of all the
    rungs says; of the vote nothing does, so it is not judged. Empty where no rung has views.
    """
    viewed = [line for line in lines if line.get("views")]
    if not viewed:
        return []
    best = max(viewed, key=lambda line: line["views"]["ends"][1])
    group, views, how = best["group"], best["views"], best["group"][0]["parameters"]["views"]
    deviation, freedom = statistics.pooled_deviation(line["views"]["each"] for line in viewed)
    views = _with_seeds(views, deviation / np.sqrt(len(group)), freedom)
    each = _each(group, "views")
    title = f"{best['number']} with {how}"
    found = [{"name": "views", "title": title, "before": best["number"], "each": each, "gain": views}]
    if len(group) > 1:
        vote = _with_seeds(_gain_of_a_vote(group), float("nan"), 0)  # one vote: other seeds' is not known
        found.append({"name": "vote", "title": f"{title}, {len(group)} seeds voting", "before": "the mean of its seeds",
                      "gain": vote, "each": [vote["ends"][1]]})  # fmt: skip
    return [
        line | {"number": "–", "mean": float(np.mean(line["each"])), "group": group, "kept": None,
                "outcome": "not judged" if line["name"] == "vote" else _outcome(line["gain"])}
        for line in found
    ]  # fmt: skip


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


def _with_seeds_of(each: list[list[float]], over: dict) -> dict:
    """``_with_seeds``, with the spread of the seeds of some rungs: ``each`` seed's accuracy, a list a rung."""
    deviation, freedom = statistics.pooled_deviation(each)
    return _with_seeds(over, deviation * np.sqrt(2 / len(over["seeds"])), freedom)


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
    """The ``rungs`` as a Markdown table; gains in points, with their 95 % intervals over rows and seeds where that is
    known, else over rows."""
    numbers = {line["name"]: line["number"] for line in lines}
    kept = {None: "–", True: "kept", False: "dropped"}
    return table([
        {
            "Rung": line["number"],
            "Change": line["title"],
            "Compared with": numbers.get(line["before"], line["before"] or "–"),
            "PublicTest, %": _percent(line["mean"]) if line["group"] else "–",
            "Gain, points [95 %]": _points(line.get("gain"), "judged_by"),
            "Outcome": line["outcome"],
            "By the rule": kept[line["kept"]],
            "Views add [95 %]": _points(line.get("views")),
        }
        for line in lines
    ])  # fmt: skip


def detail_table(lines: list[dict]) -> str:
    """Of the ``rungs``, as a Markdown table: what exactly each changes, its gain seed by seed and its interval over
    rows alone, and what a seed costs; the changes alone where no rung was run."""
    shown = []
    for line in lines:
        over, run = line.get("gain"), bool(line["group"])
        shown.append({"Rung": line["number"], "What it changes": line["what"]})
        if any(line["group"] for line in lines):
            shown[-1] |= {
                "Gain of each seed": ", ".join(f"{100 * each:+.2f}" for each in over["each"]) if over else "–",
                "Over test faces alone [95 %]": interval((over["low"], over["high"]), "+") if over else "–",
                "Minutes a seed": f"{line['seconds'] / 60:.0f}" if run else "–",
                "PFLOP a seed": f"{line['pflop']:.2f}" if run else "–",
            }
    return table(shown)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _with_wilson(share: float, n: int) -> str:
    return f"{_percent(share)} {interval(statistics.wilson(share * n, n))}"


def _points(over: dict | None, ends: str = "") -> str:
    """A gain in points with its interval: that of the name ``ends``, or that over rows."""
    if not over:
        return "–"
    return f"{100 * over['difference']:+.2f} {interval(over[ends] if ends else (over['low'], over['high']), '+')}"


def rungs_in_words(lines: list[dict]) -> str:
    """What the ``rungs`` say, in sentences."""
    trained = [line for line in lines if "seconds" in line]
    if not trained:
        return "No rung was run yet.\n"
    whole = sum(line["name"].startswith("ours/") for line in lines)
    sentences = [
        f"**{len(trained)} of {whole} rungs were run**, with {joined(_seeds(trained))} each; the tables have "
        "all configurations that were tried."
    ]
    for kept, words in ((True, "By the rule are kept"), (False, "By the rule are dropped")):
        if told := [_change(line) for line in lines if line["kept"] is kept]:
            sentences.append(f"{words}: {joined(told)}.")
    if other := sum(line["other_runs"] for line in trained):
        runs = f"{other} run{'s' * (other > 1)}"
        sentences.append(f"Left out: {runs} computed in another way (backend, precision, kind of device).")
    deviation, freedom = statistics.pooled_deviation(line["each"] for line in trained)
    if freedom:
        sentences.append(
            f"Two trainings of the same rung differ as well, from seed to seed: by a standard deviation of "
            f"{100 * deviation:.2f} points {interval(statistics.deviation_interval(deviation, freedom))} (from all "
            f"rungs, {freedom} degrees of freedom)."
        )
    compared = sum(1 for line in lines if line["outcome"] in OUTCOMES)
    if compared > 1:
        sentences.append(
            f"Each of the {compared} intervals is at 95 % by itself: of twenty changes that change nothing, about one "
            "would be called better or worse."
        )
    return " ".join(sentences) + "\n"


def _outcomes(lines: list[dict]) -> list[str]:
    """The changes by their outcome, with their gains in points: a sentence for each outcome."""
    sentences, numbers = [], {line["name"]: line["number"] for line in lines}
    for outcome, words in OUTCOMES.items():
        some = [line for line in lines if line["outcome"] == outcome]
        over = [f" over {numbers.get(line['before'], line['before'])}" for line in some]
        once = over[0] if len(over) > 1 and len(set(over)) == 1 else ""
        told = [f"{_change(line)} ({_gained(line)}{'' if once else of})" for line, of in zip(some, over)]
        sentences += [f"**{words}**{once}: {joined(told)}."] if told else []
    return sentences


def _gained(line: dict) -> str:
    """A gain in points, with its interval unless it is undecided."""
    over = line["gain"]
    return f"{100 * over['difference']:+.1f}" if line["outcome"] == "undecided" else _points(over, "judged_by")


def _change(line: dict) -> str:
    return line["title"].removeprefix("and ").removeprefix("with ").removeprefix("at ")


def _seeds(lines: list[dict]) -> list[str]:
    counts = sorted({len(line["group"]) for line in lines})
    return [f"{count} seed{'s' * (count > 1)}" for count in counts]


def finals(all_records: list[dict], experiments: dict[str, dict]) -> list[dict]:
    """What the climb's runs reach that were declared final, a dict for each, for one view and for all, and for each set
    of rows: PublicTest, PrivateTest, and of the official data its clean and near-clean rows.

    name, number, title, before (the number of the rung that was changed), kept ("last" or "views"), views (in words),
    rows, n, seeds; mean, low and high (see ``_accuracy``); gain (see ``gain`` and ``_with_seeds``, of the same views on
    the same rows) or None. The spread of the seeds is that of all rungs of the size, on these rows.
    """
    lines = []
    for prefix in (SMALL, FULL):
        there, numbers = members(all_records, experiments, prefix), _numbers(experiments, prefix)
        for name, group in there.items():
            if pooled.reading(group[0])[1] != FINAL:
                continue
            before = experiments[name].get("compared_with")
            official = all(map(records.is_official, group))
            for kept in _shared_readings(group):
                alike = {of: some for of, some in there.items() if kept in _shared_readings(some)}
                for rows in (CHOOSING, FINAL, CLEAN, pooled.NEAR_CLEAN)[: 4 if official else 2]:
                    line = {
                        "name": name, "number": numbers[name], "title": _short_title(experiments[name]),
                        "before": numbers.get(before, "–"), "kept": kept, "rows": rows, "seeds": len(group),
                        "views": "one" if kept == "last" else group[0]["parameters"]["views"],
                    }  # fmt: skip
                    line |= _accuracy(group, alike.values(), kept, rows)
                    over = gain(alike[before], group, (kept, kept), rows) if before in alike else None
                    line["gain"] = over and _with_seeds_of([_each(some, kept, rows) for some in alike.values()], over)
                    lines.append(line)
    return lines


def _shared_readings(group: list[dict]) -> list[str]:
    return [kept for kept in ("last", "views") if all(kept in record["metrics"] for record in group)]


def _accuracy(group: list[dict], alike, kept: str, rows: str) -> dict:
    """mean over the runs of a group, with the interval low to high over test faces and seeds, and n, the rows: Wilson's
    interval, and with it, added as squares, how far other seeds would move the mean, by the spread of the seeds of the
    groups ``alike``. Over test faces alone where no group has two seeds."""
    n = records.scores(group[0], kept, rows)["n"]
    mean = float(np.mean(_each(group, kept, rows)))
    deviation, freedom = statistics.pooled_deviation(_each(some, kept, rows) for some in alike)
    half = statistics.half_width(deviation / np.sqrt(len(group)), freedom) if freedom else 0.0
    low, high = statistics.wilson(mean * n, n)
    low, high = max(0.0, mean - np.hypot(mean - low, half)), min(1.0, mean + np.hypot(high - mean, half))
    return {"mean": mean, "low": low, "high": high, "n": n}


def _told(accuracy: dict) -> str:
    return f"{_percent(accuracy['mean'])} {interval((accuracy['low'], accuracy['high']))}"


def together(all_records: list[dict], experiments: dict[str, dict]) -> dict[str, dict]:
    """All networks of the climb at each size, by its prefix, voting together: votes (see there); runs, how many vote;
    wanted, how many will when all runs are made; without, the votes of the others where some were declared final, and
    others, how many these are. Of each rung as many seeds vote as its file declares, the first ones."""
    found = {}
    for prefix in (SMALL, FULL):
        there = members(all_records, experiments, prefix)
        group = [record for name, some in there.items() for record in some[: experiments[name].get("seeds", len(some))]]
        others = [record for record in group if pooled.reading(record)[1] != FINAL]
        wanted = sum(experiment.get("seeds", 1) for name, experiment in experiments.items() if name.startswith(prefix))
        found[prefix] = {
            "votes": votes(group), "runs": len(group), "wanted": wanted, "others": len(others),
            "without": votes(others) if len(others) < len(group) else None,
        }  # fmt: skip
    return found


def votes(group: list[dict]) -> dict | None:
    """What networks that vote together reach; None for fewer than two.

    Each network counts with its views where it has them. Temperatures and the learned vote are fitted on PublicTest,
    and nothing is chosen: both votes of all networks were declared before. single: the mean accuracy of one network;
    "averaged" and "learned": the vote's accuracy, each by rows (PublicTest, PrivateTest, clean, near-clean); alone:
    each network's accuracy on PublicTest; weights (m,); by_size: ``ensembles.by_size`` on PublicTest.
    """
    if len(group) < 2:
        return None
    kept = ["views" if "views" in record["metrics"] else "last" for record in group]
    every = f"{CHOOSING}+{FINAL}"
    arrays = [records.row_predictions(record, name, every) for record, name in zip(group, kept)]
    labels, ids = arrays[0]["labels"], arrays[0]["ids"]
    alone = np.stack([one["classes"] for one in arrays]) == labels
    public = np.isin(ids, records.row_predictions(group[0], kept[0], CHOOSING)["ids"])
    p = ensembles.calibrated(np.stack([one["probabilities"] for one in arrays]), public, labels)
    weights = ensembles.learned_weights(p[:, public], labels[public])
    sets = {CHOOSING: public, FINAL: ~public}
    if records.is_official(group[0]):
        sets |= {rows: ~public & _chosen(ids, rows) for rows in (CLEAN, pooled.NEAR_CLEAN)}

    def by_rows(right: np.ndarray) -> dict[str, float]:
        return {name: float(right[..., rows].mean()) for name, rows in sets.items() if rows.any()}

    return {
        "single": by_rows(alone),
        "alone": alone[:, public].mean(axis=1).tolist(),
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
    run stand beside them. Scores are means over the seeds, that of PrivateTest with the interval of ``_accuracy``, for
    which the spread of the seeds is that of all these runs. The goal is the accuracy that the experiment expects.
    """
    lines = []
    fast = [
        group
        for group in pooled.groups(all_records, experiments)
        if group[0]["experiment"].startswith(SPEED) and len(group[0]["history"]) > 1
    ]
    for group in fast:
        took = [training_seconds(record) for record in group]
        device, first = group[0]["device"], group[0]
        where = f"{device['threads']} threads, {device['name']}" if device["kind"] == "cpu" else device["name"]
        epochs = [entry["training_seconds"] for record in group for entry in record["history"][1:]]
        operations = pflop(first["parameters"], first["data"]["rows"], networks)
        experiment = experiments.get(first["experiment"], {"title": first["experiment"]})
        each = _each(group, "last", FINAL)
        goal = experiment.get("expect", {}).get("accuracy")
        above = sum(100 * accuracy > goal for accuracy in each) if goal else None
        lines.append({
            "Run": _short_title(experiment),
            "Seeds": len(group),
            "Minutes of training": _from_to([seconds / 60 for seconds in took]),
            "of the whole run": _from_to([record["seconds"] / 60 for record in group]),
            f"{FINAL}, % [95 %]": _told(_accuracy(group, fast, "last", FINAL)),
            "Each seed, %": ", ".join(map(_percent, each)),
            "Above the goal": f"{above} of {len(group)} above {goal} %" if goal else "–",
            "Clean rows, %": _mean(_each(group, "last", CLEAN)),
            "With views, %": _mean(_each(group, "views", FINAL)) if "views" in _shared_readings(group) else "–",
            "Seconds an epoch": _from_to(epochs),
            "PFLOP": f"{operations:.2f}",
            "TFLOP a second": f"{1e3 * operations / np.mean(took):.2f}",
            "Computed by": f"{pooled.computed_by(group)}; {where}",
        })  # fmt: skip
    return lines


def _mean(shares: list[float]) -> str:
    return _percent(float(np.mean(shares)))


def _from_to(values: list[float]) -> str:
    """ "9.4 to 9.9", or "9.4" of equal ones."""
    return " to ".join(dict.fromkeys(f"{value:.1f}" for value in (min(values), max(values))))


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
        if record["device"]["kind"] != "gpu" or "count" in record["device"]:  # several were faster than one
            continue
        if len(record["history"]) < 2 or "model" not in record["parameters"]:
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
    """What the climb at full size would take on a GPU of this ``speed_of_gpu``, one run after the other: name, number,
    title, epochs, seeds, pflop of a run, and seconds of all its seeds at the fastest and at the usual speed. Empty
    where the speed is not known."""
    lines = []
    for name, number in _numbers(experiments, FULL).items() if speed else []:
        experiment = experiments[name]
        parameters = experiment["defaults"] | experiment["parameters"]
        each = pflop(parameters, {"Training": 28_709}, networks)
        line = {"name": name, "number": number, "title": _short_title(experiment), "pflop": each,
                "epochs": parameters["epochs"], "seeds": experiment["seeds"],
                "value": experiment.get("value", 0)}  # fmt: skip
        for kind in ("fastest", "usual"):
            rate, least = speed[kind]
            seconds = 1e15 * each / (rate * SHORT[parameters["precision"]]) + parameters["epochs"] * least
            line[kind] = experiment["seeds"] * seconds
        lines.append(line)
    return sorted(lines, key=lambda line: -line["value"])


def plan_table(lines: list[dict]) -> str:
    """``plan_of_gpu`` as a Markdown table, in the order in which the runs are made."""
    return table([
        {"Rung": line["number"], "Change": line["title"], "Epochs": line["epochs"], "Seeds": line["seeds"],
         "PFLOP a seed": f"{line['pflop']:.1f}",
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
        f"the other: {fits} into the {BUDGET // 60} that half an hour of a borrowed GPU leaves for training. This is "
        f"an estimate, from this study's runs on {devices}. The lower end takes the fastest epoch of any of them "
        f"({rate / 1e12:.0f} TFLOP a second in tensorfloat32, and at least {least:.2f} seconds an epoch), the upper "
        "end the run that is fastest in its median epoch; many of these runs "
        "shared the GPU. It assumes that bfloat16 is twice as fast as tensorfloat32, and leaves out start and "
        "compilation.\n"
    )


def speed_table(lines: list[dict]) -> str:
    """The ``speeds`` as a Markdown table and what computed them, or a sentence where there is none."""
    if not lines:
        return "No run against the clock was made yet.\n"
    ways: dict[str, list[str]] = {}
    for line in lines:
        ways.setdefault(line["Computed by"], []).append(line["Run"])
    told = [f"{joined(names)}: {way}." for way, names in ways.items()]
    shown = [{name: cell for name, cell in line.items() if name != "Computed by"} for line in lines]
    return f"{table(shown)}\n{' '.join(told)}\n"


def not_timed(lines: list[dict], experiments: dict[str, dict]) -> str:
    """Which experiments against the clock are missing among the ``speeds``, in a sentence; empty where none is."""
    there = {line["Run"] for line in lines}
    every = [_short_title(experiment) for name, experiment in experiments.items() if name.startswith(SPEED)]
    missing = [title for title in every if title not in there]
    return f"Not run yet: {joined(missing)}.\n" if missing else ""


def finals_table(lines: list[dict], experiments: dict[str, dict]) -> str:
    """The ``finals`` as a Markdown table, and which of them are missing."""
    there = {line["name"] for line in lines}
    missing = [
        f"{number} ({_short_title(experiments[name])})"
        for prefix in (SMALL, FULL)
        for name, number in _numbers(experiments, prefix).items()
        if experiments[name].get("parameters", {}).get("evaluation_rows") == FINAL and name not in there
    ]
    told = f"Not run yet: {joined(missing)}.\n" if missing else ""
    shown = table([
        {
            "Network": f"{line['number']}, {line['title']}",
            "Views": line["views"],
            "Rows": line["rows"],
            "Test faces": f"{line['n']:,}",
            "Seeds": line["seeds"],
            "Accuracy, % [95 %]": _told(line),
            "Gain, points [95 %]": _points(line["gain"], "judged_by"),
            "Over": line["before"] if line["gain"] else "–",
        }
        for line in lines
    ])  # fmt: skip
    return "\n".join(part for part in (shown, told) if part)


def show(lines: list[dict]) -> None:
    """Display, in a notebook, some ``rungs``: what they say in sentences, as a figure, and as tables."""
    every = [*lines, *after_training(lines)]
    display(Markdown(rungs_in_words(every)))
    if any(line["group"] for line in lines):
        caption = (
            "Each bar leads from the rung that is changed to the one with the change: blue is better, orange worse, "
            "grey undecided. Rings are seeds, dots their means. The thin line is the interval of the change, over test "
            "faces and seeds (of the vote, over test faces): where it reaches the bar's beginning, the change may do "
            "nothing. The last lines need no training. All on PublicTest, after the last epoch."
        )
        words = " ".join(_outcomes(every)).replace("*", "")
        narrow = figures.climb(every, narrow=True)
        display(figures.captioned(figures.climb(every), caption, words, narrow))
        display(Markdown(rung_table(every)))
    display(Markdown(detail_table(lines)))


def show_votes(voting: dict[str, dict]) -> None:
    """Display, in a notebook, what the networks of each size of the climb reach ``together``."""
    for prefix, size in ((SMALL, "in small"), (FULL, "at full size")):
        of = voting[prefix]
        if not (voted := of["votes"]):
            display(Markdown(f"The climb {size} has {of['runs']} runs yet: a vote takes two."))
            continue
        averaged, low, high = (
            _percent(share) for share in (voted["averaged"][CHOOSING], min(voted["alone"]), max(voted["alone"]))
        )
        words = (
            f"**The climb {size}, {of['runs']} networks**, each with its views where its rung has them. Alone they "
            f"have {low} to {high} % on PublicTest, on average {_percent(voted['single'][CHOOSING])}; all together "
            f"{averaged} %. Temperatures and weights are fitted on these same rows."
        )
        whole = of["runs"] >= of["wanted"]
        words += "" if whole else f" PrivateTest is scored when all {of['wanted']} runs are made."
        if whole and (without := of["without"]):
            averaged, learned = (_percent(without[how][FINAL]) for how in ("averaged", "learned"))
            words += (
                f" Without those that were declared final, the other {of['others']} reach {averaged} % on PrivateTest "
                f"when averaged, and {learned} % with learned weights"
            )
            words += ": this was known before the last rung was declared." if prefix == SMALL else "."
        display(Markdown(words + "\n\n" + vote_table(voted, whole)))
        caption = (
            "What one more network gives: accuracy of the averaged vote on PublicTest, by how many vote. The band "
            "reaches from the worst to the best choice of so many networks among those tried: who picks the best, "
            "picks it with hindsight, on these rows."
        )
        display(figures.captioned(figures.gain_by_size(voted["by_size"]), caption, words.replace("*", "")))


def in_short(small: list[dict], full: list[dict], final: list[dict], voting: dict[str, dict], fast: list[dict]) -> str:
    """The climb in a few sentences, a paragraph each: the best of the ``finals`` and the networks ``together``, the
    ``rungs`` in small and at full size, and the runs against the clock."""
    paragraphs = [_best_final(final, voting)] if final else []
    for lines, size in ((small, "In small"), (full, "At full size")):
        run = [line for line in lines if line["group"]]
        if not run:
            paragraphs.append(f"**{size}**, no rung was run yet" + ("." if lines is small else ": it takes a GPU."))
            continue
        later = after_training(lines)
        words = f"**{size}**, {len(run)} of {len(lines)} rungs were run."
        if chain := _chain(run):
            words += f" On PublicTest, those that follow one another stand at {joined(chain)}."
        paragraphs += [words, "\n".join(f"- {told}" for told in _outcomes([*run, *later]))]
        if later:
            viewed = [line["views"] for line in run if line["views"]]
            adds, clear = [100 * over["difference"] for over in viewed], sum(over["low"] > 0 for over in viewed)
            best, vote = later[0], later[1:]
            paragraphs.append(
                f"Without another training, {best['group'][0]['parameters']['views']} add {min(adds):+.1f} to "
                f"{max(adds):+.1f} points to a rung; for {clear} of {len(viewed)} the interval over test faces is "
                f"above 0. {best['title']} is the best by its views, with {_percent(best['mean'])} % on PublicTest"
                + (f", and {_percent(vote[0]['mean'])} % when its seeds vote. " if vote else ". ")
                + "It was picked on these rows, so this is a little too high."
            )
    if fast:
        told = [
            f"{line[f'{FINAL}, % [95 %]']} % after {line['Minutes of training']} minutes of training "
            f"(seeds that reach the goal: {line['Above the goal']})"
            for line in fast
        ]
        paragraphs.append(f"**Against the clock**, on {FINAL}: {joined(told)}.")
    return "\n\n".join(paragraphs) + "\n"


def _best_final(final: list[dict], voting: dict[str, dict]) -> str:
    """Which of the ``finals`` is best on PublicTest, what it has on PrivateTest, and beside it the votes."""
    best = max((line for line in final if line["rows"] == CHOOSING), key=lambda line: line["mean"])
    of = {(line["kept"], line["rows"]): line for line in final if line["name"] == best["name"]}
    line, how = of[best["kept"], FINAL], "one view" if best["kept"] == "last" else best["views"]
    words = f"**The best single network so far**, of those declared final, is {line['number']} ({line['title']})"
    words += f" with {how}: {_told(line)} % on PrivateTest"
    words += f", {_told(of[best['kept'], CLEAN])} % on its clean rows" if (best["kept"], CLEAN) in of else ""
    words += f" (mean of {line['seeds']} seed{'s' * (line['seeds'] > 1)}, intervals over test faces and seeds)."
    gains = [
        f"{_points(one['gain'], 'judged_by')} with {'one view' if kept == 'last' else one['views']}"
        for (kept, rows), one in of.items()
        if rows == FINAL and one["gain"]
    ]
    words += f" There it gains over {line['before']} {joined(gains)} (in points, same views)." if gains else ""
    for prefix, size in ((SMALL, "in small"), (FULL, "at full size")):
        if (voted := voting[prefix]["votes"]) and voting[prefix]["runs"] >= voting[prefix]["wanted"]:
            words += (
                f" All {voting[prefix]['runs']} networks {size} together, averaged, have "
                f"{_with_wilson(voted['averaged'][FINAL], voted['n'])} % (over test faces)."
            )
    return words


def _chain(run: list[dict]) -> list[str]:
    """The rungs on which others build, with their accuracies; from the third on, with all that was gained by then."""
    told = []
    for line in [line for line in run if line["leads_on"]]:
        told.append(f"{_percent(line['mean'])} % ({_change(line)}")
        if len(told) > 2 and run[0]["outcome"] == "start" and (over := gain(run[0]["group"], line["group"])):
            over = _with_seeds_of([line["each"] for line in run], over)
            told[-1] += f"; {_points(over, 'judged_by')} over {run[0]['number']}"
        told[-1] += ")"
    return told


def so_what(lines: list[dict]) -> str:
    """How large a gain has to be before such ``rungs`` can tell it from none, in sentences: of the changes that the
    rule decides, which all change the same rung. And whether what was kept adds up in the final rung."""
    judged = [line for line in lines if line.get("gain") and np.isfinite(line["gain"]["other_seeds"][0])]
    if not judged:
        return "No two rungs with two seeds could be compared yet.\n"
    of = [line["outcome"] for line in judged]
    alike = [line["gain"] for line in judged if line["kept"] is not None] or [line["gain"] for line in judged]
    half = float(np.mean([(over["other_seeds"][1] - over["other_seeds"][0]) / 2 for over in alike]))
    seeds = joined(_seeds([line for line in lines if line["group"]]))
    return (
        f"Of {len(judged)} changes in small, {of.count('better')} are better, {of.count('worse')} worse, and "
        f"{of.count('undecided')} cannot be told from no change. With {seeds} and the rows of PublicTest, the "
        f"interval of a change reaches {100 * half:.1f} points to either side. A smaller observed gain is undecided, "
        f"and a true one has to be about {100 * FOUND * half:.1f} points to be found four times in five. Of a gain "
        f"from one seed, the spread of the seeds is not even known.{_adds_up(lines)}\n"
    )


def _adds_up(lines: list[dict]) -> str:
    """Whether what was kept adds up in the final rung, and whether that is better than the best of it alone: sentences
    that begin with a space, or nothing without such a rung."""
    kept = [line for line in lines if line["kept"]]
    final = [line for line in lines if line.get("gain") and pooled.reading(line["group"][0])[1] == FINAL]
    base = [line for line in lines if final and line["name"] == final[0]["before"]]
    if not (kept and base):
        return ""
    last, best = final[0], max(kept, key=lambda line: line["mean"])
    groups = [line["group"] for line in (*kept, last, *base)]
    runs = [{record["seed"]: record for record in group} for group in groups]
    seeds = sorted(set.intersection(*map(set, runs)))
    if not seeds or len({pooled.computed_by(group) for group in groups}) > 1:
        return ""
    *alone, both, start = (np.stack([_right(of[seed], "last") for seed in seeds]).astype(float) for of in runs)
    deviation, freedom = statistics.pooled_deviation(line["each"] for line in lines if line["group"])
    error = deviation * np.sqrt((len(kept) + 1 + (len(kept) - 1) ** 2) / len(seeds))
    apart = _with_seeds(_difference(sum(alone) - len(kept) * start, both - start, seeds), error, freedom)
    over = _with_seeds_of([line["each"] for line in lines if line["group"]], gain(best["group"], last["group"]))
    told = {"undecided": "these runs do not tell whether the gains add up", "worse": "the gains do not add up",
            "better": "together they give more"}  # fmt: skip
    shown = {"undecided": "that the others add to it is not shown", "worse": "the others take from it",
             "better": "the others add to it"}  # fmt: skip
    return (
        f" What the rule kept gained {100 * apart['ends'][0]:+.1f} points in sum when each was added alone, and "
        f"{100 * apart['ends'][1]:+.1f} all together ({last['number']}), {_points(apart, 'judged_by')} apart: "
        f"{told[_outcome(apart)]}. The best of it alone, {_change(best)} ({best['number']}), stands at "
        f"{_percent(best['mean'])} %, over which {last['number']} has {_points(over, 'judged_by')}: "
        f"{shown[_outcome(over)]}."
    )


def how_firm(all_records: list[dict], experiments: dict[str, dict], lines: list[dict]) -> str:
    """Whether the rule would have kept and dropped the same of the ``rungs`` with other trainings of the rung that they
    change, or with their views; in sentences, or nothing where neither is known."""
    decided = [line for line in lines if line["kept"] is not None]
    base = next((line for line in lines if decided and line["name"] == decided[0]["before"]), None)
    if not base:
        return ""
    sentences = []

    def recipe(name: str) -> dict:
        parameters = experiments[name].get("parameters", {})
        return {key: value for key, value in parameters.items() if key not in ("evaluation_rows", "views")}

    again = [
        group
        for group in pooled.groups(all_records, experiments)
        if group[0]["experiment"] in experiments
        and group[0]["experiment"] != base["name"]
        and recipe(group[0]["experiment"]) == recipe(base["name"])
        and pooled.computed_by(group) == pooled.computed_by(base["group"])
    ]
    if again:
        more = [each for group in again for each in _each(group, "last")]
        shift = base["mean"] - float(np.mean([*base["each"], *more]))
        titles = joined([f"“{_short_title(experiments[group[0]['experiment']])}”" for group in again])
        sentences.append(
            f"The recipe of {base['number']} has {len(more)} more run{'s' * (len(more) > 1)} ({titles}): they have "
            f"{_percent(float(np.mean(more)))} % on PublicTest, where its own {len(base['each'])} have "
            f"{_percent(base['mean'])} %. Measured against all {len(more) + len(base['each'])}, gains over "
            f"{base['number']} are {100 * abs(shift):.1f} points {'larger' if shift > 0 else 'smaller'}: "
            + _turned([(line, line["gain"]["difference"] + shift) for line in decided])
        )
    if viewed := [line for line in decided if line["views"] and base["views"]]:
        gains = [(line, line["views"]["ends"][1] - base["views"]["ends"][1]) for line in viewed]
        how = base["group"][0]["parameters"]["views"]
        sentences.append(f"The rule takes one view. With {how}, {_turned(gains)}")
    return f"**How firm is this?** {' '.join(sentences)}\n" if sentences else ""


def _turned(gains: list[tuple[dict, float]]) -> str:
    """Which rungs the rule would have kept or dropped the other way by other ``gains``, fractions."""
    turned = [(line, other) for line, other in gains if (other > 0) != line["kept"]]
    told = [
        f"{_change(line)} would have been {'kept' if other > 0 else 'dropped'} ({100 * other:+.1f})"
        for line, other in turned
    ]
    return (joined(told) if told else "the rule would have kept and dropped the same") + "."
