"""How fast AffectNet is read: generated pictures of both layouts, compared with a plain loop of cv2.imread.

The loop does in one process what notebooks do: read the whole picture, crop the face, resize it, keep it in a list.
Ours reads the same annotations, crops the faces, writes and hashes the cache. Every reading is a separate process with
its own peak memory. What is compared is measured in turns, and ratios are taken within each turn.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
import warnings
from pathlib import Path

import keeping
import measure
from keeping import line

from fer_lib.data import affectnet, affectnet_files, drawn_affectnet

GOAL = 1.7
LIMIT = 2000  # MB


def plain(tree: Path, side: int, colour: bool) -> int:
    """The faces of all rows with an emotion, one after the other, each picture decoded whole. Returns how many."""
    import cv2
    import numpy as np

    annotations = affectnet_files.read(tree)
    faces = []
    for picture, (x, y, width, height), code in zip(annotations.pictures, annotations.boxes, annotations.codes):
        if code < 7:
            image = cv2.imread(str(tree / picture), cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE)
            image = image[y : y + height, x : x + width] if width else image
            faces.append(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA))
    return len(np.stack(faces))


def ours(tree: Path, side: int, colour: bool) -> int:
    """``affectnet.load`` into an empty cache."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return len(affectnet.load(tree, side=side, colour=colour, tests="official"))


def timed(reader, tree: Path, side: int, colour: bool) -> dict:
    """Pictures a second of a reader, and how much its process's peak memory grew, in MB."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    count = reader(tree, side, colour)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"rate": count / seconds, "count": count, "peak": peak / 1024, "grown": (peak - before) / 1024}


def layout_figures(tree: Path, cache: Path, side: int, colour: bool, turns: int) -> dict:
    """Both readers in turns on one tree. Raises RuntimeError if they do not read the same number of faces."""
    figures = {"plain_images_per_s": [], "images_per_s": [], "times_plain": [], "peak_mb": [], "plain_peak_mb": []}
    for turn in range(turns):
        shutil.rmtree(cache, ignore_errors=True)
        one, other = (measure.apart(timed, reader, tree, side, colour) for reader in (plain, ours))
        if one["count"] != other["count"]:
            raise RuntimeError(f"{tree.name}: found {one['count']} and {other['count']} faces, expected the same")
        new = one["rate"], other["rate"], other["rate"] / one["rate"], other["peak"], one["peak"]
        for values, value in zip(figures.values(), new, strict=True):
            values.append(value)
        measure.say(
            f"{tree.name}, {'colour' if colour else 'grey'}, {turn + 1}/{turns}: {new[1]:.0f} images/s, "
            f"the plain loop {new[0]:.0f}; peak {new[3]:.0f} MB"
        )
    return {"rows": other["count"]} | {name: measure.spread(values) for name, values in figures.items()}


def table(figures: dict) -> str:
    """The figures as Markdown."""
    lines = [*keeping.HEAD]
    for name, layout in figures["layouts"].items():
        plain, times = layout["plain_images_per_s"], layout["times_plain"]
        lines += [
            line(f"{name}: cv2.imread and cv2.resize, one process, images/s", plain, ".4g"),
            line(f"{name}: `affectnet.load()`, first time, images/s", layout["images_per_s"], ".4g"),
            line(f"{name}: ours relative to the loop", times, ".4g", f"{GOAL}", lambda x: x >= GOAL),
            line(f"{name}: peak memory, MB", layout["peak_mb"], ".4g", f"under {LIMIT}", lambda x: x < LIMIT, "max"),
        ]
    facts = keeping.conditions(figures) + (
        f"OpenCV {figures['opencv']}; {figures['pictures']:,} generated pictures of each layout, in memory already. "
        "All figures: [bench/ingest.json](../bench/ingest.json)."
    )
    return "\n".join([*lines, "", facts, ""])


def measured(scratch: Path, pictures: int, turns: int) -> dict:
    """The figures of both layouts, grey and in colour."""
    import cv2

    os.environ["FER_CACHE"] = str(scratch / "cache")  # for the processes that follow
    validation = pictures // 20
    for layout in ("newer", "older"):
        measure.say(f"drawing {pictures:,} pictures of the {layout} layout")
        drawn_affectnet.write(scratch / layout, layout, pictures - validation, validation, traps=("no header",))
    layouts = {}
    for layout, colour in (("newer", False), ("newer", True), ("older", False), ("older", True)):
        name = f"{layout} layout, {'colour' if colour else 'grey'}"
        layouts[name] = layout_figures(scratch / layout, scratch / "cache", 48, colour, turns)
    return {"opencv": cv2.__version__, "pictures": pictures, "layouts": layouts}


def main(arguments: list[str] | None = None) -> int:
    counts = {
        "pictures": (20_000, 100, "of each layout"),
        "turns": (5, 1, "how often each is measured"),
    }
    description = "Measure how fast AffectNet is read, on generated pictures."
    return keeping.main("ingest", description, measured, table, counts, arguments)


if __name__ == "__main__":
    sys.exit(main())
