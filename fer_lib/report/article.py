"""The article, ``docs/article.md``: its template filled from verdicts and records; and its PDF, printed by Chromium."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .. import paths
from ..claims import rules
from ..data import SPLITS
from ..data.near_duplicates import NEAR
from ..evaluation import metrics, pooled, records, statistics
from ..files import documents, writing
from ..files.tables import read_rows
from ..markdown import interval, table
from . import sections, tables
from .causes import collapse, networks, rows
from .page import tidy

MARKDOWN, PDF = (paths.ROOT / "docs" / f"article.{kind}" for kind in ("md", "pdf"))
TEMPLATE = Path(__file__).with_name("article.md.j2")
BEST = "saravanan2019/table5_adam_128"
COMPARED = {
    "saravanan2019/table1_decision_tree_fixed_split": "Decision tree of Table I",
    BEST: "Best network of Table V",
    "vorontsov2018/eleven_layers": "Eleven layers, first version",
    "ours/live_model": "Ours: the live model",
}
"""Experiments whose honest scores are shown, and what they are called there."""
FOOTER = (
    '<div style="width: 100%; text-align: center; font: 8px Georgia, serif; color: #555">'
    '<span class="pageNumber"></span> / <span class="totalPages"></span></div>'
)


def markdown(judged: list[dict], all_records: list[dict], experiments: dict[str, dict], results: Path) -> str:
    """The text of ``docs/article.md``, from the claims as ``judge.judge_ledger`` gives them and the records below
    ``results``.

    Raises ValueError where a claim or a run that it tells of is missing, and jinja2.UndefinedError where the template
    names anything else that is not there.
    """
    from jinja2 import Environment, StrictUndefined  # nbconvert's; here, as in page.py

    style = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    style.filters |= {
        "ends": lambda line: "{:.2f} to {:.2f}".format(*line["interval"]),
        "kinds": lambda lines, *kinds: sum(line["kind"] in kinds for line in lines),
        "measured": tables.measured,
        "percent": lambda share: f"{100 * share:.2f} %",
        "points": lambda three: f"{100 * three[0]:+.2f} points {interval(three[1:], '+')}",
        "reach": lambda line: f"{_reach(line):.1f}",
        "reference": _reference,
        "short": lambda line: tables.short(line).rstrip("."),
        "tally": sections.tally,
        "thousands": lambda count: f"{count:,}",
    }
    template = style.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(**_of_claims(judged), **_of_runs(all_records, experiments, results))


def _of_claims(judged: list[dict]) -> dict:
    """What the template names of claims, rules and the citation."""

    from ..claims import ledger  # with jsonschema, slow to import

    by_id = {line["id"]: line for line in judged}
    own, data, others = ([line for line in judged if line["about"] == name] for name in tables.ABOUT)
    accuracies = [line for line in own if line["label"]]
    of_a_run = [line for line in accuracies if line["interval_of"] == rules.INTERVALS["accuracy"]]
    steady = sorted(_there(of_a_run, "accuracy with the interval of a new run"), key=_reach)

    def claim(name: str) -> dict:
        return _there(by_id.get(name), f"claim {name} in claims/*.yaml")

    return {
        "claim": claim, "own": own, "data": data, "others": others, "accuracies": accuracies,
        "first": tables.headlines(judged), "forest": sections.FOREST, "alternative": sections.forest_in_words(judged),
        "reduced": [line for line in accuracies if line["runs"] and ", float32," not in line["computed_by"]],
        "recalls": [line for line in own if line["id"].startswith("saravanan2019/recall-")],
        "affectnet": [line for line in own if "/affectnet-" in line["id"]],
        "live": [line for line in own if line["kind"] == "share"],
        "steadiest": steady[0], "wildest": steady[-1],
        "fillings": len({folder.rpartition("/")[0] for folder in claim("vorontsov2018/test-accuracy")["runs"]}),
        "counts": sections.counts, "judged": judged, "changes": len(ledger.changes(paths.CLAIMS)),
        "level": round(100 * statistics.LEVEL), "width": rules.WIDTH, "least_seeds": rules.SEEDS,
        "collapsed_share": metrics.COLLAPSED, "near": NEAR,
        "citation": documents.read_yaml(paths.ROOT / "CITATION.cff"),
    }  # fmt: skip


def _of_runs(all_records: list[dict], experiments: dict[str, dict], results: Path) -> dict:
    """What the template names of runs, networks and rows; of groups of one experiment the one with most seeds."""
    groups = pooled.groups(pooled.comparable(all_records, experiments), experiments)
    groups = [group for group in groups if "milestone_of" not in experiments.get(group[0]["experiment"], {})]
    of = {group[0]["experiment"]: group for group in sorted(groups, key=len)}
    learned = [networks.mostly_learned(group) for group in groups]
    best = _there([group for group in learned if group[0]["experiment"] == BEST], f"run of {BEST}")
    ids, near = rows.leaked_ids(results), rows.nearest(results)
    leaked = _there(rows.leakage(best, ids, near), f"list of leaked rows in {results / 'audit'}")
    pairs = [
        line
        for line in rows.retrained(learned, experiments, ids, near)
        if line["title"] == best[0][0]["title"] and line["without"] == "near-duplicates"
    ]
    choosing = _there(networks.choosing(learned), "network that learned")
    return {
        "records": all_records, "experiments": experiments, "best": networks.complete(experiments[BEST]),
        "weights": {name: group[0]["parameter_count"] for name, group in of.items()},
        "collapsed": {name: "{collapsed} of {seeds}".format(**collapse.outcomes(group)) for name, group in of.items()},
        "printed": _printed(results), "audit": _audit(results),
        "leaked": max(leaked, key=lambda line: line["seeds"]),
        "without_near": _there(pairs, f"pair of runs of {BEST} with and without near-duplicates")[0],
        "worth": statistics.t_interval([line["spread"][0] for line in choosing]),
        "most_worth": max(value for line in choosing for value in line["worth"]), "chosen": len(choosing),
        "honest": _honest(all_records, experiments), "runs": _runs(all_records),
        "minutes": np.median([record["seconds"] / 60 for group in best for record in group]),
    }  # fmt: skip


def _there(found, what: str):
    """``found``, unless it is empty. Raises ValueError saying what the article lacks."""
    if not found:
        raise ValueError(f"{TEMPLATE.name}: found no {what}, expected one; bring it back, or change the template")
    return found


def _reach(line: dict) -> float:
    """How far the interval of a new run reaches each way, in points."""
    low, high = line["interval"]
    return (high - low) / 2


def _runs(all_records: list[dict]) -> dict:
    seeds: dict[str, set[int]] = {}
    for record in all_records:
        seeds.setdefault(record["experiment"], set()).add(record["seed"])
    official = {record["data"]["source"]["md5"] for record in all_records if records.is_official(record)}
    return {
        "count": len(all_records), "experiments": len(seeds), "seeds": max(map(len, seeds.values())),
        "hours": sum(record["seconds"] for record in all_records) / 3600,
        "devices": sorted({record["device"]["name"] for record in all_records}), "md5": ", ".join(official),
    }  # fmt: skip


def _printed(results: Path) -> dict:
    """How many of the low accuracies that are printed a network that predicts one emotion scores."""
    flat, counts = [line["emotion"] for line in rows.flat(results)], collapse.test_counts()
    fitting = [
        collapse.constant_classifiers(printed, len(f"{printed}".partition(".")[2]), counts, flat)
        for _, printed in collapse.PRINTED
    ]
    return {"explained": sum(map(bool, fitting)), "all": len(fitting)}


def _audit(results: Path) -> dict[str, dict[str, int]]:
    """The audit's counts: by finding, by part."""
    kinds, again = {"finding": str} | dict.fromkeys((*SPLITS, "all"), int | None), "make it again: make audit"
    lines = read_rows(results / "audit" / "summary.csv", kinds, again)
    return {line.pop("finding"): {part: count for part, count in line.items() if count is not None} for line in lines}


