"""From frames to labelled faces: detect, crop as in training, classify, track."""

from __future__ import annotations

import math
import operator
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..files import arrays, pictures, refused
from . import detectors, sources
from .boxes import crops, overlap

if TYPE_CHECKING:
    from PIL.Image import Image

    from .inference import Classifier

    Picture = str | Path | bytes | np.ndarray | Image

SAME = 0.3
"""From this overlap on, two boxes may be the same face."""
PATIENCE, MISSED, LOST = 0.5, 1, 500
"""A face that is no longer found is forgotten after so many seconds, but not before it is missing from more frames than
``MISSED``: at one frame a second, one look that misses it does no harm. After ``LOST`` frames it is forgotten also if
the clock stands still, or memory would grow."""
APART = 0.399
"""Between frames that are at least so many seconds apart, nothing can be followed. Each is then searched as a first one
is, and a face at a known face's place is the same only if it also looks ``alike``. It is 0.4, but for rounding."""
SPARSE, SEARCHED = 0.099, 1.0
"""Detectors that follow faces search for others every few frames. Where frames are ``SPARSE`` seconds apart or more,
that would be seconds. One is then searched as a first one if the frame before had no face, or if the last such search
was ``SEARCHED`` seconds ago."""
ALIKE = 0.55
"""Minimum correlation of two ``signs`` of the same face. Of 2,000 pairs of different rows of FER2013, 93% are below it.
Of 2,000 rows, 99% are above it when compared with themselves moved by 4% of the side, enlarged by 5%, turned by 4
degrees (standard deviations) and made up to 30% darker or lighter."""
STILL, FLOOR = 0.7, 1 / 3
"""From this overlap on, a face has hardly moved since it was last classified. What was known then keeps at least this
weight, however long ago that was. At low frame rates this halves the variance of single frames, and the newest frame
still outweighs all earlier ones together."""
AT_ONCE, PER_SECOND = 3, 90
"""How many of the known faces are classified in one frame of a video, those not classified for longest: ``AT_ONCE``, or
more after a longer pause, so that it is ``PER_SECOND`` in a second. The others keep their probabilities; with ten faces
at 30 frames per second, for a tenth of a second."""
FLAT = 2.0
"""A crop whose grey levels have a smaller standard deviation is no face: the lens is covered, or the frame is black,
white or one grey. In Training, 12 of 28,709 rows are below it, of one grey each or of four adjacent ones; the next has
9.1. At a tenth of the light, at which blaze still finds most faces, 59 more rows would be."""

BEYOND = 8
"""A box from your own detector may be this many times the frame's longer side wide, high or away."""

Region = tuple[int, int, int, int]
"""Left, top, width and height in pixels of the part of a frame that is searched."""


@dataclass(frozen=True)
class Face:
    """A face in a frame.

    box: left, top, width, height in pixels.
    track: the face's number, from 1, the same as long as it is in sight.
    probabilities: (7,) float, in the order of ``emotions``, smoothed over the track's frames; they sum to 1.
    abstained: whether the most likely emotion is below the threshold, so that no emotion is predicted.
    turn: the face's rotation in degrees clockwise; 0 if the detector does not measure it.
    flat: whether there is nothing to see in the box but one grey (see ``FLAT``). It is then abstained, and all
        probabilities are equal.
    """

    box: tuple[int, int, int, int]
    track: int
    probabilities: np.ndarray
    emotions: tuple[str, ...]
    abstained: bool
    turn: float = 0.0
    flat: bool = False

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
    region: the part that was searched, cut to the frame; None if all of it was.
    """

    faces: tuple[Face, ...]
    seconds: dict[str, float]
    region: Region | None = None

    @property
    def top_emotion(self) -> str | None:
        """The frame's most likely emotion: the one with the highest mean probability over its faces. None if there is
        no face, or if all are abstained."""
        if all(face.abstained for face in self.faces):
            return None
        mean = np.mean([face.probabilities for face in self.faces], axis=0)
        return self.faces[0].emotions[int(np.argmax(mean))]


def matches(
    before: list[np.ndarray], now: list[np.ndarray], may: Callable[[int, int], bool] = lambda j, i: True
) -> dict[int, int]:
    """Position in ``now`` -> position in ``before`` of the same face: pairs by their overlap, the largest first.

    may: whether a position in ``before`` and one in ``now`` may be the same face.
    """
    pairs = [(overlap(old, new), j, i) for i, new in enumerate(now) for j, old in enumerate(before)]
    matched: dict[int, int] = {}
    for shared, j, i in sorted(pairs, key=lambda pair: (-pair[0], pair[1:])):
        if shared >= SAME and i not in matched and j not in matched.values() and may(j, i):
            matched[i] = j
    return matched


def signs(crop: np.ndarray) -> np.ndarray:
    """What is compared of a crop, (side, side): the mean grey of 8 x 8 squares, (64,) float, with mean 0 and length 1;
    zeros if it is flat."""
    small = cv2.resize(crop.astype(np.float32), (8, 8), interpolation=cv2.INTER_AREA).ravel()
    small -= small.mean()
    return small / np.linalg.norm(small) if crop.std() >= FLAT else np.zeros_like(small)


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two crops may show the same face. Nothing speaks against it if one of them is flat."""
    a, b = signs(one), signs(other)
    return not a.any() or not b.any() or float(a @ b) >= ALIKE


