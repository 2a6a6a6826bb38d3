"""The camera of the browser that shows a notebook, its frames looked at by the kernel. Needs ``anywidget``."""

from __future__ import annotations

from pathlib import Path

import anywidget
import cv2
import numpy as np

from . import detectors, inference, tracking
from .pipeline import Face, crops


class Camera(anywidget.AnyWidget):
    """A button that starts the browser's camera, and its picture with what the network says of each face.

    The browser sends a frame as JPEG, and the next when the answer is there; the kernel may be on another machine,
    which then sees the frames. ``faces``: the latest frame's, ``frames``: how many there were. Classifier, detector,
    threshold and smoothing are those of ``pipeline.watch``.
    """

    _esm = Path(__file__).with_name("widget.js")

    def __init__(
        self,
        classifier: inference.Classifier | None = None,
        detector: str = "tuned",
        threshold: float = 0.5,
        smoothing: float = 0.3,
    ):
        super().__init__()
        self.classifier = classifier or inference.load()
        self.detect, self.tracks = detectors.detector(detector), tracking.Tracks(smoothing)
        self.threshold = threshold
        self.frames, self.faces = 0, ()
        self.on_msg(self._answer)

    def _answer(self, widget, content: dict, buffers: list) -> None:
        """Look at a frame: ``content`` has its time in seconds, ``buffers`` its JPEG."""
        image = cv2.imdecode(np.frombuffer(buffers[0], np.uint8), cv2.IMREAD_COLOR)
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        boxes = self.detect(image, grey)
        probabilities = self.classifier.classify(crops(grey, boxes, self.classifier.side))
        self.faces = tuple(
            Face(
                tuple(int(number) for number in track.box), track.number, track.probabilities,
                self.classifier.emotions, bool(track.probabilities.max() < self.threshold),
            )
            for track in self.tracks.update(boxes, probabilities, float(content["time"]))
        )  # fmt: skip
        self.frames += 1
        said = [
            {"box": face.box, "track": face.track, "top2": face.top2, "open": face.abstained} for face in self.faces
        ]
        self.send({"faces": said})
