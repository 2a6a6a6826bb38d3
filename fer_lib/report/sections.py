"""What a reader sees of the records, section by section, as Markdown: the same in the report's notebook and in
``results/README.md``. ``fer_lib.report.show`` shows the notebook's figures."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .. import paths
from ..claims import rules as rules_of
from ..evaluation import pooled, records
from ..markdown import STUDIES, capitalised, joined, seed_list, study, table
from ..training import protocol
from . import tables


def folder(results: str, profile: str) -> Path:
    """Where to read records: ``results`` where given, else the profile's folder or, if that has none, the full one."""
    if profile not in paths.PROFILES:
        raise ValueError(f"profile: found {profile!r}, expected one of {', '.join(paths.PROFILES)}; correct it")
    places = [paths.results_folder(profile), paths.results_folder("full")]
    return Path(results) if results else next((p for p in places if records.are_in(p)), places[0])


def warning(all_records: list[dict]) -> str:
    """What a reader must know before any number: that there is none, or that they are not the papers'; else empty."""
    if not all_records:
        return (
            "> **No runs yet.** `make reproduce PROFILE=full` makes them, and `make plan PROFILE=full` says how long "
            "that takes; every number below will come from their records.\n"
        )
    names = {record["data"]["name"] for record in all_records}
    profiles = {record["profile"] for record in all_records}
    if any(name.startswith("drawn") for name in names):
        return (
            "> ⚠ **Drawn faces.** Every number and picture on this page comes from faces that a program drew, not from "
            "FER2013. They show that the machinery runs from end to end and **say nothing about the papers**.\n"
        )
    if profiles == {"copy"}:
        return (
            "> ⚠ **Not the official FER2013.** The runs follow the papers' protocol on another form of the data, whose "
            "pixels, labels or rows differ from the papers'; the source named below says which.\n"
        )
    if profiles != {"full"}:
        return (
            f"> ⚠ **Profile {', '.join(sorted(profiles))}.** Runs were cut down (at quick each network learns from a "
            "tenth of Training's rows, with one seed, some for fewer epochs or scored on fewer test rows): **this is "
            "not the papers' protocol**, and no number here confirms or refutes one of theirs.\n"
        )
    return ""


def facts(all_records: list[dict]) -> str:
    """Where the numbers come from, as a list: data, profile, runs, devices, versions, code; empty without runs."""
    if not all_records:
        return ""
    experiments, seeds = ({record[name] for record in all_records} for name in ("experiment", "seed"))

    def each(value):
        return "; ".join(dict.fromkeys(str(value(record)) for record in all_records))

    def data(record):
        source, counts = record["data"]["source"], record["data"]["rows"]
        rows = " + ".join(f"{count:,} {split}" for split, count in counts.items())
        file = f", {source['file']}, MD5 `{source['md5']}`" if source.get("md5") else ""
        known = "" if not file or records.is_official(record) else " (**not** the official file)"
        arrays = f"SHA-256 of the arrays `{record['data']['sha256'][:16]}`"
        return f"{record['data']['name']}{file}{known}: {rows} rows; {arrays}"

    def device(record):
        kind, name = record["device"]["kind"].upper(), record["device"]["name"]
        several = f"{record['device']['count']} x " if "count" in record["device"] else ""
        return f"{kind}: {several}{name}" + (f", {record['device']['threads']} threads" if kind == "CPU" else "")

    def code(record):
        commit = record["code"]["commit"]
        return (f"`{commit[:10]}`" if commit else "unknown") + (" with changes" if record["code"]["dirty"] else "")

    listed = {
        "Data": each(data),
        "Profile": each(lambda r: r["profile"]),
        "Runs": f"{len(all_records)}, of {len(experiments)} experiments, {_duration(all_records)} in all; "
        f"seeds {seed_list(seeds)}",
        "Computed by": each(lambda r: pooled.computed_by([r])),
        "Device": each(device),
        "Versions": each(lambda r: ", ".join(f"{name} {version}" for name, version in r["versions"].items())),
        "Code": each(code),
        "Lock file": each(lambda r: f"SHA-256 `{r['lock_sha256'][:16]}`" if r["lock_sha256"] else "none"),
    }
    return "\n".join(f"- **{name}**: {value}" for name, value in listed.items()) + "\n"


