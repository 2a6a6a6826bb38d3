"""From frames to labelled faces: detect, crop as in training, classify, track."""

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
"""From this overlap on, two boxes may be the same face."""
PATIENCE = 0.5
"""Seconds after which a face that is no longer found is forgotten; a face of the last frame never is."""
AT_ONCE = 3
"""How many of the known faces are classified in one frame of a video: those not classified for longest. The others keep
their probabilities; with ten faces at 30 frames per second, for a tenth of a second."""


@dataclass(frozen=True)
class Face:
    """A face in a frame.

    box: left, top, width, height in pixels.
    track: the face's number, from 1, the same as long as it is in sight.
    probabilities: (7,) float, in the order of ``emotions``, smoothed over the track's frames; they sum to 1.
    abstained: whether the most likely emotion is below the threshold, so that no emotion is predicted.
    turn: the face's rotation in degrees clockwise; 0 if the detector does not measure it.
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
    """A frame and the faces in it; nothing is drawn on its image.

    faces: from left to right; an empty tuple if there are none.
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
    """A face over time: its number, its last box and time, its smoothed probabilities, and the time of the last ones
    included."""

    number: int
    box: np.ndarray
    time: float
    probabilities: np.ndarray | None = None
    classified: float = -math.inf


class Tracks:
    """The faces seen recently.

    smoothing: seconds in which the weight of a face's earlier probabilities falls to 1/e; 0 uses each frame alone. The
        weight depends on the time between two frames, so it means the same at every frame rate.
    """

    def __init__(self, smoothing: float = 0.3):
        self.smoothing = smoothing
        self.tracks: list[Track] = []
        self.next = 1
        self.latest = 0.0  # the time of the frame before

    def update(self, boxes: np.ndarray, time: float) -> list[Track]:
        """The tracks of a frame's faces, in the order of their boxes, (k, 4) or (k, 5); tracks of new faces have no
        probabilities yet. time: of the frame, in seconds."""
        before, self.latest = self.latest, time  # frames may be further apart than the patience
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
        """Average the probabilities, (7,), from the latest frame into a track's."""
        past = 0.0
        if track.probabilities is not None and self.smoothing:
            past = math.exp(-max(0.0, track.time - track.classified) / self.smoothing)
        before = 0.0 if track.probabilities is None else track.probabilities
        track.probabilities, track.classified = past * before + (1 - past) * probabilities, track.time


def due(tracks: list[Track]) -> list[int]:
    """Positions of the faces to classify now: all new ones, and ``AT_ONCE`` others in turn."""
    oldest = sorted(range(len(tracks)), key=lambda k: tracks[k].classified)
    new = sum(track.probabilities is None for track in tracks)
    return sorted(oldest[: max(new, AT_ONCE)])


class Watcher:
    """Finds faces in your own frames, one after the other, as ``watch`` does for a source.

    detector: a name from ``detectors.NAMES``, your own function, or None for the best installed one; yunet: the file
        for "yunet".
    classifier: None for ``inference.load()``.
    threshold: below this probability no emotion is predicted. Below one half, a calibrated classifier is more often
        wrong than right.
    smoothing: seconds over which a face's probabilities are averaged (see ``Tracks``).
    moving: whether the frames follow one another in time; separate pictures do not. Raises ValueError for a threshold
    outside 0..1, a negative smoothing, and what ``detectors.detector`` refuses.
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
    """The faces in every frame of a source, one ``Result`` for each frame.

    source: as for ``sources.frames``, with the same errors and warnings; the other arguments as for ``Watcher``.
    """
    watcher = Watcher(detector, classifier, threshold, smoothing, yunet, sources.moves(source))
    return results(sources.frames(source), watcher)


def results(frames: Iterator[sources.Frame], watcher: Watcher) -> Iterator[Result]:
    """A watcher's result for each of these frames."""
    started = time.perf_counter()
    for frame in frames:
        read = time.perf_counter() - started
        faces, seconds = watcher.look(frame.image, frame.time)
        yield Result(frame.index, frame.time, frame.name, frame.image, faces, {"read": read} | seconds)
        started = time.perf_counter()
