"""Faces cut out of AffectNet's pictures once: ``CACHE/affectnet-<digest>/``, arrays that are mapped instead of read.

Pictures are decoded by threads (OpenCV leaves the interpreter's lock), a block at a time, and written in order, without
those that cannot be used. A block counts as done when it is on the disk; who is killed goes on after the last one.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import math
import os
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from .. import paths, system
from . import PROGRESS, refused

CUT_OUT = 224
"""Side of the newer layout's pictures, by which a reduced decoding is chosen before a picture's size is known."""

_BLOCK_BYTES, _BLOCK_ROWS = 4 << 20, 512
_HEADER = 128  # bytes that np.save's header takes here, whatever the number of rows
_REDUCED = {
    (False, 1): cv2.IMREAD_GRAYSCALE, (False, 2): cv2.IMREAD_REDUCED_GRAYSCALE_2,
    (False, 4): cv2.IMREAD_REDUCED_GRAYSCALE_4, (False, 8): cv2.IMREAD_REDUCED_GRAYSCALE_8,
    (True, 1): cv2.IMREAD_COLOR, (True, 2): cv2.IMREAD_REDUCED_COLOR_2,
    (True, 4): cv2.IMREAD_REDUCED_COLOR_4, (True, 8): cv2.IMREAD_REDUCED_COLOR_8,
}  # fmt: skip


_BROKEN = OSError, ValueError, KeyError, TypeError, EOFError  # what reading a damaged cache can raise


class Wanted(NamedTuple):
    """The faces to cut out, in the order in which they are kept."""

    pictures: list[str]  # path below the data's folder
    boxes: np.ndarray  # (n, 4) int32: x, y, width, height; all 0 for the whole picture
    labels: np.ndarray  # (n,) uint8
    split: np.ndarray  # (n,) uint8
    unusable: dict[int, str]  # position -> why there is nothing to decode
    side: int
    colour: bool

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides what is kept, but for the pictures' own bytes."""
        digest = hashlib.sha256(f"1 {self.side} {self.colour} {cv2.__version__}\n".encode())
        for part in (
            "\n".join(self.pictures).encode(),
            self.boxes,
            self.labels,
            self.split,
            str(self.unusable).encode(),
        ):
            digest.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
        return digest.hexdigest()


class LeftOut(NamedTuple):
    """A picture whose face is not among the faces, as ``left_out.csv`` lists it."""

    picture: str
    bytes: int  # the file's size, -1 where there is none
    reason: str


def find(stamp: str) -> tuple[tuple[np.ndarray, ...], dict, list[LeftOut]] | None:
    """What ``keep`` kept under a stamp: arrays, what is known about them, and what was left out; None where nothing."""
    for about in sorted(paths.CACHE.glob("affectnet-*/about.json")):
        with contextlib.suppress(*_BROKEN):
            if json.loads(about.read_text(encoding="utf-8"))["stamp"] == stamp:
                return _opened(about.parent)
    return None


def keep(folder: Path, wanted: Wanted, about: dict) -> tuple[tuple[np.ndarray, ...], dict, list[LeftOut]]:
    """Cut the faces out of the pictures below ``folder``, or take them where that was done before; as ``find`` returns.

    ``about`` is kept beside them, and its "stamp" is what ``find`` knows them by. Images (m, side, side) or (m, side,
    side, 3) uint8 are memory-mapped, labels and split (m,) uint8; m is n less the pictures left out. Raises ValueError
    where more than half of the pictures cannot be used, OSError where the cache cannot be written. A second process
    waits for the first.
    """
    kept = paths.CACHE / f"affectnet-{wanted.digest[:12]}"
    try:
        with system.locked(kept.with_suffix(".lock"), f"reading {folder}", patience=math.inf):
            try:
                found = _opened(kept)
                if found[1].get("stamp") == about["stamp"] and not changed(folder, found[2]):
                    return found
            except _BROKEN:
                found = None
            if found is None or changed(folder, found[2]):
                shutil.rmtree(kept, ignore_errors=True)
                _decode_all(folder, wanted, kept.with_suffix(".partial"), about)
                kept.with_suffix(".partial").rename(kept)
            else:  # the same data in another place, or its lists were written anew
                _write(kept / "about.json", json.dumps(found[1] | about))
            return _opened(kept)
    except OSError as error:
        raise OSError(f"{kept}: cannot keep the faces ({error}); set FER_CACHE to where there is room") from error