def _duration(group: list[dict], runs: int = 1) -> str:
    seconds = sum(record["seconds"] for record in group) / runs
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def failed(failures: list[str]) -> str:
    """A section on the runs that failed, empty where none did."""
    return "\n".join(["## Runs that failed\n", *(f"- {failure}" for failure in failures), ""]) if failures else ""


def about(group: list[dict], experiment: dict) -> str:
    """Facts of a group's section: where it stands in the paper, what it took, its parameters, its deviations."""
    first = group[0]
    facts = [
        experiment.get("where", ""),
        f"`{first['experiment']}`",
        f"protocol *{experiment['protocol']}*" if "protocol" in experiment else "",
        pooled.computed_by(group),
        f"{first['parameter_count']:,} weights" if first["parameter_count"] else "",
        f"{_duration(group, len(group))} a run",
        f"seeds {seed_list([record['seed'] for record in group])}",
    ]
    values = {name: value for name, value in first["parameters"].items() if name not in ("seed", "data")}
    parameters = ", ".join(f"{name} {value if value != '' else 'none'}" for name, value in values.items())
    deviations = "\n".join(f"{k}. {text}" for k, text in enumerate(experiment.get("deviations", []), 1))
    return f"{' · '.join(filter(None, facts))}\n\n**Parameters**: {parameters}.\n\n" + (
        f"**Deviations from the paper**:\n\n{deviations}\n" if deviations else ""
    )


def notebooks_of(group: list[dict], folder: Path) -> str:
    """A link to the executed notebook that is kept of a group's runs, from a page in ``folder``."""
    links = [
        f"[seed {record['seed']}]({(record['folder'] / 'run.ipynb').relative_to(folder).as_posix()})"
        for record in group
        if records.keeps_notebook(record["seed"])
    ]
    return f"**Executed notebook**: {', '.join(links) or 'kept of seed 0 only, which has no run here'}."


def counts(judged: list[dict], all_records: list[dict], experiments: dict[str, dict]) -> list[str]:
    """How many claims got which verdict and how much of each study was run: sentences, the most telling first."""
    own, data, others = ([line for line in judged if line["about"] == name] for name in tables.ABOUT)
    accuracies = [line for line in own if line["label"]]
    waiting = sum(line["verdict"] == rules_of.INCONCLUSIVE and not line["seeds"] for line in own)
    right = sum(line["verdict"] == rules_of.REPRODUCED for line in data)
    names = {title: f"experiments of {title}" for title in STUDIES.values()}
    names |= {STUDIES["related"]: "of related work", STUDIES["ours"]: "of our own"}
    covered = tables.coverage(all_records, experiments)
    ran = joined(f"{ran} of {known} {names.get(title, title)}" for title, (ran, known) in covered.items())
    return [
        f"**{len(accuracies)} accuracies** that the papers report for models of their own: {tally(accuracies)}. "
        "The figure has them all.",
        f"**{len(own)} claims** on what they did and found, these accuracies among them: {tally(own)}. Of the "
        f"inconclusive ones {waiting} wait for a first run.",
        f"Beside them, **{len(data)} facts** about the data, {right} of them right, and "
        f"**{len(others)} statements** on the work of others or the released code: "
        f"{tally(others)}.",
        f"Run so far: {ran}. The others need data that is given out on request, published weights, a GPU, or hours of "
        "two cores.",
    ]


def tally(lines: Iterable[dict]) -> str:
    """How many claims got which verdict: "27 reproduced, 14 not reproduced"; those that none got are left out."""
    found = [line["verdict"] for line in lines]
    return ", ".join(f"{found.count(verdict)} {verdict}" for verdict in rules_of.VERDICTS if verdict in found)


