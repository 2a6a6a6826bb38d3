"""What is wrong with a data set: images that occur twice, leak from part to part, have several labels, or show nothing.

Two images are the same when they are equal in every pixel. The *earliest* of several is the first in the order
Training, PublicTest, PrivateTest, and within a part in the order of the file. A row is *leaked* when its image is also
in an earlier part, on which a network was trained or chosen, and *clean* otherwise.
"""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

import numpy as np

from .. import paths
from ..files import writing
from . import SPLITS, Faces


def earliest_twins(faces: Faces) -> np.ndarray:
    """For each row the position, (n,) int64, of the earliest row with the same image: its own if there is no other.

    Rows of no known part come last.
    """
    first, twins = {}, np.empty(len(faces), np.int64)
    for position in np.argsort(faces.split, kind="stable").tolist():
        digest = hashlib.sha256(np.ascontiguousarray(faces.images[position])).digest()  # all pixels would fill memory
        twins[position] = first.setdefault(digest, position)
    return twins


def clean_rows(faces: Faces) -> np.ndarray:
    """Which rows are free of leakage, (n,) bool: no row of an earlier split has the same pixels.

    A PrivateTest row is clean when its image is neither in Training nor in PublicTest, a PublicTest row when it is not
    in Training. 3,275 of FER2013's 3,589 PrivateTest rows are clean.
    """
    earliest = faces.split[earliest_twins(faces)]
    return (earliest == faces.split) | (faces.split >= len(SPLITS))


def leaking_rows(faces: Faces) -> np.ndarray:
    """Which Training rows show an image that is also in a test set, (n,) bool."""
    twins = earliest_twins(faces)
    tested = np.zeros(len(faces), bool)
    tested[twins[(faces.split > 0) & (faces.split < len(SPLITS))]] = True
    return tested[twins] & (faces.split == 0)


def marks(faces: Faces) -> dict[str, np.ndarray]:
    """The marks of each row, (n,) each; all but the first two are bool.

    twin: position of the earliest row with the same image (``earliest_twins``). group_size: rows with that image.
    in_training, in_public_test: a test row's image is also in this earlier part. clean: in no earlier part
    (``clean_rows``).
    mislabelled_in_training, contradicted: some row of Training, or of any earlier part, shows a test row's image with
    another label. conflicting: the rows of this image have more than one label. flat: one uniform grey.

    A row of no known part does not leak; a row without a label contradicts none and is not contradicted.
    """
    twin, parts, emotions = earliest_twins(faces), np.arange(len(SPLITS)), np.arange(len(faces.emotions))
    in_part = faces.split[:, None] == parts  # (n, 3)
    has_label = faces.labels[:, None] == emotions  # (n, 7)
    shown = np.zeros((len(faces), len(SPLITS) + 1, len(faces.emotions) + 1), bool)
    shown[twin, np.minimum(faces.split, len(SPLITS)), np.minimum(faces.labels, len(faces.emotions))] = True
    shown = shown[twin]  # (n, 4, 8): whether each row's image is in this part with this label, unknown ones last
    earlier = (parts < faces.split[:, None]) & in_part.any(axis=1, keepdims=True)  # (n, 3): parts before a row's own
    leaked = shown[:, :-1].any(axis=2) & earlier
    other = has_label.any(axis=1)[:, None] & (shown[:, :-1, :-1] & ~has_label[:, None]).any(axis=2) & earlier
    pixels = faces.images.reshape(len(faces), -1)
    return {
        "twin": twin,
        "group_size": np.bincount(twin, minlength=len(faces))[twin],
        "in_training": leaked[:, 0],
        "in_public_test": leaked[:, 1],
        "clean": ~leaked.any(axis=1),
        "mislabelled_in_training": other[:, 0],
        "contradicted": other.any(axis=1),
        "conflicting": shown[:, :, :-1].any(axis=1).sum(axis=1) > 1,
        "flat": (pixels == pixels[:, :1]).all(axis=1),
    }


def summary(faces: Faces) -> list[dict]:
    """The findings, one dict each: finding, the count in each split, and in all.

    None where a count has no meaning: an image that is in several parts belongs to none, and nothing comes before
    Training.
    """
    mark = marks(faces)
    first = mark["twin"] == np.arange(len(faces))
    rows = {part: faces.split == code for code, part in enumerate(SPLITS)}
    different = {part: len(np.unique(mark["twin"][of])) for part, of in rows.items()}
    tests, private = SPLITS[1:], SPLITS[2:]
    clean = mark["clean"] & (rows["PublicTest"] | rows["PrivateTest"])

    def line(finding, chosen, parts=SPLITS):
        counts = {part: int(chosen[of].sum()) if part in parts else None for part, of in rows.items()}
        return {"finding": finding, **counts, "all": int(chosen.sum())}

    return [
        line("rows", first | ~first),
        line("different images", first) | different,
        line("images that occur more than once", first & (mark["group_size"] > 1), ()),
        line("rows that show such an image", mark["group_size"] > 1),
        line("surplus rows, which repeat an earlier row", ~first),
        line("test rows whose image stands in Training", mark["in_training"], tests),
        line("test rows whose image has another label in Training", mark["mislabelled_in_training"], tests),
        line("PrivateTest rows whose image stands in PublicTest", mark["in_public_test"], private),
        line("leaked rows: image in an earlier part", ~mark["clean"], tests),
        line("clean rows: image in no earlier part", clean, tests),
        line("images with conflicting labels", first & mark["conflicting"], ()),
        line("rows that show an image with conflicting labels", mark["conflicting"]),
        line("flat images, one grey all over", mark["flat"]),
    ]


