"""Frames of a camera, a video file, a stream, a folder of pictures or one picture, all in the same form."""

import glob
import os
import re
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count, groupby
from pathlib import Path

import cv2
import numpy as np

from ..files import refused

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm")
SEE_THROUGH = (".png", ".webp", ".gif", ".tif", ".tiff")
ANIMATED = (".webp", ".gif")
PATIENCE = 10.0
"""Seconds after which a silent stream is an error."""

Source = str | int | Path | list[Path]
"""A camera's number, such as 0; a video file, or a stream's URL; a picture, which may be animated; a folder, whose
pictures come in the order of their names; or a list of pictures."""


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    index: its number, from 0; frames that cannot be decoded are left out but counted.
    time: seconds since the first frame: a video's own clock, a camera frame's arrival; 0 for a picture.
    name: the picture's file name, its path if it came in a list, or the source (a URL without its password).
    image: (height, width, 3) uint8 BGR, upright.
    """

    index: int
    time: float
    name: str
    image: np.ndarray


def moves(source: Source) -> bool:
    """Whether a source's frames follow one another in time; pictures, folders and lists do not."""
    if isinstance(source, list):
        return False
    path = Path(str(source))
    if _camera(source) is not None or "://" in str(source):
        return True
    return _is_animated(path) or not (path.is_dir() or _is_picture(path))


def parts(given: Sequence[str]) -> list[Source]:
    """What to watch, in the given order, for several sources, or patterns such as "*.mp4".

    Consecutive pictures and folders of pictures become one list. A pattern stands for the files that match it, in the
    order of their names, or for folders if only these match. Raises ValueError if nothing matches.
    """
    named = [each for source in given for each in _matching(source)]
    if len(named) == 1:
        return named
    found: list[Source] = []
    for moving, group in groupby(named, moves):
        each = list(group)
        found += each if moving else [[file for source in each for file in _files(Path(source))]]
    return found


def length(source: Source) -> float | None:
    """The length of a video file in seconds, or the number of pictures; None if unknown."""
    if not moves(source):
        return len(source) if isinstance(source, list) else len(_files(Path(str(source))))
    if not os.path.isfile(str(source)) or _is_animated(Path(str(source))):
        return None
    import av

    try:
        with av.open(str(source)) as container:
            return container.duration / av.time_base if container.duration else None
    except (av.error.FFmpegError, OSError):
        return None  # reading it gives the reason


def frames(source: Source, every: int = 1) -> Iterator[Frame]:
    """The frames of a source, one after the other; none is kept.

    every: for a video or a stream, give only frames whose number is a multiple of this. The others are only decoded,
        because later frames depend on them.
    What cannot be decoded is left out, with a warning that says what and where; for a list this may be everything.
    Raises FileNotFoundError if there is no such file, ValueError if a file has no readable picture or video, or for an
    ``every`` under 1, OSError if a camera does not open or a stream is silent for ``PATIENCE`` seconds.
    """
    if every < 1:
        raise refused("every", str(every), "1 or more", "1 looks at all frames")
    if isinstance(source, list):
        return _pictures(source, None, [str(file) for file in source])
    camera = _camera(source)
    if camera is not None:
        return _camera_frames(camera)
    path = Path(str(source))
    if path.is_dir():
        files = _files(path)
        return _pictures(files, path, [file.name for file in files])
    if "://" in str(source):
        return _video_frames(str(source), every)
    if not path.exists():
        raise FileNotFoundError(
            f"{source}: found no such file, expected a video, a picture, a folder of pictures, a stream's URL or a "
            "camera's number"
        )
    if _is_animated(path):
        return _animation_frames(path, every)
    return _pictures([path], path, [path.name]) if _is_picture(path) else _video_frames(str(path), every)


def _matching(source: str) -> list[str]:
    if not glob.has_magic(source) or "://" in source or os.path.exists(source):
        return [source]
    found = sorted(glob.glob(source, recursive=True))
    if not found:
        raise refused(source, "no file that matches", "a pattern of files that are there", "see what is in the folder")
    return [each for each in found if os.path.isfile(each)] or found


def _camera(source: str | int | Path) -> int | None:
    """A camera's number, given as a number or a Linux device; None if the source is no camera."""
    device = re.fullmatch(r"(?:/dev/video)?(\d+)", str(source))
    return int(device[1]) if device and not os.path.isfile(str(source)) else None


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES


