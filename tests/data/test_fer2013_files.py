"""Every form of file that FER2013 comes in, on drawn and on real faces, and every bad one."""

import bz2
import hashlib
import io
import re
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_fer2013 import (
    GOOD,
    HEADER,
    PACKINGS,
    PIXELS,
    assert_holds,
    assert_nothing_cached,
    csv_text,
    icml_text,
    in_parts,
    load,
    made_up,
    picture_files,
    semicolon_text,
    test_text,
    train_text,
    write,
    write_folder,
    write_npz,
    write_tar,
    write_zip,
)

from fer_lib.data import SPLITS, array_hash, drawn_faces, fer2013, fer2013_files
from fer_lib.data.emotions import FER2013 as EMOTIONS


@pytest.fixture(scope="module")
def drawn():
    faces = drawn_faces.load(140, 28, 32)
    return faces.images, faces.labels, faces.split


@pytest.fixture(scope="module", params=["drawn", pytest.param("real", marks=pytest.mark.slow)])
def rows(request):
    """200 faces of all parts: images, labels, split."""
    if request.param == "drawn":
        return request.getfixturevalue("drawn")
    faces = fer2013.load(request.getfixturevalue("fer2013_csv"))
    some = np.arange(90, len(faces), 179)[:200]
    return faces.images[some], faces.labels[some], faces.split[some]


# ---- what comes in comes out

TABLES = {"fer2013.csv": csv_text, "icml_face_data.csv": icml_text, "saved again.csv": semicolon_text}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("name", TABLES)
def test_every_table_in_every_packing(tmp_path, rows, name, packing):
    text = TABLES[name](*rows)
    faces = load(write(tmp_path / (name + packing), text, name))
    assert_holds(faces, *rows)
    assert faces.name == "fer2013" and faces.sha256 == array_hash(*rows)
    md5 = hashlib.md5(text.encode()).hexdigest()
    assert faces.source == {
        "file": name + packing, "form": "CSV", "md5": md5, "official": False, "official_md5": None, "file_md5": md5,
        "kaggle_file": None,
    }  # fmt: skip


@pytest.mark.parametrize("packing", PACKINGS)
def test_train_and_test_csv_in_every_packing(tmp_path, rows, packing):
    images, labels, split = rows
    training = split == 0
    faces = load(write(tmp_path / f"train.csv{packing}", train_text(*rows), "train.csv"))
    assert_holds(faces, images[training], labels[training], split[training])
    faces = load(write(tmp_path / f"test.csv{packing}", test_text(*rows), "test.csv"))
    assert_holds(faces, images[~training], *[[255] * np.sum(~training)] * 2)


def test_npz(tmp_path, rows):
    path = write_npz(tmp_path / "fer2013.npz", *rows)
    faces = load(path)
    assert_holds(faces, *rows)
    assert faces.source["form"] == "NumPy arrays"
    assert faces.source["file_md5"] == faces.source["md5"] == hashlib.md5(path.read_bytes()).hexdigest()


def as_folder(path, files):
    return write_folder(path, files)


def as_zip(path, files):
    clutter = {"__MACOSX/train/angry/._Training_1.jpg": b"a shadow file", "README.md": b"Faces.", "train/": b""}
    return write_zip(path.with_suffix(".zip"), {f"archive/{name}": files[name] for name in files} | clutter)


def as_tar(path, files):
    return write_tar(path.with_suffix(".tar.gz"), files)


@pytest.mark.parametrize("packed", [as_folder, as_zip, as_tar])
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_pictures(tmp_path, rows, ending, packed):
    files = picture_files(*rows, ending)
    shuffled = dict(sorted(files.items(), key=lambda item: hashlib.md5(item[0].encode()).digest()))
    faces = load(packed(tmp_path / "faces", shuffled))
    images = np.stack([cv2.imdecode(np.frombuffer(f, np.uint8), cv2.IMREAD_GRAYSCALE) for f in files.values()])
    assert_holds(faces, images, rows[1], rows[2])
    away = np.sqrt(np.mean((images.astype(np.int16) - rows[0]) ** 2))
    assert away == 0 if ending == ".png" else 0 < away < 4
    assert (faces.sha256 == array_hash(*rows)) == (ending == ".png")
    assert faces.source["form"] == {".png": "PNG pictures", ".jpg": "JPEG pictures"}[ending]


