"""The computed parts of the README and of ``docs/``: each stands between two marks that name who writes it."""

from pathlib import Path

from .. import paths
from ..files import writing

README = paths.ROOT / "README.md"
RESULTS = paths.ROOT / "docs" / "results.md"
RELATED = paths.ROOT / "docs" / "related.md"
BENCHMARKS = paths.ROOT / "docs" / "benchmarks.md"
ROBUSTNESS = paths.ROOT / "docs" / "robustness.md"
CLUSTER = paths.ROOT / "docs" / "cluster.md"


def marks(writer: str) -> tuple[str, str]:
    """The lines between which a page has what ``writer`` ("bench/bench.py") computes."""
    return f"<!-- written by {writer} -->\n", f"<!-- end of {writer} -->\n"


def with_part(file: Path, writer: str, part: str) -> str:
    """A page's text with ``part`` between the writer's marks. Raises ValueError where a mark is not there once."""
    text, (first, last) = file.read_text(encoding="utf-8"), marks(writer)
    for mark in (first, last):
        if text.count(mark) != 1:
            raise ValueError(f"{file}: found {text.count(mark)} times {mark.strip()!r}, expected once; put it back")
    before, rest = text.split(first)
    return before + first + part + last + rest.split(last)[1]


def put(file: Path, writer: str, part: str) -> None:
    """Write a part into its page. Raises what ``with_part`` raises."""
    writing.replace_text(file, with_part(file, writer, part))
