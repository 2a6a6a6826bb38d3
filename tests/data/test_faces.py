"""What all data sets share: loading by name, rows of splits, the banner."""

import numpy as np
import pytest

from fer_lib import data, paths
from fer_lib.data import drawn_faces


def test_drawn_faces_are_drawn_once_and_drawn_again_where_the_cache_is_damaged(monkeypatch):
    drawn = data.load_faces("drawn_faces")
    (kept,) = paths.CACHE.glob("drawn*")
    monkeypatch.setattr(drawn_faces, "load", lambda: pytest.fail("drawn a second time"))
    again = data.load_faces("drawn_faces")
    assert again.sha256 == drawn.sha256
    assert again.source == drawn.source
    for name in ("images", "labels", "split", "ids"):
        one, other = getattr(drawn, name), getattr(again, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    (kept / "images.npy").write_bytes((kept / "images.npy").read_bytes()[:1000])
    monkeypatch.setattr(drawn_faces, "load", lambda: drawn)
    assert data.load_faces("drawn_faces") is drawn


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(monkeypatch, tmp_path, few_faces):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(paths, "CACHE", tmp_path / "file" / "cache")
    monkeypatch.setattr(drawn_faces, "load", lambda: few_faces)
    assert data.load_faces("drawn_faces") is few_faces


def test_an_unknown_data_set_is_refused_by_name():
    with pytest.raises(
        ValueError, match="data: found 'jaffe', expected one of drawn_faces, fer2013, ferplus, ferplus_dis"
    ):
        data.load_faces("jaffe")


def test_rows_of_splits(few_faces):
    assert len(few_faces.rows("Training")) == 42
    assert few_faces.rows("PublicTest+PrivateTest").tolist() == list(range(42, 70))
    with pytest.raises(ValueError, match="no split is called 'Test'; expected Training, PublicTest, PrivateTest"):
        few_faces.rows("Training+Test")


def test_selected_rows_that_follow_one_another_are_a_view(few_faces):
    for rows in (np.arange(10, 30), few_faces.rows("Training"), np.array([5])):
        assert np.shares_memory(few_faces.select(rows).images, few_faces.images)
    mask = np.zeros(70, bool)
    mask[:2] = True
    for rows in (np.array([3, 2]), np.array([1, 1]), np.array([], int), np.array([-2, -1, 0]), mask):
        selected = few_faces.select(rows)
        np.testing.assert_array_equal(selected.images, few_faces.images[rows])
        assert len(selected) == len(selected.images) and not np.shares_memory(selected.images, few_faces.images)


def test_the_banner_tells_drawn_from_real(few_faces):
    assert "drawn faces" in data.banner(few_faces)
