"""Causes in words: a conclusion and what stands below it, and numbers as a sentence has them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ...evaluation import statistics


@dataclass
class Cause:
    """A cause as it is shown: the conclusion's sentences, then Markdown and captioned figures."""

    conclusion: list[str]
    body: list = field(default_factory=list)

    def show(self) -> None:
        """Display it in a notebook."""
        from IPython.display import Markdown, display

        first, *rest = self.conclusion
        display(Markdown("\n".join([f"**Conclusion.** {first}\n", *(f"- {sentence}" for sentence in rest)])))
        for part in self.body:
            display(Markdown(part) if isinstance(part, str) else part)


def percent(share: float) -> str:
    """ "60.58 %", which no line breaks."""
    return f"{100 * share:.2f}\u00a0%"


def points(found: tuple[float, float, float], unit: str = " points") -> str:
    """ "+34.20 points [+30.10, +38.00]": a difference of fractions with its interval, where there is one."""
    value, low, high = (100 * number for number in found)
    interval = "" if math.isnan(low) else f" [{low:+.2f},\u00a0{high:+.2f}]"
    return f"{value:+.2f}{unit}{interval}"


def cell(found: tuple[float, float, float]) -> str:
    """The same in a table whose head names the unit."""
    return points(found, "")


def counted(k: int, n: int) -> str:
    """ "6 of 6 [61, 100 %]": a count with Wilson's interval in percent."""
    low, high = statistics.wilson(k, n)
    return f"{k} of {n} [{100 * low:.0f},\u00a0{100 * high:.0f}\u00a0%]"


def between(differences: Iterable[float]) -> str:
    """ "+6.87 to +39.47 points": the range of differences of fractions."""
    ends = [f"{100 * end:+.2f}" for end in sorted(differences)]
    return " to ".join(dict.fromkeys([ends[0], ends[-1]])) + " points"


def joined(parts: Iterable[str]) -> str:
    """ "one, two and three"."""
    *first, last = list(parts)
    return f"{', '.join(first)} and {last}" if first else last


def number(count: int, what: str) -> str:
    """ "one seed", "3 seeds"."""
    return f"one {what}" if count == 1 else f"{count:,} {what}s"


def missing(names: Iterable[str], there: Iterable[list[dict]], what: str = "Not run yet") -> list[str]:
    """A sentence with the command that makes those experiments that no group ``there`` is of; [] where all are."""
    made = {group[0]["experiment"] for group in there}
    lacking = [name for name in dict.fromkeys(names) if name not in made]
    return [f"{what}: `make reproduce ONLY={','.join(lacking)}`.\n"] if lacking else []


def names_of(lines: list[dict]) -> list[str]:
    """What to call groups: their titles, with how they were computed where two have the same."""
    named = [line["title"] for line in lines]
    return [t if named.count(t) == 1 else f"{t} ({line['computed_by']})" for t, line in zip(named, lines)]


def one_a_model(lines: list[dict], size: Callable[[dict], float]) -> list[int]:
    """The places of the lines that a figure has room for: of each model the one of the largest size."""
    best: dict[str, int] = {}
    for place, line in enumerate(lines):
        if line["model"] not in best or size(line) > size(lines[best[line["model"]]]):
            best[line["model"]] = place
    return sorted(best.values())


def direction(interval: tuple[float, float, float]) -> int:
    """1 or -1 where a difference's interval leaves out 0 on that side; 0 where it does not, or there is none."""
    _, low, high = interval
    return 1 if low > 0 else -1 if high < 0 else 0
