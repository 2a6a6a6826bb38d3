"""Frames of a camera, a video file, a stream, a folder of pictures or one picture, all in the same form."""

import glob
import os
import re
import select
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import count, groupby
from pathlib import Path
from queue import Empty, SimpleQueue

import cv2
import numpy as np

from ..files import pictures, readable, reason, refused

JOINED_JPEGS = (".mjpg", ".mjpeg")
"""How the names of videos end that are one JPEG after the other."""
_VIDEO = re.compile(rb".{4}ftyp|\x1a\x45\xdf\xa3|RIFF.{4}AVI ", re.DOTALL)
PATIENCE, HOPE = 10.0, 60.0
"""Seconds after which a camera, a stream or a pipe that gives nothing is an error, and after which one is that gives
only damaged frames: some send a frame that stands for itself twice a minute."""
_SECRET = (
    (re.compile("//[^/?#]*@"), "//"),
    (
        re.compile(r"(?i)([?&#](?:[^=&#]*[_.-])?(?:pass\w*|pwd|token|secret|\w*key|auth|sig|signature)=)[^&#]*"),
        r"\1...",
    ),
    (re.compile(r"(?i)((?:pass|password|passwd|pwd)=)[^&#?/]*"), r"\1..."),
)
"""Where a URL has a password: before the machine's name, and in what is asked for."""

Source = str | int | os.PathLike | list | np.ndarray | bytes  # or a Pillow image
"""A camera's number, such as 0; a video file, or a stream's URL; a picture, which may be animated; a folder, whose
pictures come in the order of their names; one picture in memory, as ``pictures.as_bgr`` takes it; or a list of files
and pictures in memory. Whether a file is a picture is told by its content; only if that says nothing, by its name."""


TURNS = {
    1: (1, 0, 0, 1), 2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1),
    5: (0, 1, 1, 0), 6: (0, 1, -1, 0), 7: (0, -1, -1, 0), 8: (0, -1, 1, 0),
}  # fmt: skip
"""Orientation as in EXIF -> a, b, c, d of the display matrix that a video has for it."""


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    index: its number, from 0; frames that cannot be decoded are left out but counted.
    time: seconds since the first frame, never less than the frame before: a video's own clock, a camera frame's
        arrival; 0 for a picture.
    name: the picture's file name, its path if it came in a list, or the source (a URL without its password), all as
        ``files.readable``; "image" for a picture in memory.
    image: (height, width, 3) uint8 BGR, upright.
    """

    index: int
    time: float
    name: str
    image: np.ndarray


def moves(source: Source) -> bool:
    """Whether a source's frames follow one another in time; pictures, folders and lists do not."""
    if _in_memory(source) or isinstance(source, list):
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
    if _in_memory(source):
        return 1
    if not moves(source):
        return len(source) if isinstance(source, list) else len(_files(Path(str(source))))
    if not os.path.isfile(str(source)) or _is_animated(Path(str(source))):
        return None
    import av

    try:
        with av.open(f"file:{source}", metadata_errors="replace") as container:
            return container.duration / av.time_base if container.duration else None
    except (av.error.FFmpegError, OSError):
        return None  # reading it gives the reason


def frames(source: Source, every: int = 1) -> Iterator[Frame]:
    """The frames of a source, one after the other; none is kept.

    every: for a video, a stream, an animation or a camera, give only frames whose number is a multiple of this. The
        others are only decoded, because later frames depend on them.
    What cannot be decoded is left out, with a warning that says what and where; for a list this may be everything.
    Raises FileNotFoundError if there is no such file, ValueError if a file has no readable picture or video, or for an
    ``every`` under 1, OSError if a camera does not open, or a camera, a stream or a pipe gives no frame for
    ``PATIENCE`` seconds, TypeError for what is no source.
    """
    if every < 1:
        raise refused("every", str(every), "1 or more", "1 looks at all frames")
    if _in_memory(source):
        return iter([Frame(0, 0.0, "image", pictures.as_bgr(source))])
    if isinstance(source, list):
        if wrong := [each for each in source if isinstance(each, (int, list))]:
            expected = "pictures: paths, bytes, arrays or Pillow images"
            found = f"an object of type {type(wrong[0]).__name__} in a list"
            raise TypeError(str(refused("source", found, expected, "watch it by itself")))
        return _pictures(source, None, ["image" if _in_memory(each) else str(each) for each in source])
    camera = _camera(source)
    if camera is not None:
        return _camera_frames(camera, every)
    if source == "":
        raise refused("source", "nothing", "a file, a folder, a URL or a camera's number", "name one")
    path = Path(str(source))
    if path.is_dir():
        files = _files(path)
        return _pictures(files, path, [file.name for file in files])
    if "://" in str(source):
        return _video_frames(str(source), str(source), every)
    if not path.exists():
        expected = "a video, a picture, a folder of pictures, a stream's URL or a camera's number"
        raise FileNotFoundError(str(refused(source, "no such file", expected, "see how it is spelt")))
    if _is_animated(path):
        return _animation_frames(path, every)
    if _is_picture(path):
        return _picture(path)
    return _video_frames(f"file:{path}", str(path), every)  # so that no name is taken for a protocol