def _honest(all_records: list[dict], experiments: dict[str, dict]) -> str:
    """The honest scores of the experiments that are ``COMPARED``, as a Markdown table."""
    read = {line["experiment"]: line for line in sorted(
        pooled.honest(all_records, experiments).to_dict("records"), key=lambda line: line["PrivateTest"]["seeds"]
    )}  # fmt: skip

    return table([
        {"Model": title, "Seeds": line["PrivateTest"]["seeds"],
         "PrivateTest": tables.percent(line["PrivateTest"]), "Clean": tables.percent(line["PrivateTest clean"]),
         "Near-clean": tables.percent(line[pooled.NEAR_CLEAN])}
        for name, title in COMPARED.items()
        for line in [_there(read.get(name), f"run of {name} that can be read honestly")]
    ])  # fmt: skip


def _reference(work: dict) -> str:
    """A work that CITATION.cff lists, as it stands among references."""
    names = [
        f"{author['family-names']}, {' '.join(name[0] + '.' for name in author['given-names'].split())}"
        for author in work["authors"]
    ]
    where = [work.get("journal"), work.get("conference", {}).get("name"), work.get("collection-title")]
    pages = f"vol. {work['volume']}, {work['start']}-{work['end']}" if "volume" in work else ""
    known = [*where, pages, *(each["value"] for each in work.get("identifiers", []))]
    return f"{', '.join(names)} ({work['year']}). {work['title']}. {', '.join(filter(None, known))}."


