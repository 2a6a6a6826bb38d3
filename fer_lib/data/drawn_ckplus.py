"""Drawn faces in the layouts of CK+ and SFEW 2.0: what tests and trial runs read instead of them.

A sequence in CK+'s layout is one of ``drawn_faces`` whose action units rise from neutral to a peak: with the same
numbers drawn at random for each frame, it is the same person in the same light. They say nothing about either data set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from ..files import pictures
from . import Faces, ckplus, drawn_affectnet, drawn_faces, drawn_once, sfew
from .emotions import AFFECTNET, FER2013, mapping

DRAWN = 96  # the side at which a face is drawn, before it is enlarged
CONTEMPT = {12: 0.4, 17: 0.5}  # it has no prototype
TRAINING_FILMS, VALIDATION_FILMS = 40, 15
WIDTH, HEIGHT = 143, 181  # of SFEW's aligned faces


# ---- CK+


def write_ckplus(
    folder: Path, persons: int = 20, sequences: int = 4, frames: int = 6, nested: bool = False, seed: int = 0
) -> None:
    """Write a tree in CK+'s layout: for each person this many sequences with a label, of the emotions 1 to 7 in turn,
    and one without.

    frames: how many a sequence has at most; every other one has one fewer. nested: with the folders that the zip files
    have. Every third person is in colour. A sequence depends only on the seed, the person and its number. Raises
    ValueError for other than 10 to 190 persons, 1 to 900 sequences, or fewer than four frames.
    """
    if not 10 <= persons <= 190 or not 1 <= sequences <= 900 or frames < 4:
        found = f"{persons!r} persons, {sequences!r} sequences, {frames!r} frames"
        raise ValueError(f"found {found}; expected 10 to 190, 1 to 900, 4 or more")
    names = ("cohn-kanade-images", "Emotion", "FACS", "Landmarks")
    zipped = ("extended-cohn-kanade-images", "Emotion_labels", "FACS_labels", "Landmarks")
    places = [folder / above / name if nested else folder / name for above, name in zip(zipped, names)]
    for person in range(persons):
        for number in range(1, sequences + 2):
            labelled = number <= sequences
            emotion = 1 + (sequences * person + number) % 7
            name = f"S{5 * (person + 1):03d}", f"{number:03d}"
            count = frames - number % 2
            _write_sequence(places, name, emotion, count, labelled, person % 3 == 0, [seed, person, number])
    for place in (places[0], places[0] / "S005", places[0] / "S005" / "001", places[1], places[1] / "S005"):
        (place / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")  # as the release has them


def _write_sequence(
    places: list[Path], name: tuple[str, str], emotion: int, count: int, labelled: bool, colour: bool, seed: list[int]
) -> None:
    images, emotions, facs, landmarks = (place.joinpath(*name) for place in places)
    for place in (images, facs, landmarks):
        place.mkdir(parents=True)
    if labelled or seed[1] % 2:  # other sequences without a label have not even a folder for it
        emotions.mkdir(parents=True)
    rng = np.random.default_rng([*seed, 1])
    height, side = (480, 490)[not colour], int(rng.integers(200, 260))
    x, y = int(rng.integers(100, 540 - side)), int(rng.integers(60, height - 60 - side))
    peak, tint = _peak(emotion, rng), rng.uniform((0.6, 0.75, 0.95), (0.8, 0.9, 1.0))
    points = (x, y) + _landmarks(seed) * side / 48
    for k in range(1, count + 1):
        units = {unit: intensity * (k - 1) / (count - 1) for unit, intensity in peak.items()}
        small = drawn_faces.draw(units, np.random.default_rng(seed), DRAWN)
        picture = np.full((height, 640), np.median(small), np.uint8)
        picture[y : y + side, x : x + side] = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
        if colour:
            picture = (picture[..., None] * tint).astype(np.uint8)
        stem = f"{'_'.join(name)}_{k:08d}"
        (images / f"{stem}.png").write_bytes(pictures.encode(picture, ".png"))
        _write_numbers(landmarks / f"{stem}_landmarks.txt", points)
    if labelled:
        _write_numbers(emotions / f"{stem}_emotion.txt", [[emotion]])
    given = seed[1] % 4 > 0  # FACS intensities go from 1 (A) to 5 (E)
    _write_numbers(facs / f"{stem}_facs.txt", [[u, given * (1 + round(4 * peak[u]))] for u in sorted(peak)])


def _peak(emotion: int, rng: np.random.Generator) -> dict[int, float]:
    """The action units of an emotion, by CK+'s code, with their intensities at the peak."""
    name = ckplus.EMOTIONS[emotion]
    if name == "contempt":
        return CONTEMPT
    known = FER2013[mapping((name,), FER2013)[0]]
    return {unit: float(rng.uniform(0.7, 1)) for unit in drawn_faces.PROTOTYPES[known]}