def _matching(source: str) -> list[str]:
    if not glob.has_magic(source) or "://" in source or os.path.exists(source):
        return [source]
    found = sorted(glob.glob(source, recursive=True))
    if not found:
        raise refused(source, "no file that matches", "a pattern of files that are there", "see what is in the folder")
    return [each for each in found if os.path.isfile(each)] or found


def _camera(source: str | int | Path) -> int | None:
    """A camera's number, given as a number or a Linux device; None if the source is no camera."""
    device = re.fullmatch(r"(?:/dev/video)?(\d{1,6})", str(source))
    return int(device[1]) if device and not os.path.isfile(str(source)) else None


def _in_memory(source) -> bool:
    return not isinstance(source, (str, int, os.PathLike, list))


def _is_picture(path: Path) -> bool:
    """By the content of a file; by its name if that is neither a picture's nor a video's, or there is no such file."""
    beginning = b""
    if path.is_file():  # a pipe can be read only once
        with suppress(OSError), open(path, "rb") as file:
            beginning = file.read(32)
    if pictures.is_picture(beginning):
        return path.suffix.lower() not in JOINED_JPEGS
    return path.suffix.lower() in pictures.ENDINGS and not _VIDEO.match(beginning)


def _is_animated(path: Path) -> bool:
    frames, kind = pictures.count(path) if path.is_file() and _is_picture(path) else (1, "")
    return frames > 1 and kind == "frames"


def _files(path: Path) -> list[Path]:
    """A folder's pictures, without hidden ones, or the single file."""
    if not path.is_dir():
        return [path]
    return sorted(
        each
        for each in path.iterdir()
        if each.suffix.lower() in pictures.ENDINGS and not each.name.startswith(".") and not each.is_dir()
    )


def _picture(path: Path) -> Iterator[Frame]:
    yield Frame(0, 0.0, readable(path.name), _first(path, alone=True))


def _pictures(files: list, place: Path | None, names: list[str]) -> Iterator[Frame]:
    """Raises ValueError if there is none, or none here that can be read."""
    if not files:
        raise refused(
            place or "folders",
            "no picture",
            f"files that end in {', '.join(pictures.ENDINGS)}",
            "name another folder, or a file",
        )
    whole = 0
    for index, (file, name) in enumerate(zip(files, names)):
        try:
            image = pictures.as_bgr(file) if _in_memory(file) else _first(Path(file))
        except (OSError, ValueError) as error:
            warnings.warn(f"{error}; left out", stacklevel=2)
            continue
        whole += 1
        yield Frame(index, 0.0, readable(name), image)
    if place and not whole:
        raise refused(place, "no picture that can be read", "a whole picture", "name another")


def _first(path: Path, alone: bool = False) -> np.ndarray:
    """A file's picture; the first, with a warning, if there are more. alone: it is the source itself."""
    content = pictures.read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow says beside the error
        image = pictures.decode(content, path)
        frames, kind = pictures.count(content)
    if frames > 1:
        then = "" if alone or kind == "pages" else "; name the file itself as a source to see all"
        warnings.warn(f"{readable(path)}: found {frames} {kind}, looked at the first only{then}", stacklevel=2)
    return image


def _animation_frames(path: Path, every: int) -> Iterator[Frame]:
    index = -1
    try:
        for index, moment, image in pictures.animation(pictures.read(path), path, every):
            yield Frame(index, moment, readable(path), image)
    except ValueError as error:
        if index < 0:
            raise
        warnings.warn(f"{error}; the rest is left out", stacklevel=2)