def test_a_folder_and_its_archive_are_one_content(tmp_path):
    files = picture_files(*in_parts(*made_up(rows=20)), ".jpg")
    assert len({load(packed(tmp_path / "faces", files)).source["md5"] for packed in (as_folder, as_zip, as_tar)}) == 1


def test_pictures_stand_in_the_order_of_part_number_emotion(tmp_path):
    """Numbers count as numbers, and may be the same in two emotions or parts."""
    names = [
        "train/sad/Training_9.jpg", "train/angry/Training_10.PNG", "train/happy/Training_10.jpeg",
        "test/fear/PublicTest_9.jpg", "test/Neutral/PublicTest_88305.jpg", "test/angry/PrivateTest_9.jpg",
    ]  # fmt: skip
    files = {}
    for grey, name in enumerate(names):
        picture = np.full((48, 48, 3), 40 * grey, np.uint8)  # in colour, all channels alike
        files[name] = cv2.imencode("." + name.split(".")[1].lower(), picture)[1].tobytes()
    clutter = (
        "LICENSE", "train/sad/.DS_Store", "train/sad/.ipynb_checkpoints/Training_9-checkpoint.jpg", "figures/one.jpg"
    )  # fmt: skip
    folder = write_folder(tmp_path, dict(reversed(files.items())) | dict.fromkeys(clutter, b"no picture"))
    faces = load(folder)
    assert faces.images[:, 0, 0].tolist() == [0, 40, 80, 120, 160, 200]
    assert [EMOTIONS[code] for code in faces.labels] == ["sad", "angry", "happy", "fear", "neutral", "angry"]
    assert faces.split.tolist() == [0, 0, 0, 1, 1, 2] and faces.ids.tolist() == list(range(6))
    assert faces.source["form"] == "JPEG and PNG pictures"


def test_of_all_files_of_the_competition_the_whole_table_is_taken(tmp_path):
    arrays = in_parts(*made_up(rows=20))
    members = {
        "example_submission.csv": b"Id,Category\n", "train.csv": train_text(*arrays).encode(),
        "test.csv": test_text(*arrays).encode(), "icml_face_data.csv": icml_text(*arrays).encode(),
        "fer2013.tar.gz": b"not looked into",
    }  # fmt: skip
    assert_holds(load(write_zip(tmp_path / f"{fer2013.COMPETITION}.zip", members)), *arrays)


def test_an_archive_is_known_by_its_first_bytes(tmp_path):
    arrays = made_up()
    write(tmp_path / "fer2013.zip", csv_text(*arrays)).rename(tmp_path / "fer2013.csv")
    assert_holds(load(tmp_path / "fer2013.csv"), *arrays)


