"""Finding faces, following them, and the predictions of them. The classifier is a stand-in that looks at brightness."""

import ast
import dataclasses
import http.server
import re
import subprocess
import sys
import threading
import tomllib
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_frames import Brightness, frame, like_yunet, video
from PIL import Image

from fer_lib import live, paths
from fer_lib.data.emotions import FER2013
from fer_lib.live import detectors, pipeline, sources
from fer_lib.live.boxes import MARGIN, overlap

PLACE, SIDE = (200, 120), 160
boxes = st.lists(st.tuples(*[st.integers(0, 80)] * 2, *[st.integers(1, 60)] * 2), max_size=6).map(
    lambda each: np.array(each, np.int32).reshape(-1, 4)
)


def covers(box, place, side) -> bool:
    return overlap(np.array(box), np.array((*place, side, side))) > 0.6


def grey(image):
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


# ---- detectors


@pytest.mark.parametrize("name", ["tuned", "usual", "paper"])
def test_a_face_is_found_where_it_is(name):
    image = frame({PLACE: SIDE})
    found = detectors.detector(name)(image, grey(image))
    assert found.dtype == np.int32 and len(found) == 1 and covers(found[0], PLACE, SIDE)


def test_the_papers_detector_is_the_papers():
    assert detectors.HAAR["paper"] == ("default", 1.1, 8, 100)
    image = frame({(20, 20): 60, (300, 100): 200})
    found = detectors.detector("paper")(image, grey(image))
    assert len(found) == 1 and covers(found[0], (300, 100), 200)  # 60 pixels are under its 100
    assert len(detectors.detector("tuned")(image, grey(image))) == 2


def test_a_photograph():
    data = pytest.importorskip("skimage.data")
    image = np.ascontiguousarray(data.astronaut()[..., ::-1])
    for name in ("tuned", "usual", "paper"):
        found = detectors.detector(name, moving=False)(image, grey(image))
        assert len(found) == 1 and covers(found[0], (172, 63), 102), name


def test_tuned_follows_a_face_finds_another_soon_and_looks_everywhere_when_one_is_lost():
    detect = detectors.detector("tuned")
    searched = []
    cascade = detect.cascade.detectMultiScale
    detect.cascade = SimpleNamespace(
        detectMultiScale=lambda part, *rest, **named: searched.append(part.shape) or cascade(part, *rest, **named)
    )

    def found(faces):
        """How many are found, and whether it looked everywhere."""
        searched.clear()
        image = frame(faces)
        count = len(detect(image, grey(image)))
        near = [shape for shape in searched if shape != (240, 320)]
        assert all(shape[0] == shape[1] < 320 for shape in near), near  # no more than the faces' surroundings
        return count, (240, 320) in searched

    assert found({PLACE: SIDE}) == (1, True)
    for k in range(1, 5):  # it moves, and another comes
        assert found({(200 + 8 * k, 120): SIDE, (420, 60): 100}) == (1, False)
        assert len(searched) == 1
    two = {(240, 120): SIDE, (420, 60): 100}
    assert found(two) == (2, True)
    assert found({(240, 120): SIDE}) == (1, False)  # one is gone
    assert found({(240, 120): SIDE}) == (1, True)
    assert found({(240, 120): SIDE}) == (1, False)


def test_tuned_gives_each_face_once_and_forgets_pictures():
    for detect in (detectors.Tuned(), detectors.Tuned(every=1)):
        for _ in range(7):
            image = frame({(100, 100): 100, (200, 100): 100})
            found = detect(image, grey(image))
            assert len(found) == 2 and overlap(*found) < 0.1 and found[0][0] < found[1][0]
        image = frame({})
        assert len(detect(image, grey(image))) == 0


def test_a_picture_is_searched_at_four_times_the_width_of_a_video():
    image = frame({(100, 100): 40, (900, 500): 200}, 1280, 960)
    assert len(detectors.detector("tuned", moving=False)(image, grey(image))) == 2
    assert len(detectors.detector("tuned", moving=True)(image, grey(image))) == 1  # 40 of 1280 are 10 of 320


@pytest.mark.parametrize(
    "name, file, message",
    [
        ("hear", None, "found 'hear', expected one of blaze, tuned, paper, usual, yunet"),
        ("yunet", None, "found 'yunet' without its file"),
        ("yunet", "none.onnx", "found no file none.onnx"),
        ("usual", "some.onnx", "found 'usual' and a file of YuNet"),
    ],
)
def test_another_detector_is_refused(name, file, message):
    with pytest.raises(ValueError, match=message):
        detectors.detector(name, file)


def test_where_opencv_has_no_haar_cascades_they_are_refused_and_yunet_is_not(tmp_path, monkeypatch):
    monkeypatch.delattr(cv2, "CascadeClassifier")
    monkeypatch.setattr(cv2, "__version__", "5.0.0")
    message = r"found OpenCV 5\.0\.0, which has no Haar cascades, expected OpenCV 4; install opencv-python-headless"
    for name in ("tuned", *detectors.HAAR):
        with pytest.raises(ValueError, match=message):
            detectors.detector(name)
    file, network = (
        tmp_path / "yunet.onnx",
        SimpleNamespace(setInputSize=lambda size: None, detect=lambda image: (1, np.array([[7.0, 8, 9, 10, 0.9]]))),
    )
    file.touch()
    monkeypatch.setattr(cv2, "FaceDetectorYN", SimpleNamespace(create=lambda *_, **__: network))
    image = frame({PLACE: SIDE})
    assert detectors.detector("yunet", file)(image, grey(image)).tolist() == [[7, 8, 9, 10]]


def test_a_file_that_is_no_network_is_refused(tmp_path):
    (tmp_path / "yunet.onnx").write_text("not a network")
    with pytest.raises(ValueError, match="no network that OpenCV reads"):
        detectors.detector("yunet", tmp_path / "yunet.onnx")


def test_yunet_is_asked_as_opencv_wants_it(tmp_path):
    """YuNet itself is not here: a network of its form shows that frames go in, of any size, and boxes come out."""
    onnx = pytest.importorskip("onnx")
    like_yunet(tmp_path / "yunet.onnx", onnx)
    detect = detectors.detector("yunet", tmp_path / "yunet.onnx")
    for height, width in ((480, 640), (100, 150)):
        image = np.zeros((height, width, 3), np.uint8)
        assert detect(image, image[..., 0]).shape == (0, 4)
        image[32:64, 96:128] = image[0:32, 0:32] = 255
        found = detect(image, image[..., 0])  # its centres are the squares' corners
        assert found.dtype == np.int32 and found.tolist() == [[-16, -16, 32, 32], [80, 16, 32, 32]]
        assert live.crops(image[..., 0], found).shape == (2, 48, 48)


