"""FER2013 as a whole: which file is taken, what it is called, what can run the experiments, and the cache."""

import hashlib
import json
import os
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_fer2013 import (
    GOOD,
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
)

from fer_lib import data, paths
from fer_lib.data import SPLITS, UNKNOWN, array_hash, drawn_faces, fer2013, fer2013_files
from fer_lib.files import writing
from fer_lib.runs import plan


def never(*_):
    raise AssertionError("the file was read again")


# ---- which file


def test_nothing_there_says_how_to_bring_it():
    assert fer2013.find() is None
    with pytest.raises(FileNotFoundError, match=r"fer2013\.csv or icml_face_data\.csv.*make data.*FER2013=PATH"):
        fer2013.load()


def put(folder, name):
    """An empty file, or the folders of pictures."""
    place = folder / name
    if name in (".", "fer2013"):
        (place / "train").mkdir(parents=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    return place


@pytest.mark.parametrize("name", fer2013.NAMES)
def test_data_folder_and_named_folder(tmp_path, monkeypatch, name):
    expected, other = (put(folder, name) for folder in (paths.DATA, tmp_path / "elsewhere"))
    (paths.DATA / "other.csv").touch()
    assert fer2013.find() == expected
    monkeypatch.setenv("FER2013", str(tmp_path / "elsewhere"))
    assert fer2013.find() == other
    monkeypatch.setenv("FER2013", "")
    assert fer2013.find() == expected


def test_the_whole_exact_data_is_preferred():
    """All of NAMES side by side; the one that is found is taken away, and so on: they go in the stated order."""
    left = [name for name in fer2013.NAMES if name != "fer2013/fer2013.csv"]  # beside pictures in that folder
    for name in left:
        put(paths.DATA, name)
    for name in left:
        found = fer2013.find()
        assert found == paths.DATA / name
        if found.is_dir():
            shutil.rmtree(found / "train")
        else:
            found.unlink()
    assert fer2013.find() is None
    order = [fer2013.NAMES.index(name) for name in ("fer2013.csv", "icml_face_data.csv", ".", "train.csv", "test.csv")]
    assert order[0] == 0 and order == sorted(order)


def test_a_folder_of_emotions_alone(tmp_path):
    faces = load(write_folder(tmp_path, picture_files(*in_parts(*made_up()))) / "train")
    assert faces.split.tolist() == [0] * len(faces)


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
    with pytest.raises(FileNotFoundError, match=r"found a folder with none of them, expected fer2013\.csv"):
        fer2013.load()
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz: found no such file"):
        fer2013.load(tmp_path / "nowhere.npz")


def test_what_is_there_but_no_file_is_named(tmp_path, monkeypatch):
    """A folder called fer2013.csv, as some programs unpack an archive; a link whose target is gone; other files."""
    folder = tmp_path / "fer2013.csv"
    folder.mkdir()
    (folder / "notes.txt").touch()
    (folder / "._notes.txt").touch()
    monkeypatch.setenv("FER2013", str(folder))
    with pytest.raises(FileNotFoundError, match=r"fer2013\.csv: found a folder with none of them but notes\.txt, exp"):
        fer2013.find()
    monkeypatch.setenv("FER2013", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r"found fer2013\.csv, which is a folder, expected fer2013\.csv or icml"
    ):
        fer2013.find()
    link = tmp_path / "link.csv"
    link.symlink_to("gone.csv")
    monkeypatch.setenv("FER2013", str(link))
    with pytest.raises(FileNotFoundError, match=r"link\.csv: found a link to gone\.csv, which is not there, expected"):
        fer2013.find()
    monkeypatch.setenv("FER2013", os.devnull)
    with pytest.raises(FileNotFoundError, match=f"{os.devnull}: found a pipe or device, expected"):
        fer2013.find()
    path = write(folder / "fer2013.csv", csv_text(*made_up()))
    monkeypatch.setenv("FER2013", str(folder))
    assert fer2013.find() == path


def test_what_is_no_file_in_data_is_not_passed_over(tmp_path):
    (tmp_path / "real").mkdir()
    paths.DATA.symlink_to(tmp_path / "real")  # may itself be a link, and hold one to any folder
    (tmp_path / "other").mkdir()
    (paths.DATA / "fer2013").symlink_to(tmp_path / "other")
    assert fer2013.find() is None
    (paths.DATA / "fer2013.npz").symlink_to("gone.npz")
    with pytest.raises(
        FileNotFoundError, match=r"found fer2013\.npz, which is a link to gone\.npz, which is not there"
    ):
        fer2013.find()
    path = write(paths.DATA / "train.csv", train_text(*made_up()))
    assert fer2013.find() == path


# ---- what is not official says so


def test_other_number_of_rows_is_flagged(tmp_path):
    path = write(tmp_path / "fer2013.csv", csv_text(*made_up(rows=40)))
    for _ in range(2):  # parsed, and from the cache
        with pytest.warns(UserWarning, match=r"fer2013\.csv is not the official .* found 40 rows, expected 35,887"):
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


def test_what_is_official_is_decided_by_the_arrays(tmp_path, monkeypatch):
    """Every exact form of the same faces gets the official MD5 and keeps its own beside it."""
    arrays = in_parts(*made_up(rows=30))
    monkeypatch.setattr(fer2013, "OFFICIAL_SHA256", array_hash(*arrays))
    written = {"icml_face_data.csv": icml_text, "again.csv": semicolon_text, "fer2013.csv.xz": csv_text}
    ways = [write(tmp_path / name, text(*arrays)) for name, text in written.items()]
    ways += [write_npz(tmp_path / "fer2013.npz", *arrays)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sources = [fer2013.load(path).source for path in ways]
    assert all(s["official"] and s["md5"] == s["official_md5"] == fer2013.OFFICIAL_MD5 for s in sources)
    own = hashlib.md5(icml_text(*arrays).encode()).hexdigest()
    assert sources[0] == {
        "file": "icml_face_data.csv", "form": "CSV", "md5": fer2013.OFFICIAL_MD5, "official": True,
        "official_md5": fer2013.OFFICIAL_MD5, "file_md5": own, "kaggle_file": None,
    }  # fmt: skip
    assert len({s["file_md5"] for s in sources}) == 4
    monkeypatch.setitem(fer2013.KAGGLE_FILES, own, "icml_face_data.csv")
    assert fer2013.load(ways[0]).source["kaggle_file"] == "icml_face_data.csv"


def test_the_banner_says_what_the_data_is(tmp_path, monkeypatch):
    arrays = in_parts(*made_up(rows=30))
    path = write_folder(tmp_path / "faces", picture_files(*arrays, ".jpg"))
    text = data.banner(load(path))
    assert text.endswith("; not the official data, read from JPEG pictures).")
    monkeypatch.setattr(fer2013, "OFFICIAL_SHA256", array_hash(*arrays))
    text = data.banner(fer2013.load(write(tmp_path / "mine.csv", csv_text(*arrays))))
    assert text.endswith(f"; mine.csv, MD5 {fer2013.OFFICIAL_MD5}).")


# ---- what can run the experiments


def test_train_csv_is_training_rows_and_cannot_run_the_experiments(tmp_path, monkeypatch):
    arrays = in_parts(*made_up(rows=30))
    path = write(tmp_path / "train.csv", train_text(*arrays))
    training = arrays[2] == 0
    message = (
        rf"train\.csv is not the official FER2013: {training.sum()} Training rows, but no PublicTest rows, no Priv"
    )
    with pytest.warns(UserWarning, match=message):
        assert_holds(fer2013.load(path), *(array[training] for array in arrays))
    monkeypatch.setenv("FER2013", str(path))
    refusal = rf"train\.csv: found {training.sum()} Training rows, but no PublicTest rows, no PrivateTest rows, "
    refusal += r"expected all three parts with labels.*take fer2013\.csv, icml_face_data\.csv or .*make data"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one message, not two
        with pytest.raises(ValueError, match=refusal):
            data.load_faces("fer2013")
        with pytest.raises(ValueError, match=refusal):  # `make reproduce` ends here, before any run
            plan.missing(plan.wanted("full", seeds=1))


def test_test_csv_has_no_labels_and_cannot_run_the_experiments(tmp_path, monkeypatch):
    arrays = in_parts(*made_up(rows=30))
    path = write(tmp_path / "test.csv", test_text(*arrays))
    images = arrays[0][arrays[2] > 0]
    unknown = np.full(len(images), UNKNOWN, np.uint8)
    message = rf"{len(images)} rows, but no Training rows, no PublicTest rows, no PrivateTest rows, no labels"
    with pytest.warns(UserWarning, match=message):
        assert_holds(fer2013.load(path), images, unknown, unknown)
    monkeypatch.setenv("FER2013", str(path))
    with pytest.raises(ValueError, match=rf"test\.csv: found {message}, expected all three parts with labels"):
        data.load_faces("fer2013")


def test_test_csv_of_kaggle_is_known_by_its_pixels(tmp_path, monkeypatch):
    """Which rows of fer2013.csv it holds is then known; the labels are not."""
    arrays = in_parts(*made_up(rows=30))
    counts = {part: (int(np.sum(arrays[2] == code)),) for code, part in enumerate(SPLITS)}
    test = arrays[2] > 0
    unknown = np.full(test.sum(), UNKNOWN, np.uint8)
    monkeypatch.setattr(fer2013, "OFFICIAL_COUNTS", counts)
    monkeypatch.setattr(fer2013, "TEST_SHA256", array_hash(arrays[0][test], unknown, unknown))
    faces = load(write(tmp_path / "test.csv", test_text(*arrays)))
    assert_holds(faces, arrays[0][test], unknown, arrays[2][test], np.flatnonzero(test))
    with pytest.raises(ValueError, match=r"test\.csv: found PublicTest rows without labels, expected labelled rows"):
        faces.rows("PublicTest")


def test_data_of_all_three_parts_with_labels_runs_the_experiments(tmp_path, monkeypatch):
    arrays = in_parts(*made_up(rows=30))
    monkeypatch.setenv("FER2013", str(write_folder(tmp_path / "faces", picture_files(*arrays))))
    with pytest.warns(UserWarning, match="found 30 rows, expected 35,887"):
        assert_holds(data.load_faces("fer2013"), *arrays)


# ---- the cache


def test_images_are_mapped_and_read_only(tmp_path):
    faces = load(write(tmp_path / "fer2013.csv", csv_text(*made_up())))
    assert isinstance(faces.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        faces.images[0] = 0


FORMS = {
    "fer2013.csv": lambda path, *arrays: write(path, csv_text(*arrays)),
    "fer2013.tar.gz": lambda path, *arrays: write(path, csv_text(*arrays)),
    "fer2013.npz": write_npz,
    "pictures": lambda path, *arrays: write_folder(path, picture_files(*arrays)),
}


@pytest.mark.parametrize("name", FORMS)
def test_second_load_reads_nothing(tmp_path, monkeypatch, name):
    arrays = in_parts(*made_up())
    path = FORMS[name](tmp_path / name, *arrays)
    first = load(path)
    monkeypatch.setattr(fer2013_files, "opened", never)
    again = load(path)
    assert_holds(again, *arrays)
    assert (again.sha256, again.source) == (first.sha256, first.source)


def test_packed_copy_shares_the_cache(tmp_path, monkeypatch):
    arrays = made_up()
    load(write(tmp_path / "fer2013.csv", csv_text(*arrays)))
    monkeypatch.setattr(fer2013_files, "arrays", never)
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


def test_the_index_forgets_files_that_are_gone(tmp_path):
    gone = write(tmp_path / "gone.csv", csv_text(*made_up(1)))
    load(gone)
    gone.unlink()
    load(write(tmp_path / "fer2013.csv", csv_text(*made_up(2))))
    (known,) = json.loads((paths.CACHE / "fer2013-index.json").read_text())
    assert known.startswith(str(tmp_path / "fer2013.csv"))


def change_content(folder, files):
    name = next(iter(files))
    (folder / name).write_bytes(list(files.values())[1])


def change_name(folder, files):
    name = next(iter(files))
    (folder / name).rename((folder / name).with_stem(name.split("/")[-1].split("_")[0] + "_1"))


def change_emotion(folder, files):
    name = next(iter(files))
    (folder / "train" / "neutral").mkdir(exist_ok=True)
    (folder / name).rename(folder / "train" / "neutral" / name.split("/")[-1])


def change_number(folder, files):
    (folder / next(iter(files))).unlink()


@pytest.mark.parametrize("change", [change_content, change_name, change_emotion, change_number])
def test_a_folder_in_which_a_picture_changed_is_another_content(tmp_path, change):
    images, labels, split = in_parts(*made_up(rows=20))
    labels[:] = 0
    files = picture_files(images, labels, split)
    folder = write_folder(tmp_path / "faces", files)
    before = load(folder)
    change(folder, files)
    after = load(folder)
    assert after.source["file_md5"] != before.source["file_md5"]
    assert (after.sha256 == before.sha256) == (change is change_name)  # the same first row by another number


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


def damage_older(folder):
    about = json.loads((folder / "about.json").read_text())
    del about["form"]  # as an earlier version wrote it
    (folder / "about.json").write_text(json.dumps(about))


@pytest.mark.parametrize(
    "damage",
    [damage_lost, damage_cut, damage_emptied, damage_type, damage_shape, damage_about, damage_other_content,
     damage_older],
)  # fmt: skip
def test_damaged_cache_is_built_again(tmp_path, damage, monkeypatch):
    arrays = made_up()
    path = write(tmp_path / "fer2013.csv", csv_text(*arrays))
    load(path)
    (folder,) = (entry for entry in paths.CACHE.iterdir() if entry.is_dir())
    damage(folder)
    assert_holds(load(path), *arrays)
    monkeypatch.setattr(fer2013_files, "opened", never)
    assert_holds(load(path), *arrays)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.data(), name=st.sampled_from(["images.npy", "labels.npy", "split.npy", "about.json"]))
def test_whatever_is_damaged_in_the_cache_s_description_is_seen(tmp_path, drawn, name):
    """Bytes of a header or of about.json: the arrays come as they were kept, or not at all."""
    folder, kept = tmp_path / "kept", made_up()
    shutil.rmtree(folder, ignore_errors=True)
    data.keep_arrays(folder, kept, {"form": "CSV"})
    content = bytearray((folder / name).read_bytes())
    end = 128 if name.endswith(".npy") else len(content)
    for _ in range(drawn.draw(st.integers(1, 3))):
        content[drawn.draw(st.integers(0, end - 1))] = drawn.draw(st.integers(0, 255))
    (folder / name).write_bytes(content)
    if found := data.kept_arrays(folder, "form", "sha256"):
        for one, other in zip(found[0], kept):
            assert one.dtype == np.uint8 and one.shape == other.shape


@pytest.mark.parametrize(
    ("key", "value"), [("rows", None), ("rows", 4), ("rows", "5"), ("sha256", None), ("form", None)], ids=str
)
def test_a_description_that_lacks_something_is_none(tmp_path, key, value):
    folder = tmp_path / "kept"
    data.keep_arrays(folder, made_up(), {"form": "CSV"})
    assert data.kept_arrays(folder, "form")
    about = json.loads((folder / "about.json").read_text()) | {key: value}
    if value is None:
        del about[key]
    (folder / "about.json").write_text(json.dumps(about))
    assert data.kept_arrays(folder, "form") is None


@pytest.mark.parametrize("content", [b"[]", b"7", b"\xff", b"[" * 100_000, b'{"rows": ' + b"9" * 5000 + b"}"])
def test_a_description_that_is_none_is_none(tmp_path, content):
    data.keep_arrays(tmp_path / "kept", made_up(), {})
    (tmp_path / "kept" / "about.json").write_bytes(content)
    assert data.kept_arrays(tmp_path / "kept") is None


def refuse(*_, **__):
    raise PermissionError(13, "Permission denied", "somewhere")


def test_a_read_only_cache_that_holds_the_data_serves(tmp_path, monkeypatch):
    arrays = made_up()
    path = write(tmp_path / "fer2013.csv", csv_text(*arrays))
    load(path)
    elsewhere = write(tmp_path / "again.csv", csv_text(*arrays))  # not in the index, which cannot be written
    monkeypatch.setattr(writing, "replace_text", refuse)
    monkeypatch.setattr(data, "keep_arrays", refuse)
    for each in (path, elsewhere, elsewhere):
        assert_holds(load(each), *arrays)
    monkeypatch.undo()
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    (paths.CACHE / "fer2013-index.json").unlink()
    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(os, "mkdir", refuse)
    assert_holds(load(path), *arrays)
    with pytest.raises(OSError, match="cannot keep the parsed data .*Permission denied.* set FER_CACHE"):
        load(write(tmp_path / "other.csv", csv_text(*made_up(7))))


def test_drawn_faces_need_no_cache_that_can_be_written(monkeypatch):
    faces = drawn_faces.load(14, 7, 7)
    monkeypatch.setattr(drawn_faces, "load", lambda: faces)
    paths.CACHE.write_text("a file where the folder should be")
    assert data.load_faces("drawn_faces").sha256 == faces.sha256


@pytest.mark.parametrize("name", FORMS)
def test_a_path_that_is_no_utf_8_is_read(tmp_path, monkeypatch, name):
    arrays = in_parts(*made_up())
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    path = FORMS[name](folder / name, *arrays)
    monkeypatch.setenv("FER2013", str(path))
    for _ in range(2):
        assert_holds(load(), *arrays)
    json.dumps(load(path.rename(folder / os.fsdecode(b"\xff" + os.fsencode(name)))).source)


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
    parse = fer2013_files.arrays

    def parse_while_another_does(content):
        monkeypatch.setattr(fer2013_files, "arrays", parse)
        load(path)
        return parse(content)

    monkeypatch.setattr(fer2013_files, "arrays", parse_while_another_does)
    assert_holds(load(path), *arrays)
    kept = [entry.name for entry in paths.CACHE.iterdir() if entry.suffix != ".lock"]
    assert sorted(re.sub("-[0-9a-f]{12}$", "", name) for name in kept) == ["fer2013", "fer2013-index.json"]


@pytest.mark.parametrize("name", ["fer2013.csv", "pictures"])
def test_file_that_changes_while_it_is_read(tmp_path, monkeypatch, name):
    path = FORMS[name](tmp_path / name, *in_parts(*made_up()))
    parse = fer2013_files.arrays

    def parse_and_grow(content):
        arrays = parse(content)
        if path.is_dir():
            next(path.glob("*/*/*.png")).touch()
        else:
            path.write_text(path.read_text() + GOOD + "\n")
        return arrays

    monkeypatch.setattr(fer2013_files, "arrays", parse_and_grow)
    with pytest.raises(ValueError, match="changed while it was read"):
        load(path)
    assert_nothing_cached()


def test_cache_that_cannot_be_written(tmp_path):
    paths.CACHE.write_text("a file where the folder should be")
    with pytest.raises(OSError, match="cannot keep the parsed data .* set FER_CACHE"):
        load(write(tmp_path / "fer2013.csv", csv_text(*made_up())))


# ---- the official files


@pytest.mark.slow
def test_official_files(official_files, tmp_path):
    """The tables of Kaggle, byte for byte, and other forms of the same: one data hash for all that hold all."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the official data has nothing to warn about
        faces = fer2013.load(official_files["fer2013.csv"])
        again = fer2013.load(official_files["icml_face_data.csv"])
        packed = fer2013.load(write_npz(tmp_path / "fer2013.npz", faces.images, faces.labels, faces.split))
        archive = tmp_path / "fer2013.tar.gz"
        with official_files["fer2013.csv"].open() as text:
            saved_again = text.read().replace(",", ";").replace("Usage", "usage", 1)
        archived = fer2013.load(write(archive, saved_again))
    assert [f.source["kaggle_file"] for f in (faces, again, packed, archived)] == [
        "fer2013.csv", "icml_face_data.csv", None, None,
    ]  # fmt: skip
    assert array_hash(faces.images, faces.labels, faces.split) == fer2013.OFFICIAL_SHA256
    for form in (faces, again, packed, archived):
        assert form.sha256 == fer2013.OFFICIAL_SHA256
        assert form.source["official"] and form.source["md5"] == fer2013.OFFICIAL_MD5
    assert_holds(packed, faces.images, faces.labels, faces.split)
    assert [len(faces.rows(part)) for part in SPLITS] == [28709, 3589, 3589]
    for part in SPLITS:
        counts = np.bincount(faces.labels[faces.rows(part)], minlength=7)
        assert tuple(counts) == fer2013.OFFICIAL_COUNTS[part]
    assert faces.images[0].ravel()[:5].tolist() == [70, 80, 82, 72, 58]
    assert faces.images[-1].ravel()[-4:].tolist() == [146, 189, 199, 201]

    train, test = load(official_files["train.csv"]), load(official_files["test.csv"])
    assert [f.source["kaggle_file"] for f in (train, test)] == ["train.csv", "test.csv"]
    training = faces.rows("Training")
    assert_holds(train, faces.images[training], faces.labels[training], faces.split[training], training)
    tests = faces.rows("PublicTest+PrivateTest")
    unknown = np.full(len(tests), UNKNOWN)
    assert_holds(test, faces.images[tests], unknown, faces.split[tests], tests)
    assert not train.source["official"] and not test.source["official"]


@pytest.mark.slow
def test_official_faces_as_jpeg_pictures(official_files, tmp_path):
    faces = fer2013.load(official_files["fer2013.csv"])
    folder = write_folder(tmp_path / "faces", picture_files(faces.images, faces.labels, faces.split, ".jpg"))
    with pytest.warns(UserWarning, match="as many rows in each emotion and part, but as JPEG pictures"):
        pictures = fer2013.load(folder)
    assert pictures.source["form"] == "JPEG pictures" and pictures.sha256 != faces.sha256
    np.testing.assert_array_equal(pictures.labels, faces.labels)
    np.testing.assert_array_equal(pictures.split, faces.split)
    away = pictures.images.astype(np.int16) - faces.images
    assert 0 < np.sqrt(np.mean(away**2)) < 4
    assert pictures.sha256 == array_hash(pictures.images, pictures.labels, pictures.split)
