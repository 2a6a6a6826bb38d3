"""From frames to labelled faces: detect them, cut them out as those of the training were, classify, track."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from . import detectors, sources
from .boxes import crops, overlap

if TYPE_CHECKING:
    from .inference import Classifier

SAME = 0.3
"""Overlap from which on two boxes may be of one face."""
PATIENCE = 0.5
"""Seconds after which a face that is not found any more is forgotten; one of the frame before never is."""
AT_ONCE = 3
"""How many of the faces that are known already are classified in one frame of a video: those for which that is longest
ago. The others keep their probabilities; with ten faces at 30 frames a second, for a tenth of a second."""


@dataclass(frozen=True)
class Face:
    """A face in a frame.

    box: left, top, width, height in pixels.
    track: the number of the person, as long as they are in sight; from 1.
    probabilities: (7,) float, in the order of ``emotions``, smoothed over the track's frames; sums to 1.
    abstained: whether the most likely emotion is less likely than the threshold, so that no emotion is predicted.
    turn: degrees by which the face is turned clockwise; 0 where the detector does not see that.
    """

    box: tuple[int, int, int, int]
    track: int
    probabilities: np.ndarray
    emotions: tuple[str, ...]
    abstained: bool
    turn: float = 0.0

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


def matches(before: list[np.ndarray], now: list[np.ndarray]) -> dict[int, int]:
    """Position in ``now`` -> position in ``before`` of the same face: pairs by their overlap, the largest first."""
    pairs = [(overlap(old, new), j, i) for i, new in enumerate(now) for j, old in enumerate(before)]
    matched: dict[int, int] = {}
    for shared, j, i in sorted(pairs, key=lambda pair: (-pair[0], pair[1:])):
        if shared >= SAME and i not in matched and j not in matched.values():
            matched[i] = j
    return matched


@dataclass
class Track:
    """A face over time: its number, its box and time when it was seen last, and its smoothed probabilities and the time
    of the last that went into them."""

    number: int
    box: np.ndarray
    time: float
    probabilities: np.ndarray | None = None
    classified: float = -math.inf


class Tracks:
    """The faces seen lately.

    smoothing: seconds in which a face's earlier probabilities fall to 1/e of their weight; 0 takes each frame by
        itself. The weight goes by the time between two frames, so that it means the same at every frame rate.
    """

    def __init__(self, smoothing: float = 0.3):
        self.smoothing = smoothing
        self.tracks: list[Track] = []
        self.next = 1
        self.latest = 0.0  # the time of the frame before

    def update(self, boxes: np.ndarray, time: float) -> list[Track]:
        """The tracks of a frame's faces, in the order of their boxes, (k, 4) or (k, 5); those of new faces have no
        probabilities yet. time: of the frame, in seconds."""
        before, self.latest = self.latest, time  # frames may lie farther apart than the patience
        self.tracks = [each for each in self.tracks if time - each.time <= PATIENCE or each.time >= before]
        known = matches([track.box for track in self.tracks], list(boxes))
        current = []
        for i, box in enumerate(boxes):
            if i in known:
                track = self.tracks[known[i]]
                track.box, track.time = box, time
            else:
                track = Track(self.next, box, time)
                self.next += 1
            current.append(track)
        self.tracks += [track for i, track in enumerate(current) if i not in known]
        return current

    def classified(self, track: Track, probabilities: np.ndarray) -> None:
        """Average the probabilities, (7,), of a track's face in the latest frame into those it has."""
        past = 0.0
        if track.probabilities is not None and self.smoothing:
            past = math.exp(-max(0.0, track.time - track.classified) / self.smoothing)
        before = 0.0 if track.probabilities is None else track.probabilities
        track.probabilities, track.classified = past * before + (1 - past) * probabilities, track.time


def due(tracks: list[Track]) -> list[int]:
    """Positions of the faces that are to be classified now: all new ones, and ``AT_ONCE`` others in turn."""
    oldest = sorted(range(len(tracks)), key=lambda k: tracks[k].classified)
    new = sum(track.probabilities is None for track in tracks)
    return sorted(oldest[: max(new, AT_ONCE)])


class Watcher:
    """Looks at frames of your own, one after the other: what ``watch`` does with those of a source.

    detector: a name out of ``detectors.NAMES``, or a function of your own, or None for the best that is installed;
        yunet: the file that "yunet" needs.
    classifier: ``inference.load()`` where none is given.
    threshold: probability under which a face's emotion is left open. Under one half, a calibrated classifier is more
        often wrong than right.
    smoothing: seconds over which a face's probabilities are averaged (see ``Tracks``).
    moving: whether the frames follow one another in time; pictures do not, and each has other people in it.
    Raises ValueError for a threshold outside 0..1, a negative smoothing, and what ``detectors.detector`` refuses.
    """

    def __init__(
        self,
        detector: str | detectors.Detector | None = None,
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
        if not self.moving:
            self.tracks.tracks.clear()
        tracks = self.tracks.update(boxes, moment)
        now = due(tracks)
        cut = crops(grey, [boxes[k] for k in now], self.classifier.side)
        clock.append(time.perf_counter())
        if now:
            for k, probabilities in zip(now, self.classifier.classify(cut)):
                self.tracks.classified(tracks[k], probabilities)
        faces = tuple(
            Face(tuple(int(round(float(side))) for side in track.box[:4]), track.number, track.probabilities,
                 self.classifier.emotions, bool(track.probabilities.max() < self.threshold),
                 float(track.box[4]) if len(track.box) > 4 else 0.0)
            for track in tracks
        )  # fmt: skip
        clock.append(time.perf_counter())
        return faces, dict(zip(("detect", "crop", "classify"), np.diff(clock).tolist(), strict=True))


def watch(
    source: str | int | Path,
    detector: str | detectors.Detector | None = None,
    classifier: Classifier | None = None,
    threshold: float = 0.5,
    smoothing: float = 0.3,
    yunet: str | Path | None = None,
) -> Iterator[Result]:
    """What is in every frame of a source, one ``Result`` a frame, as they come.

    source: as ``sources.frames`` takes it, whose errors and warnings these are too; the others as in ``Watcher``.
    """
    watcher = Watcher(detector, classifier, threshold, smoothing, yunet, sources.moves(source))
    return results(sources.frames(source), watcher)


def results(frames: Iterator[sources.Frame], watcher: Watcher) -> Iterator[Result]:
    """What a watcher sees in each of these frames."""
    started = time.perf_counter()
    for frame in frames:
        read = time.perf_counter() - started
        faces, seconds = watcher.look(frame.image, frame.time)
        yield Result(frame.index, frame.time, frame.name, frame.image, faces, {"read": read} | seconds)
        started = time.perf_counter()
