"""Summary of each face from its first frame to its last: a table, a timeline, or a page with both."""

import base64
import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np

from ..data.emotions import FER2013
from ..files import readable, refused, writing
from .outputs import Output, told
from .pipeline import Face, Result

FINEST, LIMIT = 0.02, 20_000
"""Seconds for each point of a face's timeline, and how many points are kept for all faces together. If there would be
more, each point covers twice the time: memory stays bounded, however long a video is."""
PANELS = 20
"""Maximum number of faces drawn; if there are more, those seen in most frames."""
COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#F0E442", "#0072B2", "#56B4E9", "#BBBBBB")
HEAD = ("name", "track", "first", "last", "frames", *(f"share_{name}" for name in FER2013), "share_abstained",
        *(f"mean_{name}" for name in FER2013))  # fmt: skip
SENTENCE = "Each panel is one face. The height of a colour is the probability of that emotion at that time."
STYLE = """body { font: 16px/1.5 sans-serif; margin: 2em } img { max-width: 100% } table { border-collapse: collapse }
td, th { padding: 2px 8px; text-align: right; border-bottom: 1px solid #ddd } td:first-child { text-align: left }"""


@dataclass
class Seen:
    """One face: when it was seen, and what it showed.

    A frame counts for the time until the face's next frame; the last one counts for the mean of these times. totals:
    (15,): the seconds in which each emotion was predicted, those in which none was, and each emotion's probability
        times seconds. points: time in ``Summary.width`` -> (8,), the sums of the probabilities, and their number.
    """

    name: str
    moving: bool
    first: float
    last: float
    latest: np.ndarray
    frames: int = 1
    totals: np.ndarray = field(default_factory=lambda: np.zeros(2 * len(FER2013) + 1))
    points: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def usual(self) -> float:
        """Mean seconds from one frame to the next."""
        return max(0.0, self.last - self.first) / max(1, self.frames - 1)  # a broken clock may go back

    def row(self) -> list:
        """The line of the table, in the columns of ``HEAD``, without name and number."""
        totals = self.totals + (self.usual or 1) * self.latest
        shares = [round(float(share), 4) for share in totals / totals[: len(FER2013) + 1].sum()]
        return [round(self.first, 3), round(self.last, 3), self.frames, *shares]