def papers(judged: list[dict]) -> str:
    """What was right in each paper and what was wrong, a Markdown list; ``judged``: ``judge.judge_ledger``'s claims."""
    lines = []
    for title in dict.fromkeys(study(line["id"]) for line in judged):
        own = {line["id"]: line for line in judged if study(line["id"]) == title and line["about"] != "others"}
        told: dict[str, list[str]] = {verdict: [] for verdict in rules_of.VERDICTS}
        for line, words in ((own[name], words) for name, words in TOLD.items() if name in own):
            told[line["verdict"]].append(words.format(reported=line["reported"], measured=tables.measured(line)))
        said = "; ".join(f"**{verdict}**: {joined(words)}" for verdict, words in told.items() if words)
        lines.append(
            f"- {title}. {said}. Of its {len(own)} claims about the data and its own work: {tally(own.values())} "
            "([every claim](report.html#Claims))."
        )
    return "\n".join(lines or ["No claim of the papers is judged here: that takes full runs on FER2013."]) + "\n"


def findings(judged: list[dict]) -> list[str]:
    """The ``FINDINGS`` first headlines, each a sentence with its figure and its verdict."""
    first = tables.first(judged)[:FINDINGS]
    return [f"{tables.short(line)} **{line['verdict']}** {line['headline']['found']}" for line in first]


def verdicts(judged: list[dict]) -> str:
    """The claims of each paper with their verdicts (see ``judge.judge_ledger``), a line each."""
    if not judged:
        return "## Verdicts\n\nNone: a claim is tested by full runs on FER2013 only.\n"
    papers: dict[str, list[dict]] = {}
    for line in judged:
        papers.setdefault(study(line["id"]), []).append(line)
    return "\n".join([VERDICTS, *(f"## Claims of {title}\n\n{tables.claims(own)}" for title, own in papers.items())])


def in_short(judged: list[dict], all_records: list[dict], experiments: dict[str, dict], images: str = "") -> str:
    """The first screen: the forest plot, the headlines, the counts. ``images``: the folder of the plot, with a slash at
    its end, as seen from the page; so it stands in the project's README too."""
    listed = "\n".join(f"- {sentence}" for sentence in counts(judged, all_records, experiments))
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{images}{FOREST_DARK}">'
        f'<img src="{images}{FOREST}" width="680" alt="{html.escape(forest_in_words(judged))}"></picture>\n\n'
        f"{CAPTION}\n\n"
        f"{tables.headlines(judged)}\n{listed}\n"
    )


def forest_in_words(judged: list[dict]) -> str:
    """What the forest plot shows, for who cannot see it."""
    lines = "; ".join(
        f"{line['label']}: {line['reported']:g} % reported, {line['verdict']}" for line in judged if line["label"]
    )
    return f"Accuracies as the papers report them and as measured here. {lines}."


def rules() -> str:
    """The rule of each kind of claim, as a list."""
    listed = [f"- **{capitalised(kind)}**: {text}" for kind, text in rules_of.RULES.items()]
    return "\n".join([RULES, *listed, ""])


def history() -> str:
    """What became of the rules, and which verdicts their last change moved, as two Markdown tables."""
    from ..claims import ledger  # with jsonschema, slow to import

    titles = {"before": "Before", "by_old_rules": "Old rules, new runs", "after": "After", "reason": "Reason"}
    moved = [
        {"Claim": f"`{line['id']}`"} | {title: line[key] for key, title in titles.items()}
        for line in ledger.moves(paths.CLAIMS)
    ]
    date = ledger.changes(paths.CLAIMS)[-1]["date"]
    return "\n".join([changes(), f"\n{MOVES.format(date=date)}\n", table(moved)])


def changes() -> str:
    """When each rule was made or changed, and what was known then, as a Markdown table."""
    from ..claims import ledger

    names = {"date": "Date", "rules": "Rules", "what": "What", "known": "Known then", "moved": "Moved"}
    lines = [{title: str(line[key]) for key, title in names.items()} for line in ledger.changes(paths.CLAIMS)]
    return f"{HISTORY}\n{table(lines)}"


