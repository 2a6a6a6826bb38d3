"""The files that FER2013 comes in: CSV tables, archives of them, folders and archives of pictures, ``.npz``.

``opened(path)`` finds the data inside a file, whatever it is packed in, and ``arrays`` reads it. Nothing is ever
unpacked to disk. How a file is packed is decided by its first bytes, not its name: Kaggle's clients have saved archives
as ``.csv``.

Pictures are those of Kaggle's public folder copy: ``train/<emotion>/Training_3908.jpg``, and
``test/<emotion>/PublicTest_88305.jpg`` or ``PrivateTest_...``. The folder's name gives the label, the file's name the
part; folders further up mean nothing. The numbers are not rows of the CSV and can occur twice, so a picture's row id is
its position in the order of part, number, emotion: 0 is the first of Training, and the parts have the same order as in
the CSV.
"""

import errno
import gzip
import hashlib
import io
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from ..files import archives, refused, regular
from ..files.arrays import read_npz
from ..files.pictures import decode
from ..files.tables import Table
from . import PROGRESS, SIDE, SPLITS, UNKNOWN, Arrays
from .emotions import FER2013 as EMOTIONS

WHOLE_TABLES = ("fer2013.csv", "icml_face_data.csv")
"""Tables with all rows, in this order of preference if an archive has several."""

COLUMNS = ("pixels", "emotion", "usage")
"""Columns of a table, in lower case, and arrays of an ``.npz``."""

_MAGIC = {b"\x1f\x8b": ".gz", b"\xfd7zXZ\0": ".xz", b"PK": ".zip"}
_BROKEN = (
    EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile, tarfile.TarError, RuntimeError,
    UnicodeDecodeError,
)  # fmt: skip
# zipfile raises RuntimeError for a password or an unknown method (NotImplementedError), UnicodeDecodeError for a name


@dataclass(frozen=True)
class Content:
    """What ``opened`` found. form: "CSV", "NumPy arrays", "JPEG pictures", "PNG pictures" or "JPEG and PNG pictures".

    data: a stream at its start (CSV, arrays), or the pictures' files by name, in the order of the rows.
    place: its name in messages: the path, and the member in an archive.
    """

    path: Path
    place: str
    form: str
    data: BinaryIO | dict[str, bytes]


def may_hold_data(path: Path) -> bool:
    """Whether there is a file here, or a folder that looks like one of pictures."""
    return path.is_file() or bool(_parts_in(path))