class Summary:
    """All faces of all sources, by their track number.

    looked: the name of each source, or picture -> how many of its frames were looked at, and how many had no face.
    """

    def __init__(self):
        self.seen: dict[int, Seen] = {}
        self.looked: dict[str, list[int]] = {}
        self.width, self.kept = FINEST, 0

    def add(self, result: Result, moving: bool) -> None:
        looked = self.looked.setdefault(readable(result.name), [0, 0])
        looked[0] += 1
        looked[1] += not result.faces
        for face in result.faces:
            now = _shown(face)
            seen = self.seen.get(face.track)
            if seen is None:
                seen = self.seen[face.track] = Seen(readable(result.name), moving, result.time, result.time, now)
            else:
                seen.totals += max(0.0, result.time - seen.last) * seen.latest
                seen.latest, seen.last, seen.frames = now, result.time, seen.frames + 1
            place = int(result.time / self.width)
            self.kept += place not in seen.points
            seen.points[place] = seen.points.get(place, 0) + np.append(face.probabilities, 1)
        if self.kept > LIMIT + 4 * len(self.seen):  # a face needs one or two, however wide they are
            self._halve()

    def _halve(self) -> None:
        self.width *= 2
        for seen in self.seen.values():
            wider: dict[int, np.ndarray] = {}
            for place, sums in seen.points.items():
                wider[place // 2] = wider.get(place // 2, 0) + sums
            seen.points = wider
        self.kept = sum(len(seen.points) for seen in self.seen.values())

    def rows(self) -> list[list]:
        """The lines of the table: one for each face, then one for each source without any, of 0 frames."""
        faces = [[seen.name, track, *seen.row()] for track, seen in sorted(self.seen.items())]
        named = {seen.name for seen in self.seen.values()}
        none = [[name, *[""] * 3, 0, *[""] * (len(HEAD) - 5)] for name in self.looked if name not in named]
        return faces + none


def _shown(face: Face) -> np.ndarray:
    """What one second of this face adds to ``Seen.totals``."""
    predicted = np.zeros(len(FER2013) + 1)
    predicted[-1 if face.abstained else int(np.argmax(face.probabilities))] = 1
    return np.concatenate([predicted, face.probabilities])


@contextmanager
def summary_file(path: Path) -> Iterator[Output]:
    """A file about all faces, written at the end, completely or not at all: a table (``.csv``), a timeline (``.png``),
    or a page with both (``.html``)."""
    summary = Summary()
    try:
        yield summary.add
    finally:
        with told("--summary", path):
            writing.replace_bytes(path, KINDS[path.suffix.lower()](summary))


def check(path: Path) -> None:
    """Raise ValueError early for a file whose ending no summary has."""
    if path.suffix.lower() not in KINDS:
        raise refused("--summary", str(path), f"a name that ends in {', '.join(KINDS)}", "name such a file")


def _as_csv(summary: Summary) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([HEAD, *summary.rows()])
    return text.getvalue().encode()


def _as_png(summary: Summary) -> bytes:
    content = io.BytesIO()
    figure(summary).savefig(content, format="png", dpi=120)
    return content.getvalue()


def _as_html(summary: Summary) -> bytes:
    rows = "\n".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in summary.rows())
    head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in HEAD)
    title, picture = _title(summary), base64.b64encode(_as_png(summary)).decode()
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{escape(title)}</h1>
<p>{SENTENCE}</p>
<img src="data:image/png;base64,{picture}" alt="The probabilities of seven emotions over time, one panel for each face">
<p>One line for each face: when it was seen, in seconds; the share of that time in which each emotion was predicted, or
none (abstained); and the mean probability of each emotion. A file without any face has a line with 0 frames.</p>
<table><thead><tr>{head}</tr></thead><tbody>
{rows}
</tbody></table></body></html>
""".encode()


KINDS = {".csv": _as_csv, ".html": _as_html, ".png": _as_png}


def _title(summary: Summary) -> str:
    where = Path(next(iter(summary.looked))).name if len(summary.looked) == 1 else f"{len(summary.looked)} files"
    frames, none = (sum(counts) for counts in zip(*summary.looked.values())) if summary.looked else (0, 0)
    count = len(summary.seen)
    found = f"{count} face{'s' * (count > 1)} in {where}" if count else "No face was found"
    return f"{found}; {frames} frame{'s' * (frames != 1)} looked at, {none} without a face"


def figure(summary: Summary):
    """The timeline of each face's probabilities, one panel for each face, as a matplotlib figure."""
    from matplotlib.figure import Figure  # without pyplot: it needs no window system and leaves no state
    from matplotlib.patches import Patch

    often = sorted(summary.seen, key=lambda track: -summary.seen[track].frames)[:PANELS]
    title = f"{_title(summary)}{f', the {PANELS} seen in most frames' if len(summary.seen) > PANELS else ''}"
    drawn = Figure(figsize=(10, 1.5 + 1.25 * len(often)), layout="constrained")
    drawn.suptitle(f"{title}\n{SENTENCE}", x=0.01, ha="left", fontsize=10, parse_math=False)
    ends = {}
    for seen in summary.seen.values():
        ends[seen.name] = max(ends.get(seen.name, 0), seen.last + max(seen.usual, summary.width))
    for axes, track in zip(drawn.subplots(max(1, len(often)), squeeze=False)[:, 0], sorted(often)):
        seen = summary.seen[track]
        places = sorted(seen.points)
        means = np.array([seen.points[place][:-1] / seen.points[place][-1] for place in places])
        # Each height is kept until the next begins.
        times = [*(summary.width * place for place in places), seen.last + max(seen.usual, summary.width)]
        axes.stackplot(times, np.vstack([means, means[-1:]]).T, colors=COLOURS, step="post")
        row = dict(zip(HEAD[2:], seen.row()))
        most = max(FER2013, key=lambda emotion: row[f"mean_{emotion}"])
        abstained = f", {row['share_abstained']:.0%} of the time abstained" if row["share_abstained"] else ""
        axes.set_title(f"Face {track}, {seen.name}: mostly {most}{abstained}", loc="left", fontsize=9, parse_math=False)
        axes.set(xlim=(0, ends[seen.name]), ylim=(0, 1), yticks=(0, 0.5, 1), ylabel="probability")
        axes.set_xlabel("seconds" if seen.moving else "")
        if not seen.moving:
            axes.set_xticks([])
    if often:
        patches = [Patch(color=colour, label=name) for colour, name in zip(COLOURS, FER2013)]
        drawn.legend(handles=patches, loc="outside lower center", ncols=len(FER2013), frameon=False)
    else:
        drawn.axes[0].set_axis_off()
    return drawn
