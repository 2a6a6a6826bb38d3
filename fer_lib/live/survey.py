"""How size, light, sharpness, rotation and occlusion of a face affect its detection and the prediction of its emotion.

Faces of a data set are put into frames of 640 x 480 pixels, one in each, and one condition is changed at a time. All
detectors get the same frames. FER2013's pictures end at the face's edge, without the hair and neck that detectors
expect: the rates show the effect of each condition, but are lower than in a real room.
"""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial

import cv2
import numpy as np

from ..data import Faces
from ..evaluation import records
from ..files import pictures
from . import detectors
from .boxes import MARGIN, crops, overlap

WIDTH, HEIGHT = 640, 480
USUAL = {
    "size": 160, "light": 1.0, "blur": 0.0, "hidden": 0.0, "covered": 0.0, "tilt": 0, "yaw": 0, "detail": 1.0,
    "jpeg": 100,
}  # fmt: skip
LEVELS = {
    "size": (32, 48, 64, 96, 160, 256),
    "light": (0.05, 0.1, 0.25, 0.5, 1.0, 2.0),
    "blur": (0.0, 2.0, 4.0, 6.0, 9.0),
    "hidden": (0.0, 0.15, 0.3, 0.45, 0.6),
    "covered": (0.0, 0.15, 0.3, 0.45),
    "tilt": (0, 20, 30, 45, 60),
    "yaw": (0, 30, 45, 60),
    "detail": (0.125, 0.25, 0.5, 1.0),
    "jpeg": (5, 10, 30, 100),
}
"""Condition -> its levels, everything else as in ``USUAL``: the side of the face's picture in pixels; the factor of the
light, white stays white; the standard deviation of a Gaussian blur in pixels, for a face of 160; the share of the
picture that is covered in one grey from below, as by a scarf; the share of its width that another face covers; its
rotation about its middle in degrees; its turn away from the camera in degrees, as a flat picture in perspective; the
share of the frame's width and height that a poor camera keeps; the frame's JPEG quality, 100 for none."""

SAME = 0.3
"""From this overlap on, a box counts as the face's (``boxes.overlap``)."""
DISTANCE = 2.5
"""Distance from which a picture that is turned away is seen, in multiples of its side."""


def compose(
    face: np.ndarray, rng: np.random.Generator, size: int, light: float, blur: float, hidden: float, covered: float,
    tilt: float, yaw: float, detail: float, jpeg: int, other: np.ndarray | None = None,
) -> tuple[np.ndarray, tuple[int, int, int, int]]:  # fmt: skip
    """A grey frame, (480, 640) uint8, with a face, (48, 48) uint8, in it, and the face's box: left, top, width, height.

    rng: samples the place and the soft greys behind it, before anything else. other: the face that covers it if
    ``covered``. The other arguments: see ``LEVELS``.
    """
    left, top = int(rng.integers(WIDTH - size + 1)), int(rng.integers(HEIGHT - size + 1))
    greys = rng.uniform(60, 190, (6, 8)).astype(np.float32)
    frame = cv2.resize(greys, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    picture = face.copy()
    if hidden:
        picture[round((1 - hidden) * len(face)) :] = 110
    picture, mask = _enlarged(picture, size), np.ones((size, size), np.float32)
    if tilt or yaw:
        view = _yaw(size, yaw)
        if tilt:
            view = np.vstack((cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), tilt, 1.0), (0, 0, 1))) @ view
        picture, mask = (cv2.warpPerspective(each, view, (size, size)) for each in (picture, mask))
    place = np.s_[top : top + size, left : left + size]
    frame[place] = mask * picture + (1 - mask) * frame[place]
    if covered:
        beside = left + round((1 - covered) * size)
        if beside + size > WIDTH:  # no room on the right
            beside = left - round((1 - covered) * size)
        frame[top : top + size, max(0, beside) : beside + size] = _enlarged(other, size)[:, max(0, -beside) :]
    if blur:
        frame = cv2.GaussianBlur(frame, (0, 0), blur)
    frame = cv2.convertScaleAbs(np.maximum(frame, 0), alpha=light)  # white stays white
    if detail < 1:
        small = cv2.resize(frame, None, fx=detail, fy=detail, interpolation=cv2.INTER_AREA)
        frame = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    if jpeg < 100:
        frame = pictures.decode(pictures.encode(frame, ".jpg", jpeg), "frame", colour=False)
    return frame, (left, top, size, size)