@dataclass
class Track:
    """A face over time.

    number, box, time: its number, its last box and when it was seen there. missed: in how many frames since then it was
    not found. crop: its last crop. probabilities: smoothed, None if there are none; place and classified: its box and
    the time of the last ones included.
    """

    number: int
    box: np.ndarray
    time: float
    missed: int = 0
    crop: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    place: np.ndarray | None = None
    classified: float = -math.inf


class Tracks:
    """The faces seen recently.

    smoothing: seconds in which the weight of a face's earlier probabilities falls to 1/e; 0 uses each frame alone. The
        weight depends on the time between two frames, so it means the same at every frame rate. While a face hardly
        moves, it is at least ``FLOOR``: faces in frames that are seconds apart are smoothed too.
    """

    def __init__(self, smoothing: float = 0.3):
        self.smoothing = smoothing
        self.tracks: list[Track] = []
        self.next = 1
        self.latest = -math.inf  # the time of the frame before

    def update(self, boxes: np.ndarray, time: float, cut: Sequence[np.ndarray] | None = None) -> list[Track]:
        """The tracks of a frame's faces, in the order of their boxes, (k, 4) or (k, 5); tracks of new faces have no
        probabilities yet. time: of the frame, in seconds. cut: the crops of all faces, if they are to be compared with
        those seen ``APART`` ago or longer."""
        self.latest = time
        old = self.tracks = [
            each
            for each in self.tracks
            if each.missed <= MISSED or time - each.time <= PATIENCE and each.missed <= LOST
        ]

        def may(j: int, i: int) -> bool:
            near = time - old[j].time < APART or cut is None or old[j].crop is None
            return near or alike(old[j].crop, cut[i])

        known = matches([track.box for track in old], list(boxes), may)
        for track in old:
            track.missed += 1
        current = []
        for i, box in enumerate(boxes):
            if i in known:
                track = old[known[i]]
                track.box, track.time, track.missed = box, time, 0
            else:
                track = Track(self.next, box, time)
                self.next += 1
            if cut is not None:
                track.crop = cut[i]
            current.append(track)
        self.tracks = old + [track for i, track in enumerate(current) if i not in known]
        return current

    def classified(self, track: Track, probabilities: np.ndarray | None) -> None:
        """Average the probabilities, (7,), from the latest frame into a track's. None, for a flat crop, removes them:
        what comes after is not averaged with what was before."""
        past = 0.0
        if track.probabilities is not None and probabilities is not None and self.smoothing:
            past = math.exp(-max(0.0, track.time - track.classified) / self.smoothing)
            if overlap(track.place, track.box) >= STILL:
                past = max(past, FLOOR)
        if past:
            probabilities = past * track.probabilities + (1 - past) * probabilities
        track.probabilities, track.place = probabilities, track.box
        track.classified = -math.inf if probabilities is None else track.time


