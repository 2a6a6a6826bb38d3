"""AffectNet: both layouts with their traps, the face that a box says, and reading that survives a kill."""

import csv
import json
import os
import shutil
import struct
import subprocess
import sys
import time
import warnings
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_lib import paths, system
from fer_lib.data import (
    affectnet,
    affectnet_files,
    array_hash,
    audit,
    banner,
    drawn_affectnet,
    load_faces,
)
from fer_lib.data.emotions import AFFECTNET, ALPHABETICAL, EIGHT, FER2013, mapping
from fer_lib.files import writing


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """A tree of each layout with every trap: 63 and 14 sound pictures."""
    folder = tmp_path_factory.mktemp("affectnet")
    for layout in ("older", "newer"):
        drawn_affectnet.write(folder / layout, layout, 63, 14)
    return folder


@pytest.fixture
def tree(trees, tmp_path):
    """A copy to spoil."""
    return lambda layout: shutil.copytree(trees / layout, tmp_path / layout)


def quietly(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return affectnet.load(*arguments, **options)


def training_csv(tree):
    return tree / "Manually_Annotated_file_lists" / "training.csv"


@pytest.mark.parametrize("layout", ["older", "newer"])
@pytest.mark.parametrize(("classes", "tests", "counts"), [
    (7, "carved", 63), (8, "carved", 66), (7, "official", 77), (8, "official", 83),
])  # fmt: skip
def test_both_layouts_are_read_with_all_their_traps(trees, layout, classes, tests, counts):
    with pytest.warns(UserWarning, match="pictures are left out, such as .*left_out.csv lists them"):
        faces = affectnet.load(trees / layout, classes=classes, tests=tests)
    assert faces.images.shape == (counts, 48, 48) and faces.images.dtype == np.uint8
    assert isinstance(faces.images, np.memmap) and not faces.images.flags.writeable
    assert (np.diff(faces.split.astype(int)) >= 0).all() and set(faces.split) == {0, 1, 2}
    assert faces.emotions == EIGHT[:classes]
    assert np.bincount(faces.labels).tolist()[:7] == [9 + 2 * (tests == "official")] * 7
    assert faces.ids.tolist() == list(range(counts))
    assert faces.sha256 == array_hash(faces.images, faces.labels, faces.split)
    assert faces.source["codes"]["training"]["none"] == faces.source["codes"]["validation"]["no face"] == 1
    assert faces.source["left_out"] == {"older": 4, "newer": 3}[layout]
    assert not faces.source["official"] and faces.source["official_md5"] is None
    assert audit.clean_rows(faces).all()
    assert "AffectNet" in banner(faces)


def test_what_is_left_out_is_listed_with_its_reason(trees):
    reasons = {}
    for layout in ("older", "newer"):
        faces = quietly(trees / layout)
        with open(paths.CACHE / faces.source["kept"] / "left_out.csv", newline="") as file:
            reasons[layout] = sorted(row["reason"].split(",")[0] for row in csv.DictReader(file))
        with open(paths.CACHE / faces.source["kept"] / "pictures.csv", newline="") as file:
            listed = list(csv.DictReader(file))
        assert [int(row["id"]) for row in listed] == faces.ids.tolist()
        assert (trees / layout / listed[5]["picture"]).is_file()
    older = ["cannot be decoded", "face box NULL NULL NULL NULL: no numbers", "no such file"]
    assert [r for r in reasons["older"] if "positive" not in r] == older and len(reasons["older"]) == 4
    assert reasons["newer"] == ["cannot be decoded", "no annotation", "no such file"]


def test_labels_are_those_that_the_pictures_show(trees):
    faces = quietly(trees / "newer", tests="official")
    code = np.array([number % 7 for number in range(63)])
    kept = [affectnet.carved(f"{n}.jpg") == 1 for n in range(63)]
    expected = np.append(mapping(AFFECTNET[:7], FER2013)[code[kept]], [])
    assert faces.labels[faces.split == 1].tolist() == expected.tolist()


def test_asked_for_in_colour_and_large_they_are_so(trees):
    faces = quietly(trees / "newer", side=64, colour=True)
    assert faces.images.shape == (63, 64, 64, 3)
    grey = quietly(trees / "newer", side=64)
    luma = faces.images @ np.array([0.299, 0.587, 0.114])  # red first
    assert np.abs(luma - grey.images).mean() < 1
    assert np.abs(faces.images[..., ::-1] @ np.array([0.299, 0.587, 0.114]) - grey.images).mean() > 2


# ---- the box


@settings(deadline=None, max_examples=25)
@given(st.data(), st.sampled_from([".jpg", ".png"]), st.booleans(), st.sampled_from([16, 48, 80]))
def test_the_face_is_what_its_box_holds_x_to_the_right_y_downwards(tmp_path_factory, data, ending, colour, side):
    width, height = data.draw(st.integers(60, 500)), data.draw(st.integers(60, 500))
    w, h = data.draw(st.integers(50, width)), data.draw(st.integers(50, height))
    x, y = data.draw(st.integers(0, width - w)), data.draw(st.integers(0, height - h))
    picture = np.zeros((height, width, 3), np.uint8)
    picture[y : y + h, x : x + w] = (40, 120, 200)  # BGR
    path = tmp_path_factory.getbasetemp() / f"box{ending}"
    cv2.imwrite(str(path), picture)
    shown = affectnet.face(path, (x, y, w, h), side, colour).astype(float)
    edge = side // 5  # JPEG lets colours run over an edge
    inside = shown[edge:-edge, edge:-edge]
    assert shown.shape == (side, side, 3)[: 2 + colour]
    expected = np.array([200, 120, 40]) if colour else 0.114 * 40 + 0.587 * 120 + 0.299 * 200
    assert np.abs(inside - expected).max() < 40 and np.abs(inside - expected).mean() < 8
    whole = affectnet.face(path, (0, 0, 0, 0), side, colour)
    assert whole.shape == shown.shape
    if x > 40:  # x and y swapped, as a widespread tool has it, would show the black around it
        left = affectnet.face(path, (0, 0, 20, height), side, False)
        assert left.mean() < 20


@pytest.mark.parametrize(
    ("box", "reason"), [((500, 0, 40, 40), "outside of the picture"), ((-60, 5, 50, 50), "outside of the picture")]
)
def test_a_box_outside_of_its_picture_holds_no_face(tmp_path, box, reason):
    cv2.imwrite(str(tmp_path / "x.png"), np.full((100, 100), 9, np.uint8))
    assert reason in affectnet.face(tmp_path / "x.png", box, 48, False)
    assert (affectnet.face(tmp_path / "x.png", (-30, 70, 60, 60), 48, False) == 9).all()  # what is inside of it


def test_a_reduced_decoding_shows_the_same_face(trees):
    for path in sorted((trees / "newer/train_set/images").glob("?.jpg"))[:5]:
        whole = cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), (48, 48), interpolation=cv2.INTER_AREA)
        reduced = affectnet.face(path, (0, 0, 0, 0), 48, False)
        assert np.abs(reduced.astype(int) - whole).mean() < 2


