"""CK+ (Lucey et al. 2010; the Extended Cohn-Kanade data set): sequences of posed expressions, supplied by the user.

Its licence is granted on request, so it is never part of this project. A person's sequence goes from a neutral face to
the peak of an expression; 327 of 593 have an emotion. Below its folder, each as it is or in the folder of its zip file:

- ``cohn-kanade-images/S005/001/S005_001_00000011.png``: the frames, 640 x 490 or 640 x 480 pixels, grey or colour;
- ``Emotion/S005/001/S005_001_00000011_emotion.txt``: a code in ``EMOTIONS``;
- ``FACS/S005/001/S005_001_00000011_facs.txt``: a line for each action unit: its number and its intensity, 0: not given;
- ``Landmarks/S005/001/S005_001_00000011_landmarks.txt``, of every frame: 68 lines, x to the right and y downwards.

The field takes the last three frames of each sequence that has an emotion, 981 pictures, and tests on persons that a
network has not seen: ten folds of them (see ``folded``).
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from .. import paths
from ..files import refused, regular, visible
from ..files.pictures import ENDINGS, decode, read
from . import PROGRESS, SIDE, SPLITS, Faces, array_hash
from .emotions import EIGHT, mapping

EMOTIONS = ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
"""Code 0 to 7 of a label; no sequence of the official release has 0."""

OFFICIAL = {"sequences": 593, "persons": 123, "labelled sequences": 327, "labelled persons": 118}
"""How many the release of 2010 has."""

FOLDS = 10
MARGIN = 1 / 8
"""How far a face's square goes beyond its landmarks on each side, in lengths of the longer side of their box: they end
at the brows and the chin, FER2013's faces a little further out."""

LANDMARKS = 68

HOW = (
    "its licence is granted on request (www.jeffcohn.net/resources); then set CKPLUS=PATH to the folder with "
    "cohn-kanade-images/ and Emotion/, or put it into data/ckplus"
)
"""What to do if ``find()`` finds nothing."""
_IMAGES = "cohn-kanade-images"
_EXPECTED = f"{_IMAGES}/ and Emotion/, as their zip files hold them"
_AGAIN = "unpack CK+ again"


def find() -> Path | None:
    """The folder that ``load()`` would read: the environment variable ``CKPLUS``, else ``data/ckplus``, or None.

    Raises FileNotFoundError if the variable is set, or something is there, that is no folder.
    """
    return paths.supplied("CKPLUS", "CK+", HOW)


def load(path: str | Path | None = None, peaks: int = 3) -> Faces:
    """CK+ as ``Faces``, grey and of 48 x 48 pixels, labelled as ``emotions.EIGHT``, in the order of person, sequence
    and frame.

    path: a folder with the official layout; None uses what ``find()`` finds.
    peaks: how many of a labelled sequence's last frames are taken; all of them if it is shorter.

    A face is the square around its frame's landmarks (see ``MARGIN``), moved into the picture where it would leave it;
    without landmarks it is the middle of the frame, as high as the frame. ``people`` number the persons of labelled
    sequences in ascending order. The parts are those of ``folded(faces, 0)``.

    The faces' ``source``: "file" (the folder's name), "form" (which frames), "official" (whether there are as many
    sequences and persons as in ``OFFICIAL``), "persons" and "sequences" (with an emotion), "landmarks" (of how many
    faces), "fold" and "folds". Raises FileNotFoundError if there is no folder, ValueError for ``peaks`` below 1, for a
    picture or landmarks that are damaged, and what ``sequences`` and ``folded`` raise.
    """
    if isinstance(peaks, bool) or not isinstance(peaks, (int, np.integer)) or peaks < 1:
        raise ValueError(f"peaks: found {peaks!r}, expected a whole number, 1 or more")
    folder = find() if path is None else Path(path).expanduser()
    if folder is None:
        raise FileNotFoundError(f"CK+ is not here: {HOW}")
    every = sequences(folder)
    labelled = [each for each in every if each.emotion >= 0]
    persons = sorted({each.person for each in labelled})
    frames = [(each, frame) for each in labelled for frame in each.frames[-peaks:]]
    images, with_landmarks, place = np.empty((len(frames), SIDE, SIDE), np.uint8), 0, _place(folder, "Landmarks")
    for row, (each, frame) in enumerate(tqdm(frames, desc="Reading CK+", unit=" frames", **PROGRESS)):
        points = place and place / each.person / each.number / f"{frame.stem}_landmarks.txt"
        points = points if points and points.is_file() else None
        images[row] = face(frame, points)
        with_landmarks += points is not None
    labels = mapping(EMOTIONS, EIGHT)[[each.emotion for each, _ in frames]].astype(np.uint8)
    people = np.array([persons.index(each.person) for each, _ in frames], np.int32)
    counts = (len(every), len({each.person for each in every}), len(labelled), len(persons))
    source = {
        "file": folder.resolve().name,
        "form": f"the last {peaks} frames of each sequence" if peaks > 1 else "the last frame of each sequence",
        "official": counts == tuple(OFFICIAL.values()),
        "persons": len(persons),
        "sequences": len(labelled),
        "landmarks": with_landmarks,
    }
    ids, nowhere = np.arange(len(frames), dtype=np.int32), np.zeros(len(frames), np.uint8)
    return folded(Faces(images, labels, nowhere, ids, "ckplus", "", source, EIGHT, people=people), 0)


