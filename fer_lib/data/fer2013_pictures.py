"""FER2013 as pictures: ``<emotion>/<part>_<number>.jpg``, the layout of Kaggle's public folder copy.

That copy has ``train/<emotion>/Training_3908.jpg`` and ``test/<emotion>/PublicTest_88305.jpg`` or ``PrivateTest_...``.
The label is the name of the folder, the part that of the file; folders further up say nothing. The numbers are no rows
of the CSV and can occur twice, so a picture's row id is its place in the order of part, number, emotion: 0 is the first
of Training, and the parts follow one another as they do in the CSV.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from tqdm import tqdm

from . import PROGRESS, SIDE, SPLITS, refused
from .emotions import FER2013 as EMOTIONS

_FORMS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
_NAME = re.compile(rf"({'|'.join(SPLITS)})_([0-9]+)", re.ASCII)
_BLOCK = 256  # pictures a thread takes at a time: handing over one by one would cost more than decoding


def is_hidden(name: str) -> bool:
    """Whether a path in a folder or an archive is clutter of the system or of another program."""
    return any(part.startswith((".", "__MACOSX")) and part not in (".", "..") for part in name.split("/"))


def is_picture(name: str) -> bool:
    """Whether a path in a folder or an archive is a picture's, by its ending."""
    return name.lower().endswith(tuple(_FORMS)) and not is_hidden(name)


def parts_in(folder: Path) -> list[str]:
    """Which of train and test a folder has; "" where it has folders of emotions instead; nothing for another folder."""
    found = [name for name in ("train", "test") if (folder / name).is_dir()]
    return found or [""] * any((folder / name).is_dir() for name in EMOTIONS)


def walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """(path within the folder, status) of each picture in its parts, in no order."""
    waiting = parts_in(folder)
    while waiting:
        here = waiting.pop()
        with os.scandir(folder / here) as entries:
            for entry in entries:
                name = f"{here}/{entry.name}" if here else entry.name
                if is_picture(entry.name):
                    yield name, entry.stat()
                elif entry.is_dir() and not is_hidden(entry.name):
                    waiting.append(name)


def in_folder(folder: Path) -> dict[str, bytes]:
    """The content of each picture below a folder, by its path there, in the order of the rows."""
    names = ordered(folder, (name for name, _ in walk(folder)))
    return dict(zip(names, _parallel("Reading", lambda name: (folder / name).read_bytes(), names), strict=True))


def ordered(path: Path, names: Iterable[str]) -> list[str]:
    """Names of pictures in the order of the rows. ValueError for one that tells no part or emotion, or stands twice."""
    placed = sorted((*_meaning(path, name), name) for name in names)
    if not placed:
        raise refused(path, "no pictures", "<emotion>/Training_<number>.jpg and so on", "fetch it again")
    for (*one, first), (*other, second) in zip(placed, placed[1:]):
        if one == other:
            raise refused(path, f"{first} and {second}", "each picture once", "remove one of them")
    return [name for *_, name in placed]


def _meaning(path: Path, name: str) -> tuple[int, int, int, str]:
    """(part, number, emotion, file name) of a picture."""
    folder, file = PurePosixPath(name).parent.name, PurePosixPath(name).name
    match = _NAME.fullmatch(PurePosixPath(name).stem)
    if not match:
        expected = f"{' or '.join(f'{part}_<number>' for part in SPLITS)}, which tells the part it belongs to"
        then = "take Kaggle's msambare/fer2013, or rename or remove this file"
        raise refused(_place(path, name), f"the file name {file!r}", expected, then)
    if folder.lower() not in EMOTIONS:
        found, expected = f"it in the folder {folder!r}", f"one of {', '.join(EMOTIONS)}"
        raise refused(_place(path, name), found, expected, "rename the folder or remove this file")
    return SPLITS.index(match[1]), int(match[2]), EMOTIONS.index(folder.lower()), file


def _place(path: Path, name: str) -> str:
    return f"{path / name}" if path.is_dir() else f"{path}, {name}"


def form(names: Iterable[str]) -> str:
    """What pictures are by their endings: "JPEG pictures", "PNG pictures" or "JPEG and PNG pictures"."""
    return " and ".join(sorted({_FORMS[PurePosixPath(name).suffix.lower()] for name in names})) + " pictures"


def label(name: str) -> str:
    """What a picture is called wherever its folder or archive lies: ``<emotion>/<file>``."""
    return "/".join(PurePosixPath(name).parts[-2:])


def decoded(path: Path, pictures: dict[str, bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (n, 48, 48), labels (n,) and split (n,), uint8, of pictures in the order of the rows; colours become grey.

    Raises ValueError naming the picture that cannot be decoded or has another size.
    """

    def decode(name: str) -> np.ndarray:
        image = None
        with contextlib.suppress(cv2.error):  # an empty file, or one that claims to be huge
            content = np.frombuffer(pictures[name], np.uint8)
            image = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
        if image is None or image.shape != (SIDE, SIDE):
            found = "no picture that can be decoded" if image is None else f"{image.shape[1]} x {image.shape[0]} pixels"
            expected = f"a JPEG or PNG of {SIDE} x {SIDE} pixels"
            raise refused(_place(path, name), found, expected, "fetch it again, or remove it")
        return image

    meanings = np.array([_meaning(path, name)[:3] for name in pictures])
    images = np.stack(list(_parallel("Decoding", decode, list(pictures))))
    return images, meanings[:, 2].astype(np.uint8), meanings[:, 0].astype(np.uint8)


def _parallel(what: str, function, names: list[str]) -> Iterator:
    """``function`` of each name, in order, by threads (files and OpenCV leave the interpreter's lock), under a bar."""
    blocks = [names[start : start + _BLOCK] for start in range(0, len(names), _BLOCK)]
    with ThreadPoolExecutor() as pool, tqdm(desc=what, total=len(names), unit=" pictures", **PROGRESS) as bar:
        for results in pool.map(lambda block: [function(name) for name in block], blocks):
            bar.update(len(results))
            yield from results
