"""FER2013 (Goodfellow et al. 2013): 35,887 grey faces of 48 x 48 pixels in seven emotions, supplied by the user.

``load()`` reads any file that users have: Kaggle's tables and re-saves of them, archives, the folder copy, an ``.npz``
(``NAMES`` lists them, ``fer2013_files`` reads them). Whether data is official is decided by the arrays, not the file:
fer2013.csv, icml_face_data.csv, a re-save with semicolons, an archive of one of these and an ``.npz`` of them are the
same data. ``download.fetch`` downloads it.

What was read is kept in ``CACHE/fer2013-<MD5 of the content>/``. An index beside it, from a file's path, size and times
to the MD5 of its content, saves reading the file at the next load.
"""

import json
import os
import shutil
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np

from .. import paths
from ..files import documents, refused, writing
from . import SPLITS, UNKNOWN, Arrays, Faces, keep_arrays, kept_arrays
from . import fer2013_files as files
from .emotions import FER2013 as EMOTIONS

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

KAGGLE_FILES = {
    OFFICIAL_MD5: "fer2013.csv",
    "b114b9e04e6949e5fe8b6a98b3892b1d": "icml_face_data.csv",
    "3f0dfb3d3fd99c811a1299cb947e3131": "train.csv",
    "b02c2298636a634e8c2faabbf3ea9a23": "test.csv",
}
"""Kaggle's tables by the MD5 of their uncompressed bytes. The first two hold the same data, train.csv its Training
rows, test.csv the images of its PublicTest rows and then of its PrivateTest rows, without labels."""

TEST_SHA256 = "57ad8966bb0b70dfe9b5ae3e1485fc4453560efeabbb8327c482c71f879cf8c7"
"""``array_hash`` of test.csv as it is read, with ``UNKNOWN`` for labels and parts; it identifies the rows."""

COMPETITION = "challenges-in-representation-learning-facial-expression-recognition-challenge"
"""Kaggle's name for the competition that FER2013 was made for."""

_PACKED = ("{}.csv", "{}.csv.gz", "{}.csv.xz", "{}.csv.zip", "{}.csv.tar.gz", "{}.zip", "{}.tar.gz")

NAMES = (
    *(form.format("fer2013") for form in _PACKED),
    "fer2013/fer2013.csv",  # an unpacked fer2013.tar.gz
    "fer2013.npz",
    *(form.format("icml_face_data") for form in _PACKED),
    f"{COMPETITION}.zip",  # all files of the competition
    ".",  # pictures, in train/ and test/
    "fer2013",
    "archive.zip",  # what Kaggle's page calls the folder copy
    *(form.format("train") for form in _PACKED),
    *(form.format("test") for form in _PACKED),
)
"""The names looked for in a folder, in this order: the exact whole data, then pictures, then parts of it."""

_LOOKED_FOR = (
    "fer2013.csv or icml_face_data.csv (plain, .gz, .xz, .zip or .tar.gz), fer2013.npz, "
    "or Kaggle's folders train and test or their archive.zip"
)


def find() -> Path | None:
    """The file, or folder of pictures, that ``load()`` would read, or None where there is none.

    The environment variable ``FER2013`` (a file, or a folder with one of ``NAMES``) precedes the project's ``data/``.
    Raises FileNotFoundError if it is set but nothing is there, or if one of ``NAMES`` in ``data/`` is no file: what was
    meant to be read must not be passed over silently.
    """
    if named := paths.named("FER2013"):
        return _at(named, f"FER2013={named}")
    if (place := first_in(paths.DATA)) is None and (odd := _no_file_in(paths.DATA)):
        raise FileNotFoundError(f"{paths.DATA}: found {odd}, expected {_LOOKED_FOR}; put it right or remove it")
    return place


def first_in(folder: Path) -> Path | None:
    """The first of ``NAMES`` in a folder, or None."""
    return next((folder / name for name in NAMES if files.may_hold_data(folder / name)), None)


def _no_file_in(folder: Path) -> str:
    """What in a folder has one of ``NAMES`` but is no file, such as a folder called fer2013.csv, in words; "" if
    nothing."""
    for name in NAMES:
        place = folder / name
        if not place.is_file() and os.path.lexists(place) and (Path(name).suffix or not place.exists()):
            return f"{name}, which is {paths.kind(place)}"
    return ""


def _at(path: Path, name: str) -> Path:
    path = path.expanduser()
    place = path if path.is_file() else first_in(path)
    if place is None:
        found = paths.kind(path)
        if path.is_dir():
            listed = sorted(each.name for each in path.iterdir() if not each.name.startswith("."))
            found = _no_file_in(path) or "a folder with none of them" + f" but {', '.join(listed[:8])}" * bool(listed)
        raise FileNotFoundError(f"{name}: found {found}, expected {_LOOKED_FOR}; correct the path")
    return place