def html(text: str, folder: Path) -> str:
    """The article as one HTML page for A4: pictures inside, links to files of the project as words. ``folder``: that
    of the Markdown file, from which its links lead. Raises FileNotFoundError where a picture is missing."""
    from bs4 import BeautifulSoup
    from nbconvert.filters import markdown2html

    soup = BeautifulSoup(markdown2html(re.sub(r"(?<=\d) %", "\u00a0%", text)), "html.parser")
    tidy(soup)
    for link in soup.select("a"):
        if not link["href"].startswith("http"):
            link.unwrap()
    for picture in soup.select("img"):
        picture["src"] = f"data:image/png;base64,{base64.b64encode((folder / picture['src']).read_bytes()).decode()}"
        _in_one_piece(soup, picture.parent, picture.parent.find_next_sibling("p"))
    for each in soup.select("table"):
        _in_one_piece(soup, each.find_previous_sibling("p"), each)
    style = "".join(Path(__file__).with_name(name).read_text() for name in ("page.css", "article.css"))
    head = f'<meta charset="utf-8"><title>{soup.h1.get_text()}</title><style>{style}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body><main>{soup}</main></body></html>'


def _in_one_piece(soup, first, second) -> None:
    """A picture or table and its caption in one figure, so that no page break parts them."""
    first.wrap(soup.new_tag("figure")).append(second)


def print_pdf(page: Path = MARKDOWN, pdf: Path = PDF) -> None:
    """Print the article on A4 by Chromium, the system's or playwright's. The last line of the PDF is a comment that
    says of which text it was made (see ``made_of``).

    Raises RuntimeError where there is no Chromium.
    """
    text = page.read_text(encoding="utf-8")
    with chromium() as browser:
        tab = browser.new_page()
        tab.set_content(html(text, page.parent))
        printed = tab.pdf(
            prefer_css_page_size=True, display_header_footer=True, header_template="<i></i>", footer_template=FOOTER
        )
    writing.replace_bytes(pdf, printed + made_of(text))


@contextmanager
def chromium(*arguments: str):
    """A headless browser, started with these arguments: the system's Chromium, or playwright's own.

    Raises RuntimeError where there is none.
    """
    from playwright.sync_api import sync_playwright

    system = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as started:
        if not system and not Path(started.chromium.executable_path).exists():
            raise RuntimeError("article: found no Chromium, expected one to print with; `make browser` gets it")
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # which root cannot have
        with started.chromium.launch(executable_path=system, args=[*sandbox, *arguments]) as launched:
            yield launched


def made_of(text: str) -> bytes:
    """The comment at the end of a PDF that says of which text it was made, by its SHA-256."""
    return f"\n% made of a text with the SHA-256 {hashlib.sha256(text.encode()).hexdigest()}\n".encode()
