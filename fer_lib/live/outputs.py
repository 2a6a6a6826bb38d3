"""Outputs for results: lines, a CSV file, a video, a picture, a window; and the drawing of faces on frames.

Each output is a context manager. It gives a function to call with every result and whether its source moves. What is
written is complete when the context ends, however it ends. A window's function returns True when its user closes it. An
older file keeps its content until the first result. What the system refuses is an OSError that names option and file.
"""

import csv
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ..data.emotions import FER2013
from ..files import pictures, readable, reason, refused, writing
from .pipeline import Face, Result

Output = Callable[[Result, bool], bool | None]

MILLISECOND = Fraction(1, 1000)
LARGEST = 16_384
"""The longest side in pixels that H.264's encoder takes."""

# Blue, green, red; of the report's palette.
SURE, OPEN, DARK, LIGHT = (178, 114, 0), (140, 140, 140), (30, 30, 30), (255, 255, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX
PICTURES = (".png", ".jpg", ".jpeg")
OF_A_FACE = ("track", "box", "turn", "top2", "abstained", "probabilities")
"""What a line of JSON has of a face."""
NO_TABLES = (".mkv", ".mp4", ".html", ".json", *PICTURES)
"""Endings of names that no table should have."""


@contextmanager
def told(option: str, path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Around or on what writes: an OSError, or one of these, becomes an OSError that names option and file. Only that
    the reader of a pipe has closed it stays a BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, *errors) as error:
        found = (getattr(error, "strerror", None) or reason(error)).lower()
        then = "make room, correct the path or its permissions, or name another file"
        raise OSError(f"{option} {readable(path)}: found {found}, expected what can be written to; {then}") from error


# ---- lines


def as_dicts(result: Result) -> list[dict]:
    """The lines of ``--json``: a dict for each face. A frame without one has a single dict, a face's values None."""
    return [about(result) | _face(face) for face in result.faces] or [about(result) | dict.fromkeys(OF_A_FACE)]


def about(result: Result) -> dict:
    """What all lines of a frame have."""
    name, moment = readable(result.name), round(result.time, 3)
    return {"frame": result.index, "time": moment, "name": name, "top_emotion": result.top_emotion}


def _face(face: Face) -> dict:
    return {
        "track": face.track,
        "box": list(face.box),
        "turn": round(face.turn, 1),
        "top2": [] if face.flat else [name for name, _ in face.top2],
        "abstained": face.abstained,
        "probabilities": {name: round(float(p), 4) for name, p in zip(face.emotions, face.probabilities)},
    }


def print_json(result: Result, moving: bool) -> None:
    """One line for each face on standard output, written frame by frame, and one for a frame without a face."""
    for line in as_dicts(result):
        print(json.dumps(line), flush=True)


def print_json_frame(result: Result, moving: bool) -> None:
    """One line for each frame, with a list of its faces."""
    print(json.dumps(about(result) | {"faces": [_face(face) for face in result.faces]}), flush=True)


def print_text(result: Result, moving: bool, several: bool = False) -> None:
    """The same in readable form. several: name the source in each line."""
    name = readable(result.name)
    place = f"{result.time:8.2f} s" if moving else name
    if several and moving:
        place = f"{name} {place.lstrip()}"
    for face in result.faces:
        (first, likely), (second, less) = face.top2
        left, top, width, height = face.box
        seen = f"{'abstained, perhaps ' if face.abstained else ''}{first} {likely:.0%}, {second} {less:.0%}"
        seen = "abstained, nothing to see but one grey" if face.flat else seen
        print(f"{place}  face {face.track} ({width}x{height} at {left},{top}): {seen}", flush=True)
    if not result.faces:
        print(f"{place}  no face found", flush=True)


def check_csv(path: Path) -> None:
    """Raise ValueError early for a name that no table should have."""
    if str(path) == "-":
        raise refused("--csv", "-", "a file's name", "/dev/stdout is the standard output's")
    if path.suffix.lower() in NO_TABLES:
        raise refused("--csv", str(path), "a name that ends in .csv", "name such a file")


@contextmanager
def csv_file(path: Path) -> Iterator[Output]:
    """A CSV file with one line for each face, and one for a frame without a face, whose ``faces`` is 0. Each frame's
    lines are written to the system at once."""
    box = ["left", "top", "width", "height", "turn"]
    head = ["frame", "time", "name", "faces", "top_emotion", "track", *box, "first", "second", "abstained", *FER2013]
    with ExitStack() as stack:
        with told("--csv", path):
            file = stack.enter_context(writing.alone(path))

        @told("--csv", path)
        def write(result: Result, moving: bool) -> None:
            nonlocal head
            lines = io.StringIO(newline="")
            if head:
                writing.empty(file)
                csv.writer(lines).writerow(head)
                head = None
            for line in as_dicts(result):
                row = [line["frame"], line["time"], line["name"], len(result.faces), line["top_emotion"]]
                if line["track"] is None:
                    row += [None] * (len(box) + 4 + len(FER2013))
                else:
                    row += [line["track"], *line["box"], line["turn"], *(line["top2"] or [None] * 2)]
                    row += [int(line["abstained"]), *line["probabilities"].values()]
                csv.writer(lines).writerow(row)
            writing.add_lines(file, lines.getvalue().encode())

        yield write


# ---- pictures


def overlay(result: Result, rate: float | None = None) -> np.ndarray:
    """A copy of a result's frame with its faces drawn on it, (height, width, 3) uint8, blue first.

    A face without a predicted emotion (abstained) has a grey box and a question mark. A region has a thin grey edge.
    rate: frames per second, for the upper left corner.
    """
    image = result.image.copy()
    size = max(0.35, min(image.shape[:2]) / 960)
    if result.region:
        left, top, width, height = result.region
        cv2.rectangle(image, (left, top), (left + width - 1, top + height - 1), OPEN, 1)
    for face in result.faces:
        _draw_face(image, face, size)
    if rate is not None:
        _draw_text(image, f"{rate:.0f} frames/s", (6, round(24 * size) + 6), size)
    return image


def _draw_face(image: np.ndarray, face: Face, size: float) -> None:
    left, top, width, height = face.box
    colour = OPEN if face.abstained else SURE
    corners = cv2.boxPoints(((left + width / 2, top + height / 2), (width, height), face.turn))
    cv2.polylines(image, [np.rint(corners).astype(np.int32)], True, colour, max(1, round(3 * size)), cv2.LINE_AA)
    (left, top), (right, _) = (np.rint(end).astype(int).tolist() for end in (corners.min(axis=0), corners.max(axis=0)))
    name, probability = face.top2[0]
    label = (
        f"{face.track}: ?" if face.flat else f"{face.track}: {name}{'?' if face.abstained else ''} {probability:.0%}"
    )
    _draw_text(image, label, (left, max(top - round(8 * size), round(24 * size))), size)
    line, length = round(22 * size), round(130 * size)
    beside = right + 6
    if beside + length > image.shape[1]:  # no room on the right
        beside = max(0, left - length - 6)
    first = min(max(0, top), max(0, image.shape[0] - line * len(face.emotions)))
    for k, (emotion, share) in enumerate(zip(face.emotions, face.probabilities)):
        y = first + k * line
        cv2.rectangle(image, (beside, y), (beside + length, y + line - 2), DARK, cv2.FILLED)
        cv2.rectangle(image, (beside, y), (beside + round(length * float(share)), y + line - 2), colour, cv2.FILLED)
        place = beside + 3, y + line - round(7 * size)
        cv2.putText(image, emotion, place, FONT, 0.64 * size, LIGHT, 1, cv2.LINE_AA)


def _draw_text(image: np.ndarray, text: str, place: tuple[int, int], size: float) -> None:
    """White on a dark edge: legible on anything."""
    width = max(1, round(1.6 * size))
    cv2.putText(image, text, place, FONT, size * 0.8, DARK, width + 2, cv2.LINE_AA)
    cv2.putText(image, text, place, FONT, size * 0.8, LIGHT, width, cv2.LINE_AA)


class Rate:
    """Recent frames per second."""

    def __init__(self):
        self.before, self.seconds = time.perf_counter(), None

    def now(self) -> float:
        """The rate; to be called once for each frame."""
        moment = time.perf_counter()
        took, self.before = moment - self.before, moment
        self.seconds = took if self.seconds is None else 0.9 * self.seconds + 0.1 * took
        return 1 / max(self.seconds, 1e-6)


def check_drawn(path: Path, one_picture: bool) -> None:
    """Raise ValueError early for a name that ``drawn_file`` has no form for."""
    if path.suffix.lower() not in (".mkv", *(PICTURES if one_picture else ())):
        expected = "a name that ends in .mkv, or .png or .jpg for one picture"
        raise refused("--save", str(path), expected, "name such a file")


def drawn_file(path: Path) -> AbstractContextManager[Output]:
    """The output to a video, or to a picture if the source is one picture, chosen by the file's name."""
    if path.suffix.lower() == ".mkv":
        return video_file(path)

    @told("--save", path, ValueError)
    def write(result: Result, moving: bool) -> None:
        writing.replace_bytes(path, pictures.encode(overlay(result), path.suffix.lower()))

    return nullcontext(write)


@contextmanager
def video_file(path: Path) -> Iterator[Output]:
    """A Matroska file of the frames with their faces drawn on them.

    Every frame is its own cluster and is written before the next is read, so that a file that was never closed plays up
    to the last frame but one. Frames keep their time; pictures come one per second. Each further source begins a second
    after the one before. All have the size of the first frame, but no side longer than ``LARGEST``.
    """
    import av

    rate, stream, last, before, begin, disk = Rate(), None, -1, -1, 0, None

    @contextmanager
    def saving() -> Iterator[None]:
        with told("--save", path, av.error.FFmpegError):
            try:
                yield
            except (OSError, av.error.FFmpegError):
                if disk and disk.error:  # FFmpeg's own says at times only that there was one
                    raise disk.error from None
                raise

    with ExitStack() as stack:
        with saving():
            file = stack.enter_context(writing.alone(path))
            disk = _Disk(file)
            every_frame = {"flush_packets": "1", "cluster_time_limit": "1"}
            film = av.open(disk, "w", format="matroska", options=every_frame)

        @saving()
        def write(result: Result, moving: bool) -> None:
            nonlocal stream, last, before, begin
            image = overlay(result, rate.now() if moving else None)
            height, width = image.shape[:2]
            if stream is None:
                options = {"preset": "veryfast", "tune": "zerolatency", "crf": "20"}
                opened = film.add_stream("libx264", rate=30, options=options)
                scale = min(1.0, LARGEST / max(height, width))
                height, width = (max(1, int(scale * side)) for side in (height, width))
                opened.width, opened.height = width + width % 2, height + height % 2  # halves of colour
                opened.pix_fmt = "yuv420p"
                opened.codec_context.time_base = MILLISECOND
                opened.codec_context.open()
                writing.empty(file)  # now that nothing speaks against the new one
                stream = opened
            image = _on_canvas(image, stream.width, stream.height)
            frame = av.VideoFrame.from_ndarray(image, "bgr24")
            if result.index <= before:  # another source: numbers start again
                begin = last + 1000
            before = result.index
            moment = result.time if moving else result.index
            last = frame.pts = max(begin + round(1000 * moment), last + 1)
            frame.time_base = MILLISECOND
            film.mux(stream.encode(frame))

        try:
            yield write
        finally:
            known = suppress(OSError, av.error.FFmpegError) if disk.error else saving()
            with known, film:
                if stream is not None and not disk.error:
                    film.mux(stream.encode(None))


class _Disk:
    """A file that FFmpeg writes to, each time all that it gives. ``error`` is the first that the system gave."""

    def __init__(self, file: io.FileIO):
        self.file, self.error = file, None

    def write(self, content: bytes) -> int:
        try:
            writing.write_all(self.file, content)
        except OSError as error:
            self.error = self.error or error
            raise
        return len(content)

    def __getattr__(self, name: str):
        return getattr(self.file, name)


def _on_canvas(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """An image in a frame of this size: reduced if it is larger, with a black border if it is smaller."""
    scale = min(1.0, width / image.shape[1], height / image.shape[0])
    if scale < 1:
        size = max(1, int(image.shape[1] * scale)), max(1, int(image.shape[0] * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    below, beside = height - image.shape[0], width - image.shape[1]
    return cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_CONSTANT) if below or beside else image


@contextmanager
def window() -> Iterator[Output]:
    """A window. A video runs no faster than it was recorded, a picture stays until a key is pressed. It ends with q,
    Escape, or when it is closed.

    Raises RuntimeError if OpenCV has no windows or there is no display.
    """
    if re.search(r"^\s*GUI:\s*NONE", cv2.getBuildInformation(), re.MULTILINE):
        from importlib.metadata import version

        raise RuntimeError(
            "--show: found an OpenCV without windows (opencv-python-headless), expected opencv-python of the extra "
            f"live-window; put it over the other with: {sys.executable} -m pip install --force-reinstall --no-deps "
            f"opencv-python=={version('opencv-python-headless')}"
        )
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise RuntimeError("--show: found no display, expected DISPLAY or WAYLAND_DISPLAY; leave --show out, or --save")
    title, rate, before, started = "fer live", Rate(), -1, time.monotonic()

    def write(result: Result, moving: bool) -> bool:
        nonlocal before, started
        if result.index <= before:  # another source
            started = time.monotonic()
        before = result.index
        cv2.imshow(title, overlay(result, rate.now() if moving else None))
        key = cv2.waitKey(max(1, round(1000 * (result.time - (time.monotonic() - started)))) if moving else 0) & 0xFF
        return key in (ord("q"), 27) or cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1

    try:
        yield write
    finally:
        cv2.destroyAllWindows()
