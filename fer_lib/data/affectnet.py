"""AffectNet (Mollahosseini, Hasani and Mahoor 2017): photographs of faces in eight emotions, brought by the reader.

Its licence is given by request, so it is never in this project. ``affectnet_files`` reads the annotations of both
layouts that its owners release, ``affectnet_cache`` cuts out the faces and keeps them. Their labels are numbered as
FER2013's, contempt after them where eight are asked for, so that a network's outputs mean the same on both.

AffectNet has no test set that anybody can score on. The paper speaks of validation and test rows and does not say
which; what is one's own choice here, each picture by its name alone:

- ``tests="carved"``: a tenth of Training as PublicTest, another as PrivateTest, both as frequent in happy faces as
  Training is; the owners' validation set is not loaded.
- ``tests="official"``: PublicTest as before, PrivateTest is the owners' validation set, 500 faces of each emotion, the
  one that the field reports. Training is the rest, its second tenth included.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np

from .. import paths
from . import SIDE, SPLITS, Faces, affectnet_cache, refused
from . import affectnet_files as files
from .emotions import AFFECTNET, EIGHT, mapping

TESTS = ("carved", "official")
SEED = 0
"""Seed of the carving: a picture's part follows from it and the picture's name."""

HOW = (
    "its licence is given by request (mohammadmahoor.com/affectnet); then set AFFECTNET=PATH to the folder that holds "
    "Manually_Annotated_Images/ and Manually_Annotated_file_lists/, or train_set/ and val_set/, or put it into "
    "data/affectnet"
)
"""What to do where ``find()`` finds nothing."""


def find() -> Path | None:
    """The folder that ``load()`` would read: the environment variable ``AFFECTNET``, else ``data/affectnet``, or None.

    Raises FileNotFoundError when the variable is set but leads to no folder.
    """
    named = os.environ.get("AFFECTNET")
    folder = Path(named).expanduser() if named else paths.DATA / "affectnet"
    if folder.is_dir():
        return folder
    if named:
        raise FileNotFoundError(f"AFFECTNET={named}: found no such folder, expected AffectNet unpacked; {HOW}")
    return None


def load(
    path: str | Path | None = None, side: int = SIDE, colour: bool = False, classes: int = 7, tests: str = "carved"
) -> Faces:
    """AffectNet as ``Faces``: Training, PublicTest and PrivateTest rows, in this order, each in that of the lists.

    path: the folder with either layout; None takes what ``find()`` finds.
    side, colour: images (n, side, side) grey, or (n, side, side, 3) RGB, uint8, memory-mapped, read-only.
    classes: 7, labelled as ``emotions.FER2013``, or 8, as ``emotions.EIGHT``. Rows of other codes are not loaded.
    tests: which rows are PublicTest and PrivateTest, see above.

    ``ids`` count the faces; ``pictures.csv`` in the cache tells each one's picture. The first load cuts out the faces,
    some thousand a second, and can be killed at any time: the next goes on. Pictures that are missing or damaged, and
    faces without a sound box, are left out with a UserWarning that counts them, and listed in ``left_out.csv`` there.

    The faces' ``source``: "file" (the folder's name), "form" (which layout), "official" (whether Training has as many
    rows of each emotion as its owners say), "md5" (of the annotations used), "official_md5" (the same if official, else
    None), "codes" (rows of each of ``emotions.AFFECTNET`` in the lists), "tests", "left_out" (how many), "kept" (the
    cache's folder). Raises FileNotFoundError where there is no folder, ValueError for one that is not AffectNet or has
    a malformed annotation, OSError if the cache cannot be written.
    """
    if classes not in (7, 8) or tests not in TESTS or not 8 <= side <= 4096:
        raise ValueError(
            f"found classes {classes!r}, tests {tests!r}, side {side!r}; "
            f"expected 7 or 8, {' or '.join(TESTS)}, 8 to 4096"
        )
    folder = find() if path is None else Path(path).expanduser()
    if folder is None:
        raise FileNotFoundError(f"AffectNet is not here: {HOW}")
    stamp = f"{files.stamp(folder)} {side} {colour} {classes} {tests}"
    found = affectnet_cache.find(stamp)
    if found is None or affectnet_cache.changed(folder, found[2]):
        annotations = files.read(folder)
        about = _about(annotations, classes) | {"stamp": stamp}
        found = affectnet_cache.keep(folder, _wanted(annotations, side, colour, classes, tests), about)
    (images, labels, split), about, left_out = found
    if left_out:
        warnings.warn(
            f"{folder}: {len(left_out):,} pictures are left out, such as {left_out[0].picture} ({left_out[0].reason}); "
            f"{Path(about['folder']) / 'left_out.csv'} lists them",
            stacklevel=2,
        )
    source = {key: about[key] for key in ("form", "official", "md5", "codes")}
    source |= {"file": folder.resolve().name, "official_md5": about["md5"] if about["official"] else None}
    source |= {"tests": tests, "left_out": len(left_out), "kept": Path(about["folder"]).name}
    ids = np.arange(len(labels), dtype=np.int32)
    name = "affectnet" if tests == "carved" else "affectnet_official"
    return Faces(images, labels, split, ids, name, about["sha256"], source, EIGHT[:classes])


def carved(picture: str) -> int:
    """The part of a Training picture, an index into ``SPLITS``: a tenth of names are PublicTest, another PrivateTest.

    It depends on nothing but the seed and the file's name, so that faces of one picture stand in one part, and that
    other pictures may be missing.
    """
    digest = hashlib.sha256(f"{SEED} {picture.rsplit('/', 1)[-1]}".encode()).digest()
    return {0: SPLITS.index("PublicTest"), 1: SPLITS.index("PrivateTest")}.get(int.from_bytes(digest[:8]) % 10, 0)


def _wanted(
    annotations: files.Annotations, side: int, colour: bool, classes: int, tests: str
) -> affectnet_cache.Wanted:
    part = np.array([carved(picture) for picture in annotations.pictures], np.uint8)
    private = SPLITS.index("PrivateTest")
    if tests == "official":
        part[part == private] = 0
        part[annotations.validation] = private
    codes = annotations.codes
    chosen = (codes < classes) | [k in annotations.unusable and codes[k] >= len(AFFECTNET) for k in range(len(codes))]
    if tests == "carved":
        chosen &= ~annotations.validation
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(part[rows], kind="stable")]
    if not len(rows):
        found = f"no row of the codes 0 to {classes - 1}"
        raise refused(annotations.pictures[0].split("/")[0], found, "rows of each emotion", "unpack AffectNet again")
    labels = np.append(mapping(AFFECTNET[:8], EIGHT), np.zeros(248)).astype(np.uint8)[codes[rows]]
    places = {int(row): place for place, row in enumerate(rows)}
    unusable = {places[row]: reason for row, reason in annotations.unusable.items() if row in places}
    pictures = [annotations.pictures[row] for row in rows]
    return affectnet_cache.Wanted(pictures, annotations.boxes[rows], labels, part[rows], unusable, side, colour)


def _about(annotations: files.Annotations, classes: int) -> dict:
    known = annotations.codes < len(AFFECTNET)
    counts = {
        name: np.bincount(annotations.codes[known & of], minlength=len(AFFECTNET)).tolist()
        for name, of in {"training": ~annotations.validation, "validation": annotations.validation}.items()
    }
    digest = hashlib.md5("\n".join(annotations.pictures).encode(), usedforsecurity=False)
    for array in (annotations.boxes, annotations.codes, annotations.validation):
        digest.update(np.ascontiguousarray(array).data)
    return {
        "form": annotations.layout,
        "official": tuple(counts["training"][: len(files.OFFICIAL_TRAINING)]) == files.OFFICIAL_TRAINING,
        "md5": digest.hexdigest(),
        "codes": {part: dict(zip(AFFECTNET, of)) for part, of in counts.items()},
    }
