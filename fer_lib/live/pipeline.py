"""From frames to labelled faces: find them, cut them out as the training's were, classify, track."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from . import detectors, sources, tracking

if TYPE_CHECKING:
    from .inference import Classifier

MARGIN = 1.04
"""Side of what is cut out over the side of a detector's box. In FER2013's pictures, enlarged into a frame of 640 x 480,
the boxes of Haar cascades have the same middle and 0.96 of the side (median over rows of Training)."""


@dataclass(frozen=True)
class Face:
    """A face in a frame.

    box: left, top, width, height in pixels.
    track: the number of the person, as long as they are in sight; from 1.
    probabilities: (7,) float, in the order of ``emotions``, smoothed over the track's frames; sums to 1.
    abstained: whether the most likely emotion is less likely than the threshold, so that none should be told.
    """

    box: tuple[int, int, int, int]
    track: int
    probabilities: np.ndarray
    emotions: tuple[str, ...]
    abstained: bool

    @property
    def top2(self) -> tuple[tuple[str, float], tuple[str, float]]:
        """The most likely emotion and the next, each with its probability."""
        first, second = np.argsort(-self.probabilities, kind="stable")[:2]
        return tuple((self.emotions[code], float(self.probabilities[code])) for code in (first, second))


@dataclass(frozen=True)
class Result:
    """What is in one frame.

    index, time, name, image: as in ``sources.Frame``; the image is as it came, nothing is drawn on it.
    faces: from left to right; none is an empty tuple.
    seconds: how long each stage took: "read", "detect", "crop", "classify" (with tracking).
    """

    index: int
    time: float
    name: str
    image: np.ndarray
    faces: tuple[Face, ...]
    seconds: dict[str, float]


def crops(grey: np.ndarray, boxes: Sequence, side: int = 48) -> np.ndarray:
    """Faces cut out of a grey frame, (k, side, side) uint8, squares with ``MARGIN`` around the middle of each box.

    A larger face is made smaller by the mean of its pixels, which leaves out no pixel and makes no patterns; a smaller
    one is enlarged by cubic interpolation, as in the papers. Beyond the frame's edge its last pixels go on.
    """
    faces = np.empty((len(boxes), side, side), np.uint8)
    for k, (left, top, width, height) in enumerate(boxes):
        length = max(1, round(MARGIN * max(width, height)))
        # A box wholly outside is none of our detectors'; of another's it takes the nearest pixels.
        x = min(max(round(left + (width - length) / 2), 1 - length), grey.shape[1] - 1)
        y = min(max(round(top + (height - length) / 2), 1 - length), grey.shape[0] - 1)
        over = [max(0, -y), max(0, y + length - grey.shape[0]), max(0, -x), max(0, x + length - grey.shape[1])]
        part = grey[max(0, y) : y + length, max(0, x) : x + length]
        if any(over):
            part = cv2.copyMakeBorder(part, *over, cv2.BORDER_REPLICATE)
        how = cv2.INTER_AREA if length > side else cv2.INTER_CUBIC
        faces[k] = cv2.resize(part, (side, side), interpolation=how)
    return faces


def watch(
    source: str | int | Path,
    detector: str | detectors.Detector = "tuned",
    classifier: Classifier | None = None,
    threshold: float = 0.5,
    smoothing: float = 0.3,
    yunet: str | Path | None = None,
) -> Iterator[Result]:
    """What is in every frame of a source, one ``Result`` a frame, as they come.

    source: as ``sources.frames`` takes it, whose errors and warnings these are too.
    detector: a name out of ``detectors.NAMES``, or a function of your own; yunet: the file that "yunet" needs.
    classifier: ``inference.load()`` where none is given.
    threshold: probability under which a face's emotion is left open. A calibrated classifier is wrong more often than
        right under one half.
    smoothing: seconds over which a face's probabilities are averaged (see ``tracking.Tracks``); pictures never are.
    Raises ValueError for a threshold outside 0..1 or a negative smoothing.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold: found {threshold}, expected a probability from 0 to 1")
    if not smoothing >= 0:
        raise ValueError(f"smoothing: found {smoothing}, expected 0 seconds or more")
    moving = sources.moves(source)
    if not callable(detector):
        detector = detectors.detector(detector, yunet, moving)
    if classifier is None:
        from .inference import load

        classifier = load()
    return _results(sources.frames(source), detector, classifier, threshold, tracking.Tracks(smoothing), moving)


def _results(frames, detect, classifier, threshold, tracks, moving) -> Iterator[Result]:
    clock = [time.perf_counter()]
    for frame in frames:
        clock.append(time.perf_counter())
        grey = cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY)
        boxes = detect(frame.image, grey)
        clock.append(time.perf_counter())
        faces = crops(grey, boxes, classifier.side)
        clock.append(time.perf_counter())
        probabilities = classifier.classify(faces) if len(faces) else np.empty((0, len(classifier.emotions)))
        if not moving:
            tracks.tracks.clear()  # another picture, other people
        found = tuple(
            Face(
                tuple(int(number) for number in track.box), track.number, track.probabilities, classifier.emotions,
                bool(track.probabilities.max() < threshold),
            )
            for track in tracks.update(boxes, probabilities, frame.time)
        )  # fmt: skip
        clock.append(time.perf_counter())
        seconds = dict(zip(("read", "detect", "crop", "classify"), np.diff(clock).tolist(), strict=True))
        yield Result(frame.index, frame.time, frame.name, frame.image, found, seconds)
        clock = [time.perf_counter()]
