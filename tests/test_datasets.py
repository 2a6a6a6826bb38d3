"""What all data sets share: loading by name, rows of splits, the banner."""

import numpy as np
import pytest

from fer_lib import datasets, paths
from fer_lib.datasets import drawn_faces


def test_drawn_faces_are_drawn_once_and_drawn_again_where_the_cache_is_damaged(monkeypatch):
    drawn = datasets.load("drawn_faces")
    (kept,) = paths.CACHE.iterdir()
    monkeypatch.setattr(drawn_faces, "load", lambda: pytest.fail("drawn a second time"))
    again = datasets.load("drawn_faces")
    assert again.sha256 == drawn.sha256
    assert again.source == drawn.source
    for name in ("images", "labels", "split", "ids"):
        one, other = getattr(drawn, name), getattr(again, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    kept.write_bytes(kept.read_bytes()[:1000])
    monkeypatch.setattr(drawn_faces, "load", lambda: drawn)
    assert datasets.load("drawn_faces") is drawn


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(monkeypatch, tmp_path, few_faces):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(paths, "CACHE", tmp_path / "file" / "cache")
    monkeypatch.setattr(drawn_faces, "load", lambda: few_faces)
    assert datasets.load("drawn_faces") is few_faces


def test_an_unknown_data_set_is_refused_by_name():
    with pytest.raises(ValueError, match="data: found 'affectnet', expected one of drawn_faces, fer2013"):
        datasets.load("affectnet")


def test_rows_of_splits(few_faces):
    assert len(few_faces.rows("Training")) == 42
    assert few_faces.rows("PublicTest+PrivateTest").tolist() == list(range(42, 70))
    with pytest.raises(ValueError, match="no split is called 'Test'; expected Training, PublicTest, PrivateTest"):
        few_faces.rows("Training+Test")


def test_the_banner_tells_drawn_from_real(few_faces):
    assert "drawn faces" in datasets.banner(few_faces)
