"""AffectNet's annotations as its owners release them, in either layout; anything else is refused.

The older layout has the original pictures and lists of them: ``Manually_Annotated_Images/<n>/<hash>.<ext>``,
``Manually_Annotated_file_lists/{training,validation}.csv`` with a face box for each row: x to the right, y downwards
from the picture's upper left corner, then width and height, in pixels. The newer one has faces cropped to 224 x 224
pixels: ``{train,val}_set/images/<id>.jpg`` and, for each, ``annotations/<id>_exp.npy`` and others.
"""

import hashlib
import math
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ..files import refused, regular
from ..files.arrays import read_npy
from ..files.tables import Table
from . import PROGRESS, UNKNOWN
from .emotions import AFFECTNET, ALPHABETICAL, mapping

COLUMNS = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height",
    "facial_landmarks", "expression", "valence", "arousal",
)  # fmt: skip
"""Columns of the older layout's lists, in order; in some releases validation.csv lacks this line."""

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
"""Endings of pictures in the newer layout; other files there are not looked at."""

OFFICIAL_TRAINING = (74_874, 134_415, 25_459, 14_090, 6_378, 3_803, 24_882, 3_750)
"""Training rows of the codes 0 to 7, in both layouts."""

OLDER, NEWER = "pictures with face boxes", "faces cut out at 224 pixels"

_EXPECTED = (
    "Manually_Annotated_Images/ with Manually_Annotated_file_lists/{training,validation}.csv, or "
    "{train,val}_set/{images,annotations}/"
)
_ORDER = (
    "a re-upload whose labels are the alphabetical order of folder names (anger 0, contempt 1, ... happy 4), which is "
    "not AffectNet's (neutral 0, happiness 1, ...), and which holds about a tenth of it"
)
_ASK = "ask the owners for AffectNet (mohammadmahoor.com/affectnet); its licence is granted on request"


class Annotations(NamedTuple):
    """The annotations of each picture, in the order of the lists, training before validation."""

    layout: str  # OLDER or NEWER
    pictures: list[str]  # path below the folder given to ``read``; instead of a damaged annotation's, its own
    boxes: np.ndarray  # (n, 4) int32: x, y, width, height of the face; all 0 if the picture is the face
    codes: np.ndarray  # (n,) uint8: code in emotions.AFFECTNET, UNKNOWN without an annotation
    validation: np.ndarray  # (n,) bool: whether it is in the owners' validation set
    unusable: dict[int, str]  # position -> why no face can be cropped


class Place(NamedTuple):
    """Where a layout's parts are."""

    layout: str
    lists: tuple[Path, Path]  # of training and validation: CSV files, or folders of .npy files
    pictures: tuple[Path, Path]


def locate(folder: Path) -> Place:
    """The layout of a folder; if it has both, the cropped faces, which are quicker to read.

    Raises ValueError for a folder with neither, and names the reason if it is a re-upload known for its wrong labels.
    """
    for base in (folder, folder / "AffectNet"):
        sets = base / "train_set", base / "val_set"
        if all((part / "annotations").is_dir() for part in sets):
            lists, images = (tuple(part / name for part in sets) for name in ("annotations", "images"))
            return Place(NEWER, lists, images)
    for base in (folder, folder / "Manually_Annotated"):
        lists_in = [place for place in (base / "Manually_Annotated_file_lists", base) if _has_lists(place)]
        places = base, base / "Manually_Annotated", folder / "Manually_Annotated"
        images_in = [place / "Manually_Annotated_Images" for place in places]
        images_in = [place for place in images_in if place.is_dir()]
        if lists_in and images_in:
            lists = lists_in[0] / "training.csv", lists_in[0] / "validation.csv"
            return Place(OLDER, lists, (images_in[0], images_in[0]))
    if is_alphabetical(folder):
        raise refused(folder, _ORDER, _EXPECTED, _ASK)
    there = ", ".join(sorted(_listed(folder))[:8]) if folder.is_dir() else "no such folder"
    raise refused(folder, there or "an empty folder", _EXPECTED, f"unpack the whole of it there, or {_ASK}")


def _has_lists(folder: Path) -> bool:
    return all((folder / f"{name}.csv").is_file() for name in ("training", "validation"))