def row_lists(faces: Faces) -> dict[str, list[dict]]:
    """The rows behind the ``summary``: duplicates, leaked, flat, clean_private_test; rows are named by their ids."""
    mark, parts, emotions = marks(faces), dict(enumerate(SPLITS)), dict(enumerate(faces.emotions))

    def row(position, keys=("row", "split", "emotion")):
        part, emotion = parts.get(faces.split[position], ""), emotions.get(faces.labels[position], "")
        return dict(zip(keys, (int(faces.ids[position]), part, emotion)))

    def twin(position):
        return row(mark["twin"][position], ("twin", "twin_split", "twin_emotion"))

    def yes_no(name, position):
        return "yes" if mark[name][position] else "no"

    together = np.lexsort((faces.ids, mark["twin"]))
    repeated = together[mark["group_size"][together] > 1]
    _, groups = np.unique(mark["twin"][repeated], return_inverse=True)
    return {
        "duplicates": [
            {"group": int(group), **row(k), "conflict": yes_no("conflicting", k)} for group, k in zip(groups, repeated)
        ],
        "leaked": [
            {**row(k), **twin(k), "contradicted": yes_no("contradicted", k)} for k in np.flatnonzero(~mark["clean"])
        ],
        "flat": [row(k) | {"grey": int(faces.images[k, 0, 0])} for k in np.flatnonzero(mark["flat"])],
        "clean_private_test": [{"row": int(k)} for k in faces.ids[mark["clean"] & (faces.split == 2)]],
    }


def folder(faces: Faces) -> Path:
    """The folder for the lists of this data; those of the official FER2013 are committed, all others are not."""
    official = faces.name == "fer2013" and faces.source.get("official")
    return (paths.RESULTS if official else paths.RESULTS / "local") / "audit"


def write(faces: Faces, into: Path) -> None:
    """Write ``summary`` and ``row_lists`` as CSV files, and a README on them, into a folder.

    They are written when all are made, each at once, so that an interruption leaves no incomplete file.
    """
    lists = {"summary": summary(faces), **row_lists(faces)}
    texts = {f"{name}.csv": _csv(COLUMNS[name], rows) for name, rows in lists.items()} | {"README.md": _readme(faces)}
    into.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        writing.replace_text(into / name, text)


def _csv(columns: tuple[str, ...], rows: list[dict]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


COLUMNS = {
    "summary": ("finding", *SPLITS, "all"),
    "duplicates": ("group", "row", "split", "emotion", "conflict"),
    "leaked": ("row", "split", "emotion", "twin", "twin_split", "twin_emotion", "contradicted"),
    "flat": ("row", "split", "emotion", "grey"),
    "clean_private_test": ("row",),
}


def _readme(faces: Faces) -> str:
    known = f", MD5 `{faces.source['md5']}`" if "md5" in faces.source else ""
    return f"""\
# Audit

*Written by `make audit`* from {faces.name}, {len(faces):,} rows{known}.

`row` is the line of the CSV file, counted from 0 without the header. Two images are the same when they are equal in
every pixel. The parts have the order Training, PublicTest, PrivateTest.

- `summary.csv`: the counts.
- `duplicates.csv`: every row whose image occurs more than once. Rows with the same `group` show the same image;
  `conflict` means that they have more than one label.
- `leaked.csv`: every test row whose image is also in an earlier part, and its `twin`, the first row with that image.
  `contradicted` means that a row of an earlier part has another label.
- `near_duplicates.csv`: pairs of a test row and a row of an earlier part, its `partner`, that are not equal but have a
  correlation of 0.85 or more: between the middle 40 x 40 pixels of the partner and a square of the row that is up to
  4 pixels `down` and `right`, and possibly `mirrored`. From 0.90 on they count as near-duplicates.
- `several_emotions.csv`: test rows in which three or more of FER+'s ten taggers chose a second emotion; written if
  FER+ is there.
- `flat.csv`: images of one uniform `grey` (0 black to 255 white).
- `clean_private_test.csv`: the PrivateTest rows whose image is neither in Training nor in PublicTest.
"""
