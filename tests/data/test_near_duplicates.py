"""Near-duplicates: planted ones are all found, at their shift; the definition holds; lists are read back."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_lib import paths
from fer_lib.data import Faces, audit, drawn_faces, near_duplicates
from fer_lib.data.near_duplicates import INNER, SHIFT


@pytest.fixture
def noise(tmp_path, monkeypatch):
    """Sixty pictures of noise, twenty of each part: by chance no two are alike."""
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (60, 48, 48), np.uint8)
    split = np.repeat(np.arange(3, dtype=np.uint8), 20)
    return Faces(images, np.zeros(60, np.uint8), split, np.arange(100, 160, dtype=np.int32), "drawn_faces", "5ca1ab1e")


def planted(faces: Faces, row: int, picture: np.ndarray) -> Faces:
    images = faces.images.copy()
    images[row] = picture
    return replace(faces, images=images)


@settings(max_examples=10, deadline=None)
@given(
    down=st.integers(-SHIFT, SHIFT), right=st.integers(-SHIFT, SHIFT), mirrored=st.booleans(), gain=st.floats(0.3, 0.95)
)
def test_a_moved_mirrored_paler_copy_is_found_where_it_lies(down, right, mirrored, gain):
    images = np.random.default_rng(1).integers(0, 256, (6, 48, 48), np.uint8)
    copy = images[1, :, ::-1] if mirrored else images[1]
    images[5] = np.round(gain * np.roll(copy, (down, right), (0, 1)))
    faces = Faces(
        images, np.zeros(6, np.uint8), np.array([0, 0, 0, 1, 2, 2], np.uint8), np.arange(6, dtype=np.int32), "", ""
    )
    (pair,) = near_duplicates.find(faces)
    assert tuple(pair)[:2] + tuple(pair)[3:] == (5, 1, mirrored, down, right)
    square = images[5, SHIFT + down :, SHIFT + right :][:INNER, :INNER]
    squares = square[:, ::-1] if mirrored else square, images[1, SHIFT:-SHIFT, SHIFT:-SHIFT]
    assert pair["correlation"] > 0.99
    assert pair["correlation"] == pytest.approx(np.corrcoef(*map(np.ravel, squares))[0, 1], abs=1e-5)


def test_only_pairs_of_a_test_row_and_an_earlier_part_count_and_equal_images_do_not(noise):
    faces = noise
    rng = np.random.default_rng(2)

    def nearly(k):
        return np.clip(faces.images[k] + rng.normal(0, 20, (48, 48)), 0, 255).astype(np.uint8)

    for row, picture in {
        3: nearly(2),  # both of Training
        25: nearly(5),  # PublicTest of Training
        45: nearly(6),  # PrivateTest of Training
        46: nearly(30),  # PrivateTest of PublicTest
        47: nearly(48),  # both of PrivateTest
        49: faces.images[7],  # equal
    }.items():
        faces = planted(faces, row, picture)
    found = near_duplicates.find(faces)
    assert [(pair["row"], pair["partner"]) for pair in found] == [(25, 5), (45, 6), (46, 30)]
    clean = near_duplicates.near_clean_rows(faces)
    assert np.flatnonzero(~clean).tolist() == [25, 45, 46, 49]
    assert np.flatnonzero(near_duplicates.leaking_rows(faces)).tolist() == [5, 6, 7]
    assert np.flatnonzero(audit.leaking_rows(faces)).tolist() == [7]
    assert np.flatnonzero(near_duplicates.nearest(faces)).tolist() == [25, 45, 46]


def test_the_summary_counts_rows_of_each_part(noise):
    faces = planted(planted(noise, 45, np.roll(noise.images[6], 2, axis=1)), 49, noise.images[7])
    faces = planted(faces, 25, np.roll(noise.images[6], 1, axis=0))
    lines = near_duplicates.summary(faces, near_duplicates.find(faces))
    counts = [tuple(line[key] for key in ("Training", "PublicTest", "PrivateTest", "all")) for line in lines]
    assert counts == [(None, 1, 1, 2), (None, 1, 1, 2), (None, 19, 18, 37)]  # row 49 is no near-duplicate, but leaked


def test_the_listed_rows_are_those_that_are_not_near_clean(fer2013_faces):
    near_clean, tests = near_duplicates.near_clean_rows(fer2013_faces), fer2013_faces.split > 0
    assert set(fer2013_faces.ids[~near_clean & tests].tolist()) == near_duplicates.listed_ids()
    assert (near_clean & (fer2013_faces.split == 2)).sum() == 2755


def test_no_pair_is_missed_by_the_first_look(monkeypatch):
    faces = drawn_faces.load(140, 28, 28)
    found = near_duplicates.find(faces, at_least=0.8)
    assert len(found) > 20
    monkeypatch.setattr(near_duplicates, "COMPONENTS", 1)
    np.testing.assert_array_equal(near_duplicates.find(faces, at_least=0.8), found)


def test_flat_images_are_like_nothing(noise):
    faces = planted(planted(noise, 0, np.uint8(7)), 40, np.uint8(9))
    assert len(near_duplicates.find(faces)) == 0


def test_what_was_found_is_kept_and_known_by_the_pictures_themselves(noise, monkeypatch):
    faces = planted(noise, 45, np.roll(noise.images[6], 2, axis=1))
    first = near_duplicates.load(faces)
    assert len(first) == 1 and len(near_duplicates.load(noise)) == 0  # the same name and hash, other pictures
    monkeypatch.setattr(near_duplicates, "find", None)
    kept = near_duplicates.load(faces)
    assert kept["correlation"] == pytest.approx(first["correlation"], abs=1e-4)
    np.testing.assert_array_equal(kept["right"], first["right"])


@pytest.mark.parametrize(
    "text",
    ["", "row,partner\n1,2\n", "{header}45,,,6,,,0.9,no,0\n", "{header}45,,,6,,,much,no,0,0\n",
     "{header}{far}", '{header}45,,,6,,,0.9,"no', "\x00\x01\x02"],
)  # fmt: skip
def test_a_damaged_cache_of_pairs_is_found_anew(noise, monkeypatch, text):
    faces, pairs = noise, np.zeros(1, near_duplicates.PAIR)
    pairs[0] = (45, 6, 0.95, False, 2, -1)
    monkeypatch.setattr(near_duplicates, "find", lambda faces: pairs)
    near_duplicates.load(faces)
    (kept,) = paths.CACHE.glob("near_duplicates-*.csv")
    whole = kept.read_text()
    kept.write_text(
        text.format(header=whole.splitlines(True)[0], far=whole.splitlines()[1].replace(",2,-1", ",300,-1"))
    )
    np.testing.assert_array_equal(near_duplicates.load(faces), pairs)
    assert kept.read_text() == whole


def test_a_damaged_list_of_the_audit_is_named(noise, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "near_duplicates.csv").write_text("row,partner,correlation,mirrored,down,right\n1,2\n")
    (tmp_path / "audit" / "leaked.csv").write_text("row,twin\nx,2\n")
    official = replace(noise, name="fer2013", source={"official": True})
    with pytest.raises(ValueError, match=r"near_duplicates.csv, line 2: found 2 fields, expected 6.*make audit"):
        near_duplicates.load(official)
    with pytest.raises(ValueError, match=r"near_duplicates.csv, line 2: found 2 fields, .*make it again: make audit"):
        near_duplicates.listed_ids()
    (tmp_path / "audit" / "near_duplicates.csv").write_text("row,correlation\n7,0.95\n8,0.86\n")
    with pytest.raises(ValueError, match=r"leaked.csv, line 2, row: found 'x', expected a whole number; make it again"):
        near_duplicates.listed_ids()
    (tmp_path / "audit" / "leaked.csv").write_text("row,twin\n9,2\n")
    assert near_duplicates.listed_ids() == {7, 9}


@pytest.mark.parametrize("there", [False, True])
def test_a_cache_that_cannot_be_written_only_costs_time(noise, monkeypatch, there):
    pairs = np.zeros(1, near_duplicates.PAIR)
    pairs[0] = (45, 6, 0.95, False, 2, -1)
    monkeypatch.setattr(near_duplicates, "find", lambda faces: pairs)
    if there:
        near_duplicates.load(noise)
        monkeypatch.setattr(near_duplicates, "find", None)
    else:
        (paths.CACHE / "file").touch()
        monkeypatch.setattr(paths, "CACHE", paths.CACHE / "file" / "cache")
    np.testing.assert_array_equal(near_duplicates.load(noise), pairs)


def test_faces_of_another_size_are_refused(noise):
    large = replace(noise, images=np.zeros((60, 64, 64), np.uint8))
    with pytest.raises(ValueError, match=r"images: found \(64, 64\), expected grey ones of 48 x 48 pixels"):
        near_duplicates.find(large)


@pytest.mark.slow
def test_the_committed_list_is_what_the_real_file_gives(fer2013_faces):
    tests = np.arange(len(fer2013_faces)) % 10 == 0  # a tenth of the test rows: all take minutes
    faces = fer2013_faces.select(np.flatnonzero((fer2013_faces.split == 0) | tests))
    listed, found = near_duplicates.load(faces), near_duplicates.find(faces)
    names = ["row", "partner"]
    assert len(listed) > 400
    np.testing.assert_array_equal(listed[names], found[names])
    np.testing.assert_allclose(listed["correlation"], found["correlation"], atol=1e-4)