def _enlarged(face: np.ndarray, size: int) -> np.ndarray:
    how = cv2.INTER_CUBIC if size > len(face) else cv2.INTER_AREA
    return cv2.resize(face, (size, size), interpolation=how).astype(np.float32)


def _yaw(size: int, degrees: float) -> np.ndarray:
    """The (3, 3) matrix that shows a square picture as if rotated about its vertical middle line."""
    half, turn = (size - 1) / 2, np.radians(degrees)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float32)
    away = 2 * DISTANCE / (2 * DISTANCE + corners[:, 0] * np.sin(turn))  # how much smaller the farther side looks
    seen = np.stack((corners[:, 0] * np.cos(turn) * away, corners[:, 1] * away), 1).astype(np.float32)
    return cv2.getPerspectiveTransform(half * (corners + 1), half * (seen + 1))


def predictions(
    faces: Faces, rows: np.ndarray, classifier, names: tuple[str, ...], seed: int = 0, **changed
) -> dict[str, np.ndarray]:
    """The predictions for each row's face, composed with ``changed`` over ``USUAL``.

    names: of the detectors. Returns first and second, (len(rows),) uint8, the two most likely emotions for a crop at
    the face's true place; and by detector, (len(names), len(rows)): found_first, uint8, the most likely emotion for the
    detector's crop, ``records.MISSED`` if it did not find the face at first sight; and seconds, float32, from the frame
    to the predictions for all that it found. A row's place and background depend on seed and row; the face that covers
    it is the next row's.
    """
    # Each frame is like a video's first: no face is known yet.
    finders = [
        detectors.Tuned(every=1) if name == "tuned" else detectors.detector(name, moving=False) for name in names
    ]
    predicted = {name: np.empty(len(rows), np.uint8) for name in ("first", "second")}
    predicted["found_first"] = np.full((len(names), len(rows)), records.MISSED, np.uint8)
    predicted["seconds"] = np.empty((len(names), len(rows)), np.float32)
    for k, row in enumerate(rows):
        other = faces.images[rows[(k + 1) % len(rows)]]
        frame, box = compose(faces.images[row], np.random.default_rng((seed, int(row))), **USUAL | changed, other=other)
        colour = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
        for j, finder in enumerate(finders):
            start = time.perf_counter()
            boxes = finder(colour, frame)
            of_found = classifier.classify(crops(frame, boxes, classifier.side)).argmax(axis=1)
            predicted["seconds"][j, k] = time.perf_counter() - start
            shared = [overlap(each, box) for each in boxes]
            if max(shared, default=0.0) > SAME:
                predicted["found_first"][j, k] = of_found[int(np.argmax(shared))]
        left, top, size, _ = box
        side = size / MARGIN
        true = (left + (size - side) / 2, top + (size - side) / 2, side, side)
        order = np.argsort(-classifier.classify(crops(frame, [true], classifier.side))[0], kind="stable")
        predicted["first"][k], predicted["second"][k] = order[:2]
    return predicted


def _alone(faces: Faces, names: tuple[str, ...], seed: int, task: tuple[dict, np.ndarray]) -> dict:
    """``predictions`` for a level with the live model, in a separate process on one core."""
    from . import inference

    cv2.setNumThreads(1)
    changed, rows = task
    return predictions(faces, rows, inference.load(), names, seed, **changed)


