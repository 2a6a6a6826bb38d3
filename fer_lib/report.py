"""What a reader sees of the records: Markdown tables and paragraphs, the same in the report's notebook and in
``results/README.md``, and the notebook as one HTML file."""

from __future__ import annotations

import re
from pathlib import Path

from . import figures, paths, summaries, tables
from . import verdicts as rules

STYLE = Path(__file__).with_name("report.css")


def folder(results: str, profile: str) -> Path:
    """Where to read records: ``results`` where given, else the profile's folder or, if that has none, the full one."""
    places = [paths.results_folder(profile), paths.results_folder("full")]
    return Path(results) if results else next((p for p in places if any(p.glob("runs/*/*/*/metrics.json"))), places[0])


def banner(found: list[dict]) -> str:
    """Where the numbers come from: a warning unless it is real data at profile full, then the facts as a list."""
    if not found:
        return "> **No runs yet.** `make reproduce` makes them; every number below will come from their records."

    def each(value):
        return "; ".join(dict.fromkeys(str(value(record)) for record in found))

    def data(record):
        source, counts = record["data"]["source"], record["data"]["rows"]
        rows = " + ".join(f"{count:,} {split}" for split, count in counts.items())
        file = f", {source['file']}, MD5 `{source['md5']}`" if source.get("md5") else ""
        known = "" if source.get("official_md5") == source.get("md5") else " (**not** the official file)"
        arrays = f"SHA-256 of the arrays `{record['data']['sha256'][:16]}`"
        return f"{record['data']['name']}{file}{known}: {rows} rows; {arrays}"

    def device(record):
        kind, name = record["device"]["kind"].upper(), record["device"]["name"]
        return f"{kind}: {name}" + (f", {record['device']['threads']} threads" if kind == "CPU" else "")

    def code(record):
        commit = record["code"]["commit"]
        return (f"`{commit[:10]}`" if commit else "unknown") + (" with changes" if record["code"]["dirty"] else "")

    names = {record["data"]["name"] for record in found}
    profiles = {record["profile"] for record in found}
    warning = ""
    if any(name.startswith("drawn") for name in names):
        warning = (
            "> ⚠ **Drawn faces.** Every number and picture on this page comes from faces that a program drew, not from "
            "FER2013. They show that the machinery runs from end to end and **say nothing about the papers**.\n\n"
        )
    elif profiles == {"copy"}:
        warning = (
            "> ⚠ **Not the official FER2013.** The runs follow the papers' protocol on another form of the data, whose "
            "pixels, labels or rows differ from the papers'; the source named below says which.\n\n"
        )
    elif profiles != {"full"}:
        which = each(lambda r: r["profile"])
        warning = (
            f"> ⚠ **Profile {which}.** Runs were cut down (at quick each network learns from a tenth of Training's "
            "rows, with one seed, some for fewer epochs or scored on fewer test rows): **this is not the papers' "
            "protocol**, and no number here confirms or refutes one of theirs.\n\n"
        )
    facts = {
        "Data": each(data),
        "Profile": each(lambda r: r["profile"]),
        "Runs": f"{len(found)}, of {len({r['experiment'] for r in found})} experiments, {_duration(found)} in all; "
        f"seeds {', '.join(map(str, sorted({r['seed'] for r in found})))}",
        "Computed by": each(lambda r: summaries.computed_by([r])),
        "Device": each(device),
        "Versions": each(lambda r: ", ".join(f"{name} {version}" for name, version in r["versions"].items())),
        "Code": each(code),
        "Lock file": each(lambda r: f"SHA-256 `{r['lock_sha256'][:16]}`" if r["lock_sha256"] else "none"),
    }
    return warning + "\n".join(f"- **{name}**: {value}" for name, value in facts.items()) + "\n"


def _duration(group: list[dict], runs: int = 1) -> str:
    seconds = sum(record["seconds"] for record in group) / runs
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def failed(failures: list[str]) -> str:
    """A section on the runs that failed, empty where none did."""
    if not failures:
        return ""
    return "## Runs that failed\n\n" + "\n".join(f"- {failure}" for failure in failures) + "\n"


def about(group: list[dict], experiment: dict) -> str:
    """Facts of a group's section: where it stands in the paper, what it took, its parameters, its deviations."""
    first = group[0]
    facts = [
        experiment.get("where", ""),
        f"`{first['experiment']}`",
        f"protocol *{experiment['protocol']}*" if "protocol" in experiment else "",
        summaries.computed_by(group),
        f"{first['parameter_count']:,} weights" if first["parameter_count"] else "",
        f"{_duration(group, len(group))} a run",
        f"seeds {', '.join(str(record['seed']) for record in group)}",
    ]
    values = {name: value for name, value in first["parameters"].items() if name not in ("seed", "data")}
    parameters = ", ".join(f"{name} {value if value != '' else 'none'}" for name, value in values.items())
    deviations = "\n".join(f"{k}. {text}" for k, text in enumerate(experiment.get("deviations", []), 1))
    return f"{' · '.join(filter(None, facts))}\n\n**Parameters**: {parameters}.\n\n" + (
        f"**Deviations from the paper**:\n\n{deviations}\n" if deviations else ""
    )


def show_overview(found: list[dict], experiments: dict[str, dict]) -> None:
    """Display, in a notebook, reported and measured accuracies in one figure; nothing where there is no run."""
    from IPython.display import display

    if found:
        caption = (
            "Accuracy as reported (diamond) and as measured here: each ring is a seed, the dot their mean, the thick "
            "bar the 95 % t interval over seeds, the thin line the 95 % Wilson interval of the test rows' sampling."
        )
        display(figures.captioned(figures.accuracy_overview(summaries.accuracies(found, experiments)), caption))