def folded(faces: Faces, fold: int, folds: int = FOLDS) -> Faces:
    """Faces split by person, so that no person is in two parts: those of one fold are PrivateTest, of the next one, the
    first after the last, PublicTest, of all others Training.

    The persons of the folds are those of rank ``fold``, ``fold + folds`` and so on, in ascending order (as Liu et al.
    2014 have it for CK+). Rows keep their order, ``sha256`` is that of the new parts, and ``source`` gets "fold" and
    "folds". Raises ValueError for fewer than three folds, a fold that is not 0 to folds - 1, faces whose persons are
    not known, or fewer persons than folds.
    """
    if folds < 3 or not 0 <= fold < folds:
        raise refused("fold", f"{fold!r} of {folds!r} folds", "0 to folds - 1, of three or more", "name another")
    place = faces.source.get("file", faces.name)
    if faces.people is None:
        raise refused(place, "faces whose persons are not known", "faces with people", "take data that knows them")
    persons, rank = np.unique(faces.people, return_inverse=True)
    if len(persons) < folds:
        found = f"{len(persons)} persons"
        raise refused(place, found, f"{folds} or more, one for each fold", "take fewer folds, or all of the data")
    part = np.full(folds, SPLITS.index("Training"), np.uint8)
    part[[fold, (fold + 1) % folds]] = SPLITS.index("PrivateTest"), SPLITS.index("PublicTest")
    split = part[rank.reshape(-1) % folds]
    source = faces.source | {"fold": int(fold), "folds": int(folds)}
    return replace(faces, split=split, sha256=array_hash(faces.images, faces.labels, split), source=source)


class Sequence(NamedTuple):
    """One person's expression, from neutral to its peak."""

    person: str  # such as "S005"
    number: str  # such as "001"
    frames: tuple[Path, ...]  # ascending
    emotion: int  # a code in ``EMOTIONS``, -1 without a label
    units: dict[int, float | None]  # action unit at the peak -> its intensity, None if not given; empty without FACS


def sequences(folder: Path) -> list[Sequence]:
    """All sequences of a folder, in the order of person and number. Pictures are not opened, landmarks not read, and
    hidden files passed over.

    Raises ValueError naming the file if there are no frames or no labels, for a frame, label or FACS file of another
    sequence than its folder's, two labels or FACS files of one sequence, a label without its frame, one that is no
    code, and a malformed line of a FACS file.
    """
    images, emotions, units = (_place(folder, name) for name in (_IMAGES, "Emotion", "FACS"))
    if images is None:
        there = ", ".join(path.name for path in visible(folder, "*")[:8]) if folder.is_dir() else "no such folder"
        raise refused(folder, there or "an empty folder", _EXPECTED, f"unpack CK+ there; {HOW}")
    frames = _frames(images)
    labels = _notes(emotions, "emotion") if emotions else {}
    if not labels:
        found = f"no label in {emotions.relative_to(folder)}/" if emotions else "no Emotion/"
        raise refused(folder, found, _EXPECTED, "unpack the labels, Emotion_labels.zip, there")
    for key, path in labels.items():
        if key not in frames:
            expected = f"its frames in {(images / '/'.join(key)).relative_to(folder)}/"
            raise refused(path, "a label of a sequence without frames", expected, _AGAIN)
        labelled = path.name.removesuffix("_emotion.txt")
        if labelled not in {frame.stem for frame in frames[key]}:  # the peak is not there
            found = f"a label of the frame {labelled}, and no such frame; the last is {frames[key][-1].name}"
            raise refused(path, found, f"that frame in {(images / '/'.join(key)).relative_to(folder)}/", _AGAIN)
    codes = {key: _code(path) for key, path in labels.items()}
    facs = _notes(units, "facs") if units else {}
    acting = {key: _units(path) for key, path in facs.items() if key in frames}
    return [Sequence(*key, frames[key], codes.get(key, -1), acting.get(key, {})) for key in sorted(frames)]


def _place(folder: Path, name: str) -> Path | None:
    """Where a part of CK+ is: in the folder, or in one of its zip file's name, or of its own; None if it is not."""
    zipped = f"extended-{name}" if name == _IMAGES else f"{name}_labels"
    places = (folder / zipped / name, folder / name / name, folder / name)
    return next((place for place in places if place.is_dir()), None)


