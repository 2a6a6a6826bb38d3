"""An executed notebook as one HTML page that a person browses, offline: no code, but pictures, style and script inside.

``page.html.j2``, ``page.css`` and ``page.js`` stand beside this file. The script sorts and filters tables and switches
between light and dark; where it does not run, everything is there to be read.
"""

from __future__ import annotations

import base64
import hashlib
from copy import copy
from pathlib import Path

from ..files import writing


def to_html(notebook: Path, page: Path, without: str = "") -> None:
    """Write an executed notebook as one HTML file that needs nothing else.

    The contents at its side come from its headings. ``without``: the tag of cells whose outputs are left out. Raises
    FileNotFoundError where there is no such notebook.
    """
    from bs4 import BeautifulSoup  # here, so that tables can be made where there is no Jupyter
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    leave_out = {"TagRemovePreprocessor": {"enabled": True, "remove_all_outputs_tags": {without}}} if without else {}
    exporter = HTMLExporter(
        config=Config(leave_out),
        template_file=str(Path(__file__).with_name("page.html.j2")),
        template_name="basic",
        exclude_input=True,
        exclude_output_prompt=True,
        embed_images=True,
    )
    html, _ = exporter.from_filename(str(notebook))
    soup = BeautifulSoup(html, "html.parser")
    tidy(soup)
    for cell in soup.select('[id^="cell-id="]'):
        del cell["id"]  # some are random, and would change a page whose content did not
    for quote in soup.find_all("blockquote"):
        if quote.get_text().lstrip().startswith("⚠"):
            quote["class"] = "warning"
    for table in soup.select("table:not(.claims)"):
        # Each in a box of its own that scrolls, so that a wide one never widens the page; called by its heading.
        heading = table.find_previous(["h1", "h2", "h3", "h4"])
        box = {"class": "scroll verdicts" if table.select_one(".verdict") else "scroll", "role": "region"}
        box |= {"aria-label": f"Table: {heading.get_text() if heading else ''}", "tabindex": "0"}
        table.wrap(soup.new_tag("div", attrs=box))
    _allow_our_script(soup)
    if soup.h1:
        soup.title.string = soup.h1.get_text()
    for heading in soup.select("main h2[id], main h3[id]"):
        link = soup.new_tag("a", attrs={"class": heading.name, "href": f"#{heading['id']}"})
        link.extend(copy(part) for part in heading.contents)
        soup.nav.extend([link, "\n"])
    page.parent.mkdir(parents=True, exist_ok=True)
    writing.replace_text(page, str(soup))


def _allow_our_script(soup) -> None:
    """Let browsers run ``page.js`` and no other script: what records say stands on the page, and others may have made
    them. Nor do they load anything from elsewhere."""
    ours = Path(__file__).with_name("page.js").read_text(encoding="utf-8").strip()
    (script,) = [each.string for each in soup.find_all("script") if (each.string or "").strip() == ours]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})
    policy["content"] = f"{policy['content']}; script-src 'sha256-{digest}'"


def tidy(soup) -> None:
    """Of HTML made of Markdown, drop the links that headings have to themselves, and class verdicts by their words."""
    from ..claims.rules import VERDICTS

    for anchor in soup.select("a.anchor-link"):
        anchor.decompose()
    for strong in soup.find_all("strong", string=VERDICTS):
        strong["class"] = f"verdict {strong.string.replace(' ', '-')}"