def test_a_picture_that_claims_enormous_sides_is_no_picture(tmp_path):
    content = cv2.imencode(".png", np.zeros((100, 100), np.uint8))[1].tobytes()
    header = struct.pack(">4sII", b"IHDR", 65_000, 65_000) + content[24:29]
    content = content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
    (tmp_path / "x.png").write_bytes(content)
    begun = time.process_time()
    assert affectnet.face(tmp_path / "x.png", (0, 0, 50, 50), 48, True) == f"cannot be decoded, {len(content)} bytes"
    assert time.process_time() - begun < 1


def test_a_picture_smaller_than_it_is_wanted_is_enlarged(tmp_path):
    cv2.imwrite(str(tmp_path / "x.jpg"), np.full((30, 30), 99, np.uint8))
    assert np.abs(affectnet.face(tmp_path / "x.jpg", (0, 0, 0, 0), 48, False).astype(int) - 99).max() < 4


# ---- what is not AffectNet


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="found no such folder, expected Manually_Annotated_Images/ with"):
        affectnet.load(tmp_path / "nowhere")
    (tmp_path / "readme.txt").touch()
    with pytest.raises(ValueError, match="found readme.txt, expected .* unpack the whole of it there"):
        affectnet.load(tmp_path)


@pytest.mark.parametrize("names", [["Anger", "contempt", "disgust", "happy"], [str(code) for code in range(8)]])
@pytest.mark.parametrize("part", ["", "train"])
def test_a_re_upload_in_alphabetical_order_is_refused_with_the_reason(tmp_path, names, part):
    for name in names:
        (tmp_path / part / name).mkdir(parents=True)
    with pytest.raises(ValueError, match="re-upload whose labels are the alphabetical order.*request"):
        affectnet.load(tmp_path)


