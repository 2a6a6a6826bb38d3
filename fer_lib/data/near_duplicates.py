"""Test rows that show nearly the same picture as a row of an earlier part: cropped, shifted, mirrored or marked.

FER2013 was collected by image search, so it has some photographs several times, cropped or encoded slightly
differently. Comparing for equal pixels (``audit``) misses these. Two images are compared by the correlation of their
grey levels on a square of ``INNER`` pixels, over every shift of up to ``SHIFT`` pixels and both mirror images.
"""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .. import paths
from ..files import refused, tables, writing
from . import PROGRESS, SIDE, SPLITS, Faces, array_hash, audit

NEAR = 0.90
"""Pairs correlated this much or more are near-duplicates. The threshold is ours; the causes page shows others."""

NAME = "near_duplicates"

LISTED = 0.85
"""Pairs correlated this much or more are listed, so that the effect of the threshold can be seen."""

SHIFT = 4
INNER = SIDE - 2 * SHIFT

COMPONENTS = 64
"""Number of principal components in the first pass; it changes how long the search takes, not what it finds."""

PAIR = np.dtype(
    [("row", np.int64), ("partner", np.int64), ("correlation", np.float32), ("mirrored", bool)]
    + [("down", np.int8), ("right", np.int8)]
)
"""``row``: position of a test row; ``partner``: of a row of an earlier part. The row's square is ``down`` and ``right``
(pixels) of the middle, and is ``mirrored`` there; the partner's is in the middle."""


def find(faces: Faces, at_least: float = LISTED) -> np.ndarray:
    """All pairs of a test row and a row of an earlier part with a correlation of ``at_least`` or more: (n,) of
    ``PAIR``.

    Each pair once, at its best shift, in the order of row and partner; equal images are left out (``audit`` has them).
    Flat squares correlate with nothing. The first pass multiplies a few principal components and the length of the
    remainder; by the Cauchy-Schwarz inequality that product is never below the correlation, so no pair is missed.
    FER2013's 7,178 test rows against all rows take about four minutes on two cores, in less than 1 GB.

    Raises ValueError if the faces are not grey and 48 x 48 pixels.
    """
    if faces.images.shape[1:] != (SIDE, SIDE):
        raise ValueError(f"images: found {faces.images.shape[1:]}, expected grey ones of {SIDE} x {SIDE} pixels")
    images = np.asarray(faces.images)
    tests = np.flatnonzero((faces.split > 0) & (faces.split < len(SPLITS)))
    earlier = np.flatnonzero(faces.split < len(SPLITS) - 1)
    squares = _unit(images[earlier, SHIFT:-SHIFT, SHIFT:-SHIFT])
    sample = squares[np.random.default_rng(0).permutation(len(squares))[:4000]]
    basis = np.linalg.eigh(sample.T @ sample)[1][:, -COMPONENTS:]
    look = _first_look(squares, basis)
    pairs = [np.zeros(0, PAIR)]
    places = list(product((False, True), range(2 * SHIFT + 1), range(2 * SHIFT + 1)))
    for mirrored, down, right in tqdm(places, desc="near-duplicates", **PROGRESS):
        seen = images[tests, down : down + INNER, right : right + INNER]
        moved = _unit(seen[:, :, ::-1] if mirrored else seen)
        moved_look = _first_look(moved, basis)
        for start in range(0, len(tests), 256):
            row, partner = np.nonzero(moved_look[start : start + 256] @ look.T >= at_least - 1e-4)
            row += start
            later = faces.split[tests[row]] > faces.split[earlier[partner]]
            row, partner = row[later], partner[later]
            for part in np.array_split(np.arange(len(row)), len(row) // 10_000 + 1):
                correlation = np.einsum("ij,ij->i", moved[row[part]], squares[partner[part]])
                near = part[correlation >= at_least]
                new = np.zeros(len(near), PAIR)
                new["row"], new["partner"] = tests[row[near]], earlier[partner[near]]
                new["correlation"] = np.minimum(correlation[correlation >= at_least], 1)
                new["mirrored"], new["down"], new["right"] = mirrored, down - SHIFT, right - SHIFT
                pairs.append(new)
    found = np.concatenate(pairs)
    found = found[np.lexsort((-found["correlation"], found["partner"], found["row"]))]
    first = np.ones(len(found), bool)
    first[1:] = (np.diff(found["row"]) != 0) | (np.diff(found["partner"]) != 0)
    found = found[first]
    return found[[not np.array_equal(images[pair["row"]], images[pair["partner"]]) for pair in found]]


def _unit(squares: np.ndarray) -> np.ndarray:
    """Squares (n, a, a) as (n, a * a) float32 of mean 0 and length 1; flat ones as 0."""
    values = squares.reshape(len(squares), -1).astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, length, out=np.zeros_like(values), where=length > 0)


