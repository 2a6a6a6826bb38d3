"""The FER2013 loader: every form of file, the cache, every bad input, and the official file where it is at hand."""

import gzip
import hashlib
import json
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer_lib import paths
from fer_lib.datasets import SPLITS, array_hash, fer2013

HEADER = "emotion,pixels,Usage"
PIXELS = " ".join(["7"] * 2304)
GOOD = f"0,{PIXELS},Training"


def made_up(seed=0, rows=5):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (rows, 48, 48), dtype=np.uint8)
    return images, rng.integers(0, 7, rows, dtype=np.uint8), rng.integers(0, 3, rows, dtype=np.uint8)


def csv_text(images, labels, split, end="\n"):
    rows = (f"{e},{' '.join(map(str, i.ravel()))},{SPLITS[s]}" for i, e, s in zip(images, labels, split, strict=True))
    return end.join([HEADER, *rows, ""])


def write(path: Path, text: str) -> Path:
    """A CSV at path, packed as the path's ending says."""
    content = text.encode()
    if path.suffix == ".gz":
        content = gzip.compress(content)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("fer2013.csv", content)
            archive.writestr("__MACOSX/._fer2013.csv", b"a shadow file")
    else:
        path.write_bytes(content)
    return path


def write_npz(path: Path, images, labels, split) -> Path:
    np.savez(path, pixels=images, emotion=labels, usage=split)
    return path


