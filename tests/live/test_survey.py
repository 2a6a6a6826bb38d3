"""Faces composed into frames: that one thing is changed at a time, and that what is counted is what happened."""

import numpy as np
import pytest
from live_frames import Brightness

from fer_lib.claims import measures
from fer_lib.data import Faces, array_hash, drawn_faces
from fer_lib.data.emotions import FER2013
from fer_lib.evaluation import provenance, records
from fer_lib.live import blaze
from fer_lib.live import survey as surveys
from fer_lib.live.survey import LEVELS, USUAL, compose
from fer_lib.report import figures, sections, tables

needs_blaze = pytest.mark.skipif(blaze.missing() is not None, reason=f"blaze is not installed: {blaze.missing()}")


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
    away, (left, top, _, _) = composed(face, yaw=60)
    changed = (away != plain)[top : top + 160, left : left + 160].mean(axis=0) > 0.3
    assert changed[:25].all() and changed[-25:].all() and not changed[60:100].any()  # half as wide, about its middle
    behind, (left, top, _, _) = composed(face, covered=0.25, other=np.full((48, 48), 20, np.uint8))
    assert (behind[top : top + 160, left : left + 160] == 20).mean() == pytest.approx(0.25, abs=0.01)
    assert (behind == 20).sum() == 160 * 160  # the other face is there whole
    checks = np.uint8(np.kron(np.indices((24, 24)).sum(0) % 2, np.ones((2, 2))) * 255)
    fine, coarse = (composed(checks, size=48, detail=detail)[0] for detail in (1.0, 0.25))
    assert fine.max() > 230 and coarse.max() < 210  # squares of two pixels are lost where four become one
    blocks = composed(drawn.images[3], jpeg=5)[0]
    edges = np.abs(np.diff(blocks.astype(int), axis=1)).mean(axis=0)
    assert edges[7::8].mean() > 2 * edges[3::8].mean()  # between JPEG's squares of eight pixels


@needs_blaze
def test_predictions_are_of_the_found_and_of_the_true_place(drawn):
    rows, names = np.arange(7), ("blaze", "tuned", "usual", "paper")
    predicted, again = (surveys.predictions(drawn, rows, Brightness(), names) for _ in range(2))
    for name in ("first", "second", "found_first"):
        np.testing.assert_array_equal(predicted[name], again[name])
    found = (predicted["found_first"] != records.MISSED).sum(axis=1)
    assert found.shape == (4,) and found[0] == 7 and found[1] >= 5 and (predicted["first"] != predicted["second"]).all()
    assert predicted["seconds"].shape == (4, 7) and (predicted["seconds"] > 0).all()
    small = surveys.predictions(drawn, rows, Brightness(), ("tuned",), size=24)
    assert (small["found_first"] == records.MISSED).all()  # 24 of 640 are 12 of 320, under the cascade's 20
    tilted = surveys.predictions(drawn, rows, Brightness(), ("blaze", "paper"), tilt=45)["found_first"]
    assert (tilted[0] != records.MISSED).all() and (tilted[1] == records.MISSED).all()


def test_levels_looked_at_side_by_side_are_the_same(drawn, monkeypatch):
    """Processes of their own ask the live model, and find what this one does."""
    monkeypatch.setattr(surveys, "LEVELS", {"size": (96, 160)})
    both = [surveys.survey(drawn, np.array([1, 3, 6]), None, ("tuned",), jobs=jobs)[0] for jobs in (1, 2)]
    assert both[0] == both[1] and both[0][0]["n"] == 3


NAMES = ("blaze", "tuned")


@pytest.fixture
def survey(drawn, monkeypatch):
    """Lines and arrays of two conditions: no detector finds small faces, the first five of seven of others and the
    second two; all cuts at the true place are right, all of the detectors' wrong."""
    monkeypatch.setattr(surveys, "LEVELS", {"size": (32, 160), "light": (1.0, 2.0)})
    asked = []

    def predictions(faces, rows, classifier, names, seed, **changed):
        asked.append(changed)
        codes = np.arange(7, dtype=np.uint8)
        found = codes < np.array([[5], [2]]) * (changed != {"size": 32})
        wrong = np.where(found, (codes + 1) % 7, records.MISSED).astype(np.uint8)
        seconds = np.full((2, 7), 0.02, np.float32)
        return {"first": codes, "second": (codes + 1) % 7, "found_first": wrong, "seconds": seconds}

    monkeypatch.setattr(surveys, "predictions", predictions)
    progress = []
    lines, arrays = surveys.survey(drawn, np.arange(7), "asked of no network", NAMES, progress=progress.append)
    assert [line[12:].split("  found")[0] for line in progress] == ["as usual", "size 32", "light 2"]
    assert progress[0].startswith("level  1/3  as usual  found: blaze 0.71, tuned 0.29  00:00:0")
    assert len(asked) == 3  # what is usual is asked once
    return lines, arrays


