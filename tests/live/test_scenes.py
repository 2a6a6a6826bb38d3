"""Faces of clips and of pictures of groups: which are cut out, what stands in where there is none, damage, memory, and
that what was found once is kept."""

import tracemalloc
import warnings
from itertools import repeat

import cv2
import numpy as np
import pytest

from fer_lib import paths
from fer_lib.data import afew, drawn_scenes, gaf
from fer_lib.data.afew import Clip
from fer_lib.data.emotions import FER2013
from fer_lib.data.gaf import Picture
from fer_lib.live import blaze, detectors, scenes
from fer_lib.live.boxes import overlap

needs_blaze = pytest.mark.skipif(blaze.missing() is not None, reason=f"blaze is not installed: {blaze.missing()}")


@pytest.fixture(autouse=True)
def _no_scenes(monkeypatch):
    for name in ("AFEW", "GAF"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Seven training and seven validation clips, six training and three validation pictures."""
    folder = tmp_path_factory.mktemp("scenes")
    drawn_scenes.write_afew(folder / "afew", 7, 7)
    drawn_scenes.write_gaf(folder / "gaf", 6, 3)
    return folder


class Bright:
    """A detector that finds a face at each of its places in frames of a mean grey between two."""

    def __init__(self, *boxes, low: float = 0, high: float = 256):
        self.boxes, self.low, self.high, self.seen, self.forgotten = boxes, low, high, [], 0

    def __call__(self, image, grey):
        assert image.shape == (*grey.shape, 3)
        self.seen.append(float(grey.mean()))
        found = self.boxes if self.low <= self.seen[-1] < self.high else ()
        return np.array(found, np.float32).reshape(-1, 4)

    def forget(self):
        self.forgotten += 1


def steps(path, count: int, ahead: int = 8) -> Clip:
    """A clip whose frames have a grey of ``ahead`` times their number, with a white square at (10, 20)."""

    def frames():
        for number in range(count):
            frame = np.full((96, 160, 3), ahead * number, np.uint8)
            frame[20:68, 10:58] = 255
            yield frame

    path.parent.mkdir(parents=True, exist_ok=True)
    drawn_scenes.write_clip(path, frames())
    return Clip(path, 3, 0)


def corner(faces: np.ndarray) -> list[float]:
    """The grey of each face's lower left corner."""
    return faces[..., -4:, :4].mean((-1, -2)).tolist()


# ---- clips


@pytest.mark.parametrize(("count", "wanted"), [
    (30, [0, 10, 19, 29]), (4, [0, 1, 2, 3]), (5, [0, 1, 3, 4]), (2, [0, 1, 1, 1]), (1, [0, 0, 0, 0]),
])  # fmt: skip
def test_frames_are_spread_evenly_and_the_last_is_repeated(tmp_path, count, wanted):
    detect = Bright((80, 20, 46, 46))  # beside the square
    clips = scenes.faces_of_clips([steps(tmp_path / "a.avi", count)], "made up", 4, detect)
    assert clips.faces.shape == (1, 4, 48, 48) and clips.faces.dtype == np.uint8 and clips.found.all()
    np.testing.assert_allclose(corner(clips.faces)[0], 8 * np.array(wanted), atol=3)
    assert len(detect.seen) == len(set(wanted)) and detect.forgotten == 1


def test_the_largest_face_is_taken_and_of_equal_ones_the_left(tmp_path):
    clip = steps(tmp_path / "a.avi", 3, 20)
    square = 10, 20, 46, 46
    for others in ([(80, 20, 30, 30)], [(100, 20, 46, 46)]):
        found = scenes.faces_of_clips([clip], "made up", 3, Bright(square, *others))
        assert found.faces[0, :, 8:-8, 8:-8].min() > 235
    found = scenes.faces_of_clips([clip], "made up", 3, Bright((10, 20, 30, 30), (80, 20, 40, 40)))
    assert found.faces[0].max() < 60


def test_where_no_face_is_found_the_nearest_frames_face_stands_in(tmp_path):
    clip = steps(tmp_path / "a.avi", 7, 20)
    found = scenes.faces_of_clips([clip], "made up", 7, Bright((80, 20, 46, 46), low=65, high=80))
    assert found.found[0].tolist() == [False, False, True, False, False, False, False]
    np.testing.assert_allclose(corner(found.faces)[0], [40] * 7, atol=3)
    detect = Bright((80, 20, 46, 46))
    detect.boxes, places = (), iter([(), ((80, 20, 46, 46),), (), ((80, 20, 46, 46),), (), (), ()])

    def in_turn(image, grey):
        detect.boxes = next(places)
        return detect(image, grey)

    found = scenes.faces_of_clips([clip], "made up", 7, in_turn)
    np.testing.assert_allclose(corner(found.faces)[0], [20, 20, 20, 60, 60, 60, 60], atol=3)  # of 2, the earlier


def test_in_a_clip_without_a_face_the_middle_square_stands_in(tmp_path):
    clips = [steps(tmp_path / "a.avi", 5, 20), steps(tmp_path / "b.avi", 5, 20)]
    found = scenes.faces_of_clips(clips, "made up", 6, Bright())
    assert not found.found.any() and found.source["without_face"] == 2 and found.source["found"] == 0
    np.testing.assert_allclose(corner(found.faces)[0], [0, 20, 40, 60, 80, 80], atol=3)
    # 96 of 160 pixels, from 32 on, as 48: the white square is in its columns 0 to 12 and rows 10 to 33
    assert (found.faces[0, 0, 12:32, :12] > 240).all() and (found.faces[0, 0, 12:32, 16:] < 10).all()


def damage(path, how: str) -> None:
    content = path.read_bytes()
    path.write_bytes({"empty": b"", "cut off": content[:200], "noise": bytes(range(256)) * 20}[how])


@pytest.mark.parametrize("how", ["empty", "cut off", "noise", "missing"])
def test_a_clip_that_cannot_be_read_is_left_out_and_counted(tmp_path, how):
    clips = [steps(tmp_path / f"{name}.avi", 3) for name in "abc"]
    clips = [clip._replace(label=k, split=k) for k, clip in enumerate(clips)]
    clips[1].path.unlink() if how == "missing" else damage(clips[1].path, how)
    with pytest.warns(UserWarning, match=r"made up: 1 of 3 clips are left out, such as .*b\.avi: "):
        found = scenes.faces_of_clips(clips, "made up", 2, Bright((80, 20, 46, 46)))
    assert len(found) == 2 and found.faces.shape == (2, 2, 48, 48) and found.found.shape == (2, 2)
    assert found.ids.tolist() == found.labels.tolist() == found.split.tolist() == [0, 2]
    assert found.source == {"clips": 3, "left_out": 1, "without_face": 0, "found": 1.0}
    clips[2].path.unlink()
    with pytest.raises(ValueError, match="made up: found 2 of 3 clips unreadable, such as .*b.avi.*expected most"):
        scenes.faces_of_clips(clips, "made up", 2, Bright())


def test_what_is_damaged_in_a_clip_is_told_once_and_the_rest_is_read(tmp_path):
    clip = steps(tmp_path / "a.avi", 12)
    content = bytearray(clip.path.read_bytes())
    place = content.find(b"\xff\xda", len(content) // 2) + 20  # in the middle of a frame
    content[place : place + 30] = b"\xff\xff" * 15
    clip.path.write_bytes(content)
    with pytest.warns(UserWarning, match="found 1 damaged of 12 frames") as told:
        found = scenes.faces_of_clips([clip], "made up", 16, Bright((80, 20, 46, 46)))
    assert len(told) == 1 and found.source["left_out"] == 0
    assert len(np.unique(np.round(corner(found.faces)[0]))) == 11


@pytest.mark.parametrize(("listed", "frames", "found"), [(0, 16, "found no clip"), (1, 0, "frames: found 0, expected")])
def test_nothing_to_cut_out_is_refused(tmp_path, listed, frames, found):
    with pytest.raises(ValueError, match=found):
        scenes.faces_of_clips([steps(tmp_path / "a.avi", 3)][:listed], "made up", frames, Bright())


def test_one_frame_is_in_memory_at_a_time(tmp_path):
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    drawn_scenes.write_clip(tmp_path / "a.avi", repeat(cv2.GaussianBlur(frame, (0, 0), 5), 60))
    clips = [Clip(tmp_path / "a.avi", 0, 0)]
    tracemalloc.start()
    try:
        scenes.faces_of_clips(clips, "made up", 60, Bright())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 6 * frame.nbytes  # all of a clip's are 60


# ---- groups


def test_the_largest_faces_are_kept_with_their_picture_and_the_whole(tmp_path):
    listed = []
    for k in range(3):
        picture = np.full((120, 200, 3), 60 + 40 * k, np.uint8)
        picture[:, :100] //= 2
        cv2.imwrite(str(tmp_path / f"{k}.png"), picture)
        listed.append(Picture(tmp_path / f"{k}.png", k, 2 - k))
    detect = Bright((110, 10, 20, 20), (10, 10, 40, 40), (120, 60, 30, 30), high=100)
    found = scenes.groups(listed, "made up", 2, detect)
    assert len(found) == 3 and found.owner.tolist() == [0, 0, 1, 1] and found.owner.dtype == np.int32
    assert corner(found.faces) == [30, 60, 50, 100]  # the largest first; the third has none
    assert found.scenes.shape == (3, 64, 64) and found.scenes[:, 5, 5].tolist() == [30, 50, 70]
    assert found.scenes[:, 5, -5].tolist() == [60, 100, 140]  # what is right of the middle is there too
    assert found.labels.tolist() == [0, 1, 2] and found.split.tolist() == [2, 1, 0] and detect.forgotten == 3
    assert found.source == {"pictures": 3, "left_out": 0, "without_face": 1, "faces": 4}
    (tmp_path / "1.png").write_bytes(b"\x89PNG of nothing")
    with pytest.warns(UserWarning, match=r"made up: 1 of 3 pictures are left out, such as .*1\.png: "):
        found = scenes.groups(listed, "made up", 2, detect)
    assert found.ids.tolist() == found.labels.tolist() == [0, 2] and found.owner.tolist() == [0, 0]
    nobody = scenes.groups(listed[::2], "made up", 2, Bright())
    assert nobody.faces.shape == (0, 48, 48) and nobody.source["without_face"] == 2


# ---- with the project's detector


@needs_blaze
def test_faces_of_drawn_clips_and_groups_are_found(trees):
    clips = afew.clips(trees / "afew")
    followed = scenes.faces_of_clips(clips, "made up", 5, detectors.detector())
    assert followed.found.mean() > 0.95 and followed.faces.shape == (14, 5, 48, 48)
    searched, again = (scenes.faces_of_clips(clips[:2], "made up", 5) for _ in range(2))
    assert searched.found.all() and searched.sha256 == again.sha256
    pairs = zip(searched.faces.reshape(-1, 48 * 48), followed.faces[:2].reshape(-1, 48 * 48))
    alike = [np.corrcoef(one, other)[0, 1] for one, other in pairs]
    assert np.mean(alike) > 0.85 and min(alike) > 0.4  # the same face in about the same place
    groups, again = (scenes.groups(gaf.pictures(trees / "gaf"), "made up") for _ in range(2))
    assert groups.sha256 == again.sha256 and groups.source["without_face"] == 0
    detect, all_of, there = detectors.detector(moving=False), 0, 0
    for number in range(6):
        picture, boxes = drawn_scenes.group(gaf.EMOTIONS[number % 3], np.random.default_rng([0, 0, number]))
        found = detect(picture, cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
        there += sum(any(overlap(box, each) > 0.3 for each in found) for box in boxes)
        all_of += len(boxes)
        assert len(found) <= len(boxes) + 1
    assert there > 0.9 * all_of


# ---- what is kept


@pytest.fixture
def supplied(trees, monkeypatch):
    """AFEW and GAF as a user supplies them, and a detector that counts what it is asked."""
    detect = Bright((80, 20, 46, 46), (10, 20, 40, 40))
    monkeypatch.setenv("AFEW", str(trees / "afew"))
    monkeypatch.setenv("GAF", str(trees / "gaf"))
    monkeypatch.setattr(detectors, "detector", lambda *_, **options: detect)
    return detect


@pytest.fixture
def short(tmp_path, supplied, monkeypatch):
    """AFEW with two clips of each emotion, of three frames each, to spoil."""
    for number, emotion in enumerate(FER2013):
        for part in ("Train", "Val"):
            steps(tmp_path / "afew" / part / emotion / f"{part}{number}.avi", 3)
    monkeypatch.setenv("AFEW", str(tmp_path / "afew"))
    return tmp_path / "afew"


@pytest.mark.parametrize("name", ["afew", "gaf"])
def test_faces_are_cut_out_once(supplied, name):
    load = scenes.load_clips if name == "afew" else scenes.load_groups
    first = load(name)
    asked = len(supplied.seen)
    second = load(name)
    assert asked > 0 and len(supplied.seen) == asked
    assert first.sha256 == second.sha256 == scenes.array_hash(*second.hashed) and first.source == second.source
    for one, other in zip((*first.hashed, first.ids), (*second.hashed, second.ids), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert first.name == name and first.source["file"] == name and not first.source["official"]
    assert load(name, 1).sha256 != first.sha256 and len(supplied.seen) > asked  # other faces are asked for


def test_a_changed_file_or_a_damaged_cache_is_read_anew(supplied, short):
    first, asked = scenes.load_clips("afew", 2), len(supplied.seen)
    (kept,) = paths.CACHE.glob("afew-*.npz")
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    for damaged in (content, b"", content[:100]):
        kept.write_bytes(damaged)
        assert scenes.load_clips("afew", 2).sha256 == first.sha256 and len(supplied.seen) == 2 * asked
        supplied.seen = supplied.seen[:asked]
    steps(afew.clips(short)[0].path, 5)
    assert scenes.load_clips("afew", 2).sha256 != first.sha256 and len(supplied.seen) == 2 * asked


def test_what_was_left_out_is_told_each_time(short):
    damage(afew.clips(short)[0].path, "noise")
    with pytest.warns(UserWarning, match="1 of 14 clips are left out"):
        scenes.load_clips("afew", 1)
    with pytest.warns(UserWarning, match="afew: 1 that could not be read are left out"):
        clips = scenes.load_clips("afew", 1)
    assert clips.source["left_out"] == 1 and clips.ids.tolist() == list(range(1, 14))


def test_drawn_ones_are_loaded_like_the_real_ones(supplied, trees, monkeypatch):
    for name in ("afew", "gaf"):
        monkeypatch.setattr(drawn_scenes, name, lambda name=name: trees / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clips, groups = scenes.load_clips("drawn_afew"), scenes.load_groups("drawn_gaf")
    assert clips.name == "drawn_afew" and clips.source["file"] == "drawn in the layout of AFEW" and len(clips) == 14
    assert groups.name == "drawn_gaf" and groups.source["form"] == "the 16 largest faces of each picture"
    assert len(groups) == 9 and set(clips.split) >= {0, 2}


def test_without_the_data_it_is_said_how_to_get_it(monkeypatch):
    with pytest.raises(FileNotFoundError, match="AFEW is not here: its licence .* AFEW=PATH"):
        scenes.load_clips("afew")
    with pytest.raises(FileNotFoundError, match="GAF 2.0 is not here: its licence .* GAF=PATH"):
        scenes.load_groups("gaf")
    for load in (scenes.load_clips, scenes.load_groups):
        with pytest.raises(ValueError, match="found 'fer2013', expected "):
            load("fer2013")


def test_where_nothing_can_be_kept_it_is_said(supplied, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(paths, "CACHE", tmp_path / "file")
    with pytest.raises(OSError, match="cannot keep the faces .*; set FER_CACHE to where there is room"):
        scenes.load_clips("afew")
