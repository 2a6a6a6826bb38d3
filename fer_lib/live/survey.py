"""What a face's size, light, sharpness, tilt and cover do to its detection and to the prediction of its emotion.

Faces of a data set are put into frames of 640 x 480 pixels, one a frame, and one thing is changed at a time. A picture
of FER2013 ends at the face's edge, so that a detector misses the hair and neck it knows: the rates show what changes,
and are lower than they would be in a room.
"""

import time

import cv2
import numpy as np

from ..data import Faces
from ..evaluation import records
from . import detectors
from .boxes import MARGIN, crops, overlap

WIDTH, HEIGHT = 640, 480
USUAL = {"size": 160, "light": 1.0, "blur": 0.0, "hidden": 0.0, "tilt": 0}
LEVELS = {
    "size": (32, 48, 64, 96, 128, 160, 256),
    "light": (0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0),
    "blur": (0.0, 2.0, 4.0, 6.0, 9.0),
    "hidden": (0.0, 0.15, 0.3, 0.45, 0.6),
    "tilt": (0, 10, 20, 30, 45),
}
"""What is changed -> to what, all else as in ``USUAL``: the side of the face's picture in pixels; what the light is
multiplied by, white staying white; a Gaussian blur's standard deviation in pixels, where the face is 160; the share of
the picture that is covered in one grey, from below, as by a scarf; degrees of its turn about its middle."""

SAME = 0.3
"""Overlap from which on a box is held to be the face's (``boxes.overlap``)."""


def compose(
    face: np.ndarray, rng: np.random.Generator, size: int, light: float, blur: float, hidden: float, tilt: float
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """A grey frame, (480, 640) uint8, with a face, (48, 48) uint8, in it, and the face's box: left, top, width, height.

    rng: samples the place and the soft greys behind it, before anything else is done. The others: see ``LEVELS``.
    """
    left, top = int(rng.integers(WIDTH - size + 1)), int(rng.integers(HEIGHT - size + 1))
    greys = rng.uniform(60, 190, (6, 8)).astype(np.float32)
    behind = cv2.resize(greys, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    picture = face.copy()
    if hidden:
        picture[round((1 - hidden) * len(face)) :] = 110
    how = cv2.INTER_CUBIC if size > len(face) else cv2.INTER_AREA
    picture = cv2.resize(picture, (size, size), interpolation=how).astype(np.float32)
    mask = np.ones((size, size), np.float32)
    if tilt:
        turn = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), tilt, 1.0)
        picture, mask = (cv2.warpAffine(each, turn, (size, size)) for each in (picture, mask))
    place = np.s_[top : top + size, left : left + size]
    behind[place] = mask * picture + (1 - mask) * behind[place]
    if blur:
        behind = cv2.GaussianBlur(behind, (0, 0), blur)
    return cv2.convertScaleAbs(np.maximum(behind, 0), alpha=light), (left, top, size, size)  # white stays white


def predictions(faces: Faces, rows: np.ndarray, classifier, detector: str, seed: int = 0, **changed) -> dict:
    """The emotions predicted of each row's face when it is composed with ``changed`` over ``USUAL``.

    Returns arrays of len(rows): first and second, uint8, the two likeliest emotions of a cut at the face's true place;
    found_first, uint8, the likeliest of the cut where a detector found the face at first sight, ``records.MISSED``
    where it did not; and seconds, float32, from the frame to the predictions of all that was found. A row's place and
    background depend on seed and row.
    """
    # Each frame is as a video's first: nothing is known of a face before.
    find = detectors.Tuned(every=1) if detector == "tuned" else detectors.detector(detector)
    predicted = {name: np.empty(len(rows), np.uint8) for name in ("first", "second", "found_first")}
    predicted["seconds"] = np.empty(len(rows), np.float32)
    for k, row in enumerate(rows):
        frame, box = compose(faces.images[row], np.random.default_rng((seed, int(row))), **USUAL | changed)
        colour = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
        start = time.perf_counter()
        boxes = find(colour, frame)
        of_found = classifier.classify(crops(frame, boxes, classifier.side)).argmax(axis=1)
        predicted["seconds"][k] = time.perf_counter() - start
        shared = [overlap(each, box) for each in boxes]
        found = max(shared, default=0.0) > SAME
        predicted["found_first"][k] = of_found[int(np.argmax(shared))] if found else records.MISSED
        left, top, size, _ = box
        side = size / MARGIN
        true = (left + (size - side) / 2, top + (size - side) / 2, side, side)
        order = np.argsort(-classifier.classify(crops(frame, [true], classifier.side))[0], kind="stable")
        predicted["first"][k], predicted["second"][k] = order[:2]
    return predicted


def survey(
    faces: Faces, rows: np.ndarray, classifier, detector: str = "tuned", seed: int = 0, progress=print
) -> tuple[list, dict]:
    """Every level of every condition: a line each, and the predictions of each row.

    Lines: condition, level, usual (whether nothing is changed), n, and how many of n are found, right and
    right_of_found (``records.recognised``). Arrays, their first axis following the lines: first, second and
    found_first, (levels, n) uint8, and seconds, (levels, n) float32, as ``predictions`` has them.
    ``progress`` takes one line of text a level, with the time left.
    """
    predicted, known, started = [], {}, time.monotonic()
    levels = [(condition, level) for condition, levels in LEVELS.items() for level in levels]
    for condition, level in levels:
        key = None if level == USUAL[condition] else (condition, level)  # None: the same frames in every condition
        if key not in known:
            known[key] = predictions(faces, rows, classifier, detector, seed, **{condition: level})
        here = known[key]
        predicted.append(here)
        found = (here["found_first"] != records.MISSED).mean()
        right = (here["first"] == faces.labels[rows]).mean()
        left = (time.monotonic() - started) / len(predicted) * (len(levels) - len(predicted))
        progress(
            f"level {len(predicted):2d}/{len(levels)}  {condition} {level:g}  found {found:.2f}  right {right:.2f}  "
            f"{time.strftime('%M:%S', time.gmtime(left))} left"
        )
    arrays = {name: np.stack([each[name] for each in predicted]) for name in predicted[0]}
    lines = []
    for k, (condition, level) in enumerate(levels):
        right = records.recognised(arrays | {"labels": faces.labels[rows]}, k)
        counts = {"n": len(rows)} | {name: int(each.sum()) for name, each in right.items()}
        lines.append({"condition": condition, "level": level, "usual": level == USUAL[condition], **counts})
    return lines, arrays


def by_emotion(labels: np.ndarray, first: np.ndarray, second: np.ndarray, emotions: tuple[str, ...]) -> list[dict]:
    """For each emotion of (n,) labels: emotion, n; first and either, the shares of its faces whose likeliest
    emotion it is, and one of whose two likeliest it is, each (share, low, high)."""
    lines = []
    for code, emotion in enumerate(emotions):
        here = labels == code
        once, again = (int((predicted[here] == code).sum()) for predicted in (first, second))
        counts = {"n": int(here.sum()), "first": once, "either": once + again}
        shares = {name: records.share(counts, name) for name in ("first", "either")}
        lines.append({"emotion": emotion, "n": counts["n"], **shares})
    return lines
