"""Drawn faces in AffectNet's layouts, including its traps: what tests and trial runs read instead of it.

Faces of ``drawn_faces`` are tinted and saved as JPEG with their annotations: for the older layout in a larger scene
with a box around each, for the newer one cropped to 224 x 224 pixels. They say nothing about AffectNet.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from ..files import pictures
from . import Faces, affectnet, drawn_faces, drawn_once
from .affectnet_files import COLUMNS
from .emotions import AFFECTNET, FER2013, mapping

TRAPS = (
    "no header", "null box", "negative box", "codes 8 to 10", "contempt", "missing", "corrupted", "not annotated",
)  # fmt: skip
"""What can be wrong with a tree, by name: validation.csv without its first line, a Training row with NULL for its face
box, one of negative size, rows of the codes that are no emotion, rows of contempt, a missing picture, a truncated one,
and one without an annotation (newer layout)."""

DRAWN = 96  # the side at which a face is drawn, before it is enlarged
VALENCE = {"happiness": 0.7, "neutral": 0.0, "surprise": 0.1}  # of the other emotions -0.6


def face(code: int, rng: np.random.Generator, side: int = affectnet.CUT_OUT) -> np.ndarray:
    """A face of an emotion by AffectNet's code, (side, side, 3) uint8, BGR as OpenCV saves it.

    Contempt is drawn from two action units; the codes that are no emotion are drawn as neutral.
    """
    emotion = (
        FER2013[mapping(AFFECTNET[:7], FER2013)[code]] if code < 7 else {12: 0.4, 17: 0.5} if code == 7 else "neutral"
    )
    grey = cv2.resize(drawn_faces.draw(emotion, rng, DRAWN), (side, side), interpolation=cv2.INTER_LINEAR)
    # Dark tones go towards one colour, light ones towards another: hair and shadow, skin and light.
    levels = np.linspace(0, 1, 256)[:, None]
    dark, light = rng.uniform(0.6, 1.2, 3), rng.uniform((0.55, 0.7, 0.95), (0.85, 0.95, 1.1))
    tints = np.clip(255 * levels * (dark + (light - dark) * levels), 0, 255).astype(np.uint8)
    return cv2.LUT(cv2.merge([grey] * 3), tints.reshape(256, 1, 3))


def scene(code: int, rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """A picture of 260 to 700 pixels a side with a face in it, (height, width, 3) uint8, and the face's box: x to the
    right, y downwards, width, height."""
    height, width = (int(side) for side in rng.integers(260, 700, 2))
    side = int(rng.integers(120, min(height, width) - 20))
    x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
    coarse = rng.integers(0, 256, (4, 4, 3), np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    picture[y : y + side, x : x + side] = face(code, rng, side)
    return picture, (x, y, side, side)


def write(
    folder: Path, layout: str, training: int, validation: int, traps: tuple[str, ...] = TRAPS, seed: int = 0
) -> None:
    """Write a tree of a layout, "older" or "newer", with this many valid pictures of the seven emotions in turn.

    Those that ``traps`` name are added. Picture i depends only on the seed, the part and i. All processors draw. Raises
    ValueError for an unknown layout or trap.
    """
    if layout not in ("older", "newer") or not set(traps) <= set(TRAPS):
        raise ValueError(f"found {layout!r}, {traps!r}; expected older or newer, and traps of {', '.join(TRAPS)}")
    extra = [7, 7, 7] * ("contempt" in traps) + [8, 9, 10] * ("codes 8 to 10" in traps)
    spoiled = [name for name in TRAPS if name in traps and name in ("null box", "negative box", "missing", "corrupted")]
    spoiled = [name for name in spoiled if layout == "older" or "box" not in name]
    jobs = []
    for part, count in enumerate((training, validation)):
        codes = [number % 7 for number in range(count)] + extra
        faults = [""] * len(codes)
        if part == 0:
            codes, faults = codes + [1] * len(spoiled), faults + spoiled
        for number, (code, fault) in enumerate(zip(codes, faults)):
            place = _place(folder, layout, part, number, seed)
            jobs.append((place, layout, code, fault, [seed, part, number]))
    for parent in {place.parent for place, *_ in jobs}:
        parent.mkdir(parents=True, exist_ok=True)
    if len(jobs) < 500:  # processes would cost more than they save
        rows = list(map(_draw, *zip(*jobs)))
    else:
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            rows = list(pool.map(_draw, *zip(*jobs), chunksize=100))
    if layout == "older":
        first = training + len(extra) + len(spoiled)
        _write_lists(folder, rows[:first], rows[first:], "no header" in traps)
    else:
        _write_annotations(folder, rows, "not annotated" in traps)


def _place(folder: Path, layout: str, part: int, number: int, seed: int) -> Path:
    if layout == "newer":
        return folder / ("train_set", "val_set")[part] / "images" / f"{number}.jpg"
    name = hashlib.sha256(f"{seed} {part} {number}".encode()).hexdigest()[:56]
    return folder / "Manually_Annotated" / "Manually_Annotated_Images" / str(number // 500 + 1) / f"{name}.jpg"


def _draw(place: Path, layout: str, code: int, fault: str, seed: list[int]) -> tuple:
    """Draw and save one picture: (place, code, box as it is annotated, valence). ``fault``: one of ``TRAPS``, or ""."""
    rng = np.random.default_rng(seed)
    picture, box = (face(code, rng), (0, 0, 0, 0)) if layout == "newer" else scene(code, rng)
    content = pictures.encode(picture, ".jpg", 90)
    if fault != "missing":
        place.write_bytes(content[: len(content) // 2] if fault == "corrupted" else content)
    x, y, width, height = box
    box = {"null box": ("NULL",) * 4, "negative box": (x, y, -width, -height)}.get(fault, box)
    valence = -2.0 if code > 7 else VALENCE.get(AFFECTNET[code], -0.6)
    return place, code, box, valence


def _write_lists(folder: Path, training: list[tuple], validation: list[tuple], headless: bool) -> None:
    lists = folder / "Manually_Annotated_file_lists"
    lists.mkdir(parents=True, exist_ok=True)
    landmarks = ";".join(f"{k}.00;{k + 1}.00" for k in range(68))
    for name, rows in {"training": training, "validation": validation}.items():
        with open(lists / f"{name}.csv", "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if name == "training" or not headless:
                writer.writerow(COLUMNS)
            for place, code, box, valence in rows:
                writer.writerow((f"{place.parent.name}/{place.name}", *box, landmarks, code, valence, 0.1))


def _write_annotations(folder: Path, rows: list[tuple], bare: bool) -> None:
    for place, code, _, valence in rows:
        annotations = place.parents[1] / "annotations"
        annotations.mkdir(exist_ok=True)
        # the released files hold numbers as text
        for name, value in {"exp": f"{code}", "val": f"{valence}", "aro": "0.1"}.items():
            np.save(annotations / f"{place.stem}_{name}.npy", np.array(value))
        np.save(annotations / f"{place.stem}_lnd.npy", np.zeros(136))
    if bare:
        shutil.copy(rows[0][0], rows[0][0].with_name("999999999.jpg"))


def load(layout: str, tests: str) -> Faces:
    """700 Training and 140 validation faces with every trap, written once for each version of the drawing code, and
    read like AffectNet (see ``affectnet.load``). What is left out is known and gives no warning.
    """
    modules = (__file__, drawn_faces.__file__)
    tree = drawn_once("drawn-affectnet", layout, modules, lambda folder: write(folder, layout, 700, 140))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        faces = affectnet.load(tree, tests=tests)
    source = {"file": f"drawn in the {layout} layout of AffectNet"} | {
        key: faces.source[key] for key in ("form", "codes", "tests", "left_out")
    }
    return replace(faces, name=f"drawn_{faces.name}", source=source)