@contextmanager
def _silent_opencv() -> Iterator[None]:
    """Keeps OpenCV from listing every driver that it tried and every internal failure."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


class _Apart:
    """Calls what may wait for ever, such as a camera's driver, in a thread of its own, one call after the other.

    So each wait ends after ``PATIENCE`` seconds, and a signal is heard meanwhile. A call that is given up goes on; what
    is to be done ``last`` comes after it, and then the thread ends. waits: whether anything may wait; a file does not,
    and its calls need no thread.
    """

    waiting = False
    """Whether the program is waiting for what comes from outside: it may be interrupted there without harm."""

    def __init__(self, waits: bool = True):
        self.last: list[Callable[[], object]] = []
        self.asked, self.answers, self.given_up = SimpleQueue(), SimpleQueue(), False
        self.thread = threading.Thread(target=self._work, daemon=True) if waits else None

    def __enter__(self) -> "_Apart":
        if self.thread:
            self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        for call in reversed(self.last):
            self.asked.put(call) if self.thread else call()
        self.asked.put(None)
        if self.thread and not self.given_up:
            self.thread.join(PATIENCE)

    def _work(self) -> None:
        while call := self.asked.get():
            try:
                self.answers.put((call(), None))
            except BaseException as error:  # it is the caller's
                self.answers.put((None, error))

    def __call__(self, call: Callable, *given):
        """What a call gives or raises. Raises _Silent if it does neither in time."""
        if not self.thread:
            return call(*given)
        self.given_up = _Apart.waiting = True
        try:
            self.asked.put(lambda: call(*given))
            for _ in range(max(1, round(10 * PATIENCE))):  # counted: while a process is stopped, the clock goes on
                with suppress(Empty):
                    answer, error = self.answers.get(timeout=0.1)
                    self.given_up = False
                    break
            else:
                raise _Silent
        finally:
            _Apart.waiting = False
        if error:
            raise error
        return answer


class _Silent(OSError):
    """Nothing came for ``PATIENCE`` seconds."""


def waiting() -> bool:
    """Whether this process is waiting for a camera, a stream or a pipe."""
    return _Apart.waiting


def _in_vain() -> str:
    return f"for {PATIENCE:.0f} seconds"


def _camera_frames(number: int, every: int) -> Iterator[Frame]:
    name, then, index = f"camera {number}", "see that it is plugged in", 0
    with _Apart() as apart:
        try:
            camera = apart(_open_camera, number)
            apart.last.append(camera.release)
            if not camera.isOpened():
                raise OSError(
                    f"{name}: found none that opens, expected a camera with this number; {then}, "
                    "that no other program has it, and that you may read it (on Linux: /dev/video*, group video)"
                )
            camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not the oldest waiting one
            started = time.monotonic()
            for index in count():
                whole, image = apart(camera.read)
                if not whole or image is None:
                    raise OSError(f"{name}: found no further frame after {index}; {then}")
                if index % every == 0:
                    yield Frame(index, time.monotonic() - started, name, pictures.as_bgr(image))
        except _Silent:
            found = f"no further frame after {index}" if apart.last else "none that opens"
            raise OSError(f"{name}: found {found} {_in_vain()}; plug it in again, or start it anew") from None


def _open_camera(number: int) -> "cv2.VideoCapture":
    with _silent_opencv():
        return cv2.VideoCapture(number)


def without_password(name: str) -> str:
    """A source's name without what a URL may have of a password."""
    for secret, instead in _SECRET if "://" in name else ():
        name = secret.sub(instead, name)
    return name


def _video_frames(url: str, name: str, every: int) -> Iterator[Frame]:
    name, file = readable(without_password(name)), url.removeprefix("file:")
    with _Apart(waits=url == file or not os.path.isfile(file)) as apart:
        container = _opened(url, name, apart)
        if not container.streams.video:
            raise _no_video(name, "no pictures in it")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise _no_video(name, "a codec that cannot be read")
        stream.thread_type = "AUTO"
        if stream.codec_context.name in ("mjpeg", "png", "apng"):  # they mark nothing; others would count it twice
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        step = 1 / float(stream.average_rate or stream.guessed_rate or 25)
        index, damaged, damage, first, last = -1, 0, "", None, 0.0
        for index, decoded in enumerate(_decoded(container, stream, name, apart)):
            image, why = _pixels(decoded, index % every == 0)
            if why:
                damaged, damage = damaged + 1, damage or f"frame {index}: {why}"
                continue
            moment = index * step if decoded.time is None else decoded.time
            if first is None:  # only the file knows the time of a damaged first frame
                known = damaged and stream.start_time is not None
                first = float(stream.start_time * stream.time_base) if known else moment
            if moment - first < last:  # as where recordings are joined: the clock goes on from there
                first = moment - last - step
            last = moment - first
            if image is None:
                continue
            image = _square_pixels(image, stream.sample_aspect_ratio)
            yield Frame(index, last, name, pictures.orient(image, _orientation(decoded)))
        if first is None:
            raise _no_video(name, f"no frame that can be decoded ({damage or 'no frame in it'})")
        if damaged:
            warnings.warn(
                f"{name}: found {damaged} damaged of {index + 1} frames, first {damage}; left out", stacklevel=2
            )


