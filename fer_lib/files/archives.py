"""What is packed, read no further than an honest file reaches.

A file of some kilobytes can unpack to as many gigabytes. What unpacks to more than ``TIMES`` its size, and to more than
``SMALL``, is refused before it is read, or, where its size is not known before, as soon as so much has come. FER2013's
table unpacks to three times its size, and what unpacks to more than ten times of it here is small.
"""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from . import refused, regular

TIMES = 20
SMALL = 2**26
"""Bytes that anything may unpack to."""


_PACKERS = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\0": lzma.open, b"BZh": bz2.open}


def excess(size: int, packed: int) -> str:
    """What is found, in words, if so many ``packed`` bytes unpack, or claim to unpack, to too many; else ""."""
    return f"{packed:,} bytes that unpack to {size:,} or more" if size > max(SMALL, TIMES * packed) else ""


def check_size(size: int, packed: int, place: object) -> None:
    """Raise ValueError where there is an ``excess``."""
    if found := excess(size, packed):
        raise refused(place, found, f"at most {TIMES} times as many", "fetch it again, from where it was made")


def zip_excess(archive: zipfile.ZipFile) -> str:
    """The ``excess`` of all that is in an archive: its members may lie over each other. zipfile reads no more of one
    than it says to have."""
    packed = archive.fp.seek(0, io.SEEK_END)
    return excess(sum(member.file_size for member in archive.infolist()), packed)


@contextmanager
def unpacking(path: Path) -> Iterator[BinaryIO]:
    """A file's content, unpacked if it is of gzip, xz or bzip2. Raises ValueError for a pipe or device."""
    with open(regular(path), "rb") as file:
        head = file.read(8)
        file.seek(0)
        packer = next((packer for magic, packer in _PACKERS.items() if head.startswith(magic)), None)
        if packer is None:
            yield file
            return
        with packer(file) as stream:
            yield io.BufferedReader(Unpacking(stream, path), 2**20)


class Unpacking(io.RawIOBase):
    """What a ``stream``, such as gzip's, unpacks of the file at ``path``. Reading further than ``check_size`` allows
    raises its ValueError. Closing it leaves the stream open."""

    def __init__(self, stream: BinaryIO, path: Path):
        self.stream, self.path, self.packed = stream, path, path.stat().st_size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.stream.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 0:  # going forward means to unpack what is between
            check_size(offset, self.packed, self.path)
        return self.stream.seek(offset, whence)

    def readinto(self, into) -> int:
        count = self.stream.readinto(memoryview(into)[: 2**20])  # not gigabytes at once, whatever is asked for
        check_size(self.stream.tell(), self.packed, self.path)
        return count
