"""Reads the predictions of any network from a file.

A CSV file has a column ``row`` (the row of FER2013's CSV, counted from 0 without the header: PublicTest begins at
28709) and either ``emotion`` (a name of ``emotions.FER2013``, or its code) or seven columns of probabilities named by
emotion. Other columns are ignored. The ``predictions.npz`` of one of our records works too, with its last epoch unless
the file is given as "predictions.npz:best".
"""

import math
import re
from pathlib import Path

import numpy as np

from .. import paths
from ..data import Faces
from ..data.emotions import FER2013
from ..files import refused
from ..files.tables import Table
from . import records

SUM_TOLERANCE = 0.04
"""How far the sum of seven probabilities may be from 1; rounding to two decimals changes it by 0.035 at most."""

TOLERANCE = 1e-3
"""How far a single probability may be outside of 0 to 1, as a softmax in few digits leaves it."""

EXPECTED = f"a column row, and either emotion or a column of probabilities for each of {', '.join(FER2013)}"


def check(file: str) -> None:
    """Raise FileNotFoundError where there is no such file, ValueError where it is a folder."""
    path = path_and_epoch(file)[0]
    then = "correct the path; `.venv/bin/fer score --help` shows what such a file looks like"
    if path.is_dir():
        raise refused(path, "a folder", "a CSV file or a record's predictions.npz", then)
    if not path.exists():
        found = paths.kind(path) if path.is_symlink() else "no such file"
        raise FileNotFoundError(f"{path}: found {found}, expected a CSV file or a record's predictions.npz; {then}")


def path_and_epoch(file: str) -> tuple[Path, str | None]:
    """The file, and of "predictions.npz:best" the epoch. The ending's case does not matter."""
    archive = re.fullmatch(r"(.*\.npz)(?::(\w+))?", file, re.DOTALL | re.IGNORECASE)
    return (Path(archive[1]), archive[2]) if archive else (Path(file), None)


def read(file: str, faces: Faces) -> dict:
    """A file's predictions, in the order of ``faces``.

    Returns file (its display name), classes (n,) int16, -1 for rows without a prediction, and probabilities (n, 7)
    float64, NaN for such rows, or None. Raises ValueError naming file and line if something is wrong, and what
    ``check`` raises.
    """
    positions = {row: position for position, row in enumerate(faces.ids.tolist())}
    path, epoch = path_and_epoch(file)
    check(file)
    is_npz = path.suffix.lower() == ".npz"
    parts = _read_npz(path, epoch, faces, positions) if is_npz else _read_csv(path, positions)
    name, rows, values, probabilities = parts
    classes = np.full(len(faces), -1, np.int16)
    classes[rows] = values
    if probabilities is not None:
        values = np.clip(np.asarray(probabilities, np.float64), 0, 1)
        probabilities = np.full((len(faces), len(FER2013)), np.nan)
        probabilities[rows] = values / values.sum(axis=1, keepdims=True)  # they were rounded when written
    return {"file": name, "classes": classes, "probabilities": probabilities}


# ---- CSV


def _read_csv(path: Path, positions: dict[int, int]):
    """The file's display name, positions of its rows, their classes, and their probabilities if it has them."""
    lines, predictions = {}, []  # position -> its line, in the file's order
    with open(path, "rb") as file:
        table = Table(file, path, ("row", "emotion", *FER2013), "correct the line, or save it as CSV", EXPECTED)
        parse = _parser(table)
        for place, fields in table:
            row = fields["row"]
            position = positions.get(table.whole(row))
            if position is None:
                expected = f"a row of FER2013's CSV, {min(positions)} to {max(positions)}"
                raise refused(place, f"row {row[:60]!r}", expected, "count rows from 0, without the header")
            if position in lines:
                raise refused(place, f"row {row} again", f"it in line {lines[position]} only", "remove one of them")
            lines[position] = table.line
            predictions.append(parse(table, place, fields))
    if not predictions:
        raise refused(f"{path}, line 2", "no row", "one line for each row that was predicted", "add them")
    if parse is _emotion:
        return str(path), list(lines), predictions, None
    return str(path), list(lines), np.argmax(predictions, axis=1), predictions