def test_a_damaged_yunet_that_crashes_opencv_is_refused(tmp_path):
    """`make fuzz` found it: FaceDetectorYN.create ended the process."""
    content = (paths.ROOT / "tests" / "corpus" / "yunet" / "what-crashes-opencv").read_bytes()
    (tmp_path / "yunet.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"yunet\.onnx: found damage that crashes OpenCV"):
        detectors.detector("yunet", tmp_path / "yunet.onnx")


def test_another_network_than_yunet_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    like_yunet(tmp_path / "yunet.onnx", onnx)
    model = onnx.load(tmp_path / "yunet.onnx")
    for node in model.graph.node:
        node.output[:] = [name.replace("kps_8", "other") for name in node.output]
        node.input[:] = [name.replace("kps_8", "other") for name in node.input]
    for named in (*model.graph.output, *model.graph.initializer):
        named.name = named.name.replace("kps_8", "other")
    onnx.save(model, tmp_path / "other.onnx")
    image = frame({})
    with pytest.raises(ValueError, match=r"other\.onnx: found another network than YuNet"):
        detectors.detector("yunet", tmp_path / "other.onnx")(image, grey(image))


# ---- crops


def test_a_crop_is_the_square_around_the_box_with_the_trainings_margin():
    image = np.zeros((200, 200), np.uint8)
    image[48:152, 48:152] = 255  # 104 pixels: 1.04 times the box
    assert (live.crops(image, [(50, 50, 100, 100)]) == 255).all()
    assert not (live.crops(image, [(47, 50, 100, 100)]) == 255).all()
    tall = live.crops(image, [(60, 50, 80, 100)])
    assert tall.shape == (1, 48, 48) and tall.dtype == np.uint8 and (tall == 255).all()  # squares, not stretched


def test_a_large_face_is_made_smaller_by_the_mean_of_its_pixels_and_a_small_one_enlarged_cubically():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (240, 240), np.uint8)
    large = live.crops(image, [(50, 50, 138, 138)])[0]  # 144 = 3 x 48
    part = image[47:191, 47:191]
    np.testing.assert_allclose(large, part.reshape(48, 3, 48, 3).mean((1, 3)), atol=0.51)
    small = live.crops(image, [(50, 50, 23, 23)])[0]
    np.testing.assert_array_equal(small, cv2.resize(image[50:74, 50:74], (48, 48), interpolation=cv2.INTER_CUBIC))


@settings(deadline=None, max_examples=60)
@given(st.tuples(*[st.integers(-300, 300)] * 2, *[st.integers(1, 400)] * 2))
def test_any_box_gives_a_crop(box):
    image = np.full((90, 120), 7, np.uint8)
    assert (live.crops(image, [box]) == 7).all()  # beyond the edge its pixels go on


def test_no_box_gives_no_crop():
    assert live.crops(np.zeros((90, 120), np.uint8), np.empty((0, 4))).shape == (0, 48, 48)