def _is_animated(path: Path) -> bool:
    if path.suffix.lower() not in ANIMATED or not path.is_file():
        return False
    from PIL import Image  # here and below, so that other sources need not wait for it

    try:
        with Image.open(path) as file:
            return file.is_animated
    except (OSError, ValueError, SyntaxError):
        return False


def _files(path: Path) -> list[Path]:
    """A folder's pictures, or the single file."""
    return sorted(each for each in path.iterdir() if _is_picture(each)) if path.is_dir() else [path]


def _pictures(files: list[Path], place: Path | None, names: list[str]) -> Iterator[Frame]:
    """Raises ValueError if there is none, or none here that can be read."""
    if not files:
        raise refused(
            place or "folders",
            "no picture",
            f"files that end in {', '.join(PICTURES)}",
            "name another folder, or a file",
        )
    whole = 0
    for index, (file, name) in enumerate(zip(files, names)):
        image = _picture(file)
        if image is None:
            found = "a picture that cannot be read" if file.exists() else "no such file"
            warnings.warn(f"{file}: found {found}; left out", stacklevel=2)
            continue
        whole += 1
        yield Frame(index, 0.0, name, image)
    if place and not whole:
        raise refused(place, "no picture that can be read", "a whole picture", "name another")


def _picture(path: Path) -> np.ndarray | None:
    """A picture, rotated as its EXIF data says, transparency over white; None if it cannot be read."""
    image = _by_pillow(path, only_transparent=True) if path.suffix.lower() in SEE_THROUGH else None
    if image is None:
        with _silent_opencv():
            try:
                image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            except cv2.error:  # larger than OpenCV takes
                image = None
    return _by_pillow(path) if image is None else image  # OpenCV reads no rotated TIFF


def _by_pillow(path: Path, only_transparent: bool = False) -> np.ndarray | None:
    from PIL import Image, ImageOps

    try:
        with open(path, "rb") as content, Image.open(content) as file:  # by its name, Pillow 13 garbles a rotated TIFF
            if only_transparent and not file.has_transparency_data or file.mode[0] in "IF":  # it would cut off 16 bits
                return None
            return _over_white(ImageOps.exif_transpose(file))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _over_white(picture) -> np.ndarray:
    from PIL import Image

    picture = picture.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    return np.ascontiguousarray(np.asarray(white)[..., 2::-1])


def _animation_frames(path: Path, every: int) -> Iterator[Frame]:
    from PIL import Image, ImageSequence

    index, moment = -1, 0.0
    try:
        with Image.open(path) as file:
            for index, picture in enumerate(ImageSequence.Iterator(file)):
                picture.load()  # its duration is known only then
                if index % every == 0:
                    yield Frame(index, moment, str(path), _over_white(picture))
                moment += (picture.info.get("duration") or 100) / 1000  # none means a tenth of a second, as in browsers
    except (OSError, ValueError, SyntaxError) as error:
        if not moment:
            raise refused(path, f"no picture that can be read ({error})", "an animation", "name another") from error
        warnings.warn(f"{path}: found damage in frame {index} ({error}); the rest is left out", stacklevel=2)


@contextmanager
def _silent_opencv() -> Iterator[None]:
    """Keeps OpenCV from listing every driver that it tried and every internal failure."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _camera_frames(number: int) -> Iterator[Frame]:
    with _silent_opencv():
        camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            raise OSError(
                f"camera {number}: found none that opens, expected a camera with this number; see that it is plugged "
                "in, that no other program has it, and that you may read it (on Linux: /dev/video*, group video)"
            )
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not the oldest waiting one
        started = time.monotonic()
        for index in count():
            whole, image = camera.read()
            if not whole:
                raise OSError(f"camera {number}: found no further frame after {index}; see that it is plugged in")
            yield Frame(index, time.monotonic() - started, f"camera {number}", image)
    finally:
        camera.release()


def _video_frames(url: str, every: int) -> Iterator[Frame]:
    import av

    name = re.sub("//[^/@]*@", "//", url)  # keeps passwords out of files and messages
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
            if first is None:  # only the file knows the time of a damaged first frame
                known = damaged and stream.start_time is not None
                first = float(stream.start_time * stream.time_base) if known else moment
            if index % every:
                continue
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
    """The frames of a stream, with the error in place of each damaged one.

    Raises OSError if the stream falls silent or its sender has gone.
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
                    f"{name}: found no further frame after {index} ({_reason(error)}); check the sender"
                ) from error
            try:
                decoded = packet.decode()
            except av.error.FFmpegError as error:
                decoded = [error]
            yield from decoded
            index += len(decoded)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
