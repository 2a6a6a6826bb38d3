"""AffectNet (Mollahosseini, Hasani and Mahoor 2017): photographs of faces in eight emotions, supplied by the user.

Its licence is granted on request, so it is never part of this project. ``affectnet_files`` reads the annotations of
both layouts that its owners release. Labels are numbered as FER2013's, with contempt last if eight are requested, so
that a network's outputs mean the same on both.

AffectNet has no public test set. The paper speaks of validation and test rows and does not say which. So they are our
choice here, made for each picture by its name alone:

- ``tests="carved"``: a tenth of Training as PublicTest, another as PrivateTest, both with the same share of happy faces
  as Training; the owners' validation set is not loaded.
- ``tests="official"``: PublicTest as before, PrivateTest is the owners' validation set, 500 faces of each emotion,
  which the field reports. Training is the rest, including its second tenth.

Faces are cut out of the pictures once and kept in ``CACHE/affectnet-<digest>/``. Pictures are decoded by threads
(OpenCV leaves the interpreter's lock), a block at a time, and written in order, without those that cannot be used. A
block counts as done when it is on the disk; after a kill, the next load continues after the last one.
"""

import csv
import hashlib
import json
import math
import os
import shutil
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from .. import paths, system
from ..files import documents, refused, regular, tables, writing
from ..files.pictures import decode
from . import PROGRESS, SIDE, SPLITS, UNKNOWN, Arrays, Faces, kept_arrays
from . import affectnet_files as files
from .emotions import AFFECTNET, EIGHT, mapping

TESTS = ("carved", "official")
SEED = 0
"""Seed of the split: it and a picture's name decide the picture's part."""

CUT_OUT = 224
"""Side of the newer layout's pictures in pixels; it decides the reduced decoding before a picture's size is known."""

_BLOCK_BYTES, _BLOCK_ROWS = 4 << 20, 512
_HEADER = 128  # bytes that np.save's header takes here, whatever the number of rows

HOW = (
    "its licence is granted on request (mohammadmahoor.com/affectnet); then set AFFECTNET=PATH to the folder with "
    "Manually_Annotated_Images/ and Manually_Annotated_file_lists/, or with train_set/ and val_set/, or put it into "
    "data/affectnet"
)
"""What to do if ``find()`` finds nothing."""


def find() -> Path | None:
    """The folder that ``load()`` would read: the environment variable ``AFFECTNET``, else ``data/affectnet``, or None.

    Raises FileNotFoundError if the variable is set, or something is there, that is no folder.
    """
    return paths.supplied("AFFECTNET", "AffectNet", HOW)


