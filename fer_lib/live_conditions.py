"""What a face's size, light, sharpness, tilt and what hides it do to finding it and to telling its emotion.

Faces of a data set are put into frames of 640 x 480 pixels, one a frame, and one thing is changed at a time. A picture
of FER2013 ends at the face's edge, so that a detector misses the hair and neck it knows: rates tell of what changes,
and are lower than they would be in a room.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from . import statistics
from .datasets import Faces
from .live import crops, detectors
from .live.pipeline import MARGIN

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
"""Overlap from which on a box is held to be the face's (``detectors.overlap``)."""


def compose(
    face: np.ndarray,
    rng: np.random.Generator,
    size: int = 160,
    light: float = 1.0,
    blur: float = 0.0,
    hidden: float = 0.0,
    tilt: float = 0,
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """A grey frame, (480, 640) uint8, with a face, (48, 48) uint8, in it, and the face's box: left, top, width, height.

    rng: draws the place and the soft greys behind it, before anything else is done. The others: see ``LEVELS``.
    """
    left, top = int(rng.integers(WIDTH - size + 1)), int(rng.integers(HEIGHT - size + 1))
    behind = cv2.resize(rng.uniform(60, 190, (6, 8)), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    picture = face.copy()
    if hidden:
        picture[round((1 - hidden) * len(face)) :] = 110
    how = cv2.INTER_CUBIC if size > len(face) else cv2.INTER_AREA
    picture = cv2.resize(picture, (size, size), interpolation=how).astype(np.float64)
    mask = np.ones((size, size))
    if tilt:
        turn = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), tilt, 1.0)
        picture, mask = (cv2.warpAffine(each, turn, (size, size)) for each in (picture, mask))
    place = np.s_[top : top + size, left : left + size]
    behind[place] = mask * picture + (1 - mask) * behind[place]
    if blur:
        behind = cv2.GaussianBlur(behind, (0, 0), blur)
    return np.clip(np.rint(light * behind), 0, 255).astype(np.uint8), (left, top, size, size)


def answers(faces: Faces, rows: np.ndarray, classifier, detector: str, seed: int = 0, **changed) -> dict:
    """What becomes of each row's face when it is composed with ``changed`` over ``USUAL``.

    Returns arrays of len(rows): found, bool, whether the detector's first look finds it; found_classes, (n, 7), the
    emotions from the likeliest on, of what the detector cut out, -1 where it found nothing; and classes, the same of a
    cut at the face's true place, as if the detector were perfect. A row's place and background depend on seed and row.
    """
    # Each frame is as a video's first: nothing is known of a face before.
    find = detectors.Tuned(every=1) if detector == "tuned" else detectors.detector(detector)
    orders = {"classes": [], "found_classes": []}
    for row in rows:
        frame, box = compose(faces.images[row], np.random.default_rng((seed, int(row))), **USUAL | changed)
        boxes = find(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR), frame)
        shared = [detectors.overlap(each, box) for each in boxes]
        left, top, size, _ = box
        side = size / MARGIN
        true = (left + (size - side) / 2, top + (size - side) / 2, side, side)
        found = [boxes[int(np.argmax(shared))]] if max(shared, default=0.0) > SAME else []
        order = np.argsort(-classifier.classify(crops(frame, [true, *found], classifier.side)), axis=1, kind="stable")
        orders["classes"].append(order[0])
        orders["found_classes"].append(order[1] if found else np.full(len(classifier.emotions), -1))
    result = {name: np.array(order) for name, order in orders.items()}
    return result | {"found": result["found_classes"][:, 0] >= 0}


def report(faces: Faces, rows: np.ndarray, classifier, detector: str = "tuned") -> Iterator[dict]:
    """One line for each level of each condition: condition, level, n; found, right_of_found and right, each a share
    with its Wilson interval, (share, low, high). ``right`` is of all faces cut at their true place, ``right_of_found``
    of those that were found, cut where they were found (NaN where none was).
    """
    labels = faces.labels[rows]
    for condition, levels in LEVELS.items():
        for level in levels:
            told = answers(faces, rows, classifier, detector, **{condition: level})
            found, right = told["found"], told["classes"][:, 0] == labels
            of_found = (told["found_classes"][:, 0] == labels)[found]
            yield {
                "condition": condition, "level": level, "n": len(rows),
                "found": _share(found), "right_of_found": _share(of_found), "right": _share(right),
            }  # fmt: skip


def by_emotion(faces: Faces, rows: np.ndarray, told: dict) -> list[dict]:
    """For each emotion, of ``answers``: emotion, n; first and second, the shares of its faces, cut at their true place,
    that get it as the likeliest emotion, and as one of the two likeliest, each (share, low, high)."""
    labels, lines = faces.labels[rows], []
    for code, emotion in enumerate(faces.emotions):
        order = told["classes"][labels == code]
        first, either = order[:, 0] == code, (order[:, :2] == code).any(1)
        lines.append({"emotion": emotion, "n": len(order), "first": _share(first), "second": _share(either)})
    return lines


def _share(right: np.ndarray) -> tuple[float, float, float]:
    if not len(right):
        return (float("nan"),) * 3
    return float(right.mean()), *statistics.wilson(int(right.sum()), len(right))
