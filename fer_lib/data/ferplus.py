"""FER+ (Barsoum et al. 2016): FER2013's faces relabelled, each by ten taggers; supplied by the user.

``fer2013new.csv`` (github.com/microsoft/FERPlus, MIT licence; 35,887 rows) holds no pictures: Usage, Image name, and
how many of the ten chose each of ``COLUMNS``. Its rows are those of Kaggle's ``fer2013.csv``, in the same order, and
this order is the only link between the two: 173 rows have no image name (all ten saw no face), four names occur twice,
and the names of rows 5,274 and 34,334 are wrong. Row 28,709 + k is thus FER2013's k-th PublicTest row, whatever its
name says. One row has only nine taggers.
"""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import paths
from ..files import refused
from ..files.tables import Table
from . import SPLITS, Faces, array_hash
from .emotions import EIGHT, FER2013, mapping
from .emotions import FERPLUS as COLUMNS

NAME = "fer2013new.csv"
TAGGERS = 10
IN_FER2013 = tuple(mapping(COLUMNS[:7], FER2013).tolist())
"""FER2013's code for each of the first seven columns; the last three have none."""

SCHEMES = {
    "majority": "the one emotion that more than half of the votes are for",
    "distribution": "the share of the votes for each emotion that counts",
    "multi-label": "each emotion with three tenths of the votes or more, all as true",
    "drawn": "one emotion sampled from the distribution, anew for each epoch",
}
"""The four ways in which Barsoum et al. turn votes into labels, by name."""

DATA = {"ferplus": "majority", "ferplus_distribution": "distribution", "ferplus_multi_label": "multi-label"}
"""The scheme of each data set that ``labelled`` makes, by its name; "drawn" samples from the second's targets."""

LEVELS = {"10": (10, 10), "6 to 9": (6, 9), "1 to 5": (1, 5), "0": (0, 0)}
"""How many of the ten chose FER2013's label: all, most, some, none. Each level has at least 583 rows of PrivateTest."""

HOW = f"get {NAME} from github.com/microsoft/FERPlus, then set FERPLUS=PATH to where it is, or put it into data/"
"""What to do if ``find()`` finds nothing."""
_AGAIN = f"fetch {NAME} again"


def find() -> Path | None:
    """The FER+ file: the environment variable ``FERPLUS`` (a file, or a folder holding ``NAME``), else in ``data/``.

    None if there is none. Raises FileNotFoundError if the variable is set but no file is there, or if what is there is
    no file.
    """
    named = paths.named("FERPLUS")
    place = named or paths.DATA
    path = place / NAME if place.is_dir() else place
    if path.is_file():
        return path
    if named or os.path.lexists(path):
        at = path if os.path.lexists(path) else place
        found = paths.kind(at) + f" without {NAME}" * at.is_dir()
        raise FileNotFoundError(
            f"{'FERPLUS=' * bool(named)}{at}: found {found}, expected {NAME} or its folder; correct the path"
        )
    return None


def load(path: str | Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The taggers' counts, (n, 10) uint8 in the order of ``COLUMNS``, and each row's split, (n,) uint8.

    Raises FileNotFoundError if there is no file, ValueError naming file and line if it is malformed.
    """
    path = find() if path is None else Path(path)
    if path is None:
        raise FileNotFoundError(f"FER+ is not here: {HOW}")
    columns, counts, split = ("Usage", *COLUMNS), [], []
    with open(path, "rb") as file:
        table = Table(file, path, columns, _AGAIN)
        if any(table.names.count(name.lower()) != 1 for name in columns):
            found = f"the columns {table.header[:120]!r}"
            raise refused(table.header_place, found, f"{', '.join(columns)}, once each", _AGAIN)
        for place, row in table:
            if row["usage"] not in SPLITS:
                raise refused(place, f"Usage {row['usage'][:60]!r}", f"one of {', '.join(SPLITS)}", _AGAIN)
            texts = [row[name.lower()] for name in COLUMNS]
            numbers = list(map(table.whole, texts))
            if None in numbers or not 0 < sum(numbers) <= TAGGERS:
                found = f"the counts {','.join(texts)[:60]!r}"
                raise refused(place, found, f"whole numbers that add up to {TAGGERS}", _AGAIN)
            counts.append(numbers)
            split.append(SPLITS.index(row["usage"]))
    if not counts:
        raise refused(f"{path}, line 2", "no rows", "one row for each face", _AGAIN)
    return np.array(counts, np.uint8), np.array(split, np.uint8)


def missing(faces: Faces) -> str:
    """Why ``counts_for`` does not work for these faces, and what to do; "" if it does."""
    if not faces.source.get("official"):
        return f"FER+ fits the official FER2013 only, row by row; these {faces.name} are other rows."
    return "" if find() else f"FER+ is not here: {HOW}."


def counts_for(faces: Faces) -> np.ndarray:
    """The taggers' counts of these faces, (len(faces), 10) uint8, by their row numbers.

    Raises ValueError unless the faces are rows of the official FER2013, and FER+'s rows have its order (see
    ``_check_order``), and what ``load`` raises.
    """
    if reason := missing(faces):
        raise ValueError(reason)
    counts, split = load()
    if faces.ids.max(initial=0) >= len(counts) or not np.array_equal(split[faces.ids], faces.split):
        found = f"{len(counts):,} rows, or a Usage, other than FER2013's"
        raise refused(find(), found, "the same rows in the same order", _AGAIN)
    _check_order(faces, counts, split)
    return counts[faces.ids]


BLOCK = 200
LEAST_AGREEMENT = 3.6
"""How many of the ten taggers choose FER2013's label at least, on the mean of ``BLOCK`` rows or more.

