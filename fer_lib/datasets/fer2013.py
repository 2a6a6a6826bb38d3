"""FER2013 (Goodfellow et al. 2013): 35,887 grey faces of 48 x 48 pixels in seven emotions, brought by the reader.

Nothing is downloaded. ``load()`` reads Kaggle's ``fer2013.csv`` (columns emotion, pixels, Usage; plain, .gz or .zip),
or an ``.npz`` of uint8 arrays: pixels (n, 48, 48), emotion (n,), usage (n,; 0 Training, 1 PublicTest, 2 PrivateTest).
A file is parsed once, into a memory-mapped cache named after its content. Another form of file wants a branch in
``_parse``. What is official is decided by the arrays, not the file: a CSV, its .gz, its .zip and an .npz are the same.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import shutil
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np

from .. import paths
from ..emotions import FER2013 as EMOTIONS
from . import SPLITS, Faces, array_hash

NAMES = ("fer2013.csv", "fer2013.csv.gz", "fer2013.csv.zip", "fer2013.zip", "fer2013.npz")
"""The file names looked for in a folder; the first that is there is taken."""

OFFICIAL_MD5 = "f8428a1edbd21e88f42c73edd2a14f95"
"""MD5 of Kaggle's ``fer2013.csv``, uncompressed (301,072,766 bytes)."""

OFFICIAL_SHA256 = "bb183fb6943ddf60cee1219371efd38a18d40392d446398712869eac5e880089"
"""``array_hash`` of that file's images, labels and split."""

OFFICIAL_COUNTS = {
    "Training": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "PublicTest": (467, 56, 496, 895, 653, 415, 607),
    "PrivateTest": (491, 55, 528, 879, 594, 416, 626),
}
"""Faces per emotion, in the order of their codes, in each part of that file."""

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # images (n, 48, 48), labels (n,), split (n,), all uint8

_SIDE = 48
_BLOCK = 64  # rows parsed at a time: what they need then stays in the processor's cache
_ANEW = "fetch the file again"


def find() -> Path | None:
    """The FER2013 file that ``load()`` would read, or None where there is none.

    The environment variable ``FER2013`` (a file, or a folder with one of ``NAMES``) precedes the project's ``data/``.
    Raises FileNotFoundError when it is set but leads to no file: a wrong path must not fall back silently.
    """
    named = os.environ.get("FER2013")
    return _file_at(Path(named), f"FER2013={named}") if named else _known_file(paths.DATA)


def load(path: str | Path | None = None) -> Faces:
    """FER2013 as ``Faces``: images (n, 48, 48) uint8, memory-mapped, read-only; every row, in the file's order.

    path: a file, or a folder holding one of ``NAMES``; None takes what ``find()`` finds.

    The faces' ``source``: "file" (its name), "official" (whether images, labels and split are those of Kaggle's file),
    "official_md5" (``OFFICIAL_MD5`` if so, else None), "md5" (of the CSV's uncompressed bytes; for an .npz the official
    CSV's if its arrays are the official ones, else its own) and, for an .npz only, "file_md5" (its own).

    Sound data other than the official loads with a UserWarning that says how it differs. Raises FileNotFoundError where
    there is no file, ValueError naming file and row for one that is malformed, OSError if the cache cannot be written.
    """
    path = find() if path is None else _file_at(Path(path), str(path))
    if path is None:
        raise FileNotFoundError(
            f"FER2013 is not here: the environment variable FER2013 is not set, and {paths.DATA} holds none of "
            f"{', '.join(NAMES)}. Get fer2013.csv from Kaggle ('Challenges in Representation Learning: Facial "
            f"Expression Recognition Challenge'), then set FER2013=PATH to where it is, or put it at "
            f"{paths.DATA / NAMES[0]}"
        )
    (images, labels, split), sha256, md5 = _cached(path)
    official = sha256 == OFFICIAL_SHA256
    if not official:
        warnings.warn(f"{path} is not the official FER2013: {_difference(labels, split)}", stacklevel=2)
    source = {"file": path.name, "md5": md5, "official": official, "official_md5": OFFICIAL_MD5 if official else None}
    if _is_npz(path):
        source |= {"md5": OFFICIAL_MD5 if official else md5, "file_md5": md5}
    return Faces(images, labels, split, np.arange(len(labels), dtype=np.int32), "fer2013", sha256, source)