def test_a_member_outside_of_the_archive_is_read_and_written_nowhere(tmp_path):
    arrays = made_up()
    folder = tmp_path / "deep" / "down"
    folder.mkdir(parents=True)
    assert_holds(load(write_zip(folder / "fer2013.zip", {"../../fer2013.csv": csv_text(*arrays).encode()})), *arrays)
    assert_holds(load(write_tar(folder / "fer2013.tar.gz", {"/../fer2013.csv": csv_text(*arrays).encode()})), *arrays)
    assert {path.name for path in tmp_path.rglob("*.csv")} == set()
    assert sorted(path.name for path in folder.iterdir()) == ["fer2013.tar.gz", "fer2013.zip"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(1, 2 * fer2013_files._BLOCK + 1),
    seed=st.integers(0, 2**32 - 1),
    digits=st.sampled_from([(0, 10), (10, 100), (100, 256), (0, 256), (255, 256)]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_faces_survive_the_csv(tmp_path, rows, seed, digits, end):
    images, labels, split = made_up(seed, rows)
    images = np.random.default_rng(seed).integers(*digits, images.shape).astype(np.uint8)
    assert_holds(load(write(tmp_path / "fer2013.csv", csv_text(images, labels, split, end))), images, labels, split)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_unusual_but_legal_writing(tmp_path, data):
    """Quotes, blanks, tabs, leading zeros, a byte order mark, blank lines, columns moved, added, left out."""
    images, labels, split = made_up(data.draw(st.integers(0, 999)), 2)
    left_out = data.draw(st.sampled_from([(), ("Usage",), ("emotion", "Usage")]))
    blank = data.draw(st.sampled_from([" ", "  ", "\t", " \t"]))
    delimiter = data.draw(st.sampled_from([",", ";"] if "\t" in blank else [",", ";", "\t"]))
    form = data.draw(st.sampled_from(["{}", "{:03d}", "{:02d}"]))
    columns = data.draw(st.permutations([c for c in ("emotion", "pixels", "Usage", "note") if c not in left_out]))
    spaced = st.sampled_from(["{}", " {}", "{} ", '"{}"', '" {}"'])
    cased = st.sampled_from([str.lower, str.upper, str.title, str])
    header = [data.draw(spaced).format(data.draw(cased)(column)) for column in columns]
    lines = [delimiter.join(header)]
    for image, label, part in zip(images, labels, split, strict=True):
        pixels = blank.join(map(form.format, image.ravel()))
        cell = {"emotion": f" {label}", "pixels": f'" {pixels} "', "Usage": SPLITS[part] + " ", "note": '"a, b; c"'}
        lines += [delimiter.join(cell[column] for column in columns), ""]
    mark = data.draw(st.sampled_from(["", "\ufeff"]))
    if left_out:
        split = np.full_like(split, 0 if left_out == ("Usage",) else 255)
    if "emotion" in left_out:
        labels = np.full_like(labels, 255)
    assert_holds(load(write(tmp_path / "fer2013.csv", mark + "\n".join(lines))), images, labels, split)


def saved(images, labels, split, number="{}", blank=" ", around="{}", delimiter=",", code="{}", before="", after=""):
    """Rows as a program saves them: how a number, the pixels and a label look, and what is before and after a row."""
    lines = [delimiter.join(["emotion", "pixels", "Usage"])]
    for image, label, part in zip(images, labels, split, strict=True):
        pixels = around.format(blank.join(map(number.format, image.ravel())))
        lines.append(delimiter.join([code.format(label), pixels, SPLITS[part]]))
    lines = [f"{before and delimiter}{lines[0]}{after}", *(before + line + after for line in lines[1:])]
    return "\n".join([*lines, ""])


SAVED = {
    "pandas' index": {"before": "0,"},
    "pandas' floats": {"number": "{}.0", "code": "{}.0"},
    "NumPy's floats": {"number": "{}.", "code": "{:.18e}"},
    "lists": {"number": "{}", "blank": ", ", "around": '"[{}]"'},
    "lists of floats": {"number": "{}.0", "blank": ", ", "around": '"[{}]"'},
    "NumPy's arrays": {"number": "{:3d}", "blank": "\n ", "around": '"[{}]"'},
    "Excel": {"delimiter": ";", "after": ";;;"},
    "Excel, German floats": {"delimiter": ";", "number": "{},0", "code": "{},0"},
    "tabs": {"delimiter": "\t"},
    "a blank behind the delimiter": {"delimiter": ", "},
    "trailing commas": {"after": ",,"},
    "many zeros": {"number": "{}.00", "blank": "  "},
}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("form", SAVED.values(), ids=SAVED)
def test_tables_are_read_as_pandas_and_spreadsheets_save_them(tmp_path, form, encoding):
    arrays = made_up(rows=fer2013_files._BLOCK + 3)
    ends = form.get("delimiter", ",").strip(" ") * 4
    path = tmp_path / "fer2013.csv"
    path.write_bytes((saved(*arrays, **form) + f"{ends}\n{ends}\n").encode(encoding))
    assert_holds(load(path), *arrays)


def test_a_table_of_floats_takes_hardly_longer_than_one_of_digits(tmp_path):
    """Row by row, pixel by pixel it takes thirty times as long: minutes for the whole file."""
    arrays = made_up(rows=192)
    seconds = {}
    for number in ("{}", "{}.0", "{}."):
        content = saved(*arrays, number=number).encode()
        begun = time.process_time()
        fer2013_files._parse_table("x", io.BytesIO(content))
        seconds[number] = time.process_time() - begun
    assert max(seconds.values()) < 12 * seconds["{}"], seconds


# ---- bad input: one error, naming file, row, what was found and what was expected; and no half cache


def pixels(*, count=2304, **changed):
    """2,304 sevens, with ``p<position>=<text>`` put in."""
    numbers = ["7"] * count
    for position, text in changed.items():
        numbers[int(position[1:])] = text
    return " ".join(numbers)


WHERE = r"line 4 \(data row 2, counted from 0\): "
BAD_ROWS = {
    "one pixel short": (f"0,{pixels(count=2303)},Training", "found 2,303 pixels, expected 2,304"),
    "one pixel more": (f"0,{pixels(count=2305)},Training", "found 2,305 pixels, expected 2,304"),
    "no pixels": ("0,,Training", "found 0 pixels, expected 2,304"),
    "too bright": (f"0,{pixels(p9='256')},Training", "found '256' as pixel 9, expected whole numbers from 0 to 255"),
    "four digits": (f"0,{pixels(p0='1000')},Training", "found '1000' as pixel 0, expected"),
    "thousands of digits": (f"0,{pixels(p0='9' * 5000)},Training", "found '9{60}...' as pixel 0, expected"),
    "negative": (f"0,{pixels(p2303='-1')},Training", "found '-1' as pixel 2303, expected"),
    "fraction": (f"0,{pixels(p5='1.5')},Training", r"found '1\.5' as pixel 5, expected"),
    "fraction of floats": (f"0,{pixels(p5='1.05')},Training", r"found '1\.05' as pixel 5, expected"),
    "two points": (f"0,{pixels(p5='1..0')},Training", r"found '1\.\.0' as pixel 5, expected"),
    "a point alone": (f"0,{pixels(p5='.')},Training", "found 2,303 pixels|found '.' as pixel 5, expected"),
    "no whole part": (f"0,{pixels(p5='.0')},Training", "found 2,303 pixels|found '.0' as pixel 5, expected"),
    "label with a fraction": (f"1.5,{PIXELS},Training", "found emotion '1.5', expected one of 0"),
    "word": (f"0,{pixels(p5='nan')},Training", "found 'nan' as pixel 5, expected"),
    "other digits": (f"0,{pixels(p5='٣')},Training", "found '٣' as pixel 5, expected"),
    "label 7": (f"7,{PIXELS},Training", "found emotion '7', expected one of 0, 1, 2, 3, 4, 5, 6"),
    "negative label": (f"-1,{PIXELS},Training", "found emotion '-1', expected one of 0"),
    "label in words": (f"happy,{PIXELS},Training", "found emotion 'happy', expected one of 0"),
    "no label": (f",{PIXELS},Training", "found emotion '', expected one of 0"),
    "unknown part": (f"0,{PIXELS},Test", "found Usage 'Test', expected one of Training, PublicTest, PrivateTest"),
    "a field missing": (f"0,{PIXELS}", "found 2 fields, expected 3"),
    "a field more": (f"0,{PIXELS},Training,1", "found 4 fields, expected 3"),
}


@pytest.mark.parametrize(
    "name, member", [("fer2013.csv", ""), ("fer2013.zip", ", fer2013.csv"), ("fer2013.tar.xz", ", fer2013/fer2013.csv")]
)
@pytest.mark.parametrize("row, message", BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_row(tmp_path, name, member, row, message):
    path = write(tmp_path / name, "\n".join([HEADER, GOOD, GOOD, row, GOOD]))
    with pytest.raises(ValueError, match=re.escape(f"{path}{member}, ") + WHERE + message) as error:
        load(path)
    assert "; correct this row" in str(error.value)  # the next step
    assert_nothing_cached()


def test_missing_and_surplus_pixels_do_not_cancel_out(tmp_path):
    path = write(tmp_path / "fer2013.csv", "\n".join([HEADER, f"0,{pixels(count=2303)},Training",
                                                      f"0,{pixels(count=2305)},Training"]))  # fmt: skip
    with pytest.raises(ValueError, match=r"line 2 \(data row 0.*found 2,303 pixels"):
        load(path)


BAD_TEXTS = {
    "header only": (HEADER + "\n", "found a header and no rows"),
    "no header": (GOOD, "line 1: found the columns '0,7 7 7 .*expected emotion, pixels and Usage"),
    "pixels missing": ("emotion,Usage\n0,Training", "line 1: found the columns 'emotion,Usage', expected"),
    "emotion missing": (f"pixels,Usage\n{PIXELS},Training", "line 1: found the columns 'pixels,Usage', expected"),
    "column twice": (f"emotion,pixels,Usage,usage\n{GOOD},Training", "line 1: .*once each"),
    "open quote": (f'{HEADER}\n{GOOD}\n0,"{PIXELS}' + f"\n{GOOD}" * 40, r"line 3 .*found no CSV \("),
    "not a text": ("\x00\x01\x02\x00" * 50, "line 1: found no text, but a packed or another binary file, expected"),
    "another delimiter": (GOOD.replace(",", "|"), "line 1: found the columns"),
}


@pytest.mark.parametrize("text, message", BAD_TEXTS.values(), ids=BAD_TEXTS)
@pytest.mark.parametrize("name", ["fer2013.csv", "fer2013.csv.gz"])
def test_bad_table(tmp_path, name, text, message):
    path = write(tmp_path / name, text)
    with pytest.raises(ValueError, match=re.escape(str(path)) + ".*" + message):
        load(path)
    assert_nothing_cached()


@pytest.mark.parametrize("name", ["fer2013.csv.bz2", "fer2013.tar.bz2", "fer2013.csv"])
def test_a_packing_that_is_not_read_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(bz2.compress(f"{HEADER}\n{GOOD}\n".encode()))
    with pytest.raises(ValueError, match=rf"{name}: found a packed file \(bzip2\), expected .*; unpack it first, or"):
        load(tmp_path / name)
    assert_nothing_cached()


@pytest.mark.parametrize("name", ["fer2013.csv", "fer2013.csv.gz", "fer2013.zip", "fer2013.tar.gz", "fer2013.npz"])
def test_empty_file(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=rf"{name}: found an empty file, expected .*; fetch it again"):
        load(tmp_path / name)


@pytest.mark.parametrize("packing", [".gz", ".xz", ".zip", ".tar.gz", ".tar.xz"])
def test_archive_of_an_empty_table(tmp_path, packing):
    with pytest.raises(ValueError, match=r"found an empty file, expected the columns emotion, pixels, Usage"):
        load(write(tmp_path / f"fer2013.csv{packing}", ""))
    assert_nothing_cached()


BREAKS = {
    "half": lambda content: content[: len(content) // 2],
    "end cut off": lambda content: content[:-1] if content[:2] == b"\x1f\x8b" else content[:-30],
    "overwritten": lambda content: content[:200] + bytes(50) + content[250:],
    "not packed": lambda content: b"emotion,pixels,Usage\n",
}


@pytest.mark.parametrize("packing", [".csv.gz", ".csv.xz", ".zip", ".tar.gz", ".tar.xz"])
@pytest.mark.parametrize("break_it", BREAKS.values(), ids=BREAKS)
def test_broken_archive(tmp_path, packing, break_it):
    path = write(tmp_path / f"fer2013{packing}", csv_text(*made_up()))
    path.write_bytes(break_it(path.read_bytes()))
    with pytest.raises(ValueError, match=re.escape(str(path)) + ": found a broken archive .*; fetch it again"):
        load(path)
    assert_nothing_cached()


@pytest.mark.parametrize("packed", [as_zip, as_tar])
@pytest.mark.parametrize("break_it", BREAKS.values(), ids=BREAKS)
def test_broken_archive_of_pictures(tmp_path, packed, break_it):
    path = packed(tmp_path / "faces", picture_files(*in_parts(*made_up(rows=20))))
    path.write_bytes(break_it(path.read_bytes()))
    with pytest.raises(ValueError, match=re.escape(str(path)) + ": found a broken archive"):
        load(path)
    assert_nothing_cached()


@pytest.mark.parametrize("pieces", [1, 5, 9])
def test_plain_tar_that_ends_between_two_members(tmp_path, pieces):
    """There nothing but the missing end tells that members are missing."""
    path = write_tar(tmp_path / "faces.tar", picture_files(*in_parts(*made_up(rows=10))))
    starts = [match.start() for match in re.finditer(rb"(train|test)/", path.read_bytes())]
    path.write_bytes(path.read_bytes()[: starts[pieces]])
    with pytest.raises(ValueError, match=r"faces\.tar: found a broken archive \(its end is missing\)"):
        load(path)


@pytest.mark.parametrize("write_archive, name", [(write_zip, "fer2013.zip"), (write_tar, "fer2013.tar.gz")])
@pytest.mark.parametrize("names, found", [
    (["readme.txt"], r"0 CSV files inside \(none\)"),
    (["train.csv", "test.csv"], r"2 CSV files inside \(train.csv, test.csv\)"),
    (["a/fer2013.csv", "b/fer2013.csv"], r"2 CSV files inside \(a/fer2013.csv, b/fer2013.csv\)"),
])  # fmt: skip
def test_archive_without_one_table(tmp_path, write_archive, name, names, found):
    path = write_archive(tmp_path / name, dict.fromkeys(names, csv_text(*made_up()).encode()))
    with pytest.raises(ValueError, match=rf"{name}: found {found}, expected one, fer2013\.csv, or pictures.*; unpack"):
        load(path)
    assert_nothing_cached()


def test_zip_whose_names_are_no_text(tmp_path):
    path = write(tmp_path / "fer2013.zip", csv_text(*made_up()))
    content = bytearray(path.read_bytes())
    content[7] |= 8  # "the name is in UTF-8", in the file's own header only
    content[30] = 0x9D
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"fer2013\.zip: found a broken archive \(.*utf-8.*; fetch it again"):
        load(path)
    assert_nothing_cached()


def test_zip_with_a_password(tmp_path):
    path = write(tmp_path / "fer2013.zip", csv_text(*made_up()))
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the "encrypted" flag, in the file's own header and in the directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"fer2013\.zip: found a broken archive \(.*password"):
        load(path)


def picture(ending=".jpg", shape=(48, 48)):
    return cv2.imencode(ending, np.full(shape, 99, np.uint8))[1].tobytes()


NO_PICTURE = "found no picture that can be decoded.*, expected"
DAMAGED = "found an incomplete or damaged picture, .*, expected a whole picture"
BAD_PICTURES = {
    "none": ("train/sad/Training_7.jpg", b"<html>", NO_PICTURE),
    "empty": ("train/sad/Training_7.jpg", b"", NO_PICTURE),
    "half a JPEG": ("train/sad/Training_7.jpg", picture()[:-20], DAMAGED),
    "half a PNG": ("train/sad/Training_7.png", picture(".png")[:-60], DAMAGED),
    "another size": ("test/sad/PublicTest_7.png", picture(".png", (48, 64)), "found 64 x 48 pixels, expected 48 x 48;"),
    "unknown emotion": ("test/bored/PublicTest_7.jpg", picture(), "found it in the folder 'bored', expected one of"),
    "no emotion": ("train/Training_7.jpg", picture(), "found it in the folder 'train', expected one of angry"),
    "no part": ("test/sad/im0.png", picture(), "found the file name 'im0.png', expected Training_<number> or Public"),
    "another part": ("test/sad/Test_7.jpg", picture(), "found the file name 'Test_7.jpg', expected Training_<number>"),
}  # fmt: skip


@pytest.mark.parametrize("packed", [as_folder, as_zip])
@pytest.mark.parametrize("name, content, message", BAD_PICTURES.values(), ids=BAD_PICTURES)
def test_bad_picture(tmp_path, packed, name, content, message):
    path = packed(tmp_path / "faces", picture_files(*in_parts(*made_up(rows=20))) | {name: content})
    place = f"{path}/{name}" if path.is_dir() else f"{path}, archive/{name}"
    with pytest.raises(ValueError, match=re.escape(place) + ": " + message) as error:
        load(path)
    assert re.search("; .*(fetch it again|remove)", str(error.value))  # the next step
    assert_nothing_cached()


def test_a_picture_that_stands_twice(tmp_path):
    files = picture_files(*in_parts(*made_up(rows=20)))
    name, content = next(iter(files.items()))
    copy = name.replace("train/", "train/again/")
    path = write_folder(tmp_path / "faces", files | {copy: content})
    with pytest.raises(ValueError, match=rf"faces: found {copy} and {name}, expected each picture once; remove one"):
        load(path)


def test_a_folder_without_pictures(tmp_path):
    (tmp_path / "train" / "angry").mkdir(parents=True)
    with pytest.raises(ValueError, match=rf"{tmp_path}: found no pictures, expected <emotion>/Training_<number>\.jpg"):
        load(tmp_path)


IMAGES, LABELS, SPLIT = made_up()
BAD_ARRAYS = {
    "no usage": ({"pixels": IMAGES, "emotion": LABELS}, "usage is not a file"),
    "other shape": ({"pixels": IMAGES.reshape(5, -1), "emotion": LABELS, "usage": SPLIT}, r"pixels \(5, 2304\) uint8"),
    "lengths differ": ({"pixels": IMAGES, "emotion": LABELS[1:], "usage": SPLIT}, r"emotion \(4,\) uint8"),
    "other type": ({"pixels": IMAGES / 255, "emotion": LABELS, "usage": SPLIT}, "float64"),
    "one number": ({"pixels": IMAGES, "emotion": np.uint8(1), "usage": SPLIT}, r"emotion \(\) uint8"),
    "no rows": ({"pixels": IMAGES[:0], "emotion": LABELS[:0], "usage": SPLIT[:0]}, r"pixels \(0, 48, 48\)"),
    "pickled": ({"pixels": IMAGES.astype(object), "emotion": LABELS, "usage": SPLIT}, "Object arrays cannot be loaded"),
}


@pytest.mark.parametrize("arrays, message", BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_bad_npz(tmp_path, arrays, message):
    path = tmp_path / "fer2013.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=re.escape(f"{path}: found ") + f".*{message}.*, expected uint8 arrays pixels"):
        load(path)
    assert_nothing_cached()


@pytest.mark.parametrize("break_it", [lambda c: c[: len(c) // 2], lambda c: HEADER.encode()])
def test_broken_npz(tmp_path, break_it):
    path = write_npz(tmp_path / "fer2013.npz", IMAGES, LABELS, SPLIT)
    path.write_bytes(break_it(path.read_bytes()))
    with pytest.raises(ValueError, match=re.escape(f"{path}: found no .npz that can be read")):
        load(path)


def test_one_array_instead_of_an_npz(tmp_path):
    path = tmp_path / "fer2013.npz"
    with path.open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(ValueError, match=re.escape(f"{path}: found no .npz that can be read")):
        load(path)


def test_an_npz_with_a_damaged_member(tmp_path):
    """By another method, by a password, by a header that is no Python: each is another type of error of NumPy's."""
    path = write_npz(tmp_path / "fer2013.npz", IMAGES, LABELS, SPLIT)
    whole = path.read_bytes()
    directory = whole.index(b"PK\x01\x02")
    for offset, byte in ((10, 99), (8, 1)):
        path.write_bytes(whole[: directory + offset] + bytes([byte]) + whole[directory + offset + 1 :])
        with pytest.raises(ValueError, match=re.escape(f"{path}: found no .npz that can be read (")):
            load(path)
    for text in (b"'descr\x00(", b"'descr':((", b"#descr': '"):
        path.write_bytes(whole.replace(b"'descr': '", text.ljust(10)))
        with pytest.raises(ValueError, match=re.escape(f"{path}: found no .npz that can be read (")):
            load(path)
    assert_nothing_cached()


@pytest.mark.parametrize("sides", [(60_000, 60_000), (2_000_000_000, 1), (65_535, 65_535)])
@pytest.mark.parametrize("packed", [as_folder, as_zip])
def test_a_picture_that_claims_enormous_sides_is_refused_at_once(tmp_path, packed, sides):
    content = picture(".png")
    header = struct.pack(">4sII", b"IHDR", *sides) + content[24:29]
    content = content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
    files = picture_files(*in_parts(*made_up(rows=20))) | {"train/sad/Training_7.png": content}
    begun = time.process_time()
    with pytest.raises(ValueError, match=r"train/sad/Training_7\.png: found .*, expected .*; "):
        load(packed(tmp_path / "faces", files))
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("key, value, expected", [("emotion", 7, "0 to 6"), ("usage", 3, "0 to 2")])
def test_npz_with_an_unknown_code(tmp_path, key, value, expected):
    arrays = {"pixels": IMAGES, "emotion": LABELS.copy(), "usage": SPLIT.copy()}
    arrays[key][3] = value
    np.savez(tmp_path / "fer2013.npz", **arrays)
    with pytest.raises(ValueError, match=rf"npz, row 3 \(counted from 0\): found {key} {value}, expected {expected}"):
        load(tmp_path / "fer2013.npz")