def is_alphabetical(folder: Path) -> bool:
    """Whether a folder looks like a re-upload: pictures in folders named by emotion, or numbered 0 to 7."""
    emotions = {"anger", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise"}
    codes = {str(code) for code in range(8)}
    for part in (folder, *(folder / name for name in sorted(_listed(folder)))):
        names = {name.lower() for name in _listed(part) if (part / name).is_dir()}
        if len(names & emotions) >= 3 or codes <= names:
            return True
    return False


def _listed(folder: Path) -> list[str]:
    """The names in a folder, in no order, but those that are hidden, such as ``._1.jpg`` of macOS; none if it is no
    folder."""
    return [name for name in os.listdir(folder) if not name.startswith(".")] if folder.is_dir() else []


def stamp(folder: Path) -> str:
    """What changes when the annotations or the set of pictures change, without reading them: paths, sizes and times.

    A picture that is overwritten in place goes unnoticed.
    """
    place = locate(folder)
    paths = [path for path in (*place.lists, *place.pictures) if path.exists()]
    seen = [f"{path.resolve()}|{path.stat().st_size}|{path.stat().st_mtime_ns}" for path in paths]
    return hashlib.sha256(os.fsencode("\n".join([place.layout, *seen]))).hexdigest()


def read(folder: Path) -> Annotations:
    """All annotations of a folder.

    Raises ValueError naming file and line for a malformed row of a list, and if the codes are in alphabetical order
    instead of AffectNet's.
    """
    place = locate(folder)
    reader = _older if place.layout == OLDER else _newer
    rows = []
    for is_validation, listed, images in zip((False, True), place.lists, place.pictures):
        prefix = images.relative_to(folder).as_posix()
        for row in reader(listed, images):
            picture = posixpath.normpath(f"{prefix}/{row.picture}")
            rows.append((picture, row.box, row.code, row.valence, is_validation))
    if not rows:
        raise refused(folder, "no annotation", _EXPECTED, "unpack it again")
    pictures, boxes, codes, valence, validation = map(list, zip(*rows))
    codes, validation = np.array(codes, np.uint8), np.array(validation)
    _check_order(folder, codes[~validation], codes, np.array(valence))
    unusable = {row: box for row, box in enumerate(boxes) if isinstance(box, str)}
    boxes = np.array([(0, 0, 0, 0) if row in unusable else box for row, box in enumerate(boxes)], np.int32)
    return Annotations(place.layout, pictures, boxes, codes, validation, unusable)


class _Row(NamedTuple):
    """One annotation."""

    picture: str  # path below the folder of pictures
    box: tuple[int, int, int, int] | str  # as in ``Annotations``, or the reason why there is none
    code: int
    valence: float  # NaN if unknown


def _older(path: Path, images: Path) -> Iterator[_Row]:
    """The rows of a list."""
    needed = [name.lower() for name in (*COLUMNS[:5], "expression", "valence")]
    with open(path, "rb") as file:
        table = Table(file, path, COLUMNS, "fetch it again", headless=True)
        if any(table.names.count(name) != 1 for name in needed):
            found = f"the columns {table.header[:120]!r}"
            raise refused(table.header_place, found, ",".join(COLUMNS), "fetch it again")
        for place, row in tqdm(table, desc=f"Reading {path.name}", unit=" rows", **PROGRESS):
            picture, *box, expression, valence = (row[name] for name in needed)
            code = table.whole(expression)
            if code is None or code >= len(AFFECTNET):
                expected = f"a code of 0 to {len(AFFECTNET) - 1}"
                raise refused(place, f"expression {expression[:60]!r}", expected, "fetch it again")
            box = _box([table.number(value) for value in box], " ".join(box)[:60])
            yield _Row(picture.replace("\\", "/"), box, code, table.number(valence))


def _box(numbers: list[float], text: str) -> tuple[int, int, int, int] | str:
    if not np.isfinite(numbers).all():
        return f"face box {text}: no numbers"
    if max(map(abs, numbers)) >= 2**31:
        return f"face box {text}: outside of any picture"
    x, y, width, height = map(round, numbers)
    if width <= 0 or height <= 0:
        return f"face box of {width} x {height} pixels: no positive size"
    return x, y, width, height


def _newer(folder: Path, images: Path) -> Iterator[_Row]:
    """The rows of a folder of ``<id>_exp.npy`` files, in the order of the ids. Valence is read only to check the order
    of the labels: for the first hundred pictures of the two codes that show it."""
    names = sorted((name.removesuffix("_exp.npy") for name in _listed(folder) if name.endswith("_exp.npy")), key=_id)
    there = [PurePosixPath(name) for name in _listed(images)]
    extensions = {path.stem: path.suffix for path in there if path.suffix.lower() in PICTURES}
    asked = dict.fromkeys(_TELLING, 0)
    for name in tqdm(names, desc=f"Reading {folder.parent.name}", unit=" annotations", **PROGRESS):
        code, valence = _value(folder / f"{name}_exp.npy"), math.nan
        if code not in range(len(AFFECTNET)):
            found = code if isinstance(code, str) else f"{code:g}, no code of 0 to {len(AFFECTNET) - 1}"
            yield _Row(f"../{folder.name}/{name}_exp.npy", f"damaged annotation: {found}", UNKNOWN, valence)
            continue
        if asked.get(code, 100) < 100 and isinstance(value := _value(folder / f"{name}_val.npy"), float):
            asked[code] += 1
            valence = value
        yield _Row(f"{name}{extensions.get(name, '.jpg')}", (0, 0, 0, 0), int(code), valence)
    for name in sorted(extensions.keys() - set(names), key=_id):
        yield _Row(f"{name}{extensions[name]}", "no annotation", UNKNOWN, math.nan)


def _id(name: str) -> tuple:
    return (0, int(name), name) if name.isascii() and name.isdigit() else (1, 0, name)


def _value(path: Path) -> float | str:
    """The number in a file of one number, which may be written as text; or the reason why there is none.

    There are as many files as pictures, but few different headers: each is parsed once.
    """
    try:
        with open(regular(path), "rb") as file:
            content = file.read()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError:
        return "a pipe or device"
    head = content[: 10 + int.from_bytes(content[8:10], "little")]  # of NumPy's format 1.0, which it writes here
    try:
        if head in _DTYPES:
            return float(np.frombuffer(content, _DTYPES[head], 1, len(head))[0])
        array = read_npy(content, path, "a .npy file of one number", "fetch it again")
        if array.size != 1 or array.dtype.kind not in "iufUS":
            return f"an array of {array.size:,} {array.dtype}, no number"
        if content[6] == 1:
            _DTYPES[head] = array.dtype
        return float(array.reshape(-1)[0])
    except (ValueError, SystemError):  # NumPy raises the latter for text that is none
        return f"no number, {len(content):,} bytes"


_DTYPES: dict[bytes, np.dtype] = {}
_TELLING = (1, 4)  # happiness and fear; in alphabetical order contempt and happy


def _check_order(folder: Path, training: np.ndarray, codes: np.ndarray, valence: np.ndarray) -> None:
    """Raise ValueError if the codes are in alphabetical order: by valence, which is positive only for happiness, and by
    the number of Training rows of each code (if the mean log-likelihood of a row is higher in that order by half or
    more)."""
    known = np.abs(valence) <= 1  # -2: no valence
    happy, other = (valence[known & (codes == code)] for code in _TELLING)
    if len(happy) > 9 and len(other) > 9 and happy.mean() + 0.2 < other.mean():
        found = f"code 1 with a mean valence of {happy.mean():.2f} and code 4 of {other.mean():.2f}: {_ORDER}"
        raise refused(folder, found, "code 1 to be happiness", _ASK)
    counts = np.bincount(training, minlength=8)[:8]
    shares = np.log(np.array(OFFICIAL_TRAINING) / sum(OFFICIAL_TRAINING))
    if counts @ (shares[mapping(ALPHABETICAL, AFFECTNET)] - shares) > max(10, counts.sum() / 2):
        found = f"{', '.join(map(str, counts))} Training rows of the codes 0 to 7: {_ORDER}"
        raise refused(folder, found, "happiness, code 1, as the most frequent", _ASK)