def changed(folder: Path, left_out: list[LeftOut]) -> bool:
    """Whether a picture that was left out has since come, gone or changed its size."""
    return any(_size(folder / one.picture) != one.bytes for one in left_out)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _opened(kept: Path) -> tuple[tuple[np.ndarray, ...], dict, list[LeftOut]]:
    about = json.loads((kept / "about.json").read_text(encoding="utf-8"))
    images = np.load(kept / "images.npy", mmap_mode="r")
    labels, split = np.load(kept / "labels.npy"), np.load(kept / "split.npy")
    if not len(images) == len(labels) == len(split) == about["rows"]:
        raise ValueError(f"{kept}: found arrays of different lengths; delete the folder to have it made again")
    with open(kept / "left_out.csv", newline="", encoding="utf-8") as file:
        left_out = [LeftOut(row["picture"], int(row["bytes"]), row["reason"]) for row in csv.DictReader(file)]
    return (images, labels, split), about | {"folder": str(kept)}, left_out


# ---- one picture


def face(path: Path, box: tuple[int, int, int, int], side: int, colour: bool) -> np.ndarray | str:
    """The face in a picture, (side, side) or (side, side, 3) RGB uint8, or why there is none, in words.

    box: x to the right, y downwards from the upper left corner, width and height, in pixels; what lies outside of the
    picture is cut off. All 0: the whole picture. What is not square is made so. Orientation that a camera noted is not
    heeded: the boxes were drawn on the pixels as they are.

    JPEG pictures are decoded at a half, a quarter or an eighth of their size where the face stays as large as it is
    wanted; the box is then rounded to pixels of that size. The whole file is read first: from memory OpenCV refuses a
    file that ends too soon, from disk it would give the upper part of a picture.
    """
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        return "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
    x, y, width, height = box
    extent = min(width, height) or CUT_OUT
    is_jpeg = content[:2].tobytes() == b"\xff\xd8"
    factor = next((factor for factor in (8, 4, 2) if is_jpeg and extent >= factor * side), 1)
    image = _decoded(content, colour, factor)
    if image is not None and factor > 1 and not width and min(image.shape[:2]) < side:
        image = _decoded(content, colour, 1)
    if image is None:
        return f"cannot be decoded, {len(content):,} bytes"
    if width:
        left, right, top, bottom = (round(edge / factor) for edge in (x, x + width, y, y + height))
        image = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        if not image.size:
            return f"face box {x} {y} {width} {height} outside of the picture"
    shrinks = min(image.shape[:2]) >= side
    image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if colour else image