def show_sections(found: list[dict], experiments: dict[str, dict]) -> None:
    """Display, in a notebook, a section for each group of records: facts, curves, confusion matrix, answers."""
    from IPython.display import Markdown, display

    pooled = summaries.groups(found, experiments)
    titles = [group[0]["title"] for group in pooled]
    for group, title in zip(pooled, titles):
        experiment = experiments.get(group[0]["experiment"], {})
        twin = f" ({summaries.computed_by(group)})" if titles.count(title) > 1 else ""
        display(Markdown(f"### {title}{twin}\n\n{about(group, experiment)}"))
        if group[0]["history"]:
            curves = figures.learning_curves(group, experiment.get("reported", {}).get("accuracy"))
            caption = f"{title}: accuracy after each epoch, thin for each seed, thick for their mean"
            display(figures.captioned(curves, f"{caption}. Training accuracy is the epoch's running mean, dropout on."))
        rows = summaries.reading(group[0])[1].replace("held out", "the rows held out")
        seeds = "one seed" if len(group) == 1 else f"{len(group)} seeds added up"
        caption = f"{title}: share and count of the answers to each emotion on {rows}, {seeds}."
        display(figures.captioned(figures.confusion_matrix(summaries.confusion(group)), caption))
        display(Markdown(tables.predicted(group)))


def verdicts(judged: list[dict]) -> str:
    """The section on the claims (see ``claims.judged``): how many of each verdict, each with its own, and the rules."""
    if not judged:
        return "## Verdicts\n\nNone: a claim is tested by full runs on FER2013 only.\n"
    counts = [sum(line["verdict"] == word for line in judged) for word in rules.VERDICTS]
    said = ", ".join(f"{count} {word}" for count, word in zip(counts, rules.VERDICTS))
    used = [f"- **{kind[0].upper()}{kind[1:]}**: {text}" for kind, text in rules.RULES.items()]
    return "\n".join(["## Verdicts\n", f"**{len(judged)} claims of both papers: {said}.** {VERDICTS}",
                      tables.verdicts(judged), "### The rules\n", RULES, *used, ""])  # fmt: skip


def markdown(found: list[dict], experiments: dict[str, dict], failures: list[str] = (), judged: list[dict] = ()) -> str:
    """The text of ``results/README.md``: banner, verdicts and tables, with a link to the whole report beside it."""
    return "\n".join([
        "# Results\n",
        "*Written by `make report` from the records in `runs/`; no number here is typed.* "
        "The whole report, with curves and confusion matrices, is [report.html](report.html), the data are in "
        "[dataset.html](dataset.html): one file each, to be opened "
            "offline.\n",
        banner(found),
        failed(list(failures)),
        verdicts(list(judged)),
        "## Reported and measured\n",
        READING,
        tables.results(found, experiments),
        "## The honest reading\n",
        HONEST,
        tables.honest_results(found, experiments),
    ])  # fmt: skip


def to_html(notebook: Path, page: Path) -> None:
    """Write an executed notebook as one HTML file that needs nothing else: no code, pictures and style inside.

    The contents at its side come from its headings. Raises FileNotFoundError where there is no such notebook.
    """
    from nbconvert import HTMLExporter  # here, so that tables can be made where there is no Jupyter

    exporter = HTMLExporter(
        template_name="basic",
        exclude_input=True,
        exclude_output_prompt=True,
        embed_images=True,
    )
    body, _ = exporter.from_filename(str(notebook))
    body = re.sub(r'<a class="anchor-link".*?</a>', "", body)
    body = re.sub(r"<blockquote>(?=\s*<p>⚠)", '<blockquote class="warning">', body)
    headings = re.findall(r'<h([123])[^>]* id="([^"]*)"[^>]*>(.*?)</h', body, re.DOTALL)
    title = next((re.sub("<[^>]*>", "", text) for level, _, text in headings if level == "1"), notebook.stem)
    links = "\n".join(
        f'<a class="h{level}" href="#{place}">{text}</a>' for level, place, text in headings if level > "1"
    )
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n"
        f'<nav aria-label="Contents">\n{links}\n</nav>\n<main>\n{body}\n</main>\n</body>\n</html>\n',
        encoding="utf-8",
    )


VERDICTS = """\
Each stands below with what the paper reports, what came out here, and why the verdict is what it is; `claims.json`
holds the same for programs, with the runs that tell. To fail to reproduce a figure is a result; to have too few seeds
for one is none yet.
"""
RULES = """\
One for each kind of claim (`fer_lib/verdicts.py`; its history tells which runs were there when it was written). Runs
on other backends, precisions or devices are never pooled: the group with most seeds judges, the others are named.
"""
READING = """\
Each line is a group of runs that differ in nothing but the seed; backends, precisions and devices are never pooled.
Two kinds of spread stand apart, both at 95 %: the *t interval* says how far other seeds would move the mean, the
*Wilson interval* how far another sample of test rows of this size would move an accuracy like that mean. Rows, kept
epoch and loss are those of the paper's released code, its flaws included, where the protocol is *as_published*.
"""
HONEST = """\
The same runs, read as one should: of each run the epoch that is best on PublicTest, scored on PrivateTest, and on the
*clean* rows of PrivateTest, whose image stands neither in Training nor in PublicTest. PublicTest is optimistic here,
since it chose. A tree has no epochs to choose from.
"""
