"""How fast faces are found and classified live, by detector and compared with the usual way, and which are found.

A video of 640 x 480 or 1280 x 720 with 1 or 10 faces that move in front of a photograph is read, searched and
classified frame by frame: by ``fer_lib.live`` with its own detector, with the tuned and with the paper's Haar cascade,
and as most repositories do it: Haar(1.3, 5) on the whole frame, each face through ``predict`` of the proposed CNN (its
weights do not affect its speed). The usual way runs in a separate process, so that ours has no TensorFlow. What is
compared is measured in turns, and ratios are taken within each turn. Faces and photograph are NASA's portrait of Eileen
Collins and a cup of coffee, which come with scikit-image. Then faces that are tilted, dark, blurred, partly hidden or
small, one in each frame.
"""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

import av
import cv2
import keeping
import live_ways
import measure

GOALS = {"all_p50_ms": 5, "all_p95_ms": 13}
"""Milliseconds for each frame of 640 x 480 with one face, on two idle cores."""
TIMES_USUAL = 8

NAMES = {
    "blaze": "ours, `blaze`",
    "tuned": "ours with the tuned Haar",
    "paper": "ours with the paper's Haar",
    "usual": "the usual way, Haar(1.3, 5) and Keras' `predict`",
}
"""The ways' names in the table."""


def found(speed: dict, way: str, faces: int) -> str:
    """How many of a frame's faces a way found, on average: "9.5 of 10"."""
    return f"{faces * speed[way]['faces_found']['median']:.3g} of {faces}"


def goals(size: str, faces: int, way: str, speed: dict) -> str:
    """The goals of a way at this size and number of faces, each met or missed by the median; "" if it has none."""
    if way == "blaze" and faces == 1 and size == next(iter(live_ways.SIZES)):
        met = {f"under {goal}": speed[way][name]["median"] < goal for name, goal in GOALS.items()}
    elif way == "usual" and faces == 1:
        met = {f"{TIMES_USUAL} times": speed["times_usual"]["median"] >= TIMES_USUAL}
    else:
        met = {}
    return "; ".join(f"{goal}: {'met' if reached else 'missed'}" for goal, reached in met.items())


def no_results(speeds: dict) -> str:
    """A sentence on the rows that are no result, because too few faces were found."""
    few = [
        f"{NAMES[way]} found {found(by_faces[str(faces)], way, faces)} at {size}"
        for size, by_faces in speeds.items()
        for faces in live_ways.FACES
        for way in NAMES
        if by_faces[str(faces)][way]["faces_found"]["median"] < live_ways.NEARLY_ALL
    ]
    return "A fast row that finds nothing is no result" + (f": {'; '.join(few)}." if few else "; each found its faces.")


def table(figures: dict) -> str:
    """The figures as Markdown: a row for each way, our stages folded away, and what each detector finds."""
    lines = ["| frame, faces | way | found | ms per frame | 95th percentile, ms | time relative to `blaze` | goals |"]
    lines.append("|---|---|--:|--:|--:|--:|---|")
    stages = ["| frame, faces | stage | ms per frame | 95th percentile, ms |", "|---|---|--:|--:|"]
    for size, by_faces in figures["speed"].items():
        for faces in live_ways.FACES:
            speed, many = by_faces[str(faces)], f"{size}, {faces}"
            for way, what in NAMES.items():
                half, most = (keeping.between(speed[way][name], ".3g") for name in GOALS)
                times = keeping.between(speed["times_usual"], ".1f") if way == "usual" else ""
                cells = [many, what, found(speed, way, faces), half, most, times, goals(size, faces, way, speed)]
                lines.append(f"| {' | '.join(cells)} |")
            for stage in ("read", "detect", "crop", "classify"):
                half, most = (keeping.between(speed["blaze"][f"{stage}_p{p}_ms"], ".2g") for p in (50, 95))
                stages.append(f"| {many} | {stage} | {half} | {most} |")
    lines += ["", no_results(figures["speed"])]
    summary = "<summary>The stages of ours with <code>blaze</code></summary>"
    lines += ["", f"<details>{summary}", "", *stages, "", "</details>"]
    under = figures["found"]
    names = list(next(iter(under["conditions"].values())))
    lines += ["", f"| faces found, % | {' | '.join(f'{name} | ms' for name in names)} |"]
    lines.append("|---|" + "--:|--:|" * len(names))
    for condition, by_name in under["conditions"].items():
        cells = (f"{100 * each['found']:.0f} [{100 * each['interval'][0]:.0f}, {100 * each['interval'][1]:.0f}] | "
                 f"{each['p50_ms']:.1f}" for each in by_name.values())  # fmt: skip
        lines.append(f"| {condition} | {' | '.join(cells)} |")
    alarms = " | | ".join(f"{under['false_alarms_a_picture'][name]:.2f}" for name in names)
    lines.append(f"| false alarms per picture without people | {alarms} | |")
    facts = (
        keeping.conditions(figures)
        + ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
        + f". Found: {under['faces']} of {under['data']}, one in each frame of 640 x 480, each searched like a "
        f"video's first frame; false alarms on {under['pictures']} pictures, among them a cat and coins with heads. "
        "All figures: [bench/live.json](../bench/live.json)."
    )
    return "\n".join([*lines, "", facts, ""])


def measured(scratch: Path, turns: int, frames: int) -> dict:
    """The figures of every way, on frames of both sizes with one face and with ten, and what each detector finds."""
    import onnxruntime

    versions = {"OpenCV": cv2.__version__, "ONNX Runtime": onnxruntime.__version__, "PyAV": av.__version__,
                "LiteRT": version("ai-edge-litert")}  # fmt: skip
    figures = {"versions": versions, "speed": {}}
    live_ways.classifier()  # without it, this raises before anything long
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        for size, (width, height) in live_ways.SIZES.items():
            figures["speed"][size] = {}
            for faces in live_ways.FACES:
                video = scratch / f"{faces}.mkv"
                live_ways.write_video(video, live_ways.frames(faces, frames, width, height))
                measure.say(size)
                figures["speed"][size][str(faces)] = live_ways.speed(video, faces, frames, pool, turns)
    return figures | {"found": live_ways.found_under(150)}


def main(arguments: list[str] | None = None) -> int:
    counts = {"turns": (3, 1, "how often each way is measured"), "frames": (60, 1, "of each video")}
    description = (
        "Measure how fast faces are found and classified live. FER2013=PATH or data/ brings faces for the detectors to "
        "find; else they are drawn."
    )
    return keeping.main("live", description, measured, table, counts, arguments)


if __name__ == "__main__":
    sys.exit(main())