def _parser(table: Table):
    """The function that reads the prediction of one line, chosen by the columns."""
    named, header = [name for name in FER2013 if name in table.names], table.header_place
    once = all(table.names.count(name) <= 1 for name in ("row", "emotion", *FER2013))
    if "row" not in table.names or not once or not (named or "emotion" in table.names):
        found = f"the columns {table.header[:100]!r}"
        raise refused(header, found, f"{EXPECTED}, once each", "name the columns so")
    if named and "emotion" in table.names:
        found = f"emotion and {', '.join(named)}"
        raise refused(header, found, "one or the other", "keep what the network predicted")
    if 0 < len(named) < len(FER2013):
        absent = ", ".join(name for name in FER2013 if name not in named)
        raise refused(header, f"no column {absent}", f"all of {', '.join(FER2013)}", "add what is missing")
    return _probabilities if named else _emotion


def _emotion(table: Table, place: str, fields: dict[str, str]) -> int:
    text = fields["emotion"]
    code = FER2013.index(text.lower()) if text.lower() in FER2013 else table.whole(text)
    if code is None or code >= len(FER2013):
        expected = f"one of {', '.join(FER2013)}, or 0 to {len(FER2013) - 1}"
        raise refused(place, f"emotion {text[:60]!r}", expected, "correct the line")
    return code


def _probabilities(table: Table, place: str, fields: dict[str, str]) -> list[float]:
    values = [table.number(fields[name]) for name in FER2013]
    for name, value in zip(FER2013, values):
        if math.isnan(value):
            raise refused(place, f"{name} {fields[name][:60]!r}", "a number from 0 to 1", "correct the line")
        if not -TOLERANCE <= value <= 1 + TOLERANCE:
            then = "apply softmax to logits, divide percents by 100"
            raise refused(place, f"{name} {value:.12g}", "a probability from 0 to 1", then)
    if abs(sum(values) - 1) > SUM_TOLERANCE:
        then = "write more decimals, or apply softmax if these are logits"
        raise refused(place, f"probabilities that add up to {sum(values):.6g}", "1", then)
    return values


# ---- predictions.npz


def _read_npz(path: Path, epoch: str | None, faces: Faces, positions: dict[int, int]):
    """The file's display name, positions of its rows, their classes and probabilities."""
    expected, then = "the predictions.npz of a record (see fer_lib/evaluation/records.py)", "restore it, or give a CSV"
    try:
        arrays = records.read_arrays(path)
        ids, labels = arrays["ids"], arrays["labels"]
        epochs = [name.removeprefix("classes_") for name in arrays if name.startswith("classes_")]
        epoch = epoch or ("last" if "last" in epochs else epochs[0])
    except (ValueError, LookupError) as error:
        raise refused(path, f"something else ({error})", expected, then) from error
    if epoch not in epochs:
        if not epochs:
            raise refused(path, "no classes of any epoch", expected, then)
        raise refused(path, f"no epoch {epoch!r}", f"one of {', '.join(epochs)}", f"for example {path}:{epochs[0]}")
    classes, values = arrays[f"classes_{epoch}"], arrays.get(f"probabilities_{epoch}")
    if values is None or not _sound(ids, labels, classes, values):
        raise refused(path, "arrays of other shapes, types or values", expected, then)
    rows = [positions.get(row, -1) for row in ids.tolist()]
    same = (np.array(rows) >= 0) & (labels == faces.labels[rows])
    if not same.all():
        found = f"row {ids[np.argmin(same)]} with a label that it does not have in this {faces.name}"
        raise refused(path, found, "predictions of its rows", "score it on the data that it was made from")
    return f"{path}, {epoch} epoch", rows, classes, values


def _sound(ids: np.ndarray, labels: np.ndarray, classes: np.ndarray, values: np.ndarray) -> bool:
    n = ids.size
    return (
        [array.shape for array in (ids, labels, classes, values)] == [(n,), (n,), (n,), (n, len(FER2013))]
        and all(array.dtype.kind in "iu" for array in (ids, labels, classes))
        and values.dtype.kind == "f"
        and len(np.unique(ids)) == n > 0
        and 0 <= classes.min() <= classes.max() < len(FER2013)
        and bool(np.isfinite(values).all() and values.min() >= -TOLERANCE)
        and bool((np.abs(values.sum(axis=1, dtype=float) - 1) <= 0.01).all())  # float16, not two decimals
        and bool((values[np.arange(n), classes] >= values.max(axis=1) - 0.001).all())  # float16 may have made two equal
    )