def _known_file(folder: Path) -> Path | None:
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def _file_at(path: Path, said: str) -> Path:
    path = path.expanduser()
    found = path if path.is_file() else _known_file(path)
    if found is None:
        what = f"a folder with none of {', '.join(NAMES)}" if path.is_dir() else "no such file or folder"
        expected = "FER2013's CSV (plain, .gz or .zip) or .npz, or a folder with it"
        raise FileNotFoundError(f"{said}: found {what}, expected {expected}; correct the path")
    return found


def _is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _difference(labels: np.ndarray, split: np.ndarray) -> str:
    """How this data differs from the official, in words; the counts tell only where the number of rows is the same."""
    expected = np.array(list(OFFICIAL_COUNTS.values()))
    if len(labels) != expected.sum():
        return f"found {len(labels):,} rows, expected {expected.sum():,}"
    counts = np.zeros_like(expected)
    np.add.at(counts, (split, labels), 1)
    differing = [
        f"{SPLITS[part]} {EMOTIONS[emotion]} {counts[part, emotion]} (expected {expected[part, emotion]})"
        for part, emotion in np.argwhere(counts != expected)
    ]
    if differing:
        return f"as many rows, but found {', '.join(differing)}"
    return "as many rows in each emotion and part, but other pixels, labels or order"


# ---- reading a file


def _refused(place: object, found: str, expected: str, then: str = _ANEW) -> ValueError:
    return ValueError(f"{place}: found {found}, expected {expected}; {then}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "...")


def _parse(path: Path) -> Arrays:
    if _is_npz(path):
        return _parse_npz(path)
    with _csv_stream(path) as stream, io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="") as text:
        return _parse_csv(path, text)


@contextmanager
def _csv_stream(path: Path) -> Iterator[BinaryIO]:
    """A CSV's uncompressed bytes. ValueError for an archive that holds no one CSV, or breaks while it is being read."""
    ending = path.suffix.lower()
    try:
        if ending == ".gz":
            with gzip.open(path) as stream:
                yield stream
        elif ending == ".zip":
            with zipfile.ZipFile(path) as archive:
                members = [name for name in archive.namelist() if name.lower().endswith(".csv")]
                members = [name for name in members if not name.startswith("__MACOSX/")]  # macOS's shadow files
                if len(members) != 1:
                    found = f"{len(members)} CSV files inside ({', '.join(members) or 'none'})"
                    raise _refused(path, found, "one, fer2013.csv", "unpack it and set FER2013 to the right file")
                with archive.open(members[0]) as stream:
                    yield stream
        else:
            with path.open("rb") as stream:
                yield stream
    # zipfile tells of a password or an unknown method by RuntimeError or its NotImplementedError
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, RuntimeError) as error:
        raise _refused(path, f"a broken archive ({error})", f"a complete {ending} of fer2013.csv") from error


def _parse_csv(path: Path, text: TextIO) -> Arrays:
    reader = csv.reader(text)
    images, labels, split = [], bytearray(), bytearray()
    emotions = [str(code) for code in range(len(EMOTIONS))]
    try:
        rows = _rows(path, reader)
        while block := list(islice(rows, _BLOCK)):
            images.append(_pixels(block))
            labels += bytes(_code(place, "emotion", emotion, emotions) for place, emotion, _, _ in block)
            split += bytes(_code(place, "Usage", usage, SPLITS) for place, _, _, usage in block)
    except csv.Error as error:
        raise _refused(f"{path}, line {reader.line_num}", f"no CSV ({error})", "emotion,pixels,Usage") from error
    if not images:
        raise _refused(path, "a header and no rows", "one row for each face")
    return np.concatenate(images), np.frombuffer(labels, np.uint8), np.frombuffer(split, np.uint8)


