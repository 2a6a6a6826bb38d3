"""Boxes of faces, and the squares cropped from them.

A box is left, top, width and height in pixels, and may have a fifth number: the face's rotation about the box's middle,
in degrees clockwise.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

MARGIN = 1.04
"""Side of the crop relative to a detector's box. In FER2013's pictures, enlarged into a frame of 640 x 480, the boxes
of Haar cascades have the same middle and 0.96 of the side (median over rows of Training)."""

WIDEST = 2**15 - 1
"""From this side in pixels on, OpenCV rotates no picture."""


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes: 0 to 1. Their rotation is ignored."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0.0, float(width)) * max(0.0, float(height))
    return shared / (float(one[2]) * float(one[3]) + float(other[2]) * float(other[3]) - shared) if shared else 0.0


def crops(grey: np.ndarray, boxes: Sequence, side: int = 48) -> np.ndarray:
    """Faces cropped from a grey frame, (k, side, side) uint8: squares with ``MARGIN`` around the middle of each box,
    rotated upright if the box is rotated.

    A larger face is reduced by averaging its pixels, which uses every pixel and makes no patterns; a smaller one is
    enlarged by cubic interpolation, as in the papers. Beyond the frame's edge its last pixels are repeated.
    """
    faces = np.empty((len(boxes), side, side), np.uint8)
    for k, (left, top, width, height, *turn) in enumerate(boxes):
        if turn:
            middle = left + width / 2, top + height / 2
            faces[k], _ = turned(grey, middle, MARGIN * max(width, height), math.radians(turn[0]), side)
            continue
        length = max(1, round(MARGIN * max(width, height)))
        # Our detectors return no box entirely outside; another's gets the nearest pixels.
        x = min(max(round(left + (width - length) / 2), 1 - length), grey.shape[1] - 1)
        y = min(max(round(top + (height - length) / 2), 1 - length), grey.shape[0] - 1)
        over = [max(0, -y), max(0, y + length - grey.shape[0]), max(0, -x), max(0, x + length - grey.shape[1])]
        part = grey[max(0, y) : y + length, max(0, x) : x + length]
        if any(over):
            part = cv2.copyMakeBorder(part, *over, cv2.BORDER_REPLICATE)
        how = cv2.INTER_AREA if length > side else cv2.INTER_CUBIC
        faces[k] = cv2.resize(part, (side, side), interpolation=how)
    return faces


def turned(
    image: np.ndarray, middle: Sequence[float], length: float, turn: float, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """A square of an image, rotated clockwise by ``turn`` in radians, put upright and resized to (side, side) pixels.

    image: grey or coloured, uint8. middle and length: of the square, in the image's pixels, the first of which is
    between 0 and 1. Returns the square, and the matrix, (2, 3), from places in it to places in the image. It is resized
    as in ``crops``.
    """
    length, middle = max(1.0, float(length)), np.asarray(middle, float)
    times = min(64, math.ceil(length / side))  # the mean of this many pixels each way is taken
    fine, step = side * times, length / (side * times)
    axes = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    # OpenCV's coordinates are the pixels' middles: its 0 is 0.5 here.
    shift = middle - step * axes @ np.full(2, (fine - 1) / 2) - 0.5
    how = cv2.INTER_LINEAR if length > side else cv2.INTER_CUBIC
    if max(image.shape[:2]) >= WIDEST:
        height, width = image.shape[:2]
        (x, y), room = middle, min(length, WIDEST / 2 - 1)
        left, top = (int(min(max(0, at - room), edge - 1)) for at, edge in ((x, width), (y, height)))
        image = image[top : top + int(2 * room) + 1, left : left + int(2 * room) + 1]
        shift = shift - (left, top)
    to_image = np.column_stack((step * axes, shift))
    square = cv2.warpAffine(
        image, to_image, (fine, fine), flags=how | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    if times > 1:
        square = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)
    scale = length / side
    return square, np.column_stack((scale * axes, middle - scale * axes @ np.full(2, side / 2)))