def fingerprint(path: Path) -> str:
    """What changes whenever a file, or one in a folder of pictures, changes: path, sizes and times. Nothing is read."""
    if path.is_dir():
        listed = sorted(f"{name} {_state(status)}" for name, status in _walk(path))
        state = hashlib.md5("\n".join(listed).encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
    else:
        state = _state(path.stat())
    return f"{path.resolve()}|{state}"


def _state(status: os.stat_result) -> str:
    return f"{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}"


@contextmanager
def opened(path: Path) -> Iterator[Content]:
    """The FER2013 data in a file or folder. Raises ValueError if a file has none, or turns out damaged."""
    if path.is_dir():
        names = tqdm([name for name, _ in _walk(path)], desc="Reading", unit=" pictures", **PROGRESS)
        yield _pictures(path, {name: regular(path / name).read_bytes() for name in names})
        return
    with regular(path).open("rb") as file:
        head = file.read(max(map(len, _MAGIC)))
    if not head:
        raise refused(path, "an empty file", "FER2013's table, arrays or pictures", "fetch it again")
    packing = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")
    with ExitStack() as stack:
        if path.suffix.lower() == ".npz":
            yield Content(path, str(path), "NumPy arrays", stack.enter_context(path.open("rb")))
            return
        try:
            if not packing and path.suffix.lower() in (".gz", ".tgz", ".xz", ".zip"):
                raise EOFError(f"its first bytes are not those of a {path.suffix}")
            yield _unpacked(path, packing, stack)
        except (*_BROKEN, OSError) as error:
            if not isinstance(error, _BROKEN) and (error.errno != errno.EINVAL or error.filename):
                raise  # zipfile's own, for a place before the file's start, has this number and no name
            expected = "a complete one with FER2013's table or pictures"
            raise refused(path, f"a broken archive ({error})", expected, "fetch it again") from error


def _unpacked(path: Path, packing: str, stack: ExitStack) -> Content:
    """The content of a file that is packed in this way ("", ".gz", ".xz", ".zip"; tar is looked for)."""
    if packing == ".zip":
        archive = stack.enter_context(zipfile.ZipFile(path))
        members, read = {member.filename: member for member in archive.infolist()}, archive.open
        if found := archives.zip_excess(archive):
            raise zipfile.BadZipFile(found)
    else:
        stream = stack.enter_context({"": open, ".gz": gzip.open, ".xz": lzma.open}[packing](path, "rb"))
        if packing:
            stream = io.BufferedReader(archives.Unpacking(stream, path), 2**20)
        is_tar = stream.read(262)[257:] == b"ustar"
        stream.seek(0)
        if not is_tar:
            return Content(path, str(path), "CSV", stream)
        archive = stack.enter_context(tarfile.open(fileobj=stream, mode="r:"))
        plain = (member for member in archive if member.isfile() and not member.issparse())  # a hole has no end
        members, read = {member.name: member for member in plain}, archive.extractfile
        if not stream.read():  # also checks a .gz or .xz as a whole, by the checksum at its end
            raise tarfile.ReadError("its end is missing")
    if table := _table(path, list(members)):
        return Content(path, f"{path}, {table}", "CSV", stack.enter_context(read(members[table])))
    contents = {}
    for name in filter(_is_picture, members):  # in the archive's order: going back in a .tar.gz is slow
        with read(members[name]) as file:
            contents[name] = file.read()
    return _pictures(path, contents)


def _table(path: Path, names: list[str]) -> str | None:
    """The one table among an archive's members; None if there are pictures instead."""
    tables = [name for name in names if name.lower().endswith(".csv") and not _is_hidden(name)]
    whole = [[name for name in tables if PurePosixPath(name).name == table] for table in WHOLE_TABLES]
    if not any(whole) and any(map(_is_picture, names)):
        return None
    tables = next(filter(None, whole), tables)
    if len(tables) != 1:
        inside = f"{len(tables)} CSV files inside ({', '.join(tables) or 'none'})"
        expected = "one, fer2013.csv, or pictures in folders named after emotions"
        raise refused(path, inside, expected, "unpack it and set FER2013 to the right file")
    return tables[0]


def content_md5(content: Content) -> str:
    """MD5 of a table's or an ``.npz`` file's bytes, or of pictures' names (``<emotion>/<file>``), sizes and bytes.

    So a table has the same MD5 however it is packed, and pictures have the same in a folder and in an archive.
    """
    if not isinstance(content.data, dict):
        digest = hashlib.file_digest(content.data, lambda: hashlib.md5(usedforsecurity=False))
        content.data.seek(0)
        return digest.hexdigest()
    digest = hashlib.md5(usedforsecurity=False)
    for name, data in content.data.items():
        label = "/".join(PurePosixPath(name).parts[-2:])
        digest.update(f"{label} {len(data)}\n".encode("utf-8", "surrogateescape"))
        digest.update(data)
    return digest.hexdigest()


def arrays(content: Content) -> Arrays:
    """Read what ``opened`` found; codes that a table lacks are ``UNKNOWN``.

    Raises ValueError naming the file or the archive's member, and the row or the picture.
    """
    if isinstance(content.data, dict):
        return _decoded(content.path, content.data)
    if content.form == "NumPy arrays":
        return _parse_npz(content.path, content.data)
    return _parse_table(content.place, content.data)


def _parse_npz(path: Path, file: BinaryIO) -> Arrays:
    expected, then = "uint8 arrays pixels (n, 48, 48), emotion (n,), usage (n,)", "write it again, or take fer2013.csv"
    images, labels, split = read_npz(file, path, expected, then, COLUMNS).values()
    n, arrays = labels.size, dict(zip(COLUMNS, (images, labels, split)))
    shapes = [array.shape for array in arrays.values()]
    if not n or shapes != [(n, SIDE, SIDE), (n,), (n,)] or any(array.dtype != np.uint8 for array in arrays.values()):
        found = ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in arrays.items())
        raise refused(path, found, expected, then)
    for name, codes, names in (("emotion", labels, EMOTIONS), ("usage", split, SPLITS)):
        for row in np.flatnonzero(codes >= len(names))[:1]:
            raise refused(f"{path}, row {row} (counted from 0)", f"{name} {codes[row]}", f"0 to {len(names) - 1}", then)
    return images, labels, split


# ---- tables

_BLOCK = 64  # rows whose pixels are read at a time: few enough for the processor's cache
_ANEW = "correct this row, or fetch the file again"