def load(
    path: str | Path | None = None, side: int = SIDE, colour: bool = False, classes: int = 7, tests: str = "carved"
) -> Faces:
    """AffectNet as ``Faces``: Training, PublicTest and PrivateTest rows, in this order, each part in the order of the
    lists.

    path: a folder with either layout; None uses what ``find()`` finds.
    side, colour: images (n, side, side) grey, or (n, side, side, 3) RGB, uint8, memory-mapped, read-only.
    classes: 7, labelled as ``emotions.FER2013``, or 8, as ``emotions.EIGHT``. Rows of other codes are not loaded.
    tests: which rows are PublicTest and PrivateTest, see above.

    ``ids`` count the faces; ``pictures.csv`` in the cache has each one's picture. The first load crops the faces, about
    a thousand a second, and can be killed at any time: the next one continues. Missing or damaged pictures, damaged
    annotations of one picture, and faces without a valid box are left out with a UserWarning that counts them, and
    listed in ``left_out.csv`` there. A cache that holds the faces need not be writable.

    The faces' ``source``: "file" (the folder's name), "form" (which layout), "official" (whether Training has as many
    rows of each emotion as its owners say), "md5" (of the annotations used), "official_md5" (the same if official, else
    None), "codes" (rows of each of ``emotions.AFFECTNET`` in the lists), "tests", "left_out" (how many), "kept" (the
    cache's folder). Raises FileNotFoundError if there is no folder, ValueError if it is not AffectNet or has a
    malformed annotation, OSError if the cache cannot be written.
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
    kept = _kept(stamp)
    if kept is None or _changed(folder, kept.left_out):
        annotations = files.read(folder)
        about = _about(annotations, classes) | {"stamp": stamp}
        kept = _keep(folder, _wanted(annotations, side, colour, classes, tests), about)
    (images, labels, split), about, left_out = kept.arrays, kept.about, kept.left_out
    if left_out:
        warnings.warn(
            f"{folder}: {len(left_out):,} pictures are left out, such as {left_out[0].picture} ({left_out[0].reason}); "
            f"{kept.folder / 'left_out.csv'} lists them",
            stacklevel=2,
        )
    source = {key: about[key] for key in ("form", "official", "md5", "codes")}
    source |= {"file": folder.resolve().name, "official_md5": about["md5"] if about["official"] else None}
    source |= {"tests": tests, "left_out": len(left_out), "kept": kept.folder.name}
    ids = np.arange(len(labels), dtype=np.int32)
    name = "affectnet" if tests == "carved" else "affectnet_official"
    return Faces(images, labels, split, ids, name, about["sha256"], source, EIGHT[:classes])


def carved(picture: str) -> int:
    """The part of a Training picture, an index into ``SPLITS``: a tenth of names are PublicTest, another PrivateTest.

    It depends only on the seed and the file's name, so that all faces of one picture are in the same part, and missing
    pictures change nothing.
    """
    digest = hashlib.sha256(os.fsencode(f"{SEED} {picture.rsplit('/', 1)[-1]}")).digest()
    return {0: SPLITS.index("PublicTest"), 1: SPLITS.index("PrivateTest")}.get(int.from_bytes(digest[:8]) % 10, 0)


class Wanted(NamedTuple):
    """The faces to crop, in the order in which they are kept."""

    pictures: list[str]  # path below the data's folder
    boxes: np.ndarray  # (n, 4) int32: x, y, width, height; all 0 for the whole picture
    labels: np.ndarray  # (n,) uint8
    split: np.ndarray  # (n,) uint8
    unusable: dict[int, str]  # position -> why it cannot be decoded
    side: int
    colour: bool

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides what is kept, except the pictures' bytes."""
        digest = hashlib.sha256(f"1 {self.side} {self.colour} {cv2.__version__}\n".encode())
        digest.update(os.fsencode("\n".join(self.pictures)))
        for array in (self.boxes, self.labels, self.split):
            digest.update(np.ascontiguousarray(array).data)
        digest.update(os.fsencode(str(self.unusable)))
        return digest.hexdigest()


def _wanted(annotations: files.Annotations, side: int, colour: bool, classes: int, tests: str) -> Wanted:
    part = np.array([carved(picture) for picture in annotations.pictures], np.uint8)
    private = SPLITS.index("PrivateTest")
    if tests == "official":
        part[part == private] = 0
        part[annotations.validation] = private
    codes = annotations.codes
    chosen = (codes < classes) | (codes == UNKNOWN)  # of a picture without an annotation, which will be left out
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
    return Wanted(pictures, annotations.boxes[rows], labels, part[rows], unusable, side, colour)


def _about(annotations: files.Annotations, classes: int) -> dict:
    known = annotations.codes < len(AFFECTNET)
    counts = {
        name: np.bincount(annotations.codes[known & of], minlength=len(AFFECTNET)).tolist()
        for name, of in {"training": ~annotations.validation, "validation": annotations.validation}.items()
    }
    digest = hashlib.md5(os.fsencode("\n".join(annotations.pictures)), usedforsecurity=False)
    for array in (annotations.boxes, annotations.codes, annotations.validation):
        digest.update(np.ascontiguousarray(array).data)
    return {
        "form": annotations.layout,
        "official": tuple(counts["training"][: len(files.OFFICIAL_TRAINING)]) == files.OFFICIAL_TRAINING,
        "md5": digest.hexdigest(),
        "codes": {part: dict(zip(AFFECTNET, of)) for part, of in counts.items()},
    }


# ---- the cache


class LeftOut(NamedTuple):
    """A picture, or a damaged annotation, that was left out, as ``left_out.csv`` lists it."""

    picture: str
    bytes: int  # the file's size, -1 if missing
    reason: str


class Kept(NamedTuple):
    """A folder of the cache: arrays as from ``kept_arrays``, their description, and what was left out."""

    folder: Path
    arrays: Arrays
    about: dict
    left_out: list[LeftOut]


def _kept(stamp: str) -> Kept | None:
    """What ``_keep`` kept under a stamp; None if missing or damaged."""
    folders = (folder for folder in sorted(paths.CACHE.glob("affectnet-*/")) if not folder.suffix)
    caches = (_opened(folder) for folder in folders if _stamp_of(folder) == stamp)  # opening one reads all of it
    return next((kept for kept in caches if kept and kept.about["stamp"] == stamp), None)


