"""Face detectors.

A detector is called with a frame, (height, width, 3) uint8 BGR, and the same in grey, (height, width) uint8. It returns
boxes from left to right, (k, 4): left, top, width and height in pixels, or (k, 5) with each face's rotation in degrees
clockwise. One that follows faces from frame to frame may have a method ``forget``: the next frame is then searched as a
first one is.
"""

import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ..files import refused, rehearsal
from . import blaze
from .boxes import overlap

Detector = Callable[[np.ndarray, np.ndarray], np.ndarray]

HAAR = {
    "paper": ("default", 1.1, 8, 100),
    "usual": ("default", 1.3, 5, 0),
}
"""Name -> OpenCV's frontal face cascade, scale factor, neighbours, smallest face in pixels. "paper" is from Saravanan's
released code, "usual" is what most repositories copy."""

NAMES = ("blaze", "tuned", *HAAR, "yunet")
WIDTH, STILL_WIDTH = 320, 1280
"""Width in pixels to which the tuned detector resizes a video's frame, or a single picture."""
SMALLEST = 20
"""Side in pixels of the smallest face it finds at that width, the window of its cascade: 40 in a frame 640 wide."""
EVERY = 5
"""Number of frames after which it searches everywhere again."""
ONE = 0.4
"""From this overlap on, two of its boxes are the same face."""
CONFIDENCE = 0.7
"""From this score on, YuNet's faces count."""


def detector(name: str | None = None, yunet: str | Path | None = None, moving: bool = True) -> Detector:
    """A detector by its name, one of ``NAMES``. Without a name "blaze", or if that is not installed "tuned", with a
    warning that says how to install it.

    yunet: the file of OpenCV's YuNet, which is not shipped here (face_detection_yunet_*.onnx of OpenCV's model zoo).
    moving: whether frames follow one another, so that a face is looked for at its last place. Raises ValueError for
    another name, if the file is missing or no YuNet, if "blaze" is named but not installed, and for a Haar cascade if
    OpenCV has none, as in OpenCV 5.
    """
    if name != "yunet" and yunet is not None:
        raise refused("detector", f"{name or 'blaze'!r} and a file of YuNet", "'yunet' with a file", "leave one out")
    if name is None and (what := blaze.missing()):
        warnings.warn(
            f"the detector blaze, which sees tilted, dark and small faces, lacks {what}; tuned serves", stacklevel=2
        )
        name = "tuned"
    if name in (None, "blaze"):
        return blaze.Blaze(moving)
    if name == "yunet":
        return _yunet(yunet)
    if name == "tuned":
        return Tuned() if moving else Tuned(STILL_WIDTH, every=1)
    if not isinstance(name, str) or name not in HAAR:
        raise refused("detector", repr(name), f"one of {', '.join(NAMES)}", "name one of these")
    kind, factor, neighbours, smallest = HAAR[name]
    cascade = _cascade(kind)
    return lambda image, grey: _boxes(cascade.detectMultiScale(grey, factor, neighbours, minSize=(smallest, smallest)))


class Tuned:
    """A Haar cascade that is fast on videos.

    Every ``every`` frames, and after a face was lost, the frame is reduced to ``width`` by averaging and searched
    everywhere for the slightest sign of a face. There, and near each face of the last frame, the full frame is searched
    for a face of about that size; only what this finds counts. The cascade is OpenCV's "alt2" with a window of 20
    pixels. ``bench/live.py`` measures how many small faces this misses.
    """

    def __init__(self, width: int = WIDTH, every: int = EVERY):
        self.width, self.every = width, every
        self.cascade = _cascade("alt2")
        self.before: np.ndarray = _boxes([])
        self.until_everywhere = 0

    def __call__(self, image: np.ndarray, grey: np.ndarray) -> np.ndarray:
        places = [] if self.every == 1 else list(self.before)
        if self.until_everywhere == 0:
            places += list(self._signs(grey))
            self.until_everywhere = self.every
        found: list[np.ndarray] = []
        for place in places:
            if all(overlap(place, box) < ONE for box in found):
                found += [box for box in self._near(grey, place) if all(overlap(box, each) < ONE for each in found)]
        self.until_everywhere = 0 if len(found) < len(self.before) else self.until_everywhere - 1
        self.before = _boxes(found)
        return self.before

    def forget(self) -> None:
        """Search the next frame as the first one: it comes so late that nothing can be followed."""
        self.before, self.until_everywhere = _boxes([]), 0

    def _signs(self, grey: np.ndarray) -> np.ndarray:
        """Where a face may be."""
        scale = max(1.0, grey.shape[1] / self.width)
        if scale > 1:
            size = self.width, max(1, round(grey.shape[0] / scale))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        found = self.cascade.detectMultiScale(grey, 1.2, 1, minSize=(SMALLEST, SMALLEST))
        return np.rint(_boxes(found) * scale).astype(np.int32)

    def _near(self, grey: np.ndarray, place: np.ndarray) -> list[np.ndarray]:
        """The face that covers most of a place, or None."""
        left, top, side, _ = place
        room = int(0.3 * side)
        x, y = max(0, left - room), max(0, top - room)
        part = grey[y : top + side + room, x : left + side + room]
        smallest, largest = max(SMALLEST, int(0.75 * side)), int(1.35 * side)
        found = self.cascade.detectMultiScale(part, 1.1, 3, minSize=(smallest,) * 2, maxSize=(largest,) * 2)
        found = _boxes(found) + np.array((x, y, 0, 0), np.int32)
        return [max(found, key=lambda each: overlap(each, place))] if len(found) else []


def _boxes(found) -> np.ndarray:
    boxes = np.array(found, np.int32).reshape(-1, 4)
    return boxes[np.argsort(boxes[:, 0], kind="stable")]


def _cascade(kind: str) -> "cv2.CascadeClassifier":  # OpenCV 5 has no such class
    if not hasattr(cv2, "CascadeClassifier"):
        raise refused(
            "detector", f"OpenCV {cv2.__version__}, which has no Haar cascades", "OpenCV 4",
            "install opencv-python-headless>=4.14,<5, or take --detector blaze, which needs none",
        )  # fmt: skip
    return cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_frontalface_{kind}.xml")


REHEARSAL = """
import sys, cv2, numpy
network = cv2.FaceDetectorYN.create(sys.argv[1], "", (320, 320))
network.detect(numpy.zeros((320, 320, 3), numpy.uint8))
"""
"""OpenCV crashes on some damaged networks."""


def _yunet(file: str | Path | None) -> Detector:
    if file is None or not Path(file).is_file():
        raise refused(
            "detector", "'yunet' without its file" if file is None else f"no file {file}", "the network of YuNet",
            "get face_detection_yunet_2023mar.onnx from OpenCV's model zoo and name it with --yunet",
        )  # fmt: skip
    if not rehearsal.survives(REHEARSAL, file):
        raise refused(file, "damage that crashes OpenCV, or never lets it end", "YuNet's network", "get it anew")
    try:
        network = cv2.FaceDetectorYN.create(str(file), "", (320, 320), score_threshold=CONFIDENCE)
    except cv2.error as error:
        raise refused(file, f"no network that OpenCV reads ({error.err})", "YuNet's", "get it anew") from error

    def detect(image: np.ndarray, grey: np.ndarray) -> np.ndarray:
        network.setInputSize((image.shape[1], image.shape[0]))
        try:
            _, found = network.detect(image)
        except cv2.error as error:
            raise refused(file, f"another network than YuNet ({error.err})", "YuNet's", "get it anew") from error
        return _boxes([] if found is None else np.rint(found[:, :4]))

    return detect
