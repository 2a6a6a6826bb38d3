"""SFEW 2.0 (Dhall et al. 2011; Static Facial Expressions in the Wild): frames of films, supplied by the user.

Its licence is granted on request, so it is never part of this project. It is read as its owners' aligned faces, 143 x
181 pixels: ``Train_Aligned_Faces/Angry/Airheads_000519240_00000005.png``, likewise ``Val_Aligned_Faces`` (which a later
zip file calls ``Val_Aligned_Faces_new``), up to two folders deeper, such as ``Train/Train_Aligned_Faces``. The films'
whole frames, ``Train/Angry`` and so on, are not read.

The labels of its test set are not public, and the field reports its validation set. So PrivateTest is that; PublicTest
is a tenth of its training set's films, chosen by their names alone, so that no film is in both it and Training.
"""

import re
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from .. import paths
from ..files import refused, visible
from ..files.pictures import ENDINGS, decode, read
from . import PROGRESS, SIDE, SPLITS, Faces, array_hash
from .afew import carved
from .emotions import FER2013

OFFICIAL = (891, 431)
"""Aligned faces of its training and of its validation films, as papers that use it report."""

HOW = (
    "its licence is granted on request (users.cecs.anu.edu.au/~few_group/AFEW.html); then set SFEW=PATH to the folder "
    "with Train_Aligned_Faces/ and Val_Aligned_Faces/, or put it into data/sfew"
)
"""What to do if ``find()`` finds nothing."""
_PARTS = {"Train": ("Train_Aligned_Faces",), "Val": ("Val_Aligned_Faces_new", "Val_Aligned_Faces")}
_EXPECTED = "Train_Aligned_Faces/ and Val_Aligned_Faces/ with a folder for each of Angry, Disgust, Fear and so on"
_AGAIN = "unpack SFEW 2.0 again"


def find() -> Path | None:
    """The folder that ``load()`` would read: the environment variable ``SFEW``, else ``data/sfew``, or None.

    Raises FileNotFoundError if the variable is set, or something is there, that is no folder.
    """
    return paths.supplied("SFEW", "SFEW 2.0", HOW)


def load(path: str | Path | None = None) -> Faces:
    """SFEW 2.0's aligned faces as ``Faces``, grey and of 48 x 48 pixels, labelled as ``emotions.FER2013``: Training,
    PublicTest and PrivateTest rows, in this order, each part in the order of emotion and file name.

    path: a folder with the official layout; None uses what ``find()`` finds. A face is the middle square of its
    picture. ``people`` number the films in the order of their names.

    The faces' ``source``: "file" (the folder's name), "form", "official" (whether there are as many
    faces as in ``OFFICIAL``), "films". Raises FileNotFoundError if there is no folder,
    ValueError naming the file if it has no aligned faces, lacks an emotion's folder or has another, and for a part
    without pictures, a picture whose name tells no film, and one that is damaged: nothing is left out.
    """
    folder = find() if path is None else Path(path).expanduser()
    if folder is None:
        raise FileNotFoundError(f"SFEW 2.0 is not here: {HOW}")
    pictures = [each for part in _PARTS for each in _pictures(_place(folder, part), part)]
    pictures.sort(key=lambda each: each.split)  # stable: within a part they stay as they are
    images = np.empty((len(pictures), SIDE, SIDE), np.uint8)
    for row, picture in enumerate(tqdm(pictures, desc="Reading SFEW", unit=" faces", **PROGRESS)):
        images[row] = face(picture.path)
    labels, split = (np.array([getattr(each, name) for each in pictures], np.uint8) for name in ("label", "split"))
    films, people = np.unique([each.film for each in pictures], return_inverse=True)
    counts = (int((split < 2).sum()), int((split == 2).sum()))
    source = {"file": folder.resolve().name, "form": "aligned faces", "official": counts == OFFICIAL}
    source["films"] = len(films)
    ids, sha256 = np.arange(len(pictures), dtype=np.int32), array_hash(images, labels, split)
    return Faces(images, labels, split, ids, "sfew", sha256, source, people=people.reshape(-1).astype(np.int32))


def face(path: Path) -> np.ndarray:
    """The middle square of a picture, (48, 48) uint8 grey. Raises ValueError naming the file if it is damaged."""
    picture = decode(read(path), path, colour=False)
    height, width = picture.shape
    side = min(height, width)
    x, y = (width - side) // 2, (height - side) // 2
    return cv2.resize(picture[y : y + side, x : x + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)


class _Picture(NamedTuple):
    """One aligned face."""

    path: Path
    film: str
    label: int  # an index into ``emotions.FER2013``
    split: int  # an index into ``SPLITS``


def _place(folder: Path, part: str) -> Path:
    """The folder of a part's aligned faces: the one nearest to ``folder`` that has a folder of an emotion."""
    for name in _PARTS[part]:
        for above in ("", "*/", "*/*/"):
            for place in visible(folder, f"{above}{name}"):
                if "__MACOSX" not in place.parts and _emotions(place):
                    return place
    if not folder.is_dir():
        found = "no such folder"
    elif any(_emotions(place) for above in ("", "*/", "*/*/") for place in visible(folder, f"{above}{part}")):
        found = f"only whole frames of films of {part}"
    else:
        there = ", ".join(path.name for path in visible(folder, "*")[:8])
        found = f"no aligned faces of {part} in {there}" if there else "an empty folder"
    raise refused(folder, found, _EXPECTED, f"unpack {part}'s aligned faces there; {HOW}")


def _emotions(folder: Path) -> list[Path]:
    """The folders of emotions in a folder."""
    return [path for path in visible(folder, "*") if path.is_dir() and path.name.lower() in FER2013]


def _pictures(folder: Path, part: str) -> list[_Picture]:
    """The pictures of a part, in the order of emotion and name."""
    there = [path for path in visible(folder, "*") if path.is_dir()]
    names = [path.name.lower() for path in there]
    expected = ", ".join(name.capitalize() for name in sorted(FER2013))
    for path, name in zip(there, names):
        if name not in FER2013 or names.count(name) > 1:
            found = "a second folder of this emotion" if name in FER2013 else "a folder of no known emotion"
            raise refused(path, found, f"one folder for each of {expected}", _AGAIN)
    if missing := [name.capitalize() for name in sorted(FER2013) if name not in names]:
        raise refused(folder, f"no folder {' or '.join(missing)}", f"one for each of {expected}", _AGAIN)
    found = []
    for place, name in zip(there, names):
        for path in visible(place, "*"):
            if path.suffix.lower() not in ENDINGS:
                continue
            match = re.match(r"([^_].*?)_[0-9]{6,}", path.stem)
            if not match:
                then = f"see whether it belongs to SFEW, or {_AGAIN}"
                raise refused(path, "a name without a film", "one such as Airheads_000519240_00000005.png", then)
            split = SPLITS.index("PrivateTest") if part == "Val" else carved(match[1])
            found.append(_Picture(path, match[1], FER2013.index(name), split))
    if not found:
        raise refused(folder, "no picture", "aligned faces in its folders", _AGAIN)
    found.sort(key=lambda each: (each.label, each.path.name))
    return found
