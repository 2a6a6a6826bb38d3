"""Pages: one file that needs nothing else. Whether they show as they should is looked at in headless Chromium."""

import json
import re

import nbformat
import pytest
from chromium import chromium

from fer_lib import paths, runs
from fer_lib.claims import judge
from fer_lib.evaluation import records
from fer_lib.report import page
from fer_lib.runs import make, notebooks

TABLE = "| Name | Value |\n|:--|--:|\n" + "".join(
    f"| {name} | {value} |\n"
    for name, value in zip("abcdefghijklm", "1,000 9 – 80 -3 7 0.5 12 11 10 6 5".split())
    for name in [f"row {name}"]
)


def write(folder, *cells, name="page"):
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), folder / f"{name}.ipynb")
    page.to_html(folder / f"{name}.ipynb", folder / f"{name}.html")
    return folder / f"{name}.html"


def shown(text: str, tag: str = ""):
    """A code cell whose output is Markdown."""
    output = nbformat.v4.new_output("display_data", {"text/markdown": text})
    metadata = {"tags": [tag]} if tag else {}
    return nbformat.v4.new_code_cell("secret_code = 1", outputs=[output], execution_count=1, metadata=metadata)


def test_a_page_is_one_file_that_needs_no_network_and_shows_no_code(tmp_path):
    start = nbformat.v4.new_markdown_cell("# Title & more\n\n> ⚠ **Drawn.**\n\n## Start")
    text = write(tmp_path, start, shown("### A part\n\n| a |\n|---|\n| **not reproduced** |")).read_text()
    assert "<title>Title &amp; more</title>" in text and "<td" in text and "secret_code" not in text
    assert '<blockquote class="warning">' in text
    assert '<a class="h2" href="#Start">Start</a>' in text and 'href="#A-part"' in text
    assert '<strong class="verdict not-reproduced">not reproduced</strong>' in text
    assert '<div aria-label="Table: A part" class="scroll verdicts" role="region" tabindex="0"><table' in text
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", text)
    assert "@import" not in text and "url(" not in text and "<script src" not in text


def test_no_script_but_ours_runs_and_nothing_is_loaded(tmp_path):
    """Titles and notes of records stand on the pages, and others may have written them. A browser's word on it is
    ``test_a_strange_record_runs_nothing_in_a_browser``'s."""
    evil = "<script>alert(1)</script><img src='https://example.com/x.png' onerror='alert(2)'>"
    page = write(tmp_path, nbformat.v4.new_markdown_cell(f"# Title {evil}"), shown(evil))
    policy = re.search(r'<meta content="([^"]*)" http-equiv="Content-Security-Policy"', page.read_text())[1]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", rules["script-src"])


@pytest.mark.slow
def test_a_strange_record_runs_nothing_in_a_browser(tmp_path):
    evil = (
        "<script>document.title = 'evil'</script>"
        "<img src='https://example.com/x.png' onerror='document.title = `evil`'>"
        "<svg onload='document.title = `evil`'></svg><iframe src='https://example.com'></iframe>"
    )
    page = write(tmp_path, nbformat.v4.new_markdown_cell("# Title"), shown(f"| {evil} |\n|---|\n| {evil} |\n\n{evil}"))
    with chromium() as browser:
        tab, asked = browser.new_page(), []
        ours = ("file:", "data:")
        tab.on("requestfinished", lambda request: request.url.startswith(ours) or asked.append(request.url))
        tab.on("requestfailed", lambda request: request.failure == "csp" or asked.append(request.url))
        tab.goto(page.as_uri())
        tab.wait_for_timeout(300)
        assert tab.title() == "Title"
        assert asked == []  # the page's policy refused them, not the network
        assert tab.locator("button").count()  # our own script ran: it makes one


def test_the_same_content_gives_the_same_page(tmp_path):
    first, again = (write(tmp_path, shown("### A part\n\nSo it is.")).read_text() for _ in range(2))  # new cells' ids
    assert first == again and "So it is" in first


@pytest.mark.parametrize("name", ["page.html.j2", "page.css", "page.js", "page.py", "article.md.j2", "article.css"])
def test_a_report_is_made_again_where_what_pages_are_made_from_has_changed(name):
    names = [line.split("  ")[1] for line in make.report_inputs("smoke").splitlines()]
    assert names.count(f"fer_lib/report/{name}") == 1


def test_tagged_cells_are_left_out_where_a_page_says_so(tmp_path):
    cells = [shown("Everybody."), shown("Somebody.", "people")]
    assert "Somebody" in write(tmp_path, *cells).read_text()
    page.to_html(tmp_path / "page.ipynb", tmp_path / "public.html", without="people")
    text = (tmp_path / "public.html").read_text()
    assert "Everybody" in text and "Somebody" not in text


