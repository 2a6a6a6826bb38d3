"""The article: no figure and no verdict in it is typed; the committed page and PDF are of the committed records."""

import re

import jinja2
import pytest
from PIL import Image

from fer_lib import paths, runs
from fer_lib.claims import judge, rules
from fer_lib.evaluation import records
from fer_lib.report import article

SECTIONS = tuple(f"## {number} " for number in range(1, 8))
NAMED = ("FER2013", "MD5", "48 x 48", "float32", *SECTIONS, "Figure 1", "Table 1", "Table 2", "section 5")
"""All that the template may say with a digit, beside years: names, what FER2013 is, sections, figures and tables."""


@pytest.fixture(scope="module")
def study():
    """What the article is made from: claims with their verdicts, records, experiments."""
    found, known = records.load(paths.RESULTS), runs.experiments()
    return judge.judge_ledger(found, known, paths.RESULTS), found, known


@pytest.fixture
def page(tmp_path):
    """A short article with a picture beside it, as they lie in the project."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "results").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "results" / "forest.png")
    page = tmp_path / "docs" / "article.md"
    page.write_text(
        "# Title\n\n![Words](../results/forest.png)\n\n**Figure 1.** A caption.\n\n**Table 1.** Another.\n\n"
        "| a | b |\n|---|---|\n| 60.5 % | **not reproduced** |\n\nSee [results](../results/README.md).\n"
    )
    return page


def written(study, *changed: dict) -> str:
    """The article, some claims of which are changed."""
    judged, *rest = study
    new = {line["id"]: line for line in changed}
    return article.markdown([line | new.get(line["id"], {}) for line in judged], *rest, paths.RESULTS)


def typed() -> str:
    """What is typed in the template: no expressions of Jinja's, and no references."""
    text = article.TEMPLATE.read_text().partition("## References")[0]
    return re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", text, flags=re.DOTALL)


def test_the_committed_article_is_what_the_records_say(study):
    assert article.MARKDOWN.read_text() == written(study), "`make report` writes it anew"


def test_the_committed_pdf_is_of_the_committed_text():
    printed = article.PDF.read_bytes()
    assert printed.endswith(article.made_of(article.MARKDOWN.read_text())), "`make article` prints it anew"
    assert 1 < pages(printed) <= 4 and len(printed) < 400_000


def test_no_figure_is_typed():
    text = re.sub(r"\b(19|20)\d\d\b", "", typed())
    for name in NAMED:
        assert name in typed()
        text = text.replace(name, "")
    assert re.findall(r".*\d.*", text) == []


def test_no_verdict_is_typed():
    assert re.findall(rf"\*\*(?:{'|'.join(rules.VERDICTS)})\*\*|\bis (?:not )?(?:reproduced|testable)", typed()) == []


def test_figures_and_sentences_follow_the_verdicts(study):
    claim, text = "saravanan2019/adam-128", written(study)
    other = {"id": claim, "reported": 12.3, "interval": [11.25, 13.5], "verdict": "not reproduced"}
    changed = written(study, other)
    assert "12.3 %" in changed and "one new run gives 11.25 to 13.50 %" in changed and "11.25" not in text
    assert re.search(r"is\s\*\*not reproduced\*\*: one new run", changed)
    assert "training does not give the best figure" in changed and "training does not give" not in text
    assert "best figure of the first paper: unstable." in written(study, other | {"verdict": "unstable"})
    assert "**not testable**)" in written(study, {"id": "saravanan2019/adam-best", "verdict": "not testable"})


def test_a_record_less_is_a_number_less(study):
    judged, found, known = study
    fewer = [record for record in found if "table1_feedforward" not in record["experiment"] or record["seed"] != 0]
    text = article.markdown(judged, fewer, known, paths.RESULTS)
    lost = len(found) - len(fewer)
    assert lost and f"{len(found) - lost} runs of" in text and "in 9 of 9 runs" in text


def test_what_is_missing_is_named(study, monkeypatch, tmp_path):
    judged, found, known = study
    without = [line for line in judged if line["id"] != "vorontsov2018/twenty-hours"]
    with pytest.raises(ValueError, match="no claim vorontsov2018/twenty-hours in claims"):
        article.markdown(without, found, known, paths.RESULTS)
    without = [record for record in found if record["experiment"] != article.BEST]
    with pytest.raises(ValueError, match=f"article.md.j2: found no run of {article.BEST}, expected one; "):
        article.markdown(judged, without, known, paths.RESULTS)
    monkeypatch.setattr(article, "TEMPLATE", tmp_path / "article.md.j2")
    article.TEMPLATE.write_text("{{ audit.nothing }}")
    with pytest.raises(jinja2.UndefinedError, match="nothing"):
        article.markdown(*study, paths.RESULTS)


def test_a_number_at_the_beginning_of_a_line_makes_no_list(study):
    assert re.findall(r"^(?:\d+[.)]|[+*]) .*", written(study), re.MULTILINE) == []


def test_the_page_for_printing_needs_nothing_beside_it(page):
    text = article.html(page.read_text(), page.parent)
    assert "<title>Title</title>" in text and 'src="data:image/png;base64,' in text and "@page" in text
    assert "../results" not in text and "See results." in text
    assert text.count("<figure>") == 2 and '<strong class="verdict not-reproduced">' in text and "60.5\u00a0%" in text
    assert re.search(r"<figure><p><img [^>]*></p>\s*<p><strong>Figure 1\.", text)
    assert re.search(r"<figure><p><strong>Table 1\..*?</p>\s*<table>", text)


def pages(printed: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", printed))


@pytest.mark.slow
def test_chromium_prints_it(page):
    pytest.importorskip("playwright", reason="playwright is not installed; the lock has it")
    page.write_text(page.read_text() + "\nMore.\n" * 100)
    pdf = page.with_suffix(".pdf")
    try:
        article.print_pdf(page, pdf)
    except RuntimeError as error:
        assert "`make browser` gets it" in str(error)
        pytest.skip(str(error))
    printed = pdf.read_bytes()
    assert printed.startswith(b"%PDF") and printed.endswith(article.made_of(page.read_text()))
    assert 1 < pages(printed) <= 4


@pytest.mark.slow
def test_without_chromium_it_says_how_to_get_one(page, monkeypatch, tmp_path):
    pytest.importorskip("playwright", reason="playwright is not installed; the lock has it")
    monkeypatch.setattr(article.shutil, "which", lambda name: None)
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "nowhere"))
    with pytest.raises(RuntimeError, match="found no Chromium.*`make browser`"):
        article.print_pdf(page, page.with_suffix(".pdf"))
    assert not page.with_suffix(".pdf").exists()