def _rows(path: Path, reader) -> Iterator[tuple[str, str, str, str]]:
    """(place, emotion, pixels, usage) of each row, as text; place says where it stands. Blank lines are passed over.

    Columns go by their names, in any order, blanks and case aside; columns of other names are not read.
    """
    header = next(reader, None)
    if header is None:
        raise _refused(path, "an empty file", "the columns emotion, pixels, Usage")
    names = [name.strip().lower() for name in header]
    wanted = [names.index(name) for name in ("emotion", "pixels", "usage") if names.count(name) == 1]
    if len(wanted) != 3:
        found = f"the columns {_shown(','.join(header))}"
        raise _refused(f"{path}, line 1", found, "emotion, pixels and Usage, once each", "take Kaggle's fer2013.csv")
    for number, row in enumerate(filter(None, reader)):
        place = f"{path}, line {reader.line_num} (data row {number}, counted from 0)"
        if len(row) != len(header):
            raise _refused(place, f"{len(row)} fields", f"{len(header)}, as in the header")
        yield place, *(row[column].strip() for column in wanted)


def _code(place: str, column: str, text: str, names: Sequence[str]) -> int:
    if text not in names:
        raise _refused(place, f"{column} {_shown(text)}", f"one of {', '.join(names)}", f"correct this row, or {_ANEW}")
    return names.index(text)


def _pixels(block: list[tuple[str, str, str, str]]) -> np.ndarray:
    """(rows, 48, 48) uint8 from rows of numbers as text: all digits of the block at once, for speed.

    A block of anything but 2,304 numbers a row, 0 to 255, of one to three digits and one blank between, is taken row by
    row instead, where each is either understood (two blanks, a tab) or refused by name.
    """
    texts = [pixels for _, _, pixels, _ in block]
    text = np.frombuffer(f"   {' '.join(texts)} ".encode("ascii", "replace"), np.uint8)  # room to look 3 back, 1 ahead
    value = text - np.uint8(ord("0"))  # wraps round: what is no digit comes out as 10 or more
    digit = value < 10
    last = np.flatnonzero(digit[:-1] & ~digit[1:])  # where each number ends
    if (
        len(last) == len(block) * _SIDE * _SIDE
        and all(pixels.count(" ") == _SIDE * _SIDE - 1 for pixels in texts)
        and np.all(digit | (text == ord(" ")))
    ):
        tens = digit[last - 1]
        hundreds = tens & digit[last - 2]
        numbers = value[last] + value[last - 1] * tens * np.uint16(10) + value[last - 2] * hundreds * np.uint16(100)
        if numbers.max() <= 255 and not np.any(hundreds & digit[last - 3]):
            return numbers.astype(np.uint8).reshape(-1, _SIDE, _SIDE)
    return np.stack([_pixels_of_row(place, pixels) for place, _, pixels, _ in block])


def _pixels_of_row(place: str, text: str) -> np.ndarray:
    then = f"correct or remove this row, or {_ANEW}"
    numbers = text.split()
    if len(numbers) != _SIDE * _SIDE:
        raise _refused(place, f"{len(numbers):,} pixels", f"{_SIDE * _SIDE:,} ({_SIDE} x {_SIDE})", then)
    for position, number in enumerate(numbers):
        if not (len(number) <= 3 and number.isascii() and number.isdigit() and int(number) <= 255):
            raise _refused(place, f"{_shown(number)} as pixel {position}", "whole numbers from 0 to 255", then)
    return np.array([int(number) for number in numbers], np.uint8).reshape(_SIDE, _SIDE)