def _decoded(content: np.ndarray, colour: bool, factor: int) -> np.ndarray | None:
    try:
        return cv2.imdecode(content, _REDUCED[colour, factor] | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # an empty file, or one that claims to be huge
        return None


# ---- all of them


def _decode_all(folder: Path, wanted: Wanted, partial: Path, about: dict) -> None:
    """Fill ``partial`` with what ``keep`` keeps, going on with what a killed process left there."""
    n, shape = len(wanted.pictures), (wanted.side, wanted.side, 3)[: 2 + wanted.colour]
    row_bytes = math.prod(shape)
    rows = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // row_bytes))
    starts = range(0, n, rows)
    partial.mkdir(parents=True, exist_ok=True)
    done, bad = _log(partial / "blocks.jsonl", rows)
    with open(partial / "images.npy", "ab") as images, open(partial / "blocks.jsonl", "a", encoding="utf-8") as log:
        # the header is written last, when the number of faces is known; a block that was not logged is cut off
        images.truncate(_HEADER + (min(n, done * rows) - len(bad)) * row_bytes)

        def block(start: int) -> list[np.ndarray | str]:
            return [
                wanted.unusable[k] if k in wanted.unusable
                else face(folder / wanted.pictures[k], wanted.boxes[k].tolist(), wanted.side, wanted.colour)
                for k in range(start, min(start + rows, n))
            ]  # fmt: skip

        with tqdm(desc="Cutting out faces", total=n, initial=min(n, done * rows), unit=" faces", **PROGRESS) as bar:
            for start, faces in zip(starts[done:], _in_order(block, starts[done:])):
                missed = {start + k: found for k, found in enumerate(faces) if isinstance(found, str)}
                bad |= missed
                images.write(b"".join(found.tobytes() for found in faces if not isinstance(found, str)))
                images.flush()
                os.fsync(images.fileno())
                log.write(json.dumps({"start": start, "rows": rows, "bad": missed}) + "\n")
                log.flush()
                bar.update(len(faces))
                if (start + len(faces) == n or start > 1000) and 2 * len(bad) > start + len(faces):
                    shutil.rmtree(partial)
                    first, name = next(iter(bad)), wanted.pictures[next(iter(bad))]
                    found = f"{len(bad):,} of {start + len(faces):,} pictures unusable ({name}: {bad[first]})"
                    raise refused(folder, found, "most of them whole", "unpack all of AffectNet there")
    good = np.setdiff1d(np.arange(n), list(bad))
    labels, split = wanted.labels[good], wanted.split[good]
    with open(partial / "images.npy", "r+b") as images:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(good), *shape)}
        np.lib.format.write_array_header_1_0(images, header)
        assert images.tell() == _HEADER
    for name, array in {"labels": labels, "split": split}.items():
        np.save(partial / f"{name}.npy", array)
    _write_csv(partial / "left_out.csv", LeftOut._fields, (
        (wanted.pictures[k], _size(folder / wanted.pictures[k]), reason) for k, reason in sorted(bad.items())
    ))  # fmt: skip
    _write_csv(partial / "pictures.csv", ("id", "picture"), ((k, wanted.pictures[row]) for k, row in enumerate(good)))
    sha256 = _hash(partial / "images.npy", labels, split)
    _write(partial / "about.json", json.dumps(about | {"rows": len(good), "sha256": sha256}))
    (partial / "blocks.jsonl").unlink()


def _log(path: Path, rows: int) -> tuple[int, dict[int, str]]:
    """How many blocks are done, and what could not be used in them; a torn last line is taken off."""
    lines, bad = [], {}
    with contextlib.suppress(OSError):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            try:
                entry = json.loads(line)
            except ValueError:
                break
            if (entry["start"], entry["rows"]) != (number * rows, rows):
                lines, bad = [], {}  # of a program with other blocks
                break
            lines.append(line)
            bad |= {int(row): reason for row, reason in entry["bad"].items()}
    _write(path, "".join(f"{line}\n" for line in lines))
    return len(lines), bad


def _in_order(function, values) -> Iterator:
    """``function`` of each value by threads, in order, and never more than a few ahead: memory stays bounded."""
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque = deque()
        try:
            for value in values:
                waiting.append(pool.submit(function, value))
                if len(waiting) > threads + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _hash(images: Path, labels: np.ndarray, split: np.ndarray) -> str:
    """``data.array_hash``, the images read from their file: mapped, all of them would come to count as memory."""
    digest = hashlib.sha256()
    with open(images, "rb") as file:
        file.seek(_HEADER)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    for array in (labels, split):
        digest.update(array.data)
    return digest.hexdigest()


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _write_csv(path: Path, header, rows) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
