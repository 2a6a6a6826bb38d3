"""Pictures, decoded and put upright."""

import cv2
import numpy as np

from . import refused


def decode(content: bytes, place: object, colour: bool = True, upright: bool = True, factor: int = 1) -> np.ndarray:
    """A picture from the bytes of its file: (height, width, 3) uint8 BGR, or (height, width) grey.

    place: its name in messages. upright: as its EXIF data says, else as its pixels are stored. factor: 2, 4 or 8 for a
    JPEG decoded at that part of its size, quicker. Raises ValueError saying what is wrong.
    """
    kind = "COLOR" if colour else "GRAYSCALE"
    flag = getattr(cv2, f"IMREAD_{kind}" if factor == 1 else f"IMREAD_REDUCED_{kind}_{factor}")
    try:
        image = cv2.imdecode(
            np.frombuffer(content, np.uint8), flag if upright else flag | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error:  # an empty file, or one with a huge declared size
        image = None
    if image is None:
        raise refused(
            place, f"no picture that can be decoded, {len(content):,} bytes", "a whole picture", "fetch it again"
        )
    return image
