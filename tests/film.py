"""A film of the astronaut for Chromium's fake camera. Eileen Collins, a picture of NASA's, is in the public domain."""

from pathlib import Path

import cv2
import numpy as np
import pytest

SIZE = (640, 480)


def astronaut() -> np.ndarray:
    """(512, 512, 3) uint8, red first; the test is skipped where scikit-image, which has it, is not installed."""
    return pytest.importorskip("skimage.data", reason="scikit-image, which has the picture, is not here").astronaut()


def camera(file: Path) -> tuple[str, ...]:
    """Chromium's arguments for a camera that shows her, a little to the left and to the right by turns, as in ``file``,
    which is written."""
    picture = astronaut()
    with open(file, "wb") as out:
        out.write(f"YUV4MPEG2 W{SIZE[0]} H{SIZE[1]} F10:1 Ip A1:1 C420jpeg\n".encode())
        for left in (60, 62, 64, 62):
            frame = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
            frame[:, left : left + 512] = picture[: SIZE[1]]
            out.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes())
    return (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={file}",
    )
