"""Markdown tables, for a page and for a terminal, and what studies are called there."""

import re
from collections.abc import Iterable
from itertools import pairwise

STUDIES = {
    "saravanan2019": "Saravanan et al. 2019", "vorontsov2018": "Vorontsov & Averkin 2018", "related": "Related work",
    "ours": "Ours",
}  # fmt: skip

LONGEST_NUMBER = 40
"""Characters of a number with its intervals; a longer cell that begins with a digit is a sentence."""

SHOWN = 20
"""Of more runs of one experiment than this a page shows the first by themselves, and the others together."""


def study(name: str) -> str:
    """The study that an experiment or a claim ("saravanan2019/accuracy") is of, as a reader knows it."""
    first = name.split("/")[0]
    return STUDIES.get(first, first)


def table(lines: list[dict], padded: bool = False) -> str:
    """A Markdown table of dicts with equal keys; columns of numbers, dashes and bracketed intervals stand right.

    ``padded`` columns stand straight in a terminal too.
    """
    if not lines:
        return ""
    rows = [[str(cell).replace("|", "\\|") for cell in line.values()] for line in lines]
    columns = [_column(column, padded) for column in zip(lines[0], *rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in zip(*columns)) + "\n"


def _column(cells: tuple[str, ...], padded: bool) -> list[str]:
    width = max(4, *map(len, cells)) if padded else 0
    rule = "-" * max(width - 1, 3)
    if all(re.match(r"[-+]?\d|[–[]|$", cell) and len(cell) <= LONGEST_NUMBER for cell in cells[1:]):
        return [cells[0].rjust(width), f"{rule}:", *(cell.rjust(width) for cell in cells[1:])]
    return [cells[0].ljust(width), f":{rule}", *(cell.ljust(width) for cell in cells[1:])]


def interval(ends: tuple[float, float], sign: str = "") -> str:
    """ "[17.21, 17.53]": two fractions in percent, which no line break parts."""
    low, high = (format(100 * end, f"{sign}.2f") for end in ends)
    return f"[{low},\u00a0{high}]"


def capitalised(text: str) -> str:
    """The text with a capital letter at its start; all others stay, as those of "seeds on JAX" have to."""
    return text[:1].upper() + text[1:]


def joined(parts: Iterable[str]) -> str:
    """ "one, two and three"."""
    *first, last = list(parts)
    return f"{', '.join(first)} and {last}" if first else last


def seed_list(seeds: Iterable[int]) -> str:
    """Seeds in words, more than ``SHOWN`` of them by their ranges: "0 to 99, 103"."""
    ordered = sorted(set(seeds))
    if len(ordered) <= SHOWN:
        return ", ".join(map(str, ordered))
    breaks = [k for k, (one, next_one) in enumerate(pairwise(ordered), 1) if next_one != one + 1]
    ranges = [ordered[start:end] for start, end in pairwise([0, *breaks, len(ordered)])]
    return ", ".join(f"{some[0]} to {some[-1]}" if len(some) > 1 else f"{some[0]}" for some in ranges)