def _landmarks(seed: list[int]) -> np.ndarray:
    """The landmarks of the face that ``drawn_faces.draw`` draws with a seed, as if neutral and from the front: (68, 2)
    float64, x and y in pixels of a picture of 48.

    Jaw, brows, nose, eyes, mouth, as CK+ has them. Where the head is comes from the first numbers that it draws.
    """
    low, high = np.array(list(drawn_faces.RANGES.values())).T
    chances = np.random.default_rng(seed).random(len(low))
    at = dict(zip(drawn_faces.RANGES, (low + (high - low) * chances).tolist()))
    level, nose = 1j * at["eye_height"], 1j * (at["eye_height"] + at["nose_length"])
    turn, around, across = (np.exp(1j * np.linspace(*ends)) for ends in ((np.pi, 0, 17), (0, 5.2, 6), (0, 5.7, 12)))
    brow = at["eye_distance"] + 0.23 * np.linspace(-1, 1, 5) + level - 1j * at["brow_height"]
    eye = at["eye_distance"] + at["eye_width"] * around.real + level + 1j * at["eye_open"] * around.imag
    mouth = at["mouth_width"] * across.real + 1j * (at["mouth_height"] + at["lip"] * across.imag)
    points = np.concatenate([
        turn.real * (1 - at["jaw_taper"] * turn.imag**2) + 1j * at["head_height"] * turn.imag,
        -brow.conj()[::-1], brow, np.linspace(level, nose, 4), at["nose_width"] * np.linspace(-1, 1, 5) + nose,
        -eye.conj(), eye, mouth, mouth[:8],
    ])  # fmt: skip
    points = 24 + at["x"] + 1j * (22.5 + at["y"]) + at["scale"] * np.exp(1j * at["roll"]) * points
    return np.stack([points.real, points.imag], axis=1)


def _write_numbers(path: Path, rows) -> None:
    path.write_text("".join("".join(f"   {number:.7e}" for number in row) + "\n" for row in rows), encoding="ascii")


# ---- SFEW


def write_sfew(folder: Path, training: int = 300, validation: int = 100, nested: bool = False, seed: int = 0) -> None:
    """Write a tree in SFEW's layout with this many aligned faces of the seven emotions in turn, and a whole frame of
    each emotion in ``Train/``.

    nested: the aligned faces in ``Train/Train_Aligned_Faces/`` and ``Val/Val_Aligned_Faces_new/``. Picture i depends
    only on the seed, the part and i. Raises ValueError for fewer than seven faces in a part.
    """
    if min(training, validation) < len(FER2013):
        raise ValueError(f"found {training!r} and {validation!r} faces; expected 7 or more, one of each emotion")
    codes = mapping(FER2013, AFFECTNET[:7]).tolist()
    parts = ("Train/Train_Aligned_Faces", "Val/Val_Aligned_Faces_new") if nested else (
        "Train_Aligned_Faces", "Val_Aligned_Faces",
    )  # fmt: skip
    for part, count in enumerate((training, validation)):
        for number in range(count):
            emotion = number % len(FER2013)
            rng = np.random.default_rng([seed, part, number])
            first, films = ((0, TRAINING_FILMS), (TRAINING_FILMS, VALIDATION_FILMS))[part]
            name = f"Film_{first + int(rng.integers(films)):03d}_{12_000 + 40 * number:09d}_00000005.png"
            place = folder / parts[part] / FER2013[emotion].capitalize()
            square = drawn_affectnet.face(codes[emotion], rng, WIDTH)
            above = (HEIGHT - WIDTH) // 2
            picture = cv2.copyMakeBorder(square, above, HEIGHT - WIDTH - above, 0, 0, cv2.BORDER_REPLICATE)
            _save(place / name, picture)
    for emotion, code in enumerate(codes):
        picture, _ = drawn_affectnet.scene(code, np.random.default_rng([seed, 2, emotion]))
        _save(folder / "Train" / FER2013[emotion].capitalize() / f"Film_000_{emotion:09d}_00000001.png", picture)


def _save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pictures.encode(picture, ".png"))


# ---- both


DATA: dict[str, tuple[Callable[[Path], None], Callable[[Path], Faces], str]] = {
    "drawn_ckplus": (write_ckplus, ckplus.load, "CK+"),
    "drawn_sfew": (write_sfew, sfew.load, "SFEW 2.0"),
}
"""Each stand-in's name -> what writes its tree, what reads it, and in whose layout it is."""


def load(name: str) -> Faces:
    """A stand-in of ``DATA``: its tree, written once for each version of the drawing code, and read like the real one
    (see ``ckplus.load`` and ``sfew.load``).

    Raises ValueError for another name, OSError if the tree cannot be kept.
    """
    if name not in DATA:
        raise ValueError(f"data: found {name!r}, expected one of {', '.join(DATA)}")
    write, read, layout = DATA[name]
    modules = (__file__, drawn_faces.__file__, drawn_affectnet.__file__)
    tree = drawn_once(name.replace("_", "-"), "tree", modules, write)
    faces = read(tree)
    return replace(faces, name=name, source=faces.source | {"file": f"drawn in the layout of {layout}"})