def test_a_survey_counts_found_and_right(survey):
    lines, arrays = survey
    assert [line["usual"] for line in lines] == [False, True, True, False]
    assert [line["found"]["blaze"] for line in lines] == [0, 5, 5, 5] and [line["right"] for line in lines] == [7] * 4
    assert [line["found"]["tuned"] for line in lines] == [0, 2, 2, 2]
    assert [line["right_of_found"] for line in lines] == [dict.fromkeys(NAMES, 0)] * 4
    assert {name: values.shape for name, values in arrays.items()} == {
        "first": (4, 7), "second": (4, 7), "found_first": (2, 4, 7), "seconds": (2, 7)
    }  # fmt: skip
    found, low, high = records.share(lines[1], "found", "blaze")
    assert low < found == 5 / 7 < high < 1
    assert records.share(lines[1], "right_of_found", "tuned")[0] == 0 and records.share(lines[1], "right")[0] == 1
    assert np.isnan(records.share({"n": 0, "right": 0}, "right")).all()


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
    assert table.count("\n") == 2 + 4 and "| size | 32 | 0.0 [0.00" in table.replace("  ", " ")
    assert "Found by blaze, %" in table and "Found by tuned, %" in table
    table = tables.survey_detectors(lines, arrays | {"labels": drawn.labels}, drawn.emotions)
    assert table.count("\n") == 2 + 8 and "| all | 7 | 0.0 [0.00" in table
    table = tables.survey_emotions(lines, arrays, drawn.labels, drawn.emotions)
    assert all(f"| {emotion} " in table for emotion in FER2013)
    assert "20.0 ms in half of the frames and 20.0 ms in all but 5 % with `tuned`" in sections.delay(lines, arrays)


def test_a_survey_has_a_record_that_is_checked(survey, drawn, tmp_path):
    lines, arrays = survey
    whole, rest = records.assemble(
        experiment="ours/live_conditions", title="Faces in use", profile="smoke",
        parameters={"seed": 0, "detectors": list(NAMES)},
        faces=drawn, evaluated=drawn, kept={}, backend="onnxruntime", device=records.cpu(), seconds=1.0,
    )  # fmt: skip
    kept = whole | {"conditions": lines, "network_sha256": "5ca1ab1e"}
    records.write(tmp_path / "good", kept, rest | arrays)
    record = records.read(tmp_path / "good")
    records.check(record)
    # The emotion is right in each cut at the true place and wrong in each that was found.
    assert measures.SHARES["happy recognised"](record) == (0, 1)
    assert measures.SHARES["angry and fear recognised"](record) == (0, 2)
    assert measures.SHARES["second prediction right where the first is wrong"](record) == (0, 0)
    assert measures.SHARES["frames classified within 0.1 s"](record) == (5, 5)
    assert "another network ships now" in provenance.stale(record)
    lines[1]["found"]["tuned"] = 6
    records.write(tmp_path / "wrong", kept, rest | arrays)
    with pytest.raises(ValueError, match=r"size 160 counts \{.*'tuned': 2.*metrics.json says \{.*'tuned': 6"):
        records.check(records.read(tmp_path / "wrong"))
    short = arrays | {"first": arrays["first"][:3]}
    records.write(tmp_path / "short", kept, rest | short)
    with pytest.raises(ValueError, match=r"is \(3, 7\), expected \(4, 7\)"):
        records.check(records.read(tmp_path / "short"))


def test_the_figures_show_every_condition_and_detector():
    counts = {"n": 10, "right": 4, "found": {"blaze": 9, "paper": 2}, "right_of_found": {"blaze": 5, "paper": 1}}
    lines = [{"condition": name, "level": level} | counts for name, levels in LEVELS.items() for level in levels]
    for what, curves in (("found", 2), ("right_of_found", 3)):
        figure = figures.conditions(lines, what)
        shown = [axes for axes in figure.axes if axes.get_xlabel()]
        assert [axes.get_xlabel() for axes in shown] == list(figures.CONDITIONS.values())
        assert all(len(axes.lines) == curves for axes in shown)
        assert all(len(axes.lines[0].get_xdata()) == len(levels) for axes, levels in zip(shown, LEVELS.values()))
        assert figure._repr_png_(50)[:4] == b"\x89PNG"