def due(tracks: list[Track], seconds: float = 0.0) -> list[int]:
    """Positions of the faces to classify now: all without probabilities, and others in turn; how many depends on the
    seconds since the last frame (see ``AT_ONCE``)."""
    oldest = sorted(range(len(tracks)), key=lambda k: tracks[k].classified)
    new = sum(track.probabilities is None for track in tracks)
    return oldest[: max(new, AT_ONCE, int(min(seconds * PER_SECOND, len(tracks))))]


def cut_to(region: Region | None, width: int, height: int) -> Region:
    """A region cut to a frame of this size; all of it for None. Raises ValueError if none of it is in the frame."""
    left, top, across, down = region or (0, 0, width, height)
    right, bottom = min(left + across, width), min(top + down, height)
    left, top = max(0, left), max(0, top)
    if left >= right or top >= bottom:
        found, expected = ",".join(map(str, region)), f"a part of the frame, {width} x {height} pixels"
        raise refused("region", f"{found}, which is outside", expected, "left,top,width,height in the frame's pixels")
    return left, top, right - left, bottom - top


def as_region(given: str | Sequence[int]) -> Region:
    """A region from its text, "left,top,width,height", or its four numbers. Raises ValueError for anything else, and
    for a width or height under 1."""
    try:
        given = given if isinstance(given, str) else tuple(given)
        numbers = tuple(map(int, given.split(",") if isinstance(given, str) else given))
        right = isinstance(given, str) or all(map(operator.eq, numbers, given))
    except (OverflowError, TypeError, ValueError):
        numbers, right = (), False
    if not right or len(numbers) != 4 or min(numbers[2:]) < 1:
        expected = "left,top,width,height: four whole numbers of pixels, width and height 1 or more"
        raise refused("region", repr(given) if given == "" else str(given), expected, "for example 0,0,640,480")
    return numbers


def as_boxes(found, longer: int) -> np.ndarray:
    """What a detector returned for a frame with this longer side, as an array, (k, 4) or (k, 5), float32 or float64.

    Raises ValueError for what are no such boxes, for numbers that are not finite, for sides that are not above 0, and
    for sides or places many times the frame's: one of your own may be mistaken.
    """
    try:
        boxes = np.asarray(found)
    except ValueError:  # rows of different lengths
        boxes = np.empty((1, 0))
    if boxes.ndim and not len(boxes):
        return np.empty((0, 4), np.float32)
    place, then = "the detector's boxes", "correct what the detector returns"
    if boxes.dtype.kind not in "iuf" or boxes.ndim != 2 or boxes.shape[1] not in (4, 5):
        raise refused(place, _shown(found), "numbers of shape (k, 4) or (k, 5), none where no face is", then)
    for box in boxes.tolist():
        if not all(map(math.isfinite, box)) or min(box[2:4]) <= 0:
            raise refused(place, f"{box}", "finite numbers, width and height above 0", then)
        if max(map(abs, box[:4])) > BEYOND * longer:
            expected = f"none beyond {BEYOND} times the frame's longer side of {longer} pixels"
            raise refused(place, f"{box}", expected, then)
    return boxes if boxes.dtype == np.float32 else boxes.astype(float)  # unsigned ones would wrap round


def as_probabilities(found, shape: tuple[int, int]) -> np.ndarray:
    """What a classifier returned, as an array of this shape. Raises ValueError for another shape, for numbers that are
    not finite and for rows that do not sum to 1: one of your own may be mistaken."""
    try:
        probabilities = np.asarray(found)
    except ValueError:  # rows of different lengths
        probabilities = np.empty(0)
    place, then = "the classifier's probabilities", "correct what `classify` returns"
    if probabilities.shape != shape or probabilities.dtype.kind not in "iuf":
        raise refused(place, _shown(found), f"numbers of shape {shape}, a row for each face", then)
    arrays.check_finite(probabilities, place, then)
    for row in probabilities:
        if row.min() < 0 or abs(row.sum() - 1) > 0.01:
            raise refused(place, f"{row.tolist()}", "0 or more each, which sum to 1", then)
    return probabilities


def _shown(found) -> str:
    return f"{found.dtype} of shape {found.shape}" if isinstance(found, np.ndarray) else repr(found)[:100]