def _parse_table(place: str, data: BinaryIO) -> Arrays:
    """Images, labels and split of a table; ``place`` is its name in messages.

    Columns are found by name (see ``files.tables``); others are not read. A table without Usage, as the competition's
    train.csv, is all Training; one with pixels alone, as its test.csv, has ``UNKNOWN`` labels and parts. Raises
    ValueError naming the line and row.
    """
    table = Table(data, place, ("emotion", "pixels", "Usage"), _ANEW, counted=True)
    columns = tuple(name for name in COLUMNS for _ in range(table.names.count(name)))
    if columns not in (COLUMNS, COLUMNS[:2], COLUMNS[:1]):
        found, then = f"the columns {_shown(table.header)}", "take Kaggle's fer2013.csv"
        raise refused(table.header_place, found, "emotion, pixels and Usage, once each", then)
    images, labels, split, block = [], [], [], []
    for here, row in tqdm(table, desc="Reading", unit=" rows", **PROGRESS):
        block.append((here, row["pixels"]))
        if len(block) == _BLOCK:
            images.append(_pixels(block))
            block = []
        labels.append(_label(table, here, row["emotion"]) if "emotion" in columns else UNKNOWN)
        if "usage" in columns:
            split.append(_part(here, row["usage"]))
        else:
            split.append(SPLITS.index("Training") if "emotion" in columns else UNKNOWN)
    if not labels:
        raise refused(place, "a header and no rows", "one row for each face", "fetch the file again")
    images += [_pixels(block)] if block else []
    return np.concatenate(images), np.array(labels, np.uint8), np.array(split, np.uint8)


def _label(table: Table, place: str, text: str) -> int:
    code = table.whole(text)
    if code is None or code >= len(EMOTIONS):
        codes = ", ".join(map(str, range(len(EMOTIONS))))
        raise refused(place, f"emotion {_shown(text)}", f"one of {codes}", _ANEW)
    return code


def _part(place: str, text: str) -> int:
    if text not in SPLITS:
        raise refused(place, f"Usage {_shown(text)}", f"one of {', '.join(SPLITS)}", _ANEW)
    return SPLITS.index(text)


def _pixels(block: list[tuple[str, str]]) -> np.ndarray:
    """(rows, 48, 48) uint8 from rows, each a place and its numbers as text; an error names the row.

    Rows that are not as Kaggle's are rewritten so first.
    """
    texts = [text for _, text in block]
    if (images := _digits(texts)) is None and (images := _digits(texts := list(map(_rewritten, texts)))) is None:
        return np.stack([_pixels_of_row(place, text) for (place, _), text in zip(block, texts)])
    return images


def _digits(texts: list[str]) -> np.ndarray | None:
    """(rows, 48, 48) uint8 from rows of 2,304 numbers, 0 to 255, with one to three digits and one blank between; None
    if any is not. All digits are parsed at once, for speed."""
    characters = np.frombuffer(f"   {' '.join(texts)} ".encode("ascii", "replace"), np.uint8)  # 3 more before, 1 after
    value = characters - np.uint8(ord("0"))  # wraps round: what is not a digit becomes 10 or more
    digit = value < 10
    last = np.flatnonzero(digit[:-1] & ~digit[1:])  # where each number ends
    if (
        len(last) == len(texts) * SIDE * SIDE
        and all(text.count(" ") == SIDE * SIDE - 1 for text in texts)
        and np.all(digit | (characters == ord(" ")))
    ):
        tens = digit[last - 1]
        hundreds = tens & digit[last - 2]
        numbers = value[last] + value[last - 1] * tens * np.uint16(10) + value[last - 2] * hundreds * np.uint16(100)
        if numbers.max() <= 255 and not np.any(hundreds & digit[last - 3]):
            return numbers.astype(np.uint8).reshape(-1, SIDE, SIDE)
    return None


def _rewritten(text: str) -> str:
    """Pixels with one blank between, and without what pandas, NumPy and spreadsheets add: brackets and commas around a
    list, points (or commas) and zeros behind whole numbers. Other fractions stay."""
    if text.startswith("["):
        text = text.strip("[]").replace(",", " ")
    text = f"{text.replace(',', '.')} "
    if ".." not in text:
        text = text.replace(".0 ", " ").replace(". ", " ")  # quicker than the next line, and usually enough
    text = re.sub(r"(?<=[0-9])\.0*(?![0-9.])", "", text) if "." in text else text
    return " ".join(text.split())