@pytest.mark.parametrize("layout", ["older", "newer"])
def test_official_layouts_with_alphabetical_codes_are_refused(layout, tmp_path):
    folder = tmp_path / layout
    drawn_affectnet.write(folder, layout, 84, 14, traps=())
    codes = mapping(AFFECTNET[:8], ALPHABETICAL)
    if layout == "older":
        path = training_csv(folder)
        rows = list(csv.reader(path.open()))
        for row in rows[1:]:
            row[6] = codes[int(row[6])]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    else:
        for path in (folder / "train_set" / "annotations").glob("*_exp.npy"):
            np.save(path, np.array(codes[int(np.load(path).item())]))
    with pytest.raises(ValueError, match="found .*code.* a re-upload whose labels are the alphabetical order"):
        affectnet.load(folder)


def test_codes_as_frequent_as_the_alphabetical_order_has_them_are_refused(tmp_path):
    official = np.repeat(np.arange(8), np.array(affectnet_files.OFFICIAL_TRAINING) // 100)
    nothing = np.full(len(official), np.nan)
    affectnet_files._check_order(tmp_path, official, official, nothing)
    affectnet_files._check_order(tmp_path, np.arange(800) % 8, np.arange(800) % 8, np.full(800, np.nan))
    wrong = mapping(AFFECTNET[:8], ALPHABETICAL)[official]
    with pytest.raises(ValueError, match="Training rows of the codes 0 to 7: a re-upload"):
        affectnet_files._check_order(tmp_path, wrong, wrong, nothing)


def test_codes_whose_valence_is_the_alphabetical_order_s_are_refused(tmp_path):
    even = np.arange(800) % 8  # tells nothing by how many there are
    valence = np.where(even == 1, 0.7, -0.5)
    affectnet_files._check_order(tmp_path, even, even, np.where(even == 4, -2, valence))  # -2: no valence
    affectnet_files._check_order(tmp_path, even, even, valence)
    with pytest.raises(ValueError, match="found code 1 with a mean valence of -0.50 and code 4 of 0.70: a re-upload"):
        affectnet_files._check_order(tmp_path, even, even, np.where(even == 4, 0.7, -0.5))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1/a.jpg,1,2,3,4,,11,0,0", "training.csv, line 71: found expression '11', expected a code of 0 to 10"),
        ("1/a.jpg,1,2,3,4,,happy,0,0", "line 71: found expression 'happy'"),
        ("1/a.jpg,1,2", "line 71: found 3 fields, expected 9"),
        ("subDirectory_filePath,face_x", "line 71: found 2 fields, expected 9"),
        ("1/a.jpg,1,2,3,4,,1.5,0,0", "line 71: found expression '1.5'"),
        ("1/a.jpg,1,2,3,4,,1,0,0,1,2,3", "line 71: found 12 fields, expected 9"),
        ('1/a.jpg,1,2,3,4,"1,1,0,0', r"line 71: found no CSV \(unexpected end of data\)"),
    ],
)
def test_a_malformed_list_is_refused_by_line(tree, line, message):
    folder = tree("older")
    with training_csv(folder).open("a") as file:
        file.write(line + "\n")
    lines = len(training_csv(folder).read_text().splitlines())
    with pytest.raises(ValueError, match=message.replace("71", str(lines))):
        affectnet.load(folder)