In the right order 5.54 do in Training, 5.62 in PublicTest and 5.56 in PrivateTest, and 4.68 in the worst block of 200.
With the rows in random order it is 1.6 to 1.7, shifted by one 1.6 to 1.8, sorted by name 1.6 to 1.7, and at most 2.42
in any block. The threshold lies in the middle between 2.42 and 4.68. Any stretch of 400 rows in another order has a
whole block in it, and is seen."""


def _check_order(faces: Faces, counts: np.ndarray, split: np.ndarray) -> None:
    """Raise ValueError where FER+'s votes do not fit the labels of these faces, because its rows have another order.

    Each part is checked of which the faces have every row: some selection may well consist of doubtful faces.
    """
    place = np.full(len(counts), -1)
    place[faces.ids] = np.arange(len(faces))
    for code, part in enumerate(SPLITS):
        rows = np.flatnonzero(split == code)
        if len(rows) < BLOCK or (place[rows] < 0).any():
            continue
        agree = agreement(counts[rows], faces.labels[place[rows]])
        for block in np.array_split(np.arange(len(rows)), len(rows) // BLOCK):
            if (mean := agree[block].mean()) < LEAST_AGREEMENT:
                where = f"{find()}, rows {rows[block[0]]} to {rows[block[-1]]} of {part} (counted from 0)"
                found = f"a mean of {mean:.2f} of ten taggers who choose FER2013's label"
                then = f"keep the order of {NAME} as it comes, which is FER2013's; {_AGAIN}"
                raise refused(where, found, f"about 5.6, and {LEAST_AGREEMENT} at least", then)


def plurality(counts: np.ndarray, columns: int = 8) -> np.ndarray:
    """FER2013's code of the emotion most taggers chose, (n,) int8; -1 for contempt, "unknown" or NF.

    ``columns``: how many of ``COLUMNS`` may win, 8 for the emotions, 10 for all. In a tie the first column wins:
    neutral in the 176 rows where nobody chose an emotion.
    """
    codes = np.array([*IN_FER2013, -1, -1, -1], np.int8)
    return codes[counts[:, :columns].argmax(axis=1)]


def votes(counts: np.ndarray) -> np.ndarray:
    """How many taggers chose each of FER2013's emotions, (n, 7) uint8 in the order of its codes."""
    return counts[:, np.argsort(IN_FER2013)]


