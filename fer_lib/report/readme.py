"""The computed parts of the project's ``README.md``: each stands between two marks that name who writes it."""

from .. import paths

FILE = paths.ROOT / "README.md"


def marks(writer: str) -> tuple[str, str]:
    """The lines between which the README has what ``writer`` ("bench/bench.py") computes."""
    return f"<!-- written by {writer} -->\n", f"<!-- end of {writer} -->\n"


def with_part(text: str, writer: str, part: str) -> str:
    """The README's text with a part between its marks. Raises ValueError where a mark is not there once."""
    first, last = marks(writer)
    for mark in (first, last):
        if text.count(mark) != 1:
            raise ValueError(f"{FILE}: found {text.count(mark)} times {mark.strip()!r}, expected once; put it back")
    before, rest = text.split(first)
    return before + first + part + last + rest.split(last)[1]


def put(writer: str, part: str) -> None:
    """Write a part into the README. Raises what ``with_part`` raises."""
    paths.replace_text(FILE, with_part(FILE.read_text(encoding="utf-8"), writer, part))