def _stamp_of(folder: Path) -> object:
    """The stamp in a cache's description; None if that is missing or damaged."""
    with suppress(OSError, ValueError):
        about = documents.read_json(folder / "about.json")
        return about.get("stamp") if isinstance(about, dict) else None


def _keep(folder: Path, wanted: Wanted, about: dict) -> Kept:
    """Crop the faces of the pictures below ``folder``, or use those cropped before.

    ``about`` is kept with them; ``_kept`` finds them by its "stamp". The arrays have one row for each wanted face,
    except the pictures left out. Raises ValueError if more than half of the pictures are unusable, OSError if the cache
    lacks the faces and cannot be written. A second process waits for the first.
    """
    place = paths.CACHE / f"affectnet-{wanted.digest[:12]}"
    if (kept := _usable(place, folder)) is None:
        try:
            with system.locked(place.with_suffix(".lock"), f"reading {folder}", patience=math.inf):
                if (kept := _usable(place, folder)) is None:
                    shutil.rmtree(place, ignore_errors=True)
                    _decode_all(folder, wanted, place.with_suffix(".partial"), about)
                    place.with_suffix(".partial").rename(place)
                    kept = _opened(place)
        except OSError as error:
            raise OSError(f"{place}: cannot keep the faces ({error}); set FER_CACHE to where there is room") from error
        if kept is None:
            raise OSError(f"{place}: found nothing of the faces kept there just now; set FER_CACHE elsewhere")
    if kept.about["stamp"] != about["stamp"]:  # moved here, or its lists were rewritten
        kept = kept._replace(about=kept.about | about)
        with suppress(OSError):  # a read-only cache only costs time
            writing.replace_text(place / "about.json", json.dumps(kept.about))
    return kept


def _usable(place: Path, folder: Path) -> Kept | None:
    """What is kept at a place, if the pictures below ``folder`` that were left out are still as they were."""
    kept = _opened(place)
    return kept if kept and not _changed(folder, kept.left_out) else None


def _changed(folder: Path, left_out: list[LeftOut]) -> bool:
    """Whether a picture that was left out has since appeared, disappeared or changed its size."""
    return any(_size(folder / one.picture) != one.bytes for one in left_out)


def _size(path: Path) -> int:
    with suppress(OSError, ValueError):  # no file can have a name with a NUL
        return path.stat().st_size
    return -1


def _opened(folder: Path) -> Kept | None:
    if kept := kept_arrays(folder, "stamp", "form", "official", "md5", "codes"):
        with suppress(OSError, ValueError):
            kinds = {"picture": str, "bytes": int, "reason": str}
            left_out = [LeftOut(**row) for row in tables.read_rows(folder / "left_out.csv", kinds, "make it again")]
            return Kept(folder, *kept, left_out)
    return None


# ---- one picture


def face(path: Path, box: tuple[int, int, int, int], side: int, colour: bool) -> np.ndarray | str:
    """The face in a picture, (side, side) or (side, side, 3) RGB uint8, or the reason why there is none.

    box: x to the right, y downwards from the upper left corner, width and height, in pixels; what is outside the
    picture is cut off. All 0: the whole picture. The box is made square. The camera's orientation tag is ignored: the
    boxes were drawn on the pixels as stored.

    JPEG pictures are decoded at a half, a quarter or an eighth of their size if the face stays large enough; the box is
    then rounded to pixels of that size. The whole file is read first: OpenCV refuses a truncated file from memory, but
    from disk it would return the upper part of the picture.
    """
    try:
        content = regular(path).read_bytes()
    except FileNotFoundError:
        return "no such file"
    except ValueError:
        return "no such file" if "\0" in str(path) else "a pipe or device"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    x, y, width, height = box
    extent = min(width, height) or CUT_OUT
    factor = next((factor for factor in (8, 4, 2) if content[:2] == b"\xff\xd8" and extent >= factor * side), 1)
    try:
        image = decode(content, path, colour, upright=False, factor=factor)
        if factor > 1 and not width and min(image.shape[:2]) < side:
            image = decode(content, path, colour, upright=False)
    except ValueError:
        return f"cannot be decoded, {len(content):,} bytes"
    if width:
        left, right, top, bottom = (round(edge / factor) for edge in (x, x + width, y, y + height))
        image = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        if not image.size:
            return f"face box {x} {y} {width} {height} outside of the picture"
    shrinks = min(image.shape[:2]) >= side
    image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if colour else image