def _frames(images: Path) -> dict[tuple[str, str], tuple[Path, ...]]:
    """The frames of each (person, number), ascending."""
    found = defaultdict(list)
    for path in visible(images, "*/*/*"):
        if path.suffix.lower() not in ENDINGS:
            continue
        key = path.parts[-3:-1]
        match = re.fullmatch(rf"{re.escape('_'.join(key))}_([0-9]+)", path.stem)
        if not match:
            raise refused(path, "a frame of another sequence", f"frames called {'_'.join(key)}_00000001.png", _AGAIN)
        found[key].append((int(match[1]), path))
    if not found:
        raise refused(images, "no frame", "S005/001/S005_001_00000001.png and others", _AGAIN)
    return {key: tuple(path for _, path in sorted(frames)) for key, frames in found.items()}


def _notes(folder: Path, kind: str) -> dict[tuple[str, str], Path]:
    """The file of a kind, "emotion" or "facs", of each (person, number) that has one."""
    found = {}
    for path in visible(folder, f"*/*/*_{kind}.txt"):
        key = path.parts[-3:-1]
        if not path.name.startswith(f"{'_'.join(key)}_"):
            raise refused(path, "a file of another sequence", f"{'_'.join(key)}_00000011_{kind}.txt", _AGAIN)
        if key in found:
            raise refused(path, f"a second file, beside {found[key].name}", "one for a sequence", _AGAIN)
        found[key] = path
    return found


def _text(path: Path) -> str:
    return regular(path).read_bytes().decode("ascii", "replace")


def _numbers(text: str) -> list[float]:
    """The numbers in a text; NaN for what is none."""
    return [_number(word) for word in text.split()]


def _number(word: str) -> float:
    try:
        return float("nan" if "_" in word else word)  # which Python would take
    except ValueError:
        return float("nan")


def _pairs(path: Path, expected: str) -> Iterator[tuple[float, float]]:
    """The two numbers of each line that is not blank. Raises ValueError naming the line, and what was expected of it,
    for another."""
    for number, line in enumerate(_text(path).splitlines(), 1):
        pair = _numbers(line)
        if len(pair) == 2 and np.isfinite(pair).all():
            yield pair[0], pair[1]
        elif pair:
            raise refused(f"{path}, line {number}", repr(line.strip()[:60]), expected, _AGAIN)


def _code(path: Path) -> int:
    """The emotion of a label, a code in ``EMOTIONS``."""
    numbers = _numbers(_text(path))
    if len(numbers) != 1 or numbers[0] not in range(len(EMOTIONS)):
        found = repr(_text(path).strip()[:60])
        raise refused(path, found, f"one whole number of 0 to {len(EMOTIONS) - 1}", _AGAIN)
    return int(numbers[0])


def _units(path: Path) -> dict[int, float | None]:
    """The action units of a FACS file; of one that it has twice, for the two sides of a face, the higher intensity."""
    units, expected = {}, "an action unit and its intensity, 0 if not given"
    for unit, intensity in _pairs(path, expected):
        if not unit.is_integer() or unit < 1 or intensity < 0:
            raise refused(path, f"unit {unit:g} of intensity {intensity:g}", expected, _AGAIN)
        units[int(unit)] = max(units.get(int(unit)) or 0, intensity) or None
    return units


# ---- the face in a frame


def face(frame: Path, landmarks: Path | None) -> np.ndarray:
    """The face in a frame, (48, 48) uint8 grey, around the landmarks of a file, or else from the frame's middle.

    Raises ValueError naming the file for a picture, or landmarks, that are damaged.
    """
    picture = decode(read(frame), frame, colour=False, upright=False)
    x, y, side = _square(landmarks, *picture.shape)
    return cv2.resize(picture[y : y + side, x : x + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _square(landmarks: Path | None, height: int, width: int) -> tuple[int, int, int]:
    """The square to cut out of a picture: its left edge, upper edge and side, in pixels."""
    if landmarks is None:
        side = min(height, width)
        return (width - side) // 2, (height - side) // 2, side
    points = _points(landmarks)
    low, high = points.min(axis=0), points.max(axis=0)
    x, y = middle = (low + high) / 2
    if not (0 <= x < width and 0 <= y < height) or (high - low).max() < 1:
        found = f"landmarks from {low[0]:g} {low[1]:g} to {high[0]:g} {high[1]:g}"
        raise refused(landmarks, found, f"those of a face in a picture of {width} x {height} pixels", _AGAIN)
    side = min(round((1 + 2 * MARGIN) * (high - low).max()), height, width)
    x, y = np.clip(np.round(middle - side / 2), 0, (width - side, height - side)).astype(int).tolist()
    return x, y, side


def _points(path: Path) -> np.ndarray:
    """The landmarks of a file, (68, 2) float64, x to the right and y downwards."""
    points = list(_pairs(path, "x and y of a landmark"))
    if len(points) != LANDMARKS:
        raise refused(path, f"{len(points)} landmarks", f"{LANDMARKS}", _AGAIN)
    return np.array(points)
