"""How fast faces are found and classified live, beside the usual way, and what the tuned detector costs in small faces.

A video of 640 x 480 with 1 or 10 faces that move before a photograph, read, searched and classified frame by frame: by
``fer_lib.live`` with its tuned detector, with the paper's, and as most repositories do it: Haar(1.3, 5) on the whole
frame, each face through ``predict`` of the proposed CNN (its weights do not matter for its speed). That one lives in a
process of its own, so that no TensorFlow is in ours. What is compared is measured in turns, and a ratio is taken within
each turn. Faces and photograph are NASA's portrait of Eileen Collins and a cup of coffee, which come with scikit-image.
"""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import av
import cv2
import keeping
import live_ways
from keeping import line

FACES = (1, 10)
GOAL = 8


NAMES = {
    "usual": "the usual way, Haar(1.3, 5) and Keras' `predict`",
    "paper": "ours with the paper's Haar",
    "tuned": "ours, tuned",
}
"""Of the ways, as the table calls them."""


def found(speed: dict, way: str, faces: int) -> str:
    """How many of the faces of a frame a way found, in the mean: "9.5 of 10"."""
    return f"{faces * speed[way]['faces_found']['median']:.3g} of {faces}"


def no_results(speeds: dict) -> str:
    """A sentence on the rows that say nothing, because too few of the faces were found."""
    few = [
        f"{NAMES[way]} found {found(speeds[str(faces)], way, faces)}"
        for faces in FACES
        for way in NAMES
        if speeds[str(faces)][way]["faces_found"]["median"] < live_ways.NEARLY_ALL
    ]
    return "A fast row that finds nothing is no result" + (f": {'; '.join(few)}." if few else "; each found its faces.")


def table(figures: dict) -> str:
    """The figures as Markdown."""
    lines = [*keeping.HEAD]
    for faces in FACES:
        speed, many = figures["speed"][str(faces)], f"{faces} face{'s' * (faces > 1)}"
        for way, what in NAMES.items():
            lines.append(
                line(f"{many}, found {found(speed, way, faces)}: {what}, ms a frame", speed[way]["all_p50_ms"], ".3g")
            )
            lines.append(line("... slowest 5 % from", speed[way]["all_p95_ms"], ".3g"))
        for stage in ("read", "detect", "crop", "classify"):
            lines.append(line(f"... of ours, tuned: {stage}", speed["tuned"][f"{stage}_p50_ms"], ".2g"))
            lines.append(line("... slowest 5 % from", speed["tuned"][f"{stage}_p95_ms"], ".2g"))
        goal = (f"{GOAL}", lambda x: x >= GOAL) if faces == 1 else ()
        lines.append(line("the usual way takes so many times longer", speed["times_usual"], ".1f", *goal))
    lines += ["", no_results(figures["speed"])]
    small = figures["small_faces"]
    lines += ["", f"| side of the face in pixels | {' | '.join(map(str, small['sizes']))} | false alarms a frame |"]
    lines.append("|---|" + "--:|" * (len(small["sizes"]) + 1))
    for name, rates in small["found"].items():
        shares = " | ".join(f"{rate:.0%}" for rate in rates)
        lines.append(f"| {name}, found | {shares} | {small['false_alarms_a_frame'][name]:.2f} |")
    facts = (
        keeping.conditions(figures)
        + ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
        + f". Frames of {live_ways.WIDTH} x {live_ways.HEIGHT}. Small faces: {small['faces']} of {small['data']}, in "
        "the first frame of a video. All figures: [bench/live.json](bench/live.json)."
    )
    return "\n".join([*lines, "", facts, ""])


def measured(scratch: Path, turns: int, frames: int) -> dict:
    """The figures of every way, with one face and with ten, and how many small faces each detector finds."""
    import onnxruntime

    versions = {"OpenCV": cv2.__version__, "ONNX Runtime": onnxruntime.__version__, "PyAV": av.__version__}
    figures = {"versions": versions, "speed": {}}
    live_ways.classifier()  # where there is none, this raises before anything long
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        for faces in FACES:
            video = scratch / f"{faces}.mkv"
            live_ways.write_video(video, live_ways.frames(faces, frames))
            figures["speed"][str(faces)] = live_ways.speed(video, faces, frames, pool, turns)
        figures["small_faces"] = live_ways.detection_rates(200)
    return figures


def main(arguments: list[str] | None = None) -> int:
    counts = {"turns": (5, 1, "how often each way is measured"), "frames": (60, 1, "of each video")}
    description = (
        "Measure how fast faces are found and classified live. FER2013=PATH or data/ brings faces for the detectors to "
        "find; else they are drawn."
    )
    return keeping.main("live", description, measured, table, counts, arguments)


if __name__ == "__main__":
    sys.exit(main())
