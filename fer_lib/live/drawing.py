"""What a frame shows, drawn on it: a box around each face, its emotions as bars, frames a second."""

from __future__ import annotations

import time

import cv2
import numpy as np

from .pipeline import Face, Result

# Blue, green, red; of the report's palette.
TOLD, OPEN, DARK, LIGHT = (178, 114, 0), (140, 140, 140), (30, 30, 30), (255, 255, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def overlay(result: Result, rate: float | None = None) -> np.ndarray:
    """A copy of a result's frame with its faces drawn on it, (height, width, 3) uint8, blue first.

    A face that was abstained from has a grey box and a question mark. rate: frames a second, for the upper left corner.
    """
    image = result.image.copy()
    size = max(0.35, min(image.shape[:2]) / 960)
    for face in result.faces:
        _face(image, face, size)
    if rate is not None:
        _text(image, f"{rate:.0f} frames/s", (6, round(24 * size) + 6), size)
    return image


def _face(image: np.ndarray, face: Face, size: float) -> None:
    left, top, width, height = face.box
    colour = OPEN if face.abstained else TOLD
    cv2.rectangle(image, (left, top), (left + width, top + height), colour, max(1, round(3 * size)))
    name, probability = face.top2[0]
    label = f"{face.track}: {name}{'?' if face.abstained else ''} {probability:.0%}"
    _text(image, label, (left, max(top - round(8 * size), round(24 * size))), size)
    line, length = round(22 * size), round(130 * size)
    beside = left + width + 6
    if beside + length > image.shape[1]:  # no room on the right
        beside = max(0, left - length - 6)
    first = min(max(0, top), max(0, image.shape[0] - line * len(face.emotions)))
    for k, (emotion, share) in enumerate(zip(face.emotions, face.probabilities)):
        y = first + k * line
        cv2.rectangle(image, (beside, y), (beside + length, y + line - 2), DARK, cv2.FILLED)
        cv2.rectangle(image, (beside, y), (beside + round(length * float(share)), y + line - 2), colour, cv2.FILLED)
        place = beside + 3, y + line - round(7 * size)
        cv2.putText(image, emotion, place, FONT, 0.64 * size, LIGHT, 1, cv2.LINE_AA)


def _text(image: np.ndarray, text: str, place: tuple[int, int], size: float) -> None:
    """White on a dark edge: legible on anything."""
    width = max(1, round(1.6 * size))
    cv2.putText(image, text, place, FONT, size * 0.8, DARK, width + 2, cv2.LINE_AA)
    cv2.putText(image, text, place, FONT, size * 0.8, LIGHT, width, cv2.LINE_AA)


class Rate:
    """Frames a second, as they went lately."""

    def __init__(self):
        self.before, self.seconds = time.perf_counter(), None

    def now(self) -> float:
        """The rate; to be called once a frame."""
        moment = time.perf_counter()
        took, self.before = moment - self.before, moment
        self.seconds = took if self.seconds is None else 0.9 * self.seconds + 0.1 * took
        return 1 / max(self.seconds, 1e-6)