def load(path=None):
    """Load data that is not the official one, without its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fer2013.load(path)


def assert_holds(faces, images, labels, split):
    np.testing.assert_array_equal(faces.images, images)
    np.testing.assert_array_equal(faces.labels, labels)
    np.testing.assert_array_equal(faces.split, split)
    assert [a.dtype for a in (faces.images, faces.labels, faces.split)] == [np.uint8] * 3
    assert faces.ids.dtype == np.int32 and faces.ids.tolist() == list(range(len(labels)))


def never(*_):
    raise AssertionError("the file was read again")


# ---- what comes in comes out


@pytest.mark.parametrize("name", ["fer2013.csv", "faces.CSV", "fer2013.csv.gz", "fer2013.csv.zip", "fer2013.zip"])
def test_every_form_of_csv(tmp_path, name):
    arrays = made_up()
    text = csv_text(*arrays)
    faces = load(write(tmp_path / name, text))
    assert_holds(faces, *arrays)
    assert faces.name == "fer2013" and faces.sha256 == array_hash(*arrays)
    md5 = hashlib.md5(text.encode()).hexdigest()
    assert faces.source == {"file": name, "md5": md5, "official": False, "official_md5": None}


def test_npz(tmp_path):
    arrays = made_up()
    path = write_npz(tmp_path / "fer2013.npz", *arrays)
    faces = load(path)
    assert_holds(faces, *arrays)
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    assert faces.source == {
        "file": "fer2013.npz", "md5": md5, "official": False, "official_md5": None, "file_md5": md5
    }  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(1, 2 * fer2013._BLOCK + 1),
    seed=st.integers(0, 2**32 - 1),
    digits=st.sampled_from([(0, 10), (10, 100), (100, 256), (0, 256), (255, 256)]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_faces_survive_the_csv(tmp_path, rows, seed, digits, end):
    images, labels, split = made_up(seed, rows)
    images = np.random.default_rng(seed).integers(*digits, images.shape).astype(np.uint8)
    assert_holds(load(write(tmp_path / "fer2013.csv", csv_text(images, labels, split, end))), images, labels, split)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_unusual_but_legal_writing(tmp_path, data):
    """Quotes, blanks, other whitespace, leading zeros, a byte order mark, blank lines, columns moved and added."""
    images, labels, split = made_up(data.draw(st.integers(0, 999)), 2)
    blank = data.draw(st.sampled_from([" ", "  ", "\t", " \t"]))
    form = data.draw(st.sampled_from(["{}", "{:03d}", "{:02d}"]))
    columns = data.draw(st.permutations(["emotion", " pixels", " Usage", "note"]))
    lines = [",".join(columns)]
    for image, label, part in zip(images, labels, split, strict=True):
        pixels = blank.join(map(form.format, image.ravel()))
        cell = {"emotion": f" {label}", " pixels": f'" {pixels} "', " Usage": SPLITS[part] + " ", "note": '"a, b"'}
        lines += [",".join(cell[column] for column in columns), ""]
    mark = data.draw(st.sampled_from(["", "\ufeff"]))
    assert_holds(load(write(tmp_path / "fer2013.csv", mark + "\n".join(lines))), images, labels, split)


def test_images_are_mapped_and_read_only(tmp_path):
    faces = load(write(tmp_path / "fer2013.csv", csv_text(*made_up())))
    assert isinstance(faces.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        faces.images[0] = 0


# ---- what is not official says so


def test_other_number_of_rows_is_flagged(tmp_path):
    path = write(tmp_path / "fer2013.csv", csv_text(*made_up()))
    for _ in range(2):  # parsed, and from the cache
        with pytest.warns(UserWarning, match=r"fer2013\.csv is not the official .* found 5 rows, expected 35,887"):
            assert not fer2013.load(path).source["official"]


def full_size():
    counts = np.array(list(fer2013.OFFICIAL_COUNTS.values()))
    split, labels = np.divmod(np.repeat(np.arange(21), counts.ravel()).astype(np.uint8), np.uint8(7))
    return np.zeros((len(labels), 48, 48), np.uint8), labels, split


def test_official_counts_with_other_pixels_are_flagged(tmp_path):
    path = write_npz(tmp_path / "fer2013.npz", *full_size())
    with pytest.warns(UserWarning, match="as many rows in each emotion and part, but other pixels, labels or order"):
        assert fer2013.load(path).source["official_md5"] is None


def test_other_counts_are_named(tmp_path):
    images, labels, split = full_size()
    labels[0] = 6
    path = write_npz(tmp_path / "fer2013.npz", images, labels, split)
    expected = r"found Training angry 3994 \(expected 3995\), Training neutral 4966 \(expected 4965\)$"
    with pytest.warns(UserWarning, match=expected):
        fer2013.load(path)


# ---- which file


def test_nothing_there_says_how_to_bring_it():
    assert fer2013.find() is None
    with pytest.raises(FileNotFoundError, match=r"FER2013=PATH.*data.fer2013\.csv"):
        fer2013.load()


@pytest.mark.parametrize("name", fer2013.NAMES)
def test_data_folder_and_named_folder(tmp_path, monkeypatch, name):
    for folder in (paths.DATA, tmp_path / "elsewhere"):
        folder.mkdir()
        (folder / "other.csv").touch()
        (folder / name).touch()
    assert fer2013.find() == paths.DATA / name
    monkeypatch.setenv("FER2013", str(tmp_path / "elsewhere"))
    assert fer2013.find() == tmp_path / "elsewhere" / name
    monkeypatch.setenv("FER2013", "")
    assert fer2013.find() == paths.DATA / name


def test_named_file_of_any_name(tmp_path, monkeypatch):
    arrays = made_up()
    path = write(tmp_path / "mine.csv", csv_text(*arrays))
    monkeypatch.setenv("FER2013", str(path))
    assert fer2013.find() == path
    assert_holds(load(), *arrays)
    assert_holds(load(str(path)), *arrays)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FER2013", "~/mine.csv")
    assert fer2013.find() == path


def test_named_but_not_there_never_falls_back(tmp_path, monkeypatch):
    paths.DATA.mkdir()
    write(paths.DATA / "fer2013.csv", csv_text(*made_up()))
    monkeypatch.setenv("FER2013", str(tmp_path / "nowhere.csv"))
    with pytest.raises(FileNotFoundError, match=r"FER2013=.*nowhere\.csv: found no such file"):
        fer2013.find()
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("FER2013", str(tmp_path / "empty"))
    with pytest.raises(FileNotFoundError, match="found a folder with none of fer2013.csv"):
        fer2013.load()
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz: found no such file"):
        fer2013.load(tmp_path / "nowhere.npz")


# ---- the cache


def test_second_load_neither_parses_nor_hashes(tmp_path, monkeypatch):
    arrays = made_up()
    path = write(tmp_path / "fer2013.csv", csv_text(*arrays))
    first = load(path)
    monkeypatch.setattr(fer2013, "_parse", never)
    monkeypatch.setattr(fer2013, "_content_md5", never)
    again = load(path)
    assert_holds(again, *arrays)
    assert (again.sha256, again.source) == (first.sha256, first.source)


def test_packed_copy_shares_the_cache(tmp_path, monkeypatch):
    arrays = made_up()
    load(write(tmp_path / "fer2013.csv", csv_text(*arrays)))
    monkeypatch.setattr(fer2013, "_parse", never)
    assert_holds(load(write(tmp_path / "fer2013.csv.gz", csv_text(*arrays))), *arrays)


def test_new_content_at_the_same_path(tmp_path):
    path = tmp_path / "fer2013.csv"
    load(write(path, csv_text(*made_up())))
    labels = made_up()[1].copy()
    labels[3] = (labels[3] + 1) % 7  # a file of the same size
    other = (made_up()[0], labels, made_up()[2])
    assert_holds(load(write(path, csv_text(*other))), *other)
    assert len(json.loads((paths.CACHE / "fer2013-index.json").read_text())) == 1
    assert_holds(load(path), *other)


def damage_lost(folder):
    (folder / "labels.npy").unlink()


def damage_cut(folder):
    content = (folder / "images.npy").read_bytes()
    (folder / "images.npy").write_bytes(content[:-1])


def damage_emptied(folder):
    (folder / "images.npy").write_bytes(b"")


def damage_type(folder):
    np.save(folder / "split.npy", np.load(folder / "split.npy").astype(np.int64))


def damage_shape(folder):
    np.save(folder / "images.npy", np.load(folder / "images.npy")[:-1])


def damage_about(folder):
    (folder / "about.json").write_text('{"rows": 5')


def damage_other_content(folder):
    about = json.loads((folder / "about.json").read_text())
    (folder / "about.json").write_text(json.dumps(about | {"md5": "0" * 32}))


@pytest.mark.parametrize(
    "damage",
    [damage_lost, damage_cut, damage_emptied, damage_type, damage_shape, damage_about, damage_other_content],
)
def test_damaged_cache_is_built_again(tmp_path, damage, monkeypatch):
    arrays = made_up()
    path = write(tmp_path / "fer2013.csv", csv_text(*arrays))
    load(path)
    (folder,) = (entry for entry in paths.CACHE.iterdir() if entry.is_dir())
    damage(folder)
    assert_holds(load(path), *arrays)
    monkeypatch.setattr(fer2013, "_parse", never)
    assert_holds(load(path), *arrays)


@pytest.mark.parametrize("text", ["", "[]", '{"cut', "7"])
def test_damaged_index_only_costs_time(tmp_path, text):
    arrays = made_up()
    path = write(tmp_path / "fer2013.csv", csv_text(*arrays))
    load(path)
    (paths.CACHE / "fer2013-index.json").write_text(text)
    assert_holds(load(path), *arrays)


def test_two_at_once(tmp_path, monkeypatch):
    """Another process finishes the same cache while this one parses: its cache is taken, nothing is left behind."""
    arrays = made_up()
    path = write(tmp_path / "fer2013.csv", csv_text(*arrays))
    parse = fer2013._parse

    def parse_while_another_does(path):
        monkeypatch.setattr(fer2013, "_parse", parse)
        load(path)
        return parse(path)

    monkeypatch.setattr(fer2013, "_parse", parse_while_another_does)
    assert_holds(load(path), *arrays)
    assert sorted(re.sub("-[0-9a-f]{12}$", "", entry.name) for entry in paths.CACHE.iterdir()) == [
        "fer2013",
        "fer2013-index.json",
    ]


def test_file_that_changes_while_it_is_read(tmp_path, monkeypatch):
    path = write(tmp_path / "fer2013.csv", csv_text(*made_up()))
    parse = fer2013._parse

    def parse_and_grow(path):
        arrays = parse(path)
        with path.open("a") as file:
            file.write(GOOD + "\n")
        return arrays

    monkeypatch.setattr(fer2013, "_parse", parse_and_grow)
    with pytest.raises(ValueError, match="changed while it was read"):
        load(path)
    assert_nothing_cached()


def test_cache_that_cannot_be_written(tmp_path):
    paths.CACHE.write_text("a file where the folder should be")
    with pytest.raises(OSError, match="cannot keep the parsed data .* set FER_CACHE"):
        load(write(tmp_path / "fer2013.csv", csv_text(*made_up())))


# ---- bad input: one error, naming file, row, what was found and what was expected; and no half cache


def assert_nothing_cached():
    assert not paths.CACHE.exists() or list(paths.CACHE.iterdir()) == []


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


@pytest.mark.parametrize("name", ["fer2013.csv", "fer2013.zip"])
@pytest.mark.parametrize("row, message", BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_row(tmp_path, name, row, message):
    path = write(tmp_path / name, "\n".join([HEADER, GOOD, GOOD, row, GOOD]))
    with pytest.raises(ValueError, match=re.escape(f"{path}, ") + WHERE + message) as error:
        load(path)
    assert "; " in str(error.value)  # the next step
    assert_nothing_cached()


def test_missing_and_surplus_pixels_do_not_cancel_out(tmp_path):
    path = write(tmp_path / "fer2013.csv", "\n".join([HEADER, f"0,{pixels(count=2303)},Training",
                                                      f"0,{pixels(count=2305)},Training"]))  # fmt: skip
    with pytest.raises(ValueError, match=r"line 2 \(data row 0.*found 2,303 pixels"):
        load(path)


BAD_TEXTS = {
    "empty": ("", "found an empty file, expected the columns emotion, pixels, Usage"),
    "header only": (HEADER + "\n", "found a header and no rows"),
    "no header": (GOOD, "line 1: found the columns '0,7 7 7 .*expected emotion, pixels and Usage"),
    "column missing": (f"emotion,pixels\n0,{PIXELS}", "line 1: found the columns 'emotion,pixels', expected"),
    "column twice": (f"emotion,pixels,Usage,usage\n{GOOD},Training", "line 1: .*once each"),
    "open quote": (f'{HEADER}\n{GOOD}\n0,"{PIXELS}' + f"\n{GOOD}" * 40, r"line \d+: found no CSV \("),
    "not a text": ("\x00\x01\x02\x00" * 50, "line 1: found the columns"),
}


@pytest.mark.parametrize("text, message", BAD_TEXTS.values(), ids=BAD_TEXTS)
@pytest.mark.parametrize("name", ["fer2013.csv", "fer2013.csv.gz"])
def test_bad_csv(tmp_path, name, text, message):
    path = write(tmp_path / name, text)
    with pytest.raises(ValueError, match=re.escape(str(path)) + ".*" + message):
        load(path)
    assert_nothing_cached()


@pytest.mark.parametrize("name", ["fer2013.csv.gz", "fer2013.zip"])
@pytest.mark.parametrize("break_it", [
    lambda content: content[: len(content) // 2],
    lambda content: content[:-1] if content[:2] == b"\x1f\x8b" else content[:-30],
    lambda content: content[:200] + bytes(50) + content[250:],
    lambda content: b"",
    lambda content: b"emotion,pixels,Usage\n",
], ids=["half", "end cut off", "overwritten", "empty", "not packed"])  # fmt: skip
def test_broken_archive(tmp_path, name, break_it):
    path = write(tmp_path / name, csv_text(*made_up()))
    path.write_bytes(break_it(path.read_bytes()))
    with pytest.raises(ValueError, match=re.escape(str(path)) + ": found (a broken archive|an empty file)"):
        load(path)
    assert_nothing_cached()


@pytest.mark.parametrize("names, found", [
    ([], r"0 CSV files inside \(none\)"),
    (["readme.txt"], r"0 CSV files inside \(none\)"),
    (["train.csv", "test.csv"], r"2 CSV files inside \(train.csv, test.csv\)"),
])  # fmt: skip
def test_zip_without_one_csv(tmp_path, names, found):
    path = tmp_path / "fer2013.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, csv_text(*made_up()))
    with pytest.raises(ValueError, match=rf"fer2013\.zip: found {found}, expected one, fer2013\.csv; unpack it"):
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


@pytest.mark.parametrize("break_it", [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: HEADER.encode()])
def test_broken_npz(tmp_path, break_it):
    path = write_npz(tmp_path / "fer2013.npz", IMAGES, LABELS, SPLIT)
    path.write_bytes(break_it(path.read_bytes()))
    with pytest.raises(ValueError, match=re.escape(f"{path}: found no such .npz")):
        load(path)


def test_one_array_instead_of_an_npz(tmp_path):
    path = tmp_path / "fer2013.npz"
    with path.open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(ValueError, match=re.escape(f"{path}: found no such .npz")):
        load(path)


@pytest.mark.parametrize("key, value, expected", [("emotion", 7, "0 to 6"), ("usage", 3, "0 to 2")])
def test_npz_with_an_unknown_code(tmp_path, key, value, expected):
    arrays = {"pixels": IMAGES, "emotion": LABELS.copy(), "usage": SPLIT.copy()}
    arrays[key][3] = value
    np.savez(tmp_path / "fer2013.npz", **arrays)
    with pytest.raises(ValueError, match=rf"npz, row 3 \(counted from 0\): found {key} {value}, expected {expected}"):
        load(tmp_path / "fer2013.npz")


# ---- the official file


@pytest.mark.slow
def test_official_file(fer2013_csv, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the official file has nothing to warn about
        faces = fer2013.load(fer2013_csv)
        packed = write_npz(tmp_path / "fer2013.npz", faces.images, faces.labels, faces.split)
        same = fer2013.load(packed)
    official = {"md5": fer2013.OFFICIAL_MD5, "official": True, "official_md5": fer2013.OFFICIAL_MD5}
    assert faces.source == {"file": fer2013_csv.name} | official
    file_md5 = hashlib.md5(packed.read_bytes()).hexdigest()
    assert same.source == {"file": "fer2013.npz", "file_md5": file_md5} | official
    assert faces.sha256 == same.sha256 == array_hash(faces.images, faces.labels, faces.split) == fer2013.OFFICIAL_SHA256
    assert_holds(same, faces.images, faces.labels, faces.split)
    assert [len(faces.rows(part)) for part in SPLITS] == [28709, 3589, 3589]
    for part in SPLITS:
        counts = np.bincount(faces.labels[faces.rows(part)], minlength=7)
        assert tuple(counts) == fer2013.OFFICIAL_COUNTS[part]
    assert faces.images[0].ravel()[:5].tolist() == [70, 80, 82, 72, 58]
    assert faces.images[-1].ravel()[-4:].tolist() == [146, 189, 199, 201]