def load(path: str | Path | None = None, *, whole: bool = False) -> Faces:
    """FER2013 as ``Faces``: images (n, 48, 48) uint8, memory-mapped, read-only; every row, in the file's order.

    path: a file, or a folder holding one of ``NAMES``; None uses what ``find()`` finds.
    whole: refuse data that cannot run the experiments, which need rows of all three parts, with labels.

    The faces' ``ids`` are rows of the table, counted from 0; those of the competition's train.csv and test.csv are rows
    of fer2013.csv, those of pictures are positions in the order given in ``fer2013_files``. Labels and parts that a
    table lacks are ``UNKNOWN``.

    The faces' ``source``: "file" (its name), "form" ("CSV", "JPEG pictures" and so on, see ``fer2013_files.Content``),
    "official" (whether images, labels and split are those of fer2013.csv), "official_md5" (``OFFICIAL_MD5`` if so, else
    None), "file_md5" (``fer2013_files.content_md5``), "md5" (``OFFICIAL_MD5`` if official, else the file's own),
    "kaggle_file" (which of ``KAGGLE_FILES`` it is byte for byte, or None).

    Valid data that is not the official data loads with a UserWarning that says how it differs. Raises FileNotFoundError
    if there is no file, ValueError naming file and row if it is malformed, OSError if the cache cannot be written.
    """
    path = find() if path is None else _at(Path(path), str(path))
    if path is None:
        raise FileNotFoundError(
            f"FER2013 is not here: the environment variable FER2013 is not set, and {paths.DATA} holds no "
            f"{_LOOKED_FOR}. `make data` fetches it, or says how to get it; or set FER2013=PATH to where it is"
        )
    (images, labels, split), about = _cached(path)
    ids = np.arange(len(labels), dtype=np.int32)
    if about["sha256"] == TEST_SHA256:
        training, *tests = (sum(counts) for counts in OFFICIAL_COUNTS.values())
        split, ids = np.repeat(np.array([1, 2], np.uint8), tests), ids + np.int32(training)
    official = about["sha256"] == OFFICIAL_SHA256
    source = {
        "file": path.resolve().name,
        "form": about["form"],
        "md5": OFFICIAL_MD5 if official else about["md5"],
        "official": official,
        "official_md5": OFFICIAL_MD5 if official else None,
        "file_md5": about["md5"],
        "kaggle_file": KAGGLE_FILES.get(about["md5"]),
    }
    faces = Faces(images, labels, split, ids, "fer2013", about["sha256"], source)
    if whole and lacking(faces):
        expected = "all three parts with labels, which the experiments train on and score"
        then = "take fer2013.csv, icml_face_data.csv or fer2013.tar.gz from the same page at Kaggle, or run `make data`"
        raise refused(path, lacking(faces), expected, then)
    if not official:
        warnings.warn(f"{path} is {described(faces)}", stacklevel=2)
    return faces


def _cached(path: Path) -> tuple[Arrays, dict]:
    """A file's arrays (images memory-mapped) and their description: rows, md5, form, sha256."""
    index_file, key = paths.CACHE / "fer2013-index.json", files.fingerprint(path)
    try:
        index = {str(known): str(md5) for known, md5 in documents.read_json(index_file).items()}
    except (OSError, ValueError, AttributeError):
        index = {}  # it only saves time
    if key in index and (cached := _kept(index[key])):
        return cached
    with files.opened(path) as content:
        md5 = files.content_md5(content)
        cached = _kept(md5)
        if cached is None:
            shutil.rmtree(_folder(md5), ignore_errors=True)  # a damaged one
            arrays = files.arrays(content)
            if files.fingerprint(path) != key:
                raise refused(path, "that it changed while it was read", "a complete file", "load it again")
            keep_arrays(_folder(md5), arrays, {"md5": md5, "form": content.form})
            cached = _kept(md5)
        if cached is None:
            raise OSError(f"{_folder(md5)}: found nothing of what was kept there just now; set FER_CACHE elsewhere")
    others = [known for known in index if (other := Path(known.split("|")[0])) != path.resolve() and other.exists()]
    with suppress(OSError):  # the index only saves time
        text = json.dumps({known: index[known] for known in others} | {key: md5}, indent=1)
        writing.replace_text(index_file, text)
    return cached


def _folder(md5: str) -> Path:
    return paths.CACHE / f"fer2013-{md5[:12]}"


def _kept(md5: str) -> tuple[Arrays, dict] | None:
    """The arrays of a content and their description; None if they are missing, damaged or of another content."""
    kept = kept_arrays(_folder(md5), "md5", "form")
    return kept if kept and kept[1]["md5"] == md5 else None


def described(faces: Faces) -> str:
    """Whether data from ``load`` is the official FER2013, otherwise how it differs, in words."""
    if faces.source["official"]:
        return f"the official FER2013, {len(faces):,} faces"
    return f"not the official FER2013: {lacking(faces) or _difference(faces)}"


def lacking(faces: Faces) -> str:
    """What is there and what the experiments lack, in words; "" if they lack nothing."""
    counts = {part: int(np.sum(faces.split == code)) for code, part in enumerate(SPLITS)}
    there = " and ".join(f"{count:,} {part}" for part, count in counts.items() if count) or f"{len(faces):,}"
    missing = [f"no {part} rows" for part, count in counts.items() if not count]
    missing += ["no labels"] if np.any(faces.labels == UNKNOWN) else []
    return f"{there} rows, but {', '.join(missing)}" if missing else ""


def _difference(faces: Faces) -> str:
    """How whole data differs from the official; counts are compared only if the number of rows is the same."""
    expected = np.array(list(OFFICIAL_COUNTS.values()))
    counts = np.zeros_like(expected)
    np.add.at(counts, (faces.split, faces.labels), 1)
    differing = [
        f"{SPLITS[part]} {EMOTIONS[emotion]} {counts[part, emotion]} (expected {expected[part, emotion]})"
        for part, emotion in np.argwhere(counts != expected)
    ]
    if len(faces) != expected.sum():
        return f"found {len(faces):,} rows, expected {expected.sum():,}"
    if differing:
        return f"as many rows, but found {', '.join(differing)}"
    if "pictures" in faces.source["form"]:
        return f"as many rows in each emotion and part, but as {faces.source['form']}, so other pixels in another order"
    return "as many rows in each emotion and part, but other pixels, labels or order"
