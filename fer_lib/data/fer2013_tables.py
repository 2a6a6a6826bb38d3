"""FER2013 as a table: the columns emotion, pixels, Usage of Kaggle's files, in whatever order and way of writing."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TextIO

import numpy as np
from tqdm import tqdm

from . import PROGRESS, SIDE, SPLITS, UNKNOWN, refused
from .emotions import FER2013 as EMOTIONS

COLUMNS = ("pixels", "emotion", "usage")

_BLOCK = 64  # rows parsed at a time: what they need then stays in the processor's cache
_ANEW = "correct this row, or fetch the file again"


def parse(place: str, text: TextIO) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (n, 48, 48), labels (n,) and split (n,), uint8, of a table that messages call ``place``.

    Fields are parted by comma, semicolon or tab. Columns go by their names, in any order, blanks and case aside; those
    of other names are not read. A table without Usage, as the competition's train.csv, is all Training; one with pixels
    alone, as its test.csv, has ``UNKNOWN`` labels and parts. Raises ValueError naming the line and row.
    """
    first = text.readline()
    if not first:
        raise refused(place, "an empty file", "the columns emotion, pixels, Usage", "fetch it again")
    delimiter = max(",;\t", key=first.count)
    images, labels, split = [], bytearray(), bytearray()
    emotions = [str(code) for code in range(len(EMOTIONS))]
    header = _fields(f"{place}, line 1", first, delimiter)
    names = [name.strip().lower() for name in header]
    there = tuple(name for name in COLUMNS for _ in range(names.count(name)))
    if there not in (COLUMNS, COLUMNS[:2], COLUMNS[:1]):
        found = f"the columns {_shown(delimiter.join(header))}"
        raise refused(f"{place}, line 1", found, "emotion, pixels and Usage, once each", "take Kaggle's fer2013.csv")
    rows = _rows(place, text, delimiter, len(header), [names.index(name) for name in there])
    with tqdm(desc="Reading", unit=" rows", **PROGRESS) as bar:
        while block := list(islice(rows, _BLOCK)):
            images.append(_pixels(block))
            if "emotion" in there:
                labels += bytes(_code(row[0], "emotion", row[2], emotions) for row in block)
            if "usage" in there:
                split += bytes(_code(row[0], "Usage", row[3], SPLITS) for row in block)
            bar.update(len(block))
    if not images:
        raise refused(place, "a header and no rows", "one row for each face", "fetch the file again")
    images = np.concatenate(images)
    if "emotion" not in there:
        labels = split = np.full(len(images), UNKNOWN, np.uint8).tobytes()
    elif "usage" not in there:
        split = np.full(len(images), SPLITS.index("Training"), np.uint8).tobytes()
    return images, np.frombuffer(labels, np.uint8), np.frombuffer(split, np.uint8)


def _rows(place: str, lines: TextIO, delimiter: str, width: int, columns: list[int]) -> Iterator[tuple[str, ...]]:
    """(place, pixels, emotion, usage) of each row as text, as far as there are such columns; place: where it stands.

    Blank lines are passed over.
    """
    row = 0
    for number, line in enumerate(lines, 2):
        if line.isspace():
            continue
        here = f"{place}, line {number} (data row {row}, counted from 0)"
        fields = _fields(here, line, delimiter)
        if len(fields) != width:
            raise refused(here, f"{len(fields)} fields", f"{width}, as in the header", _ANEW)
        yield here, *(fields[column].strip() for column in columns)
        row += 1


def _fields(place: str, line: str, delimiter: str) -> list[str]:
    """A line's fields; those with quotes by the csv module, which takes two seconds more for 300 MB."""
    if '"' not in line:
        return line.rstrip("\r\n").split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise refused(place, f"no CSV ({error})", "emotion,pixels,Usage", "fetch the file again") from error


def _code(place: str, column: str, text: str, names: Sequence[str]) -> int:
    if text not in names:
        raise refused(place, f"{column} {_shown(text)}", f"one of {', '.join(names)}", _ANEW)
    return names.index(text)


def _pixels(block: list[tuple[str, ...]]) -> np.ndarray:
    """(rows, 48, 48) uint8 from rows of numbers as text: all digits of the block at once, for speed.

    A block of anything but 2,304 numbers a row, 0 to 255, of one to three digits and one blank between, is taken row by
    row instead, where each is either understood (two blanks, a tab) or refused by name.
    """
    texts = [row[1] for row in block]
    text = np.frombuffer(f"   {' '.join(texts)} ".encode("ascii", "replace"), np.uint8)  # room to look 3 back, 1 ahead
    value = text - np.uint8(ord("0"))  # wraps round: what is no digit comes out as 10 or more
    digit = value < 10
    last = np.flatnonzero(digit[:-1] & ~digit[1:])  # where each number ends
    if (
        len(last) == len(block) * SIDE * SIDE
        and all(pixels.count(" ") == SIDE * SIDE - 1 for pixels in texts)
        and np.all(digit | (text == ord(" ")))
    ):
        tens = digit[last - 1]
        hundreds = tens & digit[last - 2]
        numbers = value[last] + value[last - 1] * tens * np.uint16(10) + value[last - 2] * hundreds * np.uint16(100)
        if numbers.max() <= 255 and not np.any(hundreds & digit[last - 3]):
            return numbers.astype(np.uint8).reshape(-1, SIDE, SIDE)
    return np.stack([_pixels_of_row(row[0], row[1]) for row in block])


def _pixels_of_row(place: str, text: str) -> np.ndarray:
    numbers = text.split()
    if len(numbers) != SIDE * SIDE:
        raise refused(place, f"{len(numbers):,} pixels", f"{SIDE * SIDE:,} ({SIDE} x {SIDE})", _ANEW)
    for position, number in enumerate(numbers):
        if not (len(number) <= 3 and number.isascii() and number.isdigit() and int(number) <= 255):
            raise refused(place, f"{_shown(number)} as pixel {position}", "whole numbers from 0 to 255", _ANEW)
    return np.array([int(number) for number in numbers], np.uint8).reshape(SIDE, SIDE)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "...")