def _pixels_of_row(place: str, text: str) -> np.ndarray:
    numbers = text.split()
    if len(numbers) != SIDE * SIDE:
        raise refused(place, f"{len(numbers):,} pixels", f"{SIDE * SIDE:,} ({SIDE} x {SIDE})", _ANEW)
    for position, number in enumerate(numbers):
        if not re.fullmatch("[0-9]{1,3}", number) or int(number) > 255:
            raise refused(place, f"{_shown(number)} as pixel {position}", "whole numbers from 0 to 255", _ANEW)
    return np.array(numbers, np.int64).astype(np.uint8).reshape(SIDE, SIDE)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "...")


# ---- pictures

_FORMS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
_NAME = re.compile(rf"({'|'.join(SPLITS)})_([0-9]{{1,18}})", re.ASCII)


def _is_hidden(name: str) -> bool:
    """Whether a path in a folder or an archive was left there by the system or another program."""
    return any(part.startswith((".", "__MACOSX")) and part not in (".", "..") for part in name.split("/"))


def _is_picture(name: str) -> bool:
    """Whether a path in a folder or an archive is a picture's, by its ending."""
    return name.lower().endswith(tuple(_FORMS)) and not _is_hidden(name)


def _parts_in(folder: Path) -> list[str]:
    """Which of train and test a folder has; "" if it has folders of emotions instead; nothing for any other folder."""
    parts = [name for name in ("train", "test") if (folder / name).is_dir()]
    return parts or [""] * any((folder / name).is_dir() for name in EMOTIONS)


def _walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """(path within the folder, status) of each picture in its parts, in no order."""
    waiting = _parts_in(folder)
    while waiting:
        here = waiting.pop()
        with os.scandir(folder / here) as entries:
            for entry in entries:
                name = f"{here}/{entry.name}" if here else entry.name
                if _is_picture(entry.name):
                    yield name, entry.stat()
                elif entry.is_dir() and not _is_hidden(entry.name):
                    waiting.append(name)


def _pictures(path: Path, contents: dict[str, bytes]) -> Content:
    """The picture files of a folder or an archive, by name, in the order of the rows.

    Raises ValueError for a file whose name gives no part or emotion, and for one that occurs twice.
    """
    meanings = {name: _meaning(path, name) for name in contents}
    if not meanings:
        raise refused(path, "no pictures", "<emotion>/Training_<number>.jpg and so on", "fetch it again")
    names = sorted(meanings, key=lambda name: (meanings[name], name))
    for one, other in pairwise(names):
        if meanings[one] == meanings[other]:
            raise refused(path, f"{one} and {other}", "each picture once", "remove one of them")
    forms = sorted({_FORMS[PurePosixPath(name).suffix.lower()] for name in names})
    return Content(path, str(path), f"{' and '.join(forms)} pictures", {name: contents[name] for name in names})


def _meaning(path: Path, name: str) -> tuple[int, int, int, str]:
    """(part, number, emotion, file name) of a picture."""
    folder, file = PurePosixPath(name).parent.name, PurePosixPath(name).name
    match = _NAME.fullmatch(PurePosixPath(name).stem)
    if not match:
        expected = f"{' or '.join(f'{part}_<number>' for part in SPLITS)}, which gives its part"
        then = "take Kaggle's msambare/fer2013, or rename or remove this file"
        raise refused(_place(path, name), f"the file name {file!r}", expected, then)
    if folder.lower() not in EMOTIONS:
        found, expected = f"it in the folder {folder!r}", f"one of {', '.join(EMOTIONS)}"
        raise refused(_place(path, name), found, expected, "rename the folder or remove this file")
    return SPLITS.index(match[1]), int(match[2]), EMOTIONS.index(folder.lower()), file


def _place(path: Path, name: str) -> str:
    return f"{path / name}" if path.is_dir() else f"{path}, {name}"


def _decoded(path: Path, pictures: dict[str, bytes]) -> Arrays:
    """Images, labels and split of pictures in the order of the rows; colour becomes grey.

    Raises ValueError naming the picture that cannot be decoded or has another size.
    """
    images, labels, split = [], [], []
    for name, content in tqdm(pictures.items(), desc="Decoding", unit=" pictures", **PROGRESS):
        place = _place(path, name)
        image = decode(content, place, colour=False, upright=False)
        if image.shape != (SIDE, SIDE):
            found, expected = f"{image.shape[1]} x {image.shape[0]} pixels", f"{SIDE} x {SIDE}"
            raise refused(place, found, expected, "fetch it again, or remove it")
        part, _, emotion, _ = _meaning(path, name)
        images.append(image)
        labels.append(emotion)
        split.append(part)
    return np.stack(images), np.array(labels, np.uint8), np.array(split, np.uint8)
