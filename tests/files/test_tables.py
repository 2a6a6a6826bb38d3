"""Tables as programs save them, and every bad one."""

import bz2
import csv
import gzip
import io
import lzma
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_lib.files import tables
from fer_lib.files.tables import Table

COLUMNS = ("row", "Emotion")


def table(content, columns=COLUMNS, **options) -> Table:
    content = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    return Table(io.BytesIO(content), "x.csv", columns, "mend it", **options)


def rows(content, columns=COLUMNS, **options) -> list[tuple]:
    """The fields of the columns that are looked for, of each row."""
    names = [name.lower() for name in columns]
    return [tuple(fields[name] for name in names) for _, fields in table(content, columns, **options)]


PLAIN = [("1", "happy"), ("2", "sad")]
FORMS = {
    "plain": "row,emotion\n1,happy\n2,sad\n",
    "no last line end": "row,emotion\n1,happy\n2,sad",
    "Windows": "row,emotion\r\n1,happy\r\n2,sad\r\n",
    "old Macintosh": "row,emotion\r1,happy\r2,sad\r",
    "semicolons": "row;emotion\n1;happy\n2;sad\n",
    "tabs": "row\temotion\n1\thappy\n2\tsad\n",
    "blanks": "row , emotion\n 1 , happy\n2,  sad \n",
    "quotes": '"row","emotion"\n"1","happy"\n"2","sad"\n',
    "blanks and quotes": 'row, "emotion"\n1, "happy"\n2, "sad"\n',
    "case": "ROW,eMotion\n1,happy\n2,sad\n",
    "other columns": "note,emotion,row,x\na,happy,1,0.5\n,sad,2,\n",
    "trailing delimiters": "row,emotion,,\n1,happy,,\n2,sad,,\n",
    "trailing delimiters below": "row,emotion\n1,happy,,\n2,sad,\n",
    "trailing delimiters above": "row,emotion,,\n1,happy\n2,sad\n",
    "lines of delimiters": ",,\nrow,emotion\n,\n1,happy\n,,,\n2,sad\n,,\n,,\n",
    "blank lines": "\n\nrow,emotion\n\n1,happy\n  \n2,sad\n\n\n",
    "pandas' index": ",row,emotion\n0,1,happy\n1,2,sad\n",
    "notes without a name": "row,emotion,\n1,happy,a note\n2,sad,\n",
    "short rows": "row,emotion,note\n1,happy\n2,sad,a\n",
    "Excel's own line": "sep=;\r\nrow;emotion\r\n1;happy\r\n2;sad\r\n",
    "NumPy's mark": "# row,emotion\n1,happy\n2,sad\n",
    "lines in a field": 'note,row,emotion\n"a\nb, ""c""\r\n",1,happy\n"d",2,sad\n',
    "delimiters in a field": 'note;row;emotion\n"a;b";1;happy\n"c,d";2;sad\n',
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_what_programs_save_is_one_table(text, encoding):
    assert rows(text.encode(encoding)) == PLAIN
    with gzip.open(io.BytesIO(gzip.compress(text.encode(encoding)))) as packed:
        assert [
            tuple(fields[name] for name in ("row", "emotion")) for _, fields in Table(packed, "x", COLUMNS, "")
        ] == PLAIN


delimiters = st.sampled_from(",;\t")
texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00\r"), max_size=12)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(texts, texts, texts), max_size=6),
    st.permutations(["one", "two", "three"]),
    delimiters,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_the_csv_module_writes_comes_back(written, names, delimiter, encoding, quoting, end):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerow(names)
    writer.writerows(written)
    expected = [tuple(field.strip() for field in row) for row in written]
    found = [tuple(fields[name] for name in names) for _, fields in table(text.getvalue().encode(encoding), names)]
    assert found == [row for row in expected if any(row)]


@settings(deadline=None, max_examples=200)
@given(
    st.binary(max_size=300) | st.text("row,emotion;\t\"\n\r .0'sep=#\ufeff\x00é", max_size=80).map(str.encode),
    st.booleans(),
)
def test_any_bytes_are_a_table_or_refused(content, headless):
    try:
        one = table(content, headless=headless, counted=True)
        for place, fields in one:
            assert place.startswith("x.csv, line ") and len(fields) <= len(one.names)
            for field in fields.values():
                assert one.whole(field) is None or one.whole(field) == one.number(field) >= 0
    except ValueError as error:
        assert str(error).startswith("x.csv") and str(error).endswith(
            ("; mend it", "; unpack it first, or save it as CSV")
        )
        assert ": found " in str(error) and ", expected " in str(error) and "\n" not in str(error)


def test_a_row_is_named_by_the_line_that_it_begins_in():
    one = table('\nrow,emotion,note\n1,happy,"a\nb"\n\n2,sad,c\n3\n', counted=True)
    assert one.header_place == "x.csv, line 2" and one.header == "row,emotion,note"
    places, lines = [], []
    with pytest.raises(ValueError) as error:
        for place, _ in one:
            places.append(place)
            lines.append(one.line)
    assert places == [f"x.csv, line {n} (data row {k}, counted from 0)" for k, n in enumerate((3, 6))] and lines == [
        3,
        6,
    ]
    assert str(error.value) == (
        "x.csv, line 7 (data row 2, counted from 0): found 1 fields, expected 3, as in the header; mend it"
    )


BAD = {
    "empty": ("", "x.csv: found an empty file, expected the columns row, Emotion; mend it"),
    "blank": ("\ufeff \n,;\t\n\n", "x.csv: found an empty file"),
    "a field less": ("row,emotion\n1\n", "x.csv, line 2: found 1 fields, expected 2, as in the header; mend it"),
    "a field more": ("row,emotion\n1,happy,x\n", "x.csv, line 2: found 3 fields, expected 2, as in"),
    "an open quote": ('row,emotion\n1,"happy\n2,sad\n', r"x.csv, line 2: found no CSV \(unexpected end of data\), exp"),
    "text after a quote": ('row,emotion\n1,"happy"x\n', r"x.csv, line 2: found no CSV \("),
    "a huge field": ('row,emotion\n1,"' + "x" * 200_000, r"x.csv, line 2: found no CSV \(field larger than"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_what_is_no_table_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        list(table(text))
    with pytest.raises(
        ValueError, match="expected rows of this and that; mend it" if "CSV" in message else message[:5]
    ):
        list(table(text, expected="rows of this and that"))


def test_columns_that_are_missing_or_twice_are_the_callers_to_judge():
    assert table("row|emotion\n").names == ["row|emotion"]
    assert table("row,Row,emotion\n").names == ["row", "row", "emotion"]
    assert table("a;b;c\n1;2;3\n").names == ["a", "b", "c"]


HEADLESS = {
    "commas": "1,happy\n2,sad\n",
    "semicolons": "1;happy\n2;sad\n",
    "tabs": "1\thappy\n2\tsad\n",
    "more than is named": "1,happy,0.5\n2,sad,0.2\n",
    "with a header": "emotion,row\nhappy,1\nsad,2\n",
}


@pytest.mark.parametrize("text", HEADLESS.values(), ids=HEADLESS)
def test_a_header_may_be_missing_where_that_is_allowed(text):
    one = table(text, headless=True)
    assert [(fields["row"], fields["emotion"]) for _, fields in one] == PLAIN


def test_without_a_header_the_first_row_is_counted_and_its_delimiter_is_the_one_that_fits():
    one = table("1;a,b;happy\n2;d;sad\n", ("row", "note", "emotion"), headless=True, counted=True)
    assert [place for place, _ in one] == [f"x.csv, line {k + 1} (data row {k}, counted from 0)" for k in range(2)]
    assert one.delimiter == ";"


@pytest.mark.parametrize(
    ("delimiter", "text", "number", "whole"),
    [
        (",", "3", 3, 3), (",", "003", 3, 3), (",", "3.0", 3, 3), (",", "3.", 3, 3), (",", "3.00", 3, 3),
        (",", "2.870900000000000000e+04", 28709, 28709), (",", "+3", 3, 3), (",", "-0.0", 0, 0),
        (";", "3,0", 3, 3), ("\t", "28709,00", 28709, 28709), (";", "0,25", 0.25, None), (";", "3.0", 3, 3),
        (",", "-1", -1, None), (",", "1.5", 1.5, None), (",", "1e9", 1e9, None),
        (",", "999999999", 999999999, 999999999),
        (",", "9" * 5000, float("inf"), None), (",", "1e300", 1e300, None), (",", "inf", float("inf"), None),
        (",", "3,0", None, None), (";", "1.000,5", None, None), (",", "1_0", None, None), (",", "٣", None, None),
        (",", "", None, None), (",", "nan", None, None), (",", "0x3", None, None), (",", "3 0", None, None),
    ],
)  # fmt: skip
def test_numbers(delimiter, text, number, whole):
    one = table(delimiter.join(COLUMNS))
    found = one.number(text)
    assert found == number or (number is None and found != found)
    assert one.whole(text) == whole


def test_bytes_that_are_no_utf_8_are_kept_as_names_of_files_are():
    assert rows(b"row,emotion\n1,caf\xe9\n") == [("1", os.fsdecode(b"caf\xe9"))]


def test_the_stream_stays_open_and_need_not_go_back():
    data = io.BytesIO(b"row,emotion\n1,happy\n")
    assert len(list(Table(data, "x", COLUMNS, ""))) == 1
    data.seek(0)
    one = Table(data, "x", COLUMNS, "")
    next(iter(one))
    del one
    assert not data.closed
    reading, writing = os.pipe()
    os.write(writing, b"row,emotion\n1,happy\n")
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert len(list(Table(pipe, "x", COLUMNS, ""))) == 1


# ---- tables of our own

KINDS = {"row": int, "correlation": float, "emotion": str, "all": int | None}


def read(tmp_path, text):
    (tmp_path / "x.csv").write_text(text)
    return tables.read_rows(tmp_path / "x.csv", KINDS, "make it again")


def test_our_own_rows_come_back_by_their_kinds(tmp_path):
    found = read(tmp_path, "emotion,row,all,correlation,note\nhappy,7,,0.9,x\n,-1,2,1,y\n")
    assert found == [
        {"row": 7, "correlation": 0.9, "emotion": "happy", "all": None},
        {"row": -1, "correlation": 1.0, "emotion": "", "all": 2},
    ]
    assert read(tmp_path, "row,correlation,emotion,all\n") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.csv: found an empty file, expected the columns row, correlation"),
        ("row,emotion,all\n", "x.csv, line 1: found the columns 'row,emotion,all', expected one correlation;"),
        ("row,row,correlation,emotion,all\n", "x.csv, line 1: found the columns .* expected one row;"),
        ("row,correlation,emotion,all\n1,0.9,a,1\n1.5,0.9,a,1\n", "line 3, row: found '1.5', expected a whole number;"),
        ("row,correlation,emotion,all\n,0.9,a,1\n", "line 2, row: found '', expected a whole number; make it again"),
        (
            "row,correlation,emotion,all\n1,nan,a,1\n",
            "line 2, correlation: found 'nan', expected a number; make it again",
        ),
        (f"row,correlation,emotion,all\n{'9' * 5000},1,a,1\n", "line 2, row: found '9{60}', expected"),
        ("row,correlation,emotion,all\n1,0.9\n", "line 2: found 2 fields, expected 4"),
        ('row,correlation,emotion,all\n1,"0.9', r"line 2: found no CSV"),
    ],
)
def test_damaged_rows_of_our_own_are_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


def test_our_own_table_that_is_not_there_is_the_system_s_to_say(tmp_path):
    with pytest.raises(FileNotFoundError):
        tables.read_rows(tmp_path / "x.csv", KINDS, "make it again")


TEXT = b"row,emotion\n1,happy\n"
PACKED = {
    "gzip": gzip.compress(TEXT), "bzip2": bz2.compress(TEXT), "xz": lzma.compress(TEXT),
    "LZMA": lzma.compress(TEXT, lzma.FORMAT_ALONE), "Zstandard": b"\x28\xb5\x2f\xfd\x20\x15\xa9\0\0" + TEXT,
    "ZIP, as Excel's files are too": b"PK\x03\x04\x14\0\0\0",
}  # fmt: skip


@pytest.mark.parametrize("form", PACKED)
def test_what_is_packed_is_to_be_unpacked(form):
    stream, expected = io.BytesIO(PACKED[form]), "expected the columns row, Emotion; unpack it first, or save it as CSV"
    with pytest.raises(ValueError) as error:
        Table(stream, "x.csv", COLUMNS, "mend it")
    assert str(error.value) == f"x.csv: found a packed file ({form}), {expected}" and not stream.closed


def test_what_is_no_text_is_refused_without_printing_it():
    with pytest.raises(ValueError, match="x.csv, line 1: found no text, but a packed or another binary file, expected"):
        table(b"\0\0\0 ftypisom")