def protocols() -> str:
    """The two named protocols, field by field, as a Markdown table."""
    honest, published = protocol.PROTOCOLS["honest"], protocol.PROTOCOLS["as_published"]
    lines = [{"Field": f"`{name}`", "as_published": published[name], "honest": honest[name]} for name in published]
    return table(lines)


def two_intervals(judged: list[dict], all_records: list[dict], experiments: dict[str, dict]) -> str:
    """How one mean stands with several intervals, shown on the tree of Table I: for ``docs/results.md``."""
    line = next(line for line in judged if line["id"] == "saravanan2019/tree-accuracy")
    tree = [record for record in all_records if record["experiment"] == "saravanan2019/table1_decision_tree"]
    row = pooled.accuracies(tree, experiments).iloc[0]
    mean, low, high, wilson_low, wilson_high = 100 * row[["mean", "low", "high", "wilson_low", "wilson_high"]]
    if not line["interval"]:
        return f"The decision tree of Table I has {row['seeds']} runs yet: too few for an interval of one new run.\n"
    start, end = line["interval"]
    return (
        f"The decision tree of Table I is reported with {line['reported']:.2f} %. The mean of our {row['seeds']} seeds "
        f"is {mean:.2f} %.\n\n"
        f"- [{start:.2f}, {end:.2f}] stands beside its verdict: the prediction interval of *one new run*.\n"
        f"- [{low:.2f}, {high:.2f}] stands in the tables: the t interval of the *mean over seeds*.\n"
        f"- [{wilson_low:.2f}, {wilson_high:.2f}] stands in the tables too: the Wilson interval, for another sample of "
        f"{row['n']:,} *test rows*.\n\n"
        f"The verdict asks whether one new run could give {line['reported']:.2f} %, so it takes the first: "
        f"{line['verdict']}. The second says how well the mean is known, and shrinks with more seeds.\n"
    )


def causes(judged: list[dict]) -> str:
    """What was not reproduced, each with its cause where one is known, and where the causes are looked into."""
    missed = [line for line in judged if line["verdict"] == rules_of.NOT_REPRODUCED]
    if not missed:
        return "No claim came out as not reproduced so far, so there is none to explain.\n"

    def with_reason(line):
        reason = line["why"] or line["note"]
        where = f"{study(line['id'])}, {line['where']}"
        return f"- {line['claim'].rstrip('.')} ({where})" + (f": {reason}" if reason else "")

    explained = [with_reason(line) for line in missed if line["why"]]
    unexplained = [with_reason(line) for line in missed if not line["why"]]
    first = f"{len(missed)} claims were not reproduced; the cause is known of {len(explained)} of them:\n"
    more = ["\nNot explained so far:\n", *unexplained] if unexplained else []
    return "\n".join([first, *explained, *more, "\nHow the causes were found: [causes.html](causes.html).\n"])


def delay(lines: list[dict], arrays: dict[str, np.ndarray]) -> str:
    """How long the predictions took in a ``survey.survey`` where nothing is changed, in a sentence."""
    took = [
        f"{half:.1f} ms in half of the frames and {most:.1f} ms in all but 5 % with `{name}`"
        for name, (half, most) in zip(lines[0]["found"], 1000 * np.percentile(arrays["seconds"], (50, 95), axis=1).T)
    ]
    return (
        f"From a frame, looked at as if nothing came before it, to its predictions it took {', '.join(took)}; "
        "`make bench-live` measures videos."
    )