def test_a_training_picture_comes_out_of_the_crop_as_it_went_in(few_faces):
    """Enlarged into a frame, and found by a detector whose box is what Haar's is on FER2013's pictures."""
    face = cv2.GaussianBlur(few_faces.images[0], (0, 0), 2)
    image = np.zeros((480, 640), np.uint8)
    image[100:292, 200:392] = cv2.resize(face, (192, 192), interpolation=cv2.INTER_CUBIC)
    side = round(192 / MARGIN)
    crop = live.crops(image, [(200 + (192 - side) // 2, 100 + (192 - side) // 2, side, side)])[0]
    assert np.abs(crop.astype(int) - face).max() <= 3


# ---- tracking


patient = settings(deadline=None, max_examples=40)


@patient
@given(boxes, boxes)
def test_matches_are_pairs_that_overlap_and_none_better_is_left(before, now):
    found = pipeline.matches(list(before), list(now))
    assert len(set(found.values())) == len(found)
    for i, new in enumerate(now):
        for j, old in enumerate(before):
            shared = overlap(old, new)
            if shared < pipeline.SAME:
                assert found.get(i) != j
            elif found.get(i) != j:  # one of the two is in a pair that shares as much or more
                rivals = [(a, b) for a, b in found.items() if a == i or b == j]
                assert max(overlap(before[b], now[a]) for a, b in rivals) >= shared


@patient
@given(boxes, boxes)
def test_overlap_is_symmetric_between_0_and_1_and_1_of_the_same(one, other):
    for a in one:
        assert overlap(a, a) == 1
        for b in other:
            assert 0 <= overlap(a, b) == overlap(b, a) <= 1


@patient
@given(st.lists(st.tuples(boxes, st.floats(0, 0.4)), min_size=1, max_size=6), st.integers(0, 2**32))
def test_a_tracks_probabilities_stay_probabilities_between_those_it_saw(steps, seed):
    tracks, now, seen, rng = pipeline.Tracks(), 0.0, {}, np.random.default_rng(seed)
    for found, pause in steps:
        now += pause
        probabilities = rng.dirichlet(np.full(7, 0.3), len(found))
        result = tracks.update(found, now)
        for track, each in zip(result, probabilities):
            tracks.classified(track, each)
        assert len({track.number for track in result}) == len(found)
        for track, box, each in zip(result, found, probabilities):
            seen.setdefault(track.number, []).append(each)
            assert (track.box == box).all()
            assert track.probabilities.sum() == pytest.approx(1)
            assert (track.probabilities >= np.min(seen[track.number], 0) - 1e-9).all()
            assert (track.probabilities <= np.max(seen[track.number], 0) + 1e-9).all()


def one_face(tracks, probabilities, time, left=10):
    (track,) = tracks.update(np.array([(left, 10, 40, 40)]), time)
    tracks.classified(track, probabilities)
    return track


def test_smoothing_goes_by_time_not_by_frames():
    before, after = np.eye(7)[0], np.eye(7)[3]
    slow, fast, none = pipeline.Tracks(0.3), pipeline.Tracks(0.3), pipeline.Tracks(0)
    for tracks in (slow, fast, none):
        one_face(tracks, before, 0)
    for time in (0.1, 0.2, 0.3):
        last = one_face(fast, after, time).probabilities
    np.testing.assert_allclose(one_face(slow, after, 0.3).probabilities, last)
    assert last[0] == pytest.approx(np.exp(-1))
    np.testing.assert_array_equal(one_face(none, after, 0.3).probabilities, after)


def test_a_face_keeps_its_number_while_it_moves_and_for_half_a_second_out_of_sight():
    tracks, probabilities = pipeline.Tracks(), np.full(7, 1 / 7)
    assert [one_face(tracks, probabilities, k / 25, 10 + 8 * k).number for k in range(5)] == [1] * 5
    for k in range(5, 16):
        tracks.update(np.empty((0, 4), np.int32), k / 25)
    assert one_face(tracks, probabilities, 0.16 + pipeline.PATIENCE, 42).number == 1
    assert one_face(tracks, probabilities, 0.7, 300).number == 2  # elsewhere
    assert one_face(tracks, probabilities, 2.0, 300).number == 2  # the frame after, however late
    tracks.update(np.empty((0, 4), np.int32), 3.0)
    assert one_face(tracks, probabilities, 4.0, 300).number == 2  # one look missed it
    for moment in (5.0, 6.0):
        tracks.update(np.empty((0, 4), np.int32), moment)
    assert one_face(tracks, probabilities, 7.0, 300).number == 3  # too late
    assert len(tracks.tracks) == 1  # the others are forgotten


class InTurn:
    """A classifier that gives these probabilities, one face after the other, and then the last ones."""

    emotions, side = FER2013, 48

    def __init__(self, *probabilities):
        self.left = [np.asarray(each, float) for each in probabilities]

    def classify(self, faces):
        return np.array([self.left.pop(0) if len(self.left) > 1 else self.left[0] for _ in faces])


def noise(seed: int, side: int = 80) -> np.ndarray:
    """A picture of nothing, unlike that of another seed, (side, side, 3)."""
    small = np.random.default_rng(seed).integers(0, 255, (5, 5), np.uint8)
    return cv2.cvtColor(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2BGR)


def seats(*seeds: int | None) -> np.ndarray:
    """A frame with these faces, 80 pixels each, on seats 100 pixels apart; None for an empty one."""
    image = np.full((80, 100 * len(seeds), 3), 128, np.uint8)
    for k, seed in enumerate(seeds):
        if seed is not None:
            image[:, 100 * k : 100 * k + 80] = noise(seed)
    return image


def seated(image, grey) -> np.ndarray:
    """A detector of ``seats``."""
    boxes = [(100 * k, 0, 80, 80) for k in range(grey.shape[1] // 100) if np.ptp(grey[:, 100 * k : 100 * k + 80])]
    return np.array(boxes, np.int32).reshape(-1, 4)


@pytest.mark.parametrize(
    "rate, weight", [(30, np.exp(-1 / 9)), (5, np.exp(-2 / 3)), (2, 1 / 3), (1, 1 / 3), (0.2, 1 / 3)]
)
def test_at_every_frame_rate_a_still_face_keeps_its_number_and_is_smoothed(rate, weight):
    before, after = np.eye(7)[0], np.eye(7)[3]
    watcher, shares = live.Watcher(seated, InTurn(before, after)), []
    for k in range(6):
        (face,), _ = watcher.look(seats(1), k / rate)
        assert face.track == 1
        shares.append(face.probabilities[0])
    assert shares == pytest.approx([weight**k for k in range(6)])


def test_a_face_that_moved_far_is_not_averaged_with_what_it_was_a_second_ago():
    before, after = np.eye(7)[0], np.eye(7)[3]
    for left, share in ((12, 1 / 3), (30, np.exp(-1 / 0.3))):
        tracks = pipeline.Tracks()
        one_face(tracks, before, 0)
        assert one_face(tracks, after, 1, left).number == 1
        assert tracks.tracks[0].probabilities[0] == pytest.approx(share)
    none = pipeline.Tracks(0)
    one_face(none, before, 0)
    assert one_face(none, after, 1).probabilities[0] == 0


@pytest.mark.parametrize("rate", [2, 1, 0.2])
def test_at_low_frame_rates_another_face_at_the_same_place_has_another_number(rate):
    watcher, moments = live.Watcher(seated, Brightness()), (k / rate for k in range(20))

    def numbers(*seeds):
        return [face.track for face in watcher.look(seats(*seeds), next(moments))[0]]

    assert numbers(1, 2) == [1, 2] and numbers(1, 2) == [1, 2]
    assert numbers(2, 1) == [3, 4] and numbers(2, 1) == [3, 4]  # they changed seats
    assert numbers(2, None) == [3] and numbers(2, 1) == [3, 4]  # one look missed a face
    assert numbers(5, 6) == [5, 6]  # a cut
    assert numbers(None, None, 5) == [7]  # elsewhere


def test_two_who_change_seats_out_of_sight_have_new_numbers_at_every_frame_rate():
    for rate in (25, 5, 1):
        watcher, numbers = live.Watcher(seated, Brightness()), []
        for k in range(int(7 * rate) + 1):
            here = (1, 2) if k <= rate else (2, 1) if k >= 6 * rate else (None, None)
            numbers.append([face.track for face in watcher.look(seats(*here), k / rate)[0]])
        assert numbers[0] == numbers[rate] == [1, 2] and numbers[-1] == numbers[6 * rate] == [3, 4]


def test_after_a_pause_the_detector_searches_as_at_first_and_all_known_faces_are_classified():
    class Detector:
        forgot = 0

        def __call__(self, image, grey):
            return seated(image, grey)

        def forget(self):
            self.forgot += 1

    detect, ten, counted = Detector(), seats(*range(10)), []
    watcher = live.Watcher(detect, Brightness())
    classify = watcher.classifier.classify
    watcher.classifier.classify = lambda faces: counted.append(len(faces)) or classify(faces)
    for moment in (0, 0.04, 0.08, 0.28, 1.28, 2.28):
        watcher.look(ten, moment)
    assert counted == [10, 3, 3, 10, 10, 10] and detect.forgot == 3  # the first frame, and two that came late
    for name in ("tuned", "blaze"):
        if name == "blaze" and pipeline.detectors.blaze.missing():
            continue
        detect, none, image = detectors.detector(name), frame({}), frame({PLACE: SIDE})
        assert [len(detect(each, grey(each))) for each in (none, none, image)] == [0, 0, 0]  # searched later
        detect.forget()
        assert len(detect(image, grey(image))) == 1


@pytest.mark.parametrize("tone", [0, 128, 255])
def test_a_black_white_or_grey_crop_is_left_open_whatever_the_network_says(tone):
    happy = np.eye(7)[3]
    boxes = np.array([(10, 10, 60, 60)])
    watcher = live.Watcher(lambda image, grey: boxes, InTurn(happy), threshold=0)
    flat = np.full((100, 100, 3), tone, np.uint8)
    flat[::2] -= np.uint8(tone > 0)  # a camera's noise
    (face,), _ = watcher.look(flat)
    assert face.flat and face.abstained and (face.probabilities == 1 / 7).all() and face.track == 1
    (face,), _ = watcher.look(np.ascontiguousarray(noise(1, 100)), 0.1)
    assert not face.flat and not face.abstained and face.track == 1
    np.testing.assert_array_equal(face.probabilities, happy)  # nothing of the 1/7 is left
    (face,), _ = watcher.look(flat, 0.2)
    assert face.flat and (face.probabilities == 1 / 7).all()


def test_hardly_a_row_of_fer2013_is_taken_for_flat(fer2013_faces):
    faces = fer2013_faces
    levels = faces.images[faces.split == 0].reshape(-1, 48 * 48).astype(np.float32).std(axis=1)
    assert (levels < pipeline.FLAT).sum() == 12 and (levels == 0).sum() == 11
    assert np.sort(levels)[12] > 9


def test_of_many_known_faces_a_few_are_classified_in_turn_and_new_ones_at_once(tmp_path):
    places = np.array([(60 * k, 10, 50, 50) for k in range(8)])
    shown, classified = [5, 5, 8, 8, 8, 8], []

    class Counts(Brightness):
        def classify(self, faces):
            classified.append(len(faces))
            return super().classify(faces)

    watcher = live.Watcher(lambda image, grey: places[: shown[len(classified)]], Counts(), smoothing=0)
    pictures = np.random.default_rng(0).integers(0, 255, (6, 80, 480, 3), np.uint8)
    changed, faces = [], ()
    for k, picture in enumerate(pictures):
        before, (faces, _) = faces, watcher.look(picture, k / 25)
        pairs = zip(before, faces)
        changed.append([i for i, (old, new) in enumerate(pairs) if (old.probabilities != new.probabilities).any()])
    assert classified == [5, 3, 3, 3, 3, 3]  # in the third frame three are new
    assert [len(each) for each in changed[3:]] == [3] * 3 and set(sum(changed[3:], [])) == set(range(8))
    pictures_of_their_own = live.Watcher(lambda image, grey: places, Counts(), moving=False)
    pictures_of_their_own.look(pictures[0])
    assert classified[-1] == 8


def test_a_clock_that_jumps_back_does_no_harm():
    tracks = pipeline.Tracks()
    one_face(tracks, np.eye(7)[0], 5.0)
    np.testing.assert_array_equal(one_face(tracks, np.eye(7)[1], 1.0).probabilities, np.eye(7)[0])


# ---- watch


def test_a_video_gives_every_frame_with_its_time_and_faces(tmp_path):
    images = [frame({(100 + 4 * k, 100): 160, (400, 200): 120}) for k in range(12)]
    results = list(live.watch(video(tmp_path / "two.mkv", images), classifier=Brightness()))
    assert [result.index for result in results] == list(range(12))
    assert [result.time for result in results] == pytest.approx([k / 25 for k in range(12)])
    for k, result in enumerate(results):
        assert [face.track for face in result.faces] == [1, 2]
        for face, (x, y), side in zip(result.faces, ((100 + 4 * k, 100), (400, 200)), (160, 120)):
            assert overlap(face.box, (x, y, side, side)) > 0.5  # a drawn head is smaller than its picture
        assert result.image.shape == (480, 640, 3)
        assert set(result.seconds) == {"read", "detect", "crop", "classify"}
        for face in result.faces:
            (first, likely), (second, less) = face.top2
            assert likely == face.probabilities.max() and first != second and likely >= less
            assert face.emotions[int(np.argmax(face.probabilities))] == first
    some = live.watch(tmp_path / "two.mkv", classifier=Brightness(), every=5)
    assert [result.index for result in some] == [0, 5, 10]


def test_under_the_threshold_the_emotion_is_left_open(tmp_path):
    cv2.imwrite(str(tmp_path / "one.png"), frame({PLACE: SIDE}))

    def abstained(threshold):
        result = next(live.watch(tmp_path / "one.png", classifier=Brightness(), threshold=threshold))
        return result.faces[0].abstained, float(result.faces[0].probabilities.max())

    likely = abstained(0)[1]
    assert abstained(0)[0] is False and abstained(likely)[0] is False and abstained(likely + 1e-4)[0] is True


def test_pictures_have_nothing_to_do_with_one_another(tmp_path):
    for name, tone in (("a.png", 1.0), ("b.jpg", 0.3)):
        cv2.imwrite(str(tmp_path / name), np.uint8(tone * frame({PLACE: SIDE})))
    (tmp_path / "notes.txt").write_text("no picture")
    one, other = live.watch(tmp_path, classifier=Brightness(), smoothing=100)
    assert (one.name, other.name) == ("a.png", "b.jpg") and one.time == other.time == 0
    assert one.faces[0].track != other.faces[0].track
    alone = next(live.watch(tmp_path / "b.jpg", classifier=Brightness()))
    np.testing.assert_array_equal(other.faces[0].probabilities, alone.faces[0].probabilities)


def test_another_detector_and_a_frame_without_faces(tmp_path):
    source = video(tmp_path / "none.mkv", [frame({})] * 3)
    assert [result.faces for result in live.watch(source, classifier=Brightness())] == [()] * 3
    own = live.watch(source, lambda image, grey: np.array([(5, 5, 50, 50)]), Brightness())
    assert [result.faces[0].box for result in own] == [(5, 5, 50, 50)] * 3


def test_frames_of_ones_own_are_looked_at_too():
    watcher = live.Watcher(classifier=Brightness())
    for k in range(3):
        faces, seconds = watcher.look(frame({(200 + 4 * k, 120): 160}), k / 25)
        assert [face.track for face in faces] == [1] and overlap(faces[0].box, (200 + 4 * k, 120, 160, 160)) > 0.5
        assert set(seconds) == {"detect", "crop", "classify"}


def test_only_the_region_is_searched_and_boxes_are_in_the_whole_frames_pixels(tmp_path):
    image = frame({(20, 20): 100, (400, 200): 160})
    whole = live.look(image, "tuned", Brightness())
    (face,) = live.look(image, "tuned", Brightness(), region=(320, 150, 320, 300))
    assert len(whole) == 2 and overlap(face.box, whole[1].box) > 0.8 and face.track == 1
    searched = []

    def all_of_it(image, grey):
        searched.append((image.shape, grey.shape, image[0, 0].tolist()))
        return np.array([(0, 0, grey.shape[1], grey.shape[0], 12.5)], np.float32)

    image[50, 100] = 1, 2, 3
    for region, cut in (((100, 50, 30, 20), (100, 50, 30, 20)), ((-50, -50, 5000, 5000), (0, 0, 640, 480))):
        cv2.imwrite(str(tmp_path / "a.png"), image)
        (result,) = live.watch(tmp_path / "a.png", all_of_it, Brightness(), region=region)
        assert result.faces[0].box == result.region == cut and result.faces[0].turn == 12.5
        assert result.image.shape == (480, 640, 3)
    assert searched[0] == ((20, 30, 3), (20, 30), [1, 2, 3]) and searched[1][0] == (480, 640, 3)
    (result,) = live.watch(tmp_path / "a.png", all_of_it, Brightness())
    assert result.region is None


@pytest.mark.parametrize("region", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "0,0,0,10", (0, 0, 10, -1), (0.5, 0, 9, 9), 7])
def test_what_is_no_region_is_refused(region):
    message = "region: found .*, expected left,top,width,height: four whole numbers"
    with pytest.raises(ValueError, match=message):
        pipeline.as_region(region)
    with pytest.raises(ValueError, match=message):
        live.Watcher(classifier=Brightness(), region=region)


def test_a_region_beside_the_frame_is_refused():
    assert pipeline.as_region(" 1,2, 3,4") == pipeline.as_region((1, 2, 3, 4)) == (1, 2, 3, 4)
    for region in ((640, 0, 10, 10), (0, 480, 10, 10), (-10, 0, 10, 10)):
        with pytest.raises(ValueError, match="which is outside, expected a part of the frame, 640 x 480 pixels"):
            live.look(frame({}), "tuned", Brightness(), region=region)


def test_a_frames_likeliest_emotion_is_that_of_the_highest_mean_over_its_faces():
    def top(*faces):
        made = []
        for probabilities, abstained in faces:
            row = np.array([*probabilities, *[0] * (7 - len(probabilities))])
            made.append(pipeline.Face((0, 0, 9, 9), 1, row, FER2013, abstained))
        return pipeline.Result(0, 0.0, "", None, tuple(made), {}).top_emotion

    assert top(([0.6, 0, 0.4], False), ([0, 0.1, 0.5, 0.4], False)) == "fear"  # neither's likeliest
    assert top(([0.3, 0.7], False), ([0.9, 0.1], True)) == "angry"  # of all faces
    assert top() is None and top(([0.4, 0.6], True)) is None


def test_the_faces_in_a_picture_of_every_kind(tmp_path):
    image = frame({(20, 20): 100, (400, 200): 160})
    cv2.imwrite(str(tmp_path / "a.png"), image)
    content = (tmp_path / "a.png").read_bytes()
    kinds = [image, tmp_path / "a.png", str(tmp_path / "a.png"), content, Image.fromarray(image[..., ::-1])]
    found = [live.look(kind, "tuned", Brightness()) for kind in kinds]
    found += [live.Watcher("tuned", Brightness(), moving=False).look(kind)[0] for kind in kinds]
    found += [next(live.watch(kind, "tuned", Brightness())).faces for kind in kinds]
    for faces in found:
        assert [face.track for face in faces] == [1, 2]
        assert [face.box for face in faces] == [face.box for face in found[0]]
        for face, first in zip(faces, found[0]):
            np.testing.assert_array_equal(face.probabilities, first.probabilities)


def test_the_networks_are_loaded_once_for_all_pictures(monkeypatch):
    made, watcher = [], pipeline.Watcher
    monkeypatch.setattr(pipeline, "Watcher", lambda *these, **named: made.append(1) or watcher(*these, **named))
    classifier, image = Brightness(), frame({PLACE: SIDE})
    for _ in range(3):
        (face,) = live.look(image, "tuned", classifier)
        assert face.track == 1
    assert len(made) == 1
    live.look(image, "tuned", classifier, threshold=0.9)
    assert len(made) == 2


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((9, 9, 3)),
        np.zeros((9, 9, 5), np.uint8),
        np.zeros((0, 9, 3), np.uint8),
        Image.new("RGB", (0, 0)),
        b"text",
        "",
        None,
        3.5,
    ],
)
def test_what_is_no_picture_is_refused_in_words(image):
    watcher = live.Watcher("tuned", Brightness())
    for look in (watcher.look, lambda image: live.look(image, "tuned", Brightness())):
        with pytest.raises((ValueError, TypeError), match="image: found .*, expected "):
            look(image)


@pytest.mark.parametrize(
    "named",
    [
        {"threshold": 1.5},
        {"threshold": float("nan")},
        {"threshold": None},
        {"threshold": "0.5"},
        {"smoothing": -1},
        {"smoothing": None},
        {"region": (0, 0, 0, 0)},
        {"region": np.array([[0, 0, 9, 9]])},
        {"region": 5},
        {"detector": ["blaze"]},
        {"classifier": "x"},
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, named):
    with pytest.raises(ValueError, match=f"{next(iter(named))}: found"):
        live.watch(tmp_path, **{"classifier": Brightness()} | named)


# ---- sources


def test_what_moves():
    assert (
        sources.moves(0)
        and sources.moves("1")
        and sources.moves("/dev/video0")
        and sources.moves("film.mp4")
        and sources.moves("rtsp://there/x")
        and sources.moves("http://camera/now.jpg")
    )
    assert not sources.moves("picture.JPG") and not sources.moves(paths.ROOT)


def timed(path, times, frames=None, **options):
    """A video whose frames come at these times, in seconds, each as bright as its number says."""
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=1000, options={"g": "4"} | options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for k, moment in enumerate(times):
            each = av.VideoFrame.from_ndarray(frame({}, 64, 48, tone=20 + 10 * k), "bgr24")
            each.pts, each.time_base = round(1000 * moment), Fraction(1, 1000)
            file.mux(stream.encode(each))
        file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("begin", [0, 1.5, 3600])
@pytest.mark.parametrize("kind", ["mkv", "mp4", "ts"])
def test_times_are_the_videos_own_from_its_first_frame(tmp_path, kind, begin):
    times = [0, 0.04, 0.08, 0.5, 0.51, 2.0, 2.04, 2.3, 7.0, 7.25, 7.26, 7.5]  # of a variable rate
    source = timed(tmp_path / f"a.{kind}", [begin + moment for moment in times])
    found = list(sources.frames(source))
    assert [each.index for each in found] == list(range(12))
    assert [each.time for each in found] == pytest.approx(times, abs=1e-3)
    found = list(sources.frames(source, every=5))
    assert [each.index for each in found] == [0, 5, 10]
    assert [each.time for each in found] == pytest.approx([0, 2.0, 7.26], abs=1e-3)
    assert [float(each.image.mean()) for each in found] == pytest.approx([20, 70, 120], abs=4)


def test_a_damaged_first_frame_moves_no_time(tmp_path):
    data = bytearray(video(tmp_path / "a.mov", [frame({}, 64, 48)] * 4, codec="png", pix_fmt="rgb24").read_bytes())
    place = data.index(b"IHDR")
    data[place : place + 4] = b"IIII"
    (tmp_path / "b.mov").write_bytes(data)
    with pytest.warns(UserWarning, match="1 damaged of 4"):
        found = [(each.index, each.time) for each in sources.frames(tmp_path / "b.mov")]
    assert found == [(k, pytest.approx(k / 25)) for k in (1, 2, 3)]
    with pytest.warns(UserWarning, match="1 damaged of 4"):
        assert [each.index for each in sources.frames(tmp_path / "b.mov", every=2)] == [2]


def test_frames_left_out_are_not_converted(tmp_path, monkeypatch):
    source, converted, decoded = timed(tmp_path / "a.mkv", [k / 25 for k in range(12)]), [], sources._decoded

    def counted(each):
        made = SimpleNamespace(time=each.time, side_data={}, is_corrupt=False)
        made.to_ndarray = lambda **how: converted.append(each.time) or each.to_ndarray(**how)
        return made

    monkeypatch.setattr(sources, "_decoded", lambda *these: map(counted, decoded(*these)))
    monkeypatch.setattr(sources, "_side_data", lambda each: each.side_data)
    assert len(list(sources.frames(source, every=4))) == 3 and converted == pytest.approx([0, 0.16, 0.32])
    for every in (0, -1):
        with pytest.raises(ValueError, match=f"every: found {every}, expected 1 or more"):
            sources.frames(source, every)


def test_several_sources_in_the_order_given_patterns_in_that_of_names(tmp_path):
    for name in ("b.mp4", "a.mp4", "1.png", "2.jpg", "some/3.png", "some/x.mp4", "notes.txt", "[odd].mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def found(*given):
        parts = sources.parts([str(tmp_path / each) for each in given])
        short = lambda path: str(Path(path).relative_to(tmp_path))  # noqa: E731
        return [[short(file) for file in part] if isinstance(part, list) else short(part) for part in parts]

    assert found("*.mp4") == ["[odd].mp4", "a.mp4", "b.mp4"]
    assert found("[odd].mp4") == ["[odd].mp4"]  # a file that is there is no pattern
    assert found("**/*.png") == [["1.png", "some/3.png"]] and found("1.png") == ["1.png"] and found("some") == ["some"]
    assert found("2.jpg", "b.mp4", "1.png", "some", "a.mp4") == [["2.jpg"], "b.mp4", ["1.png", "some/3.png"], "a.mp4"]
    assert found("som?") == ["some"] and found("none.png", "none.mp4") == [["none.png"], "none.mp4"]
    assert sources.parts(["0", "rtsp://there/x?y=[1]"]) == ["0", "rtsp://there/x?y=[1]"]
    with pytest.raises(ValueError, match=r"\*\.avi: found no file that matches"):
        found("a.mp4", "*.avi")


def test_the_length_is_known_of_files_only(tmp_path):
    source = video(tmp_path / "a.mkv", [frame({}, 64, 48)] * 50)
    (tmp_path / "text.mp4").write_text("text")
    (tmp_path / "1.png").touch()
    assert sources.length(source) == pytest.approx(2, abs=0.05)
    assert sources.length([source, source]) == 2 and sources.length(tmp_path) == 1
    assert [sources.length(each) for each in ("0", "rtsp://there/x", tmp_path / "text.mp4")] == [None] * 3


# ---- pictures of all kinds


def bright(path) -> tuple:
    """Of one picture: its height and width, and how bright its upper left and lower right corners are, each colour."""
    (found,) = sources.frames(path)
    image = found.image
    assert image.dtype == np.uint8 and image.flags["C_CONTIGUOUS"] and found.time == 0
    return image.shape, image[:8, :8].mean((0, 1)).round().tolist(), image[-8:, -8:].mean((0, 1)).round().tolist()


@pytest.mark.parametrize("kind", ["png", "webp", "tif"])
def test_what_is_transparent_is_white(tmp_path, kind):
    image = np.zeros((40, 64, 4), np.uint8)
    image[:16, :16] = (10, 100, 200, 255)
    image[-16:, -16:] = (0, 255, 0, 0)  # a colour that is not to be seen
    cv2.imwrite(str(tmp_path / f"a.{kind}"), image, [cv2.IMWRITE_WEBP_QUALITY, 101] if kind == "webp" else [])
    assert bright(tmp_path / f"a.{kind}") == ((40, 64, 3), [10, 100, 200], [255, 255, 255])


def test_transparent_pictures_of_few_colours_and_of_16_bits(tmp_path):
    grey = np.zeros((40, 64, 2), np.uint8)
    grey[:16, :16] = 100, 255
    Image.fromarray(grey, "LA").save(tmp_path / "grey.png")
    colours = Image.fromarray(np.uint8(grey[..., 0] > 0))
    colours.putpalette([0, 0, 0, 100, 100, 100])
    colours.save(tmp_path / "few.png", transparency=0)
    colours.save(tmp_path / "few.gif", transparency=0)
    deep = np.repeat(grey, 2, 2)[..., [0, 0, 0, 3]].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    for name in ("grey.png", "few.png", "few.gif", "deep.png"):
        assert bright(tmp_path / name) == ((40, 64, 3), [100] * 3, [255] * 3), name


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_pictures_of_16_bits(tmp_path, kind):
    image = np.zeros((40, 64), np.uint16)
    image[:16, :16] = 100 * 257
    cv2.imwrite(str(tmp_path / f"grey.{kind}"), image)
    cv2.imwrite(str(tmp_path / f"colour.{kind}"), np.stack([image, 2 * image, image // 2], 2))
    assert bright(tmp_path / f"grey.{kind}") == ((40, 64, 3), [100] * 3, [0] * 3)
    assert bright(tmp_path / f"colour.{kind}")[1] == pytest.approx([100, 200, 50], abs=1)


def test_grey_and_printers_jpegs_and_plain_webp_and_gif(tmp_path):
    image = np.zeros((40, 64, 3), np.uint8)
    image[:16, :16] = 200, 100, 50  # red first
    Image.fromarray(image).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(image).convert("L").save(tmp_path / "grey.jpg", quality=95)
    Image.fromarray(image).save(tmp_path / "a.webp", quality=95)
    Image.fromarray(image).save(tmp_path / "a.gif")
    for name, colour in (("a.jpg", [50, 100, 200]), ("grey.jpg", [124] * 3), ("a.webp", [50, 100, 200])):
        shape, there, other = bright(tmp_path / name)
        assert shape == (40, 64, 3) and there == pytest.approx(colour, abs=6) and other == pytest.approx([0] * 3, abs=3)
    assert bright(tmp_path / "a.gif")[1] == pytest.approx([50, 100, 200], abs=6)
    assert not sources.moves(tmp_path / "a.webp") and not sources.moves(tmp_path / "a.gif")


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_an_animation_moves_in_its_own_time(tmp_path, kind):
    source = tmp_path / f"a.{kind}"
    first, *rest = [Image.fromarray(frame({}, 64, 48, tone=50 * k)) for k in range(5)]
    first.save(source, save_all=True, append_images=rest, duration=[40, 100, 200, 300, 400], lossless=True)
    assert sources.moves(source) and sources.length(source) is None
    found = list(sources.frames(source))
    assert [each.index for each in found] == [0, 1, 2, 3, 4] and {each.name for each in found} == {str(source)}
    assert [each.time for each in found] == pytest.approx([0, 0.04, 0.14, 0.34, 0.64])
    assert [float(each.image.mean()) for each in found] == pytest.approx([0, 50, 100, 150, 200], abs=2)
    assert [each.index for each in sources.frames(source, every=2)] == [0, 2, 4]


def test_an_animation_that_ends_too_soon_gives_what_is_there(tmp_path):
    first, *rest = [
        Image.fromarray(noise) for noise in np.random.default_rng(0).integers(0, 255, (5, 48, 64), np.uint8)
    ]
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest, duration=100)
    data = (tmp_path / "a.gif").read_bytes()
    (tmp_path / "a.gif").write_bytes(data[: len(data) * 2 // 3])
    with pytest.warns(UserWarning, match=r"a\.gif: found damage in frame \d .*; the rest is left out"):
        found = [each.index for each in sources.frames(tmp_path / "a.gif")]
    assert found == list(range(len(found))) and 2 <= len(found) < 5


def test_a_camera_is_read_until_it_ends(monkeypatch):
    left = [(True, frame({}, 64, 48))] * 3 + [(False, None)]
    released = []
    camera = SimpleNamespace(
        isOpened=lambda: True, set=lambda *_: True, read=lambda: left.pop(0), release=lambda: released.append(True)
    )
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    found = sources.frames("0")
    assert [next(found).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="camera 0: found no further frame after 3"):
        next(found)
    assert released


def test_a_stream_is_read_and_a_silent_one_given_up(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 255, (20, 240, 320, 3), np.uint8)
    source = video(tmp_path / "some.mkv", noise)  # large enough for more than one packet of the network's

    class Sends(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = source.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.path == "/some.mkv":
                self.wfile.write(data)
            elif self.path == "/half.mkv":
                self.wfile.write(data[: len(data) // 2])
            else:
                silent.wait()

        def log_message(self, *_):
            pass

    silent = threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sends) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}"
        assert len(list(sources.frames(f"{place}/some.mkv"))) == 20
        half = sources.frames(f"{place}/half.mkv")
        with pytest.raises(OSError, match=r"half\.mkv: found no further frame after \d+ \("):
            list(half)
        monkeypatch.setattr(sources, "PATIENCE", 0.5)
        with pytest.raises(ValueError, match="silent: found nothing to be read as a video"):
            next(sources.frames(f"{place}/silent"))
        silent.set()
        server.shutdown()


def test_bad_sources_are_refused_and_say_why(tmp_path, capfd):
    (tmp_path / "text.mp4").write_text("no video" * 100)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "folder").mkdir()
    for source, kind, message in (
        (tmp_path / "none.mp4", FileNotFoundError, "found no such file"),
        (tmp_path / "text.mp4", ValueError, "nothing to be read as a video"),
        (tmp_path / "empty.mp4", ValueError, "nothing to be read as a video"),
        (tmp_path / "folder", ValueError, "found no picture"),
        (tmp_path / "broken.png", ValueError, r"broken\.png: found an incomplete or damaged picture, 6 bytes"),
        ("http://127.0.0.1:9/film.mp4", ValueError, "Connection refused"),
        ("http://someone:secret@127.0.0.1:9/film.mp4", ValueError, "^http://127.0.0.1:9/film.mp4: found"),
        (97, OSError, "camera 97: found none that opens"),
        ("/dev/video97", OSError, "camera 97: found none that opens"),
    ):
        with pytest.raises(kind, match=message) as error:
            next(sources.frames(source))
        assert "secret" not in str(error.value)
    assert "VIDEOIO" not in capfd.readouterr().err  # one clear error, not a list of drivers


def test_a_file_without_pictures_or_with_an_unknown_codec_is_refused(tmp_path):
    import av

    with av.open(str(tmp_path / "sound.mkv"), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        file.mux(stream.encode(sound))
    with pytest.raises(ValueError, match="no pictures in it"):
        next(sources.frames(tmp_path / "sound.mkv"))
    data = video(tmp_path / "h264.mkv", [frame({}, 64, 48)] * 3).read_bytes()
    assert data.count(b"V_MPEG4/ISO/AVC") == 1
    (tmp_path / "new.mkv").write_bytes(data.replace(b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/ABC"))
    with pytest.raises(ValueError, match="cannot be read|no frame that can be decoded"):
        next(sources.frames(tmp_path / "new.mkv"))


def test_damaged_frames_are_left_out_counted_and_keep_their_numbers(tmp_path):
    images = [frame({}, 64, 48, tone=20 * k) for k in range(10)]
    data = bytearray(video(tmp_path / "png.mov", images, codec="png", pix_fmt="rgb24").read_bytes())
    places = [k for k in range(len(data)) if data[k : k + 4] == b"IHDR"]
    assert len(places) == 10
    for k in (3, 7):
        data[places[k] : places[k] + 4] = b"IIII"
    (tmp_path / "damaged.mov").write_bytes(data)
    with pytest.warns(UserWarning, match=r"damaged\.mov: found 2 damaged of 10 frames, first frame 3"):
        found = list(sources.frames(tmp_path / "damaged.mov"))
    assert [each.index for each in found] == [0, 1, 2, 4, 5, 6, 8, 9]
    assert [round(float(each.image.mean())) for each in found] == [20 * each.index for each in found]


def test_a_file_that_ends_too_soon_gives_what_is_there(tmp_path):
    whole = video(tmp_path / "whole.mkv", np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), np.uint8))
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    found = list(sources.frames(tmp_path / "cut.mkv"))
    assert 10 <= len(found) < 20 and [each.index for each in found] == list(range(len(found)))


# ---- start


def test_nothing_slow_is_imported():
    program = (
        "import sys, live_frames; live_frames.install(); import fer_lib.__main__, fer_lib.live.command; "
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    environment = {"PYTHONPATH": f"{paths.ROOT}:{paths.ROOT / 'tests'}"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, cwd=paths.ROOT
    )
    slow = {"keras", "tensorflow", "jax", "pandas", "matplotlib", "sklearn", "scipy", "papermill", "yaml", "PIL"}
    assert not slow & set(done.stdout.split())


def test_what_it_imports_is_what_the_package_asks_for():
    """``pip install '.[live]'`` brings all that the command may import, and none of the study's."""
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    core = {re.split("[<>=]", line)[0] for line in project["dependencies"]}
    asked, modules = set(), ["__init__", "__main__", "paths", "data/__init__", "data/emotions"]
    live_modules = ["__init__", "command", "detectors", "inference", "outputs", "pipeline", "sources"]
    for name in [*modules, *(f"live/{name}" for name in live_modules)]:
        for node in ast.walk(ast.parse((paths.ROOT / "fer_lib" / f"{name}.py").read_text())):
            if isinstance(node, ast.Import):
                asked |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                asked.add(node.module.split(".")[0])
    wheels = {"cv2": "opencv-python-headless", "ai_edge_litert": "ai-edge-litert", "PIL": "pillow"}
    asked = {wheels.get(name, name) for name in asked - set(sys.stdlib_module_names)}
    assert asked <= core and {"numpy", "av", "onnxruntime"} <= asked
    assert not core & {"keras", "tensorflow", "jupyterlab", "pandas", "snakemake"}
    assert project["optional-dependencies"]["live"] == []


class Forgetful:
    """A detector that finds a face in bright frames, and counts how often it is told to search as at first."""

    def __init__(self):
        self.times = 0

    def forget(self):
        self.times += 1

    def __call__(self, image, grey):
        return np.array([(10, 10, 40, 40)] * int(grey.mean() > 100), np.int32).reshape(-1, 4)


@pytest.mark.parametrize(("rate", "empty", "full"), [(30, 1, 1), (10, 20, 2), (5, 20, 4), (2.5, 20, 20), (1, 20, 20)])
def test_sparse_frames_are_searched_as_the_first_one(rate, empty, full):
    for tone, times in ((0, empty), (200, full)):
        watcher = live.Watcher(detector=Forgetful(), classifier=Brightness())
        for k in range(20):
            watcher.look(frame({}, 64, 64, tone), k / rate)
        assert watcher.detect.times == times


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "the detector's boxes: found None, expected numbers of shape"),
        ([(1, 2, 3)], r"boxes: found \[\(1, 2, 3\)\]"),
        ([(1, 2, 3, 4), (1, 2)], r"boxes: found \[\(1, 2, 3, 4\), \(1, 2\)\]"),
        (np.full((1, 4), "a"), r"boxes: found <U1 of shape \(1, 4\)"),
        (np.array([(10, 10, np.nan, 50)]), r"boxes: found \[10.0, 10.0, nan, 50.0\]"),
        ([[0, 0, 1e9, 1e9]], "expected none beyond 8 times the frame's longer side of 80 pixels"),
        ([[0, 0, 2**40, 2**40]], "expected none beyond 8 times"),
        ([[-(2**62), 0, 2**63 - 1, 5]], "expected none beyond 8 times"),
        ([(10, 10, 0, 50)], r"boxes: found \[10, 10, 0, 50\], expected .* above 0; correct what the detector returns"),
    ],
)
def test_boxes_of_your_own_detector_are_checked(found, message):
    with pytest.raises(ValueError, match=message):
        live.look(np.zeros((80, 80, 3), np.uint8), detector=lambda image, grey: found, classifier=Brightness())


@pytest.mark.parametrize("none", [[], (), np.empty((0, 5)), np.empty(0)])
def test_no_boxes_are_no_faces(none):
    assert live.Watcher(lambda image, grey: none, Brightness(), region=(5, 5, 9, 9)).look(noise(0))[0] == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "the classifier's probabilities: found None, expected numbers of shape"),
        (np.full((1, 6), 1 / 6), r"probabilities: found float64 of shape \(1, 6\), expected numbers of shape \(1, 7\)"),
        (np.full((1, 7), np.nan), "1 of 1 predictions with NaN or infinite numbers"),
        ([[1, 1, 0, 0, 0, 0, 0]], r"found \[1, 1, 0, 0, 0, 0, 0\], expected .*sum to 1; correct what `classify`"),
        ([[2, -1, 0, 0, 0, 0, 0]], r"found \[2, -1, 0, 0, 0, 0, 0\]"),
    ],
)
def test_probabilities_of_your_own_classifier_are_checked(given, message):
    class Wrong(Brightness):
        def classify(self, faces):
            return given

    with pytest.raises(ValueError, match=message):
        live.look(noise(0), detector=lambda image, grey: [(10, 10, 50, 50)], classifier=Wrong())


@pytest.mark.parametrize(
    "kind", ["int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
)
def test_boxes_of_every_type_are_the_same(kind):
    image, box = frame({(150, 60): 100}), np.array([(150, 60, 100, 100)], kind)
    expected, _ = live.Watcher(lambda image, grey: [[150, 60, 100, 100]], Brightness()).look(image)
    assert not expected[0].flat
    for region in (None, (0, 0, 640, 480)):
        (face,), _ = live.Watcher(lambda image, grey: box, Brightness(), region=region).look(image)
        assert face.box == expected[0].box
        np.testing.assert_array_equal(face.probabilities, expected[0].probabilities)
    (face,), _ = live.Watcher(lambda image, grey: box - box + 9, Brightness(), region=(300, 0, 99, 99)).look(image)
    assert face.box == (309, 9, 9, 9)  # 300 is more than a uint8 holds


@dataclasses.dataclass
class Plain:
    """A detector that cannot be hashed, and is equal to another of the same side."""

    side: int

    def __call__(self, image, grey):
        return [(10, 10, self.side, self.side)]


def test_a_detector_that_cannot_be_hashed_serves_and_is_told_from_another():
    one, other = Plain(30), Plain(30)
    assert live.look(noise(0), one, Brightness())[0].box == (10, 10, 30, 30)
    other.__class__ = type("Other", (Plain,), {"__call__": lambda self, image, grey: [(0, 0, 20, 20)]})
    assert live.look(noise(0), other, Brightness())[0].box == (0, 0, 20, 20)


def test_your_own_detector_may_look_itself():
    classifier, inner = Brightness(), Plain(30)
    outer = lambda image, grey: [face.box for face in live.look(image, inner, classifier)]  # noqa: E731
    for _ in range(2):
        (face,) = live.look(noise(0), outer, classifier)
        assert face.box == (10, 10, 30, 30)


def test_a_picture_without_the_region_is_left_out_and_the_rest_goes_on(tmp_path):
    for name, size in {"a": (640, 480), "b": (100, 100), "c": (640, 480)}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((*size[::-1], 3), np.uint8))
    named = {"detector": Plain(30), "classifier": Brightness(), "region": (200, 200, 300, 200)}
    with pytest.warns(UserWarning, match="b.png: region: found 200,200,300,200, which is outside") as told:
        found = list(live.watch(tmp_path, **named))
    assert [each.name for each in found] == ["a.png", "c.png"] and len(told) == 1
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="b.png: region: found"):
        list(live.watch(tmp_path / "b.png", **named))
