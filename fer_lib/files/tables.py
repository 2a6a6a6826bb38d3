"""Tables as text: CSV, and what pandas, Excel and other spreadsheets make of it.

What has one plain meaning is read:

- UTF-8, with or without a mark at its start, or UTF-16 with one;
- comma, semicolon or tab between the fields, blanks around them, quotes where needed, Excel's first line ``sep=;``;
- columns in any order, their names in any case; columns without a name, such as pandas' index, are not read;
- blank lines, and lines of delimiters only, are skipped; empty fields after the last column do not count;
- whole numbers as ``3``, ``3.0`` or ``3.0e+00``; decimal commas, where fields are not separated by commas.
"""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import BinaryIO

from . import reason, refused

PACKED = {
    b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "Zstandard", b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"\x5d\0\0": "LZMA",
    b"\x04\x22\x4d\x18": "LZ4", b"\x1f\x9d": "compress", b"7z\xbc\xaf\x27\x1c": "7-Zip", b"Rar!\x1a\x07": "RAR",
    b"PK\3\4": "ZIP, as Excel's files are too",
}  # fmt: skip
"""How a file is packed, by its first bytes."""

LONGEST = 2**20
"""Characters that no line has: one of FER2013 has 9,000, and what is no text may have no line's end at all."""


class Table:
    """The rows of a table, one after the other; none is kept.

    data: a stream at its start; it may be a pipe. place: the table's name in messages, ``then`` the next step and
    ``expected`` (by default the columns) what is expected there. columns: the names that are looked for. headless:
    whether their line may be missing; the columns are then these. counted: whether messages also count rows, from 0.

    ``names``: the columns' names, in lower case, "" for those without one; ``header``: their line; ``header_place``:
    its place. Iterating gives for each row its place and its fields by name, without blanks around them; ``line`` is
    then the number of the row's first line, from 1. Columns that are not looked for may be missing at a row's end.
    Bytes that are no UTF-8 are kept as in ``os.fsdecode``.

    Raises ValueError naming the line for what is no table, and for a row with more or fewer fields than columns.
    """

    def __init__(
        self,
        data: BinaryIO,
        place: object,
        columns: Sequence[str],
        then: str,
        expected: str = "",
        headless: bool = False,
        counted: bool = False,
    ):
        self.place, self.then, self.counted, self.row = place, then, counted, 0
        self.expected = expected or f"the columns {', '.join(columns)}"
        buffered = io.BufferedReader(data, 1 << 16)
        head = buffered.peek(8)
        if packed := next((form for magic, form in PACKED.items() if head.startswith(magic)), ""):
            buffered.detach()  # the stream stays open
            raise refused(place, f"a packed file ({packed})", self.expected, "unpack it first, or save it as CSV")
        self._lines = _numbered(buffered, place, self.expected, then)
        lines = (one for one in self._lines if one[1].strip(",;\t \r\n") and not _SEPARATOR.fullmatch(one[1]))
        self.line, first = next(lines, (0, ""))
        if not first:
            raise refused(place, "an empty file", self.expected, then)
        if re.search(r"[\x00-\x08\x0e-\x1f]", first):
            raise refused(f"{place}, line 1", "no text, but a packed or another binary file", self.expected, then)
        known = {name.lower() for name in columns}
        split = {delimiter: _header(first, delimiter) for delimiter in ",;\t"}
        named = {delimiter: len(known & {name.lower() for name in fields}) for delimiter, fields in split.items()}
        self._first = []
        if headless and not any(named.values()):
            self.delimiter = min(split, key=lambda delimiter: abs(len(split[delimiter]) - len(columns)))
            self.names = [*columns] + [""] * (len(split[self.delimiter]) - len(columns))
            self._first = [(self.line, first)]
        else:
            self.delimiter = max(split, key=lambda delimiter: (named[delimiter], len(split[delimiter])))
            self.names = split[self.delimiter]
        self.header, self.header_place = self.delimiter.join(split[self.delimiter]), f"{place}, line {self.line}"
        self.names = [name.lower() for name in self.names]
        self._needed = max((k for k, name in enumerate(self.names, 1) if name in known), default=0)

    def __iter__(self) -> Iterator[tuple[str, dict[str, str]]]:
        for number, line in chain(self._first, self._lines):
            if line.isspace():
                continue
            self.line = number
            counted = f" (data row {self.row}, counted from 0)" if self.counted else ""
            here = f"{self.place}, line {self.line}{counted}"
            fields = self._fields(here, line)
            while len(fields) > len(self.names) and not fields[-1]:
                fields.pop()
            if not any(fields):
                continue
            if not self._needed <= len(fields) <= len(self.names):
                raise refused(here, f"{len(fields)} fields", f"{len(self.names)}, as in the header", self.then)
            yield here, dict(zip(self.names, fields))
            self.row += 1

    def number(self, text: str) -> float:
        """A field as a number, NaN if it is none."""
        if not text.isascii() or "_" in text:  # which Python would take
            return math.nan
        try:
            return float(text if self.delimiter == "," else text.replace(",", "."))
        except ValueError:
            return math.nan

    def whole(self, text: str) -> int | None:
        """A field as a whole number of up to nine digits, 0 or more; None if it is none."""
        number = self.number(text)
        return int(number) if number.is_integer() and 0 <= number < 1e9 else None

    def _fields(self, here: str, line: str) -> list[str]:
        """A line's fields. Those with quotes are read by the csv module, which takes two seconds more for 300 MB, and
        takes further lines if a quoted field has them."""
        if '"' not in line:
            return [field.strip() for field in line.split(self.delimiter)]
        lines = chain([line], (following for _, following in self._lines))
        try:
            fields = next(csv.reader(lines, delimiter=self.delimiter, strict=True, skipinitialspace=True))
        except csv.Error as error:
            raise refused(here, f"no CSV ({reason(error)})", self.expected, self.then) from error
        return [field.strip() for field in fields]


