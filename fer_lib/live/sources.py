"""Frames of a camera, a video file, a stream, a folder of pictures or one picture, in one form."""

import os
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from ..data import refused

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
PATIENCE = 10.0
"""Seconds for which a stream may be silent."""


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    index: its number, from 0; one that cannot be decoded has a number too, and is left out.
    time: seconds since the first frame: a video's own clock, a camera's arrival; 0 of a picture.
    name: the picture's file name, or the source, a URL without its password.
    image: (height, width, 3) uint8, blue first, the right way up.
    """

    index: int
    time: float
    name: str
    image: np.ndarray


def moves(source: str | int | Path) -> bool:
    """Whether a source's frames follow one another in time; a picture's, and a folder's, do not."""
    path = Path(str(source))
    return _camera(source) is not None or not (path.is_dir() or _is_picture(path))


def frames(source: str | int | Path) -> Iterator[Frame]:
    """The frames of a source, one after the other, none kept.

    source: a camera's number, such as 0; a video file, or the URL of a stream; a picture; a folder, whose pictures come
        in the order of their names.
    What cannot be decoded is left out, with a warning that says what and where. Raises FileNotFoundError where there is
    no such file, ValueError where a file holds no picture or video that can be read, OSError where a camera does not
    open or a stream is silent for ``PATIENCE`` seconds.
    """
    camera = _camera(source)
    if camera is not None:
        return _camera_frames(camera)
    path = Path(str(source))
    if path.is_dir():
        return _pictures(sorted(each for each in path.iterdir() if _is_picture(each)), path)
    if "://" in str(source):
        return _video_frames(str(source))
    if not path.exists():
        raise FileNotFoundError(
            f"{source}: found no such file, expected a video, a picture, a folder of pictures, a stream's URL or a "
            "camera's number"
        )
    return _pictures([path], path) if _is_picture(path) else _video_frames(str(path))


def _camera(source: str | int | Path) -> int | None:
    """The number of a camera, given as such or as Linux' device; None where the source is none."""
    device = re.fullmatch(r"(?:/dev/video)?(\d+)", str(source))
    return int(device[1]) if device and not os.path.isfile(str(source)) else None


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES


def _pictures(files: list[Path], place: Path) -> Iterator[Frame]:
    if not files:
        raise refused(place, "no picture", f"files that end in {', '.join(PICTURES)}", "name another folder, or a file")
    whole = 0
    for index, file in enumerate(files):
        try:
            image = cv2.imread(str(file), cv2.IMREAD_COLOR)  # turned as its EXIF data says
        except cv2.error:  # larger than OpenCV takes
            image = None
        if image is None:
            warnings.warn(f"{file}: found a picture that cannot be read; left out", stacklevel=2)
            continue
        whole += 1
        yield Frame(index, 0.0, file.name, image)
    if not whole:
        raise refused(place, "no picture that can be read", "a whole picture", "name another")


def _camera_frames(number: int) -> Iterator[Frame]:
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it lists every driver that it tried
    try:
        camera = cv2.VideoCapture(number)
    finally:
        cv2.utils.logging.setLogLevel(level)
    try:
        if not camera.isOpened():
            raise OSError(
                f"camera {number}: found none that opens, expected a camera with this number; see that it is plugged "
                "in, that no other program has it, and that you may read it (on Linux: /dev/video*, group video)"
            )
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not the oldest that waits
        started = time.monotonic()
        for index in count():
            whole, image = camera.read()
            if not whole:
                raise OSError(f"camera {number}: found no further frame after {index}; see that it is plugged in")
            yield Frame(index, time.monotonic() - started, f"camera {number}", image)
    finally:
        camera.release()


def _video_frames(url: str) -> Iterator[Frame]:
    import av  # here, so that pictures and cameras need not wait for it

    name = re.sub("//[^/@]*@", "//", url)  # no password goes into files and messages
    try:
        container = av.open(url, timeout=(PATIENCE, PATIENCE))
    except (av.error.FFmpegError, OSError) as error:
        raise _no_video(name, f"nothing to be read as a video ({_reason(error)})") from error
    with container:
        if not container.streams.video:
            raise _no_video(name, "no pictures in it")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise _no_video(name, "a codec that cannot be read")
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        index, damaged, first = -1, [], None
        for index, decoded in enumerate(_decoded(container, stream, name)):
            if isinstance(decoded, Exception):
                damaged.append(f"frame {index}: {_reason(decoded)}")
                continue
            moment = index / rate if decoded.time is None else decoded.time
            first = moment if first is None else first
            image = decoded.to_ndarray(format="bgr24")
            if decoded.rotation:  # a telephone held upright
                image = np.ascontiguousarray(np.rot90(image, round(decoded.rotation / 90)))
            yield Frame(index, moment - first, name, image)
        if first is None:
            why = damaged[0] if damaged else "no frame in it"
            raise _no_video(name, f"no frame that can be decoded ({why})")
        if damaged:
            warnings.warn(
                f"{name}: found {len(damaged)} damaged of {index + 1} frames, first {damaged[0]}; left out",
                stacklevel=2,
            )


def _no_video(name: str, found: str) -> ValueError:
    return refused(name, found, "a video or a stream", "see whether a player plays it, or convert it")


def _decoded(container, stream, name: str) -> Iterator:
    """The frames of a stream, and in the place of what is damaged the error that it gives.

    Raises OSError where the stream falls silent, or whoever sends it has gone.
    """
    import av

    index = 0
    with closing(container.demux(stream)) as packets:
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.InvalidDataError as error:  # nothing can be found after this
                yield error
                return
            except av.error.FFmpegError as error:
                raise OSError(
                    f"{name}: found no further frame after {index} ({_reason(error)}); see who sends it"
                ) from error
            try:
                decoded = packet.decode()
            except av.error.FFmpegError as error:
                decoded = [error]
            yield from decoded
            index += len(decoded)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
