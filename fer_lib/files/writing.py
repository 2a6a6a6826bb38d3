"""Files written whole, or by one process alone."""

import errno
import os
import platform
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from . import refused

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def replace_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; an older one stays until then."""
    replace_bytes(path, text.encode("utf-8", "surrogateescape"))


def replace_bytes(path: Path, content: bytes) -> None:
    """The same of any file."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """The same of what is written bit by bit: a file beside the place, of a name of its own, which gets its name last.

    A link stays one, and its target is replaced. What is no file, such as a pipe, and ``/dev/stdout``, is written into.
    Of two who write the same file, each writes it whole, and the later one stays. An error leaves the older file and
    nothing else; where the system refuses, it is an OSError naming the file. What a process leaves that is killed here
    goes when another one of this machine writes into the same folder.
    """
    place, is_file = Path(os.path.realpath(path)), path.is_file() or not path.exists()
    stream = _stream(path)
    is_file = is_file and stream is None
    partial = path
    if is_file:
        _clear(place.parent)
        partial = place.with_name(f".{place.name[:30]}.{MACHINE}-{os.getpid()}-{threading.get_ident()}.partial")
    try:
        with open(partial if stream is None else stream, "wb", closefd=stream is None) as file:
            if is_file:
                _is_locked(file)  # as a sign of life
            yield file
        if is_file:
            os.replace(partial, place)
    except BaseException as error:
        if is_file:
            with suppress(OSError):
                partial.unlink()
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(partial)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


MACHINE = re.sub(r"[^\w.]", "", platform.node())[:60]
"""This machine's name, for names of files that must be nobody else's."""


@cache
def _clear(folder: Path) -> None:
    """Remove, once in a process, what others that were killed on this machine have left half-written in a folder."""
    for left in folder.glob(f".*.{MACHINE}-*.partial") if fcntl else ():  # Windows ends who is asked whether he lives
        if owner := re.search(r"-(\d+)-\d+\.partial$", left.name):
            try:
                os.kill(int(owner[1]), 0)
            except ProcessLookupError:
                with suppress(OSError), open(left, "rb") as file:
                    if not _is_locked(file):  # else he lives in another container, where processes have other numbers
                        left.unlink()
            except (OSError, OverflowError):  # somebody else's, who lives
                continue


def _is_locked(file: BinaryIO) -> bool:
    """Whether another has a file's lock; else it is ours from now on, where there are locks, until it is closed."""
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # some network's file systems have no locks
        pass
    return False


def settle(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk, where a power cut does not reach them."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:  # some file systems cannot do that with folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF) or not path.is_dir():
            raise
    finally:
        os.close(opened)


@contextmanager
def alone(path: Path) -> Iterator[BinaryIO]:
    """A file, unbuffered, for what is written bit by bit; nobody else can open it so until it is closed.

    An older one keeps its content until it is made ``empty``: this is for the caller, before the first write.
    ``/dev/stdout`` is gone on with, wherever it leads.
    Raises ValueError where it is open so already, here or in another process, OSError where it cannot be made.
    """
    stream = _stream(path)
    if stream is not None:
        with open(stream, "wb", buffering=0, closefd=False) as file:
            yield file
        return
    with open(path, "wb", buffering=0, opener=_as_it_is) as file:
        if path.is_file():
            if _is_locked(file):
                found, expected = "a file that is being written", "a file of one's own"
                raise refused(path, found, expected, "wait until it is done, or name another file")
        yield file


def _stream(path: Path) -> int | None:
    """The number of this process's open stream that a path stands for. It may be a file, in which something is already
    and of which more is to come."""
    name = str(path)
    if name in ("/dev/stdout", "/dev/stderr"):
        return 1 + (name == "/dev/stderr")
    number = re.fullmatch(r"/dev/fd/(\d+)|/proc/self/fd/(\d+)", name)
    return int(number[1] or number[2]) if number else None


def _as_it_is(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_TRUNC, 0o666)


def empty(file: BinaryIO) -> None:
    """Drop what an older file had; a pipe or device has nothing to drop, and an open stream is not ours."""
    if _is_own_file(file):
        file.truncate(0)


def _is_own_file(file: BinaryIO) -> bool:
    return not isinstance(file.name, int) and stat.S_ISREG(os.fstat(file.fileno()).st_mode)


def add_lines(file: BinaryIO, content: bytes) -> None:
    """Write all lines to the end of an unbuffered file, or none if the system refuses, as where the disk is full; of a
    pipe, a device or an open stream, which is not ours, a part may be out."""
    end = file.tell() if _is_own_file(file) else None
    try:
        write_all(file, content)
    except OSError:
        if end is not None:
            file.truncate(end)
        raise


def write_all(file: BinaryIO, content: bytes) -> None:
    """Write to an unbuffered file, which may take a part at a time."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