@pytest.mark.filterwarnings("ignore:.*are left out")
def test_a_list_with_a_column_more_is_read_with_or_without_it(tree):
    path = training_csv(folder := tree("older"))
    expected = affectnet.load(folder).sha256
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{header},note", *lines[:5], *(f"{line},x" for line in lines[5:])]) + "\n")
    assert affectnet.load(folder).sha256 == expected


def floats(lines):
    """As pandas writes a column that had a missing value once."""
    rows = [line.split(",") for line in lines[1:]]
    rows = [[*row[:6], f"{row[6]}.0", *row[7:]] for row in rows]
    return "\n".join([lines[0], *(",".join(row) for row in rows)])


def semicolons(lines):
    rows = [line.split(",") for line in lines]
    rows = [[f'"{field}"' if ";" in field else field for field in row] for row in rows]
    return "\r\n".join([*(";".join(row).replace(".7;", ",7;") + ";;" for row in rows), ";" * 10])


def index(lines):
    return "\n".join(f"{k or ''},{line}" for k, line in enumerate(lines))


def reordered(lines):
    """The columns from last to first; landmarks left out."""
    return "\n".join(",".join(reversed(line.split(",")[:5] + line.split(",")[6:])) for line in lines)


def windows(lines):
    return "\n".join(line.replace("/", "\\") for line in lines)


@pytest.mark.filterwarnings("ignore:.*are left out")
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("saved", [floats, semicolons, index, reordered, windows])
def test_a_list_is_read_as_pandas_and_spreadsheets_save_it(tree, saved, encoding):
    path = training_csv(folder := tree("older"))
    expected = affectnet_files.read(folder)
    path.write_bytes(saved(path.read_text().splitlines()).encode(encoding))
    found = affectnet_files.read(folder)
    assert found.pictures == expected.pictures and found.unusable == expected.unusable
    for one, other in zip(found[2:5], expected[2:5]):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ("9223372036854775807,0,50,50", "face box 9223372036854775807 0 50 50: outside of any picture"),
        ("0,0,1e300,50", "face box 0 0 1e300 50: outside of any picture"),
        ("0,inf,50,50", "face box 0 inf 50 50: no numbers"),
        ("2147483000,2147483000,2147483647,2147483647", "outside of the picture"),
        ("0,0,0,50", "face box of 0 x 50 pixels: no positive size"),
    ],
)
def test_a_box_that_cannot_be_leaves_out_its_row_alone(tree, box, reason):
    path = training_csv(folder := tree("older"))
    before = quietly(folder)
    lines = path.read_text().splitlines()
    row = lines[1].split(",")
    path.write_text("\n".join([*lines, ",".join([row[0], box, *row[5:]])]))
    after = quietly(folder)
    assert len(after) == len(before) and after.source["left_out"] == before.source["left_out"] + 1
    text = (paths.CACHE / after.source["kept"] / "left_out.csv").read_text()
    assert reason in text and (row[0] in text)


def left_out(faces) -> dict[str, str]:
    with open(paths.CACHE / faces.source["kept"] / "left_out.csv", newline="") as file:
        return {row["picture"]: row["reason"] for row in csv.DictReader(file)}


