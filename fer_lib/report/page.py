"""An executed notebook as one HTML page that a person browses, offline: no code, but pictures, style and script inside.

``page.css`` and ``page.js`` stand beside this file. The script sorts and filters tables and switches between light and
dark; where it does not run, everything is there to be read.
"""

from __future__ import annotations

import re
from pathlib import Path

STYLE, SCRIPT = (Path(__file__).with_name(f"page.{kind}") for kind in ("css", "js"))
VERDICT = re.compile("<strong>(reproduced|not reproduced|inconclusive|not testable)</strong>")


def to_html(notebook: Path, page: Path, without: str = "") -> None:
    """Write an executed notebook as one HTML file that needs nothing else.

    The contents at its side come from its headings. ``without``: the tag of cells whose outputs are left out. Raises
    FileNotFoundError where there is no such notebook.
    """
    from nbconvert import HTMLExporter  # here, so that tables can be made where there is no Jupyter
    from traitlets.config import Config

    leave_out = {"TagRemovePreprocessor": {"enabled": True, "remove_all_outputs_tags": {without}}} if without else {}
    exporter = HTMLExporter(
        config=Config(leave_out),
        template_name="basic",
        exclude_input=True,
        exclude_output_prompt=True,
        embed_images=True,
    )
    body, _ = exporter.from_filename(str(notebook))
    body = re.sub(r'<a class="anchor-link".*?</a>', "", body)
    body = re.sub(r' id="cell-id=[^"]*"', "", body)  # some are random, and would change a page whose content did not
    body = re.sub(r"<blockquote>(?=\s*<p>⚠)", '<blockquote class="warning">', body)
    body = VERDICT.sub(lambda found: f'<strong class="verdict {found[1].replace(" ", "-")}">{found[1]}</strong>', body)
    body = _tables_in_boxes(body)
    headings = re.findall(r'<h([123])[^>]* id="([^"]*)"[^>]*>(.*?)</h', body, re.DOTALL)
    title = next((re.sub("<[^>]*>", "", text) for level, _, text in headings if level == "1"), notebook.stem)
    links = "\n".join(
        f'<a class="h{level}" href="#{place}">{text}</a>' for level, place, text in headings if level > "1"
    )
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f'<link rel="icon" href="data:,">\n<style>\n{STYLE.read_text(encoding="utf-8")}</style>\n</head>\n<body>\n'
        f'<nav aria-label="Contents">\n{links}\n</nav>\n<main>\n{body}\n</main>\n'
        f"<script>\n{SCRIPT.read_text(encoding='utf-8')}</script>\n</body>\n</html>\n",
        encoding="utf-8",
    )


def _tables_in_boxes(body: str) -> str:
    """Each table in a box of its own that scrolls, so that a wide one never widens the page; called by its heading."""
    parts, heading = re.split(r"(<h[1-4][^>]*>.*?</h[1-4]>|<table.*?</table>)", body, flags=re.DOTALL), ""
    for k, part in enumerate(parts):
        if part.startswith("<h"):
            heading = re.sub("<[^>]*>", "", part)
        elif part.startswith("<table"):
            kind = "scroll verdicts" if 'class="verdict' in part else "scroll"
            parts[k] = f'<div class="{kind}" role="region" aria-label="Table: {heading}" tabindex="0">{part}</div>'
    return "".join(parts)