class Watcher:
    """Finds faces in your own frames, one after the other, as ``watch`` does for a source.

    detector: a name from ``detectors.NAMES``, your own function, or None for the best installed one; yunet: the file
        for "yunet".
    classifier: None for ``inference.load()``.
    threshold: below this probability no emotion is predicted. Below one half, a calibrated classifier is more often
        wrong than right.
    smoothing: seconds over which a face's probabilities are averaged (see ``Tracks``).
    moving: whether the frames follow one another in time; separate pictures do not.
    region: left, top, width and height in pixels of the only part of each frame that is searched, such as a streamer's
        corner; what of it is outside a frame is cut off. Boxes are in the whole frame's pixels all the same.
    Raises ValueError for a threshold outside 0..1, a negative smoothing, a malformed region, and what
    ``detectors.detector`` refuses.
    """

    def __init__(
        self,
        detector: str | detectors.Detector | None = None,
        classifier: Classifier | None = None,
        threshold: float = 0.5,
        smoothing: float = 0.3,
        yunet: str | Path | None = None,
        moving: bool = True,
        region: Sequence[int] | None = None,
    ):
        if not isinstance(threshold, Real) or not 0 <= threshold <= 1:
            raise refused("threshold", repr(threshold), "a probability from 0 to 1", "0.5 is the usual one")
        if not isinstance(smoothing, Real) or not smoothing >= 0:
            raise refused("smoothing", repr(smoothing), "0 seconds or more", "0.3 is the usual one")
        self.region = None if region is None else as_region(region)
        self.detect = detector if callable(detector) else detectors.detector(detector, yunet, moving)
        if classifier is None:
            from .inference import load

            classifier = load()
        if absent := [name for name in ("classify", "emotions", "side") if not hasattr(classifier, name)]:
            expected = "classify(faces), emotions and side, as inference.Classifier has them"
            raise refused("classifier", f"{classifier!r:.100} without {', '.join(absent)}", expected, "add them")
        if len(classifier.emotions) < 2:
            raise refused("classifier", f"{len(classifier.emotions)} emotions", "two or more", "correct `emotions`")
        self.classifier, self.threshold, self.moving = classifier, threshold, moving
        self.tracks = Tracks(smoothing)
        self.found = False  # whether the frame before had a face
        self.searched = -math.inf  # when all of a frame was searched

    def look(self, image: Picture, moment: float = 0.0) -> tuple[tuple[Face, ...], dict[str, float]]:
        """The faces in a frame, from left to right, and the seconds that "detect", "crop" and "classify" took.

        image: what ``pictures.as_bgr`` takes; an array is (height, width, 3) uint8, blue first. moment: the frame's
        time in seconds. Raises ValueError for any other array, a picture that cannot be decoded, a frame in which
        nothing of the region is, and what your own detector or classifier returns if it is not what ours do.
        """
        image = pictures.as_bgr(image)
        left, top, width, height = cut_to(self.region, image.shape[1], image.shape[0])
        clock = [time.perf_counter()]
        grey, part = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.s_[top : top + height, left : left + width]
        back = moment < self.tracks.latest  # another clock, as of a page that was loaded again: nothing can be followed
        if back:
            self.tracks.tracks.clear()
        pause = max(0.0, moment - self.tracks.latest)
        due_anew = not self.found or moment - self.searched >= SEARCHED
        if self.moving and (back or pause >= APART or pause >= SPARSE and due_anew):
            getattr(self.detect, "forget", lambda: None)()
            self.searched = moment
        found = self.detect(np.ascontiguousarray(image[part]), np.ascontiguousarray(grey[part]))
        boxes = as_boxes(found, max(image.shape[:2]))
        if len(boxes) and (left or top):
            boxes = np.concatenate((boxes[:, :2] + np.array((left, top), boxes.dtype), boxes[:, 2:]), axis=1)
        self.found = len(boxes) > 0
        clock.append(time.perf_counter())
        if not self.moving:
            self.tracks.tracks.clear()
        late = any(moment - track.time >= APART for track in self.tracks.tracks)
        cut = crops(grey, boxes, self.classifier.side) if late else None
        tracks = self.tracks.update(boxes, moment, cut)
        now = due(tracks, pause)
        cut = crops(grey, [boxes[k] for k in now], self.classifier.side) if cut is None else cut[now]
        clock.append(time.perf_counter())
        flat = cut.std(axis=(1, 2)) < FLAT
        for k, crop, nothing in zip(now, cut, flat):
            tracks[k].crop = crop
            if nothing:
                self.tracks.classified(tracks[k], None)
        if not flat.all():
            whole = [k for k, nothing in zip(now, flat) if not nothing]
            classified = as_probabilities(
                self.classifier.classify(cut[~flat]), (len(whole), len(self.classifier.emotions))
            )
            for k, probabilities in zip(whole, classified):
                self.tracks.classified(tracks[k], probabilities)
        faces = tuple(self._face(track) for track in tracks)
        clock.append(time.perf_counter())
        return faces, dict(zip(("detect", "crop", "classify"), np.diff(clock).tolist(), strict=True))

    def _face(self, track: Track) -> Face:
        flat, emotions = track.probabilities is None, self.classifier.emotions
        probabilities = np.full(len(emotions), 1 / len(emotions)) if flat else track.probabilities
        return Face(
            tuple(int(round(float(side))) for side in track.box[:4]),
            track.number,
            probabilities,
            emotions,
            flat or bool(probabilities.max() < self.threshold),
            float(track.box[4]) if len(track.box) > 4 else 0.0,
            flat,
        )


