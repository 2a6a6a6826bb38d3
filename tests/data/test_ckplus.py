"""CK+: its layout as released, what is none, the face in a frame, folds of persons, and what is drawn in its place."""

import json
import re
import shutil
import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fer_lib import paths
from fer_lib.data import SPLITS, Faces, array_hash, ckplus, drawn_ckplus
from fer_lib.data.emotions import EIGHT

LABEL = "Emotion/S005/001/S005_001_00000006_emotion.txt"
FACS = "FACS/S005/001/S005_001_00000006_facs.txt"
POINTS = "Landmarks/S005/001/S005_001_00000006_landmarks.txt"


@pytest.fixture(autouse=True)
def _no_ckplus(monkeypatch):
    monkeypatch.delenv("CKPLUS", raising=False)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Ten persons with two labelled sequences and one without, of five or six frames."""
    folder = tmp_path_factory.mktemp("ckplus") / "drawn"
    drawn_ckplus.write_ckplus(folder, 10, 2)
    return folder


def write(folder, person="S005", number="001", count=6, emotion=3, shape=(49, 64)):
    """A sequence of small flat frames, each of another grey, with a label and a FACS file, but no landmarks."""
    for kind in ("cohn-kanade-images", "Emotion", "FACS"):
        (folder / kind / person / number).mkdir(parents=True)
    for k in range(1, count + 1):
        name = f"{person}_{number}_{k:08d}"
        path = folder / "cohn-kanade-images" / person / number / f"{name}.png"
        assert cv2.imwrite(str(path), np.full(shape, 10 * k, np.uint8))
    if emotion is not None:
        (folder / "Emotion" / person / number / f"{name}_emotion.txt").write_text(f"   {emotion:.7e}\n")
    (folder / "FACS" / person / number / f"{name}_facs.txt").write_text("   4.0000000e+00   0.0000000e+00\n")


def write_points(path, points):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"   {x:.7e}   {y:.7e}\n" for x, y in points))


@pytest.fixture
def tree(tmp_path):
    """Ten persons, S005 to S050, each with one sequence of six frames, of the codes 0 to 7 and 0, 1, to spoil."""
    for k in range(10):
        write(tmp_path / "tree", f"S{5 * k + 5:03d}", emotion=k % 8)
    return tmp_path / "tree"


# ---- the whole of it


def test_the_layout_is_read_with_labels_parts_and_persons(tree):
    write(tree, "S005", "002", emotion=None)
    (tree / "Emotion/S010/.DS_Store").write_bytes(b"Bud1")
    (tree / "cohn-kanade-images/S005/001/._S005_001_00000001.png").write_bytes(b"of macOS")
    (tree / "cohn-kanade-images/S005/001/Thumbs.db").write_bytes(b"of Windows")
    faces = ckplus.load(tree)
    assert faces.images.shape == (30, 48, 48) and faces.images.dtype == faces.labels.dtype == np.uint8
    assert faces.images[:3].reshape(3, -1).T.tolist() == [[40, 50, 60]] * 48**2  # the last three, of their own grey
    words = ["neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise", "neutral", "angry"]
    assert faces.emotions == EIGHT and [EIGHT[code] for code in faces.labels[::3]] == words
    assert faces.people.tolist() == np.repeat(np.arange(10), 3).tolist() and faces.people.dtype == np.int32
    assert faces.split.tolist() == [2] * 3 + [1] * 3 + [0] * 24
    assert faces.ids.tolist() == list(range(30)) and faces.ids.dtype == np.int32
    assert faces.name == "ckplus" and faces.sha256 == array_hash(faces.images, faces.labels, faces.split)
    assert faces.source == {
        "file": "tree", "form": "the last 3 frames of each sequence", "official": False, "persons": 10,
        "sequences": 10, "landmarks": 0, "fold": 0, "folds": 10,
    }  # fmt: skip
    json.dumps(faces.source)


def test_sequences_come_in_the_order_of_person_and_number(tree):
    write(tree, "S005", "010", 12, emotion=None)
    write(tree, "S005", "002", 4)
    (tree / "FACS/S005/002/S005_002_00000004_facs.txt").write_text(
        "   1.2000000e+01   3.0000000e+00\n\n   2.5000000e+01   0.0000000e+00\n   12.0   2.0\n"
    )
    found = ckplus.sequences(tree)
    assert [(each.person, each.number) for each in found[:4]] == [
        ("S005", "001"), ("S005", "002"), ("S005", "010"), ("S010", "001"),
    ]  # fmt: skip
    assert [each.emotion for each in found[:4]] == [0, 3, -1, 1]
    assert found[0].units == {4: None} and found[1].units == {12: 3.0, 25: None}
    assert [int(frame.stem[-8:]) for frame in found[2].frames] == list(range(1, 13))


@pytest.mark.parametrize("peaks", [1, 2, 4, 100])
def test_as_many_peak_frames_as_requested_or_all_of_a_shorter_sequence(tree, peaks):
    faces = ckplus.load(tree, peaks=peaks)
    assert len(faces) == 10 * min(peaks, 6) and np.bincount(faces.people).tolist() == [min(peaks, 6)] * 10
    assert faces.images[len(faces) // 10 - 1].mean() == 60


@pytest.mark.parametrize("peaks", [0, -1, 1.5, True, None])
def test_other_numbers_of_peak_frames_are_refused(tree, peaks):
    with pytest.raises(ValueError, match="peaks: found .*, expected a whole number, 1 or more"):
        ckplus.load(tree, peaks=peaks)


def test_the_nesting_of_the_zip_files_changes_nothing(tree, drawn, tmp_path):
    expected = ckplus.load(drawn)
    drawn_ckplus.write_ckplus(tmp_path / "nested", 10, 2, nested=True)
    found = ckplus.load(tmp_path / "nested")
    assert (tmp_path / "nested/Emotion_labels/Emotion").is_dir() and not (tmp_path / "nested/Emotion").exists()
    assert found.sha256 == expected.sha256 and found.source["landmarks"] == len(found) == 60
    for name, place in {"cohn-kanade-images": "extended-cohn-kanade-images", "Emotion": "Emotion_labels"}.items():
        before = ckplus.load(tree).sha256
        (tree / place).mkdir()
        (tree / name).rename(tree / place / name)
        assert ckplus.load(tree).sha256 == before


def test_without_facs_no_units_are_known(tree):
    shutil.rmtree(tree / "FACS")
    assert all(each.units == {} for each in ckplus.sequences(tree))


def test_official_is_what_has_as_many_sequences_and_persons_as_the_release(tree, monkeypatch):
    write(tree, "S999", emotion=None)
    monkeypatch.setattr(ckplus, "OFFICIAL", dict(zip(ckplus.OFFICIAL, (11, 11, 10, 10))))
    assert ckplus.load(tree).source["official"]
    shutil.rmtree(tree / "cohn-kanade-images/S999")
    assert not ckplus.load(tree).source["official"]


# ---- where it is


def test_it_is_found_by_its_variable_or_in_data(tree, monkeypatch):
    assert ckplus.find() is None
    with pytest.raises(FileNotFoundError, match=re.escape("CK+ is not here: its licence is granted on request")):
        ckplus.load()
    paths.DATA.mkdir()
    shutil.copytree(tree, paths.DATA / "ckplus")
    assert ckplus.find() == paths.DATA / "ckplus"
    monkeypatch.setenv("CKPLUS", str(tree))
    assert ckplus.find() == tree and ckplus.load().source["file"] == "tree"
    monkeypatch.setenv("CKPLUS", str(tree / "nowhere"))
    with pytest.raises(FileNotFoundError, match="CKPLUS=.*nowhere: found no such file or folder"):
        ckplus.find()


def test_a_file_where_it_would_be_is_no_folder():
    paths.DATA.mkdir()
    (paths.DATA / "ckplus").touch()
    with pytest.raises(FileNotFoundError, match="ckplus: found a file, expected CK"):
        ckplus.find()


# ---- what is not CK+


def test_a_folder_without_frames_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nowhere: found no such folder, expected cohn-kanade-images/ and Emotion/"):
        ckplus.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="found an empty folder, expected cohn-kanade-images/"):
        ckplus.load(tmp_path)
    (tmp_path / "anger").mkdir()
    with pytest.raises(ValueError, match="found anger, expected cohn-kanade-images/"):
        ckplus.load(tmp_path)
    (tmp_path / "cohn-kanade-images/S005/001").mkdir(parents=True)
    shutil.copytree(tmp_path / "cohn-kanade-images", tmp_path / "Emotion")
    (tmp_path / "Emotion/S005/001/S005_001_00000004_emotion.txt").write_text("1")
    with pytest.raises(ValueError, match="cohn-kanade-images: found no frame, expected S005/001/S005_001_00000001"):
        ckplus.load(tmp_path)


def test_a_tree_without_labels_is_refused(tree):
    for path in tree.glob("Emotion/*/*/*.txt"):
        path.unlink()
    with pytest.raises(ValueError, match="tree: found no label in Emotion/, expected"):
        ckplus.load(tree)
    shutil.rmtree(tree / "Emotion")
    with pytest.raises(ValueError, match="tree: found no Emotion/, expected .* unpack the labels"):
        ckplus.load(tree)


@pytest.mark.parametrize("text", ["", "8.0", "-1", "2.5", "nan", "inf", "happy", "3.0 1.0", "3.0\n3.0", "0_3", "\xb3"])
def test_a_label_that_is_no_code_is_refused(tree, text):
    (tree / LABEL).write_text(text)
    with pytest.raises(
        ValueError, match="S005_001_00000006_emotion.txt: found .*, expected one whole number of 0 to 7"
    ):
        ckplus.sequences(tree)


def test_two_labels_of_one_sequence_are_refused(tree):
    shutil.copy(tree / LABEL, (tree / LABEL).with_name("S005_001_00000009_emotion.txt"))
    with pytest.raises(ValueError, match="00000009_emotion.txt: found a second file, beside S005_001_00000006_emotion"):
        ckplus.sequences(tree)


def test_a_label_whose_own_frame_is_missing_is_refused(tree):
    """Its peak is not there: earlier frames would be taken for it."""
    label = next(iter(sorted(tree.glob("Emotion/*/*/*.txt"))))
    frame = label.name.removesuffix("_emotion.txt")
    (tree / "cohn-kanade-images" / label.parent.relative_to(tree / "Emotion") / f"{frame}.png").unlink()
    with pytest.raises(ValueError, match=f"{label.name}: found a label of the frame {frame}, and no such frame"):
        ckplus.sequences(tree)


def test_a_label_of_a_sequence_without_frames_is_refused(tree):
    shutil.rmtree(tree / "cohn-kanade-images/S005/001")
    expected = "S005_001_00000006_emotion.txt: found a label of a sequence without frames, expected its frames in"
    with pytest.raises(ValueError, match=f"{expected} cohn-kanade-images/S005/001/"):
        ckplus.sequences(tree)


@pytest.mark.parametrize("name", ["S010_001_00000003.png", "S005_002_00000003.png", "frame3.png", "S005_001_x.png"])
def test_a_frame_of_another_sequence_is_refused(tree, name):
    (tree / "cohn-kanade-images/S005/001" / name).touch()
    with pytest.raises(ValueError, match=f"S005.001.{name}: found a frame of another sequence, expected .*S005_001_0"):
        ckplus.sequences(tree)


@pytest.mark.parametrize("path", [LABEL, FACS])
def test_a_label_or_facs_file_of_another_sequence_is_refused(tree, path):
    (tree / path).rename((tree / path).with_name(name := (tree / path).name.replace("S005", "S010")))
    with pytest.raises(ValueError, match=f"{name}: found a file of another sequence, expected S005_001_"):
        ckplus.sequences(tree)


@pytest.mark.parametrize("line", ["12", "12 1 1", "twelve 1", "12 nan", "1.5 1", "0 1", "12 -1", "-3 0", "inf 1"])
def test_a_malformed_line_of_a_facs_file_is_refused(tree, line):
    with (tree / FACS).open("a") as file:
        file.write(f"   {line}\n")
    with pytest.raises(ValueError, match="S005_001_00000006_facs.txt.*: found .*, expected an action unit and its int"):
        ckplus.sequences(tree)


def test_a_damaged_frame_or_landmark_file_is_refused_by_name(tree):
    write_points(tree / POINTS, np.ones((67, 2)))
    with pytest.raises(ValueError, match="S005_001_00000006_landmarks.txt: found 67 landmarks, expected 68"):
        ckplus.load(tree)
    write_points(tree / POINTS, [*np.ones((66, 2)), (5, np.nan), (9, 9)])
    with pytest.raises(ValueError, match=r"S005_001_00000006_landmarks.txt, line 67: found .*nan.*, expected x and y"):
        ckplus.load(tree)
    for points in (np.ones((68, 2)), np.arange(136).reshape(68, 2) + 64):
        write_points(tree / POINTS, points)
        with pytest.raises(ValueError, match="00000006_landmarks.txt: found landmarks from .* a picture of 64 x 49"):
            ckplus.load(tree)
    (tree / POINTS).unlink()
    frame = tree / "cohn-kanade-images/S010/001/S010_001_00000005.png"
    frame.write_bytes(frame.read_bytes()[:60])
    with pytest.raises(ValueError, match="S010_001_00000005.png: found an incomplete or damaged picture"):
        ckplus.load(tree)


# ---- the face in a frame


@settings(deadline=None, max_examples=25)
@given(st.data(), st.booleans())
def test_the_face_is_the_square_around_its_landmarks(tmp_path_factory, data, colour):
    height, width = data.draw(st.sampled_from([(490, 640), (480, 640)]))
    w, h = data.draw(st.integers(60, 320)), data.draw(st.integers(60, 320))
    side = max(w, h)
    reach = int(side * (0.5 + ckplus.MARGIN)) + 2
    x, y = data.draw(st.integers(reach, width - reach)), data.draw(st.integers(reach - 1, height - reach + 1))
    picture = np.zeros((height, width), np.uint8)
    picture[y - side // 2 : y + side // 2, x - side // 2 : x + side // 2] = 200  # the landmarks' own square
    folder = tmp_path_factory.getbasetemp()
    cv2.imwrite(str(folder / "frame.png"), cv2.merge([picture] * 3) if colour else picture)
    corners = np.array([(x - w / 2, y - h / 2), (x + w / 2, y + h / 2)])
    points = np.random.default_rng(0).uniform(*corners, (66, 2))
    write_points(folder / "points.txt", [*corners, *points])
    shown = ckplus.face(folder / "frame.png", folder / "points.txt")
    edge = 48 * ckplus.MARGIN / (1 + 2 * ckplus.MARGIN)  # 4.8
    assert shown.shape == (48, 48) and shown.dtype == np.uint8
    for each in (shown, shown[::-1], shown.T, shown.T[::-1]):
        assert (each[: int(edge) - 1] == 0).all()
    assert (shown[int(edge) + 2 : -int(edge) - 2, int(edge) + 2 : -int(edge) - 2] == 200).all()


@pytest.mark.parametrize(("corner", "grey"), [((0, 0), 50), ((639, 489), 90)])
def test_a_square_that_would_leave_the_picture_is_moved_into_it(tmp_path, corner, grey):
    picture = np.zeros((490, 640), np.uint8)
    picture[:125, :125], picture[-125:, -125:] = 50, 90
    cv2.imwrite(str(tmp_path / "frame.png"), picture)
    write_points(tmp_path / "points.txt", [corner, np.abs(np.array(corner) - 100), *[corner] * 66])
    assert (ckplus.face(tmp_path / "frame.png", tmp_path / "points.txt") == grey).all()


def test_landmarks_larger_than_the_picture_take_its_height(tmp_path):
    cv2.imwrite(str(tmp_path / "frame.png"), np.tile(np.arange(200, dtype=np.uint8), (100, 1)))
    write_points(tmp_path / "points.txt", [(40, 0), (140, 99), *[(90, 50)] * 66])
    assert ckplus.face(tmp_path / "frame.png", tmp_path / "points.txt")[0].tolist()[::47] == [41, 138]  # 40 to 139


def test_without_landmarks_it_is_the_middle_of_the_frame(tmp_path):
    picture = np.zeros((490, 640), np.uint8)
    picture[:, 75:565] = 77
    cv2.imwrite(str(tmp_path / "frame.png"), picture)
    assert (ckplus.face(tmp_path / "frame.png", None) == 77).all()


def test_each_frame_is_cut_out_by_its_own_landmarks(tree):
    frame = tree / "cohn-kanade-images/S005/001/S005_001_00000006.png"
    picture = np.zeros((490, 640), np.uint8)
    picture[100:300, 200:400] = 123
    cv2.imwrite(str(frame), picture)
    write_points(tree / POINTS, [(250, 150), (350, 250), *[(300, 200)] * 66])
    faces = ckplus.load(tree)
    assert (faces.images[2] == 123).all() and (faces.images[1] == 50).all() and faces.source["landmarks"] == 1


# ---- folds of persons


def made_up(people):
    n = len(people)
    images, labels, split = np.zeros((n, 2, 2), np.uint8), np.zeros(n, np.uint8), np.zeros(n, np.uint8)
    sha256 = array_hash(images, labels, split)
    ids, people = np.arange(n, dtype=np.int32), np.array(people, np.int32)
    return Faces(images, labels, split, ids, "made_up", sha256, {"file": "made up"}, people=people)


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(3, 12))
def test_no_person_is_in_two_parts_and_every_row_is_tested_once(data, folds):
    persons = data.draw(st.lists(st.integers(0, 10**9), min_size=folds, max_size=40, unique=True))
    more = data.draw(st.lists(st.sampled_from(persons), max_size=60))
    faces = made_up(data.draw(st.permutations(persons + more)))
    rank = np.searchsorted(np.sort(persons), faces.people)
    tested, validated = np.zeros(len(faces), int), np.zeros(len(faces), int)
    for fold in range(folds):
        one = ckplus.folded(faces, fold, folds)
        parts = [set(one.people[one.rows(name)].tolist()) for name in SPLITS]
        assert sum(map(len, parts)) == len(persons) and set.union(*parts) == set(persons) and all(parts)
        assert (one.split == np.select([rank % folds == fold, rank % folds == (fold + 1) % folds], [2, 1], 0)).all()
        assert one.split.dtype == np.uint8 and one.sha256 == array_hash(one.images, one.labels, one.split)
        assert one.source == {"file": "made up", "fold": fold, "folds": folds} and one.ids is faces.ids
        tested[one.rows("PrivateTest")] += 1
        validated[one.rows("PublicTest")] += 1
    assert (tested == 1).all() and (validated == 1).all()


def test_the_persons_of_a_tree_are_never_in_two_parts(drawn):
    faces = ckplus.load(drawn)
    assert len({ckplus.folded(faces, fold).sha256 for fold in range(10)}) == 10
    again = ckplus.folded(ckplus.folded(faces, 3), 0)
    assert again.sha256 == faces.sha256 and again.source == faces.source
    for fold in range(10):
        one = ckplus.folded(faces, fold)
        assert set(one.people[one.rows("PrivateTest")]) == {fold}
        assert set(one.people[one.rows("PublicTest")]) == {(fold + 1) % 10}


@given(st.integers(-5, 20), st.integers(-5, 20))
@example(0, 2)
@example(10, 10)
@example(-1, 10)
def test_folds_that_cannot_be_are_refused(fold, folds):
    faces = made_up(list(range(20)))
    if folds >= 3 and 0 <= fold < folds:
        ckplus.folded(faces, fold, folds)
    else:
        with pytest.raises(ValueError, match=f"fold: found {fold} of {folds} folds, expected 0 to folds - 1, of three"):
            ckplus.folded(faces, fold, folds)


def test_faces_of_unknown_or_too_few_persons_are_not_folded(tree):
    with pytest.raises(
        ValueError, match="made up: found faces whose persons are not known, expected faces with people"
    ):
        ckplus.folded(replace(made_up([1, 2, 3]), people=None), 0, 3)
    with pytest.raises(ValueError, match="made up: found 3 persons, expected 4 or more, one for each fold"):
        ckplus.folded(made_up([5, 7, 7, 9]), 0, 4)
    shutil.rmtree(tree / "Emotion/S050")
    with pytest.raises(ValueError, match="tree: found 9 persons, expected 10 or more"):
        ckplus.load(tree)


# ---- memory


def peak_memory(folder):
    tracemalloc.start()
    try:
        faces = ckplus.load(folder)
        return tracemalloc.get_traced_memory()[1], faces.images.nbytes
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_frames_but_for_the_faces(tmp_path):
    for folder, persons in (("one", 10), ("two", 20)):
        for k in range(persons):
            write(tmp_path / folder, f"S{k:03d}", count=4, shape=(490, 640))
    ckplus.load(tmp_path / "one")  # what is imported and compiled once
    (one, faces), (two, more) = peak_memory(tmp_path / "one"), peak_memory(tmp_path / "two")
    assert more == 2 * faces
    # Ten persons more have 30 frames of 314 kB each: kept, they would be 9.4 MB. Their names take a few hundred bytes.
    assert two - one < more - faces + 120_000
    assert two < more + 4_000_000  # a frame in grey and in colour, and the file's bytes


# ---- drawn in its place


def test_a_drawn_tree_has_everything_that_the_release_has(drawn):
    found = ckplus.sequences(drawn)
    assert len(found) == 30 and sum(each.emotion < 0 for each in found) == 10
    assert {each.emotion for each in found} == {-1, 1, 2, 3, 4, 5, 6, 7}
    assert {len(each.frames) for each in found} == {5, 6} and all(each.units for each in found)
    intensities = [value for each in found for value in each.units.values()]
    assert None in intensities and {value for value in intensities if value} <= {1, 2, 3, 4, 5}
    assert list(drawn.rglob(".DS_Store"))
    assert (drawn / "Emotion/S010/003").is_dir() and not (drawn / "Emotion/S005/003").exists()
    shapes = {cv2.imread(str(each.frames[0]), cv2.IMREAD_UNCHANGED).shape for each in found}
    assert shapes == {(490, 640), (480, 640, 3)}
    assert ckplus.load(drawn).source["landmarks"] == 60


def test_a_drawn_sequence_is_one_person_going_from_neutral_to_the_peak(drawn):
    found, faces = ckplus.sequences(drawn), []
    for each in found:
        files = [drawn / "Landmarks" / each.person / each.number / f"{f.stem}_landmarks.txt" for f in each.frames]
        faces.append([ckplus.face(*both).ravel() for both in zip(each.frames, files)])
    neutral = np.array([first for first, *_ in faces])
    for k, frames in enumerate(faces):
        alike = np.corrcoef(frames)[0].tolist()
        assert alike == sorted(alike, reverse=True) and alike[1] > 0.85 and alike[-1] < 0.999
        assert np.corrcoef([frames[-1], *neutral])[0, 1:].argmax() == k  # it is like no other face more


def test_a_drawn_expression_is_inside_of_its_landmarks(drawn):
    for each in ckplus.sequences(drawn)[:9]:
        first, last = (cv2.imread(str(each.frames[k]), cv2.IMREAD_GRAYSCALE).astype(int) for k in (0, -1))
        points = np.loadtxt(drawn / "Landmarks" / each.person / each.number / f"{each.frames[-1].stem}_landmarks.txt")
        rows, columns = np.nonzero(np.abs(last - first) > 12)
        assert points.shape == (68, 2) and (points > 0).all() and (points < first.shape[::-1]).all()
        inside = (columns > points[:, 0].min() - 10) & (columns < points[:, 0].max() + 10)
        inside &= (rows > points[:, 1].min() - 50) & (rows < points[:, 1].max() + 10)  # a forehead has none
        assert inside.mean() > 0.95


def test_a_drawn_sequence_depends_on_its_number_alone(drawn, tmp_path):
    drawn_ckplus.write_ckplus(tmp_path, 11, 2)
    for path in sorted(drawn.glob("cohn-kanade-images/S0[15]0/*/*.png")):
        assert (tmp_path / path.relative_to(drawn)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("numbers", [(9, 4, 6), (191, 4, 6), (10, 0, 6), (10, 901, 6), (10, 4, 3)])
def test_a_tree_without_ten_persons_or_sequences_is_not_drawn(tmp_path, numbers):
    with pytest.raises(ValueError, match="expected 10 to 190, 1 to 900, 4 or more"):
        drawn_ckplus.write_ckplus(tmp_path, *numbers)


def test_the_stand_in_is_loaded_by_name_and_drawn_once(monkeypatch):
    faces = drawn_ckplus.load("drawn_ckplus")
    assert faces.name == "drawn_ckplus" and faces.source["file"] == "drawn in the layout of CK+"
    assert len(faces) == 240 and len(set(faces.people)) == 20 and [len(faces.rows(s)) for s in SPLITS] == [192, 24, 24]
    assert not faces.source["official"] and np.bincount(faces.labels, minlength=8).tolist() == [
        33, 36, 36, 33, 33, 33, 0, 36,
    ]  # fmt: skip
    assert len(list(paths.CACHE.glob("drawn-ckplus-*/tree"))) == 1
    monkeypatch.setattr(drawn_ckplus, "DATA", {"drawn_ckplus": (pytest.fail, *drawn_ckplus.DATA["drawn_ckplus"][1:])})
    assert drawn_ckplus.load("drawn_ckplus").sha256 == faces.sha256


def test_the_stand_in_is_the_same_wherever_it_is_drawn(monkeypatch, tmp_path):
    small = (lambda folder: drawn_ckplus.write_ckplus(folder, 10, 1), *drawn_ckplus.DATA["drawn_ckplus"][1:])
    monkeypatch.setattr(drawn_ckplus, "DATA", {"drawn_ckplus": small})
    one = drawn_ckplus.load("drawn_ckplus")
    monkeypatch.setattr(paths, "CACHE", tmp_path / "elsewhere")
    assert drawn_ckplus.load("drawn_ckplus").sha256 == one.sha256 and len(one) == 30


def test_another_name_or_a_cache_that_cannot_be_written_says_so(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="data: found 'drawn_jaffe', expected one of drawn_ckplus, drawn_sfew"):
        drawn_ckplus.load("drawn_jaffe")
    (tmp_path / "file").touch()
    monkeypatch.setattr(paths, "CACHE", tmp_path / "file" / "cache")
    with pytest.raises(OSError, match="cannot keep the drawn pictures .*; set FER_CACHE elsewhere"):
        drawn_ckplus.load("drawn_ckplus")
