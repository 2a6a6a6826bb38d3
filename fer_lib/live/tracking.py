"""Which face of a frame is which of the frame before, and what a face has shown over time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .detectors import overlap

SAME = 0.3
"""Overlap from which on two boxes may be of one face."""
PATIENCE = 0.5
"""Seconds after which a face that is not found any more is forgotten."""


def matches(before: list[np.ndarray], now: list[np.ndarray]) -> dict[int, int]:
    """Position in ``now`` -> position in ``before`` of the same face: pairs by their overlap, the largest first."""
    pairs = [(overlap(old, new), j, i) for i, new in enumerate(now) for j, old in enumerate(before)]
    found: dict[int, int] = {}
    for shared, j, i in sorted(pairs, key=lambda pair: (-pair[0], pair[1:])):
        if shared >= SAME and i not in found and j not in found.values():
            found[i] = j
    return found


@dataclass
class Track:
    number: int
    box: np.ndarray
    time: float
    probabilities: np.ndarray


class Tracks:
    """The faces seen lately.

    smoothing: seconds in which what a face showed before falls to 1/e of its weight; 0 takes each frame by itself. The
        weight goes by the time between two frames, so that it means the same at every frame rate.
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
        found = []
        for i, (box, now) in enumerate(zip(boxes, probabilities)):
            if i in known:
                track = self.tracks[known[i]]
                past = math.exp(-max(0.0, time - track.time) / self.smoothing) if self.smoothing else 0.0
                track.box, track.time = box, time
                track.probabilities = past * track.probabilities + (1 - past) * now
            else:
                track = Track(self.next, box, time, now)
                self.next += 1
            found.append(track)
        self.tracks += [track for i, track in enumerate(found) if i not in known]
        return found