# ---- all of them


def _decode_all(folder: Path, wanted: Wanted, partial: Path, about: dict) -> None:
    """Fill ``partial`` with what ``_keep`` keeps, continuing after what a killed process left there."""
    n, shape = len(wanted.pictures), (wanted.side, wanted.side, 3)[: 2 + wanted.colour]
    row_bytes = math.prod(shape)
    rows = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // row_bytes))
    starts = range(0, n, rows)
    partial.mkdir(parents=True, exist_ok=True)
    done, bad = _log(partial / "blocks.jsonl", rows)
    with open(partial / "images.npy", "ab") as images, open(partial / "blocks.jsonl", "a", encoding="utf-8") as log:
        # the header is written last, when the number of faces is known; a block that is not in the log is cut off
        images.truncate(_HEADER + (min(n, done * rows) - len(bad)) * row_bytes)

        def block(start: int) -> list[np.ndarray | str]:
            return [
                wanted.unusable[k] if k in wanted.unusable
                else face(folder / wanted.pictures[k], wanted.boxes[k].tolist(), wanted.side, wanted.colour)
                for k in range(start, min(start + rows, n))
            ]  # fmt: skip

        with tqdm(desc="Cropping faces", total=n, initial=min(n, done * rows), unit=" faces", **PROGRESS) as bar:
            for start, faces in zip(starts[done:], _in_order(block, starts[done:])):
                reasons = {start + k: one for k, one in enumerate(faces) if isinstance(one, str)}
                bad |= reasons
                images.write(b"".join(one.tobytes() for one in faces if not isinstance(one, str)))
                images.flush()
                os.fsync(images.fileno())
                log.write(json.dumps({"start": start, "rows": rows, "bad": reasons}) + "\n")
                log.flush()
                bar.update(len(faces))
                seen = start + len(faces)
                if (seen == n or start > 1000) and 2 * len(bad) > seen:
                    shutil.rmtree(partial)
                    first, reason = next(iter(bad.items()))
                    found = f"{len(bad):,} of {seen:,} pictures unusable ({wanted.pictures[first]}: {reason})"
                    raise refused(folder, found, "most of them readable", "unpack all of AffectNet there")
    good = np.setdiff1d(np.arange(n), list(bad))
    labels, split = wanted.labels[good], wanted.split[good]
    with open(partial / "images.npy", "r+b") as images:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(good), *shape)}
        np.lib.format.write_array_header_1_0(images, header)
        assert images.tell() == _HEADER
    for name, array in {"labels": labels, "split": split}.items():
        np.save(partial / f"{name}.npy", array)
    _write_csv(partial / "left_out.csv", LeftOut._fields, (
        (wanted.pictures[k], _size(folder / wanted.pictures[k]), reason) for k, reason in sorted(bad.items())
    ))  # fmt: skip
    _write_csv(partial / "pictures.csv", ("id", "picture"), ((k, wanted.pictures[row]) for k, row in enumerate(good)))
    sha256 = _hash(partial / "images.npy", labels, split)
    writing.replace_text(partial / "about.json", json.dumps(about | {"rows": len(good), "sha256": sha256}))
    (partial / "blocks.jsonl").unlink()


def _log(path: Path, rows: int) -> tuple[int, dict[int, str]]:
    """How many blocks are done, and what was unusable in them; an incomplete last line is removed."""
    lines, bad = [], {}
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # no log yet; an incomplete line
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            entry = json.loads(line)
            if (entry["start"], entry["rows"]) != (number * rows, rows):
                lines, bad = [], {}  # written with another block size
                break
            bad |= {int(row): reason for row, reason in entry["bad"].items()}
            lines.append(line)
    writing.replace_text(path, "".join(f"{line}\n" for line in lines))
    return len(lines), bad


def _in_order(function, values) -> Iterator:
    """``function`` of each value by threads, in order, only a few ahead, so that memory stays bounded."""
    values, threads = iter(values), os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque(pool.submit(function, value) for value in islice(values, threads + 1))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(function, value) for value in islice(values, 1))


def _hash(images: Path, labels: np.ndarray, split: np.ndarray) -> str:
    """``data.array_hash`` with the images read from their file: memory-mapped, all of them would count as memory."""
    with open(images, "rb") as file:
        file.seek(_HEADER)
        digest = hashlib.file_digest(file, "sha256")
    for array in (labels, split):
        digest.update(array.data)
    return digest.hexdigest()


def _write_csv(path: Path, header, rows) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