_SEPARATOR = re.compile(r"sep=.\s*", re.IGNORECASE)


def _numbered(buffered: io.BufferedReader, place: object, expected: str, then: str) -> Iterator[tuple[int, str]]:
    """The lines of a stream, numbered from 1. What it reads from stays open. Raises ValueError for an endless one."""
    is_utf16 = buffered.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff")
    encoding, errors = ("utf-16", "replace") if is_utf16 else ("utf-8-sig", "surrogateescape")
    text = io.TextIOWrapper(buffered, encoding, errors, newline="")
    try:
        for number in count(1):
            if not (line := text.readline(LONGEST)):
                return
            if len(line) == LONGEST:
                raise refused(f"{place}, line {number}", f"{LONGEST:,} characters or more", expected, then)
            yield number, line
    finally:
        with suppress(ValueError):  # it was closed meanwhile
            text.detach().detach()


def _header(line: str, delimiter: str) -> list[str]:
    """The names in a line if this is its delimiter; without the mark that NumPy writes before the first."""
    try:
        names = next(csv.reader([line.removeprefix("#")], delimiter=delimiter, skipinitialspace=True))
    except csv.Error:  # a line longer than any header
        names = line.split(delimiter)
    return [name.strip() for name in names]


def read_rows(path: Path, kinds: Mapping[str, type], then: str) -> list[dict]:
    """The rows of a table that this project wrote, by name the fields of the columns in ``kinds``.

    A kind is str, int or float, or ``int | None`` where an empty field is None. Raises ValueError naming file and line
    for anything else, OSError where it cannot be read.
    """
    with open(path, "rb") as file:
        table = Table(file, path, list(kinds), then)
        if absent := [name for name in kinds if table.names.count(name.lower()) != 1]:
            raise refused(table.header_place, f"the columns {table.header[:100]!r}", f"one {absent[0]}", then)
        return [
            {name: _parsed(fields[name.lower()], kind, f"{here}, {name}", then) for name, kind in kinds.items()}
            for here, fields in table
        ]


def _parsed(text: str, kind: type, place: str, then: str) -> str | int | float | None:
    if kind is str:
        return text
    if not text and kind == int | None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,18}" + r"(\.[0-9]+)?" * (kind is float), text):
        raise refused(place, repr(text[:60]), "a number" if kind is float else "a whole number", then)
    return float(text) if kind is float else int(text)