DAMAGES = {
    "empty": (lambda path: path.write_bytes(b""), "no number, 0 bytes"),
    "garbage": (lambda path: path.write_bytes(b"nothing"), "no number, 7 bytes"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-3]), "no number, 129 bytes"),
    "another code": (lambda path: np.save(path, np.array("12")), "12, no code of 0 to 10"),
    "fraction": (lambda path: np.save(path, np.array("1.5")), "1.5, no code of 0 to 10"),
    "not a number": (lambda path: np.save(path, np.array(np.nan)), "nan, no code of 0 to 10"),
    "infinite": (lambda path: np.save(path, np.array(np.inf)), "inf, no code of 0 to 10"),
    "a word": (lambda path: np.save(path, np.array("happy")), "no number, 148 bytes"),
    "many": (lambda path: np.save(path, np.arange(9)), "an array of 9 int64, no number"),
    "complex": (lambda path: np.save(path, np.array(1j)), "an array of 1 complex128, no number"),
    "fields": (lambda path: np.save(path, np.zeros(1, [("a", int)])), "an array of 1 [('a', '<i8')], no number"),
    "objects": (lambda path: np.save(path, np.array([None])), "no number, "),
    "a header of no Python": (
        lambda path: path.write_bytes(b"\x93NUMPY\x01\x00\x08\x00{'descr'"),
        "no number, 18 bytes",
    ),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "cannot be read: Is a directory"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_annotation_leaves_out_its_picture_alone(tree, damage, reason):
    folder = tree("newer")
    before = left_out(quietly(folder))
    shutil.rmtree(paths.CACHE)
    path = folder / "train_set" / "annotations" / "3_exp.npy"
    whole = path.read_bytes()
    damage(path)
    faces = quietly(folder)
    (new,) = left_out(faces).keys() - before.keys()
    assert new == "train_set/annotations/3_exp.npy"
    assert left_out(faces)[new].startswith(f"damaged annotation: {reason}")
    with open(paths.CACHE / faces.source["kept"] / "pictures.csv", newline="") as file:
        assert "train_set/images/3.jpg" not in [row["picture"] for row in csv.DictReader(file)]
    if path.is_file() and len(whole) != path.stat().st_size:
        path.write_bytes(whole)
        assert left_out(quietly(folder)) == before  # mended


def test_annotations_that_are_mostly_damaged_are_an_error(tree):
    folder = tree("newer")
    for path in (folder / "train_set" / "annotations").glob("*_exp.npy"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="pictures unusable .train_set/annotations/.*damaged annotation: no number, 0"):
        affectnet.load(folder)


def test_a_number_in_another_format_of_numpy_s_is_read(tmp_path):
    for version in ((1, 0), (2, 0), (3, 0)):
        for value in ("7", 7, 7.0):
            with open(tmp_path / "x.npy", "wb") as file:
                np.lib.format.write_array(file, np.array(value), version)
            assert affectnet_files._value(tmp_path / "x.npy") == 7


def test_hidden_files_are_not_looked_at(tree):
    """What macOS, editors and version control leave in folders."""
    folder = tree("newer")
    expected = quietly(folder)
    for name in (
        "annotations/._0_exp.npy",
        "annotations/.3_exp.npy",
        "images/._0.jpg",
        "images/.5.jpg",
        "images/0.txt",
    ):
        (folder / "train_set" / name).write_bytes(b"\x00\x05\x16\x07")
    (folder / "train_set" / "images" / "Thumbs.db").touch()
    found = quietly(folder)
    assert found.sha256 == expected.sha256 and left_out(found) == left_out(expected)
    (folder / ".git" / "anger").mkdir(parents=True)
    for name in ("contempt", "disgust", "fear"):
        (folder / ".git" / name).mkdir()
    assert not affectnet_files.is_alphabetical(folder)
    assert affectnet_files.locate(folder).layout == affectnet_files.NEWER


@pytest.mark.parametrize("layout", ["older", "newer"])
def test_names_that_are_no_utf_8_are_read_and_kept(tree, layout):
    folder = tree(layout)
    before = quietly(folder)
    if layout == "newer":
        (folder / "train_set" / "images" / "1.jpg").rename(
            folder / "train_set" / "images" / os.fsdecode(b"caf\xe9.jpg")
        )
        annotation = folder / "train_set" / "annotations" / "1_exp.npy"
        annotation.rename(annotation.with_name(os.fsdecode(b"caf\xe9_exp.npy")))
        (folder / "train_set" / "images" / os.fsdecode(b"\xff.jpg")).touch()  # not annotated
    else:
        images = folder / "Manually_Annotated" / "Manually_Annotated_Images"
        name = training_csv(folder).read_text().splitlines()[1].split(",")[0]
        (images / name).rename(images / os.fsdecode(b"caf\xe9.jpg"))
        content = training_csv(folder).read_bytes()
        content = content.replace(name.encode(), b"caf\xe9.jpg") + b"\xff.jpg,1,2,30,30,,1,0,0\n"
        training_csv(folder).write_bytes(content)
    renamed = folder.rename(folder.with_name(os.fsdecode(b"AffectNet \xe9")))
    with pytest.warns(UserWarning, match="pictures are left out"):
        faces = affectnet.load(renamed)
    assert len(faces) == len(before) and faces.source["left_out"] == before.source["left_out"] + 1
    assert quietly(renamed).sha256 == faces.sha256
    json.dumps(faces.source)
    listed = (paths.CACHE / faces.source["kept"] / "pictures.csv").read_bytes()
    assert (
        b"caf\xe9.jpg" in listed and b"\xff.jpg" in (paths.CACHE / faces.source["kept"] / "left_out.csv").read_bytes()
    )


