"""Frames, videos and a stand-in for the classifier, for the tests of fer_lib.live. Also run as a program: the command
``python -m fer_lib live`` with the stand-in, for tests that need a process of its own."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np

from fer_lib.data import drawn_faces
from fer_lib.data.emotions import FER2013


class Brightness:
    """A classifier by a crop's mean grey level: the darkest is angry, the brightest neutral."""

    emotions, side = FER2013, 48

    def classify(self, faces: np.ndarray) -> np.ndarray:
        assert faces.dtype == np.uint8 and faces.shape[1:] == (48, 48)
        distance = faces.mean((1, 2))[:, None] / 255 * 6 - np.arange(7)
        likely = np.exp(-4 * distance**2)
        return (likely / likely.sum(1, keepdims=True)).astype(np.float32)


def install(modules: dict = sys.modules) -> None:
    """Put the stand-in where ``fer_lib.live`` looks for the trained classifier."""
    modules["fer_lib.live.inference"] = SimpleNamespace(load=lambda path=None: Brightness())


def frame(faces: dict[tuple[int, int], int], width: int = 640, height: int = 480, tone: int = 128) -> np.ndarray:
    """A grey frame, (height, width, 3) uint8, with drawn faces: place of the upper left corner -> side, in pixels."""
    image = np.full((height, width), tone, np.uint8)
    for k, ((x, y), side) in enumerate(faces.items()):
        image[y : y + side, x : x + side] = drawn_faces.draw(FER2013[(3 + k) % 7], size=side)
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)


def video(path: Path, images, rate: int = 25, codec: str = "libx264", pix_fmt: str = "yuv420p", **options) -> Path:
    """Images of one size as a video file."""
    import av

    with av.open(str(path), "w") as file:
        stream = None
        for k, image in enumerate(images):
            if stream is None:
                stream = file.add_stream(codec, rate=rate, options=options)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = pix_fmt
            each = av.VideoFrame.from_ndarray(image, "bgr24")
            each.pts, each.time_base = k, Fraction(1, rate)
            file.mux(stream.encode(each))
        file.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    install()
    from fer_lib.__main__ import main

    sys.exit(main(["live", *sys.argv[1:]]))
