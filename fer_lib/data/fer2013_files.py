"""The files that FER2013 comes in: CSV tables, archives of them, folders and archives of pictures, ``.npz``.

``opened(path)`` finds the data inside a file, whatever it is packed in, and ``arrays`` reads it. Nothing is ever
unpacked to disk. How a file is packed is told by its first bytes, not by its name: Kaggle's clients have saved
archives as ``.csv`` before.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from . import SIDE, SPLITS, refused
from . import fer2013_pictures as pictures
from . import fer2013_tables as tables
from .emotions import FER2013 as EMOTIONS

WHOLE_TABLES = ("fer2013.csv", "icml_face_data.csv")
"""Tables that hold all rows: the one that is taken out of an archive with several, in this order."""

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # images (n, 48, 48), labels (n,), split (n,), all uint8

_MAGIC = {b"\x1f\x8b": ".gz", b"\xfd7zXZ\0": ".xz", b"PK": ".zip"}
_BROKEN = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile, tarfile.TarError, RuntimeError)
# zipfile tells of a password or an unknown method by RuntimeError or its NotImplementedError


@dataclass(frozen=True)
class Content:
    """What ``opened`` found. form: "CSV", "NumPy arrays", "JPEG pictures", "PNG pictures" or "JPEG and PNG pictures".

    data: a stream at its start (CSV, arrays), or the pictures' files by name, in the order of the rows.
    place: what messages call it: the path, and the member where it is an archive's.
    """

    path: Path
    place: str
    form: str
    data: BinaryIO | dict[str, bytes]


def may_hold_data(path: Path) -> bool:
    """Whether there is a file here, or a folder that looks like one of pictures."""
    return path.is_file() or bool(pictures.parts_in(path))


def fingerprint(path: Path) -> str:
    """What changes whenever a file does, or one in a folder of pictures: path, sizes and times, nothing being read."""
    if path.is_dir():
        listed = sorted(f"{name} {_state(status)}" for name, status in pictures.walk(path))
        state = hashlib.md5("\n".join(listed).encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
    else:
        state = _state(path.stat())
    return f"{path.resolve()}|{state}"


def _state(status: os.stat_result) -> str:
    return f"{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}"


@contextmanager
def opened(path: Path) -> Iterator[Content]:
    """The FER2013 data in a file or folder. ValueError for a file that holds none, or that breaks while it is read."""
    if path.is_dir():
        found = pictures.in_folder(path)
        yield Content(path, str(path), pictures.form(found), found)
        return
    with path.open("rb") as file:
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
        except _BROKEN as error:
            expected = "a complete one with FER2013's table or pictures"
            raise refused(path, f"a broken archive ({error})", expected, "fetch it again") from error


def _unpacked(path: Path, packing: str, stack: ExitStack) -> Content:
    """What stands in a file that is packed in this way ("", ".gz", ".xz", ".zip"; tar is looked for)."""
    if packing == ".zip":
        archive = stack.enter_context(zipfile.ZipFile(path))
        members, read = {member.filename: member for member in archive.infolist()}, archive.open
    else:
        stream = stack.enter_context({"": open, ".gz": gzip.open, ".xz": lzma.open}[packing](path, "rb"))
        is_tar = stream.read(262)[257:] == b"ustar"
        stream.seek(0)
        if not is_tar:
            return Content(path, str(path), "CSV", stream)
        archive = stack.enter_context(tarfile.open(fileobj=stream, mode="r:"))
        members, read = {member.name: member for member in archive if member.isfile()}, archive.extractfile
        if not stream.read():  # also checks a .gz or .xz as a whole, by the checksum at its end
            raise tarfile.ReadError("its end is missing")
    if table := _table(path, list(members)):
        return Content(path, f"{path}, {table}", "CSV", stack.enter_context(read(members[table])))
    found = {}
    for name in filter(pictures.is_picture, members):  # in the archive's order: going back in a .tar.gz is slow
        with read(members[name]) as file:
            found[name] = file.read()
    found = {name: found[name] for name in pictures.ordered(path, found)}
    return Content(path, str(path), pictures.form(found), found)


def _table(path: Path, names: list[str]) -> str | None:
    """The one table among an archive's members; None where there are pictures instead."""
    found = [name for name in names if name.lower().endswith(".csv") and not pictures.is_hidden(name)]
    for whole in WHOLE_TABLES:
        if named := [name for name in found if PurePosixPath(name).name == whole]:
            found = named
            break
    else:
        if any(map(pictures.is_picture, names)):
            return None
    if len(found) != 1:
        inside = f"{len(found)} CSV files inside ({', '.join(found) or 'none'})"
        expected = "one, fer2013.csv, or pictures in folders named after emotions"
        raise refused(path, inside, expected, "unpack it and set FER2013 to the right file")
    return found[0]


def content_md5(content: Content) -> str:
    """MD5 of a table's or an ``.npz`` file's bytes, or of pictures' names (``<emotion>/<file>``), sizes and bytes.

    So a table has the same however it is packed, and so have pictures in a folder and in an archive of it.
    """
    if not isinstance(content.data, dict):
        digest = hashlib.file_digest(content.data, lambda: hashlib.md5(usedforsecurity=False))
        content.data.seek(0)
        return digest.hexdigest()
    digest = hashlib.md5(usedforsecurity=False)
    for name, data in content.data.items():
        digest.update(f"{pictures.label(name)} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()


def arrays(content: Content) -> Arrays:
    """Read what ``opened`` found; codes that a table does not tell are ``UNKNOWN``.

    Raises ValueError naming the file or the archive's member, and the row or the picture.
    """
    if isinstance(content.data, dict):
        return pictures.decoded(content.path, content.data)
    if content.form == "NumPy arrays":
        return _parse_npz(content.path, content.data)
    with io.TextIOWrapper(content.data, "utf-8-sig", errors="replace", newline="") as text:
        return tables.parse(content.place, text)


def _parse_npz(path: Path, file: BinaryIO) -> Arrays:
    keys = ("pixels", "emotion", "usage")
    expected, then = "uint8 arrays pixels (n, 48, 48), emotion (n,), usage (n,)", "write it again, or take fer2013.csv"
    try:
        with np.load(file, allow_pickle=False) as archive:
            images, labels, split = read = [archive[key] for key in keys]
    except (ValueError, KeyError, TypeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise refused(path, f"no such .npz ({error})", expected, then) from error
    if not labels.size or not sound(read, labels.size):
        found = ", ".join(f"{key} {array.shape} {array.dtype}" for key, array in zip(keys, read, strict=True))
        raise refused(path, found, expected, then)
    for key, codes, names in (("emotion", labels, EMOTIONS), ("usage", split, SPLITS)):
        for row in np.flatnonzero(codes >= len(names))[:1]:
            raise refused(f"{path}, row {row} (counted from 0)", f"{key} {codes[row]}", f"0 to {len(names) - 1}", then)
    return images, labels, split


def sound(arrays: Sequence[np.ndarray], rows: int) -> bool:
    """Whether images, labels and split have this many rows, the right shapes and type."""
    shapes = [array.shape for array in arrays]
    return shapes == [(rows, SIDE, SIDE), (rows,), (rows,)] and all(array.dtype == np.uint8 for array in arrays)