def survey(
    faces: Faces, rows: np.ndarray, classifier, names: tuple[str, ...] = ("blaze", "tuned"), some: int = 0,
    seed: int = 0, jobs: int = 1, progress=print,
) -> tuple[list, dict]:  # fmt: skip
    """Every level of every condition: one line for each, and the predictions for each row.

    classifier: None is the live model. some: the number of rows, sampled, for levels with a changed condition; 0: all.
    jobs: the number of levels processed in parallel; with more than one, always by the live model. Lines: condition,
    level, usual (whether nothing is changed), n, how many of n are right, and by detector how many are found and
    right_of_found (``records.recognised``). Arrays, as in ``predictions``: first and second, (levels, n) uint8;
    found_first, (detectors, levels, n) uint8; ``records.NOT_ASKED`` for rows that were not used; and for the usual
    level seconds, (detectors, n) float32. ``progress`` takes one line of text for each level, with the time left.
    """
    levels = [(condition, level) for condition, levels in LEVELS.items() for level in levels]
    # The unchanged frames are the same for every condition: they are processed once, and first.
    keys = [None if level == USUAL[condition] else (condition, level) for condition, level in levels]
    wanted = sorted(dict.fromkeys(keys), key=lambda key: key is not None)
    faces, everyone = faces.select(rows), np.arange(len(rows))  # only this is sent to another process
    asked = np.sort(np.random.default_rng(seed).permutation(everyone)[: some or None])
    tasks = [({}, everyone) if key is None else (dict([key]), asked) for key in wanted]
    effort, done, started = sum(len(of) for _, of in tasks), 0, time.monotonic()
    shape = len(names), len(levels), len(rows)
    arrays = {name: np.full(shape[1:], records.NOT_ASKED, np.uint8) for name in ("first", "second")}
    arrays["found_first"] = np.full(shape, records.NOT_ASKED, np.uint8)
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) if jobs > 1 else nullcontext() as pool:
        if pool:
            found = pool.map(partial(_alone, faces, names, seed), tasks)
        else:
            if classifier is None:
                from . import inference

                classifier = inference.load()
            found = (predictions(faces, of, classifier, names, seed, **changed) for changed, of in tasks)
        for k, (key, (_, of), each) in enumerate(zip(wanted, tasks, found)):
            for level in (place for place, other in enumerate(keys) if other == key):
                for name in ("first", "second"):
                    arrays[name][level, of] = each[name]
                arrays["found_first"][:, level, of] = each["found_first"]
            if key is None:
                arrays["seconds"] = each["seconds"]
            done += len(of)
            shares = zip(names, (each["found_first"] != records.MISSED).mean(axis=1))
            left = (time.monotonic() - started) / done * (effort - done)
            progress(
                f"level {k + 1:2d}/{len(wanted)}  {f'{key[0]} {key[1]:g}' if key else 'as usual'}  found: "
                f"{', '.join(f'{name} {share:.2f}' for name, share in shares)}  "
                f"{time.strftime('%H:%M:%S', time.gmtime(left))} left"
            )
    lines = []
    for k, (condition, level) in enumerate(levels):
        counts = records.survey_counts(arrays | {"labels": faces.labels}, k, names)
        lines.append({"condition": condition, "level": level, "usual": keys[k] is None, **counts})
    return lines, arrays


def by_emotion(labels: np.ndarray, first: np.ndarray, second: np.ndarray, emotions: tuple[str, ...]) -> list[dict]:
    """For each emotion of (n,) labels: emotion, n, and first and either: the shares of its faces for which it is the
    most likely emotion, and one of the two most likely, each (share, low, high)."""
    lines = []
    for code, emotion in enumerate(emotions):
        here = labels == code
        once, again = (int((predicted[here] == code).sum()) for predicted in (first, second))
        counts = {"n": int(here.sum()), "first": once, "either": once + again}
        shares = {name: records.share(counts, name) for name in ("first", "either")}
        lines.append({"emotion": emotion, "n": counts["n"], **shares})
    return lines
