"""Files from outside and to outside, each kind read or written in one place.

- ``pictures`` decodes and encodes pictures and puts them, and a video's frames, upright;
- ``archives`` bounds what is unpacked;
- ``rehearsal`` tries out readers that crash;
- ``arrays`` opens NumPy's ``.npz`` and ``.npy``;
- ``tables`` parses CSV and its relatives;
- ``documents`` parses YAML and JSON;
- ``writing`` writes files whole, or alone.

Each raises only ValueError in the form of ``refused``, or OSError where the system refuses. This package imports
nothing else of ``fer_lib``.
"""

import difflib
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path


def readable(name: object) -> str:
    """A file's name for people and files, on one line: what of it is no text becomes a U+FFFD, as in a name that is not
    UTF-8, or has a line break or another control character."""
    return without_control(re.sub("[\ud800-\udfff\n]", "\ufffd", str(name)))


def without_control(text: str) -> str:
    """A text whose control characters, but for line breaks, are U+FFFD: a terminal would obey them."""
    return re.sub("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", "\ufffd", text)


def refused(place: object, found: str, expected: str, then: str) -> ValueError:
    """The error for bad data, in the usual form: where, what was found, what was expected, the next step."""
    return ValueError(f"{readable(place)}: found {found}, expected {expected}; {then}")


def regular(path: Path) -> Path:
    """The same path, of what is no pipe or device: those may never end, and keep who opens them waiting.

    Raises ValueError for one, OSError where there is nothing.
    """
    kind = os.stat(path).st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise refused(path, "a pipe or device", "a file", "remove it, or copy the file there")
    return path


def visible(folder: Path, pattern: str) -> list[Path]:
    """What is in a folder under names of a pattern, sorted, without what is hidden, such as ``._x.yaml`` of macOS."""
    found = ((path, path.relative_to(folder).parts) for path in folder.glob(pattern))
    return sorted(path for path, parts in found if not any(part.startswith(".") for part in parts))


def nearest(name: object, known: Iterable[str], most: int = 3) -> str:
    """The names most like one that is not known, "one, two or three"; "" where none is like it."""
    *some, last = difflib.get_close_matches(str(name), list(known), most) or [""]
    return f"{', '.join(some)} or {last}" if some else last


def reason(error: BaseException | str) -> str:
    """What an error of another package says, on one line of at most 200 characters; its type where it says nothing."""
    text = " ".join(str(error).split())
    return f"{text[:200]}..." if len(text) > 200 else text or type(error).__name__