def test_every_cell_that_shows_people_is_tagged():
    cells = json.loads((paths.NOTEBOOKS / "1_dataset.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    showing = [cell for cell in code if re.search("sample_faces|if show_people", "".join(cell["source"]))]
    assert showing and all(cell["metadata"].get("tags") == ["people"] for cell in showing)


# ---- in a browser


@pytest.fixture(scope="module")
def browser():
    with chromium() as launched:
        yield launched


def opened(browser, path, width=1280, scheme="light", **options):
    """The page, and the list of the errors that it reports from now on."""
    tab, errors = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme, **options), []
    tab.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("request", lambda request: None if request.url[:5] in ("file:", "data:") else errors.append(request.url))
    tab.goto(path.as_uri())
    return tab, errors


def column(tab, place: int) -> list[str]:
    cells = tab.locator(f"main table >> nth=0 >> tbody tr:visible td:nth-child({place})")
    return [text.strip() for text in cells.all_inner_texts()]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    start = nbformat.v4.new_markdown_cell("# Small\n\n## Part")
    verdicts = "| Claim | Verdict |\n|:--|:--|\n" + "".join(
        f"| claim {k} | **{'reproduced' if k % 3 else 'not reproduced'}** |\n" for k in range(12)
    )
    wide = "|" + " wide heading |" * 30 + "\n|" + "--|" * 30 + "\n|" + " wordless |" * 30 + "\n"
    total = "| Who | n |\n|:--|--:|\n| a | 2 |\n| b | 1 |\n| All | 3 |\n"
    return write(tmp_path_factory.mktemp("small"), start, *map(shown, (TABLE, verdicts, wide, total)))


@pytest.mark.slow
def test_a_click_sorts_by_number_or_word_and_back(browser, small):
    tab, errors = opened(browser, small)
    before = column(tab, 2)
    head = tab.locator("main th button >> nth=1")
    head.click()
    assert column(tab, 2) == ["-3", "0.5", "5", "6", "7", "9", "10", "11", "12", "80", "1,000", "–"]
    assert tab.locator("main th >> nth=1").get_attribute("aria-sort") == "ascending"
    head.click()
    assert column(tab, 2) == ["1,000", "80", "12", "11", "10", "9", "7", "6", "5", "0.5", "-3", "–"]
    head.click()
    assert column(tab, 2) == before
    tab.locator("main th button >> nth=0").press("Enter")
    assert column(tab, 1) == sorted(column(tab, 1))
    totals = tab.locator("main table >> nth=3")
    totals.locator("th button >> nth=1").click()
    assert totals.locator("tbody td:nth-child(1)").all_inner_texts() == ["b", "a", "All"]
    assert errors == []


@pytest.mark.slow
def test_filters_keep_the_rows_that_they_name(browser, small):
    tab, errors = opened(browser, small)
    assert tab.locator(".tools").count() == 2  # of the two long tables
    tab.locator(".tools input >> nth=0").fill("row 10")
    assert column(tab, 1) == ["row j"] and tab.locator(".tools [role=status] >> nth=0").inner_text() == "1 of 12"
    tab.locator(".tools input >> nth=0").fill("")
    assert len(column(tab, 1)) == 12
    claims_shown = tab.locator("main table >> nth=1 >> tbody tr:visible")
    button = tab.get_by_role("button", name="not reproduced (4)")
    button.click()
    assert claims_shown.count() == 4 and all("not reproduced" in text for text in claims_shown.all_inner_texts())
    tab.get_by_role("button", name="reproduced (8)", exact=True).click()
    assert claims_shown.count() == 12
    button.click()
    assert claims_shown.count() == 8
    assert errors == []


@pytest.mark.slow
def test_light_and_dark_follow_the_system_until_the_button_is_pressed(browser, small):
    def background(tab):
        return tab.evaluate("getComputedStyle(document.body).backgroundColor")

    (light, _), (dark, errors) = opened(browser, small), opened(browser, small, scheme="dark")
    white, black = background(light), background(dark)
    assert white == "rgb(255, 255, 255)" and black != white
    dark.locator("#theme").click()
    assert background(dark) == white
    dark.wait_for_timeout(500)  # a busy browser hands what a page keeps to the next process in its own time
    dark.reload()
    assert background(dark) == white  # it remembers
    light.locator("#theme").click()
    assert background(light) == black
    dark.locator("#theme").click()
    dark.emulate_media(media="print")
    assert background(dark) == white and not dark.locator("nav").is_visible()
    assert errors == []


@pytest.mark.slow
def test_without_javascript_everything_is_there(browser, small):
    tab, _ = opened(browser, small, java_script_enabled=False)
    assert len(column(tab, 1)) == 12 and tab.locator("nav a").count() == 1 and tab.locator("button").count() == 0


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of the committed records, made anew."""
    folder = tmp_path_factory.mktemp("report")
    for name in ("runs", "audit", "architectures.json"):
        (folder / name).symlink_to(paths.RESULTS / name)
    values = {"results": str(folder), "profile": "full"}
    assert notebooks.execute("9_report", folder / "report.ipynb", values) is None
    page.to_html(folder / "report.ipynb", folder / "report.html")
    return folder / "report.html"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_is_whole_at_any_width(browser, report, width, scheme):
    tab, errors = opened(browser, report, width, scheme)
    judged = judge.judge_ledger(records.load(paths.RESULTS), runs.experiments(), paths.RESULTS)
    rows = tab.evaluate("[...document.querySelectorAll('.claims tbody tr')].map((row) => row.id)")
    assert judged and sorted(rows) == sorted(line["id"] for line in judged)
    images = tab.locator("img")
    assert images.count() > 10
    assert all(images.nth(k).get_attribute("alt").strip() for k in range(images.count()))
    assert tab.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    names = tab.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    links = tab.evaluate("[...document.querySelectorAll('a')].map((link) => link.getAttribute('href'))")
    assert links and all(link[1:] in names for link in links if link.startswith("#"))
    ours = {link for link in links if link.startswith("runs/")}
    assert ours and all((report.parent / link).exists() for link in ours)
    assert errors == []


@pytest.mark.slow
def test_the_first_screen_holds_the_plot_and_the_counts(browser, report):
    tab, errors = opened(browser, report, 1400)
    tab.set_viewport_size({"width": 1400, "height": 900})
    parts = "[...document.querySelectorAll('.first img, .first p, .first li')]"
    ends = tab.evaluate(f"{parts}.map((part) => part.getBoundingClientRect().bottom)")
    assert len(ends) == 1 + 2 + 5 and max(ends) < 900
    words = tab.locator(".first").inner_text()
    judged = judge.judge_ledger(records.load(paths.RESULTS), runs.experiments(), paths.RESULTS)
    own = [line["verdict"] for line in judged if line["about"] == "own"]
    assert f"{own.count('reproduced')} reproduced, {own.count('not reproduced')} not reproduced" in words
    assert errors == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [1400, 390])
def test_the_claims_begin_with_the_own_findings_in_short_lines(browser, report, width):
    tab, errors = opened(browser, report, width)
    rows = tab.locator(".claims tbody tr")
    shown = rows.locator("visible=true")
    whole, first = rows.count(), tab.locator(".claims tbody tr[data-about='own findings']").count()
    assert 0 < first < whole and shown.count() == first
    cells = tab.locator(".claims td:not(:last-child)").all_inner_texts()
    assert max(map(len, cells)) <= 90 and set(tab.locator(".claims summary").all_inner_texts()) == {"why"}
    tab.locator(".tools button", has_text="own findings").click()
    assert shown.count() == whole
    tab.locator(".tools button", has_text="unstable").click()
    assert 0 < shown.count() < first and set(tab.locator(".claims tr:visible .verdict").all_inner_texts()) == {
        "unstable"
    }
    # what unfolds takes the whole width below its line
    line = shown.first
    line.locator("summary").click()
    assert (
        line.locator("dl").bounding_box()["width"] > 0.6 * line.bounding_box()["width"] and "Seen" in line.inner_text()
    )
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    # a link to a claim that is filtered out shows it
    tab.evaluate("location.hash = 'saravanan2019/images'")
    tab.wait_for_function("document.getElementById('saravanan2019/images').querySelector('details').open")
    assert shown.count() == whole and errors == []


@pytest.mark.slow
def test_the_contents_stay_and_without_javascript_claims_unfold(browser, report):
    tab, _ = opened(browser, report, 390, java_script_enabled=False)
    assert tab.locator(".claims tbody tr:visible").count() == tab.locator(".claims tbody tr").count() > 100
    tab.locator(".claims summary").first.click()
    assert tab.locator(".claims dl").first.is_visible()
    for width in (1400, 390):
        tab.set_viewport_size({"width": width, "height": 800})
        tab.mouse.wheel(0, 3000)
        tab.wait_for_timeout(300)
        assert tab.locator("nav").bounding_box()["y"] == pytest.approx(0, abs=1)


@pytest.mark.slow
def test_on_paper_every_reason_is_there(browser, report):
    tab, _ = opened(browser, report, 1400, java_script_enabled=False)
    tab.emulate_media(media="print")
    assert tab.locator(".claims tbody tr").nth(0).locator("dl").bounding_box()["height"] > 20
    tab, errors = opened(browser, report, 1400)
    tab.evaluate("location.hash = '100%'")
    tab.emulate_media(media="print")  # every claim, also those that the screen's filter leaves out
    assert tab.locator(".claims tbody tr:visible").count() == tab.locator(".claims tbody tr").count() and errors == []
