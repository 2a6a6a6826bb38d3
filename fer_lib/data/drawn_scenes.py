"""Drawn clips and pictures of groups in the layouts of AFEW and GAF: what tests and trial runs read instead of them.

In a clip the expression of one person of ``drawn_faces`` rises to the emotion and falls again. A group has two to five
persons, most of whom show its emotion. They say nothing about AFEW and GAF.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ..files import pictures
from . import drawn_faces, drawn_once
from .emotions import FER2013
from .gaf import EMOTIONS

CLIP, GROUP = (180, 320), (480, 640)
"""Height and width of a clip and of a picture of a group, in pixels. A clip is wider than AFEW's: the detector searches
it in three squares instead of five."""
LENGTH = (10, 20)
"""Frames of the shortest and of the longest clip."""
PERSONS = (2, 5)
"""Faces of the smallest and of the largest group."""
SHOWN = {"positive": ("happy",), "neutral": ("neutral",), "negative": ("angry", "sad", "fear")}
"""Emotion of a group -> what most of its faces show."""
OTHERS = 0.2
"""Chance that a face, other than the first, shows any emotion."""

DRAWN = 64  # the side at which a face is drawn, before it is enlarged
_CELLS = (2, 3)  # rows and columns of a group, with a face or none in each
_MODULES = (__file__, drawn_faces.__file__)
_LAMP = np.uint8(np.arange(256)[:, None, None] * np.array((0.8, 0.92, 1.0))).reshape(256, 1, 3)


def write_afew(folder: Path, training: int = 70, validation: int = 35, seed: int = 0) -> None:
    """Write a tree in AFEW's layout with this many clips of the seven emotions in turn, Motion JPEG at 25 frames a
    second. Clip i depends only on the seed, the part and i."""
    for part, (name, count) in enumerate((("Train_AFEW", training), ("Val_AFEW", validation))):
        for number in range(count):
            emotion = FER2013[number % 7]
            place = folder / name / emotion.capitalize() / f"{1_000_000 * part + 1_280 * number + 46_280:09d}.avi"
            place.parent.mkdir(parents=True, exist_ok=True)
            write_clip(place, clip(emotion, np.random.default_rng([seed, part, number])))


def write_gaf(folder: Path, training: int = 60, validation: int = 30, seed: int = 0) -> None:
    """Write a tree in GAF's layout with this many pictures of the three emotions in turn. Picture i depends only on
    the seed, the part and i."""
    for part, (name, count) in enumerate((("Train", training), ("Validation", validation))):
        for number in range(count):
            emotion = EMOTIONS[number % 3]
            place = folder / name / emotion.capitalize() / f"{emotion[:3]}_{number}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            picture, _ = group(emotion, np.random.default_rng([seed, part, number]))
            place.write_bytes(pictures.encode(picture, ".jpg", 90))


def clip(emotion: str, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The frames of a clip, (180, 320, 3) uint8 BGR: a person, who moves a little, from neutral to an emotion and back.

    rng: samples the person, the clip's length and everything else before the first frame.
    """
    person, count = int(rng.integers(2**32)), int(rng.integers(LENGTH[0], LENGTH[1] + 1))
    often = [unit for unit in drawn_faces.OFTEN.get(emotion, ()) if rng.random() < 0.5]
    peaks = {unit: rng.uniform(0.6, 1.0) for unit in (*drawn_faces.PROTOTYPES[emotion], *often)}
    side, sway = int(rng.integers(80, 150)), rng.uniform(-8, 8, 2)
    top, left = (int(rng.integers(10, length - side - 9)) for length in CLIP)
    behind = _background(CLIP, rng)
    for strength in np.sin(np.linspace(0, np.pi, count)):
        units = {unit: float(peak * strength) for unit, peak in peaks.items()}
        face = drawn_faces.draw(units, np.random.default_rng(person), DRAWN)
        frame = behind.copy()
        y, x = (round(at + float(by * strength)) for at, by in zip((top, left), sway))
        frame[y : y + side, x : x + side] = cv2.resize(face, (side, side), interpolation=cv2.INTER_LINEAR)
        yield _coloured(frame)


def group(emotion: str, rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[int, int, int, int]]]:
    """A picture of a group, (480, 640, 3) uint8 BGR, and the box of each face: left, top, width, height."""
    frame, boxes = _background(GROUP, rng), []
    rows, columns = _CELLS
    height, width = GROUP[0] // rows, GROUP[1] // columns
    persons = int(rng.integers(PERSONS[0], PERSONS[1] + 1))
    for k, cell in enumerate(rng.permutation(rows * columns)[:persons].tolist()):
        shown = FER2013 if k and rng.random() < OTHERS else SHOWN[emotion]
        face = drawn_faces.draw(str(rng.choice(shown)), rng, DRAWN)
        side = int(rng.integers(70, 160))
        top, left = (int(rng.integers(0, length - side)) for length in (height, width))
        top, left = top + cell // columns * height, left + cell % columns * width
        frame[top : top + side, left : left + side] = cv2.resize(face, (side, side), interpolation=cv2.INTER_LINEAR)
        boxes.append((left, top, side, side))
    return _coloured(frame), boxes


def write_clip(path: Path, frames: Iterator[np.ndarray]) -> None:
    """Write frames, (height, width, 3) uint8 BGR of one size, as a video of Motion JPEG."""
    import av  # here, so that networks can be trained on drawn faces without it

    with av.open(str(path), "w") as file:
        stream = file.add_stream("mjpeg", rate=25)
        stream.pix_fmt = "yuvj420p"
        for k, frame in enumerate(frames):
            if not k:
                stream.height, stream.width = frame.shape[:2]
            packet = av.Packet(pictures.encode(frame, ".jpg", 90))
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, k, k, Fraction(1, 25)
            file.mux(packet)


def afew() -> Path:
    """A tree of 70 training and 35 validation clips, written once for each version of the drawing code."""
    return drawn_once("drawn-scenes", "afew", _MODULES, write_afew)


def gaf() -> Path:
    """A tree of 60 training and 30 validation pictures, written once for each version of the drawing code."""
    return drawn_once("drawn-scenes", "gaf", _MODULES, write_gaf)


def _background(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Soft greys, uint8."""
    greys = rng.uniform(60, 190, (6, 8)).astype(np.float32)
    return cv2.resize(greys, shape[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def _coloured(grey: np.ndarray) -> np.ndarray:
    """A grey picture in the light of a lamp, BGR."""
    return cv2.LUT(cv2.merge([grey] * 3), _LAMP)
