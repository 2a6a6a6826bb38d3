"""Several looks at the same face."""

import numpy as np
import pytest

from fer_lib.evaluation import views

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 48, 48), np.uint8)


@pytest.mark.parametrize(("name", "count"), [("none", 1), ("flip", 2), ("five crops", 5), ("ten crops", 10)])
def test_so_many_views_and_the_image_itself_is_the_first(name, count):
    before = IMAGES.copy()
    found = list(views.views(IMAGES, name))
    assert len(found) == count
    np.testing.assert_array_equal(found[0], IMAGES)
    assert all(view.shape == IMAGES.shape and view.dtype == np.uint8 for view in found)
    assert len({view.tobytes() for view in found}) == count
    np.testing.assert_array_equal(IMAGES, before)


@pytest.mark.parametrize("name", ["flip", "ten crops"])
def test_after_each_view_comes_its_mirror(name):
    found = list(views.views(IMAGES, name))
    for view, mirrored in zip(found[::2], found[1::2]):
        np.testing.assert_array_equal(mirrored, view[:, :, ::-1])


def test_the_ten_crops_are_the_five_and_their_mirrors():
    five, ten = list(views.views(IMAGES, "five crops")), list(views.views(IMAGES, "ten crops"))
    np.testing.assert_array_equal(five, ten[::2])


def test_each_corner_comes_into_the_middle_and_edges_go_on():
    """The middle 40x40 pixels of the four shifted views are the four corners' 40x40 of the face."""
    _, *corners = views.views(IMAGES, "five crops")
    middles = {view[:, 4:44, 4:44].tobytes() for view in corners}
    assert middles == {IMAGES[:, y : y + 40, x : x + 40].tobytes() for y in (0, 8) for x in (0, 8)}
    rows = np.arange(48)
    steps = [(rows + shift).clip(0, 47) for shift in (-4, 4)]
    expected = {IMAGES[:, down][:, :, right].tobytes() for down in steps for right in steps}
    assert {view.tobytes() for view in corners} == expected


def test_pictures_need_not_be_square():
    found = list(views.views(IMAGES[:, :30], "ten crops"))
    assert {view.shape for view in found} == {(3, 30, 48)}
