"""Faces composed into frames: that one thing is changed at a time, and that what is counted is what happened."""

import numpy as np
import pytest
from live_frames import Brightness

from fer_lib import live_conditions, live_figures
from fer_lib.datasets import Faces, array_hash, drawn_faces
from fer_lib.emotions import FER2013
from fer_lib.live_conditions import LEVELS, USUAL, compose


def composed(face, seed=0, **changed):
    return compose(face, np.random.default_rng(seed), **USUAL | changed)


@pytest.fixture(scope="module")
def drawn() -> Faces:
    """Seven drawn faces, one an emotion, all PrivateTest."""
    images = np.stack([drawn_faces.draw(emotion) for emotion in FER2013])
    labels, split = np.arange(7, dtype=np.uint8), np.full(7, 2, np.uint8)
    return Faces(images, labels, split, np.arange(7, dtype=np.int32), "drawn", array_hash(images, labels, split))


def test_the_face_is_where_the_box_says_and_all_else_is_as_before(drawn):
    (black, box), (white, same) = (composed(np.full((48, 48), tone, np.uint8)) for tone in (0, 255))
    left, top, width, height = box
    assert box == same and width == height == 160 and black.shape == (480, 640) and black.dtype == np.uint8
    there = np.zeros_like(black, bool)
    there[top : top + height, left : left + width] = True
    assert (black[there] == 0).all() and (white[there] == 255).all() and (black[~there] == white[~there]).all()
    assert composed(drawn.images[0], seed=1)[1] != box


def test_each_condition_does_what_it_says(drawn):
    face = np.full((48, 48), 200, np.uint8)
    plain, (left, top, _, _) = composed(face)
    place = np.s_[top : top + 160, left : left + 160]
    assert abs(composed(face, light=0.25)[0].astype(float) - plain / 4).max() <= 0.7
    assert composed(face, light=2.0)[0][place].min() == 255
    hidden = composed(face, hidden=0.3)[0][place]
    assert (hidden < 155).all(1).mean() == pytest.approx(0.3, abs=0.02) and (hidden[:100] == 200).all()
    tilted = composed(face, tilt=45)[0]
    assert (tilted[place] != plain[place]).any() and (tilted[top + 80, left + 80]) == 200
    outside = np.ones_like(plain, bool)
    outside[place] = False
    assert (tilted[outside] == plain[outside]).all()
    sharp, soft = composed(drawn.images[3])[0], composed(drawn.images[3], blur=6)[0]
    assert np.abs(np.diff(soft.astype(int))).max() < 0.5 * np.abs(np.diff(sharp.astype(int))).max()
    for size in LEVELS["size"]:
        assert composed(face, size=size)[1][2] == size


def test_answers_are_of_the_found_and_of_the_true_place(drawn):
    rows = np.arange(7)
    told = live_conditions.answers(drawn, rows, Brightness(), "tuned")
    again = live_conditions.answers(drawn, rows, Brightness(), "tuned")
    for name, array in told.items():
        np.testing.assert_array_equal(array, again[name])
    assert told["found"].sum() >= 5 and told["classes"].shape == told["found_classes"].shape == (7, 7)
    assert ((told["found_classes"] == -1).all(1) == ~told["found"]).all()
    assert (np.sort(told["classes"], 1) == np.arange(7)).all()
    small = live_conditions.answers(drawn, rows, Brightness(), "tuned", size=24)
    assert not small["found"].any()  # 24 of 640 are 12 of 320, under the cascade's 20


def test_a_report_counts_found_and_right(drawn, monkeypatch):
    monkeypatch.setattr(live_conditions, "LEVELS", {"size": (32, 160), "light": (1.0,)})
    asked = []

    def answers(faces, rows, classifier, detector, **changed):
        asked.append(changed)
        found = np.arange(7) < (0 if changed == {"size": 32} else 5)
        classes = np.stack([np.roll(np.arange(7), -k) for k in range(7)])  # all right
        wrong = np.where(found[:, None], np.roll(classes, -1, axis=1), -1)  # the second would be wrong too
        return {"found": found, "classes": classes, "found_classes": wrong}

    monkeypatch.setattr(live_conditions, "answers", answers)
    lines = list(live_conditions.report(drawn, np.arange(7), None))
    assert asked == [{"size": 32}, {"size": 160}, {"light": 1.0}]
    assert [line["found"][0] for line in lines] == pytest.approx([0, 5 / 7, 5 / 7])
    assert [line["right"][0] for line in lines] == [1, 1, 1] and lines[1]["right_of_found"][0] == 0
    assert np.isnan(lines[0]["right_of_found"]).all()
    assert all(line["right"][1] < 1 for line in lines)  # seven faces are not all faces


def test_by_emotion_the_second_guess_counts_beside_the_first(drawn):
    order = np.stack([np.roll(np.arange(7), -k) for k in range(7)])
    order[2] = np.roll(np.arange(7), -1)  # fear gets disgust first, itself second
    lines = live_conditions.by_emotion(drawn, np.arange(7), {"classes": order})
    assert [line["emotion"] for line in lines] == list(FER2013) and all(line["n"] == 1 for line in lines)
    assert [line["first"][0] for line in lines] == [1, 1, 0, 1, 1, 1, 1]
    assert [line["second"][0] for line in lines] == [1] * 7


def test_the_figure_shows_every_condition():
    share = 0.5, 0.4, 0.6
    lines = [
        {"condition": name, "level": level, "found": share, "right": share, "right_of_found": (float("nan"),) * 3}
        for name, levels in LEVELS.items()
        for level in levels
    ]
    figure = live_figures.conditions(lines)
    shown = [axes for axes in figure.axes if axes.get_xlabel()]
    assert [axes.get_xlabel() for axes in shown] == list(live_figures.WORDS.values())
    assert all(len(axes.lines[0].get_xdata()) == len(levels) for axes, levels in zip(shown, LEVELS.values()))
    assert figure._repr_png_(50)[:4] == b"\x89PNG"