def _first_look(values: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Components of (n, d) along a basis (d, k), and the length of the remainder: (n, k + 1) float32."""
    components = values @ basis
    rest = (values**2).sum(axis=1, keepdims=True) - (components**2).sum(axis=1, keepdims=True)
    return np.hstack([components, np.sqrt(np.maximum(rest, 0))])


def load(faces: Faces) -> np.ndarray:
    """``find`` for these faces: for FER2013's official data read from the audit's list, which ``make audit`` writes;
    for other data from the cache, where the first call keeps it."""
    official = faces.name.startswith("fer") and faces.source.get("official")
    listed = paths.RESULTS / "audit" / f"{NAME}.csv"
    if official and listed.exists():
        return _read(listed, faces)
    kept = paths.CACHE / f"{NAME}-{array_hash(faces.images, faces.labels, faces.split)[:16]}.csv"
    with suppress(OSError, ValueError):  # not there yet, or damaged
        return _read(kept, faces)
    pairs = find(faces)
    with suppress(OSError):  # a read-only folder only costs time
        kept.parent.mkdir(parents=True, exist_ok=True)
        writing.replace_text(kept, as_csv(faces, pairs))
    return pairs


COLUMNS = ("row", "split", "emotion", "partner", "partner_split", "partner_emotion", "correlation", "mirrored")
COLUMNS += ("down", "right")


def as_csv(faces: Faces, pairs: np.ndarray) -> str:
    """Pairs as the text of a CSV file with a header; rows are given by their ids."""
    splits, emotions = (*SPLITS, ""), dict(enumerate(faces.emotions))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for pair in pairs:
        sides = [
            (faces.ids[k], splits[faces.split[k]], emotions.get(faces.labels[k], ""))
            for k in (pair["row"], pair["partner"])
        ]
        moved = f"{pair['correlation']:.4f}", "yes" if pair["mirrored"] else "no", pair["down"], pair["right"]
        writer.writerow([*sides[0], *sides[1], *moved])
    return text.getvalue()


_KINDS = {"row": int, "partner": int, "correlation": float, "mirrored": str, "down": int, "right": int}
_AGAIN = "make it again: make audit"


def _read(place: Path, faces: Faces) -> np.ndarray:
    """The pairs of a list of which both rows are among these faces."""
    position = {row: k for k, row in enumerate(faces.ids.tolist())}
    lines = [
        (position[line["row"]], position[line["partner"]], line["correlation"], line["mirrored"] == "yes")
        + (line["down"], line["right"])
        for line in tables.read_rows(place, _KINDS, _AGAIN)
        if line["row"] in position and line["partner"] in position
    ]
    try:
        return np.array(lines, PAIR)
    except OverflowError as error:
        raise refused(place, f"a number that is too large ({error})", "pairs of rows", _AGAIN) from error


def nearest(faces: Faces) -> np.ndarray:
    """The highest correlation of each row with a row of an earlier part that is not equal to it, (n,) float32.

    0 if none reaches ``LISTED``, and for Training rows.
    """
    pairs, highest = load(faces), np.zeros(len(faces), np.float32)
    np.maximum.at(highest, pairs["row"], pairs["correlation"])
    return highest


def listed_ids(folder: Path | None = None) -> frozenset[int]:
    """Ids of the official data's test rows that are not near-clean, from the audit's lists: leaked rows, and those with
    a near-duplicate in an earlier part. ``folder``: the lists' folder, ``results/audit`` by default.

    Raises FileNotFoundError if a list is missing (``make audit`` writes them), ValueError if one is damaged.
    """
    return _listed_ids(_written(folder, NAME), _written(folder, "leaked"))


def unclean_ids(folder: Path | None = None) -> frozenset[int]:
    """Of ``listed_ids`` the leaked rows alone: those that are not ``audit.clean_rows``. Raises what that raises."""
    return _unclean_ids(*_written(folder, "leaked"))


def _written(folder: Path | None, name: str) -> tuple[Path, int]:
    """A list and its time of writing, an argument of those who read it, so that a new list is read."""
    path = (folder or paths.RESULTS / "audit") / f"{name}.csv"
    return path, path.stat().st_mtime_ns


@lru_cache
def _unclean_ids(path: Path, written: int) -> frozenset[int]:
    return frozenset(line["row"] for line in tables.read_rows(path, {"row": int}, _AGAIN))


@lru_cache
def _listed_ids(near: tuple[Path, int], leaked: tuple[Path, int]) -> frozenset[int]:
    return _near_ids(*near) | _unclean_ids(*leaked)


@lru_cache
def _near_ids(path: Path, written: int) -> frozenset[int]:
    pairs = tables.read_rows(path, {"row": int, "correlation": float}, _AGAIN)
    return frozenset(line["row"] for line in pairs if line["correlation"] >= NEAR)


def summary(faces: Faces, pairs: np.ndarray) -> list[dict]:
    """What ``find`` found, in the form of ``audit.summary``: finding, the count in each split, and in all."""
    highest, clean = np.zeros(len(faces), np.float32), audit.clean_rows(faces)
    np.maximum.at(highest, pairs["row"], pairs["correlation"])
    tests = (faces.split > 0) & (faces.split < len(SPLITS))

    def line(finding, chosen):
        own = {name: int((chosen & (faces.split == code)).sum()) for code, name in enumerate(SPLITS)}
        return {"finding": finding, **own, SPLITS[0]: None, "all": int((chosen & tests).sum())}

    return [
        line(f"test rows with a near-duplicate, correlated {NEAR:.2f} or more, in an earlier part", highest >= NEAR),
        line("of these clean otherwise", (highest >= NEAR) & clean),
        line("near-clean rows: clean, and no near-duplicate in an earlier part", (highest < NEAR) & clean & tests),
    ]


def near_clean_rows(faces: Faces) -> np.ndarray:
    """Which ``audit.clean_rows`` have no near-duplicate in an earlier part either, (n,) bool."""
    return audit.clean_rows(faces) & (nearest(faces) < NEAR)


def leaking_rows(faces: Faces) -> np.ndarray:
    """Which Training rows show the image of a test row, exactly or nearly, (n,) bool."""
    pairs, near = load(faces), np.zeros(len(faces), bool)
    near[pairs["partner"][pairs["correlation"] >= NEAR]] = True
    return audit.leaking_rows(faces) | (near & (faces.split == 0))