def test_a_name_that_no_file_can_have_is_left_out(tree):
    folder = tree("older")
    with training_csv(folder).open("a") as file:
        file.write(f"a\0b.jpg,1,2,30,30,,1,0,0\n{'x' * 300}.jpg,1,2,30,30,,1,0,0\n")
    faces = quietly(folder)
    assert faces.source["left_out"] == 6
    assert {"no such file", "cannot be read: File name too long"} <= set(left_out(faces).values())
    monkey = quietly(folder)
    assert monkey.sha256 == faces.sha256


def test_pictures_that_are_mostly_absent_are_an_error_not_a_small_data_set(tree):
    folder = tree("newer")
    shutil.rmtree(folder / "train_set" / "images")
    with pytest.raises(ValueError, match="pictures unusable .*no such file.*unpack all of AffectNet there"):
        affectnet.load(folder)
    assert not list(paths.CACHE.glob("affectnet-*partial"))


@pytest.mark.parametrize("wrong", [{"classes": 6}, {"tests": "mine"}, {"side": 4}])
def test_other_choices_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="expected 7 or 8, carved or official, 8 to 4096"):
        affectnet.load(tmp_path, **wrong)


def test_it_is_found_by_the_variable_or_in_data(tmp_path, monkeypatch):
    assert affectnet.find() is None
    with pytest.raises(FileNotFoundError, match="AffectNet is not here: its licence is granted .*AFFECTNET="):
        load_faces("affectnet")
    (paths.DATA / "affectnet").mkdir(parents=True)
    assert affectnet.find() == paths.DATA / "affectnet"
    monkeypatch.setenv("AFFECTNET", str(tmp_path))
    assert affectnet.find() == tmp_path
    monkeypatch.setenv("AFFECTNET", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="AFFECTNET=.*nowhere: found no such file or folder"):
        affectnet.find()
    (tmp_path / "AffectNet.zip").touch()
    monkeypatch.setenv("AFFECTNET", str(tmp_path / "AffectNet.zip"))
    with pytest.raises(FileNotFoundError, match=r"AFFECTNET=.*AffectNet\.zip: found a file, expected AffectNet;"):
        affectnet.find()
    monkeypatch.setenv("AFFECTNET", "")
    (paths.DATA / "affectnet").rmdir()
    (paths.DATA / "affectnet").symlink_to("elsewhere")
    with pytest.raises(FileNotFoundError, match="affectnet: found a link to elsewhere, which is not there, expected"):
        affectnet.find()


# ---- the carving


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=20))
def test_a_part_depends_on_the_name_alone(name):
    assert affectnet.carved(f"a/b/{name}.jpg") == affectnet.carved(f"{name}.jpg")


def test_a_tenth_of_training_is_each_test_set():
    parts = np.bincount([affectnet.carved(f"{number}.jpg") for number in range(20_000)])
    assert abs(parts[1] - 2000) < 150 and abs(parts[2] - 2000) < 150
    assert [affectnet.carved(f"{number}.jpg") for number in range(20)].count(0) > 10


# ---- the cache


def test_faces_are_cut_out_once(tree, monkeypatch):
    folder = tree("older")
    faces = quietly(folder)
    monkeypatch.setattr(affectnet_files, "read", lambda folder: pytest.fail("read again"))
    assert quietly(folder).sha256 == faces.sha256
    monkeypatch.undo()


