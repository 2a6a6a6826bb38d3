"""From frames to labelled faces: detect them, cut them out as those of the training were, classify, track."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from . import detectors, sources

if TYPE_CHECKING:
    from .inference import Classifier

MARGIN = 1.04
"""Side of what is cut out over the side of a detector's box. In FER2013's pictures, enlarged into a frame of 640 x 480,
the boxes of Haar cascades have the same middle and 0.96 of the side (median over rows of Training)."""
SAME = 0.3
"""Overlap from which on two boxes may be of one face."""
PATIENCE = 0.5
"""Seconds after which a face that is not found any more is forgotten."""


@dataclass(frozen=True)
class Face:
    """A face in a frame.

    box: left, top, width, height in pixels.
    track: the number of the person, as long as they are in sight; from 1.
    probabilities: (7,) float, in the order of ``emotions``, smoothed over the track's frames; sums to 1.
    abstained: whether the most likely emotion is less likely than the threshold, so that no emotion is predicted.
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
class Result(sources.Frame):
    """A frame, and what is in it; the image is as it came, nothing is drawn on it.

    faces: from left to right; none is an empty tuple.
    seconds: how long each stage took: "read", "detect", "crop", "classify" (with tracking).
    """

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


def matches(before: list[np.ndarray], now: list[np.ndarray]) -> dict[int, int]:
    """Position in ``now`` -> position in ``before`` of the same face: pairs by their overlap, the largest first."""
    pairs = [(detectors.overlap(old, new), j, i) for i, new in enumerate(now) for j, old in enumerate(before)]
    matched: dict[int, int] = {}
    for shared, j, i in sorted(pairs, key=lambda pair: (-pair[0], pair[1:])):
        if shared >= SAME and i not in matched and j not in matched.values():
            matched[i] = j
    return matched


@dataclass
class Track:
    """A face over time: its number, and its box, time and smoothed probabilities when it was seen last."""

    number: int
    box: np.ndarray
    time: float
    probabilities: np.ndarray


class Tracks:
    """The faces seen lately.

    smoothing: seconds in which a face's earlier probabilities fall to 1/e of their weight; 0 takes each frame by
        itself. The weight goes by the time between two frames, so that it means the same at every frame rate.
    """

    def __init__(self, smoothing: float = 0.3):
        self.smoothing = smoothing
        self.tracks: list[Track] = []
        self.next = 1

    def update(self, boxes: np.ndarray, probabilities: np.ndarray, time: float) -> list[Track]:
        """The tracks of a frame's faces, in their order, each with its box, (4,), and smoothed probabilities, (7,).

        boxes (k, 4) and probabilities (k, 7) of the faces; time: of the frame, in seconds.
        """
        self.tracks = [track for track in self.tracks if time - track.time <= PATIENCE]
        known = matches([track.box for track in self.tracks], list(boxes))
        current = []
        for i, (box, now) in enumerate(zip(boxes, probabilities)):
            if i in known:
                track = self.tracks[known[i]]
                past = math.exp(-max(0.0, time - track.time) / self.smoothing) if self.smoothing else 0.0
                track.box, track.time = box, time
                track.probabilities = past * track.probabilities + (1 - past) * now
            else:
                track = Track(self.next, box, time, now)
                self.next += 1
            current.append(track)
        self.tracks += [track for i, track in enumerate(current) if i not in known]
        return current


class Watcher:
    """Looks at frames of your own, one after the other: what ``watch`` does with those of a source.

    detector: a name out of ``detectors.NAMES``, or a function of your own; yunet: the file that "yunet" needs.
    classifier: ``inference.load()`` where none is given.
    threshold: probability under which a face's emotion is left open. Under one half, a calibrated classifier is more
        often wrong than right.
    smoothing: seconds over which a face's probabilities are averaged (see ``Tracks``).
    moving: whether the frames follow one another in time; pictures do not, and each has other people in it.
    Raises ValueError for a threshold outside 0..1, a negative smoothing, and what ``detectors.detector`` refuses.
    """

    def __init__(
        self,
        detector: str | detectors.Detector = "tuned",
        classifier: Classifier | None = None,
        threshold: float = 0.5,
        smoothing: float = 0.3,
        yunet: str | Path | None = None,
        moving: bool = True,
    ):
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold: found {threshold}, expected a probability from 0 to 1")
        if not smoothing >= 0:
            raise ValueError(f"smoothing: found {smoothing}, expected 0 seconds or more")
        self.detect = detector if callable(detector) else detectors.detector(detector, yunet, moving)
        if classifier is None:
            from .inference import load

            classifier = load()
        self.classifier, self.threshold, self.moving = classifier, threshold, moving
        self.tracks = Tracks(smoothing)

    def look(self, image: np.ndarray, moment: float = 0.0) -> tuple[tuple[Face, ...], dict[str, float]]:
        """The faces in a frame, from left to right, and the seconds that "detect", "crop" and "classify" took.

        image: (height, width, 3) uint8, blue first. moment: the frame's time in seconds.
        """
        clock = [time.perf_counter()]
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        boxes = self.detect(image, grey)
        clock.append(time.perf_counter())
        cut = crops(grey, boxes, self.classifier.side)
        clock.append(time.perf_counter())
        emotions = self.classifier.emotions
        probabilities = self.classifier.classify(cut) if len(cut) else np.empty((0, len(emotions)))
        if not self.moving:
            self.tracks.tracks.clear()
        faces = tuple(
            Face(tuple(map(int, track.box)), track.number, track.probabilities, emotions,
                 bool(track.probabilities.max() < self.threshold))
            for track in self.tracks.update(boxes, probabilities, moment)
        )  # fmt: skip
        clock.append(time.perf_counter())
        return faces, dict(zip(("detect", "crop", "classify"), np.diff(clock).tolist(), strict=True))


def watch(
    source: str | int | Path,
    detector: str | detectors.Detector = "tuned",
    classifier: Classifier | None = None,
    threshold: float = 0.5,
    smoothing: float = 0.3,
    yunet: str | Path | None = None,
) -> Iterator[Result]:
    """What is in every frame of a source, one ``Result`` a frame, as they come.

    source: as ``sources.frames`` takes it, whose errors and warnings these are too; the others as in ``Watcher``.
    """
    watcher = Watcher(detector, classifier, threshold, smoothing, yunet, sources.moves(source))
    return _results(sources.frames(source), watcher)


def _results(frames: Iterator[sources.Frame], watcher: Watcher) -> Iterator[Result]:
    started = time.perf_counter()
    for frame in frames:
        read = time.perf_counter() - started
        faces, seconds = watcher.look(frame.image, frame.time)
        yield Result(frame.index, frame.time, frame.name, frame.image, faces, {"read": read} | seconds)
        started = time.perf_counter()
