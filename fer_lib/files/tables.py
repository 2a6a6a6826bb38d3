"""Tables as text: CSV, and what pandas, Excel and other spreadsheets make of it.

What has one plain meaning is read:

- UTF-8, with or without a mark at its start, or UTF-16 with one;
- comma, semicolon or tab between the fields, blanks around them, quotes where needed;
- columns in any order, their names in any case; columns without a name, such as pandas' index, are not read;
- blank lines, and lines of delimiters only, are skipped; empty fields after the last named column do not count;
- whole numbers with a decimal point, ``3.0``; in tables with semicolons, decimal commas.
"""

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import BinaryIO

from . import reason, refused


class Table:
    """The rows of a table, one after the other; none is kept.

    data: a stream at its start. place: the table's name in messages, ``then`` the next step in them.
    columns: the names that are looked for. headless: whether their line may be missing; the columns are then these.
    counted: whether messages also count rows, from 0.

    ``names``: the columns' names, in lower case, "" for those without one. Iterating gives for each row its place, for
    messages, and its fields by name, without blanks around them. Raises ValueError naming the line for what is no
    table, and for a row with more or fewer fields than there are columns.
    """

    def __init__(
        self,
        data: BinaryIO,
        place: str,
        columns: Sequence[str],
        then: str,
        headless: bool = False,
        counted: bool = False,
    ):
        self.place, self.then, self.counted, self.line, self.row = place, then, counted, 0, 0
        mark = data.read(2)
        data.seek(0)
        encoding = "utf-16" if mark in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        self._lines = self._numbered(io.TextIOWrapper(data, encoding, errors="replace", newline=""))
        first = next((line for line in self._lines if line.strip(",;\t \r\n")), None)
        if first is None:
            raise refused(place, "an empty file", f"the columns {', '.join(columns)}", then)
        known = {name.lower() for name in columns}
        split = {delimiter: _header(first, delimiter) for delimiter in ",;\t"}
        named = {delimiter: known & {name.lower() for name in fields} for delimiter, fields in split.items()}
        self.delimiter = max(named, key=lambda delimiter: len(named[delimiter]))
        self._first = []
        if headless and not named[self.delimiter]:
            enough = [delimiter for delimiter, fields in split.items() if len(fields) >= len(columns)]
            self.delimiter, self.names = [*enough, ","][0], [name.lower() for name in columns]
            self._first = [first]
        else:
            if not named[self.delimiter]:
                self.delimiter = max(split, key=lambda delimiter: len(split[delimiter]))
            self.names = [name.lower() for name in split[self.delimiter]]
            while self.names and not self.names[-1]:
                self.names.pop()
        self.header = self.delimiter.join(split[self.delimiter])
        self.header_place = f"{place}, line {self.line}"

    def __iter__(self) -> Iterator[tuple[str, dict[str, str]]]:
        for line in chain(self._first, self._lines):
            if line.isspace():
                continue
            here = self._here()
            fields = self._fields(line, self.delimiter)
            while len(fields) > len(self.names) and not fields[-1]:
                fields.pop()
            if not any(fields):
                continue
            if len(fields) != len(self.names):
                raise refused(here, f"{len(fields)} fields", f"{len(self.names)}, as in the header", self.then)
            yield here, dict(zip(self.names, fields))
            self.row += 1

    def number(self, text: str) -> float:
        """A field as a number, NaN if it is none; in tables with semicolons it may have a decimal comma."""
        try:
            return float(text.replace(",", ".") if self.delimiter == ";" else text)
        except ValueError:
            return math.nan

    def _here(self) -> str:
        counted = f" (data row {self.row}, counted from 0)" if self.counted else ""
        return f"{self.place}, line {self.line}{counted}"

    def _numbered(self, text: io.TextIOBase) -> Iterator[str]:
        for line in text:
            self.line += 1
            yield line

    def _fields(self, line: str, delimiter: str) -> list[str]:
        """A line's fields. Those with quotes are read by the csv module, which takes two seconds more for 300 MB, and
        takes further lines if a quoted field has them."""
        if '"' not in line:
            return [field.strip() for field in line.split(delimiter)]
        lines = chain([line], self._lines)
        try:
            fields = next(csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True))
        except (csv.Error, StopIteration) as error:
            raise refused(
                self._here(), f"no CSV ({reason(error)})", "fields with a delimiter between", self.then
            ) from error
        return [field.strip() for field in fields]


def _header(line: str, delimiter: str) -> list[str]:
    """The fields of a line if this is its delimiter; it then has no further lines."""
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))]
    except csv.Error:
        return []


def whole(text: str) -> int | None:
    """A field as a whole number of up to nine digits, 0 or more, also with a decimal point and zeros: ``3``, ``3.0``.

    None for anything else.
    """
    match = re.fullmatch(r"([0-9]{1,9})(?:\.0*)?", text)
    return int(match[1]) if match else None