def test_the_same_data_elsewhere_is_not_cut_out_again(tree, tmp_path, monkeypatch):
    folder = tree("older")
    monkeypatch.setattr(paths, "CACHE", tmp_path / "own")
    faces = quietly(folder)
    folder.rename(tmp_path / "moved")
    monkeypatch.setattr(affectnet, "face", lambda *_: pytest.fail("cut out again"))
    assert quietly(tmp_path / "moved").sha256 == faces.sha256
    assert len(list(paths.CACHE.glob("affectnet-*/"))) == 1


def test_a_picture_that_was_mended_is_taken_in(tree):
    folder = tree("newer")
    before = quietly(folder)
    gone = folder / "train_set" / "images" / "69.jpg"
    missing = [path for path in (gone.with_name(f"{n}.jpg") for n in range(75)) if not path.exists()]
    shutil.copy(folder / "train_set" / "images" / "1.jpg", missing[0])
    after = quietly(folder)
    assert len(after) == len(before) + 1 and after.source["left_out"] == before.source["left_out"] - 1


def test_a_damaged_cache_is_made_again(tree):
    folder = tree("newer")
    faces = quietly(folder)
    kept = paths.CACHE / faces.source["kept"]
    (kept / "labels.npy").write_bytes(b"")
    assert quietly(folder).sha256 == faces.sha256


