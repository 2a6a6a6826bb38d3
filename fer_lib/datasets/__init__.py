"""Data sets: one module each, with a plain ``load(...) -> Faces``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from ..emotions import FER2013

SPLITS = ("Training", "PublicTest", "PrivateTest")
"""FER2013's three parts, in the order of their codes 0, 1, 2; every data set here has the same three."""


@dataclass(frozen=True)
class Faces:
    """Labelled grey faces.

    images: (n, 48, 48) uint8, 0 black to 255 white; may be memory-mapped, never written to.
    labels: (n,) uint8, an index into ``emotions``.
    split: (n,) uint8, an index into ``SPLITS``.
    ids: (n,) int32, the row's number in its source file, counted from 0 without the header.
    name: "fer2013" or "drawn_faces".
    sha256: hash of the whole data set's arrays (see ``array_hash``); a selection keeps its source's.
    source: what a reader needs to find the same data again: file name, MD5 of the file, and so on.
    """

    images: np.ndarray
    labels: np.ndarray
    split: np.ndarray
    ids: np.ndarray
    name: str
    sha256: str
    source: dict = field(default_factory=dict)
    emotions: tuple[str, ...] = FER2013

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, splits: str) -> np.ndarray:
        """Positions (int64, ascending) of the rows in one split or in several joined by ``+``.

        ``rows("PublicTest+PrivateTest")`` are the papers' 7,178. Raises ValueError for another name.
        """
        names = splits.split("+")
        unknown = [name for name in names if name not in SPLITS]
        if unknown:
            raise ValueError(f"no split is called {unknown[0]!r}; expected {', '.join(SPLITS)}, or some joined by '+'")
        return np.flatnonzero(np.isin(self.split, [SPLITS.index(name) for name in names]))

    def select(self, rows: np.ndarray) -> Faces:
        """The faces at these positions, in this order."""
        return Faces(
            self.images[rows], self.labels[rows], self.split[rows], self.ids[rows],
            self.name, self.sha256, self.source, self.emotions,
        )  # fmt: skip


def array_hash(images: np.ndarray, labels: np.ndarray, split: np.ndarray) -> str:
    """SHA-256 over the bytes of images, labels and split (uint8, C order), in this order.

    The same pixels, labels and parts give the same hash whatever file they came from.
    """
    digest = hashlib.sha256()
    for array in (images, labels, split):
        digest.update(np.ascontiguousarray(array, np.uint8).data)
    return digest.hexdigest()


def load(name: str) -> Faces:
    """Load a data set by name: "drawn_faces", or "fer2013" from where ``fer2013.find`` sees it."""
    from . import drawn_faces, fer2013

    loaders = {"drawn_faces": drawn_faces.load, "fer2013": fer2013.load}
    if name not in loaders:
        raise ValueError(f"data: found {name!r}, expected one of {', '.join(loaders)}")
    return loaders[name]()


def banner(faces: Faces) -> str:
    """One Markdown paragraph that says what data a page was made from, for its top."""
    counts = ", ".join(f"{np.sum(faces.split == code):,} {name}" for code, name in enumerate(SPLITS))
    if faces.name == "drawn_faces":
        return (
            f"> ⚠ **Made from drawn faces** ({counts}), because they were asked for or no FER2013 was found. "
            "They prove that the machinery works and say nothing about the papers."
        )
    return f"> Made from **FER2013** ({counts}; {faces.source['file']}, MD5 {faces.source['md5']})."
