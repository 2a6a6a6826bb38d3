"""Faces of clips (AFEW) and of pictures of groups (GAF), cut out by the project's own detector like those of a camera.

Searching either of the real ones takes a quarter of an hour or more on one core (0.05 s for a frame of AFEW, several
times as long for a large picture). So what was found is kept in ``CACHE/<name>-<digest>.npz``, and used as long as the
files' names, sizes and times stay as they are.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from .. import paths, system
from ..data import PROGRESS, SIDE, Faces, afew, drawn_scenes, gaf
from ..data.emotions import FER2013
from ..files import reason, refused, writing
from ..files.arrays import read_npz
from ..files.pictures import decode, read
from . import blaze, detectors, sources
from .boxes import MARGIN, crops

FRAMES = 16
"""How many frames of a clip are looked at."""
MOST = 16
"""How many faces of a picture are kept at most."""
WHOLE = 64
"""Width and height of a whole picture, in pixels."""
_VERSION = 1  # of what is kept: to be raised where other faces would be cut out of the same files


def load_clips(name: str, frames: int = FRAMES) -> Clips:
    """The faces of "afew", what ``afew.find`` finds, or of "drawn_afew", its drawn stand-in, cut out the first time.

    In drawn clips a face is followed from frame to frame, which is quicker; in AFEW's each frame is searched. The
    clips' ``source`` has also "file" (the folder's name), "form" and "official" (whether there are as many clips as in
    ``afew.OFFICIAL``). Raises FileNotFoundError with what to do if AFEW is not here, ValueError for another name and
    what ``afew.clips`` and ``faces_of_clips`` raise, OSError if the cache cannot be written.
    """
    if name not in ("afew", "drawn_afew"):
        raise refused("clips", repr(name), "'afew' or 'drawn_afew'", "name one of these")
    drawn = name == "drawn_afew"
    folder = drawn_scenes.afew() if drawn else afew.find()
    if folder is None:
        raise FileNotFoundError(f"AFEW is not here: {afew.HOW}")
    listed = afew.clips(folder)

    def make() -> Clips:
        return faces_of_clips(listed, name, frames, detectors.detector(moving=drawn))

    about = _about(folder, listed, afew.OFFICIAL, "AFEW" if drawn else "")
    about["form"] = f"{frames} frames of each clip"
    return _once(Clips, name, _stamp(folder, listed, frames), make, about)


def load_groups(name: str, most: int = MOST) -> Groups:
    """The same of "gaf", what ``gaf.find`` finds, and "drawn_gaf": whole pictures and the faces in them."""
    if name not in ("gaf", "drawn_gaf"):
        raise refused("groups", repr(name), "'gaf' or 'drawn_gaf'", "name one of these")
    drawn = name == "drawn_gaf"
    folder = drawn_scenes.gaf() if drawn else gaf.find()
    if folder is None:
        raise FileNotFoundError(f"GAF 2.0 is not here: {gaf.HOW}")
    listed = gaf.pictures(folder)
    about = _about(folder, listed, (gaf.OFFICIAL,), "GAF" if drawn else "")
    about["form"] = f"the {most} largest faces of each picture"
    return _once(Groups, name, _stamp(folder, listed, most), lambda: groups(listed, name, most), about)


def faces_of_clips(
    clips: Sequence[afew.Clip], name: str, frames: int = FRAMES, detector: detectors.Detector | None = None
) -> Clips:
    """The largest face in each of ``frames`` frames, spread evenly from the first to the last of each clip; the last
    one is repeated where a clip has fewer.

    detector: see ``detectors``; None is the default one that searches each frame everywhere. One that follows faces
        begins anew with each clip. Where it finds none, the face of the nearest frame with one is taken, the earlier of
        two; in a clip without any, the middle square of each frame.
    A clip is decoded twice, first only to count its frames, and one frame is in memory at a time. Clips of which no
    frame can be decoded are left out with a UserWarning that counts them; ``ids`` are positions in ``clips``.

    ``source``: "clips" (how many were given), "left_out", "without_face" (clips in which no face was found), "found"
    (share of the frames with a face). Raises ValueError for no clips, ``frames`` under 1, and if more than half of the
    clips cannot be read.
    """
    _check(clips, name, "clip", "frames", frames)
    detect = detector or detectors.detector(moving=False)
    faces = np.empty((len(clips), frames, SIDE, SIDE), np.uint8)
    found, whole, unread = np.zeros((len(clips), frames), bool), [], []
    for k, clip in enumerate(tqdm(clips, desc="Cutting faces out of clips", unit=" clips", **PROGRESS)):
        try:
            faces[len(whole)], found[len(whole)] = _of_clip(clip.path, frames, detect)
        except _Unreadable as error:
            unread.append(str(error))
        else:
            whole.append(k)
    _tell(unread, len(clips), name, "clips")
    faces, found = faces[: len(whole)], found[: len(whole)]
    source = {"clips": len(clips), "left_out": len(unread)}
    source |= {"without_face": int((~found.any(axis=1)).sum()), "found": float(found.mean())}
    labels, split = _known(clips, whole)
    sha256 = array_hash(faces, found, labels, split)
    return Clips(faces, found, labels, split, np.array(whole, np.int32), name, sha256, source)


def groups(
    pictures: Sequence[gaf.Picture], name: str, most: int = MOST, detector: detectors.Detector | None = None
) -> Groups:
    """Each picture as a whole and its largest faces, at most ``most``, the largest first.

    detector: as in ``faces_of_clips``. Pictures that cannot be decoded are left out with a UserWarning that counts
    them; ``ids`` are positions in ``pictures``.

    ``source``: "pictures" (how many were given), "left_out", "without_face" (pictures in which no face was found; they
    are kept), "faces" (how many). Raises ValueError for no pictures, ``most`` under 1, and if more than half of the
    pictures cannot be read.
    """
    _check(pictures, name, "picture", "most", most)
    detect = detector or detectors.detector(moving=False)
    scenes = np.empty((len(pictures), WHOLE, WHOLE), np.uint8)
    faces, owner, whole, unread = [np.empty((0, SIDE, SIDE), np.uint8)], [], [], []
    for k, picture in enumerate(tqdm(pictures, desc="Cutting faces out", unit=" pictures", **PROGRESS)):
        try:
            image = decode(read(picture.path), picture.path)
        except (OSError, ValueError) as error:
            unread.append(reason(error))
            continue
        _forget(detect)
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        boxes = sorted(detect(image, grey), key=_area, reverse=True)[:most]  # equally large ones from left to right
        faces.append(crops(grey, boxes, SIDE))
        owner += [len(whole)] * len(boxes)
        scenes[len(whole)] = cv2.resize(grey, (WHOLE, WHOLE), interpolation=cv2.INTER_AREA)
        whole.append(k)
    _tell(unread, len(pictures), name, "pictures")
    scenes, cut, owner = scenes[: len(whole)], np.concatenate(faces), np.array(owner, np.int32)
    source = {"pictures": len(pictures), "left_out": len(unread)}
    source |= {"without_face": len(whole) - len(np.unique(owner)), "faces": len(cut)}
    labels, split = _known(pictures, whole)
    sha256 = array_hash(cut, owner, scenes, labels, split)
    return Groups(cut, owner, scenes, labels, split, np.array(whole, np.int32), name, sha256, source)


def as_faces(seen: Clips | Groups) -> Faces:
    """One grey picture of each clip (its middle frame's face) or group (the whole, smaller), 48 x 48 pixels, with what
    runs and records ask of faces: labels, split and ids.

    The hash is that of the files' names and sizes where they are known: which faces are cut out of the same files
    depends on the detector that a machine has.
    """
    if isinstance(seen, Clips):
        images, emotions = seen.faces[:, seen.faces.shape[1] // 2], FER2013
    else:
        images = np.empty((len(seen), SIDE, SIDE), np.uint8)
        for image, scene in zip(images, seen.scenes, strict=True):
            cv2.resize(scene, (SIDE, SIDE), dst=image, interpolation=cv2.INTER_AREA)
        emotions = gaf.EMOTIONS
    sha256 = seen.source.get("files_sha256", seen.sha256)
    return Faces(images, seen.labels, seen.split, seen.ids, seen.name, sha256, seen.source, emotions)


def array_hash(*arrays: np.ndarray) -> str:
    """SHA-256 over the type, the shape and the bytes (C order) of arrays, in this order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Clips:
    """A face in each of some frames of labelled clips.

    faces: (n, frames, 48, 48) uint8 grey, in the frames' order.
    found: (n, frames) bool, whether a face was found in this frame (see ``faces_of_clips`` for the others).
    labels: (n,) uint8, an index into ``emotions.FER2013``.
    split: (n,) uint8, an index into ``SPLITS``.
    ids: (n,) int32, the clip's position in the list.
    name: the data set's name, as ``load_clips`` takes it.
    sha256: ``array_hash`` of faces, found, labels and split.
    source: what identifies the data, and how many clips lack what.
    """

    faces: np.ndarray
    found: np.ndarray
    labels: np.ndarray
    split: np.ndarray
    ids: np.ndarray
    name: str
    sha256: str
    source: dict = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def hashed(self) -> tuple[np.ndarray, ...]:
        """What ``sha256`` is of."""
        return self.faces, self.found, self.labels, self.split


@dataclass(frozen=True)
class Groups:
    """Labelled pictures of groups, and the faces in them.

    faces: (m, 48, 48) uint8 grey, of all pictures, in their order.
    owner: (m,) int32 ascending, the picture that each face is in, a position in ``scenes``.
    scenes: (n, 64, 64) uint8 grey, each picture as a whole: made square, nothing is cut off.
    labels: (n,) uint8, an index into ``gaf.EMOTIONS``.
    split: (n,) uint8, an index into ``SPLITS``.
    ids: (n,) int32, the picture's position in the list.
    name: the data set's name, as ``load_groups`` takes it.
    sha256: ``array_hash`` of faces, owner, scenes, labels and split.
    source: what identifies the data, and how many pictures lack what.
    """

    faces: np.ndarray
    owner: np.ndarray
    scenes: np.ndarray
    labels: np.ndarray
    split: np.ndarray
    ids: np.ndarray
    name: str
    sha256: str
    source: dict = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def hashed(self) -> tuple[np.ndarray, ...]:
        """What ``sha256`` is of."""
        return self.faces, self.owner, self.scenes, self.labels, self.split


class _Unreadable(Exception):
    """A clip of which no frame can be decoded."""


def _of_clip(path: Path, frames: int, detect: detectors.Detector) -> tuple[np.ndarray, np.ndarray]:
    """The faces in a clip's frames, (frames, 48, 48) uint8, and in which of them one was found, (frames,) bool.

    Raises _Unreadable.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged frames: the second time tells
        count = sum(1 for _ in _decoded(path))
    wanted = np.linspace(0, count - 1, frames).round().astype(int) if count >= frames else np.arange(count)
    _forget(detect)
    faces, found = np.empty((len(wanted), SIDE, SIDE), np.uint8), np.zeros(len(wanted), bool)
    row = 0
    for number, image in enumerate(_decoded(path)):
        if row == len(wanted) or number != wanted[row]:
            continue
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        box = max(detect(image, grey), key=_area, default=None)
        found[row] = box is not None
        faces[row] = crops(grey, [_middle(grey) if box is None else box], SIDE)[0]
        row += 1
    if found.any():
        there = np.flatnonzero(found)
        nearest = there[np.abs(there - np.arange(len(wanted))[:, None]).argmin(axis=1)]
        faces = faces[nearest]
    rows = np.minimum(np.arange(frames), len(wanted) - 1)
    return faces[rows], found[rows]


def _decoded(path: Path) -> Iterator[np.ndarray]:
    """A clip's frames, (height, width, 3) uint8 BGR. Raises _Unreadable if there is none."""
    try:
        for frame in sources.frames(path):
            yield frame.image
    except (OSError, ValueError) as error:
        raise _Unreadable(reason(error)) from error


def _middle(grey: np.ndarray) -> tuple[float, float, float, float]:
    """The box from which the middle square of a picture is cut."""
    height, width = grey.shape
    side = min(height, width) / MARGIN
    return (width - side) / 2, (height - side) / 2, side, side


def _area(box: Sequence[float]) -> float:
    return float(box[2]) * float(box[3])


def _forget(detect: detectors.Detector) -> None:
    """What comes next does not follow what was seen before."""
    if forget := getattr(detect, "forget", None):
        forget()


def _check(listed: Sequence, name: str, what: str, wanted: str, count: int) -> None:
    if not listed:
        raise refused(name, f"no {what}", f"one {what} or more", "list some")
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
        raise refused(wanted, repr(count), "a whole number, 1 or more", "ask for more")


def _tell(unread: list[str], count: int, name: str, what: str) -> None:
    """Warn of what was left out; raise ValueError if it is more than half."""
    if 2 * len(unread) > count:
        found = f"{len(unread):,} of {count:,} {what} unreadable, such as {unread[0]}"
        raise refused(name, found, "most of them readable", "unpack all of them again")
    if unread:
        text = f"{name}: {len(unread):,} of {count:,} {what} are left out, such as {unread[0]}"
        warnings.warn(text, stacklevel=3)


def _known(listed: Sequence, rows: list[int]) -> Iterator[np.ndarray]:
    """Labels and split of these rows."""
    return (np.array([getattr(listed[row], each) for row in rows], np.uint8) for each in ("label", "split"))


# ---- the cache


def _about(folder: Path, listed: Sequence, official: tuple[tuple[int, int], ...], drawn: str) -> dict:
    """What ``source`` says of the files: ``drawn`` is the layout's name of a stand-in, else ""."""
    validation = sum(each.split == 2 for each in listed)
    lines = [f"{each.path.relative_to(folder).as_posix()}|{each.path.stat().st_size}|{each.split}" for each in listed]
    return {
        "files_sha256": hashlib.sha256(os.fsencode("\n".join(lines))).hexdigest(),
        "file": f"drawn in the layout of {drawn}" if drawn else folder.resolve().name,
        "official": not drawn and (len(listed) - validation, validation) in official,
    }


def _stamp(folder: Path, listed: Sequence, count: int) -> str:
    """What changes when a file is added, removed or changed, or other faces are asked for, without reading a file."""
    lines = [f"{_VERSION} {count} {cv2.__version__} {'tuned' if blaze.missing() else 'blaze'}"]
    for each in listed:
        known = each.path.stat()
        place = each.path.relative_to(folder).as_posix()
        lines.append(f"{place}|{known.st_size}|{known.st_mtime_ns}|{each.label}|{each.split}")
    return hashlib.sha256(os.fsencode("\n".join(lines))).hexdigest()


def _once(kind: type, name: str, stamp: str, make: Callable, about: dict) -> Clips | Groups:
    """What was kept under a stamp, or what ``make`` gives, with ``about`` in its source; it is then kept.

    A second process waits for the first. Raises OSError if the cache cannot be written.
    """
    place = paths.CACHE / f"{name}-{stamp[:12]}.npz"
    kept = _opened(place, kind)
    if kept is None:
        try:
            with system.locked(place.with_suffix(".lock"), f"cutting faces out of {name}", patience=math.inf):
                kept = _opened(place, kind)
                if kept is None:
                    kept = make()
                    _keep(place, kept)
        except OSError as error:
            raise OSError(f"{place}: cannot keep the faces ({error}); set FER_CACHE to where there is room") from error
    elif left_out := kept.source["left_out"]:
        warnings.warn(f"{name}: {left_out:,} that could not be read are left out", stacklevel=3)
    about["official"] = about["official"] and not kept.source["left_out"]
    return replace(kept, source=about | kept.source)


def _keep(place: Path, kept: Clips | Groups) -> None:
    values = {each.name: getattr(kept, each.name) for each in fields(kept)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    about = {name: value for name, value in values.items() if name not in arrays}
    with writing.replacing(place) as file:
        np.savez(file, about=np.array(json.dumps(about)), **arrays)


def _opened(place: Path, kind: type) -> Clips | Groups | None:
    """What ``_keep`` kept; None if it is missing or damaged."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        arrays = read_npz(place, place, "the faces kept here", "remove it; it is made again")
        kept = kind(**arrays | json.loads(str(arrays.pop("about"))))
        if array_hash(*kept.hashed) == kept.sha256:
            return kept
    return None