def test_a_cache_that_cannot_be_written_says_where(tree, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(paths, "CACHE", tmp_path / "file" / "cache")
    with pytest.raises(OSError, match="cannot keep the faces .*FER_CACHE"):
        affectnet.load(tree("newer"))


def refuse_writing(monkeypatch):
    """As on a read-only disk."""

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "somewhere")

    for name in ("mkdir", "replace", "rename", "rmdir", "unlink"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(writing, "replace_text", refuse)
    monkeypatch.setattr(system, "locked", refuse)


@pytest.mark.parametrize("layout", ["older", "newer"])
def test_a_read_only_cache_that_holds_the_faces_serves(tree, tmp_path, monkeypatch, layout):
    folder = tree(layout)
    faces = quietly(folder)
    moved = folder.rename(tmp_path / "moved")
    refuse_writing(monkeypatch)
    for _ in range(2):
        again = quietly(moved)  # another stamp, which cannot be kept
        assert again.sha256 == faces.sha256 and again.source["file"] == "moved"
    with pytest.raises(OSError, match=r"cannot keep the faces \(.*Permission denied.*\); set FER_CACHE"):
        affectnet.load(moved, side=64)


@settings(deadline=None, max_examples=20)
@given(done=st.integers(0, 20), torn=st.booleans(), surplus=st.integers(0, 4000))
def test_going_on_after_any_block_gives_the_same_faces(trees, tmp_path_factory, done, torn, surplus):
    """What a kill leaves: some blocks logged, the next one written in part, the last line of the log perhaps torn."""
    folder = tmp_path_factory.mktemp("resume")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(affectnet, "_BLOCK_ROWS", 4)
        patch.setattr(paths, "CACHE", folder / "whole")
        whole = quietly(trees / "older")
        patch.setattr(paths, "CACHE", folder / "broken")
        cut, real = [], os.fsync

        def killed(descriptor):
            cut.append(descriptor)
            if len(cut) > done:
                raise KeyboardInterrupt
            real(descriptor)

        patch.setattr(os, "fsync", killed)
        try:
            quietly(trees / "older")
        except KeyboardInterrupt:
            (partial,) = paths.CACHE.glob("*.partial")
            with open(partial / "images.npy", "ab") as file:
                file.write(b"x" * surplus)
            if torn:
                with open(partial / "blocks.jsonl", "a") as file:
                    file.write('{"start": ')
        patch.setattr(os, "fsync", real)
        again = quietly(trees / "older")
    assert again.sha256 == whole.sha256
    assert again.source["left_out"] == whole.source["left_out"]
    np.testing.assert_array_equal(again.images, whole.images)


@pytest.mark.parametrize("line", ["", "7", "{}", "[]", '{"start": 8, "rows": 4, "bad": 3}', "\x00"])
def test_a_damaged_line_of_the_log_ends_what_is_done(tmp_path, line):
    good = ['{"start": 0, "rows": 4, "bad": {"1": "no such file"}}', '{"start": 4, "rows": 4, "bad": {}}']
    (tmp_path / "blocks.jsonl").write_text("\n".join([*good, line, *good]))
    for _ in range(2):
        assert affectnet._log(tmp_path / "blocks.jsonl", 4) == (2, {1: "no such file"})


def test_killed_in_the_middle_it_goes_on_and_loses_nothing(tmp_path):
    """A process of its own, ended by SIGKILL once blocks are logged."""
    drawn_affectnet.write(tmp_path / "tree", "newer", 210, 70, traps=("corrupted",))
    program = (
        "import time, warnings; warnings.simplefilter('ignore')\n"
        "from fer_lib.data import affectnet\n"
        "affectnet._BLOCK_ROWS, real = 8, affectnet.face\n"
        "affectnet.face = lambda *a: (time.sleep({}), real(*a))[1]\n"
        "faces = affectnet.load({!r}); print(len(faces), faces.sha256)\n"
    )

    def start(cache, pause):
        environment = os.environ | {"FER_CACHE": str(cache), "PYTHONPATH": str(paths.ROOT)}
        command = [sys.executable, "-c", program.format(pause, str(tmp_path / "tree"))]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    whole = start(tmp_path / "whole", 0).communicate()[0]
    killed = start(tmp_path / "broken", 0.02)
    logged = []
    while len(logged) < 5:
        assert killed.poll() is None, "ended before it could be killed"
        time.sleep(0.02)
        logged = [line for path in (tmp_path / "broken").glob("*/blocks.jsonl") for line in path.read_text().split()]
    killed.kill()
    killed.communicate()
    (partial,) = (tmp_path / "broken").glob("*.partial")
    done = len((partial / "blocks.jsonl").read_text().splitlines())
    assert 0 < done < 27 and json.loads((partial / "blocks.jsonl").read_text().splitlines()[0])["start"] == 0
    assert start(tmp_path / "broken", 0).communicate()[0] == whole and whole.split()[0] == "210"
    assert not list((tmp_path / "broken").glob("*.partial"))


# ---- drawn in its place


@pytest.mark.parametrize("name", ["drawn_affectnet", "drawn_affectnet_official"])
def test_the_drawn_stand_ins_are_loaded_by_name_and_say_what_they_are(name, monkeypatch):
    real = drawn_affectnet.write
    monkeypatch.setattr(drawn_affectnet, "write", lambda folder, layout, *_: real(folder, layout, 70, 14))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        faces = load_faces(name)
    assert faces.name == name and "Made from drawn faces" in banner(faces)
    assert faces.source["left_out"] == {"drawn_affectnet": 4, "drawn_affectnet_official": 3}[name]
    monkeypatch.setattr(drawn_affectnet, "write", lambda *_: pytest.fail("written again"))
    assert load_faces(name).sha256 == faces.sha256
    json.dumps(faces.source)


def test_drawn_pictures_that_cannot_be_kept_say_where(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(paths, "CACHE", tmp_path / "file" / "cache")
    with pytest.raises(OSError, match="cannot keep the drawn pictures .*; set FER_CACHE elsewhere"):
        load_faces("drawn_affectnet")


def test_a_drawn_picture_depends_on_its_number_alone(tmp_path):
    drawn_affectnet.write(tmp_path / "few", "newer", 3, 1, traps=())
    drawn_affectnet.write(tmp_path / "many", "newer", 9, 2, traps=())
    for name in ("train_set/images/2.jpg", "val_set/images/0.jpg"):
        assert (tmp_path / "few" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()
    picture = cv2.imread(str(tmp_path / "few" / "train_set/images/2.jpg")).astype(float)
    assert picture.shape == (224, 224, 3) and np.abs(picture[..., 0] - picture[..., 2]).mean() > 5  # it has colour


def test_unknown_layouts_and_traps_are_refused(tmp_path):
    for layout, traps in (("oldest", ()), ("older", ("fire",))):
        with pytest.raises(ValueError, match="expected older or newer, and traps of no header"):
            drawn_affectnet.write(tmp_path, layout, 1, 1, traps=traps)