def markdown(
    all_records: list[dict], experiments: dict[str, dict], failures: list[str] = (), judged: list[dict] = ()
) -> str:
    """The text of ``results/README.md``: the first screen, the claims of each paper, results; what all was made from
    is folded at its end."""
    return "\n".join([
        "# Results\n",
        "What two papers claim about recognising emotions on faces, and what came out here.\n",
        *filter(None, [warning(all_records), failed(list(failures))]),
        *([in_short(list(judged), all_records, experiments)] if judged else []),
        "The whole report is one file to open in a browser: [report.html](report.html), and beside it "
        "[causes.html](causes.html), why the numbers are what they are, [climb.html](climb.html), the climb towards "
        "the best network from scratch, [runs.html](runs.html), run by run, and [dataset.html](dataset.html), the "
        "data.\n",
        verdicts(list(judged)),
        "## Reported and measured\n",
        READING,
        tables.results(all_records, experiments),
        "## The honest reading\n",
        HONEST,
        tables.honest_results(all_records, experiments),
        f"<details>\n<summary>{MADE_FROM}</summary>\n\n{facts(all_records)}\n</details>\n" if all_records else "",
    ])  # fmt: skip


TOLD = {
    "saravanan2019/adam-128": "the accuracy of its best network, {reported} % (ours: {measured})",
    "saravanan2019/adam-best": "that Adam at a lower rate beats the other optimisers",
    "saravanan2019/overfitted": "that this network may overfit (training above test accuracy: {measured})",
    "saravanan2019/simple-cnn-accuracy": "the simple CNN's {reported} %, always happy ({measured} collapse to it)",
    "saravanan2019/proposed-cnn-base": "the {reported} % before tuning (ours: {measured})",
    "saravanan2019/unseen-test-images": "that no test image was seen in training ({measured} were)",
    "saravanan2019/adam-128-unseen": "that the {reported} are of unseen images (lost without leaked rows: {measured})",
    "vorontsov2018/averaging-better": "that averaging several networks helps ({measured})",
    "vorontsov2018/test-accuracy": "the {reported} % on its test rows (our best filling: {measured})",
    "vorontsov2018/validation-accuracy": "the {reported} % on its validation rows (our best filling: {measured})",
    "vorontsov2018/validation-above-test": "that validation is {reported} points above test (ours: {measured})",
}
"""The claims that say most of a paper, as they are written after "reproduced:" or "not reproduced:"."""
MADE_FROM = "Data, runs, devices, versions and commits"
FINDINGS = 5
"""So many headlines open the report."""
CAPTION = (
    "Where the paper's diamond lies on the bar, one more run could give its figure; where the bar is long, no single "
    "run says much. A dot is the mean of the runs that learned. *k of n*: always predicting one emotion scores the "
    "paper's figure, and k of n runs collapse to that; such rows have rings alone. Vorontsov and Averkin leave their "
    "network open: rings are runs of all plausible versions, the dot is the best version's mean, and the bar holds a "
    "new run of any."
)
FOREST, FOREST_DARK = "forest.png", "forest-dark.png"
"""The forest plot, as files beside ``README.md``."""
VERDICTS = """\
Intervals are at 95 %, and the words behind one say of what it is: [how to read a verdict](../docs/results.md). Why each
verdict is what it is: [report.html](report.html), or `claims.json` for programs, with the runs that tell.
"""
RULES = """\
One for each kind of claim (`fer_lib/claims/rules.py`).
Runs on other backends, precisions or devices are never pooled: the group with most seeds judges, the others are named.
"""
HISTORY = """\
Some rules were made or changed when runs were there that they judge. Each stands here with what was known then.
"""
MOVES = "The change of {date}: verdicts that it or the new runs of that day moved, and claims that came or went:"
READING = """\
Each line is a group of runs that differ only in the seed. Backends, precisions and devices are never pooled. Means are
of the seeds that learned; the remarks count those that collapsed. There are two 95 % intervals: the *t interval* says
how far other seeds would move the mean, the *Wilson interval* how far another sample of as many test rows would move an
accuracy like that mean. Under *as_published*, rows, kept epoch and loss are those of the paper's released code.
"""
HONEST = """\
The same runs, read as one should: the epoch of each run that is best on PublicTest, scored on PrivateTest; then on its
*clean* rows, whose image is in no earlier part; then on its *near-clean* rows, which have no near-duplicate there
either (`results/audit/near_duplicates.csv`). PublicTest itself is optimistic, since it chose. A tree has no epochs.
"""