def watch(
    source: sources.Source,
    detector: str | detectors.Detector | None = None,
    classifier: Classifier | None = None,
    threshold: float = 0.5,
    smoothing: float = 0.3,
    yunet: str | Path | None = None,
    region: Sequence[int] | None = None,
    every: int = 1,
) -> Iterator[Result]:
    """The faces in every frame of a source, one ``Result`` for each frame.

    source, every: as for ``sources.frames``, with the same errors and warnings; the others as for ``Watcher``.
    """
    watcher = Watcher(detector, classifier, threshold, smoothing, yunet, sources.moves(source), region)
    return results(sources.frames(source, every), watcher)


def results(frames: Iterator[sources.Frame], watcher: Watcher) -> Iterator[Result]:
    """A watcher's result for each of these frames. A picture in which nothing of the region is, is left out with a
    warning that names it; if all are, or if it is a frame of a video, it is a ValueError."""
    started, looked, outside = time.perf_counter(), False, None
    for frame in frames:
        read = time.perf_counter() - started
        try:
            region = watcher.region and cut_to(watcher.region, frame.image.shape[1], frame.image.shape[0])
        except ValueError as error:
            outside = ValueError(f"{frame.name}: {error}")
            if watcher.moving:
                raise outside from error
            warnings.warn(str(outside), stacklevel=2)
            continue
        faces, seconds = watcher.look(frame.image, frame.time)
        looked = True
        yield Result(frame.index, frame.time, frame.name, frame.image, faces, {"read": read} | seconds, region)
        started = time.perf_counter()
    if outside and not looked:
        raise outside


def look(
    image: Picture,
    detector: str | detectors.Detector | None = None,
    classifier: Classifier | None = None,
    threshold: float = 0.5,
    yunet: str | Path | None = None,
    region: Sequence[int] | None = None,
) -> tuple[Face, ...]:
    """The faces in one picture, from left to right, numbered from 1.

    image: a picture's path or bytes, a PIL image, or an array, (height, width, 3) uint8, blue first; the other
    arguments as for ``Watcher``. The networks are loaded at the first call, and again only if another argument changes.
    Raises ValueError for what is no picture, and what ``Watcher`` refuses.
    """
    with _ALONE:  # the networks look at one picture at a time
        watcher = _still(detector, classifier, (threshold, yunet, None if region is None else as_region(region)))
        watcher.tracks = Tracks()
        return watcher.look(image)[0]


_ALONE = threading.RLock()  # your own detector may look itself
_LATEST: list = []


def _still(detector, classifier, others: tuple) -> Watcher:
    """The latest watcher of single pictures if it was made of the same, else another."""
    one = detector if isinstance(detector, str | None) else id(detector), id(classifier), others
    if not _LATEST or _LATEST[0] != one:
        threshold, yunet, region = others
        made = Watcher(detector, classifier, threshold, yunet=yunet, moving=False, region=region)
        _LATEST[:] = one, made, (detector, classifier)  # kept, so that no other object gets their id
    return _LATEST[1]