def agreement(counts: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many of the ten taggers chose FER2013's label, (n,) uint8; ``labels`` (n,) are its codes 0 to 6."""
    return votes(counts)[np.arange(len(labels)), labels]


def several(counts: np.ndarray) -> np.ndarray:
    """The rows in which the taggers see several of the eight emotions, each with three or more of ten votes: (n,)
    bool."""
    return (counts[:, :8] >= 3).sum(axis=1) > 1


def targets(counts: np.ndarray, scheme: str) -> np.ndarray:
    """The training targets, (n, 8) float32 in the order of ``emotions.EIGHT``; rows of zeros are to be left out.

    ``counts`` (n, 10) as from ``load``; ``scheme``: "majority" (one 1), "distribution" (adds up to 1, also what "drawn"
    is sampled from) or "multi-label" (1 for each). As in the authors' code (github.com/microsoft/FERPlus,
    src/ferplus.py) a single vote for a column does not count, and rows that are mostly unknown or no face, or whose
    votes are too scattered, are left out:

    - majority: rows where no column has more than half of the votes that count, or where unknown or NF has;
    - distribution: columns are taken from the most votes down, ties together, until they have three quarters of the
      votes or are three. Taking ends before unknown or NF. Rows are left out if the columns taken have at most half of
      the votes, are more than three, or if unknown or NF comes first;
    - multi-label: rows where the columns with three tenths or more have at most half of the votes together, or where
      the column with most votes (the first in a tie) is unknown or NF.

    Raises ValueError for another scheme.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme: found {scheme!r}, expected one of {', '.join(SCHEMES)}")
    votes = np.where(counts > 1, counts, 0).astype(np.float32)
    total = votes.sum(axis=1, keepdims=True)
    if scheme == "majority":
        kept = np.where(votes > total / 2, votes, 0)
    elif scheme == "multi-label":
        kept = np.where((votes >= 0.3 * total) & (votes > 0), votes, 0)
    else:
        kept = _leading(votes, total)
    sound = (kept.sum(axis=1, keepdims=True) > total / 2) & (kept.argmax(axis=1) < 8)[:, None]
    ours = np.zeros((len(counts), 8), np.float32)
    ours[:, mapping(COLUMNS[:8], EIGHT)] = np.where(sound, kept[:, :8], 0)
    if scheme == "multi-label":
        return (ours > 0).astype(np.float32)
    return np.divide(ours, ours.sum(axis=1, keepdims=True), out=ours, where=ours.sum(axis=1, keepdims=True) > 0)


def _leading(votes: np.ndarray, total: np.ndarray) -> np.ndarray:
    """The votes of the columns that make up the distribution, 0 elsewhere; all 0 if there are too many of them."""
    kept = np.zeros_like(votes)
    for row, (numbers, all_votes) in enumerate(zip(votes.tolist(), total[:, 0].tolist())):
        taken, held = [], 0.0
        for most in sorted(set(numbers), reverse=True):
            if held >= 0.75 * all_votes or len(taken) >= 3:
                break
            equals = [column for column, number in enumerate(numbers) if number == most]
            emotions = [column for column in equals if column < 8]
            taken += emotions
            held += most * len(emotions)
            if len(emotions) < len(equals):
                taken = taken or equals[:1]  # unknown or NF comes first: this row has no emotion
                break
        if len(taken) <= 3:
            kept[row, taken] = votes[row, taken]
    return kept


def labelled(faces: Faces, scheme: str = "majority") -> Faces:
    """These faces of the official FER2013 with FER+'s labels, of ``emotions.EIGHT``; they keep their ``ids``.

    Test rows have the majority as their label, whatever the scheme, and rows without a majority are left out. Training
    rows are those that the scheme (one of ``DATA``) keeps. Except for "majority", the faces have ``targets``, and their
    labels are the most likely emotion. The name is the scheme's in ``DATA``. Raises what ``counts_for`` raises.
    """
    return _labelled(faces, counts_for(faces), scheme, f"{scheme} of {NAME}'s taggers")


def labelled_synthetically(drawn: Faces, scheme: str) -> Faces:
    """Drawn faces with synthetic taggers, in the form that ``labelled`` gives the real ones.

    Each of ten taggers chooses the drawn emotion with a chance of seven in ten, otherwise any column of FER+.
    """
    rng = np.random.default_rng(0)
    column = np.argsort(IN_FER2013)[drawn.labels]
    chosen = rng.integers(0, len(COLUMNS), (len(drawn), TAGGERS))
    chosen = np.where(rng.random(chosen.shape) < 0.7, column[:, None], chosen)
    counts = (chosen[:, :, None] == np.arange(len(COLUMNS))).sum(axis=1).astype(np.uint8)
    faces = _labelled(drawn, counts, scheme, f"{scheme} of synthetic taggers")
    return replace(faces, name=f"drawn_{faces.name}")


def _labelled(faces: Faces, counts: np.ndarray, scheme: str, origin: str) -> Faces:
    majority, towards = targets(counts, "majority"), targets(counts, scheme)
    sound = np.where(faces.split[:, None] == SPLITS.index("Training"), towards, majority).any(axis=1)
    rows = np.flatnonzero(sound)
    of_majority = majority[rows].any(axis=1)
    labels = np.where(of_majority, majority[rows].argmax(axis=1), towards[rows].argmax(axis=1)).astype(np.uint8)
    images, split = faces.images[rows], faces.split[rows]
    soft = None if scheme == "majority" else np.where(towards[rows].any(axis=1)[:, None], towards[rows], majority[rows])
    sha256 = array_hash(images, labels, split)
    if soft is not None:
        sha256 = hashlib.sha256(sha256.encode() + np.ascontiguousarray(soft).tobytes()).hexdigest()
    source = faces.source | {"ferplus": f"{origin}, {len(faces) - len(rows):,} rows without a label"}
    name = next(name for name, of in DATA.items() if of == scheme)
    return Faces(images, labels, split, faces.ids[rows], name, sha256, source, EIGHT, soft)
