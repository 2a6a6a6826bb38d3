"""Files written whole, or by one process alone."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    """The same of any file: written beside its place under a name of its own, then renamed.

    A link stays one, and its target is replaced. What is no file, such as ``/dev/stdout`` or a pipe, is written into.
    Raises OSError naming the file.
    """
    place = Path(os.path.realpath(path))
    if place.exists() and not place.is_file():
        place.write_bytes(content)
        return
    partial = place.with_name(f".{place.name[:200]}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, place)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def alone(path: Path) -> Iterator[BinaryIO]:
    """A file, unbuffered, for what is written bit by bit; nobody else can open it so until it is closed.

    An older one keeps its content until ``truncate(0)`` is called: this is for the caller, before the first write.
    Raises ValueError where it is open so already, here or in another process, OSError where it cannot be made.
    """
    with open(path, "wb", buffering=0, opener=_as_it_is) as file:
        if path.is_file():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found, expected = "a file that is being written", "a file of one's own"
                raise refused(path, found, expected, "wait until it is done, or name another file") from None
            except (AttributeError, OSError):  # a system, or a disk, without locks
                pass
        yield file


def _as_it_is(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_TRUNC, 0o666)


def write_all(file: BinaryIO, content: bytes) -> None:
    """Write to an unbuffered file, which may take a part at a time."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