def _pixels(decoded, wanted: bool) -> tuple[np.ndarray | None, str]:
    """A frame's pixels, as they are stored, None if they are not wanted; or why it has none that can be shown."""
    import av

    if isinstance(decoded, Exception):
        return None, _reason(decoded)
    if decoded.is_corrupt:  # what is missing is grey, or what was there before
        return None, "a part of it is missing or damaged"
    try:
        return decoded.to_ndarray(format="bgr24", threads=1) if wanted else None, ""
    except (av.error.FFmpegError, ValueError) as error:  # colours that do not exist
        return None, _reason(error)


def _opened(url: str, name: str, apart: _Apart):
    """A video's container; ``apart`` closes it."""
    import av

    file, source = url.removeprefix("file:"), url
    if file != url and Path(file).is_fifo():
        source = _Pipe(file)
        apart.last.append(source.file.close)
    try:
        # Its own limit is for the thread, of which nobody knows any more.
        container = apart(partial(av.open, source, timeout=(HOPE, HOPE), metadata_errors="replace"))
    except _Silent:
        if source is not url:
            raise OSError(f"{name}: found nothing {_in_vain()}, expected a video; check the sender") from None
        found = f"nothing to be read as a video {_in_vain()}"
        raise refused(name, found, "a video or a stream", "check the sender") from None
    except (av.error.FFmpegError, OSError) as error:
        raise _no_video(name, f"nothing to be read as a video ({_reason(error)})") from error
    apart.last.append(container.close)
    return container


class _Pipe:
    """A named pipe to read from. It may be opened before anybody writes into it."""

    def __init__(self, path: str):
        self.file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)

    def read(self, size: int) -> bytes:
        select.select([self.file], [], [], HOPE)
        return self.file.read(size) or b""


def _square_pixels(image: np.ndarray, aspect: Fraction | None) -> np.ndarray:
    """A frame as wide as it is shown: its pixels, as stored, are ``aspect`` times as wide as they are high."""
    if not aspect or aspect == 1 or not 1 / 8 <= aspect <= 8:
        return image
    return cv2.resize(image, (max(1, round(image.shape[1] * float(aspect))), image.shape[0]))


def _orientation(decoded) -> int:
    """How a frame is to be turned and mirrored, 1 to 8 as in EXIF: what is nearest to its display matrix."""
    note = _side_data(decoded).get("DISPLAYMATRIX")
    if note is None:
        return 1
    a, b, _, c, d, *_ = np.frombuffer(note, np.int32).astype(float)  # x' = a x + c y, y' = b x + d y
    return max(TURNS, key=lambda orientation: np.dot(TURNS[orientation], (a, b, c, d)))


def _side_data(decoded) -> Mapping:
    """What FFmpeg notes beside a frame. It knows kinds that PyAV has no name for, such as EXIF data; PyAV refuses all
    notes of a frame that has one, unless told to go without its name. (A frame's own ``side_data`` and the frame keep
    each other in memory until the garbage is collected: hundreds of frames.)"""
    from av.sidedata.sidedata import SideDataContainer, Type

    try:
        return SideDataContainer(decoded)
    except ValueError:

        def nameless(types: type, number: int) -> Type:
            kind = object.__new__(types)
            kind._name_, kind._value_ = f"KIND_{number}", number
            return kind

        Type._missing_ = classmethod(nameless)
        return SideDataContainer(decoded)


def _no_video(name: str, found: str) -> ValueError:
    return refused(name, found, "a video or a stream", "see whether a player plays it, or convert it")


def _decoded(container, stream, name: str, apart: _Apart) -> Iterator:
    """The frames of a stream, with the error in place of each damaged one.

    Raises OSError if the stream falls silent, gives only damaged frames, or its sender has gone.
    """
    import av

    index, packets, since = 0, container.demux(stream), time.monotonic()
    apart.last.append(lambda: packets.close())
    while True:
        try:
            packet = apart(next, packets, None)
        except IndexError:  # a packet of another stream, which was not there when the file was opened
            packets = container.demux(stream)
            continue
        except (_Silent, av.error.FFmpegError) as error:
            if isinstance(error, av.error.InvalidDataError) and not apart.thread:  # of a file, nothing comes after this
                yield error
                return
            why = _in_vain() if isinstance(error, _Silent) else f"({_reason(error)})"
            raise OSError(f"{name}: found no further frame after {index} {why}; check the sender") from error
        if packet is None:
            return
        try:
            decoded = packet.decode()
        except av.error.FFmpegError as error:
            decoded = [error]
        yield from decoded
        index += len(decoded)
        if not apart.thread or any(not (isinstance(each, Exception) or each.is_corrupt) for each in decoded):
            since = time.monotonic()
        elif time.monotonic() - since > HOPE:
            found = f"found no whole frame for {HOPE:.0f} seconds, only damaged ones, after {index}"
            raise OSError(f"{name}: {found}; check the sender")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or reason(error)
