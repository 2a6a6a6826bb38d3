"""Faces composed into frames: that one thing is changed at a time, and that what is counted is what happened."""

import numpy as np
import pytest
from live_frames import Brightness

from fer_lib.claims import measures
from fer_lib.data import Faces, array_hash, drawn_faces
from fer_lib.data.emotions import FER2013
from fer_lib.evaluation import provenance, records
from fer_lib.live import survey as surveys
from fer_lib.live.survey import LEVELS, USUAL, compose
from fer_lib.report import figures, sections, tables


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


def test_predictions_are_of_the_found_and_of_the_true_place(drawn):
    rows = np.arange(7)
    predicted = surveys.predictions(drawn, rows, Brightness(), "tuned")
    again = surveys.predictions(drawn, rows, Brightness(), "tuned")
    for name in ("first", "second", "found_first"):
        np.testing.assert_array_equal(predicted[name], again[name])
    assert (predicted["found_first"] != records.MISSED).sum() >= 5 and (predicted["first"] != predicted["second"]).all()
    assert (predicted["seconds"] > 0).all()
    small = surveys.predictions(drawn, rows, Brightness(), "tuned", size=24)
    assert (small["found_first"] == records.MISSED).all()  # 24 of 640 are 12 of 320, under the cascade's 20


@pytest.fixture
def survey(drawn, monkeypatch):
    """Lines and arrays of two conditions: nothing is found of small faces, five of seven of others, and all cuts at the
    true place are right, all of the detector's wrong."""
    monkeypatch.setattr(surveys, "LEVELS", {"size": (32, 160), "light": (1.0, 2.0)})
    asked = []

    def predictions(faces, rows, classifier, detector, seed, **changed):
        asked.append(changed)
        found = np.arange(7) < (0 if changed == {"size": 32} else 5)
        codes = np.arange(7, dtype=np.uint8)
        wrong = np.where(found, (codes + 1) % 7, records.MISSED).astype(np.uint8)
        seconds = np.full(7, 0.02, np.float32)
        return {"first": codes, "second": (codes + 1) % 7, "found_first": wrong, "seconds": seconds}

    monkeypatch.setattr(surveys, "predictions", predictions)
    progress = []
    lines, arrays = surveys.survey(drawn, np.arange(7), None, progress=progress.append)
    assert len(progress) == 4 and progress[1].startswith("level  2/4  size 160  found 0.71  right 1.00  00:0")
    assert asked == [{"size": 32}, {"size": 160}, {"light": 2.0}]  # what is usual is asked once
    return lines, arrays


def test_a_survey_counts_found_and_right(survey):
    lines, arrays = survey
    assert [line["usual"] for line in lines] == [False, True, True, False]
    assert [line["found"] for line in lines] == [0, 5, 5, 5] and [line["right"] for line in lines] == [7] * 4
    assert [line["right_of_found"] for line in lines] == [0] * 4
    assert all(values.shape == (4, 7) for values in arrays.values())
    found, low, high = records.share(lines[1], "found")
    assert low < found == 5 / 7 < high < 1
    assert records.share(lines[1], "right_of_found")[0] == 0
    assert np.isnan(records.share(lines[0], "right_of_found")).all()


def test_by_emotion_the_second_guess_counts_beside_the_first():
    labels = np.arange(7, dtype=np.uint8)
    first, second = labels.copy(), (labels + 1) % 7
    first[2], second[2] = 1, 2  # fear gets disgust first, itself second
    first[4], second[4] = 1, 3  # sad gets neither
    lines = surveys.by_emotion(labels, first, second, FER2013)
    assert [line["emotion"] for line in lines] == list(FER2013) and all(line["n"] == 1 for line in lines)
    assert [line["first"][0] for line in lines] == [1, 1, 0, 1, 0, 1, 1]
    assert [line["either"][0] for line in lines] == [1, 1, 1, 1, 0, 1, 1]


def test_the_page_has_every_level_and_emotion(survey, drawn):
    lines, arrays = survey
    table = tables.survey_conditions(lines)
    assert table.count("\n") == 2 + 4 and "| size | 32 | 0.0 [0.00" in table.replace("  ", " ") and "–" in table
    table = tables.survey_emotions(lines, arrays, drawn.labels, drawn.emotions)
    assert all(f"| {emotion} " in table for emotion in FER2013)
    assert "20.0 ms in half of the frames, 20.0 ms in all but 5 %" in sections.delay(lines, arrays)


def test_a_survey_has_a_record_that_is_checked(survey, drawn, tmp_path):
    lines, arrays = survey
    whole, rest = records.assemble(
        experiment="ours/live_conditions", title="Faces in use", profile="smoke", parameters={"seed": 0},
        faces=drawn, evaluated=drawn, kept={}, backend="onnxruntime", device=records.cpu(), seconds=1.0,
    )  # fmt: skip
    kept = whole | {"conditions": lines, "network_sha256": "5ca1ab1e"}
    records.write(tmp_path / "good", kept, rest | arrays)
    record = records.read(tmp_path / "good")
    records.check(record)
    # The emotion is right in each cut at the true place and wrong in each that was found.
    assert measures.SHARES["happy told rightly"](record) == (0, 1)
    assert measures.SHARES["angry and fear told rightly"](record) == (0, 2)
    assert measures.SHARES["second answer right where the first is wrong"](record) == (0, 0)
    assert measures.SHARES["frames answered within 0.1 s"](record) == (5, 5)
    assert "another network ships now" in provenance.stale(record)
    lines[1]["found"] = 6
    records.write(tmp_path / "wrong", kept, rest | arrays)
    with pytest.raises(ValueError, match=r"size 160 counts \{.*'found': 5.*metrics.json says \{.*'found': 6"):
        records.check(records.read(tmp_path / "wrong"))
    short = {name: values[:3] for name, values in arrays.items()}
    records.write(tmp_path / "short", kept, rest | short)
    with pytest.raises(ValueError, match=r"is \(3, 7\), expected \(4, 7\)"):
        records.check(records.read(tmp_path / "short"))


def test_the_figure_shows_every_condition():
    lines = [
        {"condition": name, "level": level, "n": 10, "found": 5, "right": 4, "right_of_found": 3}
        for name, levels in LEVELS.items()
        for level in levels
    ]
    figure = figures.conditions(lines)
    shown = [axes for axes in figure.axes if axes.get_xlabel()]
    assert [axes.get_xlabel() for axes in shown] == list(figures.CONDITIONS.values())
    assert all(len(axes.lines[0].get_xdata()) == len(levels) for axes, levels in zip(shown, LEVELS.values()))
    assert figure._repr_png_(50)[:4] == b"\x89PNG"