def _parse_npz(path: Path) -> Arrays:
    keys = ("pixels", "emotion", "usage")
    expected, then = "uint8 arrays pixels (n, 48, 48), emotion (n,), usage (n,)", "write it again, or take fer2013.csv"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            images, labels, split = arrays = [archive[key] for key in keys]
    except (ValueError, KeyError, TypeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise _refused(path, f"no such .npz ({error})", expected, then) from error
    if not labels.size or not _sound(arrays, labels.size):
        found = ", ".join(f"{key} {array.shape} {array.dtype}" for key, array in zip(keys, arrays, strict=True))
        raise _refused(path, found, expected, then)
    for key, codes, names in (("emotion", labels, EMOTIONS), ("usage", split, SPLITS)):
        for row in np.flatnonzero(codes >= len(names))[:1]:
            raise _refused(f"{path}, row {row} (counted from 0)", f"{key} {codes[row]}", f"0 to {len(names) - 1}", then)
    return images, labels, split


def _sound(arrays: Sequence[np.ndarray], rows: int) -> bool:
    """Whether images, labels and split have this many rows, the right shapes and type."""
    shapes = [array.shape for array in arrays]
    return shapes == [(rows, _SIDE, _SIDE), (rows,), (rows,)] and all(array.dtype == np.uint8 for array in arrays)


# ---- the cache: CACHE/fer2013-<MD5 of the content>/, and an index that spares hashing 300 MB at every load


def _cached(path: Path) -> tuple[Arrays, str, str]:
    """A file's arrays (images memory-mapped), their hash, and the MD5 of its content; parsed if it never was."""
    index, key = _read_index(), _index_key(path)
    md5 = index.get(key) or _content_md5(path)
    folder = paths.CACHE / f"fer2013-{md5[:12]}"
    found = _read_cache(folder, md5)
    if found is None:
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        arrays = _parse(path)
        if _index_key(path) != key:
            raise _refused(path, "that the file changed while it was read", "a complete file", "load it again")
        _write_cache(folder, md5, arrays)
        found = _read_cache(folder, md5)
    if key not in index:
        _write_index({known: index[known] for known in index if known.split("|")[0] != key.split("|")[0]} | {key: md5})
    return *found, md5


def _content_md5(path: Path) -> str:
    """MD5 of a CSV's uncompressed bytes, or of an .npz file's."""
    with path.open("rb") if _is_npz(path) else _csv_stream(path) as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _index_key(path: Path) -> str:
    status = path.stat()
    return f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}"


def _read_index() -> dict[str, str]:
    try:
        index = json.loads((paths.CACHE / "fer2013-index.json").read_text(encoding="utf-8"))
        return {str(key): str(md5) for key, md5 in index.items()}
    except (OSError, ValueError, AttributeError):
        return {}  # it only saves time


def _write_index(index: dict[str, str]) -> None:
    new = paths.CACHE / f"fer2013-index.{os.getpid()}"
    new.write_text(json.dumps(index, indent=1), encoding="utf-8")
    new.replace(paths.CACHE / "fer2013-index.json")


def _read_cache(folder: Path, md5: str) -> tuple[Arrays, str] | None:
    """The arrays and their hash, or None where the cache is missing, damaged or another content's."""
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        images = np.load(folder / "images.npy", mmap_mode="r")
        labels, split = np.load(folder / "labels.npy"), np.load(folder / "split.npy")
        if about["md5"] == md5 and _sound((images, labels, split), about["rows"]):
            return (images, labels, split), about["sha256"]
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        pass
    return None


def _write_cache(folder: Path, md5: str, arrays: Arrays) -> None:
    """Written beside its place and renamed, so that a cache is whole or absent."""
    about = {"rows": len(arrays[1]), "md5": md5, "sha256": array_hash(*arrays)}
    try:
        paths.CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=paths.CACHE, prefix=".fer2013-") as temporary:
            new = Path(temporary) / "new"
            new.mkdir()
            for name, array in zip(("images", "labels", "split"), arrays, strict=True):
                np.save(new / f"{name}.npy", array)
            (new / "about.json").write_text(json.dumps(about), encoding="utf-8")
            new.rename(folder)
    except OSError as error:
        if _read_cache(folder, md5) is None:  # else another process was quicker, and its cache is as good
            raise OSError(f"{folder}: cannot keep the parsed data ({error}); set FER_CACHE elsewhere") from error
